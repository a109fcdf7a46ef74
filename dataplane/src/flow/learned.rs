//! What workers learn from traffic and share at once: which port a MAC address is behind, which MAC address an IP has.
//!
//! A fixed, open-addressed map of words, read without a lock. A writer takes a slot by turning its version odd;
//! if another worker holds it, the writer goes on and learns from the next packet instead. Two workers that learn
//! one key at once may leave two slots; the first in probe order is the one read and refreshed, the other ages out.

use core::{
    ops::Deref,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use podlane_rings::ZeroedSlice;
use zerocopy::FromBytes;

/// How many slots a key may stand in.
const WINDOW: usize = 8;

#[repr(C)]
#[derive(FromBytes)]
struct Slot<const K: usize> {
    version: AtomicU32,
    /// Worker-clock milliseconds of the last sighting.
    seen: AtomicU32,
    key: [AtomicU64; K],
    /// 0 means the slot is free.
    value: AtomicU64,
}

/// Where the slots are.
enum Slots<const K: usize> {
    Own(Box<[Slot<K>]>),
    InFile(ZeroedSlice<Slot<K>>),
}

impl<const K: usize> Deref for Slots<K> {
    type Target = [Slot<K>];

    #[inline]
    fn deref(&self) -> &[Slot<K>] {
        match self {
            Self::Own(slots) => slots,
            Self::InFile(slots) => slots,
        }
    }
}

/// What became of a lesson.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lesson {
    /// Known already, with the same value.
    Known,
    /// Not known before.
    New,
    /// Known with this other value before.
    Moved(u64),
    /// Every slot it could stand in is taken, or another worker is writing there.
    Refused,
}

/// The map: keys of `K` words, values of one word that is never 0.
pub struct Learned<const K: usize> {
    slots: Slots<K>,
}

/// Slots of a map with room for about `capacity` keys.
fn slots_for(capacity: usize) -> usize {
    (capacity.max(64) * 2).next_power_of_two()
}

impl<const K: usize> Learned<K> {
    /// A map with room for about `capacity` keys.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let slot = |_| Slot {
            version: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            key: [const { AtomicU64::new(0) }; K],
            value: AtomicU64::new(0),
        };
        Self { slots: Slots::Own((0..slots_for(capacity)).map(slot).collect()) }
    }

    /// As [`Self::new`], in a memory file that an heir of this process can go on with.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn in_file(capacity: usize) -> io::Result<Self> {
        Ok(Self { slots: Slots::InFile(ZeroedSlice::new(slots_for(capacity))?) })
    }

    /// The map that a former process had in this file, made for as many keys.
    ///
    /// # Errors
    /// It is no such file.
    pub fn inherit(file: OwnedFd, capacity: usize) -> io::Result<Self> {
        Ok(Self { slots: Slots::InFile(ZeroedSlice::inherit(file, slots_for(capacity))?) })
    }

    /// Its memory file, if it is in one.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.slots {
            Slots::Own(_) => None,
            Slots::InFile(slots) => Some(slots.as_fd()),
        }
    }

    /// The value learned for `key`.
    #[must_use]
    pub fn lookup(&self, key: &[u64; K]) -> Option<u64> {
        self.window(key).find_map(|slot| slot.value_of(key))
    }

    /// The value learned for `key`, and when it was last seen there.
    #[must_use]
    pub fn sighting(&self, key: &[u64; K]) -> Option<(u64, u32)> {
        let known = self.window(key).filter_map(Slot::read).find(|(each, ..)| each == key);
        known.map(|(_, value, seen)| (value, seen))
    }

    /// Learns that `key` is at `value` (not 0), seen at `now`.
    pub fn learn(&self, key: &[u64; K], value: u64, now: u32) -> Lesson {
        debug_assert_ne!(value, 0, "0 marks a free slot");
        for slot in self.window(key) {
            match slot.value_of(key) {
                Some(known) if known == value => {
                    slot.seen.store(now, Ordering::Relaxed);
                    return Lesson::Known;
                }
                Some(before) => {
                    let written = slot.write(|slot| slot.holds(key), |slot| slot.fill(key, value, now));
                    return if written { Lesson::Moved(before) } else { Lesson::Refused };
                }
                None => {}
            }
        }
        let free = |slot: &&Slot<K>| slot.value.load(Ordering::Relaxed) == 0;
        let taken = self
            .window(key)
            .filter(free)
            .any(|slot| slot.write(|slot| slot.value.load(Ordering::Relaxed) == 0, |slot| slot.fill(key, value, now)));
        if taken { Lesson::New } else { Lesson::Refused }
    }

    /// Hears that `key` was at `value` at the time `seen`, which may be a while ago: believed if it is the latest news of
    /// a key that is known. A key that is not known stays so.
    pub fn confirm(&self, key: &[u64; K], value: u64, seen: u32) -> Lesson {
        let known = self.window(key).find_map(|slot| Some((slot, slot.value_of(key)?)));
        let Some((slot, before)) = known else { return Lesson::Refused };
        let news = (seen.wrapping_sub(slot.seen.load(Ordering::Relaxed)) as i32) > 0;
        if before == value || !news {
            if news {
                slot.seen.store(seen, Ordering::Relaxed);
            }
            return Lesson::Known;
        }
        let written = slot.write(|slot| slot.holds(key), |slot| slot.fill(key, value, seen));
        if written { Lesson::Moved(before) } else { Lesson::Refused }
    }

    /// Forgets `key`.
    pub fn remove(&self, key: &[u64; K]) {
        for slot in self.window(key).filter(|slot| slot.value_of(key).is_some()) {
            slot.write(|slot| slot.holds(key), |slot| slot.value.store(0, Ordering::Relaxed));
        }
    }

    /// Forgets what `gone` says yes to, among the `count` slots from `from` on; tells `forgotten` each key and its value.
    pub fn forget(
        &self,
        slots: core::ops::Range<usize>,
        gone: impl Fn(&[u64; K], u64, u32) -> bool,
        mut forgotten: impl FnMut(&[u64; K], u64),
    ) {
        for slot in self.slots.iter().skip(slots.start).take(slots.len()) {
            let Some((key, value, seen)) = slot.read() else { continue };
            let erase = |slot: &Slot<K>| slot.value.store(0, Ordering::Relaxed);
            if gone(&key, value, seen) && slot.write(|slot| slot.holds(&key), erase) {
                forgotten(&key, value);
            }
        }
    }

    /// How many slots there are to walk with [`Self::forget`].
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Everything known now: key, value, last seen. For the control side.
    #[must_use]
    pub fn entries(&self) -> Vec<([u64; K], u64, u32)> {
        self.slots.iter().filter_map(Slot::read).collect()
    }

    fn window(&self, key: &[u64; K]) -> impl Iterator<Item = &Slot<K>> {
        let slots = &*self.slots;
        let mask = slots.len() - 1;
        let start = spread(key) as usize;
        (0..WINDOW).map(move |step| &slots[(start + step) & mask])
    }
}

impl<const K: usize> Slot<K> {
    fn holds(&self, key: &[u64; K]) -> bool {
        self.value.load(Ordering::Relaxed) != 0
            && self.key.iter().zip(key).all(|(mine, theirs)| mine.load(Ordering::Relaxed) == *theirs)
    }

    fn value_of(&self, key: &[u64; K]) -> Option<u64> {
        let version = self.version.load(Ordering::Acquire);
        let value = self.value.load(Ordering::Relaxed);
        let found = self.holds(key);
        fence(Ordering::Acquire);
        let steady = version & 1 == 0 && self.version.load(Ordering::Relaxed) == version;
        (found && steady).then_some(value)
    }

    fn read(&self) -> Option<([u64; K], u64, u32)> {
        let version = self.version.load(Ordering::Acquire);
        let key = core::array::from_fn(|n| self.key[n].load(Ordering::Relaxed));
        let value = self.value.load(Ordering::Relaxed);
        let seen = self.seen.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let steady = version & 1 == 0 && self.version.load(Ordering::Relaxed) == version;
        (value != 0 && steady).then_some((key, value, seen))
    }

    /// Writes if no one else does and `still` holds once the slot is ours.
    fn write(&self, still: impl FnOnce(&Self) -> bool, fill: impl FnOnce(&Self)) -> bool {
        let version = self.version.load(Ordering::Relaxed);
        let taken = version & 1 == 0
            && self
                .version
                .compare_exchange(version, version.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if !taken {
            return false;
        }
        fence(Ordering::Release);
        let write = still(self);
        if write {
            fill(self);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
        write
    }

    fn fill(&self, key: &[u64; K], value: u64, now: u32) {
        for (mine, theirs) in self.key.iter().zip(key) {
            mine.store(*theirs, Ordering::Relaxed);
        }
        self.value.store(value, Ordering::Relaxed);
        self.seen.store(now, Ordering::Relaxed);
    }
}

/// Spreads a key over the slots, and over the flow table's shards.
#[must_use]
pub fn spread<const K: usize>(key: &[u64; K]) -> u32 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for word in key {
        let product = u128::from(hash ^ word) * 0xd6e8_feb8_6659_fd93_u128;
        hash = product as u64 ^ (product >> 64) as u64;
    }
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_moves_tells_where_it_was() {
        let map = Learned::<1>::new(64);
        assert_eq!(map.learn(&[7], 1, 0), Lesson::New);
        assert_eq!(map.learn(&[7], 1, 5), Lesson::Known);
        assert_eq!(map.learn(&[7], 2, 6), Lesson::Moved(1));
        assert_eq!(map.lookup(&[7]), Some(2));
        assert_eq!(map.entries(), [([7], 2, 6)]);
    }

    #[test]
    fn a_removed_key_is_gone_and_its_neighbours_stay() {
        let map = Learned::<1>::new(64);
        map.learn(&[7], 1, 5);
        map.learn(&[8], 2, 6);
        map.learn(&[8], 2, 9);
        map.remove(&[7]);
        map.remove(&[9]);
        assert_eq!((map.sighting(&[7]), map.sighting(&[8])), (None, Some((2, 9))));
        assert_eq!(map.learn(&[7], 3, 10), Lesson::New);
    }

    #[test]
    fn old_news_change_nothing_and_late_news_do() {
        let map = Learned::<1>::new(64);
        assert_eq!(map.confirm(&[7], 1, 5), Lesson::Refused);
        map.learn(&[7], 1, 10);
        assert_eq!(map.confirm(&[7], 2, 10), Lesson::Known);
        assert_eq!(map.confirm(&[7], 1, 4), Lesson::Known);
        assert_eq!(map.entries(), [([7], 1, 10)]);
        assert_eq!(map.confirm(&[7], 1, 12), Lesson::Known);
        assert_eq!(map.confirm(&[7], 2, 13), Lesson::Moved(1));
        assert_eq!(map.entries(), [([7], 2, 13)]);
    }

    #[test]
    fn a_full_window_refuses_and_harms_no_one() {
        let map = Learned::<1>::new(1);
        let mut kept = HashMap::new();
        for key in 1..10_000u64 {
            if map.learn(&[key], key, 0) == Lesson::New {
                kept.insert(key, key);
            }
        }
        assert!(kept.len() <= map.slots());
        assert!(kept.len() > map.slots() / 2);
        for (key, value) in kept {
            assert_eq!(map.lookup(&[key]), Some(value));
        }
    }

    proptest! {
        #[test]
        fn the_map_agrees_with_a_hash_map(steps in prop::collection::vec((0u64..40, 1u64..4, any::<bool>()), 0..400)) {
            let map = Learned::<3>::new(256);
            let mut oracle = HashMap::new();
            for (now, (key, value, learn)) in steps.into_iter().enumerate() {
                let key = [key, key ^ 1, 3];
                if learn {
                    map.learn(&key, value, now as u32);
                    oracle.insert(key, value);
                } else {
                    map.forget(0..map.slots(), |each, _, _| *each == key, |_, _| ());
                    oracle.remove(&key);
                }
                prop_assert_eq!(map.lookup(&key), oracle.get(&key).copied());
            }
            let mut all: Vec<_> = map.entries().into_iter().map(|(key, value, _)| (key, value)).collect();
            all.sort_unstable();
            let mut expected: Vec<_> = oracle.into_iter().collect();
            expected.sort_unstable();
            prop_assert_eq!(all, expected);
        }
    }
}
