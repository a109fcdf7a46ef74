//! The offloader: the thread that owns the engines, so that no worker ever calls one.
//!
//! Each tick it takes offers, hears what was evicted, and takes out what rests on an address that has moved; a few times a second it asks
//! the engines what they carried, which is also how it learns what they have lost.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    flow::{FlowKey, FlowTable},
    ids::{Generation, PathId, PortId, WorkerId},
    offload::{
        Engine, EngineId, Exchange, Offer, Permit, Permits, Refusal, Usage,
        told::{End, Told},
    },
};

/// A tick at least this often. An address that moved is out of the engines after one; publications and connections do not wait for it.
pub const TICK: Duration = Duration::from_millis(2);

/// Engines are asked what they carried this often, milliseconds.
const ASKED: u32 = 200;

/// Offers taken in a tick, so that a storm of them does not delay what is taken out.
const OFFERS: usize = 2048;

/// The owner of the engines.
pub struct Offloader {
    exchange: Arc<Exchange>,
    flows: Arc<FlowTable>,
    engines: Vec<Desk>,
    /// News that found no room.
    waiting: VecDeque<(WorkerId, Told)>,
    asked: u32,
}

/// One engine, and what it is believed to carry.
struct Desk {
    id: EngineId,
    engine: Box<dyn Engine>,
    carried: HashMap<u32, Carried>,
    /// The epochs that what is carried rests on.
    epochs: BTreeMap<u16, u32>,
    /// Whether an older epoch of the same shard was among them.
    moved: bool,
    generation: Generation,
}

/// A flow that an engine carries, as far as is known.
struct Carried {
    permit: Permit,
    worker: WorkerId,
    key: FlowKey,
    ports: (PortId, PortId),
    paths: [Option<(PathId, u8)>; 2],
    generation: Generation,
    shard: u16,
    epoch: u32,
    /// Whether the engine told of it when it was last asked.
    present: bool,
}

impl Carried {
    fn of(offer: &Offer) -> Self {
        let into = offer.into.as_ref().map(|into| (into.path, into.template.length()));
        Self {
            permit: offer.permit,
            worker: offer.worker,
            key: offer.key,
            ports: (offer.ingress, offer.program.egress()),
            paths: [None, into],
            generation: offer.generation,
            shard: offer.program.shard(),
            epoch: offer.epoch,
            present: true,
        }
    }

    const fn told(&self, usage: Usage, over: Option<End>) -> Told {
        let Self { permit, key, ports, paths, .. } = *self;
        Told { permit, key, ports, paths, usage, over }
    }
}

impl Offloader {
    /// The owner of these engines, for workers that share this flow table.
    ///
    /// # Errors
    /// The kernel gives no memory for permits.
    pub fn new(workers: usize, flows: Arc<FlowTable>, engines: Vec<Box<dyn Engine>>) -> io::Result<Self> {
        flows.allow_offload()?;
        let exchange = Arc::new(Exchange::new(workers, &engines));
        let desk = |(number, engine): (usize, Box<dyn Engine>)| Desk {
            id: EngineId(number as u8),
            engine,
            carried: HashMap::new(),
            epochs: BTreeMap::new(),
            moved: false,
            generation: Generation::default(),
        };
        let engines = engines.into_iter().enumerate().map(desk).collect();
        Ok(Self { exchange, flows, engines, waiting: VecDeque::new(), asked: 0 })
    }

    /// Where workers meet it.
    #[must_use]
    pub const fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// What is to be done at `now`, worker-clock milliseconds.
    pub fn tick(&mut self, now: u32) {
        let Some(permits) = self.flows.permits() else { return };
        // While a worker does not hear, counts stay with the engines.
        let ask = now.wrapping_sub(self.asked) >= ASKED && self.waiting.is_empty();
        if ask {
            self.asked = now;
        }
        let mut news = Vec::new();
        for desk in &mut self.engines {
            desk.engine.keep_up(now);
            desk.hear_evicted(&mut news);
            desk.take_out_outdated((&self.exchange, &self.flows), &mut news);
        }
        for _ in 0..OFFERS {
            let Some(offer) = self.exchange.next_offer() else { break };
            let place = usize::from(offer.engine.0);
            if let Some(desk) = self.engines.get_mut(place) {
                desk.take(&offer, (&self.exchange, &self.flows, permits), &mut news);
            }
        }
        for desk in &mut self.engines {
            if ask {
                desk.ask(permits, &mut news);
            }
            desk.publish(&self.exchange);
        }
        for (engine, worker, told) in news {
            if let Some(numbers) = self.exchange.numbers(engine) {
                numbers.tell(&told);
            }
            self.waiting.push_back((worker, told));
        }
        while let Some((worker, told)) = self.waiting.front()
            && self.exchange.tell(*worker, told)
        {
            self.waiting.pop_front();
        }
    }

    /// Ends all engines.
    pub fn stop(&mut self) {
        self.engines.iter_mut().for_each(|desk| desk.engine.stop());
    }

    /// Ticks on a thread of its own, by the workers' clock, which began at `started`.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(mut self, started: Instant) -> io::Result<Running> {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("podlane-offload".to_owned()).spawn(move || {
            while !end.load(Ordering::Acquire) {
                self.tick(started.elapsed().as_millis() as u32);
                std::thread::park_timeout(TICK);
            }
            self.stop();
        })?;
        Ok(Running { ended, thread: Some(thread) })
    }
}

/// An offloader at work; dropped, it ends, and nothing is carried any more.
pub struct Running {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // If it panicked, that was reported by the hook, and its engines are gone with it.
            let _ = thread.join();
        }
    }
}

type News = Vec<(EngineId, WorkerId, Told)>;

impl Desk {
    /// Takes an offer, or says why not.
    fn take(&mut self, offer: &Offer, (exchange, flows, permits): (&Exchange, &FlowTable, &Permits), news: &mut News) {
        let entry = offer.permit.entry;
        self.end(entry, End::Aged, news);
        let current = permits.stands(offer.permit) && offer.generation == exchange.generation();
        let refused = if !current || flows.epoch(offer.program.shard()) != offer.epoch {
            Err(Refusal::Outdated)
        } else if !self.engine.matches().contain(offer.needs) {
            Err(Refusal::PartialMatch)
        } else {
            self.engine.insert(offer)
        };
        let carried = Carried::of(offer);
        match refused {
            Ok(()) => {
                if let Some(numbers) = exchange.numbers(self.id) {
                    super::numbers::add(&numbers.taken, 1);
                }
                let former = self.epochs.insert(carried.shard, carried.epoch);
                self.moved |= former.is_some_and(|former| former != carried.epoch);
                self.carried.insert(entry, carried);
            }
            Err(refusal) => {
                let over = Some(End::Refused(refusal));
                news.push((self.id, carried.worker, carried.told(Usage::default(), over)));
            }
        }
    }

    /// Takes a flow out of the engine, if it has it.
    fn end(&mut self, entry: u32, end: End, news: &mut News) {
        if let Some(carried) = self.carried.remove(&entry) {
            let last = self.engine.remove(carried.permit);
            news.push((self.id, carried.worker, carried.told(last, Some(end))));
        }
    }

    fn hear_evicted(&mut self, news: &mut News) {
        let Self { id, engine, carried, .. } = self;
        engine.evicted(&mut |permit, last| {
            let is_it = carried.get(&permit.entry).is_some_and(|carried| carried.permit == permit);
            if is_it && let Some(carried) = carried.remove(&permit.entry) {
                news.push((*id, carried.worker, carried.told(last, Some(End::Evicted))));
            }
        });
    }

    /// Takes out what was decided under another generation, and what rests on an address that has moved.
    fn take_out_outdated(&mut self, (exchange, flows): (&Exchange, &FlowTable), news: &mut News) {
        let generation = exchange.generation();
        let moved =
            core::mem::take(&mut self.moved) || self.epochs.iter().any(|(shard, epoch)| flows.epoch(*shard) != *epoch);
        if generation == self.generation && !moved {
            return;
        }
        self.generation = generation;
        let outdated =
            |carried: &&Carried| carried.generation != generation || flows.epoch(carried.shard) != carried.epoch;
        let entries: Vec<u32> = self.carried.values().filter(outdated).map(|carried| carried.permit.entry).collect();
        entries.into_iter().for_each(|entry| self.end(entry, End::Aged, news));
        self.epochs = self.carried.values().map(|carried| (carried.shard, carried.epoch)).collect();
    }

    /// Asks the engine what it carried, and takes out what has no permit any more.
    fn ask(&mut self, permits: &Permits, news: &mut News) {
        let Self { id, engine, carried, .. } = self;
        carried.values_mut().for_each(|carried| carried.present = false);
        engine.usage(&mut |permit, since| {
            let Some(carried) = carried.get_mut(&permit.entry).filter(|carried| carried.permit == permit) else {
                return;
            };
            carried.present = true;
            if since.carried.packets > 0 {
                news.push((*id, carried.worker, carried.told(since, None)));
            }
        });
        let gone = |carried: &&Carried| !carried.present || !permits.stands(carried.permit);
        let gone: Vec<(u32, End)> = self
            .carried
            .values()
            .filter(gone)
            .map(|carried| (carried.permit.entry, if carried.present { End::Aged } else { End::Lost }))
            .collect();
        gone.into_iter().for_each(|(entry, end)| self.end(entry, end, news));
    }

    fn publish(&self, exchange: &Exchange) {
        let Some(numbers) = exchange.numbers(self.id) else { return };
        let looks = self.engine.looked_up();
        numbers.flows.store(self.carried.len() as u64, Ordering::Relaxed);
        numbers.looked_up.store(looks.packets, Ordering::Relaxed);
        numbers.hits.store(looks.hits, Ordering::Relaxed);
    }
}
