//! ICMPv6 (RFC 4443): echo, errors, and the envelope of neighbour and listener discovery, which have their own files.

use crate::emit::{NoRoom, room};
use crate::field::{be16, be32, bytes, put, put16};
use crate::malformed::Malformed;

/// What an ICMPv6 message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Icmpv6Type(pub u8);

impl Icmpv6Type {
    /// The destination cannot be reached; the code says why.
    pub const UNREACHABLE: Self = Self(1);
    /// Too long for the next hop.
    pub const PACKET_TOO_BIG: Self = Self(2);
    /// The packet ran out of hops, or of time to be reassembled.
    pub const TIME_EXCEEDED: Self = Self(3);
    /// The header was not understood.
    pub const PARAMETER_PROBLEM: Self = Self(4);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(128);
    /// Answer to an echo request.
    pub const ECHO_REPLY: Self = Self(129);
    /// Multicast listener discovery: who listens?
    pub const LISTENER_QUERY: Self = Self(130);
    /// Multicast listener discovery: this station does (version 1).
    pub const LISTENER_REPORT: Self = Self(131);
    /// Multicast listener discovery: this station does no more (version 1).
    pub const LISTENER_DONE: Self = Self(132);
    /// Neighbour discovery: is there a router?
    pub const ROUTER_SOLICITATION: Self = Self(133);
    /// Neighbour discovery: here is one.
    pub const ROUTER_ADVERTISEMENT: Self = Self(134);
    /// Neighbour discovery: who has this address?
    pub const NEIGHBOUR_SOLICITATION: Self = Self(135);
    /// Neighbour discovery: this station has it.
    pub const NEIGHBOUR_ADVERTISEMENT: Self = Self(136);
    /// Neighbour discovery: another first hop is better.
    pub const REDIRECT: Self = Self(137);
    /// Multicast listener discovery: all that this station listens to (version 2).
    pub const LISTENER_REPORT_V2: Self = Self(143);

    /// Whether this is an error: all types below 128 are (RFC 4443, section 2.1).
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }

    /// Whether this is an echo request or its reply, which have an identifier.
    #[inline]
    #[must_use]
    pub const fn is_echo(self) -> bool {
        matches!(self.0, 128 | 129)
    }

    /// Whether this is neighbour discovery, which never leaves its link.
    #[inline]
    #[must_use]
    pub const fn is_neighbour_discovery(self) -> bool {
        matches!(self.0, 133..=137)
    }

    /// Whether this is multicast listener discovery.
    #[inline]
    #[must_use]
    pub const fn is_listener_discovery(self) -> bool {
        matches!(self.0, 130..=132 | 143)
    }
}

/// Codes of [`Icmpv6Type::UNREACHABLE`].
pub mod unreachable {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by policy.
    pub const PROHIBITED: u8 = 1;
    /// No answer from the address.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens at the port.
    pub const PORT: u8 = 4;
}

/// A checked view of an ICMPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmpv6<'a> {
    header: &'a [u8; Icmpv6::LEN],
}

impl<'a> Icmpv6<'a> {
    /// The header's length in bytes, the four bytes whose meaning the type decides included.
    pub const LEN: usize = 8;

    /// The view and what follows: an echo's data, the quoted packet of an error, or a message's body.
    ///
    /// # Errors
    /// [`Malformed::Icmpv6HeaderTruncated`].
    #[inline]
    pub const fn parse(message: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match message.split_first_chunk() {
            Some((header, rest)) => Ok((Self { header }, rest)),
            None => Err(Malformed::Icmpv6HeaderTruncated),
        }
    }

    /// What the message is about.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Icmpv6Type {
        Icmpv6Type(self.header[0])
    }

    /// The type's detail.
    #[inline]
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.header[1]
    }

    /// The checksum as it came.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        be16::<2, _>(self.header)
    }

    /// The four bytes whose meaning the type decides.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> [u8; 4] {
        bytes::<4, 4, _>(self.header)
    }

    /// Identifier of an echo.
    #[inline]
    #[must_use]
    pub const fn identifier(&self) -> u16 {
        be16::<4, _>(self.header)
    }

    /// Sequence number of an echo.
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        be16::<6, _>(self.header)
    }

    /// The next hop's MTU in "packet too big".
    #[inline]
    #[must_use]
    pub const fn next_hop_mtu(&self) -> u32 {
        be32::<4, _>(self.header)
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> Icmpv6Header {
        Icmpv6Header { kind: self.kind(), code: self.code(), checksum: self.checksum(), rest: self.rest() }
    }
}

/// An ICMPv6 header to be written. The checksum also covers what follows and the pseudo-header, so the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmpv6Header {
    /// What the message is about.
    pub kind: Icmpv6Type,
    /// The type's detail.
    pub code: u8,
    /// Checksum, or zero before it is computed.
    pub checksum: u16,
    /// The four bytes whose meaning the type decides.
    pub rest: [u8; 4],
}

impl Icmpv6Header {
    /// Offset of the checksum field.
    pub const CHECKSUM_AT: usize = 2;

    /// An echo request or reply.
    #[must_use]
    pub const fn echo(kind: Icmpv6Type, identifier: u16, sequence: u16) -> Self {
        let [a, b] = identifier.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        Self { kind, code: 0, checksum: 0, rest: [a, b, c, d] }
    }

    /// "Packet too big", with the next hop's MTU.
    #[must_use]
    pub const fn packet_too_big(mtu: u32) -> Self {
        Self { kind: Icmpv6Type::PACKET_TOO_BIG, code: 0, checksum: 0, rest: mtu.to_be_bytes() }
    }

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Icmpv6::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Icmpv6::LEN }>(buffer)?;
        put::<0, 2, _>(header, [self.kind.0, self.code]);
        put16::<2, _>(header, self.checksum);
        put::<4, 4, _>(header, self.rest);
        Ok(Icmpv6::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{pseudo_v6, sum, verify_icmpv6};
    use crate::ip::IpProtocol;
    use core::net::Ipv6Addr;

    #[test]
    fn packet_too_big_carries_the_mtu_and_a_checksum_over_the_pseudo_header() {
        let pseudo = pseudo_v6(Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, IpProtocol::ICMPV6, 8);
        let mut message = [0; 8];
        let mut header = Icmpv6Header::packet_too_big(1280);
        header.emit(&mut message).unwrap();
        header.checksum = pseudo.plus(sum(&message)).finish();
        header.emit(&mut message).unwrap();
        assert_eq!(verify_icmpv6(pseudo, &message), Ok(()));
        let (icmp, _) = Icmpv6::parse(&message).unwrap();
        assert_eq!((icmp.kind().is_error(), icmp.next_hop_mtu()), (true, 1280));
        message[7] ^= 1;
        assert_eq!(verify_icmpv6(pseudo, &message), Err(Malformed::Icmpv6BadChecksum));
        assert_eq!(Icmpv6::parse(&message[..7]), Err(Malformed::Icmpv6HeaderTruncated));
    }
}
