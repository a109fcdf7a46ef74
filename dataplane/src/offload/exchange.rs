//! Where workers and the offloader meet: offers one way, news the other, and the one write that outdates all.
//!
//! Rings of a bounded length in both directions. What finds the first full is offered another time; what finds the second full waits with the
//! offloader.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::{
    ids::{Generation, PortId, WorkerId},
    offload::{
        Engine, EngineId, EngineReport, Gate, Offer, Refusal, Told,
        numbers::{Numbers, add},
    },
    port::Port,
};

/// Offers that may wait: more than a worker makes in a tick of the offloader.
const OFFERS: usize = 4096;

/// News that may wait for one worker.
const NEWS: usize = 4096;

/// Where workers and the offloader meet. Shared by both, and by who publishes.
pub struct Exchange {
    offers: ArrayQueue<Offer>,
    news: Vec<ArrayQueue<Told>>,
    generation: AtomicU32,
    engines: Vec<Listed>,
}

/// What everybody knows of an engine.
struct Listed {
    name: &'static str,
    capacity: usize,
    gate: Arc<dyn Gate>,
    numbers: Numbers,
}

impl Listed {
    fn of(engine: &dyn Engine) -> Self {
        let (name, capacity, gate) = (engine.name(), engine.capacity(), engine.gate());
        Self { name, capacity, gate, numbers: Numbers::default() }
    }
}

impl Exchange {
    /// For so many workers and these engines, in the order of their [`EngineId`]s.
    #[must_use]
    pub fn new(workers: usize, engines: &[Box<dyn Engine>]) -> Self {
        Self {
            offers: ArrayQueue::new(OFFERS),
            news: (0..workers).map(|_| ArrayQueue::new(NEWS)).collect(),
            generation: AtomicU32::new(0),
            engines: engines.iter().map(|engine| Listed::of(&**engine)).collect(),
        }
    }

    /// Has no engine carry anything that was not offered under this generation. To be called before a worker hears of it: until then
    /// they all carry what is going on, by the tables they have.
    pub fn outdate(&self, generation: Generation) {
        self.generation.store(generation.0, Ordering::Release);
        self.engines.iter().for_each(|engine| engine.gate.outdate(generation));
    }

    /// The generation under which flows are carried.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// Puts the engine in front of a port that a worker is to serve, if it sits there.
    #[must_use]
    pub fn front(&self, engine: EngineId, id: PortId, worker: WorkerId, port: Box<dyn Port>) -> Box<dyn Port> {
        match self.listed(engine) {
            Some(engine) => engine.gate.front(id, worker, port),
            None => port,
        }
    }

    /// What is counted of each engine.
    #[must_use]
    pub fn report(&self) -> Vec<EngineReport> {
        self.engines.iter().map(|engine| engine.numbers.report(engine.name, engine.capacity)).collect()
    }

    /// A worker offers a flow. Returns whether there was room.
    pub(super) fn offer(&self, offer: Offer) -> bool {
        let engine = offer.engine;
        let heard = self.offers.push(offer).is_ok();
        if let Some(numbers) = self.numbers(engine) {
            add(if heard { &numbers.offered } else { &numbers.unheard }, 1);
        }
        heard
    }

    /// The next offer.
    pub(super) fn next_offer(&self) -> Option<Offer> {
        self.offers.pop()
    }

    /// Counts a flow that was not worth an offer.
    pub(super) fn refuse(&self, engine: EngineId, refusal: Refusal) {
        if let Some(numbers) = self.numbers(engine) {
            numbers.refuse(refusal);
        }
    }

    /// The offloader tells a worker. Returns whether there was room.
    pub(super) fn tell(&self, worker: WorkerId, told: &Told) -> bool {
        self.news.get(worker.index()).is_some_and(|news| news.push(*told).is_ok())
    }

    /// The next of what a worker was told.
    pub(super) fn next_told(&self, worker: WorkerId) -> Option<Told> {
        self.news.get(worker.index())?.pop()
    }

    pub(super) fn numbers(&self, engine: EngineId) -> Option<&Numbers> {
        self.listed(engine).map(|engine| &engine.numbers)
    }

    fn listed(&self, engine: EngineId) -> Option<&Listed> {
        self.engines.get(usize::from(engine.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test without its ground has failed")]
mod tests {
    use super::*;
    use crate::{
        flow::{FlowKey, FlowTable, HashSeed, Program, TagEdit},
        offload::{
            Fields, Permit,
            emulated::{Emulated, Settings},
        },
    };

    #[test]
    fn what_finds_the_ring_full_is_not_offered_now_and_counted() {
        let flows = Arc::new(FlowTable::new(1024, HashSeed::fixed()).unwrap());
        let engine: Box<dyn Engine> = Box::new(Emulated::new(Settings::default(), 1, flows));
        let exchange = Exchange::new(1, &[engine]);
        let offer = Offer {
            engine: EngineId(0),
            worker: WorkerId(0),
            permit: Permit { entry: 0, stamp: 1 },
            key: FlowKey::default(),
            program: Program::bridge(PortId(1), TagEdit::Keep, 1500),
            generation: Generation(1),
            epoch: 0,
            needs: Fields::ALL,
            ingress: PortId(2),
            unfinished_checksums: false,
            longest: 1514,
            into: None,
        };
        assert!((0..OFFERS).all(|_| exchange.offer(offer.clone())));
        assert!(!exchange.offer(offer.clone()));
        let report = exchange.report().remove(0);
        assert_eq!((report.offered, report.unheard), (OFFERS as u64, 1));
        assert!(exchange.next_offer().is_some() && exchange.offer(offer));
    }
}
