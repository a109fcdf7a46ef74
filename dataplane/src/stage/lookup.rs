//! lookup: keys become programs, for flows that are known.
//!
//! Three passes, so that the memory of one packet arrives while others are worked on: buckets are asked for, then entries, then
//! compared. The only stage that prefetches.

use crate::{
    burst::{BURST, Line},
    flow::{FlowKey, FlowTable, Program, table::Sighting},
    ids::Generation,
};

/// Fills in the programs of known flows and counts their packets; the rest stays missing. Returns how many were hits.
pub fn lookup(line: &mut Line, table: &FlowTable, generation: Generation, now: u32) -> u64 {
    let asked = line.missing;
    let used = line.rows.min(BURST);
    let mut entries = [0; BURST];
    // Rows that were refused hold an old hash; asking the cache for it harms no one and costs no branch.
    for hash in &line.hashes[..used] {
        table.prefetch(*hash);
    }
    for (entry, hash) in entries.iter_mut().zip(&line.hashes[..used]) {
        *entry = table.candidate(*hash);
    }
    let mut missing = asked;
    for (row, entry) in entries[..used].iter().enumerate() {
        if asked >> row & 1 == 0 {
            continue;
        }
        let seen = Sighting { bytes: line.lengths[row], now };
        let key = &line.keys[row];
        let hit = table.hit(*entry, key, generation, seen);
        if let Some(program) = hit.or_else(|| elsewhere(table, line.hashes[row], key, generation, seen)) {
            line.programs[row] = program;
            missing &= !(1 << row);
        }
    }
    line.missing = missing;
    u64::from((asked ^ missing).count_ones())
}

/// A flow that is not where it is looked for first: in its second bucket, or behind another with the same tag.
#[inline(never)]
fn elsewhere(table: &FlowTable, hash: u64, key: &FlowKey, generation: Generation, seen: Sighting) -> Option<Program> {
    let (entry, program) = table.find(hash, key, generation)?;
    table.touch(entry, seen.bytes, seen.now);
    Some(program)
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
