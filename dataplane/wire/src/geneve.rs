//! Geneve (RFC 8926): eight bytes and up to 252 of options between a UDP header and an inner packet.

use crate::emit::{NoRoom, room_with};
use crate::ethernet::EtherType;
use crate::field::{be16, be32, put, put16};
use crate::malformed::Malformed;

/// The first byte: two bits of version, six that count the options' words.
const VERSION: u8 = 0xc0;
const OPTION_WORDS: u8 = 0x3f;

/// The second byte: control packet, critical options, six reserved bits.
const CONTROL: u8 = 0x80;
const CRITICAL: u8 = 0x40;

/// A checked view of a Geneve header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geneve<'a> {
    header: &'a [u8; Geneve::LEN],
    options: &'a [u8],
}

impl<'a> Geneve<'a> {
    /// Length of a header without options.
    pub const LEN: usize = 8;
    /// The most bytes of options a header can count.
    pub const MAX_OPTIONS: usize = OPTION_WORDS as usize * 4;
    /// The UDP port that IANA gave to Geneve.
    pub const PORT: u16 = 6081;

    /// The view and the inner packet, an Ethernet frame if [`Geneve::protocol`] says so. Options are not looked into:
    /// their lengths count only for who reads them.
    ///
    /// # Errors
    /// [`Malformed::GeneveHeaderTruncated`], [`Malformed::GeneveBadVersion`].
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = datagram.split_first_chunk::<{ Geneve::LEN }>().ok_or(Malformed::GeneveHeaderTruncated)?;
        if header[0] & VERSION != 0 {
            return Err(Malformed::GeneveBadVersion);
        }
        let options_len = usize::from(header[0] & OPTION_WORDS) * 4;
        let (options, inner) = rest.split_at_checked(options_len).ok_or(Malformed::GeneveHeaderTruncated)?;
        Ok((Self { header, options }, inner))
    }

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Self::LEN + self.options.len()
    }

    /// Whether this is a control packet (O bit): a tunnel's end keeps it and never forwards what is inside.
    #[inline]
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.header[1] & CONTROL != 0
    }

    /// Whether there are critical options (C bit): who does not understand options must drop the packet.
    #[inline]
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.header[1] & CRITICAL != 0
    }

    /// What is inside; [`EtherType::ETHERNET`] for an Ethernet frame.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> EtherType {
        EtherType(be16::<2, _>(self.header))
    }

    /// The network identifier (VNI), 24 bits.
    #[inline]
    #[must_use]
    pub const fn network(&self) -> u32 {
        be32::<4, _>(self.header) >> 8
    }

    /// Whether any reserved bit is set, which a receiver must not mind (RFC 8926, section 3.4).
    #[inline]
    #[must_use]
    pub const fn has_reserved_bits(&self) -> bool {
        self.header[1] & !(CONTROL | CRITICAL) != 0 || self.header[7] != 0
    }

    /// The options' bytes.
    #[inline]
    #[must_use]
    pub const fn option_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// Walks the options; ends after the first error.
    #[inline]
    #[must_use]
    pub const fn options(&self) -> GeneveOptions<'a> {
        GeneveOptions { rest: self.options }
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> GeneveHeader<'a> {
        GeneveHeader {
            network: self.network(),
            protocol: self.protocol(),
            control: self.is_control(),
            critical: self.is_critical(),
            options: self.options,
        }
    }
}

/// One Geneve option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneveOption<'a> {
    /// Who defined the option (IANA, Geneve Option Class).
    pub class: u16,
    /// Its type within the class. The highest bit says that it is critical.
    pub kind: u8,
    /// Its value, a whole number of words.
    pub data: &'a [u8],
}

impl<'a> GeneveOption<'a> {
    /// Length of an option without its value.
    pub const LEN: usize = 4;

    /// Whether a packet must be dropped by who does not know this option.
    #[inline]
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.kind & 0x80 != 0
    }

    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<{ GeneveOption::LEN }>()?;
        let data_len = usize::from(header[3] & 0x1f) * 4;
        let (data, rest) = rest.split_at_checked(data_len)?;
        Some((Self { class: be16::<0, _>(header), kind: header[2], data }, rest))
    }
}

/// Walks the options of a Geneve header.
#[derive(Debug, Clone)]
pub struct GeneveOptions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for GeneveOptions<'a> {
    type Item = Result<GeneveOption<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = core::mem::take(&mut self.rest);
        Some(GeneveOption::take(bytes).ok_or(Malformed::GeneveBadOption).map(|(option, rest)| {
            self.rest = rest;
            option
        }))
    }
}

/// A Geneve header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneveHeader<'a> {
    /// The network identifier (VNI); its low 24 bits are sent.
    pub network: u32,
    /// What is inside.
    pub protocol: EtherType,
    /// Whether this is a control packet.
    pub control: bool,
    /// Whether there are critical options.
    pub critical: bool,
    options: &'a [u8],
}

impl<'a> GeneveHeader<'a> {
    /// A header for an Ethernet frame, without options.
    #[must_use]
    pub const fn new(network: u32) -> Self {
        Self { network, protocol: EtherType::ETHERNET, control: false, critical: false, options: &[] }
    }

    /// The same with these options; `None` when they are longer than [`Geneve::MAX_OPTIONS`] or no whole number of
    /// 32-bit words. There is no padding option, so they cannot be padded here.
    #[must_use]
    pub const fn with_options(self, options: &'a [u8]) -> Option<Self> {
        if options.len() > Geneve::MAX_OPTIONS || !options.len().is_multiple_of(4) {
            return None;
        }
        Some(Self { options, ..self })
    }

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Geneve::LEN + self.options.len()
    }

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`GeneveHeader::header_len`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (header, options) = room_with::<{ Geneve::LEN }>(buffer, self.options.len())?;
        options.copy_from_slice(self.options);
        let flags = if self.control { CONTROL } else { 0 } | if self.critical { CRITICAL } else { 0 };
        put::<0, 2, _>(header, [(self.options.len() / 4) as u8, flags]);
        put16::<2, _>(header, self.protocol.0);
        put::<4, 4, _>(header, (self.network << 8).to_be_bytes());
        Ok(self.header_len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// As the Linux device sends it with one option set: class 0x0102, critical type 0x80, one word.
    const WITH_OPTION: [u8; 18] =
        [0x02, 0x40, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, 0x01, 0x02, 0x80, 0x01, 0xca, 0xfe, 0xba, 0xbe, 0xee, 0xef];

    #[test]
    fn a_header_with_an_option_reads_as_sent() {
        let (geneve, inner) = Geneve::parse(&WITH_OPTION).unwrap();
        assert_eq!((geneve.network(), geneve.protocol(), inner), (0x12_3456, EtherType::ETHERNET, &[0xee, 0xef][..]));
        assert!(geneve.is_critical() && !geneve.is_control() && !geneve.has_reserved_bits());
        let option = GeneveOption { class: 0x0102, kind: 0x80, data: &[0xca, 0xfe, 0xba, 0xbe] };
        assert!(option.is_critical());
        assert_eq!(geneve.options().collect::<Vec<_>>(), [Ok(option)]);
        let mut emitted = [0xff; 16];
        assert_eq!(geneve.header().emit(&mut emitted), Ok(16));
        assert_eq!(emitted, WITH_OPTION[..16]);
    }

    #[test]
    fn reserved_bits_are_told_and_not_minded() {
        for (at, bits) in [(1, 0x01), (1, 0x20), (7, 0x80)] {
            let mut datagram = WITH_OPTION;
            datagram[at] |= bits;
            assert!(Geneve::parse(&datagram).is_ok_and(|(geneve, _)| geneve.has_reserved_bits()));
        }
        let control = [0, 0x80, 0x65, 0x58, 0, 0, 1, 0];
        assert!(Geneve::parse(&control).is_ok_and(|(geneve, _)| geneve.is_control() && !geneve.has_reserved_bits()));
    }

    #[test]
    fn each_lie_has_its_name() {
        assert_eq!(Geneve::parse(&WITH_OPTION[..7]), Err(Malformed::GeneveHeaderTruncated));
        assert_eq!(Geneve::parse(&WITH_OPTION[..15]), Err(Malformed::GeneveHeaderTruncated));
        let mut version = WITH_OPTION;
        version[0] |= 0x40;
        assert_eq!(Geneve::parse(&version), Err(Malformed::GeneveBadVersion));
        let mut option = WITH_OPTION;
        option[11] = 2;
        let (geneve, _) = Geneve::parse(&option).unwrap();
        assert_eq!(geneve.options().collect::<Vec<_>>(), [Err(Malformed::GeneveBadOption)]);
    }

    #[test]
    fn options_that_no_header_can_count_are_refused() {
        let header = GeneveHeader::new(1);
        assert!(header.with_options(&[0; 252]).is_some_and(|header| header.header_len() == 260));
        assert_eq!(header.with_options(&[0; 256]), None);
        assert_eq!(header.with_options(&[0; 3]), None);
    }
}
