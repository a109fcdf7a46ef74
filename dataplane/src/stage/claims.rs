//! What ARP and neighbour discovery say about addresses: who claims one, who is asked for.
//!
//! Looked at packet by packet, never cached: a port that may not send from an address may not announce it either.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;

use crate::headers::ETHERNET;
use crate::{burst::Layout, flow::Class};

/// Room for a whole frame without its tag, for the slow path that knows no tags.
pub(super) const ROOM: usize = 4096;

const ADDRESSES: usize = 12;

/// An ARP or neighbour discovery message, in place.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    class: Class,
    body: &'a [u8],
}

/// A statement of the sender that it has an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// The address.
    pub(super) address: IpAddr,
    /// The MAC address it states for it.
    pub(super) mac: Option<MacAddr>,
}

impl<'a> Message<'a> {
    /// The message of a packet that was classified as one.
    #[must_use]
    pub(super) fn of(class: Class, bytes: &'a [u8], layout: Layout) -> Option<Self> {
        let start = match class {
            Class::Arp => layout.l3,
            Class::Nd => layout.l4,
            _ => return None,
        };
        Some(Self { class, body: bytes.get(usize::from(start)..)? })
    }

    /// What the sender says of itself: the sender of any ARP packet, the target of a neighbour advertisement.
    #[must_use]
    pub(super) fn claim(&self) -> Option<Claim> {
        const ADVERTISEMENT: u8 = 136;
        if self.class == Class::Arp {
            let mac = self.body.get(8..14)?.first_chunk::<6>()?;
            let address = self.body.get(14..18)?.first_chunk::<4>()?;
            return Some(Claim { address: Ipv4Addr::from(*address).into(), mac: Some(MacAddr(*mac)) });
        }
        let advertisement = self.body.first() == Some(&ADVERTISEMENT);
        let target = advertisement.then(|| self.target())??;
        Some(Claim { address: target, mac: None })
    }

    /// Whose MAC address is asked for: by an ARP request or a neighbour solicitation.
    #[must_use]
    pub(super) fn asks_for(&self) -> Option<IpAddr> {
        const REQUEST: [u8; 2] = [0, 1];
        const SOLICITATION: u8 = 135;
        if self.class == Class::Arp {
            let asks = self.body.get(6..8)? == REQUEST;
            let target = self.body.get(24..28)?.first_chunk::<4>()?;
            return asks.then(|| Ipv4Addr::from(*target).into());
        }
        let solicitation = self.body.first() == Some(&SOLICITATION);
        solicitation.then(|| self.target())?
    }

    /// Whom an ARP packet is for: of a request the address asked for, of a reply whom it tells.
    #[must_use]
    pub(super) fn arp_target(&self) -> Option<IpAddr> {
        let target = self.body.get(24..28)?.first_chunk::<4>()?;
        (self.class == Class::Arp).then(|| Ipv4Addr::from(*target).into())
    }

    /// The address that the sender tells everyone it has, asking for nothing (RFC 5227, 2.3; RFC 4861, 7.2.6).
    #[must_use]
    pub(super) fn announces(&self) -> Option<IpAddr> {
        let Claim { address, .. } = self.claim()?;
        let asks_for_another = self.class == Class::Arp && self.arp_target() != Some(address);
        (!asks_for_another).then_some(address)
    }

    /// Whether it is a router advertisement or a redirect: what RFC 6105 guards a link against.
    #[must_use]
    pub(super) fn speaks_as_router(&self) -> bool {
        const ROUTER_ADVERTISEMENT: u8 = 134;
        const REDIRECT: u8 = 137;
        self.class == Class::Nd && matches!(self.body.first(), Some(&(ROUTER_ADVERTISEMENT | REDIRECT)))
    }

    fn target(&self) -> Option<IpAddr> {
        let target = self.body.get(8..24)?.first_chunk::<16>()?;
        Some(Ipv6Addr::from(*target).into())
    }
}

/// The frame as if it had no VLAN tag: itself, or a copy in `room`.
#[must_use]
pub(super) fn untagged<'a>(bytes: &'a [u8], layout: Layout, room: &'a mut [u8; ROOM]) -> &'a [u8] {
    let l3 = usize::from(layout.l3);
    if l3 <= ETHERNET || l3 > bytes.len() {
        return bytes;
    }
    // The EtherType stands in the two bytes before the network header.
    let rest = &bytes[l3 - 2..];
    let rest = &rest[..rest.len().min(ROOM - ADDRESSES)];
    room[..ADDRESSES].copy_from_slice(&bytes[..ADDRESSES]);
    room[ADDRESSES..ADDRESSES + rest.len()].copy_from_slice(rest);
    &room[..ADDRESSES + rest.len()]
}
