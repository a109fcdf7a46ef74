//! The emulated engine: a SmartNIC's table in software, in front of the ports, with the faults that such tables have.
//!
//! It is there to see how a switch lives with offload, and costs more than it saves. What can be chosen is what real tables differ in: how
//! many flows fit and which, how fast they are taken, when they begin to be carried, what becomes of them when the table is full, and how
//! often it fails, aloud or without a word.
//!
//! ```text
//!   inner port --receive--> front: in the table? --no--> the worker's burst
//!                             |yes: carry                (stages, ledger)
//!                             v
//!                           lane of the leaving port --transmit--> inner port, before what the worker queued
//! ```
//!
//! What it carries no stage sees and no ledger counts until the worker is told, as with any engine. Workers do not wait for its
//! table: a burst that comes while the offloader has it is the worker's, all of it. Why it is so: docs/decisions/0040-emulated-engine.md.

mod front;
mod table;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use crate::{
    burst::OutQueue,
    flow::{Class, FlowTable, Op, TagEdit},
    headers::{ICMP, ICMPV6, SCTP, TCP, UDP},
    ids::{Generation, PortId, WorkerId},
    offload::{
        Engine, Fields, Gate, Looks, Offer, Permit, Refusal, Usage,
        emulated::{front::Front, table::Table},
    },
    port::Port,
};

/// What the emulated engine is like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How many flows fit.
    pub capacity: usize,
    /// What becomes of them when it is full.
    pub eviction: Eviction,
    /// The fields it tells flows apart by.
    pub matches: Fields,
    /// Whether it carries IPv4.
    pub ipv4: bool,
    /// Whether it carries IPv6.
    pub ipv6: bool,
    /// Whether it carries TCP.
    pub tcp: bool,
    /// Whether it carries UDP.
    pub udp: bool,
    /// Whether it carries SCTP.
    pub sctp: bool,
    /// Whether it carries ICMP and ICMPv6 echo.
    pub icmp: bool,
    /// Whether it carries tagged packets and edits tags.
    pub vlan: bool,
    /// Whether it puts packets into tunnels.
    pub tunnels: bool,
    /// Insertions it takes a second; 0 is no bound.
    pub insertions: u32,
    /// From an insertion until the flow is carried, milliseconds.
    pub latency: u32,
    /// Every so many insertions one fails; 0 is none.
    pub refuse_every: u32,
    /// Every so many insertions one is lost without a word; 0 is none.
    pub lose_every: u32,
    /// The same seed and flows have the same flows put out.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            eviction: Eviction::None,
            matches: Fields::ALL,
            ipv4: true,
            ipv6: true,
            tcp: true,
            udp: true,
            sctp: true,
            icmp: true,
            vlan: true,
            tunnels: true,
            insertions: 0,
            latency: 0,
            refuse_every: 0,
            lose_every: 0,
            seed: 0,
        }
    }
}

/// Which flow is put out for another when the table is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Eviction {
    /// None: the other is refused.
    #[default]
    None,
    /// The one that was used least lately.
    LeastRecentlyUsed,
    /// Any.
    Random,
}

/// The engine, as the offloader has it.
pub struct Emulated {
    card: Arc<Card>,
    settings: Settings,
    now: u32,
    /// Insertions that were taken in the second that began then.
    second: (u32, u32),
    asked: u32,
}

/// What is in front of the ports, shared by all of them.
pub(super) struct Card {
    /// Its permits are looked at for every packet.
    flows: Arc<FlowTable>,
    matches: Fields,
    /// The generation under which it carries.
    register: AtomicU32,
    /// Worker-clock milliseconds, as of the last tick.
    now: AtomicU32,
    table: Mutex<Table>,
    /// What is to leave by each port, by worker: frames do not leave their worker.
    lanes: Vec<Mutex<Lanes>>,
    looked_up: AtomicU64,
    hits: AtomicU64,
}

/// The ports of one worker that the card is in front of.
pub(super) type Lanes = BTreeMap<PortId, Lane>;

/// What is to leave by a port.
pub(super) struct Lane {
    queue: OutQueue,
    finishes_checksums: bool,
}

impl Emulated {
    /// An engine with an empty table, for so many workers that share this flow table.
    #[must_use]
    pub fn new(settings: Settings, workers: usize, flows: Arc<FlowTable>) -> Self {
        let card = Card {
            flows,
            matches: settings.matches,
            register: AtomicU32::new(0),
            now: AtomicU32::new(0),
            table: Mutex::new(Table::new(settings.capacity, settings.eviction, settings.seed)),
            lanes: (0..workers).map(|_| Mutex::default()).collect(),
            looked_up: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        };
        Self { card: Arc::new(card), settings, now: 0, second: (0, 0), asked: 0 }
    }

    /// What a flow has that the table has no room for in its entries.
    fn unfit(&self, offer: &Offer) -> Option<Refusal> {
        let (settings, kind) = (&self.settings, offer.key.kind());
        let family = if kind.class == Class::Ipv6 { settings.ipv6 } else { settings.ipv4 };
        let protocol = match kind.protocol {
            TCP => settings.tcp,
            UDP => settings.udp,
            SCTP => settings.sctp,
            ICMP | ICMPV6 => settings.icmp,
            _ => false,
        };
        let tagged = offer.key.vlan().is_tagged() || offer.program.tag() != TagEdit::Keep;
        let into = matches!(offer.program.op(), Op::Encapsulate | Op::RouteEncapsulate);
        let reachable = self.card.lane_of(offer.worker, offer.program.egress());
        [
            (!family, Refusal::Family),
            (!protocol, Refusal::Protocol),
            (tagged && !settings.vlan, Refusal::Vlan),
            (into && !settings.tunnels, Refusal::Tunnel),
            (offer.key.port().path().is_some(), Refusal::FromTunnel),
            (!reachable, Refusal::OtherWorker),
        ]
        .into_iter()
        .find_map(|(misfit, refusal)| misfit.then_some(refusal))
    }

    /// Whether one more insertion fits this second.
    fn has_time(&mut self) -> bool {
        if self.now.wrapping_sub(self.second.0) >= 1000 {
            self.second = (self.now, 0);
        }
        self.second.1 += 1;
        self.settings.insertions == 0 || self.second.1 <= self.settings.insertions
    }
}

impl Engine for Emulated {
    fn name(&self) -> &'static str {
        "emulated"
    }

    fn matches(&self) -> Fields {
        self.settings.matches
    }

    fn capacity(&self) -> usize {
        self.settings.capacity
    }

    fn insert(&mut self, offer: &Offer) -> Result<(), Refusal> {
        if let Some(refusal) = self.unfit(offer) {
            return Err(refusal);
        }
        if !self.has_time() {
            return Err(Refusal::Busy);
        }
        self.asked = self.asked.wrapping_add(1);
        let falls_on = |every: u32| every != 0 && self.asked.is_multiple_of(every);
        if falls_on(self.settings.refuse_every) {
            return Err(Refusal::Failed);
        }
        let from = self.now.wrapping_add(self.settings.latency);
        let key = self.settings.matches.of(&offer.key);
        let mut table = self.card.table();
        table.insert(key, offer.clone(), from, |permit| {
            self.card.flows.permits().is_some_and(|all| all.stands(permit))
        })?;
        if falls_on(self.settings.lose_every) {
            table.lose(offer.permit);
        }
        Ok(())
    }

    fn remove(&mut self, permit: Permit) -> Usage {
        self.card.table().remove(permit)
    }

    fn usage(&mut self, tell: &mut dyn FnMut(Permit, Usage)) {
        self.card.table().usage(tell);
    }

    fn evicted(&mut self, tell: &mut dyn FnMut(Permit, Usage)) {
        self.card.table().take_evicted().into_iter().for_each(|(permit, last)| tell(permit, last));
    }

    fn keep_up(&mut self, now: u32) {
        self.now = now;
        self.card.now.store(now, Ordering::Relaxed);
        self.card.table().activate(now);
    }

    fn looked_up(&self) -> Looks {
        Looks { packets: self.card.looked_up.load(Ordering::Relaxed), hits: self.card.hits.load(Ordering::Relaxed) }
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(Reach(Arc::clone(&self.card)))
    }

    fn stop(&mut self) {
        self.card.table().clear();
    }
}

/// The side of it that is open to every thread.
struct Reach(Arc<Card>);

impl Gate for Reach {
    fn outdate(&self, generation: Generation) {
        self.0.register.store(generation.0, Ordering::Release);
    }

    fn front(&self, id: PortId, worker: WorkerId, port: Box<dyn Port>) -> Box<dyn Port> {
        if self.0.lanes.get(worker.index()).is_none() {
            return port;
        }
        Box::new(Front::new(Arc::clone(&self.0), id, worker, port))
    }
}

impl Card {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self, worker: WorkerId) -> Option<MutexGuard<'_, Lanes>> {
        Some(self.lanes.get(worker.index())?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lanes, if nobody else looks at them: a worker does not wait.
    fn lanes_now(&self, worker: WorkerId) -> Option<MutexGuard<'_, Lanes>> {
        now(self.lanes.get(worker.index())?)
    }

    /// The table, if the offloader does not have it.
    fn table_now(&self) -> Option<MutexGuard<'_, Table>> {
        now(&self.table)
    }

    fn lane_of(&self, worker: WorkerId, port: PortId) -> bool {
        self.lanes(worker).is_some_and(|lanes| lanes.contains_key(&port))
    }
}

/// What is behind a lock, if it can be had at once.
fn now<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
