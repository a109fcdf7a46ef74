//! IPv6 (RFC 8200): the fixed header, and a bounded walk over the extension headers to what they carry.

use crate::checksum::{self, Sum};
use crate::emit::{NoRoom, room};
use crate::field::{be16, be32, bytes, put, put16, put32};
use crate::ip::IpProtocol;
use crate::malformed::Malformed;
use core::net::Ipv6Addr;

/// The most extension headers a packet may carry. Each is a load that depends on the last, so a sender could buy our
/// time with them; RFC 8883 foresees such a limit and has an error code for it.
pub const MAX_EXTENSIONS: usize = 8;

/// A checked view of an IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6<'a> {
    header: &'a [u8; Ipv6::LEN],
}

impl<'a> Ipv6<'a> {
    /// The header's length in bytes, extension headers not counted.
    pub const LEN: usize = 40;

    /// The view and the payload, extension headers included, cut to the payload length.
    ///
    /// # Errors
    /// [`Malformed::Ipv6HeaderTruncated`], [`Malformed::Ipv6BadVersion`], [`Malformed::Ipv6PayloadLengthTooLong`],
    /// [`Malformed::Ipv6Jumbogram`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (view, rest) = Self::parse_header(bytes)?;
        let payload = rest.get(..usize::from(view.payload_len())).ok_or(Malformed::Ipv6PayloadLengthTooLong)?;
        if payload.is_empty() && view.next_header() == IpProtocol::HOP_BY_HOP {
            return Err(Malformed::Ipv6Jumbogram);
        }
        Ok((view, payload))
    }

    /// The view and as much of the payload as is there, for a packet quoted in an ICMPv6 error, which may be cut short.
    ///
    /// # Errors
    /// [`Malformed::Ipv6HeaderTruncated`], [`Malformed::Ipv6BadVersion`].
    pub fn parse_quoted(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (view, rest) = Self::parse_header(bytes)?;
        Ok((view, rest.get(..usize::from(view.payload_len())).unwrap_or(rest)))
    }

    #[inline]
    fn parse_header(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (header, rest) = bytes.split_first_chunk::<{ Ipv6::LEN }>().ok_or(Malformed::Ipv6HeaderTruncated)?;
        match header[0] >> 4 {
            6 => Ok((Self { header }, rest)),
            _ => Err(Malformed::Ipv6BadVersion),
        }
    }

    /// Traffic class: six bits of differentiated services and two of congestion notification.
    #[inline]
    #[must_use]
    pub const fn traffic_class(&self) -> u8 {
        (be16::<0, _>(self.header) >> 4) as u8
    }

    /// Flow label, 20 bits.
    #[inline]
    #[must_use]
    pub const fn flow_label(&self) -> u32 {
        be32::<0, _>(self.header) & 0x000f_ffff
    }

    /// Bytes that follow this header, extension headers included.
    #[inline]
    #[must_use]
    pub const fn payload_len(&self) -> u16 {
        be16::<4, _>(self.header)
    }

    /// What comes next: an extension header or an upper protocol.
    #[inline]
    #[must_use]
    pub const fn next_header(&self) -> IpProtocol {
        IpProtocol(self.header[6])
    }

    /// Hops left.
    #[inline]
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Who sent the packet.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(bytes::<8, 16, _>(self.header))
    }

    /// Who the packet is for.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(bytes::<24, 16, _>(self.header))
    }

    /// The sum of the pseudo-header for an upper protocol of `len` bytes. With a routing header that has segments left
    /// the destination is not the final one, and a switch cannot verify the checksum.
    #[inline]
    #[must_use]
    pub fn pseudo(&self, protocol: IpProtocol, len: u32) -> Sum {
        checksum::pseudo_v6(self.source(), self.destination(), protocol, len)
    }

    /// Walks the extension headers in `payload`, as [`Ipv6::parse`] returned it.
    ///
    /// # Errors
    /// As [`Upper::parse`].
    #[inline]
    pub fn upper(&self, payload: &'a [u8]) -> Result<Upper<'a>, Malformed> {
        Upper::parse(self.next_header(), payload)
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> Ipv6Header {
        Ipv6Header {
            traffic_class: self.traffic_class(),
            flow_label: self.flow_label(),
            payload_len: self.payload_len(),
            next_header: self.next_header(),
            hop_limit: self.hop_limit(),
            source: self.source(),
            destination: self.destination(),
        }
    }
}

/// What lies behind the extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upper<'a> {
    /// The upper protocol. Of a later fragment, the one its fragment header names, which may be another extension.
    pub protocol: IpProtocol,
    /// Length of all extension headers together.
    pub extensions_len: usize,
    /// Set when the packet has a fragment header.
    pub fragment: Option<Ipv6Fragment>,
    /// The upper protocol's bytes; of a later fragment, bytes from the middle of the packet.
    pub payload: &'a [u8],
}

impl<'a> Upper<'a> {
    /// Walks extension headers from `next`, whose bytes come first in `payload`.
    ///
    /// # Errors
    /// [`Malformed::Ipv6TooManyExtensions`], [`Malformed::Ipv6HopByHopNotFirst`], [`Malformed::Ipv6ExtensionTruncated`],
    /// [`Malformed::Ipv6ExtensionBadLength`], and those about fragments.
    #[inline]
    pub fn parse(next: IpProtocol, payload: &'a [u8]) -> Result<Self, Malformed> {
        let upper = Self { protocol: next, extensions_len: 0, fragment: None, payload };
        match next.is_extension() {
            true => upper.walk(),
            false => Ok(upper),
        }
    }

    fn walk(mut self) -> Result<Self, Malformed> {
        let mut count = 0;
        while self.protocol.is_extension() && !self.is_later_fragment() {
            if count == MAX_EXTENSIONS {
                return Err(Malformed::Ipv6TooManyExtensions);
            }
            if count > 0 && self.protocol == IpProtocol::HOP_BY_HOP {
                return Err(Malformed::Ipv6HopByHopNotFirst);
            }
            count += 1;
            self.step()?;
        }
        Ok(self)
    }

    /// Steps over one extension header.
    fn step(&mut self) -> Result<(), Malformed> {
        let start = self.payload.first_chunk::<8>().ok_or(Malformed::Ipv6ExtensionTruncated)?;
        let [next, len, ..] = *start;
        let len = match self.protocol {
            IpProtocol::FRAGMENT => Ipv6Fragment::LEN,
            IpProtocol::AUTHENTICATION if len == 0 => {
                return Err(Malformed::Ipv6ExtensionBadLength);
            }
            IpProtocol::AUTHENTICATION => usize::from(len) * 4 + 8,
            _ => usize::from(len) * 8 + 8,
        };
        let rest = self.payload.get(len..).ok_or(Malformed::Ipv6ExtensionTruncated)?;
        if self.protocol == IpProtocol::FRAGMENT {
            if self.fragment.is_some() {
                return Err(Malformed::Ipv6RepeatedFragment);
            }
            let fragment = Ipv6Fragment::from_bytes(start);
            fragment.check(self.extensions_len, rest.len())?;
            self.fragment = Some(fragment);
        }
        self.protocol = IpProtocol(next);
        self.extensions_len += len;
        self.payload = rest;
        Ok(())
    }

    /// Whether the packet is a part of another; an atomic fragment (RFC 6946) is whole.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        match self.fragment {
            Some(fragment) => fragment.more || fragment.offset != 0,
            None => false,
        }
    }

    /// Whether the packet is a part that has no upper header.
    #[inline]
    #[must_use]
    pub const fn is_later_fragment(&self) -> bool {
        match self.fragment {
            Some(fragment) => fragment.offset != 0,
            None => false,
        }
    }
}

/// A fragment header (RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Fragment {
    /// What the first fragment continues with.
    pub next_header: IpProtocol,
    /// Where in the fragmentable part this belongs, in bytes; a multiple of eight.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// What the fragments of one packet have in common.
    pub identification: u32,
}

impl Ipv6Fragment {
    /// The header's length in bytes.
    pub const LEN: usize = 8;

    #[inline]
    const fn from_bytes(header: &[u8; Self::LEN]) -> Self {
        let word = be16::<2, _>(header);
        Self {
            next_header: IpProtocol(header[0]),
            offset: word & 0xfff8,
            more: word & 1 != 0,
            identification: be32::<4, _>(header),
        }
    }

    /// Refuses fragments that no honest sender makes.
    fn check(self, extensions_before: usize, payload_len: usize) -> Result<(), Malformed> {
        if self.more && !payload_len.is_multiple_of(8) {
            return Err(Malformed::Ipv6FragmentUnaligned);
        }
        if extensions_before + usize::from(self.offset) + payload_len > usize::from(u16::MAX) {
            return Err(Malformed::Ipv6FragmentOverrun);
        }
        if self.offset == 8 && self.next_header == IpProtocol::TCP {
            return Err(Malformed::Ipv6FragmentHidesTcp);
        }
        Ok(())
    }

    /// Writes the fragment header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Self::LEN }>(buffer)?;
        put::<0, 2, _>(header, [self.next_header.0, 0]);
        put16::<2, _>(header, (self.offset & 0xfff8) | u16::from(self.more));
        put32::<4, _>(header, self.identification);
        Ok(Self::LEN)
    }
}

/// An IPv6 header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label; its low 20 bits are sent.
    pub flow_label: u32,
    /// Bytes that follow the header.
    pub payload_len: u16,
    /// What comes next.
    pub next_header: IpProtocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Who sends the packet.
    pub source: Ipv6Addr,
    /// Who the packet is for.
    pub destination: Ipv6Addr,
}

impl Ipv6Header {
    /// A header with hop limit 64, no traffic class and no flow label.
    #[must_use]
    pub const fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: IpProtocol, payload_len: u16) -> Self {
        Self { traffic_class: 0, flow_label: 0, payload_len, next_header, hop_limit: 64, source, destination }
    }

    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Ipv6::LEN }>(buffer)?;
        let class = u32::from(self.traffic_class) << 20;
        put32::<0, _>(header, 0x6000_0000 | class | (self.flow_label & 0x000f_ffff));
        put16::<4, _>(header, self.payload_len);
        put::<6, 2, _>(header, [self.next_header.0, self.hop_limit]);
        put::<8, 16, _>(header, self.source.octets());
        put::<24, 16, _>(header, self.destination.octets());
        Ok(Ipv6::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(next: u8) -> [u8; 8] {
        [next, 0, 1, 4, 0, 0, 0, 0]
    }

    #[test]
    fn a_chain_is_walked_to_the_upper_protocol() {
        let mut payload = std::vec::Vec::new();
        payload.extend(extension(60));
        payload.extend(extension(51));
        payload.extend([17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        payload.extend([1, 2, 3]);
        let upper = Upper::parse(IpProtocol::HOP_BY_HOP, &payload).unwrap();
        assert_eq!((upper.protocol, upper.extensions_len), (IpProtocol::UDP, 28));
        assert_eq!((upper.payload, upper.fragment), (&[1, 2, 3][..], None));
    }

    #[test]
    fn chains_that_lie_are_refused_by_name() {
        let walk = |next, bytes: &[u8]| Upper::parse(next, bytes).map(drop);
        let late = [extension(0), extension(59)].concat();
        assert_eq!(walk(IpProtocol::DESTINATION_OPTIONS, &late), Err(Malformed::Ipv6HopByHopNotFirst));
        assert_eq!(walk(IpProtocol::ROUTING, &[59, 1, 0, 0, 0, 0, 0, 0]), Err(Malformed::Ipv6ExtensionTruncated));
        assert_eq!(walk(IpProtocol::ROUTING, &[59, 0]), Err(Malformed::Ipv6ExtensionTruncated));
        assert_eq!(walk(IpProtocol::AUTHENTICATION, &[59; 8].map(|_| 0)), Err(Malformed::Ipv6ExtensionBadLength));
        let twice = [[44, 0, 0, 1, 0, 0, 0, 9], [17, 0, 0, 1, 0, 0, 0, 9]].concat();
        assert_eq!(walk(IpProtocol::FRAGMENT, &twice), Err(Malformed::Ipv6RepeatedFragment));
    }

    #[test]
    fn eight_extensions_are_walked_and_nine_are_not() {
        let chain = |len: usize| [extension(60).repeat(len - 1), extension(17).to_vec()].concat();
        let walk = |len| Upper::parse(IpProtocol::DESTINATION_OPTIONS, &chain(len)).map(|upper| upper.protocol);
        assert_eq!(walk(MAX_EXTENSIONS), Ok(IpProtocol::UDP));
        assert_eq!(walk(MAX_EXTENSIONS + 1), Err(Malformed::Ipv6TooManyExtensions));
    }

    fn fragment(offset: u16, more: bool, len: usize) -> Result<bool, Malformed> {
        let mut payload = [0; 128];
        let header = Ipv6Fragment { next_header: IpProtocol::TCP, offset, more, identification: 7 };
        header.emit(&mut payload).unwrap();
        let upper = Upper::parse(IpProtocol::FRAGMENT, &payload[..8 + len])?;
        assert_eq!(upper.fragment, Some(header));
        Ok(upper.is_fragment())
    }

    #[test]
    fn fragments_are_told_from_whole_packets_and_from_lies() {
        assert_eq!(fragment(0, false, 5), Ok(false), "an atomic fragment is whole");
        assert_eq!(fragment(0, true, 64), Ok(true));
        assert_eq!(fragment(1448, false, 5), Ok(true));
        assert_eq!(fragment(0, true, 63), Err(Malformed::Ipv6FragmentUnaligned));
        assert_eq!(fragment(65528, false, 8), Err(Malformed::Ipv6FragmentOverrun));
        assert_eq!(fragment(8, false, 8), Err(Malformed::Ipv6FragmentHidesTcp));
    }

    #[test]
    fn header_lies_are_refused_by_name() {
        let mut packet = [0; 40];
        let header = Ipv6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, IpProtocol::NO_NEXT, 0);
        header.emit(&mut packet).unwrap();
        assert_eq!(Ipv6::parse(&packet).unwrap().0.header(), header);
        let changed = |at: usize, byte: u8| {
            let mut packet = packet;
            packet[at] = byte;
            Ipv6::parse(&packet).map(drop)
        };
        assert_eq!(changed(0, 0x40), Err(Malformed::Ipv6BadVersion));
        assert_eq!(changed(5, 1), Err(Malformed::Ipv6PayloadLengthTooLong));
        assert_eq!(changed(6, 0), Err(Malformed::Ipv6Jumbogram));
        assert_eq!(Ipv6::parse(&packet[..39]), Err(Malformed::Ipv6HeaderTruncated));
    }
}
