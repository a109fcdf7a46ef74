//! ICMP over IPv4 (RFC 792): echo, and errors with the packet they quote.

use crate::emit::{NoRoom, room};
use crate::field::{be16, bytes, put, put16};
use crate::malformed::Malformed;

/// What an ICMP message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Icmpv4Type(pub u8);

impl Icmpv4Type {
    /// Answer to an echo request.
    pub const ECHO_REPLY: Self = Self(0);
    /// The destination cannot be reached; the code says why.
    pub const UNREACHABLE: Self = Self(3);
    /// Another gateway is better.
    pub const REDIRECT: Self = Self(5);
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self(8);
    /// The packet ran out of hops, or of time to be reassembled.
    pub const TIME_EXCEEDED: Self = Self(11);
    /// The header was not understood.
    pub const PARAMETER_PROBLEM: Self = Self(12);

    /// Whether this is an error: it quotes a packet, and nobody answers it with another error (RFC 1122, section 3.2.2).
    /// Source quench (4) is one that nobody sends any more.
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self.0, 3 | 4 | 5 | 11 | 12)
    }

    /// Whether this is an echo request or its reply, which have an identifier.
    #[inline]
    #[must_use]
    pub const fn is_echo(self) -> bool {
        matches!(self.0, 0 | 8)
    }
}

/// Codes of [`Icmpv4Type::UNREACHABLE`].
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// No answer from the host.
    pub const HOST: u8 = 1;
    /// Nobody listens at the port.
    pub const PORT: u8 = 3;
    /// Too long for the next hop and not to be fragmented (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by policy (RFC 1812, section 5.2.7.1).
    pub const PROHIBITED: u8 = 13;
}

/// A checked view of an ICMP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmpv4<'a> {
    header: &'a [u8; Icmpv4::LEN],
}

impl<'a> Icmpv4<'a> {
    /// The header's length in bytes.
    pub const LEN: usize = 8;

    /// The view and what follows: an echo's data, or the quoted packet of an error.
    ///
    /// # Errors
    /// [`Malformed::Icmpv4HeaderTruncated`].
    #[inline]
    pub const fn parse(message: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match message.split_first_chunk() {
            Some((header, rest)) => Ok((Self { header }, rest)),
            None => Err(Malformed::Icmpv4HeaderTruncated),
        }
    }

    /// What the message is about.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Icmpv4Type {
        Icmpv4Type(self.header[0])
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

    /// The next hop's MTU in "fragmentation needed" (RFC 1191, section 4).
    #[inline]
    #[must_use]
    pub const fn next_hop_mtu(&self) -> u16 {
        be16::<6, _>(self.header)
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> Icmpv4Header {
        Icmpv4Header { kind: self.kind(), code: self.code(), checksum: self.checksum(), rest: self.rest() }
    }
}

/// An ICMP header to be written. The checksum also covers what follows, so the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmpv4Header {
    /// What the message is about.
    pub kind: Icmpv4Type,
    /// The type's detail.
    pub code: u8,
    /// Checksum, or zero before it is computed.
    pub checksum: u16,
    /// The four bytes whose meaning the type decides.
    pub rest: [u8; 4],
}

impl Icmpv4Header {
    /// Offset of the checksum field.
    pub const CHECKSUM_AT: usize = 2;

    /// An echo request or reply.
    #[must_use]
    pub const fn echo(kind: Icmpv4Type, identifier: u16, sequence: u16) -> Self {
        let [a, b] = identifier.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        Self { kind, code: 0, checksum: 0, rest: [a, b, c, d] }
    }

    /// "Fragmentation needed", with the next hop's MTU.
    #[must_use]
    pub const fn fragmentation_needed(mtu: u16) -> Self {
        let [high, low] = mtu.to_be_bytes();
        Self {
            kind: Icmpv4Type::UNREACHABLE,
            code: unreachable::FRAGMENTATION_NEEDED,
            checksum: 0,
            rest: [0, 0, high, low],
        }
    }

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Icmpv4::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Icmpv4::LEN }>(buffer)?;
        put::<0, 2, _>(header, [self.kind.0, self.code]);
        put16::<2, _>(header, self.checksum);
        put::<4, 4, _>(header, self.rest);
        Ok(Icmpv4::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{sum, verify_icmpv4};

    #[test]
    fn an_echo_request_reads_as_sent() {
        // ping, identifier 0x1234, sequence 1, data "pods"
        let message = [8, 0, 0x10, 0xe8, 0x12, 0x34, 0x00, 0x01, b'p', b'o', b'd', b's'];
        let (icmp, data) = Icmpv4::parse(&message).unwrap();
        assert!(icmp.kind().is_echo() && !icmp.kind().is_error());
        assert_eq!((icmp.identifier(), icmp.sequence(), data), (0x1234, 1, &b"pods"[..]));
        assert_eq!(verify_icmpv4(&message), Ok(()));
    }

    #[test]
    fn an_error_carries_the_mtu() {
        let mut message = [0; 8];
        let mut header = Icmpv4Header::fragmentation_needed(1450);
        header.emit(&mut message).unwrap();
        header.checksum = sum(&message).finish();
        header.emit(&mut message).unwrap();
        assert_eq!(verify_icmpv4(&message), Ok(()));
        let (icmp, _) = Icmpv4::parse(&message).unwrap();
        assert!(icmp.kind().is_error());
        assert_eq!(icmp.next_hop_mtu(), 1450);
        assert_eq!(Icmpv4::parse(&message[..7]), Err(Malformed::Icmpv4HeaderTruncated));
    }
}
