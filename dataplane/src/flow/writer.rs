//! One worker's right to write to the flow table.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use crate::{
    flow::{
        key::FlowKey,
        program::Program,
        table::{Basis, FlowTable, Lane},
    },
    ids::{Generation, WorkerId},
};

struct Owned {
    entry: u32,
    lane: Lane,
}

/// How an insertion ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insertion {
    /// The flow is in the table, under this entry.
    Done(u32),
    /// No entry or no lane is free: the packet goes on without one.
    Full,
}

/// One worker's right to write: it alone writes and frees the entries it inserted.
pub struct FlowWriter {
    table: Arc<FlowTable>,
    worker: WorkerId,
    owned: Vec<Owned>,
    cursor: usize,
}

/// What a sweep looks by.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Worker-clock milliseconds.
    pub now: u32,
    /// Flows without a packet for this many milliseconds end.
    pub idle: u32,
    /// Flows of another generation end at once.
    pub generation: Generation,
    /// How many entries to look at, at the most.
    pub budget: usize,
}

impl FlowWriter {
    /// The writer of `worker`; make one per worker.
    #[must_use]
    pub fn new(table: Arc<FlowTable>, worker: WorkerId) -> Self {
        // Room for all there can be: growing it would hold a packet up. Untouched, it costs address space alone.
        let owned = Vec::with_capacity(table.capacity());
        Self { table, worker, owned, cursor: 0 }
    }

    /// Inserts a flow, or rewrites it in place where this worker owns an outdated entry of the same key.
    pub fn insert(&mut self, hash: u64, key: &FlowKey, program: &Program, basis: Basis, now: u32) -> Insertion {
        if let Some(number) = self.own_outdated(hash, key) {
            let entry = &self.table.entries[number as usize];
            entry.write(basis.generation.0, |entry| entry.fill(key, program, basis.epoch));
            entry.seen.store(now, Ordering::Relaxed);
            return Insertion::Done(number);
        }
        let Some(number) = self.table.take_entry() else { return Insertion::Full };
        let entry = &self.table.entries[number as usize];
        entry.write(basis.generation.0, |entry| {
            entry.fill(key, program, basis.epoch);
            entry.owner.store(u32::from(self.worker.0), Ordering::Relaxed);
            entry.packets.store(0, Ordering::Relaxed);
            entry.bytes.store(0, Ordering::Relaxed);
            entry.seen.store(now, Ordering::Relaxed);
        });
        let Some(lane) = self.table.claim_lane(hash, number) else {
            entry.write(0, |_| ());
            self.recycle(number);
            return Insertion::Full;
        };
        self.table.used.fetch_add(1, Ordering::Relaxed);
        self.owned.push(Owned { entry: number, lane });
        Insertion::Done(number)
    }

    /// Ends idle and outdated flows, a few at a call; tells `alive` of the others it passed.
    pub fn sweep(&mut self, by: Sweep, mut alive: impl FnMut(&FlowKey, u32)) -> usize {
        let mut ended = 0;
        for _ in 0..by.budget.min(self.owned.len()) {
            if self.cursor >= self.owned.len() {
                self.cursor = 0;
            }
            let Some(owned) = self.owned.get(self.cursor) else { break };
            let entry = &self.table.entries[owned.entry as usize];
            let seen = entry.seen.load(Ordering::Relaxed);
            let current = entry.stamp.load(Ordering::Relaxed) as u32 == by.generation.0;
            // A worker a little ahead may have stamped a time that is still to come here: no age at all.
            let age = (by.now.wrapping_sub(seen) as i32).max(0) as u32;
            if current && age < by.idle {
                alive(&entry.read_key(), seen);
                self.cursor += 1;
            } else {
                self.end(self.cursor);
                ended += 1;
            }
        }
        ended
    }

    /// How many flows this worker owns.
    #[must_use]
    pub const fn owned(&self) -> usize {
        self.owned.len()
    }

    /// The table written to.
    #[must_use]
    pub const fn table(&self) -> &Arc<FlowTable> {
        &self.table
    }

    fn own_outdated(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        self.table.all_candidates(hash).find(|number| {
            self.table.entries.get(*number as usize).is_some_and(|entry| {
                let mine = entry.owner.load(Ordering::Relaxed) == u32::from(self.worker.0);
                mine && entry.stamp.load(Ordering::Relaxed) as u32 != 0 && entry.holds(key)
            })
        })
    }

    fn end(&mut self, position: usize) {
        let owned = self.owned.swap_remove(position);
        self.table.buckets[owned.lane.bucket as usize].clear(usize::from(owned.lane.lane));
        self.table.entries[owned.entry as usize].write(0, |_| ());
        self.table.used.fetch_sub(1, Ordering::Relaxed);
        self.recycle(owned.entry);
    }

    fn recycle(&self, entry: u32) {
        // The queue has a place for every entry there is, so this cannot fail.
        let _ = self.table.recycled.push(entry);
    }
}

impl Drop for FlowWriter {
    /// A worker that ends takes its flows with it, so that its entries serve the others.
    fn drop(&mut self) {
        while !self.owned.is_empty() {
            self.end(self.owned.len() - 1);
        }
    }
}
