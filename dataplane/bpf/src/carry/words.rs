//! What is said to the programs: keys, orders and seats, and how they lie in the maps.
//!
//! The same as `tc/flow.h`, byte by byte and in the host's order of bytes. Maps hold arrays of bytes here, because a structure that
//! may be one needs `unsafe` to say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use super::CarryError;

/// VXLAN network identifiers are of 24 bits (RFC 7348, section 5).
pub const MAX_VNI: u32 = (1 << 24) - 1;

pub(super) const KEY_BYTES: usize = 56;
pub(super) const FLOW_BYTES: usize = 144;
pub(super) const TARGET_BYTES: usize = 36;
pub(super) const ORIGIN_KEY_BYTES: usize = 20;
pub(super) const ORIGIN_BYTES: usize = 8;

pub(super) type KeyBytes = [u8; KEY_BYTES];
pub(super) type FlowBytes = [u8; FLOW_BYTES];
pub(super) type TargetBytes = [u8; TARGET_BYTES];
pub(super) type OriginKeyBytes = [u8; ORIGIN_KEY_BYTES];
pub(super) type OriginBytes = [u8; ORIGIN_BYTES];

const FROM_TUNNEL: u32 = 1 << 31;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const REWRITE: u8 = 1;
const HOP: u8 = 2;

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// In by a device, by its index: the host end of a pod's link.
    Device(u32),
    /// Out of a tunnel.
    Tunnel {
        /// The network.
        vni: u32,
        /// Who sent it: the outer source address.
        peer: IpAddr,
    },
}

/// Which packets are a flow: every field that a verdict may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where they come from. The peer of a tunnel is compared as well, but two flows cannot differ in it alone.
    pub from: Origin,
    /// Destination MAC address.
    pub destination_mac: [u8; 6],
    /// Source MAC address.
    pub source_mac: [u8; 6],
    /// Source IP address.
    pub source: IpAddr,
    /// Destination IP address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port as on the wire; of ICMP its type, its code, and two zeros.
    pub ports: [u8; 4],
}

/// MAC addresses that are written over those of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The new destination.
    pub destination_mac: [u8; 6],
    /// The new source.
    pub source_mac: [u8; 6],
    /// Whether this is a router's hop, so that the packet has one less to live.
    pub hop: bool,
}

/// What is done to the packets of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Where they go.
    pub target: Target,
    /// Bytes of the longest IP packet that may go there. Longer ones go to a worker, which answers or fragments.
    pub mtu: u16,
    /// What is rewritten.
    pub rewrite: Option<Rewrite>,
    /// What allows it, beside the generation; `None` where nothing more has to.
    pub permit: Option<Permit>,
}

/// A place in the memory of permits ([`Carrier::permits`](super::Carrier::permits)), and what has to stand there for a packet to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Which of the permits.
    pub entry: u32,
    /// Its first word.
    pub stamp: NonZeroU32,
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into a pod, by the index of its host end. The pod's end has to be in another network namespace, or the kernel drops the
    /// packets.
    Pod {
        /// The host end's index.
        ifindex: u32,
        /// The MAC address of the pod's end.
        mac: [u8; 6],
    },
    /// To the host's own stack, as if come in by this device; by the device they came in by, if it is the same.
    Host {
        /// The device's index.
        ifindex: u32,
    },
    /// To another node.
    Remote {
        /// The index of the `vxlan` device, in external mode.
        ifindex: u32,
        /// The network.
        vni: u32,
        /// The other node's tunnel endpoint.
        peer: IpAddr,
    },
}

/// What a number on the trunk stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// What comes from here has the number on its way to the worker ...
    pub origin: Origin,
    /// ... over this trunk, by the index of its near end ...
    pub trunk: u32,
    /// ... and what a worker sends with the number goes there.
    pub target: Target,
}

impl Key {
    pub(super) fn bytes(&self) -> Result<KeyBytes, CarryError> {
        let (ethertype, source, destination) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (TYPE_IPV4, padded(source), padded(destination)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => (TYPE_IPV6, source.octets(), destination.octets()),
            _ => return Err(CarryError::Families { from: self.source, to: self.destination }),
        };
        let mut words = Words::new();
        words.put(self.from.word().to_ne_bytes());
        words.put(self.ports);
        words.put(self.destination_mac);
        words.put(self.source_mac);
        words.put(ethertype);
        words.put([self.protocol, 0]);
        words.put(source);
        words.put(destination);
        Ok(words.done())
    }

    /// The other way round; the peer stands in the order.
    fn read(bytes: &mut Read<'_>) -> Self {
        let from = bytes.word();
        let ports = bytes.take();
        let (destination_mac, source_mac, ethertype) = (bytes.take(), bytes.take(), bytes.take::<2>());
        let [protocol, _] = bytes.take();
        let address = |octets: [u8; 16]| match (ethertype, octets) {
            (TYPE_IPV4, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            _ => IpAddr::from(octets),
        };
        let (source, destination) = (address(bytes.take()), address(bytes.take()));
        let from = if from & FROM_TUNNEL == 0 {
            Origin::Device(from)
        } else {
            Origin::Tunnel { vni: from & MAX_VNI, peer: Ipv4Addr::UNSPECIFIED.into() }
        };
        Self { from, destination_mac, source_mac, source, destination, protocol, ports }
    }
}

impl Origin {
    fn word(&self) -> u32 {
        match self {
            Self::Device(ifindex) => *ifindex,
            Self::Tunnel { vni, .. } => FROM_TUNNEL | vni,
        }
    }

    fn peer(&self) -> [u8; 16] {
        match self {
            Self::Device(_) => [0; 16],
            Self::Tunnel { peer, .. } => peer_bytes(*peer),
        }
    }

    fn check(&self) -> Result<(), CarryError> {
        match self {
            Self::Tunnel { vni, .. } if *vni > MAX_VNI => Err(CarryError::Vni { vni: *vni }),
            _ => Ok(()),
        }
    }

    pub(super) fn key(&self) -> OriginKeyBytes {
        let mut words = Words::new();
        words.put(self.word().to_ne_bytes());
        words.put(self.peer());
        words.done()
    }

    pub(super) fn of_key(key: &OriginKeyBytes) -> Self {
        let mut bytes = Read(key);
        match (bytes.word(), bytes.take()) {
            (from, peer) if from & FROM_TUNNEL != 0 => Self::Tunnel { vni: from & MAX_VNI, peer: peer_of(peer) },
            (ifindex, _) => Self::Device(ifindex),
        }
    }
}

impl Order {
    /// Whether it can be carried out on the packets of `key`.
    pub(super) fn check(&self, key: &Key) -> Result<(), CarryError> {
        key.from.check()?;
        self.target.check()?;
        let arrives = self.rewrite.map_or(key.destination_mac, |rewrite| rewrite.destination_mac);
        match self.target {
            // The pod's stack would take it for its own, whatever address is on it.
            Target::Pod { mac, .. } if mac != arrives => Err(CarryError::NotTheirs { mac, arrives }),
            _ => Ok(()),
        }
    }
}

impl Target {
    fn check(&self) -> Result<(), CarryError> {
        match self {
            Self::Remote { vni, .. } if *vni > MAX_VNI => Err(CarryError::Vni { vni: *vni }),
            _ => Ok(()),
        }
    }

    pub(super) fn bytes(&self) -> TargetBytes {
        let (kind, ifindex, vni, mac, peer) = match *self {
            Self::Pod { ifindex, mac } => (1_u32, ifindex, 0, mac, [0; 16]),
            Self::Host { ifindex } => (2, ifindex, 0, [0; 6], [0; 16]),
            Self::Remote { ifindex, vni, peer } => {
                (if peer.is_ipv4() { 3 } else { 4 }, ifindex, vni, [0; 6], peer_bytes(peer))
            }
        };
        let mut words = Words::new();
        words.put(kind.to_ne_bytes());
        words.put(ifindex.to_ne_bytes());
        words.put(vni.to_ne_bytes());
        words.put(mac);
        words.put([0; 2]);
        words.put(peer);
        words.done()
    }

    /// `None` of a place that nobody has.
    pub(super) fn of_bytes(bytes: &TargetBytes) -> Option<Self> {
        Self::read(&mut Read(bytes))
    }

    fn read(bytes: &mut Read<'_>) -> Option<Self> {
        let (kind, ifindex, vni) = (bytes.word(), bytes.word(), bytes.word());
        let (mac, _, peer) = (bytes.take(), bytes.take::<2>(), bytes.take());
        match kind {
            1 => Some(Self::Pod { ifindex, mac }),
            2 => Some(Self::Host { ifindex }),
            3 => Some(Self::Remote { ifindex, vni, peer: peer_of(peer) }),
            4 => Some(Self::Remote { ifindex, vni, peer: IpAddr::from(peer) }),
            _ => None,
        }
    }
}

impl Seat {
    pub(super) fn check(&self) -> Result<(), CarryError> {
        self.origin.check()?;
        self.target.check()
    }
}

/// A flow's entry: its key once more, and its order.
pub(super) fn flow_bytes(bytes: &KeyBytes, key: &Key, order: &Order, (generation, slot): (u64, u32)) -> FlowBytes {
    let rewrite = order.rewrite;
    let edits = rewrite.map_or(0, |rewrite| REWRITE | if rewrite.hop { HOP } else { 0 });
    let mut words = Words::new();
    words.put(*bytes);
    words.put(generation.to_ne_bytes());
    words.put(slot.to_ne_bytes());
    words.put(order.mtu.to_ne_bytes());
    words.put([edits, 0]);
    words.put(rewrite.map_or([0; 6], |rewrite| rewrite.destination_mac));
    words.put(rewrite.map_or([0; 6], |rewrite| rewrite.source_mac));
    words.put(key.from.peer());
    words.put(order.target.bytes());
    words.put(order.permit.map_or([0; 4], |permit| permit.entry.to_ne_bytes()));
    words.put(order.permit.map_or([0; 4], |permit| permit.stamp.get().to_ne_bytes()));
    words.done()
}

/// The other way round, with generation and slot; `None` of an order that no Podlane wrote.
pub(super) fn read_flow(bytes: &FlowBytes) -> Option<(Key, Order, u64, u32)> {
    let mut bytes = Read(bytes);
    let mut key = Key::read(&mut bytes);
    let generation = u64::from_ne_bytes(bytes.take());
    let slot = bytes.word();
    let mtu = u16::from_ne_bytes(bytes.take());
    let [edits, _] = bytes.take();
    let (destination_mac, source_mac, sent_by) = (bytes.take(), bytes.take(), bytes.take());
    if let Origin::Tunnel { peer, .. } = &mut key.from {
        *peer = peer_of(sent_by);
    }
    let rewrite = Rewrite { destination_mac, source_mac, hop: edits & HOP != 0 };
    let target = Target::read(&mut bytes)?;
    let (entry, stamp) = (bytes.word(), bytes.word());
    let permit = NonZeroU32::new(stamp).map(|stamp| Permit { entry, stamp });
    let rewrite = (edits & REWRITE != 0).then_some(rewrite);
    Some((key, Order { target, mtu, rewrite, permit }, generation, slot))
}

fn padded(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address.octets());
    bytes
}

/// As the kernel tells and takes tunnel endpoints: IPv4 as a number of the host's, IPv6 as on the wire.
fn peer_bytes(peer: IpAddr) -> [u8; 16] {
    match peer {
        IpAddr::V4(peer) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&peer.to_bits().to_ne_bytes());
            bytes
        }
        IpAddr::V6(peer) => peer.octets(),
    }
}

/// An IPv6 endpoint has more than its first four bytes: those whose others are zero are not given to anybody (RFC 4291, section 2.4).
fn peer_of(bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, rest @ ..] = bytes;
    if rest == [0; 12] {
        Ipv4Addr::from_bits(u32::from_ne_bytes([a, b, c, d])).into()
    } else {
        Ipv6Addr::from(bytes).into()
    }
}

/// Bytes that are written one field after the other.
struct Words<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Words<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    fn put<const M: usize>(&mut self, field: [u8; M]) {
        self.bytes[self.at..self.at + M].copy_from_slice(&field);
        self.at += M;
    }

    fn done(self) -> [u8; N] {
        debug_assert_eq!(self.at, N, "the fields are as long as the structure");
        self.bytes
    }
}

/// Bytes that are read so; what is missing at the end reads as zero.
struct Read<'a>(&'a [u8]);

impl Read<'_> {
    fn take<const M: usize>(&mut self) -> [u8; M] {
        let (field, rest) = self.0.split_first_chunk().map_or(([0; M], &[][..]), |(field, rest)| (*field, rest));
        self.0 = rest;
        field
    }

    fn word(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }
}
