//! The cursor in every interleaving of two threads that the memory model allows.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p podlane-rings --lib cursor`. Loom fails the model if an entry is
//! ever touched by both sides without an order between them: that is what the acquires and releases are for.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::{Consumer, HEAR, Producer, TELL, Word};

impl Word for AtomicU32 {
    fn acquire(&self) -> u32 {
        self.load(HEAR)
    }

    fn release(&self, value: u32) {
        self.store(value, TELL);
    }
}

const SIZE: u32 = 2;
/// Three entries through a ring of two: the producer meets a full ring and reuses an entry.
const ENTRIES: u32 = 3;
/// The counters wrap on the way.
const START: u32 = u32::MAX;

struct Memory {
    produced: AtomicU32,
    consumed: AtomicU32,
    entries: [UnsafeCell<u32>; SIZE as usize],
}

// SAFETY:
// * Entries are touched only as the cursors allow; that this excludes races is what the model proves.
unsafe impl Sync for Memory {}
// SAFETY:
// * It owns plain integers.
unsafe impl Send for Memory {}

impl Memory {
    fn entry(&self, index: u32) -> &UnsafeCell<u32> {
        &self.entries[(index & (SIZE - 1)) as usize]
    }
}

fn produce(memory: &Memory, burst: u32) {
    let mut cursor = Producer::new(START, START, SIZE);
    let mut next = 0;
    while next < ENTRIES {
        let want = burst.min(ENTRIES - next);
        let n = cursor.room(&memory.consumed, want).min(want);
        for ahead in 0..n {
            // SAFETY:
            // * The cursor says the entry is ours; loom checks that it is.
            memory.entry(cursor.index(ahead)).with_mut(|entry| unsafe { *entry = next + ahead });
        }
        if n == 0 {
            thread::yield_now();
            continue;
        }
        cursor.publish(&memory.produced, n);
        next += n;
    }
}

fn consume(memory: &Memory) -> Vec<u32> {
    let mut cursor = Consumer::new(START, START, SIZE);
    let mut seen = Vec::new();
    while seen.len() < ENTRIES as usize {
        let n = cursor.available(&memory.produced, SIZE);
        for ahead in 0..n {
            // SAFETY:
            // * The cursor says the entry is ours; loom checks that it is.
            seen.push(memory.entry(cursor.index(ahead)).with(|entry| unsafe { *entry }));
        }
        if n == 0 {
            thread::yield_now();
            continue;
        }
        cursor.release(&memory.consumed, n);
    }
    seen
}

fn crossing(burst: u32) {
    loom::model(move || {
        let memory = Arc::new(Memory {
            produced: AtomicU32::new(START),
            consumed: AtomicU32::new(START),
            entries: [UnsafeCell::new(u32::MAX), UnsafeCell::new(u32::MAX)],
        });
        let other = Arc::clone(&memory);
        let producer = thread::spawn(move || produce(&other, burst));
        assert_eq!(consume(&memory), [0, 1, 2]);
        producer.join().unwrap();
    });
}

#[test]
fn entries_cross_one_by_one_in_order_and_without_a_race() {
    crossing(1);
}

#[test]
fn entries_cross_in_bursts_in_order_and_without_a_race() {
    crossing(2);
}
