//! The Internet checksum (RFC 1071): full, in parts, and updated in place (RFC 1624).
//!
//! A [`Sum`] is a ones'-complement sum kept 64 bits wide and in memory order: words are added as the machine loads
//! them, and only [`Sum::fold`] turns the result around (RFC 1071, section 2(B)). So every engine that adds up
//! native words, this loop or a wider one elsewhere, gives sums that can be joined. Wrapping at 64 bits with the
//! carry brought round keeps the value, because 2^64 - 1 is a multiple of 2^16 - 1.

use crate::ip::IpProtocol;
use crate::malformed::Malformed;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A ones'-complement sum that is not finished yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// A sum made elsewhere: any 64-bit ones'-complement sum of native-endian 16, 32 or 64-bit words.
    #[inline]
    #[must_use]
    pub const fn from_raw(native: u64) -> Self {
        Self(native)
    }

    /// The 64-bit sum of native-endian words.
    #[inline]
    #[must_use]
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// The sum of one 16-bit word, given as a number.
    #[inline]
    #[must_use]
    pub const fn of_word(word: u16) -> Self {
        Self(word.to_be() as u64)
    }

    /// This and `other`, both at an even offset of the summed bytes.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum.wrapping_add(carry as u64))
    }

    /// The same bytes, one position further on: what to add for a part that starts at an odd offset.
    #[inline]
    #[must_use]
    pub const fn at_odd_offset(self) -> Self {
        Self(self.0.rotate_left(8))
    }

    /// The 16-bit sum, not complemented, as a number.
    #[inline]
    #[must_use]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::from_be(sum as u16)
    }

    /// The checksum: the complement of the sum, as the number to be written big-endian.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    /// The checksum for a UDP header, where zero means "none" and is sent as `0xffff` (RFC 768).
    #[inline]
    #[must_use]
    pub const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// Whether bytes that contain their own checksum add up to what they must.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The sum of `bytes`, an odd last byte padded with zero.
///
/// Halves of 32 bits go into a 64-bit lane, so no carry is lost below 16 GiB and the loop has none to wait for:
/// the compiler turns it into vector code at the baseline. Adding with carry instead keeps it scalar.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> Sum {
    let (words, mut tail) = bytes.as_chunks::<8>();
    let mut total = 0u64;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        total = total.wrapping_add((word & 0xffff_ffff) + (word >> 32));
    }
    // Step by step: copying the tail into a zeroed word becomes a call to memcpy, dearer than all of a short header.
    if let Some((half, rest)) = tail.split_first_chunk::<4>() {
        total = total.wrapping_add(u64::from(u32::from_ne_bytes(*half)));
        tail = rest;
    }
    if let Some((pair, rest)) = tail.split_first_chunk::<2>() {
        total = total.wrapping_add(u64::from(u16::from_ne_bytes(*pair)));
        tail = rest;
    }
    if let [last] = tail {
        total = total.wrapping_add(u64::from(u16::from_ne_bytes([*last, 0])));
    }
    Sum(total)
}

/// The sum of bytes that lie in several parts, such as the buffers of one jumbo frame; parts may have odd lengths.
#[must_use]
pub fn sum_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Sum {
    let mut total = Sum::ZERO;
    let mut odd = false;
    for part in parts {
        let part_sum = sum(part);
        total = total.plus(if odd { part_sum.at_odd_offset() } else { part_sum });
        odd ^= part.len() % 2 == 1;
    }
    total
}

/// The pseudo-header of TCP and UDP over IPv4 (RFC 768, RFC 9293); `len` counts the transport header and its payload.
#[inline]
#[must_use]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, len: u16) -> Sum {
    Sum(u64::from(u32::from_ne_bytes(source.octets())))
        .plus(Sum(u64::from(u32::from_ne_bytes(destination.octets()))))
        .plus(Sum::of_word(u16::from(protocol.0)))
        .plus(Sum::of_word(len))
}

/// The pseudo-header of every protocol over IPv6 (RFC 8200, section 8.1); `len` counts the upper header and its payload.
#[inline]
#[must_use]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: IpProtocol, len: u32) -> Sum {
    sum(&source.octets())
        .plus(sum(&destination.octets()))
        .plus(Sum::of_word(u16::from(protocol.0)))
        .plus(Sum(u64::from(len.to_be())))
}

/// The checksum after the bytes summed in `old` were replaced by those in `new` (RFC 1624, equation 3).
///
/// Both must start at an even offset of the checksummed bytes, or be turned by [`Sum::at_odd_offset`]. Exact as long as
/// the checksummed bytes are not all zero, which no IP header and no pseudo-header is.
#[inline]
#[must_use]
pub const fn update(checksum: u16, old: Sum, new: Sum) -> u16 {
    let removed = Sum::of_word(!old.fold());
    Sum::of_word(!checksum).plus(removed).plus(new).finish()
}

/// The checksum after one 16-bit word changed.
#[inline]
#[must_use]
pub const fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    update(checksum, Sum::of_word(old), Sum::of_word(new))
}

/// The checksum after one 32-bit word, such as an IPv4 address, changed.
#[inline]
#[must_use]
pub const fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    update(checksum, Sum(old.to_be() as u64), Sum(new.to_be() as u64))
}

/// [`update`] for a UDP header: "none" stays "none", and a computed zero is sent as `0xffff`.
#[inline]
#[must_use]
pub const fn update_udp(checksum: u16, old: Sum, new: Sum) -> u16 {
    match checksum {
        0 => 0,
        _ => match update(checksum, old, new) {
            0 => 0xffff,
            updated => updated,
        },
    }
}

/// Whether a TCP or UDP checksum field holds what a kernel leaves for the device to finish: the pseudo-header's sum,
/// folded and not complemented (Linux, `CHECKSUM_PARTIAL`).
///
/// A finished checksum may equal it by chance. It is then right when finished once more, so acting on this is safe:
/// finish by summing the whole segment, field included, and writing [`Sum::finish`] or [`Sum::finish_udp`].
#[inline]
#[must_use]
pub const fn is_unfinished(field: u16, pseudo: Sum) -> bool {
    field == pseudo.fold()
}

/// Checks a whole TCP segment over IPv4 or IPv6, given its pseudo-header's sum.
///
/// # Errors
/// [`Malformed::TcpBadChecksum`].
pub fn verify_tcp(pseudo: Sum, segment: &[u8]) -> Result<(), Malformed> {
    match pseudo.plus(sum(segment)).is_valid() {
        true => Ok(()),
        false => Err(Malformed::TcpBadChecksum),
    }
}

/// Checks a whole UDP datagram over IPv4, where a checksum of zero means that there is none.
///
/// # Errors
/// [`Malformed::UdpHeaderTruncated`], [`Malformed::UdpBadChecksum`].
pub fn verify_udp_v4(pseudo: Sum, datagram: &[u8]) -> Result<(), Malformed> {
    match verify_udp_v6(pseudo, datagram) {
        Err(Malformed::UdpZeroChecksumOverIpv6) => Ok(()),
        verdict => verdict,
    }
}

/// Checks a whole UDP datagram over IPv6, where a checksum of zero is refused (RFC 8200, section 8.1).
///
/// A tunnel that has agreed on zero checksums (RFC 6935) asks nobody to verify them.
///
/// # Errors
/// [`Malformed::UdpHeaderTruncated`], [`Malformed::UdpZeroChecksumOverIpv6`], [`Malformed::UdpBadChecksum`].
pub fn verify_udp_v6(pseudo: Sum, datagram: &[u8]) -> Result<(), Malformed> {
    match datagram.first_chunk::<8>() {
        None => Err(Malformed::UdpHeaderTruncated),
        Some([.., 0, 0]) => Err(Malformed::UdpZeroChecksumOverIpv6),
        Some(_) if pseudo.plus(sum(datagram)).is_valid() => Ok(()),
        Some(_) => Err(Malformed::UdpBadChecksum),
    }
}

/// Checks a whole ICMP message over IPv4, which has no pseudo-header.
///
/// # Errors
/// [`Malformed::Icmpv4BadChecksum`].
pub fn verify_icmpv4(message: &[u8]) -> Result<(), Malformed> {
    match sum(message).is_valid() {
        true => Ok(()),
        false => Err(Malformed::Icmpv4BadChecksum),
    }
}

/// Checks a whole IGMP message, which has no pseudo-header.
///
/// # Errors
/// [`Malformed::IgmpBadChecksum`].
pub fn verify_igmp(message: &[u8]) -> Result<(), Malformed> {
    match sum(message).is_valid() {
        true => Ok(()),
        false => Err(Malformed::IgmpBadChecksum),
    }
}

/// Checks a whole ICMPv6 message.
///
/// # Errors
/// [`Malformed::Icmpv6BadChecksum`].
pub fn verify_icmpv6(pseudo: Sum, message: &[u8]) -> Result<(), Malformed> {
    match pseudo.plus(sum(message)).is_valid() {
        true => Ok(()),
        false => Err(Malformed::Icmpv6BadChecksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071, section 3.
    const RFC_1071: [u8; 8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        assert_eq!(sum(&RFC_1071).fold(), 0xddf2);
        assert_eq!(sum(&RFC_1071).finish(), 0x220d);
    }

    #[test]
    fn parts_at_odd_offsets_join_to_the_whole() {
        let (first, rest) = RFC_1071.split_at(3);
        let (second, third) = rest.split_at(2);
        assert_eq!(sum_parts([first, second, third]).fold(), 0xddf2);
        assert_eq!(sum_parts([&[][..], &RFC_1071, &[]]).fold(), 0xddf2);
    }

    #[test]
    fn the_counterexample_of_rfc_1624_is_right() {
        // Section 4: equation 2 gives 0xffff here; equation 3 gives the 0x0000 of a full computation.
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn raw_sums_near_the_top_keep_their_carry() {
        let top = Sum::from_raw(u64::MAX);
        assert_eq!(top.fold(), 0xffff);
        assert_eq!(top.plus(Sum::of_word(1)).fold(), 1);
        assert_eq!(Sum::ZERO.fold(), 0);
        assert_eq!(Sum::from_raw(u64::MAX - 1).plus(top).fold(), Sum::from_raw(u64::MAX - 1).fold());
    }

    #[test]
    fn udp_never_sends_zero_and_none_stays_none() {
        assert_eq!(Sum::of_word(0xffff).finish(), 0);
        assert_eq!(Sum::of_word(0xffff).finish_udp(), 0xffff);
        assert_eq!(update_udp(0, Sum::of_word(1), Sum::of_word(2)), 0);
        assert_eq!(update_udp(0xdd2f, Sum::of_word(0x5555), Sum::of_word(0x3285)), 0xffff);
    }

    #[test]
    fn an_unfinished_checksum_is_recognised_and_finishing_makes_it_valid() {
        let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let pseudo = pseudo_v4(source, destination, IpProtocol::UDP, 12);
        let mut datagram = [0x12, 0x34, 0, 53, 0, 12, 0, 0, b'p', b'o', b'd', b's'];
        datagram[6..8].copy_from_slice(&pseudo.fold().to_be_bytes());
        assert!(is_unfinished(pseudo.fold(), pseudo));
        assert_eq!(verify_udp_v4(pseudo, &datagram), Err(Malformed::UdpBadChecksum));
        let finished = sum(&datagram).finish_udp();
        datagram[6..8].copy_from_slice(&finished.to_be_bytes());
        assert_eq!(verify_udp_v4(pseudo, &datagram), Ok(()));
    }

    #[test]
    fn a_zero_udp_checksum_is_none_over_ipv4_and_refused_over_ipv6() {
        let datagram = [0, 1, 0, 2, 0, 8, 0, 0];
        assert_eq!(verify_udp_v4(Sum::ZERO, &datagram), Ok(()));
        assert_eq!(verify_udp_v6(Sum::ZERO, &datagram), Err(Malformed::UdpZeroChecksumOverIpv6));
        assert_eq!(verify_udp_v4(Sum::ZERO, &datagram[..7]), Err(Malformed::UdpHeaderTruncated));
    }
}
