//! IPv4 (RFC 791): header, options, fragments. The payload ends where the header says, not where the frame does.

use crate::checksum::{self, Sum};
use crate::emit::{NoRoom, OptionBytes, room_with};
use crate::field::{be16, bytes, put, put16};
use crate::ip::IpProtocol;
use crate::malformed::Malformed;
use core::net::Ipv4Addr;

/// A checked view of an IPv4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4<'a> {
    header: &'a [u8; Ipv4::LEN],
    options: &'a [u8],
}

/// Flags and fragment offset share a word: reserved, don't fragment, more fragments, 13 bits of offset.
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

impl<'a> Ipv4<'a> {
    /// Length of a header without options.
    pub const LEN: usize = 20;

    /// The view and the payload, cut to the total length. The header's checksum is not looked at.
    ///
    /// # Errors
    /// Any `Malformed::Ipv4…` but those of options and checksum.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (view, rest) = Self::parse_header(bytes)?;
        let payload_len = view.payload_len();
        let payload = rest.get(..payload_len).ok_or(Malformed::Ipv4TotalLengthTooLong)?;
        if view.is_fragment() {
            view.check_fragment(payload_len)?;
        }
        Ok((view, payload))
    }

    /// The view and as much of the payload as is there, for a packet quoted in an ICMP error, which may be cut short.
    ///
    /// # Errors
    /// Those of [`Ipv4::parse`] that concern the header's own length and version.
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (view, rest) = Self::parse_header(bytes)?;
        Ok((view, rest.get(..view.payload_len()).unwrap_or(rest)))
    }

    #[inline]
    fn parse_header(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = bytes.split_first_chunk::<{ Ipv4::LEN }>().ok_or(Malformed::Ipv4HeaderTruncated)?;
        if header[0] >> 4 != 4 {
            return Err(Malformed::Ipv4BadVersion);
        }
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let options_len = header_len.checked_sub(Self::LEN).ok_or(Malformed::Ipv4BadHeaderLength)?;
        let (options, rest) = rest.split_at_checked(options_len).ok_or(Malformed::Ipv4HeaderTruncated)?;
        let view = Self { header, options };
        match usize::from(view.total_len()) < header_len {
            true => Err(Malformed::Ipv4TotalLengthTooShort),
            false => Ok((view, rest)),
        }
    }

    /// Refuses fragments that no honest sender makes (RFC 791, RFC 1858, RFC 3128).
    #[cold]
    fn check_fragment(&self, payload_len: usize) -> Result<(), Malformed> {
        if self.more_fragments() && !payload_len.is_multiple_of(8) {
            return Err(Malformed::Ipv4FragmentUnaligned);
        }
        if usize::from(self.fragment_offset()) + payload_len + self.header_len() > usize::from(u16::MAX) {
            return Err(Malformed::Ipv4FragmentOverrun);
        }
        if self.fragment_offset() == 8 && self.protocol() == IpProtocol::TCP {
            return Err(Malformed::Ipv4FragmentHidesTcp);
        }
        Ok(())
    }

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Self::LEN + self.options.len()
    }

    /// Differentiated services: the upper six bits of the second byte.
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.header[1] >> 2
    }

    /// Explicit congestion notification: the lower two bits of the second byte.
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> u8 {
        self.header[1] & 3
    }

    /// Length of header and payload, in bytes.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> u16 {
        be16::<2, _>(self.header)
    }

    /// Length of the payload, in bytes.
    #[inline]
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        (self.total_len() as usize).saturating_sub(self.header_len())
    }

    /// What the fragments of one packet have in common.
    #[inline]
    #[must_use]
    pub const fn identification(&self) -> u16 {
        be16::<4, _>(self.header)
    }

    /// Whether routers must not fragment the packet.
    #[inline]
    #[must_use]
    pub const fn dont_fragment(&self) -> bool {
        be16::<6, _>(self.header) & DONT_FRAGMENT != 0
    }

    /// Whether more fragments follow this one.
    #[inline]
    #[must_use]
    pub const fn more_fragments(&self) -> bool {
        be16::<6, _>(self.header) & MORE_FRAGMENTS != 0
    }

    /// Where in the whole packet's payload this fragment belongs, in bytes.
    #[inline]
    #[must_use]
    pub const fn fragment_offset(&self) -> u16 {
        (be16::<6, _>(self.header) & FRAGMENT_OFFSET) << 3
    }

    /// Whether this is a part of a packet.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        be16::<6, _>(self.header) & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Hops left.
    #[inline]
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// What comes next.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> IpProtocol {
        IpProtocol(self.header[9])
    }

    /// The header's checksum as it came.
    #[inline]
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        be16::<10, _>(self.header)
    }

    /// Who sent the packet.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(bytes::<12, 4, _>(self.header))
    }

    /// Who the packet is for.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(bytes::<16, 4, _>(self.header))
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
    pub const fn options(&self) -> Ipv4Options<'a> {
        Ipv4Options { rest: self.options }
    }

    /// The sum of the pseudo-header for a transport of `len` bytes.
    #[inline]
    #[must_use]
    pub fn pseudo(&self, len: u16) -> Sum {
        checksum::pseudo_v4(self.source(), self.destination(), self.protocol(), len)
    }

    /// Checks the header's checksum.
    ///
    /// # Errors
    /// [`Malformed::Ipv4BadChecksum`].
    #[inline]
    pub fn verify_checksum(&self) -> Result<(), Malformed> {
        match checksum::sum(self.header).plus(checksum::sum(self.options)).is_valid() {
            true => Ok(()),
            false => Err(Malformed::Ipv4BadChecksum),
        }
    }

    /// The header as a value.
    #[must_use]
    pub fn header(&self) -> Ipv4Header {
        Ipv4Header {
            dscp: self.dscp(),
            ecn: self.ecn(),
            payload_len: self.payload_len() as u16,
            identification: self.identification(),
            dont_fragment: self.dont_fragment(),
            more_fragments: self.more_fragments(),
            fragment_offset: self.fragment_offset(),
            ttl: self.ttl(),
            protocol: self.protocol(),
            source: self.source(),
            destination: self.destination(),
            options: OptionBytes::new(self.options).unwrap_or_default(),
        }
    }
}

/// One IPv4 option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Option<'a> {
    /// Copied flag, class and number, as one byte.
    pub kind: u8,
    /// What follows the length byte; empty for the one-byte option "no operation".
    pub data: &'a [u8],
}

/// Walks the options of an IPv4 header, up to "end of options".
#[derive(Debug, Clone)]
pub struct Ipv4Options<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ipv4Options<'a> {
    type Item = Result<Ipv4Option<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match crate::options::next(&mut self.rest)? {
            Some((kind, data)) => Some(Ok(Ipv4Option { kind, data })),
            None => Some(Err(Malformed::Ipv4BadOption)),
        }
    }
}

/// An IPv4 header to be written. It has no checksum field: the checksum covers the header alone and is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Differentiated services, 6 bits.
    pub dscp: u8,
    /// Explicit congestion notification, 2 bits.
    pub ecn: u8,
    /// Bytes that follow the header.
    pub payload_len: u16,
    /// What the fragments of one packet have in common.
    pub identification: u16,
    /// Whether routers must not fragment the packet.
    pub dont_fragment: bool,
    /// Whether more fragments follow.
    pub more_fragments: bool,
    /// Where in the whole packet's payload this belongs, in bytes; a multiple of eight.
    pub fragment_offset: u16,
    /// Hops left.
    pub ttl: u8,
    /// What comes next.
    pub protocol: IpProtocol,
    /// Who sends the packet.
    pub source: Ipv4Addr,
    /// Who the packet is for.
    pub destination: Ipv4Addr,
    /// Options, padded.
    pub options: OptionBytes,
}

impl Ipv4Header {
    /// A header without options, not a fragment, TTL 64.
    #[must_use]
    pub const fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, payload_len: u16) -> Self {
        Self {
            dscp: 0,
            ecn: 0,
            payload_len,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            source,
            destination,
            options: OptionBytes::NONE,
        }
    }

    /// Length of the header with its options, in bytes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        Ipv4::LEN + self.options.len()
    }

    /// Writes the header with its checksum and returns its length. A packet of more than 65,535 bytes is written with
    /// that length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Ipv4Header::header_len`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let (header, options) = room_with::<{ Ipv4::LEN }>(buffer, self.options.len())?;
        options.copy_from_slice(self.options.as_slice());
        let header_len = self.header_len();
        header[0] = 0x40 | (header_len / 4) as u8;
        header[1] = (self.dscp << 2) | (self.ecn & 3);
        put16::<2, _>(header, self.payload_len.saturating_add(header_len as u16));
        put16::<4, _>(header, self.identification);
        let flags =
            if self.dont_fragment { DONT_FRAGMENT } else { 0 } | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        put16::<6, _>(header, flags | (self.fragment_offset >> 3));
        header[8] = self.ttl;
        header[9] = self.protocol.0;
        put16::<10, _>(header, 0);
        put::<12, 4, _>(header, self.source.octets());
        put::<16, 4, _>(header, self.destination.octets());
        let sum = checksum::sum(header).plus(checksum::sum(options));
        put16::<10, _>(header, sum.finish());
        Ok(header_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An SSH packet's header, its checksum worked out by hand.
    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x14, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0xb2, 0x0e, 0xac, 0x10, 0x0a, 0x63, 0xac, 0x10,
        0x0a, 0x0c,
    ];

    fn changed(at: usize, byte: u8) -> Result<(), Malformed> {
        let mut header = HEADER;
        header[at] = byte;
        Ipv4::parse(&header).map(drop)
    }

    #[test]
    fn each_lie_about_lengths_has_its_name() {
        assert_eq!(Ipv4::parse(&HEADER[..19]).map(drop), Err(Malformed::Ipv4HeaderTruncated));
        assert_eq!(changed(0, 0x65), Err(Malformed::Ipv4BadVersion));
        assert_eq!(changed(0, 0x44), Err(Malformed::Ipv4BadHeaderLength));
        assert_eq!(changed(0, 0x46), Err(Malformed::Ipv4HeaderTruncated));
        assert_eq!(changed(3, 0x13), Err(Malformed::Ipv4TotalLengthTooShort));
        assert_eq!(changed(3, 0x15), Err(Malformed::Ipv4TotalLengthTooLong));
    }

    #[test]
    fn ethernet_padding_is_cut_off() {
        let mut padded = [0; 46];
        padded[..20].copy_from_slice(&HEADER);
        assert!(Ipv4::parse(&padded).is_ok_and(|(_, payload)| payload.is_empty()));
    }

    #[test]
    fn the_checksum_is_verified_and_emitted() {
        let (view, _) = Ipv4::parse(&HEADER).unwrap();
        assert_eq!(view.verify_checksum(), Ok(()));
        let mut emitted = [0; 20];
        assert_eq!(view.header().emit(&mut emitted), Ok(20));
        assert_eq!(emitted, HEADER);
        let mut wrong = HEADER;
        wrong[8] = 63;
        assert_eq!(Ipv4::parse(&wrong).unwrap().0.verify_checksum(), Err(Malformed::Ipv4BadChecksum));
    }

    fn fragment(offset: u16, more: bool, len: u16) -> Result<(), Malformed> {
        let mut packet = [0; 128];
        let mut header = Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, IpProtocol::TCP, len);
        header.more_fragments = more;
        header.fragment_offset = offset;
        header.emit(&mut packet).unwrap();
        Ipv4::parse(&packet).map(drop)
    }

    #[test]
    fn dishonest_fragments_are_refused_by_name() {
        assert_eq!(fragment(1480, false, 5), Ok(()));
        assert_eq!(fragment(0, true, 64), Ok(()));
        assert_eq!(fragment(0, true, 65), Err(Malformed::Ipv4FragmentUnaligned));
        assert_eq!(fragment(65528, false, 8), Err(Malformed::Ipv4FragmentOverrun));
        assert_eq!(fragment(8, false, 8), Err(Malformed::Ipv4FragmentHidesTcp));
    }

    #[test]
    fn options_are_walked_to_the_first_error() {
        let walk = |options: &'static [u8]| Ipv4Options { rest: options }.collect::<std::vec::Vec<_>>();
        let alert = Ok(Ipv4Option { kind: 148, data: &[0, 0] });
        assert_eq!(walk(&[1, 148, 4, 0, 0, 0, 9, 9]), [Ok(Ipv4Option { kind: 1, data: &[] }), alert]);
        assert_eq!(walk(&[148, 5, 0, 0]), [Err(Malformed::Ipv4BadOption)]);
        assert_eq!(walk(&[148, 1, 0, 0]), [Err(Malformed::Ipv4BadOption)]);
    }
}
