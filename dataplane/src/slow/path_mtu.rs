//! News of the path: what a router of the underlay says of a tunnel packet that did not fit (RFC 1191, RFC 8201).
//!
//! Anyone can write such a message, and one that is believed slows a path down. So it must be whole, its checksums right,
//! it must come to the address that the quoted packet came from, and it must say less than that packet's length, which is
//! what did not fit (RFC 5927, section 7.2). Whether the quoted addresses and port are those of a tunnel is the caller's
//! to look at.

use core::net::IpAddr;

use podlane_wire::{
    Icmpv4, Icmpv4Type, Icmpv6, Icmpv6Type, IpProtocol, Ipv4, Ipv6, Network, Packet, Transport, checksum,
    icmpv4::unreachable,
};

/// A tunnel packet of ours did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBigNews {
    /// Where it came from.
    pub ours: IpAddr,
    /// Where it was sent.
    pub peer: IpAddr,
    /// Its UDP destination port.
    pub udp_port: u16,
    /// The longest packet that fits, in bytes from the outer IP header on.
    pub mtu: u16,
}

/// The shortest MTU of an IPv4 link (RFC 791, section 3.2), below which no estimate may go (RFC 1191, section 3).
const IPV4_LEAST: u16 = 68;
/// The shortest MTU of an IPv6 link. A message that says less is discarded: RFC 8201, section 4 demands it, since RFC
/// 8200 no longer has a sender add fragment headers for such a link.
const IPV6_LEAST: u16 = 1280;

/// MTUs that links have, for routers older than RFC 1191, which say zero (its section 7.1).
const PLATEAUS: [u16; 10] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, IPV4_LEAST];

/// Reads "fragmentation needed" or "packet too big" about a UDP packet out of an untagged frame.
///
/// `None` is everything else: other packets, messages that are cut off or whose checksum is wrong, quotations that end
/// before the UDP ports, and MTUs below the protocol's least or not below the quoted packet's length.
#[must_use]
pub fn too_big_news(frame: &[u8]) -> Option<TooBigNews> {
    let packet = Packet::parse(frame).ok()?;
    if packet.tags.count() != 0 || packet.is_fragment() {
        return None;
    }
    let message = frame.get(packet.transport_at..packet.payload.end)?;
    let quoted = frame.get(packet.payload.clone())?;
    match (packet.network, packet.transport) {
        (Network::Ipv4(ipv4), Transport::Icmpv4(icmp)) => {
            ipv4.verify_checksum().ok()?;
            checksum::verify_icmpv4(message).ok()?;
            fragmentation_needed(icmp, quoted).filter(|news| news.ours == ipv4.destination())
        }
        (Network::Ipv6(ipv6, _), Transport::Icmpv6(icmp)) => {
            let pseudo = ipv6.pseudo(IpProtocol::ICMPV6, message.len() as u32);
            checksum::verify_icmpv6(pseudo, message).ok()?;
            packet_too_big(icmp, quoted).filter(|news| news.ours == ipv6.destination())
        }
        _ => None,
    }
}

fn fragmentation_needed(icmp: Icmpv4<'_>, quoted: &[u8]) -> Option<TooBigNews> {
    if (icmp.kind(), icmp.code()) != (Icmpv4Type::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED) {
        return None;
    }
    let (sent, rest) = Ipv4::parse_quoted(quoted).ok()?;
    if sent.protocol() != IpProtocol::UDP || sent.is_fragment() {
        return None;
    }
    let length = sent.total_len();
    let mtu = match icmp.next_hop_mtu() {
        0 => PLATEAUS.into_iter().find(|&plateau| plateau < length)?,
        mtu => mtu,
    };
    let udp_port = destination_port(rest)?;
    let news = TooBigNews { ours: sent.source().into(), peer: sent.destination().into(), udp_port, mtu };
    (IPV4_LEAST..length).contains(&mtu).then_some(news)
}

/// The code is not looked at (RFC 4443, section 3.2). Extension headers are none of ours.
fn packet_too_big(icmp: Icmpv6<'_>, quoted: &[u8]) -> Option<TooBigNews> {
    if icmp.kind() != Icmpv6Type::PACKET_TOO_BIG {
        return None;
    }
    let (sent, rest) = Ipv6::parse_quoted(quoted).ok()?;
    if sent.next_header() != IpProtocol::UDP {
        return None;
    }
    let length = u32::from(sent.payload_len()) + Ipv6::LEN as u32;
    let mtu = u16::try_from(icmp.next_hop_mtu()).ok()?;
    let udp_port = destination_port(rest)?;
    let news = TooBigNews { ours: sent.source().into(), peer: sent.destination().into(), udp_port, mtu };
    (mtu >= IPV6_LEAST && u32::from(mtu) < length).then_some(news)
}

fn destination_port(udp: &[u8]) -> Option<u16> {
    let &[_, _, high, low] = udp.first_chunk::<4>()?;
    Some(u16::from_be_bytes([high, low]))
}
