//! TCP (RFC 9293) as a switch needs it: ports, flags, window, options, and the clamp of the maximum segment size.

use crate::checksum::{self, Sum};
use crate::emit::{NoRoom, OptionBytes, room_with};
use crate::field::{be16, be32, put, put16, put32};
use crate::malformed::Malformed;
use core::fmt;

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender is done.
    pub const FIN: Self = Self(0x01);
    /// A connection opens.
    pub const SYN: Self = Self(0x02);
    /// The connection is broken off.
    pub const RST: Self = Self(0x04);
    /// Deliver at once.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number means something.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer means something.
    pub const URG: Self = Self(0x20);
    /// Congestion was seen and is echoed.
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced.
    pub const CWR: Self = Self(0x80);

    /// Whether every bit of `flags` is set.
    #[inline]
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any bit of `flags` is set.
    #[inline]
    #[must_use]
    pub const fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// The bits of both.
    #[inline]
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (bit, letter) in "FSRPAUEC".chars().enumerate() {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{letter}")?;
            }
        }
        f.write_str("]")
    }
}

/// A checked view of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
    header: &'a [u8; Tcp::LEN],
    options: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Length of a header without options.
    pub const LEN: usize = 20;

    /// The view and the payload.
    ///
    /// # Errors
    /// [`Malformed::TcpHeaderTruncated`], [`Malformed::TcpBadDataOffset`].
    #[inline]
    pub fn parse(segment: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = segment.split_first_chunk::<{ Tcp::LEN }>().ok_or(Malformed::TcpHeaderTruncated)?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options_len = header_len.checked_sub(Self::LEN).ok_or(Malformed::TcpBadDataOffset)?;
        let (options, payload) = rest.split_at_checked(options_len).ok_or(Malformed::TcpHeaderTruncated)?;
        Ok((Self { header, options }, payload))
    }

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Self::LEN + self.options.len()
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

    /// Sequence number.
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        be32::<4, _>(self.header)
    }

    /// Acknowledgement number.
    #[inline]
    #[must_use]
    pub const fn acknowledgement(&self) -> u32 {
        be32::<8, _>(self.header)
    }

    /// Control bits.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> TcpFlags {
        TcpFlags(self.header[13])
    }

    /// The four bits after the data offset: reserved, the lowest one used by accurate ECN.
    #[inline]
    #[must_use]
    pub const fn reserved(&self) -> u8 {
        self.header[12] & 0x0f
    }

    /// Receive window, unscaled.
    #[inline]
    #[must_use]
    pub const fn window(&self) -> u16 {
        be16::<14, _>(self.header)
    }

    /// The checksum as it came.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        be16::<16, _>(self.header)
    }

    /// Urgent pointer.
    #[inline]
    #[must_use]
    pub const fn urgent(&self) -> u16 {
        be16::<18, _>(self.header)
    }

    /// The options' bytes, padding included.
    #[inline]
    #[must_use]
    pub const fn option_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// Walks the options; ends after the first error.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> TcpOptions<'a> {
        TcpOptions { rest: self.options }
    }

    /// The header as a value.
    #[must_use]
    pub fn header(&self) -> TcpHeader {
        TcpHeader {
            source_port: self.source_port(),
            destination_port: self.destination_port(),
            sequence: self.sequence(),
            acknowledgement: self.acknowledgement(),
            reserved: self.reserved(),
            flags: self.flags(),
            window: self.window(),
            checksum: self.checksum(),
            urgent: self.urgent(),
            options: OptionBytes::new(self.options).unwrap_or_default(),
        }
    }
}

/// One TCP option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// One byte of padding.
    NoOperation,
    /// The largest segment the sender takes (RFC 9293, section 3.7.1).
    MaximumSegmentSize(u16),
    /// Shift of the receive window (RFC 7323).
    WindowScale(u8),
    /// Selective acknowledgements are understood (RFC 2018).
    SackPermitted,
    /// Value and echo (RFC 7323).
    Timestamps(u32, u32),
    /// Any other option, or one of the above with a length not its own: kind and data.
    Other(u8, &'a [u8]),
}

/// Walks the options of a TCP header, up to "end of options".
#[derive(Debug, Clone)]
pub struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = Result<TcpOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((kind, data)) = crate::options::next(&mut self.rest)? else {
            return Some(Err(Malformed::TcpBadOption));
        };
        Some(Ok(match (kind, data) {
            (1, _) => TcpOption::NoOperation,
            (MAXIMUM_SEGMENT_SIZE, &[high, low]) => TcpOption::MaximumSegmentSize(u16::from_be_bytes([high, low])),
            (3, &[shift]) => TcpOption::WindowScale(shift),
            (4, []) => TcpOption::SackPermitted,
            (8, &[a, b, c, d, e, f, g, h]) => {
                TcpOption::Timestamps(u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
            }
            _ => TcpOption::Other(kind, data),
        }))
    }
}

const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Lowers the maximum segment size a SYN announces to at most `most`, and updates the checksum to match; returns
/// whether anything changed. A segment that is no SYN, or says nothing, is left alone.
///
/// # Errors
/// As [`Tcp::parse`], and [`Malformed::TcpBadOption`].
pub fn clamp_maximum_segment_size(segment: &mut [u8], most: u16) -> Result<bool, Malformed> {
    let (tcp, _) = Tcp::parse(segment)?;
    if !tcp.flags().contains(TcpFlags::SYN) {
        return Ok(false);
    }
    let (checksum, header_len) = (tcp.checksum(), tcp.header_len());
    let mut rest = tcp.option_bytes();
    while let Some(option) = crate::options::next(&mut rest) {
        let (kind, data) = option.ok_or(Malformed::TcpBadOption)?;
        let (&[high, low], MAXIMUM_SEGMENT_SIZE) = (data, kind) else {
            continue;
        };
        if u16::from_be_bytes([high, low]) <= most {
            return Ok(false);
        }
        let at = header_len - rest.len() - 2;
        let place = |word: [u8; 2]| {
            let sum = Sum::of_word(u16::from_be_bytes(word));
            if at % 2 == 1 { sum.at_odd_offset() } else { sum }
        };
        let checksum = checksum::update(checksum, place([high, low]), place(most.to_be_bytes()));
        write16(segment, at, most);
        write16(segment, 16, checksum);
        return Ok(true);
    }
    Ok(false)
}

fn write16(segment: &mut [u8], at: usize, value: u16) {
    if let Some(place) = segment.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// A TCP header to be written. The checksum also covers the payload and the pseudo-header, so the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// The four bits after the data offset.
    pub reserved: u8,
    /// Control bits.
    pub flags: TcpFlags,
    /// Receive window, unscaled.
    pub window: u16,
    /// Checksum, or zero before it is computed.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, padded.
    pub options: OptionBytes,
}

impl TcpHeader {
    /// Offset of the checksum field.
    pub const CHECKSUM_AT: usize = 16;

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Tcp::LEN + self.options.len()
    }

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`TcpHeader::header_len`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (header, options) = room_with::<{ Tcp::LEN }>(buffer, self.options.len())?;
        options.copy_from_slice(self.options.as_slice());
        let words = (self.header_len() / 4) as u8;
        put16::<0, _>(header, self.source_port);
        put16::<2, _>(header, self.destination_port);
        put32::<4, _>(header, self.sequence);
        put32::<8, _>(header, self.acknowledgement);
        put::<12, 2, _>(header, [words << 4 | (self.reserved & 0x0f), self.flags.0]);
        put16::<14, _>(header, self.window);
        put16::<16, _>(header, self.checksum);
        put16::<18, _>(header, self.urgent);
        Ok(self.header_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A SYN as Linux sends it: MSS 1460, SACK permitted, timestamps, no operation, window scale 7.
    const LINUX_SYN: [u8; 40] = [
        0x9c, 0x40, 0x00, 0x50, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 0xa0, 0x02, 0xfa, 0xf0, 0, 0, 0, 0, // header
        2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ];

    #[test]
    fn a_linux_syn_reads_as_sent() {
        let (tcp, payload) = Tcp::parse(&LINUX_SYN).unwrap();
        assert_eq!((tcp.source_port(), tcp.destination_port(), payload.len()), (40_000, 80, 0));
        assert_eq!(std::format!("{:?}", tcp.flags()), "[S]");
        let options: Vec<_> = tcp.options().map(Result::unwrap).collect();
        assert_eq!(
            options,
            [
                TcpOption::MaximumSegmentSize(1460),
                TcpOption::SackPermitted,
                TcpOption::Timestamps(1, 0),
                TcpOption::NoOperation,
                TcpOption::WindowScale(7),
            ]
        );
    }

    #[test]
    fn each_lie_about_lengths_has_its_name() {
        assert_eq!(Tcp::parse(&LINUX_SYN[..19]).map(drop), Err(Malformed::TcpHeaderTruncated));
        assert_eq!(Tcp::parse(&LINUX_SYN[..39]).map(drop), Err(Malformed::TcpHeaderTruncated));
        let mut short = LINUX_SYN;
        short[12] = 0x40;
        assert_eq!(Tcp::parse(&short).map(drop), Err(Malformed::TcpBadDataOffset));
        let mut option = LINUX_SYN;
        option[21] = 0;
        assert_eq!(Tcp::parse(&option).unwrap().0.options().last(), Some(Err(Malformed::TcpBadOption)));
        assert_eq!(clamp_maximum_segment_size(&mut option, 1), Err(Malformed::TcpBadOption));
    }

    #[test]
    fn the_clamp_lowers_and_never_raises_and_keeps_the_checksum_true() {
        for shift in [0, 1] {
            let mut syn = LINUX_SYN;
            if shift == 1 {
                syn[20..25].copy_from_slice(&[1, 2, 4, 0x05, 0xb4]); // the size at an odd offset
                syn[25..28].copy_from_slice(&[1, 1, 1]);
                syn[28..36].copy_from_slice(&[1; 8]);
            }
            let checksum = checksum::sum(&syn).finish();
            write16(&mut syn, TcpHeader::CHECKSUM_AT, checksum);
            assert_eq!(clamp_maximum_segment_size(&mut syn, 1460), Ok(false));
            assert_eq!(clamp_maximum_segment_size(&mut syn, 1410), Ok(true));
            assert_eq!(checksum::verify_tcp(Sum::ZERO, &syn), Ok(()));
            let (tcp, _) = Tcp::parse(&syn).unwrap();
            assert!(tcp.options().any(|option| option == Ok(TcpOption::MaximumSegmentSize(1410))));
            syn[13] = TcpFlags::ACK.0;
            assert_eq!(clamp_maximum_segment_size(&mut syn, 500), Ok(false), "no SYN, no clamp");
        }
    }
}
