//! A bucket of an index: one cache line that says which entries a hash may mean.
//!
//! Eight lanes of a 16-bit tag and an entry number. Tags are compared four at a time in a word. A lane is claimed by
//! compare-and-swap of its tag word, so any worker may insert; it is cleared by the owner of the entry alone.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use zerocopy::FromBytes;

/// Lanes of a bucket.
pub(super) const LANES: usize = 8;
const LOW_BITS: u64 = 0x0001_0001_0001_0001;
const HIGH_BITS: u64 = 0x8000_8000_8000_8000;

#[repr(C, align(64))]
#[derive(FromBytes)]
pub(super) struct Bucket {
    tags: [AtomicU64; 2],
    pub(super) entry: [AtomicU32; LANES],
    spare: [AtomicU64; 2],
}

impl Bucket {
    pub(super) fn claim(&self, tag: u16, entry: u32) -> Option<usize> {
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

    /// How many lanes are taken.
    pub(super) fn taken(&self) -> usize {
        let free = |word: &AtomicU64| {
            let tags = word.load(Ordering::Relaxed);
            (0..4).filter(|lane| tags >> (16 * lane) & 0xffff == 0).count()
        };
        LANES - self.tags.iter().map(free).sum::<usize>()
    }

    pub(super) fn clear(&self, lane: usize) {
        self.tags[lane / 4].fetch_and(!(0xffff << (16 * (lane % 4))), Ordering::AcqRel);
    }
}

/// The lanes of a bucket whose tag matches, lowest first. A lane above a match may be named although it does not
/// match: the key comparison decides.
pub(super) struct Candidates([u64; 2]);

impl Candidates {
    #[inline]
    pub(super) fn of(bucket: &Bucket, tag: u16) -> Self {
        let [low, high] = &bucket.tags;
        // Nothing is believed on a tag's word: the entry's own version orders what follows.
        Self([lanes(low.load(Ordering::Relaxed), tag), lanes(high.load(Ordering::Relaxed), tag)])
    }
}

impl Candidates {
    /// The first of them, or any lane if there is none, without a branch: the two halves are laid into each other.
    #[inline]
    pub(super) fn lowest(&self) -> usize {
        let [low, high] = self.0;
        let bit = (low >> 1 | high).trailing_zeros() as usize;
        (bit / 16 + bit % 2 * 4) % LANES
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
pub(super) const fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}
