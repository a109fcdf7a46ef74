//! An entry of the flow table: a key, its program, and what came of it, under a sequence lock.
//!
//! One worker writes an entry; all read it. The version is odd while the owner writes, and a reader that saw it change believes
//! nothing of what it read.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use zerocopy::FromBytes;

use crate::{
    counters::Tally,
    flow::{
        key::{FlowKey, KEY_WORDS},
        program::{PROGRAM_WORDS, Program, Watch},
        table::Sighting,
    },
    ids::{Generation, WorkerId},
};

#[repr(C, align(128))]
#[derive(FromBytes)]
pub(super) struct Entry {
    pub(super) key: [AtomicU64; 4],
    program: [AtomicU64; PROGRAM_WORDS],
    /// Version (odd while being written) in the high half, generation in the low.
    pub(super) stamp: AtomicU64,
    pub(super) wide: [AtomicU64; KEY_WORDS - 4],
    pub(super) seen: AtomicU32,
    pub(super) epoch: AtomicU32,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) owner: AtomicU32,
    /// Of a watched flow: its connection's number and one, or 0.
    pub(super) connection: AtomicU32,
    /// Of a watched flow of TCP: bytes 8 to 16 of its latest header (acknowledgement number, flags, window), as they stand there. Written
    /// by whoever carries the packet, like the counters.
    pub(super) acknowledged: AtomicU64,
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
    /// The tables it was resolved from.
    pub generation: Generation,
    /// The epoch of its program's shard then.
    pub epoch: u32,
}

impl Entry {
    #[inline]
    pub(super) fn holds(&self, key: &FlowKey) -> bool {
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

    /// The flow's connection, if it is of one.
    #[inline]
    pub(super) fn connection(&self) -> Option<u32> {
        self.connection.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Has another look at the packets of the flow from now on. Only the owner calls it. A reader sees the word before or after, and both
    /// are right with the others, so the version stays.
    pub(super) fn watch(&self, watch: Watch) {
        let [_, word, _] = &self.program;
        word.store(self.program().watched(watch).words()[1], Ordering::Relaxed);
    }

    /// Counts a packet and marks the flow alive.
    #[inline]
    pub(super) fn count(&self, seen: Sighting) {
        self.packets.store(self.packets.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + u64::from(seen.bytes), Ordering::Relaxed);
        self.seen.store(seen.now, Ordering::Relaxed);
    }

    /// Counts what was carried elsewhere until `seen`.
    pub(super) fn credit(&self, carried: Tally, seen: u32) {
        self.packets.store(self.packets.load(Ordering::Relaxed) + carried.packets, Ordering::Relaxed);
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + carried.bytes, Ordering::Relaxed);
        if (seen.wrapping_sub(self.seen.load(Ordering::Relaxed)) as i32) > 0 {
            self.seen.store(seen, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn program(&self) -> Program {
        let [a, b, c] = &self.program;
        Program::from_words([a, b, c].map(|word| word.load(Ordering::Relaxed)))
    }

    /// Writes under an odd version, so that no reader believes what it saw meanwhile. Only the owner calls it.
    pub(super) fn write(&self, generation: u32, fill: impl FnOnce(&Self)) {
        let version = (self.stamp.load(Ordering::Relaxed) >> 32) as u32;
        self.stamp.store(u64::from(version.wrapping_add(1)) << 32, Ordering::Relaxed);
        fence(Ordering::Release);
        fill(self);
        self.stamp.store(u64::from(version.wrapping_add(2)) << 32 | u64::from(generation), Ordering::Release);
    }

    pub(super) fn fill(&self, key: &FlowKey, program: &Program, epoch: u32) {
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
        self.connection.store(0, Ordering::Relaxed);
        self.acknowledged.store(0, Ordering::Relaxed);
    }

    pub(super) fn read_key(&self) -> FlowKey {
        let mut words = [0; KEY_WORDS];
        for (word, from) in words.iter_mut().zip(self.key.iter().chain(&self.wide)) {
            *word = from.load(Ordering::Relaxed);
        }
        FlowKey::from_words(words)
    }

    pub(super) fn record(&self) -> Option<FlowRecord> {
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
            generation: Generation(stamp as u32),
            epoch: self.epoch.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) == stamp).then_some(record)
    }
}
