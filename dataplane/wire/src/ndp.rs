//! Neighbour discovery (RFC 4861): the five messages, checked as their receivers must, and their options.

use crate::addr::MacAddr;
use crate::emit::{NoRoom, room};
use crate::field::{be16, be32, bytes, put, put16, put32};
use crate::icmpv6::{Icmpv6, Icmpv6Type};
use crate::malformed::Malformed;
use core::net::Ipv6Addr;

/// A neighbour discovery message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeighbourDiscovery<'a> {
    /// Is there a router?
    RouterSolicitation(NdOptions<'a>),
    /// Here is one.
    RouterAdvertisement(RouterAdvertisement, NdOptions<'a>),
    /// Who has this address?
    Solicitation(Solicitation, NdOptions<'a>),
    /// This station has it.
    Advertisement(Advertisement, NdOptions<'a>),
    /// Another first hop is better.
    Redirect(Redirect, NdOptions<'a>),
}

/// What a router says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// The hop limit its hosts should use; zero says nothing.
    pub hop_limit: u8,
    /// Addresses come from DHCPv6.
    pub managed: bool,
    /// Other configuration comes from DHCPv6.
    pub other: bool,
    /// How long it is a default router, in seconds; zero: it is none.
    pub lifetime: u16,
    /// How long a neighbour counts as reachable, in milliseconds; zero says nothing.
    pub reachable_time: u32,
    /// Time between solicitations, in milliseconds; zero says nothing.
    pub retransmit_time: u32,
}

/// Who has `target`?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// The address that is asked for.
    pub target: Ipv6Addr,
}

/// The sender has `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// The sender forwards packets.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces what was known before.
    pub overrides: bool,
    /// The address it is about.
    pub target: Ipv6Addr,
}

/// Packets for `destination` had better go by `target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// The better first hop.
    pub target: Ipv6Addr,
    /// What it is better for.
    pub destination: Ipv6Addr,
}

impl<'a> NeighbourDiscovery<'a> {
    /// Reads a message from its ICMPv6 header and body. `Ok(None)` when the type is another.
    ///
    /// The checks are those of RFC 4861, sections 6.1, 7.1 and 8.1, but the checksum, the addresses of the IPv6 header, and the options,
    /// which [`NdOptions`] checks as it walks.
    ///
    /// # Errors
    /// Any `Malformed::Nd…`.
    pub fn parse(hop_limit: u8, icmp: Icmpv6<'_>, body: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if !icmp.kind().is_neighbour_discovery() {
            return Ok(None);
        }
        if hop_limit != 255 {
            return Err(Malformed::NdBadHopLimit);
        }
        if icmp.code() != 0 {
            return Err(Malformed::NdBadCode);
        }
        let message = match icmp.kind() {
            Icmpv6Type::ROUTER_ADVERTISEMENT => Self::router_advertisement(icmp.rest(), body)?,
            Icmpv6Type::NEIGHBOUR_SOLICITATION => {
                let (target, options) = target(body)?;
                Self::Solicitation(Solicitation { target }, options)
            }
            Icmpv6Type::NEIGHBOUR_ADVERTISEMENT => {
                let (target, options) = target(body)?;
                Self::Advertisement(Advertisement::from_parts(icmp.rest(), target), options)
            }
            Icmpv6Type::REDIRECT => Self::redirect(body)?,
            _ => Self::RouterSolicitation(NdOptions { rest: body }),
        };
        Ok(Some(message))
    }

    fn router_advertisement(rest: [u8; 4], body: &'a [u8]) -> Result<Self, Malformed> {
        let (times, options) = body.split_first_chunk::<8>().ok_or(Malformed::NdTruncated)?;
        let [hop_limit, flags, ..] = rest;
        let advertisement = RouterAdvertisement {
            hop_limit,
            managed: flags & 0x80 != 0,
            other: flags & 0x40 != 0,
            lifetime: be16::<2, _>(&rest),
            reachable_time: be32::<0, _>(times),
            retransmit_time: be32::<4, _>(times),
        };
        Ok(Self::RouterAdvertisement(advertisement, NdOptions { rest: options }))
    }

    fn redirect(body: &'a [u8]) -> Result<Self, Malformed> {
        let (addresses, options) = body.split_first_chunk::<32>().ok_or(Malformed::NdTruncated)?;
        let redirect = Redirect {
            target: Ipv6Addr::from_octets(bytes::<0, 16, _>(addresses)),
            destination: Ipv6Addr::from_octets(bytes::<16, 16, _>(addresses)),
        };
        match redirect.target.is_multicast() || redirect.destination.is_multicast() {
            true => Err(Malformed::NdMulticastTarget),
            false => Ok(Self::Redirect(redirect, NdOptions { rest: options })),
        }
    }

    /// The message's options.
    #[must_use]
    pub fn options(&self) -> NdOptions<'a> {
        match self {
            Self::RouterSolicitation(options)
            | Self::RouterAdvertisement(_, options)
            | Self::Solicitation(_, options)
            | Self::Advertisement(_, options)
            | Self::Redirect(_, options) => options.clone(),
        }
    }
}

fn target(body: &[u8]) -> Result<(Ipv6Addr, NdOptions<'_>), Malformed> {
    let (target, rest) = body.split_first_chunk::<16>().ok_or(Malformed::NdTruncated)?;
    let target = Ipv6Addr::from_octets(*target);
    match target.is_multicast() {
        true => Err(Malformed::NdMulticastTarget),
        false => Ok((target, NdOptions { rest })),
    }
}

/// The group that a station with the address `target` listens to (RFC 4291, section 2.7.1).
#[must_use]
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

impl Solicitation {
    /// Length of the message with its ICMPv6 header, options not counted.
    pub const LEN: usize = 24;

    /// Writes the message with its ICMPv6 header, checksum zero; returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Solicitation::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let message = room::<{ Self::LEN }>(buffer)?;
        put::<0, 2, _>(message, [Icmpv6Type::NEIGHBOUR_SOLICITATION.0, 0]);
        put::<2, 6, _>(message, [0; 6]);
        put::<8, 16, _>(message, self.target.octets());
        Ok(Self::LEN)
    }
}

impl Advertisement {
    /// Length of the message with its ICMPv6 header, options not counted.
    pub const LEN: usize = 24;

    const fn from_parts(rest: [u8; 4], target: Ipv6Addr) -> Self {
        let [flags, ..] = rest;
        Self { router: flags & 0x80 != 0, solicited: flags & 0x40 != 0, overrides: flags & 0x20 != 0, target }
    }

    /// Writes the message with its ICMPv6 header, checksum zero; returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Advertisement::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let message = room::<{ Self::LEN }>(buffer)?;
        let flags = u8::from(self.router) << 7 | u8::from(self.solicited) << 6 | u8::from(self.overrides) << 5;
        put::<0, 8, _>(message, [Icmpv6Type::NEIGHBOUR_ADVERTISEMENT.0, 0, 0, 0, flags, 0, 0, 0]);
        put::<8, 16, _>(message, self.target.octets());
        Ok(Self::LEN)
    }
}

impl RouterAdvertisement {
    /// Length of the message with its ICMPv6 header, options not counted.
    pub const LEN: usize = 16;

    /// Writes the message with its ICMPv6 header, checksum zero; returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`RouterAdvertisement::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let message = room::<{ Self::LEN }>(buffer)?;
        let flags = u8::from(self.managed) << 7 | u8::from(self.other) << 6;
        put::<0, 6, _>(message, [Icmpv6Type::ROUTER_ADVERTISEMENT.0, 0, 0, 0, self.hop_limit, flags]);
        put16::<6, _>(message, self.lifetime);
        put32::<8, _>(message, self.reachable_time);
        put32::<12, _>(message, self.retransmit_time);
        Ok(Self::LEN)
    }
}

/// One option of a neighbour discovery message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NdOption<'a> {
    /// The sender's Ethernet address.
    SourceMac(MacAddr),
    /// The target's Ethernet address.
    TargetMac(MacAddr),
    /// The link's MTU.
    Mtu(u32),
    /// Any other option: its type, and what follows the length byte.
    Other(u8, &'a [u8]),
}

impl NdOption<'_> {
    /// Length of an Ethernet address option.
    pub const MAC_LEN: usize = 8;

    /// Writes an Ethernet address or MTU option and returns its length; any other option is not ours to make, and zero
    /// bytes are written.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (kind, value) = match *self {
            Self::SourceMac(MacAddr(mac)) => (SOURCE_MAC, mac),
            Self::TargetMac(MacAddr(mac)) => (TARGET_MAC, mac),
            Self::Mtu(mtu) => {
                let [a, b, c, d] = mtu.to_be_bytes();
                (MTU, [0, 0, a, b, c, d])
            }
            Self::Other(..) => return Ok(0),
        };
        let option = room::<8>(buffer)?;
        put::<0, 2, _>(option, [kind, 1]);
        put::<2, 6, _>(option, value);
        Ok(8)
    }
}

const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const MTU: u8 = 5;

/// Walks the options of a message; ends after the first error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NdOptions<'a> {
    rest: &'a [u8],
}

impl<'a> NdOptions<'a> {
    fn option(&mut self) -> Option<NdOption<'a>> {
        let bytes = core::mem::take(&mut self.rest);
        let [kind, words] = *bytes.first_chunk::<2>()?;
        let (option, rest) = bytes.split_at_checked(usize::from(words) * 8)?;
        let value = option.get(2..)?; // a length of zero words ends here
        self.rest = rest;
        Some(match (kind, value) {
            (SOURCE_MAC, &[a, b, c, d, e, f]) => NdOption::SourceMac(MacAddr([a, b, c, d, e, f])),
            (TARGET_MAC, &[a, b, c, d, e, f]) => NdOption::TargetMac(MacAddr([a, b, c, d, e, f])),
            (MTU, &[_, _, a, b, c, d]) => NdOption::Mtu(u32::from_be_bytes([a, b, c, d])),
            _ => NdOption::Other(kind, value),
        })
    }
}

impl<'a> Iterator for NdOptions<'a> {
    type Item = Result<NdOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.option().ok_or(Malformed::NdBadOption))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TARGET: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x12, 0x3456);

    fn parse(hop_limit: u8, message: &[u8]) -> Result<Option<NeighbourDiscovery<'_>>, Malformed> {
        let (icmp, body) = Icmpv6::parse(message)?;
        NeighbourDiscovery::parse(hop_limit, icmp, body)
    }

    fn solicitation(option: [u8; 8]) -> [u8; 32] {
        let mut message = [0; 32];
        Solicitation { target: TARGET }.emit(&mut message).unwrap();
        message[24..].copy_from_slice(&option);
        message
    }

    #[test]
    fn a_solicitation_with_the_sender_s_address_reads_as_sent() {
        let message = solicitation([1, 1, 2, 0, 0, 0, 0, 9]);
        let Some(NeighbourDiscovery::Solicitation(asked, options)) = parse(255, &message).unwrap() else {
            panic!("not a solicitation");
        };
        assert_eq!(asked.target, TARGET);
        assert_eq!(options.collect::<Vec<_>>(), [Ok(NdOption::SourceMac(MacAddr([2, 0, 0, 0, 0, 9])))]);
        assert_eq!(solicited_node(TARGET), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456));
    }

    #[test]
    fn what_a_receiver_must_refuse_is_refused_by_name() {
        let good = solicitation([1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(254, &good), Err(Malformed::NdBadHopLimit));
        assert_eq!(parse(255, &good[..23]), Err(Malformed::NdTruncated));
        let changed = |at: usize, byte: u8| {
            let mut message = good;
            message[at] = byte;
            let parsed = parse(255, &message)?.unwrap();
            parsed.options().try_for_each(|option| option.map(drop))
        };
        assert_eq!(changed(1, 1), Err(Malformed::NdBadCode));
        assert_eq!(changed(8, 0xff), Err(Malformed::NdMulticastTarget));
        assert_eq!(changed(25, 0), Err(Malformed::NdBadOption));
        assert_eq!(changed(25, 2), Err(Malformed::NdBadOption));
        assert_eq!(parse(1, &[128, 0, 0, 0, 0, 0, 0, 0]), Ok(None), "an echo may come from afar");
    }

    #[test]
    fn advertisements_round_trip() {
        let mut message = [0; 32];
        let said = Advertisement { router: true, solicited: false, overrides: true, target: TARGET };
        said.emit(&mut message).unwrap();
        let option = NdOption::TargetMac(MacAddr::BROADCAST);
        option.emit(&mut message[24..]).unwrap();
        let heard = parse(255, &message).unwrap().unwrap();
        assert_eq!(heard.options().next(), Some(Ok(option)));
        assert!(matches!(heard, NeighbourDiscovery::Advertisement(heard, _) if heard == said));

        let said = RouterAdvertisement {
            hop_limit: 64,
            managed: false,
            other: true,
            lifetime: 1800,
            reachable_time: 30_000,
            retransmit_time: 1_000,
        };
        let len = said.emit(&mut message).unwrap();
        let mtu = NdOption::Mtu(1450);
        mtu.emit(&mut message[len..]).unwrap();
        let heard = parse(255, &message[..len + 8]).unwrap().unwrap();
        assert_eq!(heard.options().collect::<Vec<_>>(), [Ok(mtu)]);
        assert!(matches!(heard, NeighbourDiscovery::RouterAdvertisement(heard, _) if heard == said));
    }

    #[test]
    fn a_redirect_needs_both_addresses() {
        let mut message = [0; 40];
        message[0] = Icmpv6Type::REDIRECT.0;
        message[8..24].copy_from_slice(&TARGET.octets());
        let redirect = Redirect { target: TARGET, destination: Ipv6Addr::UNSPECIFIED };
        assert!(matches!(parse(255, &message), Ok(Some(NeighbourDiscovery::Redirect(heard, _))) if heard == redirect));
        assert_eq!(parse(255, &message[..39]), Err(Malformed::NdTruncated));
    }
}
