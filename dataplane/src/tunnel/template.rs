//! The outer headers of one path, built once and pushed in front of every packet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_rings::{Frame, Umem};
use podlane_wire::{IpProtocol, MacAddr, checksum};

use super::{Encapsulation, HEADER};
use crate::headers::{
    DONT_FRAGMENT, ETHERNET, IPV4, IPV6, TYPE_IPV4, TYPE_IPV6, TYPE_VLAN, UDP_HEADER as UDP, VLAN_TAG,
};
use crate::{drops::DropReason, ids::Vni};

/// Room for the longest outer headers there are: IPv6, with a VLAN tag.
const ROOM: usize = ETHERNET + VLAN_TAG + IPV6 + UDP + HEADER;

// Where things stand: a template ends where the room ends, so that all of this is constant.
const UDP_AT: usize = ROOM - HEADER - UDP;
const IPV4_AT: usize = UDP_AT - IPV4;
const IPV6_AT: usize = UDP_AT - IPV6;

const HOPS: u8 = 64;

/// The source ports a flow's hash is spread over: the dynamic range (RFC 7348, 5; RFC 6335).
const DYNAMIC: u16 = 0xc000;

/// What a template is made of.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// This node's address.
    pub source: IpAddr,
    /// The peer's, of the same family.
    pub destination: IpAddr,
    /// The uplink's MAC address.
    pub mac: MacAddr,
    /// The VLAN the underlay is in.
    pub vlan: Option<u16>,
    /// The encapsulation.
    pub encapsulation: Encapsulation,
    /// The UDP port it is sent to.
    pub udp_port: u16,
    /// What the network is called on the wire.
    pub vni: Vni,
    /// Whether the outer UDP checksum is computed. Zero is allowed over IPv4 (RFC 768), and for a tunnel over IPv6 where
    /// both ends agree (RFC 6935, RFC 6936).
    pub checksum: bool,
}

/// Prebuilt outer headers.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: [u8; ROOM],
    /// How many of the bytes count, at the end.
    length: u8,
    is_ipv6: bool,
    checksum: bool,
    /// IPv4: the header's sum without what is patched. IPv6: the sum of the pseudo-header without the length.
    sum: u64,
}

/// What is patched for one packet, beside the lengths.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// The next hop.
    pub next_hop: MacAddr,
    /// The flow's hash, of which the source port is made.
    pub entropy: u64,
    /// The congestion bits of the inner packet (RFC 6040, 4.1).
    pub ecn: u8,
}

impl Template {
    /// The outer headers of a path.
    ///
    /// # Panics
    /// If the addresses are of two families: a mistake of the caller.
    #[must_use]
    pub fn of(outer: &Outer) -> Self {
        let mut bytes = [0; ROOM];
        bytes[ROOM - HEADER..].copy_from_slice(&outer.encapsulation.header(outer.vni));
        bytes[UDP_AT + 2..UDP_AT + 4].copy_from_slice(&outer.udp_port.to_be_bytes());
        let (ip_at, ethertype, sum) = match (outer.source, outer.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (IPV4_AT, TYPE_IPV4, ipv4(&mut bytes, source, destination))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (IPV6_AT, TYPE_IPV6, ipv6(&mut bytes, source, destination))
            }
            _ => panic!("a tunnel's ends are of one address family"),
        };
        bytes[ip_at - 2..ip_at].copy_from_slice(&ethertype.to_be_bytes());
        let mut start = ip_at - ETHERNET;
        if let Some(vlan) = outer.vlan {
            start -= VLAN_TAG;
            bytes[ip_at - 6..ip_at - 4].copy_from_slice(&TYPE_VLAN.to_be_bytes());
            bytes[ip_at - 4..ip_at - 2].copy_from_slice(&vlan.to_be_bytes());
        }
        bytes[start + 6..start + 12].copy_from_slice(&outer.mac.0);
        let length = (ROOM - start) as u8;
        Self { bytes, length, is_ipv6: ip_at == IPV6_AT, checksum: outer.checksum, sum }
    }

    /// How many bytes of the outer IP packet are not the inner frame.
    #[must_use]
    pub const fn overhead(&self) -> u16 {
        (if self.is_ipv6 { IPV6 } else { IPV4 } + UDP + HEADER) as u16
    }

    /// How many bytes are pushed.
    #[inline]
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Puts the outer headers in front of a packet of `length` bytes. `offload`: the leaving port can finish a checksum.
    ///
    /// # Errors
    /// No headroom: the packet is as it was.
    pub fn push(
        &self,
        frame: &mut Frame,
        length: usize,
        patch: Patch,
        (umem, offload): (&Umem, bool),
    ) -> Result<(), DropReason> {
        if self.checksum && frame.wants_checksum() {
            // The outer checksum covers the inner one.
            umem.finish_checksum(frame);
        }
        if !self.put(frame, length, patch) {
            return Err(DropReason::NoHeadroom);
        }
        if self.checksum {
            self.finish(frame, (length + HEADER + UDP) as u16, umem, offload);
        }
        Ok(())
    }

    /// The same for a template without an outer checksum. Returns whether it is done.
    #[inline]
    pub fn push_plain(&self, frame: &mut Frame, length: usize, patch: Patch) -> bool {
        !self.checksum && self.put(frame, length, patch)
    }

    #[inline]
    fn put(&self, frame: &mut Frame, length: usize, patch: Patch) -> bool {
        // The whole room is copied whatever the template's length, so that the copy is a few wide moves; what it covers in
        // front of the template is headroom.
        let Some(room) = frame.push_front(ROOM).ok().and_then(|room| room.first_chunk_mut::<ROOM>()) else {
            return false;
        };
        *room = self.bytes;
        let segment = (length + HEADER + UDP) as u16;
        if self.is_ipv6 {
            room[IPV6_AT + 1] = patch.ecn << 4;
            room[IPV6_AT + 4..IPV6_AT + 6].copy_from_slice(&segment.to_be_bytes());
        } else {
            let total = segment + IPV4 as u16;
            let sum = self.sum + u64::from(total) + u64::from(patch.ecn);
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = (sum & 0xffff) + (sum >> 16);
            room[IPV4_AT + 1] = patch.ecn;
            room[IPV4_AT + 2..IPV4_AT + 4].copy_from_slice(&total.to_be_bytes());
            room[IPV4_AT + 10..IPV4_AT + 12].copy_from_slice(&(!sum as u16).to_be_bytes());
        }
        let port = DYNAMIC | (patch.entropy >> 40) as u16;
        room[UDP_AT..UDP_AT + 2].copy_from_slice(&port.to_be_bytes());
        room[UDP_AT + 4..UDP_AT + 6].copy_from_slice(&segment.to_be_bytes());
        let skipped = ROOM - usize::from(self.length);
        // The length is that of a template with or without a tag, so the destination address stands within the room.
        if let Some(destination) = room.get_mut(skipped..skipped + 6) {
            destination.copy_from_slice(&patch.next_hop.0);
        }
        // More than is taken off has just been put on.
        frame.pop_front(skipped).is_ok()
    }

    /// Computes the outer UDP checksum, or has it computed.
    #[inline(never)]
    fn finish(&self, frame: &mut Frame, segment: u16, umem: &Umem, offload: bool) {
        const FIELD: u16 = 6;
        let at = usize::from(self.length) - HEADER - UDP;
        let pseudo = checksum::Sum::from_raw(self.pseudo()).plus(checksum::Sum::of_word(segment)).fold();
        frame.bytes_mut()[at + usize::from(FIELD)..at + usize::from(FIELD) + 2].copy_from_slice(&pseudo.to_be_bytes());
        // The field is within the template, which is within the first segment.
        if frame.request_checksum(at as u16, FIELD).is_ok() && !offload {
            umem.finish_checksum(frame);
        }
    }

    /// The sum of the pseudo-header without the length.
    fn pseudo(&self) -> u64 {
        if self.is_ipv6 {
            return self.sum;
        }
        let address = |at: usize| self.bytes[at..at + 4].first_chunk::<4>().map_or([0; 4], |address| *address);
        let (source, destination) = (address(IPV4_AT + 12), address(IPV4_AT + 16));
        checksum::pseudo_v4(source.into(), destination.into(), IpProtocol::UDP, 0).to_raw()
    }
}

fn ipv4(bytes: &mut [u8; ROOM], source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    let header = &mut bytes[IPV4_AT..UDP_AT];
    header[0] = 0x45;
    header[6..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
    header[8] = HOPS;
    header[9] = IpProtocol::UDP.0;
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    checksum::sum(header).fold().into()
}

fn ipv6(bytes: &mut [u8; ROOM], source: Ipv6Addr, destination: Ipv6Addr) -> u64 {
    let header = &mut bytes[IPV6_AT..UDP_AT];
    header[0] = 0x60;
    header[6] = IpProtocol::UDP.0;
    header[7] = HOPS;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&destination.octets());
    checksum::pseudo_v6(source, destination, IpProtocol::UDP, 0).to_raw()
}
