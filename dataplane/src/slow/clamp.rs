//! The clamp of TCP's maximum segment size: both ends learn from the handshake what fits the tunnel, also where an ICMP
//! error would not reach them (RFC 2923, section 2.3).
//!
//! It is asked about every packet of a tunnel that has it on, and nearly none is a SYN: that is found out in four loads at
//! the call, and all else is behind a call of its own.

use core::ops::Range;

use podlane_wire::{
    EtherType, Ethernet, IpProtocol, Ipv6, Network, Packet, Sum, TcpFlags, TcpHeader, Transport, checksum,
    tcp::clamp_maximum_segment_size,
};

/// Length of an IPv4 or IPv6 header and a TCP header, options counted in neither (RFC 6691, section 2).
const IPV4_AND_TCP: u16 = 40;
const IPV6_AND_TCP: u16 = 60;

/// Lowers the maximum segment size that a SYN announces to what fits `mtu`, in bytes from the inner IP header on, and
/// returns whether it did.
///
/// The frame is untagged and begins with its Ethernet header. The checksum follows by RFC 1624; one that the kernel left
/// unfinished does not depend on the options and stays as it is. So ask before a checksum is finished, or handed to a
/// device to finish. A SYN that announces nothing is left alone, and so is whatever is not sound: fragments, and headers
/// or options that are cut off.
#[inline]
pub fn clamp_mss(frame: &mut [u8], mtu: u16) -> bool {
    may_be_syn(frame) && clamp(frame, mtu)
}

/// Where the TCP flags stand in their header.
const FLAGS_AT: usize = 13;

/// Whether this is a SYN, or hides behind extension headers what it is.
#[inline]
fn may_be_syn(frame: &[u8]) -> bool {
    const IPV4: [u8; 2] = EtherType::IPV4.0.to_be_bytes();
    const IPV6: [u8; 2] = EtherType::IPV6.0.to_be_bytes();
    // No shorter frame holds TCP over IP.
    let Some(head) = frame.first_chunk::<54>() else { return false };
    let network_len = match [head[12], head[13]] {
        IPV4 if IpProtocol(head[23]) == IpProtocol::TCP => usize::from(head[14] & 0x0f) * 4,
        IPV6 if IpProtocol(head[20]) == IpProtocol::TCP => Ipv6::LEN,
        IPV6 => return IpProtocol(head[20]).is_extension(),
        _ => return false,
    };
    frame.get(Ethernet::LEN + network_len + FLAGS_AT).is_some_and(|&flags| TcpFlags(flags).contains(TcpFlags::SYN))
}

#[cold]
#[inline(never)]
fn clamp(frame: &mut [u8], mtu: u16) -> bool {
    let Some((at, most, pseudo)) = segment(frame, mtu) else { return false };
    let Some(segment) = frame.get_mut(at) else { return false };
    const CHECKSUM: Range<usize> = TcpHeader::CHECKSUM_AT..TcpHeader::CHECKSUM_AT + 2;
    let Some(&[high, low]) = segment.get(CHECKSUM).and_then(|field| field.first_chunk()) else { return false };
    // One SYN in 65,536 has a finished checksum that looks unfinished. It is right as it is, and must be so afterwards.
    let unfinished = checksum::is_unfinished(u16::from_be_bytes([high, low]), pseudo)
        && checksum::verify_tcp(pseudo, segment).is_err();
    // A segment that is not sound is an error only for who must read it.
    let changed = clamp_maximum_segment_size(segment, most) == Ok(true);
    if changed && unfinished {
        segment[CHECKSUM].copy_from_slice(&[high, low]);
    }
    changed
}

/// Where the TCP segment lies, the largest segment size that fits `mtu`, and the pseudo-header's sum.
fn segment(frame: &[u8], mtu: u16) -> Option<(Range<usize>, u16, Sum)> {
    let packet = Packet::parse(frame).ok()?;
    let Transport::Tcp(_) = packet.transport else { return None };
    if packet.tags.count() != 0 || packet.is_fragment() {
        return None;
    }
    let at = packet.transport_at..packet.payload.end;
    let (headers, pseudo) = match packet.network {
        Network::Ipv4(ipv4) => (IPV4_AND_TCP, ipv4.pseudo(at.len() as u16)),
        Network::Ipv6(ipv6, _) => (IPV6_AND_TCP, ipv6.pseudo(IpProtocol::TCP, at.len() as u32)),
        Network::Arp(_) | Network::Other => return None,
    };
    // An MTU without room for data is nothing to tell anyone.
    let most = mtu.checked_sub(headers).filter(|&most| most > 0)?;
    Some((at, most, pseudo))
}
