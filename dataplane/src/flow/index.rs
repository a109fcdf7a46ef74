//! What the tables of flows and of connections are both built on: which entries a hash may mean, which are free, and whose
//! the others are.
//!
//! ```text
//!   hash --> bucket (64 bytes): eight 16-bit tags, eight entry numbers     two buckets a key, the second seldom needed
//!   free --> entries never used so far, then those given back
//! ```
//!
//! Buckets are shared: a lane is claimed by compare-and-swap of its tag, by any worker, and cleared by the worker that
//! claimed it. What is in an entry, and when it is to be believed, is the table's own affair.

use core::sync::atomic::{AtomicU32, Ordering};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use crossbeam::queue::ArrayQueue;
use podlane_rings::ZeroedSlice;

use crate::flow::bucket::{Bucket, Candidates, LANES, tag};

/// From so many lanes taken on, an entry goes to the emptier of its buckets. In a table made for a million entries that leaves 2
/// of a million without a place, and 1.7 % in their second bucket. Refused: filling the first to the last lane (181 and
/// 0.7 %), and balancing from 6 on (none, but 4 %, each a cache miss more a hit).
const CROWDED: usize = 7;

/// The buckets of a table, and its free entries.
pub(super) struct Index {
    buckets: ZeroedSlice<Bucket>,
    capacity: u32,
    /// Entries never used so far start here; used ones come back through `recycled`.
    fresh: AtomicU32,
    recycled: ArrayQueue<u32>,
    used: AtomicU32,
}

impl Index {
    /// An index of `capacity` entries.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self::over(ZeroedSlice::new(buckets_for(capacity))?, capacity))
    }

    /// The index of a former process's table with as many entries. Before [`Self::go_on`] it is for nobody to write to.
    ///
    /// # Errors
    /// The file is no such index.
    pub(super) fn inherit(file: OwnedFd, capacity: usize) -> io::Result<Self> {
        Ok(Self::over(ZeroedSlice::inherit(file, buckets_for(capacity))?, capacity))
    }

    fn over(buckets: ZeroedSlice<Bucket>, capacity: usize) -> Self {
        Self {
            buckets,
            capacity: capacity as u32,
            fresh: AtomicU32::new(0),
            recycled: ArrayQueue::new(capacity),
            used: AtomicU32::new(0),
        }
    }

    /// Its memory file.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.buckets.as_fd()
    }

    /// Goes on where a former process ended, with entries below `high_water` used at some time and `named` of them now. Those
    /// between are free, but not given out before [`Self::recycle`].
    pub(super) fn go_on(&self, high_water: u32, named: usize) {
        self.fresh.store(high_water.min(self.capacity), Ordering::Release);
        self.used.store(named as u32, Ordering::Relaxed);
    }

    /// Gives out again what a former process had given back: all entries below `high_water` that none of its workers named.
    pub(super) fn recycle(&self, high_water: u32, named: impl Iterator<Item = u32>) {
        let mut taken = vec![false; high_water.min(self.capacity) as usize];
        for entry in named {
            if let Some(taken) = taken.get_mut(entry as usize) {
                *taken = true;
            }
        }
        for (entry, _) in taken.iter().enumerate().filter(|(_, taken)| !**taken) {
            self.give(entry as u32);
        }
    }

    /// How many entries are named.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed) as usize
    }

    /// Entries from this one on were never used.
    pub(super) fn high_water(&self) -> usize {
        self.fresh.load(Ordering::Acquire) as usize
    }

    #[inline]
    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// The entries a hash may mean, in an order that does not change while they are there.
    #[inline]
    pub(super) fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        [self.first_bucket(hash), self.second_bucket(hash)].into_iter().flat_map(move |number| {
            let bucket = &self.buckets[number];
            Candidates::of(bucket, tag(hash)).map(|lane| bucket.entry[lane].load(Ordering::Relaxed))
        })
    }

    /// A free entry, to be written and then named; `None` when there is no other.
    pub(super) fn take(&self) -> Option<u32> {
        if let Some(entry) = self.recycled.pop() {
            return Some(entry);
        }
        let next = |next| (next < self.capacity).then_some(next + 1);
        self.fresh.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).ok()
    }

    /// Names an entry that was written; `None` when both buckets of its hash are full.
    pub(super) fn name(&self, hash: u64, entry: u32) -> Option<Place> {
        let (first, second) = (self.first_bucket(hash), self.second_bucket(hash));
        let here = self.buckets[first].taken();
        let emptier = here >= CROWDED && self.buckets[second].taken() < here;
        let order = if emptier { [second, first] } else { [first, second] };
        let place = order.into_iter().find_map(|number| {
            let lane = self.buckets[number].claim(tag(hash), entry)?;
            Some(Place { entry, bucket: number as u32, lane: lane as u8 })
        })?;
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    /// Takes an entry that was taken and not named back.
    pub(super) fn give(&self, entry: u32) {
        // The queue has a place for every entry there is, so this cannot fail.
        let _ = self.recycled.push(entry);
    }

    /// Forgets where an entry was named, and takes it back. Only who named it calls this.
    fn end(&self, place: Place) {
        self.buckets[place.bucket as usize].clear(usize::from(place.lane));
        self.used.fetch_sub(1, Ordering::Relaxed);
        self.give(place.entry);
    }

    #[inline]
    fn first_bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    #[inline]
    fn second_bucket(&self, hash: u64) -> usize {
        // The tag (the top 16 bits) and the bits below it move the bucket, as in partial-key cuckoo hashing; never to the same one.
        let step = (hash >> 40) as usize | 1;
        (hash as usize ^ step) & (self.buckets.len() - 1)
    }
}

/// How many buckets an index of `capacity` entries has. Two lanes an entry: at most half full, so a second bucket is read for about 2 %
/// of them.
fn buckets_for(capacity: usize) -> usize {
    (capacity * 2 / LANES).next_power_of_two()
}

/// Where an entry is named.
#[derive(Clone, Copy)]
pub(super) struct Place {
    entry: u32,
    bucket: u32,
    lane: u8,
}

impl Place {
    const BUCKET_AT: u32 = 32;
    const LANE_AT: u32 = 61;

    /// In one word, for an heir. A table has at most 2^26 buckets.
    fn pack(self) -> u64 {
        u64::from(self.entry) | u64::from(self.bucket) << Self::BUCKET_AT | u64::from(self.lane) << Self::LANE_AT
    }

    /// A place of an index, if it can be one.
    fn unpack(word: u64, index: &Index) -> Option<Self> {
        let bucket = (word >> Self::BUCKET_AT) as u32 & ((1 << (Self::LANE_AT - Self::BUCKET_AT)) - 1);
        let place = Self { entry: word as u32, bucket, lane: (word >> Self::LANE_AT) as u8 };
        (place.entry < index.capacity && (place.bucket as usize) < index.buckets.len()).then_some(place)
    }
}

/// The entry of a place in one word.
pub(super) const fn entry_of(word: u64) -> u32 {
    word as u32
}

const _: () = assert!(LANES == 8, "three bits say which lane");

/// The entries one worker named: it alone ends them.
pub(super) struct Owned {
    places: Vec<Place>,
    cursor: usize,
}

impl Owned {
    /// Room for all there can be: growing it would hold a packet up. Untouched, it costs address space alone.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { places: Vec::with_capacity(capacity), cursor: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.places.len()
    }

    /// All of them, each in a word, for an heir.
    pub(super) fn words(&self) -> Vec<u64> {
        self.places.iter().map(|place| place.pack()).collect()
    }

    /// Owns what a former process's worker owned. What cannot be a place is left out: its entry is then nobody's.
    pub(super) fn inherit(&mut self, words: &[u64], index: &Index) {
        self.places.extend(words.iter().filter_map(|word| Place::unpack(*word, index)));
    }

    pub(super) fn push(&mut self, place: Place) {
        self.places.push(place);
    }

    /// Looks at up to `budget` entries, in turn, and ends those that `emptied` says it has emptied. Returns how many ended.
    pub(super) fn sweep(&mut self, index: &Index, budget: usize, mut emptied: impl FnMut(u32) -> bool) -> usize {
        let mut ended = 0;
        for _ in 0..budget.min(self.places.len()) {
            if self.cursor >= self.places.len() {
                self.cursor = 0;
            }
            let Some(place) = self.places.get(self.cursor) else { break };
            if emptied(place.entry) {
                index.end(self.places.swap_remove(self.cursor));
                ended += 1;
            } else {
                self.cursor += 1;
            }
        }
        ended
    }

    /// Ends all of them.
    pub(super) fn end_all(&mut self, index: &Index, mut empty: impl FnMut(u32)) {
        while let Some(place) = self.places.pop() {
            empty(place.entry);
            index.end(place);
        }
    }
}
