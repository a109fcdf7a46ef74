//! ICMP errors: telling a sender what became of its packet (RFC 792, RFC 1191, RFC 1812, RFC 4443).
//!
//! The quotation is the offender byte by byte, since that is what the sender finds its connection by. Type, code and
//! the word after the checksum are written as numbers from one table for both families: smoltcp's representations would
//! quote a header it has parsed and written anew.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol};

use super::{
    Gateway, Quiet, Reply,
    limit::Kind,
    packet::{self, Draft, Frame, HOPS, IPV4_HEADER, IPV6_HEADER},
};

/// Type, code, checksum and one word.
const ICMP_HEADER: usize = 8;
const WORD: core::ops::Range<usize> = 4..8;

/// The longest errors, from the IP header on: RFC 1812, section 4.3.2.3, and the minimum MTU of IPv6 (RFC 4443, section 2.4 (c)).
const IPV4_LONGEST: usize = 576;
const IPV6_LONGEST: usize = 1280;

/// Internetwork control precedence (RFC 1812, section 4.3.2.5).
const CONTROL: u8 = 6 << 5;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Its time to live or hop limit ran out here.
    TimeExceeded,
    /// There is no route to its destination.
    NoRoute,
    /// The next hop did not answer for its address.
    HostUnreachable,
    /// Nothing listens at its UDP port of the gateway.
    PortUnreachable,
    /// A policy forbids it.
    AdminProhibited,
    /// It does not fit the way on and must not be fragmented. In IPv4 that is so only with the "don't fragment" flag;
    /// whether it is set is the caller's to look at.
    TooBig {
        /// The longest packet that fits, in bytes from the IP header on.
        mtu: u16,
    },
}

impl Problem {
    /// Which token bucket pays for saying so.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::TimeExceeded => Kind::TimeExceeded,
            Self::TooBig { .. } => Kind::TooBig,
            Self::NoRoute | Self::HostUnreachable | Self::PortUnreachable | Self::AdminProhibited => Kind::Unreachable,
        }
    }

    /// Type and code in ICMP (RFC 792; RFC 1812, section 5.2.7.1).
    const fn v4(self) -> [u8; 2] {
        match self {
            Self::TimeExceeded => [11, 0],
            Self::NoRoute => [3, 0],
            Self::HostUnreachable => [3, 1],
            Self::PortUnreachable => [3, 3],
            Self::AdminProhibited => [3, 13],
            Self::TooBig { .. } => [3, 4],
        }
    }

    /// Type and code in ICMPv6 (RFC 4443, section 3).
    const fn v6(self) -> [u8; 2] {
        match self {
            Self::TimeExceeded => [3, 0],
            Self::NoRoute => [1, 0],
            Self::HostUnreachable => [1, 3],
            Self::PortUnreachable => [1, 4],
            Self::AdminProhibited => [1, 1],
            Self::TooBig { .. } => [2, 0],
        }
    }

    /// The word after the checksum: where the MTU goes, the same place in both families (RFC 1191, section 4).
    const fn word(self) -> [u8; 4] {
        match self {
            Self::TooBig { mtu } => (mtu as u32).to_be_bytes(),
            _ => [0; 4],
        }
    }
}

/// See [`super::error()`].
pub(super) fn write(gateway: &Gateway<'_>, problem: Problem, offender: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    let frame = packet::frame(offender)?;
    if frame.dst_addr().is_multicast() {
        return Err(Quiet::ToMany);
    }
    let draft = Draft { gateway, to: frame.src_addr(), out };
    let len = match frame.ethertype() {
        EthernetProtocol::Ipv4 => write_v4(draft, problem, &frame),
        EthernetProtocol::Ipv6 => write_v6(draft, problem, &frame),
        _ => Err(Quiet::Unanswered),
    }?;
    Ok(Reply { len, kind: problem.kind() })
}

fn write_v4(draft: Draft<'_, '_>, problem: Problem, frame: &Frame<'_>) -> Result<usize, Quiet> {
    let (offender, whole) = packet::ipv4_begun(frame.payload())?;
    let (source, destination) = (offender.src_addr(), offender.dst_addr());
    addresses(draft.gateway, source.into(), destination.into())?;
    if offender.frag_offset() != 0 {
        return Err(Quiet::Fragment);
    }
    if offender.next_header() == IpProtocol::Icmp {
        may_be_reported(&whole[usize::from(offender.header_len())..], is_question_v4)?;
    }
    let from = source_v4(draft.gateway, source, destination).ok_or(Quiet::NoAddress)?;
    let room = IPV4_LONGEST.min(draft.gateway.mtu.into()).saturating_sub(IPV4_HEADER + ICMP_HEADER);
    let quote = &whole[..whole.len().min(room)];
    let (body, len) = draft.icmpv4((from, source), CONTROL, ICMP_HEADER + quote.len())?;
    fill(body, problem.v4(), problem.word(), quote);
    Icmpv4Packet::new_unchecked(body).fill_checksum();
    Ok(len)
}

fn write_v6(draft: Draft<'_, '_>, problem: Problem, frame: &Frame<'_>) -> Result<usize, Quiet> {
    let (offender, whole) = packet::ipv6_begun(frame.payload())?;
    let (source, destination) = (offender.src_addr(), offender.dst_addr());
    addresses(draft.gateway, source.into(), destination.into())?;
    let (protocol, payload) = upper_layer(offender.next_header(), &whole[IPV6_HEADER..])?;
    if protocol == IpProtocol::Icmpv6 {
        may_be_reported(payload, is_question_v6)?;
    }
    let from = source_v6(draft.gateway, source, destination);
    let room = IPV6_LONGEST.min(draft.gateway.mtu.into()).saturating_sub(IPV6_HEADER + ICMP_HEADER);
    let quote = &whole[..whole.len().min(room)];
    let (body, len) = draft.icmpv6((from, source), HOPS, ICMP_HEADER + quote.len())?;
    fill(body, problem.v6(), problem.word(), quote);
    Icmpv6Packet::new_unchecked(body).fill_checksum(&from, &source);
    Ok(len)
}

fn fill(body: &mut [u8], kind: [u8; 2], word: [u8; 4], quote: &[u8]) {
    body[..kind.len()].copy_from_slice(&kind);
    body[WORD].copy_from_slice(&word);
    body[ICMP_HEADER..].copy_from_slice(quote);
}

/// Refuses offenders that came from no one host or went to many.
fn addresses(gateway: &Gateway<'_>, source: IpAddr, destination: IpAddr) -> Result<(), Quiet> {
    if !gateway.is_host(source) {
        Err(Quiet::BadSource)
    } else if gateway.is_group(destination) {
        Err(Quiet::ToMany)
    } else {
        Ok(())
    }
}

fn source_v4(gateway: &Gateway<'_>, to: Ipv4Addr, offended: Ipv4Addr) -> Option<Ipv4Addr> {
    let addressed = gateway.has(offended.into()).then_some(offended);
    addressed.or_else(|| gateway.ipv4_towards(to))
}

fn source_v6(gateway: &Gateway<'_>, to: Ipv6Addr, offended: Ipv6Addr) -> Ipv6Addr {
    if gateway.has(offended.into()) { offended } else { gateway.ipv6_towards(to) }
}

fn may_be_reported(message: &[u8], is_question: fn(u8) -> bool) -> Result<(), Quiet> {
    match message.first() {
        None => Err(Quiet::Malformed),
        Some(&kind) if is_question(kind) => Ok(()),
        Some(_) => Err(Quiet::AboutError),
    }
}

/// ICMP messages that are no errors: echo, router discovery, timestamp, information, address mask, extended echo. An
/// unknown type may be an error.
fn is_question_v4(kind: u8) -> bool {
    matches!(kind, 0 | 8..=10 | 13..=18 | 42 | 43)
}

/// Types from 128 up are informational (RFC 4443, section 2.1), and no error may answer a redirect (section 2.4).
fn is_question_v6(kind: u8) -> bool {
    const REDIRECT: u8 = 137;
    kind >= 128 && kind != REDIRECT
}

/// What follows the extension headers (RFC 8200, section 4). A fragment that is not the first has nothing to tell.
fn upper_layer(mut protocol: IpProtocol, mut rest: &[u8]) -> Result<(IpProtocol, &[u8]), Quiet> {
    const FRAGMENT_HEADER: usize = 8;
    const FRAGMENT_OFFSET: u16 = 0xfff8;
    loop {
        // Every turn takes at least eight bytes off, so the packet's length bounds the walk.
        let len = match (protocol, rest) {
            (IpProtocol::HopByHop | IpProtocol::Ipv6Route | IpProtocol::Ipv6Opts, [_, len, ..]) => {
                (usize::from(*len) + 1) * 8
            }
            (IpProtocol::IpSecAh, [_, len, ..]) => (usize::from(*len) + 2) * 4,
            (IpProtocol::Ipv6Frag, [_, _, high, low, ..]) => {
                if u16::from_be_bytes([*high, *low]) & FRAGMENT_OFFSET != 0 {
                    return Err(Quiet::Fragment);
                }
                FRAGMENT_HEADER
            }
            (
                IpProtocol::HopByHop
                | IpProtocol::Ipv6Route
                | IpProtocol::Ipv6Opts
                | IpProtocol::IpSecAh
                | IpProtocol::Ipv6Frag,
                _,
            ) => return Err(Quiet::Malformed),
            _ => return Ok((protocol, rest)),
        };
        protocol = IpProtocol::from(rest[0]);
        rest = rest.get(len..).ok_or(Quiet::Malformed)?;
    }
}
