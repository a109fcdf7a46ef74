//! Resolving next hops on the underlay, whose NIC and perhaps whose address the host's kernel uses too.
//!
//! The kernel must not take our answers for its own, nor miss one of its own because we took it. So an address that the
//! kernel has as well is not asked from: over IPv4 the question is a probe from `0.0.0.0` (RFC 5227, section 2.1.1),
//! whose answer names no asker; over IPv6 it comes from a link-local address that only we have.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;
use smoltcp::wire::{EthernetAddress, EthernetProtocol};

use super::{
    Gateway, Quiet, Reply, arp, ndp,
    packet::{self, Draft, ethernet},
};

/// Who asks for a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The uplink's MAC address.
    pub mac: MacAddr,
    /// The IPv4 address to ask from, if it is ours alone; without one the question is a probe from `0.0.0.0`.
    pub ipv4: Option<Ipv4Addr>,
    /// A link-local address that is ours alone.
    pub ipv6: Ipv6Addr,
    /// Where the next hop was last: it is asked whether it is still there (RFC 1122, section 2.3.2.1; RFC 4861, section
    /// 7.3.3). `None` asks everyone.
    pub to: Option<MacAddr>,
}

/// Writes the question for `target`'s link-layer address: an ARP request or a neighbour solicitation.
///
/// # Errors
/// [`Quiet::BadTarget`] when `target` or [`Asker::to`] is not that of one other host, [`Quiet::NoRoom`] when `out` is too
/// short.
pub fn seek(asker: &Asker, target: IpAddr, out: &mut [u8]) -> Result<Reply, Quiet> {
    let own = asker.ipv4.map(|address| [(address, 32)]);
    let ipv4 = own.as_ref().map_or(&[][..], |own| own);
    let gateway = &Gateway { mac: asker.mac, ipv4, ipv6: &[], link_local: asker.ipv6, mtu: u16::MAX };
    if !gateway.is_host(target) || asker.to.is_some_and(|to| !to.is_unicast()) {
        return Err(Quiet::BadTarget);
    }
    let to = asker.to.map(ethernet);
    match target {
        IpAddr::V4(v4) => {
            let from = asker.ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let to = to.unwrap_or(EthernetAddress::BROADCAST);
            arp::ask(Draft { gateway, to, out }, from, v4)
        }
        IpAddr::V6(v6) => ndp::seek(gateway, v6, to, out),
    }
}

/// The binding that an ARP reply, an ARP announcement or a neighbour advertisement states of its sender.
///
/// It passes the checks of [`super::learned`], but a solicited advertisement may leave the link-layer address out, as
/// answers to a question with [`Asker::to`] do. Whether the address is one that was asked for, or one of our own, is the
/// caller's to look at. Questions are not read: on a shared NIC they are the kernel's to learn from.
#[must_use]
pub fn heard(frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    const NOBODY: Gateway<'static> =
        Gateway { mac: MacAddr::UNSPECIFIED, ipv4: &[], ipv6: &[], link_local: Ipv6Addr::UNSPECIFIED, mtu: 0 };
    let frame = packet::frame(frame).ok()?;
    let (address, mac) = match frame.ethertype() {
        EthernetProtocol::Arp => arp::heard(&frame),
        EthernetProtocol::Ipv6 => ndp::heard(&frame),
        _ => None,
    }?;
    NOBODY.is_host(address).then_some((address, mac))
}
