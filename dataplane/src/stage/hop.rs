//! One hop of a routed packet: what a router checks and counts (RFC 1812, 5.2.2 and 5.3.1; RFC 8200, 3).

use podlane_wire::checksum::{self, Sum};

use crate::{
    drops::DropReason,
    flow::{Class, Program, key::mac_word},
    stage::apply::Packet,
};

/// Routes the plainest packet in place: untagged, IPv4 without options or IPv6, some hops left. Returns whether it was one;
/// if not, nothing was written, and the long way says why.
#[inline]
pub(super) fn rewrite(bytes: &mut [u8], program: &Program) -> bool {
    let Some((ethernet, rest)) = bytes.split_first_chunk_mut::<14>() else { return false };
    let Some(header) = rest.first_chunk_mut::<20>() else { return false };
    let counted = match u32::from_be_bytes([ethernet[12], ethernet[13], header[0], 0]) {
        0x0800_4500 => count_ipv4(header),
        // The version and half of the traffic class share a byte.
        0x86dd_6000..=0x86dd_6fff if header[7] > 1 => {
            header[7] -= 1;
            true
        }
        _ => false,
    };
    if counted {
        let (next_hop, source) = (mac_word(program.next_hop()), mac_word(program.source()));
        let [a, b, c, d, e, f, g, h] = (next_hop | source << 48).to_le_bytes();
        let [i, j, k, l] = ((source >> 16) as u32).to_le_bytes();
        *ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, ethernet[12], ethernet[13]];
    }
    counted
}

/// Counts the hop in an IPv4 header without options whose checksum is right.
#[inline]
fn count_ipv4(header: &mut [u8; 20]) -> bool {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t] = *header;
    let first = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    let second = u64::from_ne_bytes([i, j, k, l, m, n, o, p]);
    let third = u64::from(u32::from_ne_bytes([q, r, s, t]));
    let sum = Sum::from_raw(first).plus(Sum::from_raw(second)).plus(Sum::from_raw(third));
    if header[8] <= 1 || !sum.is_valid() {
        return false;
    }
    let before = u16::from_be_bytes([header[8], header[9]]);
    let field = u16::from_be_bytes([header[10], header[11]]);
    let updated = checksum::update16(field, before, before - 0x0100);
    header[8] -= 1;
    header[10..12].copy_from_slice(&updated.to_be_bytes());
    true
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
