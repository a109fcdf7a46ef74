//! One worker's right to write to the flow table.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use crate::{
    flow::{
        index::Owned,
        key::FlowKey,
        program::{Program, Watch},
        table::{Basis, FlowTable},
    },
    ids::{Generation, WorkerId},
};

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
    owned: Owned,
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

/// A flow that a sweep has passed.
#[derive(Clone, Copy, Debug)]
pub struct Living<'a> {
    /// Its entry.
    pub entry: u32,
    /// Its key.
    pub key: &'a FlowKey,
    /// When it was seen: worker-clock milliseconds.
    pub seen: u32,
    /// The number of its connection, if it is of one.
    pub connection: Option<u32>,
}

impl FlowWriter {
    /// The writer of `worker`; make one per worker.
    #[must_use]
    pub fn new(table: Arc<FlowTable>, worker: WorkerId) -> Self {
        let owned = Owned::with_capacity(table.capacity());
        Self { table, worker, owned }
    }

    /// Inserts a flow, or rewrites it in place where this worker owns an outdated entry of the same key.
    pub fn insert(&mut self, hash: u64, key: &FlowKey, program: &Program, basis: Basis, now: u32) -> Insertion {
        if let Some(number) = self.own_outdated(hash, key) {
            let entry = &self.table.entries[number as usize];
            entry.write(basis.generation.0, |entry| entry.fill(key, program, basis.epoch));
            entry.seen.store(now, Ordering::Relaxed);
            self.begin(number);
            return Insertion::Done(number);
        }
        let Some(number) = self.table.index.take() else { return Insertion::Full };
        let entry = &self.table.entries[number as usize];
        entry.write(basis.generation.0, |entry| {
            entry.fill(key, program, basis.epoch);
            entry.owner.store(u32::from(self.worker.0), Ordering::Relaxed);
            entry.packets.store(0, Ordering::Relaxed);
            entry.bytes.store(0, Ordering::Relaxed);
            entry.seen.store(now, Ordering::Relaxed);
        });
        let Some(place) = self.table.index.name(hash, number) else {
            entry.write(0, |_| ());
            self.table.index.give(number);
            return Insertion::Full;
        };
        self.owned.push(place);
        self.begin(number);
        Insertion::Done(number)
    }

    /// What engines were told of the entry's former flow does not hold for this one.
    #[inline]
    fn begin(&self, number: u32) {
        if let Some(permits) = self.table.permits() {
            permits.begin(number);
        }
    }

    /// Has another look at the packets of a flow from now on, if the flow is this worker's.
    pub fn watch(&self, entry: u32, watch: Watch) {
        let number = entry;
        let entry = self.table.entries.get(number as usize);
        if let Some(entry) = entry.filter(|entry| entry.owner.load(Ordering::Relaxed) == u32::from(self.worker.0)) {
            entry.watch(watch);
            if watch == Watch::Each
                && let Some(permits) = self.table.permits()
            {
                permits.revoke(number);
            }
        }
    }

    /// Ends idle and outdated flows, a few at a call. Tells `alive` of each of the others it passed, and ends it if that answers no.
    pub fn sweep(&mut self, by: Sweep, mut alive: impl FnMut(Living<'_>) -> bool) -> usize {
        let Self { table, owned, .. } = self;
        owned.sweep(&table.index, by.budget, |number| {
            let entry = &table.entries[number as usize];
            let seen = entry.seen.load(Ordering::Relaxed);
            let current = entry.stamp.load(Ordering::Relaxed) as u32 == by.generation.0;
            // A worker a little ahead may have stamped a time that is still to come here: no age at all.
            let age = (by.now.wrapping_sub(seen) as i32).max(0) as u32;
            let living = |key| Living { entry: number, key, seen, connection: entry.connection() };
            let stays = current && age < by.idle && alive(living(&entry.read_key()));
            if !stays {
                entry.write(0, |_| ());
                if let Some(permits) = table.permits() {
                    permits.revoke(number);
                }
            }
            !stays
        })
    }

    /// Where the flows are that this worker owns, for an heir.
    #[must_use]
    pub fn places(&self) -> Vec<u64> {
        self.owned.words()
    }

    /// Owns what a former process's worker of this number owned.
    pub fn inherit(&mut self, places: &[u64]) {
        self.owned.inherit(places, &self.table.index);
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
        self.table.index.candidates(hash).find(|number| {
            self.table.entries.get(*number as usize).is_some_and(|entry| {
                let mine = entry.owner.load(Ordering::Relaxed) == u32::from(self.worker.0);
                mine && entry.stamp.load(Ordering::Relaxed) as u32 != 0 && entry.holds(key)
            })
        })
    }
}

impl Drop for FlowWriter {
    /// A worker that ends takes its flows with it, so that their entries serve the others.
    fn drop(&mut self) {
        let Self { table, owned, .. } = self;
        owned.end_all(&table.index, |number| {
            table.entries[number as usize].write(0, |_| ());
            if let Some(permits) = table.permits() {
                permits.revoke(number);
            }
        });
    }
}
