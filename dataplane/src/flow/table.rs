//! The flow table: a million flows, read by every worker without a lock, each entry written by one worker alone.
//!
//! ```text
//!   hash --> bucket (64 bytes): eight 16-bit tags, eight entry numbers     two buckets a key, the second seldom needed
//!                                    |
//!                                    v
//!            entry (2 x 64 bytes): [ key words 0-3 | program | version+generation ]  all a hit reads, but for IPv6
//!                                  [ key words 4-6 | seen, epoch | packets | bytes | connection, acknowledged ]  what a hit writes
//! ```
//!
//! * A reader finds candidates by tag, compares the whole key, copies the program, and believes it only if the entry's
//!   version did not change meanwhile (a sequence lock: readers never write, writers never wait).
//! * An entry is written by the worker that inserted it. Buckets are shared: a lane is claimed by
//!   compare-and-swap of the tag, and cleared by the entry's owner. Two workers that insert one key at once leave two
//!   equal entries, of which the unused one ages out.
//! * An entry is a hit only under the generation of the reader's tables and the epoch of the learned address it
//!   was resolved from; everything else is a miss and is resolved anew.
//! * Per-flow counters are plain loads and stores. A flow has one receiving port and so, in practice, one worker; if
//!   receive steering moves it, a count may be lost in that instant. The ledger does not rest on them.
//!
//! Refused: a table per worker (a flow that moves between queues would miss, and state would not be shared), cuckoo displacement
//! (writers would have to lock readers out), chaining (one more dependent load a hit).

use core::sync::atomic::{AtomicU32, Ordering, fence};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use podlane_rings::{ZeroedSlice, prefetch_of};
use zerocopy::FromBytes;

use crate::{
    counters::Tally,
    flow::{
        bucket::{Bucket, Candidates, tag},
        entry::{Entry, FlowRecord},
        index::{Index, entry_of},
        key::{FlowKey, HashSeed},
        program::Program,
    },
    ids::Generation,
    offload::Permits,
};

/// Parts of the learned tables that can be forgotten one by one; a power of two.
pub const SHARDS: usize = 4096;

/// A packet of a flow, for its counters.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Its bytes.
    pub bytes: u32,
    /// Worker-clock milliseconds.
    pub now: u32,
}

/// What a resolved program rests on.
#[derive(Clone, Copy, Debug)]
pub struct Basis {
    /// The tables it was resolved against.
    pub generation: Generation,
    /// The epoch of the program's shard, read before the learned tables were.
    pub epoch: u32,
}

/// The table. Shared by all workers and readable by anyone.
pub struct FlowTable {
    pub(super) index: Index,
    pub(super) entries: ZeroedSlice<Entry>,
    epochs: ZeroedSlice<Epochs>,
    seed: HashSeed,
    /// Where flows may be offloaded. Not for an heir, which begins with engines that carry nothing.
    permits: OnceLock<Permits>,
}

/// One epoch a shard.
#[repr(C)]
#[derive(FromBytes)]
struct Epochs([AtomicU32; SHARDS]);

/// What is the same of a table for its former process and for the heir.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableFacts {
    /// Entries.
    pub capacity: usize,
    /// The words of its [`HashSeed`].
    pub seed: [u64; 4],
}

/// Memory files of a flow table.
pub const FLOW_FILES: usize = 3;

/// How far a table has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Entries from this one on were never used.
    pub high_water: u32,
    /// Of connections: how many are opening.
    pub opening: u32,
}

impl FlowTable {
    /// A table for `capacity` flows, at least 1024. It costs about 160 bytes for each flow that has been in it.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(capacity: usize, seed: HashSeed) -> io::Result<Self> {
        let capacity = capacity.clamp(1024, 1 << 28);
        Ok(Self {
            index: Index::new(capacity)?,
            entries: ZeroedSlice::new(capacity)?,
            epochs: ZeroedSlice::new(1)?,
            seed,
            permits: OnceLock::new(),
        })
    }

    /// The table of a former process. Before [`Self::go_on`] it is for nobody to write to.
    ///
    /// # Errors
    /// The files are no such table.
    pub fn inherit(files: [OwnedFd; FLOW_FILES], facts: &TableFacts) -> io::Result<Self> {
        let capacity = facts.capacity.clamp(1024, 1 << 28);
        let [buckets, entries, epochs] = files;
        Ok(Self {
            index: Index::inherit(buckets, capacity)?,
            entries: ZeroedSlice::inherit(entries, capacity)?,
            epochs: ZeroedSlice::inherit(epochs, 1)?,
            seed: HashSeed::of_words(facts.seed),
            permits: OnceLock::new(),
        })
    }

    /// Its memory files, in the order of [`Self::inherit`].
    #[must_use]
    pub fn files(&self) -> [BorrowedFd<'_>; FLOW_FILES] {
        [self.index.file(), self.entries.as_fd(), self.epochs.as_fd()]
    }

    /// What an heir has to know of it.
    #[must_use]
    pub fn facts(&self) -> TableFacts {
        TableFacts { capacity: self.capacity(), seed: *self.seed.words() }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { high_water: self.index.high_water() as u32, opening: 0 }
    }

    /// Goes on where a former process ended, whose workers owned so many flows.
    pub fn go_on(&self, progress: Progress, owned: usize) {
        self.index.go_on(progress.high_water, owned);
    }

    /// Gives out the entries that the former process had free. May take milliseconds; the workers turn meanwhile. `owned` is what its
    /// workers owned when it ended.
    pub fn recycle<'a>(&self, progress: Progress, owned: impl Iterator<Item = &'a u64>) {
        self.index.recycle(progress.high_water, owned.map(|word| entry_of(*word)));
    }

    /// Makes room for a permit a flow.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn allow_offload(&self) -> io::Result<()> {
        if self.permits.get().is_none() {
            // If another thread was faster, its are as good.
            let _ = self.permits.set(Permits::new(self.capacity())?);
        }
        Ok(())
    }

    /// Which flows engines may carry, where flows may be offloaded.
    #[must_use]
    pub fn permits(&self) -> Option<&Permits> {
        self.permits.get()
    }

    /// The hash of a key in this table.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        self.seed.hash(key)
    }

    /// How many flows fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// How many flows there are.
    #[must_use]
    pub fn used(&self) -> usize {
        self.index.used()
    }

    /// The current epoch of a shard. Read it before the learned table whose answer it vouches for.
    #[inline]
    #[must_use]
    pub fn epoch(&self, shard: u16) -> u32 {
        self.epochs[0].0[usize::from(shard) % SHARDS].load(Ordering::Acquire)
    }

    /// Makes every flow that depends on this shard a miss.
    pub fn forget(&self, shard: u16) {
        self.epochs[0].0[usize::from(shard) % SHARDS].fetch_add(1, Ordering::AcqRel);
    }

    /// Makes every flow a miss: for news that concern no shard in particular, and come seldom.
    pub fn forget_all(&self) {
        (0..SHARDS).for_each(|shard| self.forget(shard as u16));
    }

    /// The table for a burst's worth of look-ups.
    #[inline]
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { buckets: self.index.buckets(), entries: &self.entries, epochs: &self.epochs[0].0 }
    }

    /// The program of `entry`, if it is `key`'s and current.
    #[inline]
    #[must_use]
    pub fn read(&self, entry: u32, key: &FlowKey, generation: Generation) -> Option<Program> {
        let mut program = Program::default();
        let entry = self.entries.get(entry as usize)?;
        self.view().believe(entry, key, generation, &mut program).then_some(program)
    }

    /// Looks in both buckets: for what [`View::candidate`] did not settle.
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey, generation: Generation) -> Option<(u32, Program)> {
        self.index.candidates(hash).find_map(|number| Some((number, self.read(number, key, generation)?)))
    }

    /// Counts packets of a flow and marks it alive.
    #[inline]
    pub fn touch(&self, entry: u32, bytes: u32, now: u32) {
        if let Some(entry) = self.entries.get(entry as usize) {
            entry.count(Sighting { bytes, now });
        }
    }

    /// Counts what was carried of a flow elsewhere, if it is still there.
    pub(crate) fn credit(&self, entry: u32, key: &FlowKey, carried: Tally, seen: u32) {
        if let Some(entry) = self.entries.get(entry as usize).filter(|entry| entry.holds(key)) {
            entry.credit(carried, seen);
        }
    }

    /// One flow, if it can be read.
    #[must_use]
    pub fn record(&self, entry: u32) -> Option<FlowRecord> {
        self.entries.get(entry as usize)?.record()
    }

    /// Says which connection a flow is of.
    pub fn bind(&self, entry: u32, connection: u32) {
        if let Some(entry) = self.entries.get(entry as usize) {
            entry.connection.store(connection.wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Whether an entry is a flow of this connection.
    #[must_use]
    pub fn is_of(&self, entry: u32, connection: u32) -> bool {
        self.entries.get(entry as usize).is_some_and(|entry| entry.connection() == Some(connection))
    }

    /// What [`View::acknowledge`] remembered, or an engine that carries the flow, if the entry is a flow of this connection still and has seen such a
    /// header.
    #[must_use]
    pub fn acknowledged(&self, number: u32, connection: u32) -> Option<u64> {
        let entry = self.entries.get(number as usize).filter(|entry| entry.connection() == Some(connection))?;
        let here = Some(entry.acknowledged.load(Ordering::Relaxed)).filter(|bytes| *bytes != 0);
        let there = self.permits().and_then(|permits| permits.acknowledged(number));
        // Sequence numbers: the later one is ahead by less than half of them (RFC 9293, 3.4).
        let is_later = |one: u64, other: u64| (acknowledgement(one).wrapping_sub(acknowledgement(other)) as i32) > 0;
        match (here, there) {
            (Some(here), Some(there)) => Some(if is_later(there, here) { there } else { here }),
            (here, there) => here.or(there),
        }
    }

    /// Up to `limit` current flows that `wanted` accepts. For the control side: it reads while workers write.
    pub fn records(&self, limit: usize, mut wanted: impl FnMut(&FlowKey) -> bool) -> Vec<FlowRecord> {
        let high_water = self.index.high_water().min(self.entries.len());
        self.entries[..high_water]
            .iter()
            .filter_map(Entry::record)
            .filter(|flow| wanted(&flow.key))
            .take(limit)
            .collect()
    }
}

/// The acknowledgement number in what [`View::acknowledge`] is given.
const fn acknowledgement(bytes: u64) -> u32 {
    (bytes as u32).swap_bytes()
}

/// The parts of the table that a look-up reads, each where a loop can keep it in a register.
#[derive(Clone, Copy)]
pub struct View<'a> {
    buckets: &'a [Bucket],
    entries: &'a [Entry],
    epochs: &'a [AtomicU32; SHARDS],
}

impl View<'_> {
    /// Asks the cache for the bucket of a hash.
    #[inline]
    pub fn prefetch(self, hash: u64) {
        if let Some(bucket) = self.buckets.get(self.first_bucket(hash)) {
            prefetch_of(bucket);
        }
    }

    /// The entry that is probably this hash's, or any other if none is; asks the cache for both its lines. No branch
    /// depends on what is there: a flow's lane is as good as random, and a wrong guess costs more than all of this.
    #[inline]
    #[must_use]
    pub fn candidate(self, hash: u64) -> u32 {
        let Some(bucket) = self.buckets.get(self.first_bucket(hash)) else { return 0 };
        let number = bucket.entry[Candidates::of(bucket, tag(hash)).lowest()].load(Ordering::Relaxed);
        if let Some(entry) = self.entries.get(number as usize) {
            prefetch_of(&entry.key);
            prefetch_of(&entry.wide);
        }
        number
    }

    /// Copies the program of `entry`, if it is `key`'s and current, and counts the packet. Returns whether it was.
    #[inline]
    pub fn hit(self, entry: u32, key: &FlowKey, generation: Generation, seen: Sighting, program: &mut Program) -> bool {
        let Some(entry) = self.entries.get(entry as usize) else { return false };
        let believed = self.believe(entry, key, generation, program);
        if believed {
            entry.count(seen);
        }
        believed
    }

    /// Reads under the entry's version, which says whether what was read is one thing. What is in `program` when it was not
    /// is of no use.
    #[inline]
    fn believe(self, entry: &Entry, key: &FlowKey, generation: Generation, program: &mut Program) -> bool {
        // The version's lowest bit, set while the entry is written, and the generation, in one comparison.
        const STEADY: u64 = 1 << 32 | u32::MAX as u64;
        let stamp = entry.stamp.load(Ordering::Acquire);
        if stamp & STEADY != u64::from(generation.0) || !entry.holds(key) {
            return false;
        }
        *program = entry.program();
        let epoch = entry.epoch.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let unchanged = entry.stamp.load(Ordering::Relaxed) == stamp;
        let now = self.epochs[usize::from(program.shard()) % SHARDS].load(Ordering::Relaxed);
        unchanged && epoch == now
    }

    /// Remembers bytes 8 to 16 of the latest TCP header of a flow, as they stand there.
    #[inline]
    pub fn acknowledge(self, entry: u32, bytes: u64) {
        if let Some(entry) = self.entries.get(entry as usize) {
            entry.acknowledged.store(bytes, Ordering::Relaxed);
        }
    }

    #[inline]
    fn first_bucket(self, hash: u64) -> usize {
        hash as usize & self.buckets.len().wrapping_sub(1)
    }
}
