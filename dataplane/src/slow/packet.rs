//! Reading and writing the layers below the messages: Ethernet, IPv4, IPv6.
//!
//! Reading refuses what the layers above must never see; writing refuses what does not fit, and clears the space of the
//! message, so that nothing of the buffer's former content is sent.

use core::net::{Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet,
        Ipv6Repr,
    },
};

use super::{Gateway, Quiet};

/// A received frame, its source a station.
pub(super) type Frame<'a> = EthernetFrame<&'a [u8]>;

pub(super) const ETHERNET_HEADER: usize = 14;
pub(super) const IPV4_HEADER: usize = 20;
pub(super) const IPV6_HEADER: usize = 40;

/// The hop limit of what is not neighbour discovery (RFC 1700's default time to live).
pub(super) const HOPS: u8 = 64;

pub(super) fn ethernet(address: MacAddr) -> EthernetAddress {
    EthernetAddress(address.octets())
}

pub(super) fn frame(bytes: &[u8]) -> Result<Frame<'_>, Quiet> {
    let frame = EthernetFrame::new_checked(bytes).map_err(|_| Quiet::Malformed)?;
    if frame.src_addr().is_unicast() { Ok(frame) } else { Err(Quiet::BadSource) }
}

pub(super) fn ipv4(bytes: &[u8]) -> Result<Ipv4Packet<&[u8]>, Quiet> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Quiet::Malformed)?;
    if packet.version() != 4 || usize::from(packet.header_len()) < IPV4_HEADER {
        return Err(Quiet::Malformed);
    }
    if packet.verify_checksum() { Ok(packet) } else { Err(Quiet::Checksum) }
}

pub(super) fn ipv6(bytes: &[u8]) -> Result<Ipv6Packet<&[u8]>, Quiet> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Quiet::Malformed)?;
    if packet.version() == 6 { Ok(packet) } else { Err(Quiet::Malformed) }
}

/// The IPv4 header of an offender, and what there is of the packet. A jumbo packet lies in several slots of packet
/// memory, of which the first is all that a quotation needs, so its end may be missing.
pub(super) fn ipv4_begun(bytes: &[u8]) -> Result<(Ipv4Packet<&[u8]>, &[u8]), Quiet> {
    if bytes.len() < IPV4_HEADER {
        return Err(Quiet::Malformed);
    }
    let packet = Ipv4Packet::new_unchecked(bytes);
    let (header, total) = (usize::from(packet.header_len()), usize::from(packet.total_len()));
    let there_is = total.min(bytes.len());
    if packet.version() != 4 || header < IPV4_HEADER || there_is < header {
        return Err(Quiet::Malformed);
    }
    if packet.verify_checksum() { Ok((packet, &bytes[..there_is])) } else { Err(Quiet::Checksum) }
}

/// As [`ipv4_begun`], for IPv6.
pub(super) fn ipv6_begun(bytes: &[u8]) -> Result<(Ipv6Packet<&[u8]>, &[u8]), Quiet> {
    if bytes.len() < IPV6_HEADER {
        return Err(Quiet::Malformed);
    }
    let packet = Ipv6Packet::new_unchecked(bytes);
    let there_is = packet.total_len().min(bytes.len());
    if packet.version() == 6 { Ok((packet, &bytes[..there_is])) } else { Err(Quiet::Malformed) }
}

/// A frame of the gateway's in the caller's buffer.
pub(super) struct Draft<'a, 'o> {
    pub(super) gateway: &'a Gateway<'a>,
    pub(super) to: EthernetAddress,
    pub(super) out: &'o mut [u8],
}

impl<'o> Draft<'_, 'o> {
    /// Writes the Ethernet header and gives the `len` bytes after it, cleared, and the length of the frame.
    pub(super) fn ethernet(self, ethertype: EthernetProtocol, len: usize) -> Result<(&'o mut [u8], usize), Quiet> {
        let total = ETHERNET_HEADER + len;
        let out = self.out.get_mut(..total).ok_or(Quiet::NoRoom)?;
        let header = EthernetRepr { src_addr: ethernet(self.gateway.mac), dst_addr: self.to, ethertype };
        header.emit(&mut EthernetFrame::new_unchecked(&mut *out));
        let body = &mut out[ETHERNET_HEADER..];
        body.fill(0);
        Ok((body, total))
    }

    /// As [`Draft::ethernet`], with the header of an ICMP packet that has `tos` as its type of service.
    pub(super) fn icmpv4(
        self,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        tos: u8,
        len: usize,
    ) -> Result<(&'o mut [u8], usize), Quiet> {
        self.fits(IPV4_HEADER + len)?;
        let (body, total) = self.ethernet(EthernetProtocol::Ipv4, IPV4_HEADER + len)?;
        let header = Ipv4Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmp,
            payload_len: len,
            hop_limit: HOPS,
        };
        let mut packet = Ipv4Packet::new_unchecked(&mut *body);
        header.emit(&mut packet, &ChecksumCapabilities::ignored());
        packet.set_dscp(tos >> 2);
        packet.set_ecn(tos & 3);
        packet.fill_checksum();
        Ok((&mut body[IPV4_HEADER..], total))
    }

    /// As [`Draft::ethernet`], with the header of an ICMPv6 packet.
    pub(super) fn icmpv6(
        self,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        hop_limit: u8,
        len: usize,
    ) -> Result<(&'o mut [u8], usize), Quiet> {
        self.fits(IPV6_HEADER + len)?;
        let (body, total) = self.ethernet(EthernetProtocol::Ipv6, IPV6_HEADER + len)?;
        let header = Ipv6Repr {
            src_addr: source,
            dst_addr: destination,
            next_header: IpProtocol::Icmpv6,
            payload_len: len,
            hop_limit,
        };
        header.emit(&mut Ipv6Packet::new_unchecked(&mut *body));
        Ok((&mut body[IPV6_HEADER..], total))
    }

    fn fits(&self, len: usize) -> Result<(), Quiet> {
        if len <= usize::from(self.gateway.mtu) { Ok(()) } else { Err(Quiet::NoRoom) }
    }
}
