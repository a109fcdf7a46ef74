//! SCTP (RFC 9260): the common header, and the chunks far enough to tell an INIT from the rest.
//!
//! Its CRC32c covers no address, so a switch never has to touch it and does not compute it here.

use crate::emit::{NoRoom, room};
use crate::field::{be16, be32, put16, put32};
use crate::malformed::Malformed;

/// A checked view of an SCTP common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sctp<'a> {
    header: &'a [u8; Sctp::LEN],
}

impl<'a> Sctp<'a> {
    /// The common header's length in bytes.
    pub const LEN: usize = 12;

    /// The view and the chunks.
    ///
    /// # Errors
    /// [`Malformed::SctpHeaderTruncated`].
    #[inline]
    pub const fn parse(packet: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match packet.split_first_chunk() {
            Some((header, chunks)) => Ok((Self { header }, chunks)),
            None => Err(Malformed::SctpHeaderTruncated),
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

    /// What tells this association's packets from a blind attacker's; zero in an INIT.
    #[inline]
    #[must_use]
    pub const fn verification_tag(&self) -> u32 {
        be32::<4, _>(self.header)
    }

    /// The CRC32c as it came.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u32 {
        be32::<8, _>(self.header)
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> SctpHeader {
        SctpHeader {
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            verification_tag: self.verification_tag(),
            checksum: self.checksum(),
        }
    }
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpChunk<'a> {
    /// Chunk type.
    pub kind: u8,
    /// Flags, whose meaning the type decides.
    pub flags: u8,
    /// Value, padding cut off.
    pub value: &'a [u8],
}

impl SctpChunk<'_> {
    /// An association opens.
    pub const INIT: u8 = 1;
    /// The association is broken off.
    pub const ABORT: u8 = 6;
    /// The association is closed.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// Walks the chunks behind a common header; ends after the first error.
#[derive(Debug, Clone)]
pub struct SctpChunks<'a> {
    rest: &'a [u8],
}

impl<'a> SctpChunks<'a> {
    /// A walk over what [`Sctp::parse`] returned behind the header.
    #[inline]
    #[must_use]
    pub const fn new(chunks: &'a [u8]) -> Self {
        Self { rest: chunks }
    }

    fn chunk(&mut self) -> Option<SctpChunk<'a>> {
        let bytes = core::mem::take(&mut self.rest);
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let [kind, flags, ..] = *head;
        let value_len = usize::from(be16::<2, _>(head)).checked_sub(head.len())?;
        let value = rest.get(..value_len)?;
        // A last chunk without its padding is let pass: nothing here depends on it.
        self.rest = rest.get(value_len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(SctpChunk { kind, flags, value })
    }
}

impl<'a> Iterator for SctpChunks<'a> {
    type Item = Result<SctpChunk<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.chunk().ok_or(Malformed::SctpBadChunk))
    }
}

/// An SCTP common header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SctpHeader {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Verification tag.
    pub verification_tag: u32,
    /// CRC32c of the whole packet, as the number that is written big-endian.
    pub checksum: u32,
}

impl SctpHeader {
    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Sctp::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Sctp::LEN }>(buffer)?;
        put16::<0, _>(header, self.source_port);
        put16::<2, _>(header, self.destination_port);
        put32::<4, _>(header, self.verification_tag);
        put32::<8, _>(header, self.checksum);
        Ok(Sctp::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn chunks_are_walked_with_and_without_their_last_padding() {
        let cookie_and_abort = [10, 0, 0, 5, 0xaa, 0, 0, 0, 6, 1, 0, 6, 1, 2];
        let chunks: Vec<_> = SctpChunks::new(&cookie_and_abort).map(Result::unwrap).collect();
        assert_eq!(chunks[0], SctpChunk { kind: 10, flags: 0, value: &[0xaa] });
        assert_eq!(chunks[1], SctpChunk { kind: SctpChunk::ABORT, flags: 1, value: &[1, 2] });
        assert_eq!(chunks.len(), 2);
    }

    #[test]
    fn chunks_that_lie_end_the_walk() {
        for lie in [&[1, 0, 0, 3][..], &[1, 0, 0, 9, 0, 0, 0, 0], &[1, 0, 0]] {
            let walk: Vec<_> = SctpChunks::new(lie).collect();
            assert_eq!(walk, [Err(Malformed::SctpBadChunk)]);
        }
        assert_eq!(Sctp::parse(&[0; 11]), Err(Malformed::SctpHeaderTruncated));
    }
}
