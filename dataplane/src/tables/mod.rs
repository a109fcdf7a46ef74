//! What the workers switch by: compiled from what the node wants, immutable, swapped whole.
//!
//! The control side builds a [`Tables`], the workers read it behind an `Arc` and hand the former one back, so that no worker
//! ever frees one. Everything learned from traffic lives elsewhere ([`flow::learned`](crate::flow::learned)): these
//! tables change only when the configuration does.

pub mod arrivals;
pub mod lpm;
pub mod rates;
pub mod underlay;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use podlane_wire::MacAddr;

use crate::{
    flow::{TagEdit, VlanField},
    ids::{Generation, NetworkId, PathId, PortId, VrfId},
    offload::EngineId,
    slow,
    tables::{
        lpm::{Lpm4, Lpm6},
        rates::Rates,
        underlay::Underlay,
    },
};

/// Everything resolve reads, for one generation. What does not change with ports that come and go is shared with the tables before.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// Which tables these are; never 0, which no table has.
    pub generation: Generation,
    /// By [`PortId`]; a port that is missing here is closed.
    pub ports: Vec<Option<PortTable>>,
    /// By [`NetworkId`].
    pub networks: Vec<Network>,
    /// By [`VrfId`].
    pub vrfs: Arc<[Vrf]>,
    /// What carries tunnelled packets.
    pub underlay: Arc<Underlay>,
}

impl Tables {
    /// A port's table, unless the port is closed.
    #[inline]
    #[must_use]
    pub fn port(&self, port: PortId) -> Option<&PortTable> {
        self.ports.get(port.index())?.as_ref()
    }

    /// Whether a pod under policy is behind a port.
    #[inline]
    #[must_use]
    pub fn is_policed(&self, port: PortId) -> bool {
        self.port(port).is_some_and(|port| port.policed)
    }

    /// Whether a pod under policy is behind either of two ports.
    #[inline]
    #[must_use]
    pub fn is_policed_between(&self, from: PortId, to: PortId) -> bool {
        self.is_policed(from) || self.is_policed(to)
    }

    /// Whether the pod behind a port has no address yet, and asks for one.
    #[inline]
    #[must_use]
    pub fn is_asking(&self, port: PortId) -> bool {
        self.port(port).is_some_and(|port| port.dhcp == Dhcp::Asking)
    }

    /// The network of a packet that came in by `port`, which may be a path's, with this tag.
    #[must_use]
    pub fn network_at(&self, port: PortId, vlan: VlanField) -> Option<NetworkId> {
        match port.path() {
            Some(path) => self.underlay.path(path).map(|path| path.network),
            None => self.port(port)?.network_of(vlan),
        }
    }

    /// A network. A number out of a port's table is always there.
    #[must_use]
    pub fn network(&self, network: NetworkId) -> Option<&Network> {
        self.networks.get(network.index())
    }
}

/// Whether the pod behind a port has its addresses over DHCP.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Dhcp {
    /// No: what it says of DHCP is UDP like any other.
    #[default]
    Unused,
    /// It has none yet: nothing passes but its questions and the answers to them.
    Asking,
    /// It has them, and goes on asking for their renewal.
    Leased,
}

/// What a port may say and where it belongs.
#[derive(Clone, Debug, Default)]
pub struct PortTable {
    /// The only source MAC address it may use; `None` means any, learned where the network learns.
    pub mac: Option<MacAddr>,
    /// The only source addresses it may use; empty means any.
    pub addresses: Vec<IpAddr>,
    /// The network of untagged frames.
    pub native: Option<NetworkId>,
    /// The networks of tagged frames by VLAN id, sorted.
    pub vlans: Vec<(u16, NetworkId)>,
    /// The longest IP packet it takes, bytes.
    pub mtu: u16,
    /// The MAC address that all stations of this node have beyond it, where it is an uplink whose own address they share: what
    /// leaves by it is from that address, and what comes in for it is for the station that has the IP address.
    pub outer_mac: Option<MacAddr>,
    /// Whether it is an uplink that tunnelled packets come in by.
    pub underlay: bool,
    /// Whether its sender leaves TCP and UDP checksums to be finished, as a veth's kernel does.
    pub unfinished_checksums: bool,
    /// Whether a pod under policy is behind it. What it sends and receives is then dropped unless a policy is in force and allows it.
    pub policed: bool,
    /// Whether its addresses come over DHCP, and how far that is.
    pub dhcp: Dhcp,
    /// What the pod behind it may send, receive and open a second.
    pub rates: Rates,
    /// What carries established flows that come in by it.
    pub offload: Option<EngineId>,
}

impl PortTable {
    /// The network a frame with this tag belongs to.
    #[must_use]
    pub fn network_of(&self, vlan: VlanField) -> Option<NetworkId> {
        match vlan.id() {
            None => self.native,
            Some(id) => self.vlans.binary_search_by_key(&id, |(vlan, _)| *vlan).ok().map(|at| self.vlans[at].1),
        }
    }

    /// Whether the port may send from this address. Link-local IPv6 and the unspecified address (DHCP, duplicate
    /// address detection) are no one's to forge: the MAC guard has already tied them to the port.
    #[must_use]
    pub fn may_send_from(&self, address: IpAddr) -> bool {
        let own = match address {
            IpAddr::V4(v4) => v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local(),
        };
        own || self.addresses.is_empty() || self.addresses.contains(&address)
    }

    /// Whether one station is behind it, and all is stated of it: its MAC address and its IP addresses.
    #[must_use]
    pub fn states_all(&self) -> bool {
        self.mac.is_some() && !self.addresses.is_empty()
    }
}

/// One broadcast domain and its gateway.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The routing domain.
    pub vrf: VrfId,
    /// The gateway the switch plays, if any.
    pub gateway: Option<Gateway>,
    /// The ports of the network and the tag each expects.
    pub members: Vec<Member>,
    /// Where stated MAC addresses are. Hashed with a seed of its own, so that no pod can choose addresses that collide; a miss asks up to six
    /// times, and the standard hash was a quarter of it.
    pub stations: foldhash::HashMap<MacAddr, PortId>,
    /// The MAC addresses of stated IP addresses.
    pub neighbours: foldhash::HashMap<IpAddr, MacAddr>,
    /// Whether MAC addresses of ports that state none are learned.
    pub learning: bool,
    /// Whether frames to unknown MAC addresses go to every port.
    pub flood_unknown: bool,
    /// How long a learned MAC address lives without traffic, milliseconds.
    pub mac_age: u32,
    /// Flooded packets a second, per worker; the storm cap.
    pub flood_limit: u32,
    /// The first path to each peer that has the network, where what is flooded goes there too (head-end replication).
    pub replicate_to: Vec<PathId>,
    /// Copies for peers a second, per worker.
    pub replication_limit: u32,
    /// Whether multicast goes only where it was asked for (RFC 4541).
    pub snooping: bool,
}

impl Network {
    /// Whether MAC addresses are learned from tunnels: where what is unknown is flooded into them, too.
    #[must_use]
    pub fn learns_remotely(&self) -> bool {
        self.learning && !self.replicate_to.is_empty()
    }

    /// The member at `port`, if the network reaches it.
    #[must_use]
    pub fn member(&self, port: PortId) -> Option<&Member> {
        self.members.iter().find(|member| member.port == port)
    }
}

/// A port's place in a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The port.
    pub port: PortId,
    /// The VLAN id the port expects, `None` for untagged.
    pub vlan: Option<u16>,
    /// The longest IP packet the port takes, bytes.
    pub mtu: u16,
}

impl Member {
    /// What to do to the tag of a frame that came with `from` so that this member understands it.
    #[must_use]
    pub const fn tag_edit(&self, from: VlanField) -> TagEdit {
        match (from.is_tagged(), self.vlan) {
            (false, None) => TagEdit::Keep,
            (true, None) => TagEdit::Pop,
            (false, Some(id)) => TagEdit::Push(id),
            (true, Some(id)) => TagEdit::Set(id),
        }
    }
}

/// The switch's own address in a network.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IPv4 addresses with their prefix lengths.
    pub ipv4: Vec<(Ipv4Addr, u8)>,
    /// Its IPv6 addresses with their prefix lengths.
    pub ipv6: Vec<(Ipv6Addr, u8)>,
    /// Its link-local address, from the MAC (RFC 4291, appendix A).
    pub link_local: Ipv6Addr,
    /// The network's MTU, bytes of an IP packet.
    pub mtu: u16,
}

impl Gateway {
    /// Whether the gateway itself has this address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.speaker().has(address)
    }

    /// What the slow path speaks as.
    #[must_use]
    pub fn speaker(&self) -> slow::Gateway<'_> {
        let Self { mac, ipv4, ipv6, link_local, mtu } = self;
        slow::Gateway { mac: *mac, ipv4, ipv6, link_local: *link_local, mtu: *mtu }
    }
}

/// One routing domain.
#[derive(Debug, Default)]
pub struct Vrf {
    /// IPv4 routes; values index [`Self::next_hops`].
    pub ipv4: Lpm4,
    /// IPv6 routes; values index [`Self::next_hops`].
    pub ipv6: Lpm6,
    /// Where routes lead.
    pub next_hops: Vec<NextHop>,
}

impl Vrf {
    /// Where packets to `destination` go.
    #[must_use]
    pub fn route(&self, destination: IpAddr) -> Option<NextHop> {
        let index = match destination {
            IpAddr::V4(v4) => self.ipv4.lookup(v4),
            IpAddr::V6(v6) => self.ipv6.lookup(v6),
        }?;
        self.next_hops.get(index as usize).copied()
    }
}

/// Where a route leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NextHop {
    /// The destination is in this network itself.
    Connected(NetworkId),
    /// By this neighbour in this network.
    Via(NetworkId, IpAddr),
    /// Nowhere, on purpose.
    Blackhole,
}
