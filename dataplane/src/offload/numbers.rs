//! What is counted of each engine: written by whoever knows, read by anyone.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{
    counters::Tally,
    offload::{
        Refusal,
        refusal::REFUSALS,
        told::{End, Told},
    },
};

/// One engine's numbers.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) offered: AtomicU64,
    pub(super) unheard: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) flows: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) aged: AtomicU64,
    pub(super) looked_up: AtomicU64,
    pub(super) hits: AtomicU64,
    refused: [AtomicU64; REFUSALS],
}

/// One engine, as `podlane offload` sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EngineReport {
    /// Its name.
    pub name: &'static str,
    /// How many flows fit.
    pub capacity: u64,
    /// How many it carries.
    pub flows: u64,
    /// Flows offered to it.
    pub offered: u64,
    /// Flows that were not offered because too many were at once; they will be.
    pub unheard: u64,
    /// Offers it took.
    pub taken: u64,
    /// What it has carried.
    pub carried: Tally,
    /// Flows it put out for others.
    pub evicted: u64,
    /// Flows it lost without a word.
    pub lost: u64,
    /// Flows that were taken back: they ended, or what they rested on has changed.
    pub aged: u64,
    /// Packets it looked at.
    pub looked_up: u64,
    /// Those of them that it carried.
    pub hits: u64,
    /// Flows that were refused, by reason; those reasons that have counted any.
    pub refused: Vec<(Refusal, u64)>,
}

impl Numbers {
    pub(super) fn refuse(&self, refusal: Refusal) {
        add(&self.refused[refusal as usize], 1);
    }

    /// Counts what a worker is told.
    pub(super) fn tell(&self, told: &Told) {
        add(&self.packets, told.usage.carried.packets);
        add(&self.bytes, told.usage.carried.bytes);
        match told.over {
            None => {}
            Some(End::Refused(refusal)) => self.refuse(refusal),
            Some(End::Evicted) => add(&self.evicted, 1),
            Some(End::Lost) => add(&self.lost, 1),
            Some(End::Aged) => add(&self.aged, 1),
        }
    }

    pub(super) fn report(&self, name: &'static str, capacity: usize) -> EngineReport {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let refused = Refusal::ALL.into_iter().zip(self.refused.iter().map(read));
        EngineReport {
            name,
            capacity: capacity as u64,
            flows: read(&self.flows),
            offered: read(&self.offered),
            unheard: read(&self.unheard),
            taken: read(&self.taken),
            carried: Tally { packets: read(&self.packets), bytes: read(&self.bytes) },
            evicted: read(&self.evicted),
            lost: read(&self.lost),
            aged: read(&self.aged),
            looked_up: read(&self.looked_up),
            hits: read(&self.hits),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

pub(super) fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}
