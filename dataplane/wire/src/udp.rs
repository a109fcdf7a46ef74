//! UDP (RFC 768). The payload ends where the UDP length says, which may be before the IP packet does.

use crate::emit::{NoRoom, room};
use crate::field::{be16, put16};
use crate::malformed::Malformed;

/// A checked view of a UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp<'a> {
    header: &'a [u8; Udp::LEN],
}

impl<'a> Udp<'a> {
    /// The header's length in bytes.
    pub const LEN: usize = 8;

    /// The view and the payload, cut to the datagram's length.
    ///
    /// # Errors
    /// [`Malformed::UdpHeaderTruncated`], [`Malformed::UdpLengthTooShort`], [`Malformed::UdpLengthTooLong`].
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (view, rest) = Self::parse_first_fragment(datagram)?;
        let payload = rest.get(..view.payload_len()).ok_or(Malformed::UdpLengthTooLong)?;
        Ok((view, payload))
    }

    /// The view and all that follows, for a first fragment: there the length counts bytes still to come.
    ///
    /// # Errors
    /// [`Malformed::UdpHeaderTruncated`], [`Malformed::UdpLengthTooShort`].
    #[inline]
    pub fn parse_first_fragment(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = datagram.split_first_chunk().ok_or(Malformed::UdpHeaderTruncated)?;
        let view = Self { header };
        match usize::from(view.len()) < Self::LEN {
            true => Err(Malformed::UdpLengthTooShort),
            false => Ok((view, rest)),
        }
    }

    /// The sender's port.
    #[inline]
    #[must_use]
    pub const fn source_port(&self) -> u16 {
        be16::<0, _>(self.header)
    }

    /// The receiver's port.
    #[inline]
    #[must_use]
    pub const fn destination_port(&self) -> u16 {
        be16::<2, _>(self.header)
    }

    /// Length of header and payload, in bytes; at least eight.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a datagram has at least its header")]
    pub const fn len(&self) -> u16 {
        be16::<4, _>(self.header)
    }

    /// Length of the payload, in bytes.
    #[inline]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        (self.len() as usize).saturating_sub(Self::LEN)
    }

    /// The checksum as it came; zero means none.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        be16::<6, _>(self.header)
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> UdpHeader {
        UdpHeader {
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            len: self.len(),
            checksum: self.checksum(),
        }
    }
}

/// A UDP header to be written. The checksum also covers the payload and the pseudo-header, so the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UdpHeader {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Length of header and payload, in bytes.
    pub len: u16,
    /// Checksum; zero means none, or not yet computed.
    pub checksum: u16,
}

impl UdpHeader {
    /// Offset of the checksum field.
    pub const CHECKSUM_AT: usize = 6;

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Udp::LEN`].
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Udp::LEN }>(buffer)?;
        put16::<0, _>(header, self.source_port);
        put16::<2, _>(header, self.destination_port);
        put16::<4, _>(header, self.len);
        put16::<6, _>(header, self.checksum);
        Ok(Udp::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_held_to_what_arrived() {
        let datagram = [0, 53, 0x30, 0x39, 0, 9, 0, 0, 0xaa, 0xbb];
        assert!(Udp::parse(&datagram).is_ok_and(|(_, payload)| payload == [0xaa]));
        let with_len = |len| [0, 53, 0x30, 0x39, 0, len, 0, 0, 0xaa, 0xbb];
        assert_eq!(Udp::parse(&with_len(7)), Err(Malformed::UdpLengthTooShort));
        assert_eq!(Udp::parse(&with_len(11)), Err(Malformed::UdpLengthTooLong));
        assert!(Udp::parse_first_fragment(&with_len(11)).is_ok());
        assert_eq!(Udp::parse(&datagram[..7]), Err(Malformed::UdpHeaderTruncated));
    }
}
