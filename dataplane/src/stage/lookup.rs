//! lookup: keys become programs, for flows that are known.
//!
//! Three passes, so that the memory of one packet arrives while others are worked on: buckets are asked for, then entries, then
//! compared. The only stage that prefetches.

use crate::{burst::Line, flow::FlowTable, ids::Generation};

/// Fills in the programs of known flows and counts their packets; the rest stays missing. Returns how many were hits.
pub fn lookup(line: &mut Line, table: &FlowTable, generation: Generation, now: u32) -> u64 {
    let mut entries = [u32::MAX; crate::burst::BURST];
    let asked = line.missing;
    for row in rows(asked) {
        table.prefetch(line.hashes[row]);
    }
    for row in rows(asked) {
        entries[row] = table.candidate(line.hashes[row]).unwrap_or(u32::MAX);
    }
    for row in rows(asked) {
        let key = &line.keys[row];
        let found = match table.read(entries[row], key, generation) {
            Some(program) => Some((entries[row], program)),
            None => table.find(line.hashes[row], key, generation),
        };
        if let Some((entry, program)) = found {
            line.programs[row] = program;
            line.missing &= !(1 << row);
            table.touch(entry, line.lengths[row], now);
        }
    }
    u64::from((asked ^ line.missing).count_ones())
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
