//! What the switch itself says, as the gateway of a network.
//!
//! Hosts expect a router behind their gateway address: it resolves (ARP, neighbour discovery), answers a ping and says
//! why a packet could not go on. Such packets are rare and are never a flow's, so they are handled here, off the packet
//! line, with `smoltcp::wire` for what is said. Everything in this room is a pure function: a frame and a [`Gateway`] go
//! in, a frame in the caller's buffer or a [`Quiet`] comes out. It does no input or output, keeps no state but the token
//! buckets of [`limit`], and reads no clock.
//!
//! An overlay has more such talk, and it is here too: [`proxy_answer`] speaks for endpoints of other nodes, [`seek`] and
//! [`heard`] resolve next hops of the underlay, [`too_big_news`] and [`membership`] read what others say of paths and
//! groups, and [`clamp_mss`] changes what is said in a handshake.
//!
//! Frames are untagged in both directions; the caller strips and pushes VLAN tags. Replies are not padded to the
//! Ethernet minimum of 60 bytes, which is the transmitting device's business. What a packet says is an allegation: a
//! malformed one gets no answer, and nothing here panics.

mod arp;
mod clamp;
mod error;
mod icmp;
pub mod limit;
mod membership;
mod ndp;
mod packet;
mod path_mtu;
mod proxy;
mod underlay;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;
use smoltcp::wire::{EthernetProtocol, Icmpv6Message, IpProtocol};
use thiserror::Error;

pub use clamp::clamp_mss;
pub use error::Problem;
use limit::Kind;
pub use membership::{Snooped, always_flooded, membership};
pub use path_mtu::{TooBigNews, too_big_news};
pub use proxy::proxy_answer;
pub use underlay::{Asker, heard, seek};

/// The switch's own place in one network.
#[derive(Clone, Copy, Debug)]
pub struct Gateway<'a> {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IPv4 addresses, each with the length of its subnet's prefix.
    pub ipv4: &'a [(Ipv4Addr, u8)],
    /// Its IPv6 addresses, each with the length of its subnet's prefix.
    pub ipv6: &'a [(Ipv6Addr, u8)],
    /// Its link-local address; [`MacAddr::link_local`] derives it.
    pub link_local: Ipv6Addr,
    /// The network's MTU in bytes, from the IP header on. No reply is longer.
    pub mtu: u16,
}

impl Gateway<'_> {
    /// Whether the gateway itself has this address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.ipv4.iter().any(|&(own, _)| own == v4),
            IpAddr::V6(v6) => v6 == self.link_local || self.ipv6.iter().any(|&(own, _)| own == v6),
        }
    }

    /// The address to speak to `other` from: the one in its subnet, else the first.
    fn ipv4_towards(&self, other: Ipv4Addr) -> Option<Ipv4Addr> {
        let near = |&&(own, len): &&(Ipv4Addr, u8)| (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(len);
        let chosen = self.ipv4.iter().find(near).or(self.ipv4.first());
        chosen.map(|&(own, _)| own)
    }

    /// As [`Gateway::ipv4_towards`]; a link-local host is spoken to from the link-local address (RFC 6724, rule 2), and
    /// so is everyone when there is no other.
    fn ipv6_towards(&self, other: Ipv6Addr) -> Ipv6Addr {
        if other.is_unicast_link_local() {
            return self.link_local;
        }
        let near = |&&(own, len): &&(Ipv6Addr, u8)| (own.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(len);
        let chosen = self.ipv6.iter().find(near).or(self.ipv6.first());
        chosen.map_or(self.link_local, |&(own, _)| own)
    }

    /// Whether `address` can be that of one other host: not unspecified, loopback, a group, reserved, the broadcast
    /// address of a subnet of ours, nor the gateway's own (RFC 1812, section 5.3.7; RFC 4291, section 2).
    fn is_host(&self, address: IpAddr) -> bool {
        let possible = match address {
            IpAddr::V4(v4) => {
                let reserved = v4.octets()[0] == 0 || v4.octets()[0] >= 240;
                !(reserved || v4.is_loopback() || self.is_group(address))
            }
            IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
        };
        possible && !self.has(address)
    }

    /// Whether `address` means many hosts: multicast, or the broadcast of everything or of a subnet of ours.
    fn is_group(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let everyone = |&(own, len): &(Ipv4Addr, u8)| {
                    let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
                    len < 31 && own.to_bits() | hosts == v4.to_bits()
                };
                v4.is_multicast() || v4.is_broadcast() || self.ipv4.iter().any(everyone)
            }
            IpAddr::V6(v6) => v6.is_multicast(),
        }
    }
}

/// A frame written to the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its length in bytes, from the start of the buffer.
    pub len: usize,
    /// What [`limit::Limiter::admit`] is to be asked before it is sent.
    pub kind: Kind,
}

/// Why nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum Quiet {
    /// The packet is someone else's.
    #[error("the packet is not addressed to the gateway")]
    NotOurs,
    /// A gateway has no answer to such a packet.
    #[error("the gateway does not answer packets of this kind")]
    Unanswered,
    /// UDP to the gateway: [`error()`] with [`Problem::PortUnreachable`] is what to say.
    #[error("no UDP service listens at the gateway's address; say that the port is unreachable")]
    ClosedPort,
    /// Headers or options are cut off or contradict each other.
    #[error("the packet is truncated or its lengths contradict each other")]
    Malformed,
    /// The IPv4 header checksum or the ICMP checksum is wrong.
    #[error("a checksum of the packet is wrong")]
    Checksum,
    /// Neighbour discovery that may come from beyond the link (RFC 4861, section 7.1).
    #[error("neighbour discovery came with a hop limit other than 255, so possibly from off the link")]
    OffLink,
    /// A part of a packet; the gateway does not reassemble.
    #[error("the packet is a fragment")]
    Fragment,
    /// Nobody could be answered.
    #[error("the packet's source is not the address of one other host")]
    BadSource,
    /// The Ethernet header names another sender than ARP or neighbour discovery inside it.
    #[error("the Ethernet source differs from the link-layer address stated in the packet")]
    Forged,
    /// Errors are not sent about packets to many (RFC 1812, section 4.3.2.7).
    #[error("the packet was sent to a group or broadcast address")]
    ToMany,
    /// Errors are not sent about errors (RFC 1812, section 4.3.2.7; RFC 4443, section 2.4).
    #[error("the packet is itself an ICMP error or redirect")]
    AboutError,
    /// The address to resolve is a group's or the gateway's own.
    #[error("the address to resolve is not that of one other host")]
    BadTarget,
    /// There is no address to speak from.
    #[error("the gateway has no address in this family; give the network one")]
    NoAddress,
    /// The reply does not fit the caller's buffer or the network's MTU.
    #[error("the reply is longer than the buffer or the network's MTU")]
    NoRoom,
    /// The token bucket is empty.
    #[error("the reply exceeds the network's rate limit for its kind")]
    Limited,
}

/// Answers a frame sent to the gateway, or to everyone, as a router would.
///
/// Answered are ARP requests for an address of the gateway (RFC 826; probes too, RFC 5227), neighbour solicitations
/// for one (RFC 4861, section 7.2.4; duplicate address detection too, RFC 4862), and ICMP and ICMPv6 echo requests to
/// one (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2). Router solicitations are not. An IPv6 echo request with
/// extension headers is not answered either.
///
/// # Errors
/// Why nothing was written to `out`.
pub fn answer(gateway: &Gateway<'_>, frame: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    answer_as(Role::Router, gateway, frame, out)
}

/// As [`answer`], for addresses behind which nothing is routed, such as a VTEP's: its neighbour advertisements do not
/// say that a router speaks, for which others might take it (RFC 4861, section 6.3.4).
///
/// # Errors
/// Why nothing was written to `out`.
pub fn answer_as_host(own: &Gateway<'_>, frame: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    answer_as(Role::Host, own, frame, out)
}

/// What the speaker is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Router,
    Host,
}

fn answer_as(role: Role, gateway: &Gateway<'_>, frame: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    let frame = packet::frame(frame)?;
    if frame.dst_addr() != packet::ethernet(gateway.mac) && !frame.dst_addr().is_multicast() {
        return Err(Quiet::NotOurs);
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => arp::answer(gateway, &frame, out),
        EthernetProtocol::Ipv4 => icmp::answer_v4(gateway, &frame, out),
        EthernetProtocol::Ipv6 => {
            let received = packet::ipv6(frame.payload())?;
            if asks_for_neighbour(received.next_header(), received.payload()) {
                ndp::answer((gateway, role), &frame, &received, out)
            } else {
                icmp::answer_v6(gateway, &frame, &received, out)
            }
        }
        EthernetProtocol::Unknown(_) => Err(Quiet::Unanswered),
    }
}

fn asks_for_neighbour(protocol: IpProtocol, payload: &[u8]) -> bool {
    protocol == IpProtocol::Icmpv6 && payload.first() == Some(&u8::from(Icmpv6Message::NeighborSolicit))
}

/// The binding of an address to a link-layer address that a frame states about its own sender.
///
/// Read from ARP requests, replies and announcements (RFC 826, RFC 5227) and from neighbour solicitations and
/// advertisements that pass the checks of RFC 4861, sections 7.1.1 and 7.1.2. A binding is believed only when the
/// Ethernet header names the same sender, and never when it claims an address of the gateway. Whether the advertisement
/// had the override flag is not told: here, whoever speaks last is believed, as with ARP.
#[must_use]
pub fn learned(gateway: &Gateway<'_>, frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let frame = packet::frame(frame).ok()?;
    let (address, mac) = match frame.ethertype() {
        EthernetProtocol::Arp => arp::learned(&frame),
        EthernetProtocol::Ipv6 => ndp::learned(&frame),
        _ => None,
    }?;
    gateway.is_host(address).then_some((address, mac))
}

/// Writes the question for `target`'s link-layer address: a broadcast ARP request, or a neighbour solicitation to the
/// target's solicited-node group (RFC 4861, section 7.2.2).
///
/// # Errors
/// [`Quiet::BadTarget`] when `target` is not one other host, [`Quiet::NoAddress`] when there is nothing to ask from,
/// [`Quiet::NoRoom`] when `out` is too short.
pub fn request(gateway: &Gateway<'_>, target: IpAddr, out: &mut [u8]) -> Result<Reply, Quiet> {
    if !gateway.is_host(target) {
        return Err(Quiet::BadTarget);
    }
    match target {
        IpAddr::V4(v4) => arp::request(gateway, v4, out),
        IpAddr::V6(v6) => ndp::request(gateway, v6, out),
    }
}

/// Writes the ICMP or ICMPv6 error that tells the sender of `offender` what became of it.
///
/// As much of the offender is quoted as the RFCs allow: up to 576 bytes of IPv4 in all (RFC 1812, section 4.3.2.3) or
/// 1280 of IPv6 (RFC 4443, section 2.4); `offender` may end before its packet does, as long as its headers are whole. The
/// error comes from the address the offender was sent to if that is the
/// gateway's, else from the gateway's address in the sender's subnet.
///
/// # Errors
/// Nothing is said about ICMP errors and redirects, fragments other than the first, packets to a group or broadcast
/// address of either layer, and packets whose source is not one other host (RFC 1122, section 3.2.2; RFC 1812, section
/// 4.3.2.7; RFC 4443, section 2.4, whose leave to report packets too big for a multicast path is not used).
pub fn error(gateway: &Gateway<'_>, problem: Problem, offender: &[u8], out: &mut [u8]) -> Result<Reply, Quiet> {
    error::write(gateway, problem, offender, out)
}

#[cfg(test)]
mod tests;
