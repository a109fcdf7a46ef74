//! lookup: keys become programs, for flows that are known.
//!
//! Three passes, so that the memory of one packet arrives while others are worked on: buckets are asked for, then entries, then
//! compared. The only stage that prefetches.

use crate::{
    burst::{BURST, Line},
    flow::{FlowTable, table::Sighting},
    ids::Generation,
};

/// Fills in the programs of known flows and counts their packets; the rest stays missing. Says which hits somebody watches. Returns how
/// many were hits.
#[inline(never)] // registers of its own, as in classify
pub fn lookup(line: &mut Line, table: &FlowTable, generation: Generation, now: u32) -> u64 {
    let Line { rows, keys, hashes, lengths, programs, entries, missing, .. } = line;
    let (asked, rows) = (*missing, (*rows).min(BURST));
    let view = table.view();
    // Rows that were refused hold an old hash; asking the cache for it harms no one and costs no branch.
    for hash in &hashes[..rows] {
        view.prefetch(*hash);
    }
    for (entry, hash) in entries.iter_mut().zip(&hashes[..rows]) {
        *entry = view.candidate(*hash);
    }
    let mut unknown = 0;
    for row in 0..rows {
        let seen = Sighting { bytes: lengths[row], now };
        if asked >> row & 1 != 0 && !view.hit(entries[row], &keys[row], generation, seen, &mut programs[row]) {
            unknown |= 1 << row;
        }
    }
    *missing = unknown;
    if unknown != 0 {
        look_elsewhere(line, table, generation, now);
    }
    u64::from((asked ^ line.missing).count_ones())
}

/// Flows that are not where they are looked for first: in their second bucket, or behind another with the same tag.
#[inline(never)]
fn look_elsewhere(line: &mut Line, table: &FlowTable, generation: Generation, now: u32) {
    for row in self::rows(line.missing) {
        if let Some((entry, program)) = table.find(line.hashes[row], &line.keys[row], generation) {
            table.touch(entry, line.lengths[row], now);
            (line.entries[row], line.programs[row]) = (entry, program);
            line.missing &= !(1 << row);
        }
    }
}

/// The set bits of a mask, lowest first.
#[inline]
pub fn rows(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let row = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (row < u64::BITS).then_some(row as usize)
    })
}
