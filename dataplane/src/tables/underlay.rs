//! The underlay: what carries tunnelled packets from node to node, as resolve and the tunnels see it.
//!
//! ```text
//!   MAC address --(network's stations)--> path = peer x network --(hops, by flow hash)--> uplink + next hop
//!   outer source + VNI --(arrivals)--> path
//! ```
//!
//! A peer is another node's VTEP. A path is a peer seen from one network; for every uplink there is one more of them, since an
//! outer header names the uplink's MAC address and VLAN. What is learned (who the next hops are, what the way to a peer
//! carries) is kept under names that outlive these tables: [`hop_key`] and [`peer_key`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;

use podlane_wire::MacAddr;

use crate::{
    ids::{NetworkId, PathId, PortId, Vni},
    tables::arrivals::Arrivals,
    tunnel::{Encapsulation, Outer, Template},
};

/// Everything below the tunnels. Empty where a node has none.
#[derive(Debug, Default)]
pub struct Underlay {
    /// This node's own addresses.
    pub vteps: Vec<Vtep>,
    /// The ports that lead to other nodes.
    pub uplinks: Vec<Uplink>,
    /// The other nodes.
    pub peers: Vec<Peer>,
    /// By [`PathId`]: for each peer and network one path per uplink, next to each other, in the order of the uplinks.
    pub paths: Vec<Path>,
    /// Which path a tunnelled packet came by: the first of its peer and network.
    pub arrivals: Arrivals,
    /// The UDP ports at which tunnelled packets arrive.
    pub services: Vec<(u16, Encapsulation)>,
    /// By network and peer: the first path.
    firsts: HashMap<(NetworkId, u16), PathId>,
}

/// A network that reaches over the underlay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The network.
    pub network: NetworkId,
    /// What it is called on the wire; no other segment with the same encapsulation is called so.
    pub vni: Vni,
    /// How it is carried.
    pub encapsulation: Encapsulation,
    /// The UDP port it is sent to.
    pub udp_port: u16,
    /// Whether the outer UDP checksum is computed; `None` means over IPv6 only, where zero takes both ends' consent
    /// (RFC 6935, RFC 6936).
    pub checksum: Option<bool>,
    /// See [`Path::gateway_mac`].
    pub gateway_mac: MacAddr,
    /// See [`Path::clamp_mss`].
    pub clamp_mss: bool,
    /// The peers that have the network, as indices into [`Underlay::peers`].
    pub peers: Vec<u16>,
}

impl Segment {
    /// A network as its encapsulation has it: sent to the port that IANA gave, without a gateway, TCP left alone.
    #[must_use]
    pub fn of(network: NetworkId, vni: Vni, encapsulation: Encapsulation, peers: Vec<u16>) -> Self {
        Self {
            network,
            vni,
            encapsulation,
            udp_port: encapsulation.port(),
            checksum: None,
            gateway_mac: MacAddr::default(),
            clamp_mss: false,
            peers,
        }
    }
}

/// One of this node's VTEP addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vtep {
    /// The address.
    pub address: IpAddr,
    /// Whether the host's kernel has it too, and answers for it.
    pub shared: bool,
}

/// A port that leads to other nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uplink {
    /// The port.
    pub port: PortId,
    /// Its device's MAC address.
    pub mac: MacAddr,
    /// The VLAN tag outer packets carry, `None` for untagged.
    pub vlan: Option<u16>,
    /// The longest outer IP packet, bytes.
    pub mtu: u16,
    /// The address neighbour solicitations are sent from: nobody else's, so that answers come to us.
    pub link_local: Ipv6Addr,
}

/// A node's VTEP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// This node's address towards it, of the same family.
    pub vtep: IpAddr,
    /// The ways there: any that is alive will do. Empty while no uplink is attached.
    pub hops: Vec<Hop>,
}

/// A neighbour in the underlay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Hop {
    /// Which of [`Underlay::uplinks`].
    pub uplink: u16,
    /// Its address: the peer itself, or a router.
    pub address: IpAddr,
}

/// A peer seen from one network, by one uplink.
#[derive(Clone, Debug)]
pub struct Path {
    /// Which of [`Underlay::peers`].
    pub peer: u16,
    /// The network.
    pub network: NetworkId,
    /// What the network is called on the wire.
    pub vni: Vni,
    /// The uplink's port.
    pub egress: PortId,
    /// The longest outer IP packet the uplink takes, bytes.
    pub mtu: u16,
    /// The outer headers.
    pub template: Template,
    /// The source of packets routed into the network: its gateway's MAC address, zeros where it has none.
    pub gateway_mac: MacAddr,
    /// Whether TCP is told what fits (RFC 6691), both ways.
    pub clamp_mss: bool,
}

impl Path {
    /// The longest inner IP packet, as far as the uplink decides it, bytes.
    #[inline]
    #[must_use]
    pub const fn inner_mtu(&self) -> u16 {
        self.inner_of(self.mtu)
    }

    /// The longest inner IP packet where an outer one may have `outer` bytes.
    #[inline]
    #[must_use]
    pub const fn inner_of(&self, outer: u16) -> u16 {
        const INNER_ETHERNET: u16 = 14;
        outer.saturating_sub(self.template.overhead() + INNER_ETHERNET)
    }
}

impl Underlay {
    /// The underlay of these nodes and segments. Services, paths and arrivals follow from them.
    ///
    /// # Panics
    /// If a segment names a peer that is not there, a peer's addresses are of two families, or there are more than
    /// [`MAX_PATHS`](crate::ids::MAX_PATHS) paths: mistakes of the caller.
    #[must_use]
    pub fn of(vteps: Vec<Vtep>, uplinks: Vec<Uplink>, peers: Vec<Peer>, segments: &[Segment]) -> Self {
        let mut underlay = Self { vteps, uplinks, peers, ..Self::default() };
        let mut arrivals = Vec::new();
        for segment in segments {
            let service = (segment.udp_port, segment.encapsulation);
            if !underlay.services.contains(&service) {
                underlay.services.push(service);
            }
            for number in &segment.peers {
                let first = PathId(u16::try_from(underlay.paths.len()).expect("as many paths as there are numbers"));
                underlay.add_paths(segment, *number);
                let peer = &underlay.peers[usize::from(*number)];
                arrivals.push((peer.address, segment.encapsulation, segment.vni, first));
                underlay.firsts.insert((segment.network, *number), first);
            }
        }
        assert!(underlay.paths.len() <= crate::ids::MAX_PATHS, "as many paths as there are numbers");
        underlay.arrivals = Arrivals::of(&arrivals);
        underlay
    }

    /// The paths to one peer of a segment: one per uplink.
    fn add_paths(&mut self, segment: &Segment, number: u16) {
        let peer = &self.peers[usize::from(number)];
        let path = |uplink: &Uplink| Path {
            peer: number,
            network: segment.network,
            vni: segment.vni,
            egress: uplink.port,
            mtu: uplink.mtu,
            template: Template::of(&Outer {
                source: peer.vtep,
                destination: peer.address,
                mac: uplink.mac,
                vlan: uplink.vlan,
                encapsulation: segment.encapsulation,
                udp_port: segment.udp_port,
                vni: segment.vni,
                checksum: segment.checksum.unwrap_or(peer.address.is_ipv6()),
            }),
            gateway_mac: segment.gateway_mac,
            clamp_mss: segment.clamp_mss,
        };
        self.paths.extend(self.uplinks.iter().map(path));
    }

    /// The first path to a peer from a network.
    #[must_use]
    pub fn first_path(&self, network: NetworkId, peer: u16) -> Option<PathId> {
        self.firsts.get(&(network, peer)).copied()
    }

    /// A path.
    #[inline]
    #[must_use]
    pub fn path(&self, path: PathId) -> Option<&Path> {
        self.paths.get(path.index())
    }

    /// The peer of a path. A number out of these tables is always there.
    #[must_use]
    pub fn peer_of(&self, path: &Path) -> Option<&Peer> {
        self.peers.get(usize::from(path.peer))
    }

    /// The same peer and network by another uplink; `first` is the path by the first one.
    #[must_use]
    pub fn by_uplink(&self, first: PathId, uplink: u16) -> PathId {
        PathId(first.0 + uplink)
    }

    /// The uplink behind a port.
    #[must_use]
    pub fn uplink_at(&self, port: PortId) -> Option<&Uplink> {
        self.uplinks.iter().find(|uplink| uplink.port == port)
    }

    /// Whether this node has the address as a VTEP.
    #[must_use]
    pub fn is_vtep(&self, address: IpAddr) -> bool {
        self.vteps.iter().any(|vtep| vtep.address == address)
    }

    /// Whether some peer is reached by this neighbour behind an uplink's port.
    #[must_use]
    pub fn is_hop(&self, port: PortId, address: IpAddr) -> bool {
        let is_it = |hop: &Hop| {
            hop.address == address
                && self.uplinks.get(usize::from(hop.uplink)).is_some_and(|uplink| uplink.port == port)
        };
        self.peers.iter().any(|peer| peer.hops.iter().any(is_it))
    }

    /// The address to ask for IPv4 next hops from: one that is ours alone, if there is one. From an address the host has too the
    /// answers would be the host's.
    #[must_use]
    pub fn own_ipv4(&self) -> Option<Ipv4Addr> {
        self.vteps.iter().filter(|vtep| !vtep.shared).find_map(|vtep| match vtep.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }

    /// The IPv6 address that is ours alone, if there is one.
    #[must_use]
    pub fn own_ipv6(&self) -> Option<Ipv6Addr> {
        self.vteps.iter().filter(|vtep| !vtep.shared).find_map(|vtep| match vtep.address {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        })
    }

    /// The encapsulation that arrives at a UDP port.
    #[inline]
    #[must_use]
    pub fn service(&self, udp_port: u16) -> Option<Encapsulation> {
        self.services.iter().find(|(port, _)| *port == udp_port).map(|(_, encapsulation)| *encapsulation)
    }
}

/// The link-local address that the switch has on an uplink beside the kernel's: nobody else's, so that what is sent to it is ours.
///
/// The interface id is the MAC address around `50:64`, where the kernel's has `ff:fe` (RFC 4291, appendix A). Its last 24 bits
/// are the kernel's, and so is its solicited-node group (section 2.7.1): the NIC lets questions for it through already.
#[must_use]
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0x50, 0x64, d, e, f])
}

/// An underlay next hop, as a key of [`Shared::hops`](crate::stage::shared::Shared::hops).
#[must_use]
pub fn hop_key(uplink: PortId, address: IpAddr) -> [u64; 3] {
    let [family, high, low] = peer_key(address);
    [u64::from(uplink.0) | family << 16, high, low]
}

/// A peer, as a key of [`Shared::path_mtus`](crate::stage::shared::Shared::path_mtus).
#[must_use]
pub fn peer_key(address: IpAddr) -> [u64; 3] {
    let (family, bits) = match address {
        IpAddr::V4(v4) => (4, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (6, v6.to_bits()),
    };
    [family, (bits >> 64) as u64, bits as u64]
}
