//! Broadcast domains, and the routing between them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use podlane_api::{Gateway, MacAddr};

use super::{Mtu, Name, Offload, Prefix, Supply, Vni};

/// One broadcast domain. Frames of two networks never meet, except by routing within a VRF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// The addresses the switch answers for; none for a pure L2 network. Their subnets overlap no other of the VRF.
    pub gateways: Vec<Gateway>,
    /// The MAC address of all its gateways.
    pub gateway_mac: MacAddr,
    /// The routing domain: networks of one VRF route to each other through their gateways.
    pub vrf: Name,
    /// The largest IP packet; none for an overlay network that takes what its tunnels carry.
    pub mtu: Option<Mtu>,
    /// Whether MAC addresses are learned on ports that state none.
    pub learning: bool,
    /// How long a learned MAC address that is not seen is kept.
    pub mac_age: Duration,
    /// How much may be flooded.
    pub flood_limit: FloodLimit,
    /// What it is called in tunnels; none for a network of this node alone. No other network is called so.
    pub vni: Option<Vni>,
    /// The peers that have it, in order, none twice; empty without a VNI.
    pub peers: Vec<Name>,
    /// Whether what is flooded goes to its peers too, and MAC addresses that come from them are learned.
    pub flood: bool,
    /// How many copies a second a worker makes for its peers.
    pub replication_limit: FloodLimit,
    /// What carries the flows of its ports that say nothing of it.
    pub offload: Offload,
    /// What addresses its pods can get.
    pub supply: Supply,
}

impl Network {
    /// The subnets around its gateways.
    pub fn subnets(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.gateways.iter().copied().map(Prefix::of)
    }

    /// The gateway MAC address a network has unless it states one: derived from its name, so that it is the same after a
    /// restart and on every node, and locally administered (bit 1 of the first octet), so that it is nobody's.
    #[must_use]
    pub fn derived_mac(name: &Name) -> MacAddr {
        // FNV-1a: stable across releases, which the standard library's hash does not promise.
        let hash = name
            .as_str()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let [_, _, _, b, c, d, e, f] = hash.to_be_bytes();
        MacAddr([0x02, b, c, d, e, f])
    }
}

/// Flooded packets a second that a network takes; 0 floods nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FloodLimit(pub u32);

/// Where a VRF sends what no network of it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The routing domain.
    pub vrf: Name,
    /// The destinations; no network of the VRF has this very subnet, and no other route of it.
    pub prefix: Prefix,
    /// Where to.
    pub target: Target,
}

/// What a route does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Sends to a station.
    Via {
        /// The station; in the family of the prefix, no gateway of ours.
        next_hop: IpAddr,
        /// The network whose subnet it is in.
        network: Name,
    },
    /// Drops, and counts it.
    Discard,
}

impl fmt::Display for FloodLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_gateway_mac_is_stable_and_nobodys() {
        let blue = Network::derived_mac(&Name::new("blue").unwrap());
        assert_eq!(blue.to_string(), "02:9b:c2:dd:a6:4d");
        assert!(blue.is_unicast());
        assert_ne!(blue, Network::derived_mac(&Name::new("green").unwrap()));
    }
}
