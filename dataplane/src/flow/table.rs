//! The flow table: a million flows, read by every worker without a lock, each entry written by one worker alone.
//!
//! ```text
//!   hash --> bucket (64 bytes): eight 16-bit tags, eight entry numbers     two buckets a key, the second seldom needed
//!                                    |
//!                                    v
//!            entry (2 x 64 bytes): [ key words 0-3 | program | version+generation ]  all a hit reads, but for IPv6
//!                                  [ key words 4-6 | seen, epoch | packets | bytes ]  what a hit writes
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

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::{io, sync::Arc};

use crossbeam::queue::ArrayQueue;
use podlane_rings::{ZeroedSlice, prefetch_of};
use zerocopy::FromZeros;

use crate::{
    flow::{
        key::{FlowKey, HashSeed, KEY_WORDS},
        program::{PROGRAM_WORDS, Program},
    },
    ids::{Generation, WorkerId},
};

const LANES: usize = 8;
const LOW_BITS: u64 = 0x0001_0001_0001_0001;
const HIGH_BITS: u64 = 0x8000_8000_8000_8000;

/// Parts of the learned tables that can be forgotten one by one; a power of two.
pub const SHARDS: usize = 4096;

#[repr(C, align(64))]
#[derive(FromZeros)]
struct Bucket {
    tags: [AtomicU64; 2],
    entry: [AtomicU32; LANES],
    spare: [AtomicU64; 2],
}

#[repr(C, align(128))]
#[derive(FromZeros)]
struct Entry {
    key: [AtomicU64; 4],
    program: [AtomicU64; PROGRAM_WORDS],
    /// Version (odd while being written) in the high half, generation in the low.
    stamp: AtomicU64,
    wide: [AtomicU64; KEY_WORDS - 4],
    seen: AtomicU32,
    epoch: AtomicU32,
    packets: AtomicU64,
    bytes: AtomicU64,
    owner: AtomicU32,
    born: AtomicU32,
}

/// What a resolved program rests on.
#[derive(Clone, Copy, Debug)]
pub struct Basis {
    /// The tables it was resolved against.
    pub generation: Generation,
    /// The epoch of the program's shard, read before the learned tables were.
    pub epoch: u32,
}

/// One flow, as `podlane flows` sees it.
#[derive(Clone, Debug)]
pub struct FlowRecord {
    /// Its key.
    pub key: FlowKey,
    /// Its program.
    pub program: Program,
    /// Packets carried so far.
    pub packets: u64,
    /// Bytes carried so far, Ethernet headers included.
    pub bytes: u64,
    /// Worker-clock milliseconds of the last packet.
    pub seen: u32,
    /// The worker that resolved it.
    pub owner: WorkerId,
}

/// The table. Shared by all workers and readable by anyone.
pub struct FlowTable {
    buckets: ZeroedSlice<Bucket>,
    entries: ZeroedSlice<Entry>,
    /// Entries never used so far start here; used ones come back through `recycled`.
    fresh: AtomicU32,
    recycled: ArrayQueue<u32>,
    used: AtomicU32,
    epochs: Box<[AtomicU32]>,
    seed: HashSeed,
}

impl FlowTable {
    /// A table for `capacity` flows, at least 1024. It costs about 160 bytes for each flow that has been in it.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(capacity: usize, seed: HashSeed) -> io::Result<Self> {
        let capacity = capacity.clamp(1024, 1 << 28);
        // Two lanes a flow: at most half full, so a second bucket is read for about 2 % of the flows.
        let buckets = (capacity * 2 / LANES).next_power_of_two();
        Ok(Self {
            buckets: ZeroedSlice::new(buckets)?,
            entries: ZeroedSlice::new(capacity)?,
            fresh: AtomicU32::new(0),
            recycled: ArrayQueue::new(capacity),
            used: AtomicU32::new(0),
            epochs: (0..SHARDS).map(|_| AtomicU32::new(0)).collect(),
            seed,
        })
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
        self.used.load(Ordering::Relaxed) as usize
    }

    /// The current epoch of a shard. Read it before the learned table whose answer it vouches for.
    #[inline]
    #[must_use]
    pub fn epoch(&self, shard: u16) -> u32 {
        self.epochs[usize::from(shard) % SHARDS].load(Ordering::Acquire)
    }

    /// Makes every flow that depends on this shard a miss.
    pub fn forget(&self, shard: u16) {
        self.epochs[usize::from(shard) % SHARDS].fetch_add(1, Ordering::AcqRel);
    }

    /// Asks the cache for the bucket of a hash.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch_of(&self.buckets[self.first_bucket(hash)]);
    }

    /// The entry that is probably this hash's; asks the cache for both its lines.
    #[inline]
    #[must_use]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        let bucket = &self.buckets[self.first_bucket(hash)];
        let lane = Candidates::of(bucket, tag(hash)).next()?;
        let number = bucket.entry[lane].load(Ordering::Relaxed);
        let entry = self.entries.get(number as usize)?;
        prefetch_of(&entry.key);
        prefetch_of(&entry.wide);
        Some(number)
    }

    /// The program of `entry`, if it is `key`'s and current.
    #[inline]
    #[must_use]
    pub fn read(&self, entry: u32, key: &FlowKey, generation: Generation) -> Option<Program> {
        let entry = self.entries.get(entry as usize)?;
        let stamp = entry.stamp.load(Ordering::Acquire);
        if stamp as u32 != generation.0 || stamp & (1 << 32) != 0 || !entry.holds(key) {
            return None;
        }
        let program = entry.program();
        let epoch = entry.epoch.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let unchanged = entry.stamp.load(Ordering::Relaxed) == stamp;
        (unchanged && epoch == self.epoch(program.shard())).then_some(program)
    }

    /// Looks in both buckets: for what [`Self::candidate`] did not settle.
    #[must_use]
    pub fn find(&self, hash: u64, key: &FlowKey, generation: Generation) -> Option<(u32, Program)> {
        self.all_candidates(hash).find_map(|number| Some((number, self.read(number, key, generation)?)))
    }

    /// Counts packets of a flow and marks it alive.
    #[inline]
    pub fn touch(&self, entry: u32, bytes: u32, now: u32) {
        let Some(entry) = self.entries.get(entry as usize) else { return };
        entry.packets.store(entry.packets.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        entry.bytes.store(entry.bytes.load(Ordering::Relaxed) + u64::from(bytes), Ordering::Relaxed);
        entry.seen.store(now, Ordering::Relaxed);
    }

    /// Up to `limit` current flows that `wanted` accepts. For the control side: it reads while workers write.
    pub fn records(&self, limit: usize, mut wanted: impl FnMut(&FlowKey) -> bool) -> Vec<FlowRecord> {
        let high_water = (self.fresh.load(Ordering::Acquire) as usize).min(self.entries.len());
        self.entries[..high_water]
            .iter()
            .filter_map(Entry::record)
            .filter(|flow| wanted(&flow.key))
            .take(limit)
            .collect()
    }

    #[inline]
    fn first_bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn second_bucket(&self, hash: u64) -> usize {
        // The tag (the top 16 bits) moves the bucket, as in partial-key cuckoo hashing; never to the same one.
        let step = (hash >> 40) as usize | 1;
        (hash as usize ^ step) & (self.buckets.len() - 1)
    }

    fn all_candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        [self.first_bucket(hash), self.second_bucket(hash)].into_iter().flat_map(move |number| {
            let bucket = &self.buckets[number];
            Candidates::of(bucket, tag(hash)).map(|lane| bucket.entry[lane].load(Ordering::Relaxed))
        })
    }

    fn claim_lane(&self, hash: u64, entry: u32) -> Option<Lane> {
        [self.first_bucket(hash), self.second_bucket(hash)].into_iter().find_map(|number| {
            let lane = self.buckets[number].claim(tag(hash), entry)?;
            Some(Lane { bucket: number as u32, lane: lane as u8 })
        })
    }

    fn take_entry(&self) -> Option<u32> {
        if let Some(entry) = self.recycled.pop() {
            return Some(entry);
        }
        let capacity = self.entries.len() as u32;
        self.fresh.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |next| (next < capacity).then_some(next + 1)).ok()
    }
}

impl Bucket {
    fn claim(&self, tag: u16, entry: u32) -> Option<usize> {
        for (half, word) in self.tags.iter().enumerate() {
            let mut tags = word.load(Ordering::Relaxed);
            while let Some(free) = matching(tags, 0) {
                let claimed = tags | u64::from(tag) << (16 * free);
                match word.compare_exchange_weak(tags, claimed, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => {
                        let lane = half * 4 + free;
                        self.entry[lane].store(entry, Ordering::Release);
                        return Some(lane);
                    }
                    Err(now) => tags = now,
                }
            }
        }
        None
    }

    fn clear(&self, lane: usize) {
        self.tags[lane / 4].fetch_and(!(0xffff << (16 * (lane % 4))), Ordering::AcqRel);
    }
}

impl Entry {
    #[inline]
    fn holds(&self, key: &FlowKey) -> bool {
        let words = key.words();
        let mut difference = 0;
        for (mine, theirs) in self.key.iter().zip(words) {
            difference |= mine.load(Ordering::Relaxed) ^ theirs;
        }
        if key.is_wide() {
            for (mine, theirs) in self.wide.iter().zip(&words[4..]) {
                difference |= mine.load(Ordering::Relaxed) ^ theirs;
            }
        }
        difference == 0
    }

    #[inline]
    fn program(&self) -> Program {
        let [a, b, c] = &self.program;
        Program::from_words([a, b, c].map(|word| word.load(Ordering::Relaxed)))
    }

    /// Writes under an odd version, so that no reader believes what it saw meanwhile. Only the owner calls it.
    fn write(&self, generation: u32, fill: impl FnOnce(&Self)) {
        let version = (self.stamp.load(Ordering::Relaxed) >> 32) as u32;
        self.stamp.store(u64::from(version.wrapping_add(1)) << 32, Ordering::Relaxed);
        fence(Ordering::Release);
        fill(self);
        self.stamp.store(u64::from(version.wrapping_add(2)) << 32 | u64::from(generation), Ordering::Release);
    }

    fn fill(&self, key: &FlowKey, program: &Program, epoch: u32) {
        let [first @ .., _, _, _] = key.words();
        for (word, value) in self.key.iter().zip(first) {
            word.store(*value, Ordering::Relaxed);
        }
        for (word, value) in self.wide.iter().zip(&key.words()[4..]) {
            word.store(*value, Ordering::Relaxed);
        }
        for (word, value) in self.program.iter().zip(program.words()) {
            word.store(*value, Ordering::Relaxed);
        }
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    fn read_key(&self) -> FlowKey {
        let mut words = [0; KEY_WORDS];
        for (word, from) in words.iter_mut().zip(self.key.iter().chain(&self.wide)) {
            *word = from.load(Ordering::Relaxed);
        }
        FlowKey::from_words(words)
    }

    fn record(&self) -> Option<FlowRecord> {
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp as u32 == 0 || stamp & (1 << 32) != 0 {
            return None;
        }
        let record = FlowRecord {
            key: self.read_key(),
            program: self.program(),
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            seen: self.seen.load(Ordering::Relaxed),
            owner: WorkerId(self.owner.load(Ordering::Relaxed) as u16),
        };
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) == stamp).then_some(record)
    }
}

/// The lanes of a bucket whose tag matches, lowest first. A lane above a match may be named although it does not
/// match: the key comparison decides.
struct Candidates([u64; 2]);

impl Candidates {
    #[inline]
    fn of(bucket: &Bucket, tag: u16) -> Self {
        let [low, high] = &bucket.tags;
        Self([lanes(low.load(Ordering::Acquire), tag), lanes(high.load(Ordering::Acquire), tag)])
    }
}

impl Iterator for Candidates {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        for (half, mask) in self.0.iter_mut().enumerate() {
            if *mask != 0 {
                let lane = mask.trailing_zeros() as usize / 16;
                *mask &= *mask - 1;
                return Some(half * 4 + lane);
            }
        }
        None
    }
}

/// The high bit of every 16-bit lane that equals `tag` (and perhaps of lanes above one that does).
#[inline]
const fn lanes(tags: u64, tag: u16) -> u64 {
    let difference = tags ^ (tag as u64 * LOW_BITS);
    difference.wrapping_sub(LOW_BITS) & !difference & HIGH_BITS
}

/// The lowest lane that equals `tag`: exact, because only lanes above a match can be named wrongly.
const fn matching(tags: u64, tag: u16) -> Option<usize> {
    match lanes(tags, tag) {
        0 => None,
        mask => Some(mask.trailing_zeros() as usize / 16),
    }
}

/// A hash's tag: never 0, which marks a free lane.
#[inline]
const fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

#[derive(Clone, Copy)]
struct Lane {
    bucket: u32,
    lane: u8,
}

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
            entry.born.store(now, Ordering::Relaxed);
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
