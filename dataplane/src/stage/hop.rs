//! One hop of a routed packet: what a router checks and counts (RFC 1812, 5.2.2 and 5.3.1; RFC 8200, 3).

use podlane_wire::checksum;

use crate::{
    drops::DropReason,
    flow::{Class, Program, key::load},
    headers::{PLAIN_IPV4, PLAIN_IPV4_MASK, PLAIN_IPV6, PLAIN_IPV6_MASK},
    stage::apply::Packet,
};

/// Routes the plainest packet in place: untagged, IPv4 without options or IPv6, some hops left. Returns whether it was one;
/// if not, nothing was written, and the long way says why.
#[inline]
pub(super) fn rewrite(bytes: &mut [u8], program: &Program) -> bool {
    let Some(head) = bytes.first_chunk_mut::<34>() else { return false };
    let kind = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
    let counted = if kind & PLAIN_IPV4_MASK == PLAIN_IPV4 {
        head.last_chunk_mut::<20>().is_some_and(count_ipv4)
    } else if kind & PLAIN_IPV6_MASK == PLAIN_IPV6 && head[21] > 1 {
        head[21] -= 1;
        true
    } else {
        false
    };
    if counted && let Some(addresses) = head.first_chunk_mut::<12>() {
        program.write_link_addresses(addresses);
    }
    counted
}

/// Whether the checksum of an IPv4 header without options is right.
#[inline]
pub(crate) fn is_valid(header: &[u8; 20]) -> bool {
    // The third load overlaps the second; its upper half is what is left. The carry comes round at the end of each addition; two
    // halves are added by turning the word, and then it does so by itself, from the lower half into the upper.
    let round = |sum: u64, word: u64| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u64::from(carry)
    };
    let sum = round(round(load(header, 0), load(header, 8)), load(header, 12) >> 32);
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    sum.wrapping_add(sum.rotate_left(16)) >> 16 == 0xffff
}

/// Counts the hop in an IPv4 header without options whose checksum is right.
#[inline]
fn count_ipv4(header: &mut [u8; 20]) -> bool {
    let valid = is_valid(header);
    if header[8] <= 1 || !valid {
        return false;
    }
    header[8] -= 1;
    // RFC 1624 for a word that loses 0x0100: the complement gains as much, and 0xffff is written as its equal, zero.
    let gained = u32::from(u16::from_be_bytes([header[10], header[11]])) + 0x0100;
    let field = (gained + u32::from(gained >= 0xffff)) as u16;
    header[10..12].copy_from_slice(&field.to_be_bytes());
    true
}

/// Writes the MAC addresses of the next link. The packet's headers were read, so they are there.
#[inline]
pub(super) fn readdress(packet: &mut Packet<'_>, program: &Program) {
    if let Some(addresses) = packet.frame.bytes_mut().first_chunk_mut::<12>() {
        program.write_link_addresses(addresses);
    }
}

/// Checks what a router must (RFC 1812, 5.2.2 and 5.3.1) and counts the hop.
#[inline]
pub(super) fn count(packet: &mut Packet<'_>, mtu: u16) -> Result<(), DropReason> {
    let l3 = usize::from(packet.layout.l3);
    let too_big = packet.length > u32::from(mtu) + u32::from(packet.layout.l3);
    let ipv4 = packet.key.kind().class == Class::Ipv4;
    let header = packet.frame.bytes_mut().get_mut(l3..).ok_or(DropReason::Runt)?;
    if !ipv4 {
        let header = header.first_chunk_mut::<40>().ok_or(DropReason::Ipv6Header)?;
        if header[7] <= 1 {
            return Err(DropReason::TtlExpired);
        }
        if too_big {
            return Err(DropReason::TooBig);
        }
        header[7] -= 1;
        return Ok(());
    }
    let length = usize::from(header.first().map_or(0, |first| first & 0xf)) * 4;
    let header = header.get_mut(..length.max(20)).ok_or(DropReason::Ipv4Header)?;
    if !checksum::sum(header).is_valid() {
        return Err(DropReason::Ipv4Checksum);
    }
    if header[8] <= 1 {
        return Err(DropReason::TtlExpired);
    }
    if too_big {
        return Err(DropReason::TooBig);
    }
    let before = u16::from_be_bytes([header[8], header[9]]);
    let field = u16::from_be_bytes([header[10], header[11]]);
    header[8] -= 1;
    let updated = checksum::update16(field, before, before - 0x0100);
    header[10..12].copy_from_slice(&updated.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The plain way against the arithmetic of the wire crate, for every header and time to live.
        #[test]
        fn a_counted_hop_is_what_rfc_1624_says(mut header: [u8; 20], damage in prop::option::of(0usize..20)) {
            header[10..12].fill(0);
            let field = checksum::sum(&header).finish();
            header[10..12].copy_from_slice(&field.to_be_bytes());
            if let Some(at) = damage {
                header[at] ^= 0x10;
            }
            let before = header;
            let valid = checksum::sum(&before).is_valid() && before[8] > 1;
            prop_assert_eq!(count_ipv4(&mut header), valid);
            if !valid {
                prop_assert_eq!(header, before);
                return Ok(());
            }
            let word = u16::from_be_bytes([before[8], before[9]]);
            let field = u16::from_be_bytes([before[10], before[11]]);
            let expected = checksum::update16(field, word, word - 0x0100);
            prop_assert_eq!(header[8], before[8] - 1);
            prop_assert_eq!(u16::from_be_bytes([header[10], header[11]]), expected);
            prop_assert!(checksum::sum(&header).is_valid());
        }
    }
}
