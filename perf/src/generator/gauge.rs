//! How a run stands, for whoever watches it: written by the ends of the run once a turn, read from another thread now and then.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{analyse::Arrivals, send::Departures};

/// Counts of one run. The sides write to lines of their own.
#[derive(Debug, Default)]
pub struct Gauge {
    departed: Departed,
    arrived: Arrived,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Departed {
    sent: AtomicU64,
    late: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Arrived {
    whole: AtomicU64,
    reordered: AtomicU64,
    duplicated: AtomicU64,
    corrupted: AtomicU64,
    next: AtomicU64,
}

/// What a gauge showed at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Packets that left.
    pub sent: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Packets that arrived whole, each counted once.
    pub whole: u64,
    /// Packets that were overtaken.
    pub reordered: u64,
    /// Packets that arrived again.
    pub duplicated: u64,
    /// Packets that arrived changed or cut.
    pub corrupted: u64,
    /// One more than the highest number that arrived.
    pub next: u64,
}

impl Glance {
    /// Packets that are missing among those that later ones followed.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.next.saturating_sub(self.whole + self.corrupted)
    }
}

impl Gauge {
    pub(super) fn depart(&self, departures: &Departures) {
        self.departed.sent.store(departures.sent, Relaxed);
        self.departed.late.store(departures.late, Relaxed);
    }

    pub(super) fn arrive(&self, arrivals: &Arrivals) {
        self.arrived.whole.store(arrivals.whole, Relaxed);
        self.arrived.reordered.store(arrivals.reordered, Relaxed);
        self.arrived.duplicated.store(arrivals.duplicated, Relaxed);
        self.arrived.corrupted.store(arrivals.corrupted, Relaxed);
        self.arrived.next.store(arrivals.next, Relaxed);
    }

    /// How the run stands. The counts are of about one moment.
    #[must_use]
    pub fn glance(&self) -> Glance {
        let Self { departed, arrived } = self;
        Glance {
            whole: arrived.whole.load(Relaxed),
            reordered: arrived.reordered.load(Relaxed),
            duplicated: arrived.duplicated.load(Relaxed),
            corrupted: arrived.corrupted.load(Relaxed),
            next: arrived.next.load(Relaxed),
            sent: departed.sent.load(Relaxed),
            late: departed.late.load(Relaxed),
        }
    }
}
