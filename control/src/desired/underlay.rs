//! What lies below the tunnels: this node's place in it, the other nodes, and who is on them.

use std::fmt;
use std::net::IpAddr;

use podlane_api::{Gateway, MacAddr};
pub use podlane_dataplane::tunnel::Encapsulation;

use super::{Name, Prefix, VlanId};

/// This node's place in the underlay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Underlay {
    /// This node's addresses: at least one, at most one of each family.
    pub vteps: Vec<Vtep>,
    /// The ports that lead to other nodes: at least one, none twice, each of the kind uplink and in no network.
    pub uplinks: Vec<Name>,
    /// The tag of outer packets; none for untagged ones.
    pub vlan: Option<VlanId>,
    /// How networks are carried.
    pub encapsulation: Encapsulation,
    /// The UDP port tunnelled packets are sent to and arrive at; never 0.
    pub udp_port: u16,
    /// Whether the outer UDP checksum is computed; none means over IPv6 only.
    pub udp_checksum: Option<bool>,
    /// Whether TCP is told what fits into the tunnels.
    pub clamp_mss: bool,
    /// The ways to peers that are on no link of this node's.
    pub routes: Vec<UnderlayRoute>,
}

/// One of this node's VTEP addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vtep(Gateway);

impl Vtep {
    /// The address in the subnet around it.
    #[must_use]
    pub const fn new(written: Gateway) -> Self {
        Self(written)
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0.address()
    }

    /// The addresses that are reached without a router.
    #[must_use]
    pub fn on_link(self) -> Prefix {
        Prefix::of(self.0)
    }
}

/// The way to peers that are behind routers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnderlayRoute {
    /// The peers' addresses; no other route has this very prefix.
    pub prefix: Prefix,
    /// The routers, any of which will do: at least one, none twice, each on a link of this node's.
    pub via: Vec<IpAddr>,
}

/// Another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its name.
    pub name: Name,
    /// Its VTEP address: no other peer's and not ours, in a family in which we have one, and reachable.
    pub vtep: IpAddr,
}

/// A station of a network on another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The network, which has a VNI.
    pub network: Name,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IP addresses.
    pub addresses: Vec<IpAddr>,
    /// The node, which has the network.
    pub peer: Name,
    /// Which statement of the MAC address this is: the highest counts.
    pub generation: u64,
}

/// What an overlay network is called on the wire: 1 to 16,777,215. 0 is left out, which many devices do not forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Vni(u32);

impl Vni {
    /// The most: it has 24 bits (RFC 7348, section 5).
    pub const MAX: u32 = 0xff_ffff;

    /// The identifier, if it is one.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number >= 1 && number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Underlay {
    /// This node's address towards another one: the one of its family.
    #[must_use]
    pub fn towards(&self, address: IpAddr) -> Option<Vtep> {
        self.vteps.iter().copied().find(|vtep| vtep.address().is_ipv4() == address.is_ipv4())
    }

    /// The neighbours by which an address is reached: itself where it is on-link, else the routers of the route with the
    /// longest prefix; none where there is no such route.
    #[must_use]
    pub fn next_hops(&self, address: IpAddr) -> Vec<IpAddr> {
        if self.vteps.iter().any(|vtep| vtep.on_link().contains(address)) {
            return vec![address];
        }
        let routes = self.routes.iter().filter(|route| route.prefix.contains(address));
        routes.max_by_key(|route| route.prefix.len()).map(|route| route.via.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vni_has_24_bits_and_is_not_0() {
        assert_eq!([0, 1, 0xff_ffff, 0x100_0000].map(|number| Vni::new(number).is_some()), [false, true, true, false]);
    }
}
