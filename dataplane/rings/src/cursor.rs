//! One side's place on a ring shared with another party: who may touch which entries, and nothing else.
//!
//! A ring has two free-running 32-bit counters, *produced* and *consumed*; each is written by one side and read by the
//! other. A cursor keeps our own counter, which is the truth, and a remembered copy of the other side's, which is old
//! but never ahead; so it asks the shared word only when the copy says there is too little. That is one acquire and one
//! release for a burst, however long.
//!
//! The other side's word is an allegation: a counter that claims more than the ring holds is treated as no news, and told.
//! Tested against plain integers below, and in every interleaving of two threads by `loom` (`--cfg loom`).

use std::sync::atomic::{AtomicU32, Ordering};

/// How the other side's counter is read. The loom model uses these two constants, so that it proves these and no others.
const HEAR: Ordering = Ordering::Acquire;
/// How ours is written.
const TELL: Ordering = Ordering::Release;

/// A shared counter; the loom model has one of its own.
pub(crate) trait Word {
    /// Reads what the other side published, and everything it wrote before.
    fn acquire(&self) -> u32;
    /// Publishes ours, and everything we wrote (or finished reading) before.
    fn release(&self, value: u32);
}

impl Word for AtomicU32 {
    #[inline]
    fn acquire(&self) -> u32 {
        self.load(HEAR)
    }

    #[inline]
    fn release(&self, value: u32) {
        self.store(value, TELL);
    }
}

/// The producing side: entries `head .. head + room` are ours to write.
#[derive(Debug)]
pub(crate) struct Producer {
    head: u32,
    consumed: u32,
    size: u32,
    absurd: u64,
}

impl Producer {
    /// A cursor at the shared words' present values, on a ring of `size` entries.
    pub(crate) fn new(produced: u32, consumed: u32, size: u32) -> Self {
        let mut cursor = Self { head: produced, consumed: produced, size, absurd: 0 };
        cursor.hear(consumed);
        cursor
    }

    /// Entries that may be written now, asking the consumer's word only if fewer than `want` are known of.
    #[inline]
    pub(crate) fn room(&mut self, consumed: &impl Word, want: u32) -> u32 {
        if self.known_room() < want {
            self.hear(consumed.acquire());
        }
        self.known_room()
    }

    /// Entries published and, as far as the shared word says, not yet consumed.
    #[inline]
    pub(crate) fn unconsumed(&mut self, consumed: &impl Word) -> u32 {
        self.hear(consumed.acquire());
        self.size - self.known_room()
    }

    /// The index of the entry `ahead` of the first unwritten one; the caller masks it.
    #[inline]
    pub(crate) fn index(&self, ahead: u32) -> u32 {
        self.head.wrapping_add(ahead)
    }

    /// Hands `n` written entries to the consumer. `n` is at most what `room` last answered.
    #[inline]
    pub(crate) fn publish(&mut self, produced: &impl Word, n: u32) {
        debug_assert!(n <= self.known_room());
        self.head = self.head.wrapping_add(n);
        produced.release(self.head);
    }

    /// Times the consumer's word was absurd.
    pub(crate) fn absurd(&self) -> u64 {
        self.absurd
    }

    #[inline]
    fn known_room(&self) -> u32 {
        self.size - self.head.wrapping_sub(self.consumed)
    }

    #[inline]
    fn hear(&mut self, consumed: u32) {
        if self.head.wrapping_sub(consumed) <= self.size {
            self.consumed = consumed;
        } else {
            self.absurd += 1;
        }
    }
}

/// The consuming side: entries `tail .. tail + available` are ours to read.
#[derive(Debug)]
pub(crate) struct Consumer {
    tail: u32,
    produced: u32,
    size: u32,
    absurd: u64,
}

impl Consumer {
    /// A cursor at the shared words' present values, on a ring of `size` entries.
    pub(crate) fn new(produced: u32, consumed: u32, size: u32) -> Self {
        let mut cursor = Self { tail: consumed, produced: consumed, size, absurd: 0 };
        cursor.hear(produced);
        cursor
    }

    /// Entries that may be read now, asking the producer's word only if fewer than `want` are known of.
    #[inline]
    pub(crate) fn available(&mut self, produced: &impl Word, want: u32) -> u32 {
        if self.known() < want {
            self.hear(produced.acquire());
        }
        self.known()
    }

    /// The index of the entry `ahead` of the first unread one; the caller masks it.
    #[inline]
    pub(crate) fn index(&self, ahead: u32) -> u32 {
        self.tail.wrapping_add(ahead)
    }

    /// Hands `n` read entries back to the producer. `n` is at most what `available` last answered.
    #[inline]
    pub(crate) fn release(&mut self, consumed: &impl Word, n: u32) {
        debug_assert!(n <= self.known());
        self.tail = self.tail.wrapping_add(n);
        consumed.release(self.tail);
    }

    /// Times the producer's word was absurd.
    pub(crate) fn absurd(&self) -> u64 {
        self.absurd
    }

    #[inline]
    fn known(&self) -> u32 {
        self.produced.wrapping_sub(self.tail)
    }

    #[inline]
    fn hear(&mut self, produced: u32) {
        if produced.wrapping_sub(self.tail) <= self.size {
            self.produced = produced;
        } else {
            self.absurd += 1;
        }
    }
}

#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, not(loom)))]
mod oracle;
