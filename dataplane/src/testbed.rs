//! A switch without devices, turned by hand: what tests and benches put packets through.
//!
//! The workers, stages and tables are the real ones; ports are [`MemoryPort`]s. Tests read as a ledger:
//! what moved since the last look, all of it.

mod plan;

use std::{collections::BTreeMap, sync::Arc};

use crossbeam::channel::{Receiver, Sender, unbounded};
use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};

use crate::{
    counters::{Counters, SWITCH},
    denials::Denial,
    drops::DropReason,
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    ids::{Generation, PortId, WorkerId},
    offload::{Engine, Offloader},
    policy::{Enforcement, Policy},
    port::{
        Port,
        memory::{MemoryPort, Wire},
    },
    stage::shared::Shared,
    tables::Tables,
    worker::{
        Worker, WorkerConfig,
        command::{Command, Event, Line},
    },
};

pub use plan::Plan;

/// A line of the ledger: what happened since the last look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moved {
    /// So many packets came in by a port; by [`SWITCH`] those the switch made.
    Received(PortId, u64),
    /// So many left by a port.
    Sent(PortId, u64),
    /// So many died for this reason.
    Dropped(DropReason, u64),
    /// So many wait.
    Held(u64),
}

/// Packets came in by `port`.
#[must_use]
pub const fn received(port: PortId, packets: u64) -> Moved {
    Moved::Received(port, packets)
}

/// Packets left by `port`.
#[must_use]
pub const fn sent(port: PortId, packets: u64) -> Moved {
    Moved::Sent(port, packets)
}

/// The switch made packets itself.
#[must_use]
pub const fn made(packets: u64) -> Moved {
    Moved::Received(SWITCH, packets)
}

/// Packets died.
#[must_use]
pub const fn dropped(reason: DropReason, packets: u64) -> Moved {
    Moved::Dropped(reason, packets)
}

/// Workers with ports in memory.
pub struct TestBed {
    /// The workers, turned by [`Self::turn`].
    pub workers: Vec<Worker>,
    /// What they share.
    pub shared: Arc<Shared>,
    /// Where flows are offloaded: ticks after every turn.
    pub offloader: Option<Offloader>,
    lines: Vec<Line>,
    wires: BTreeMap<PortId, Wire>,
    events: Receiver<Event>,
    seen: Counters,
    clock: u32,
}

impl TestBed {
    /// One worker serving every port of the plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self::with_workers(plan, 1)
    }

    /// Several workers; port `n` is served by worker `n mod workers`.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a test.
    #[must_use]
    pub fn with_workers(plan: Plan, workers: u16) -> Self {
        Self::following(plan, workers, Settings::default())
    }

    /// The same where connections are followed like this.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a test.
    #[must_use]
    pub fn following(plan: Plan, workers: u16, settings: Settings) -> Self {
        Self::of(plan, workers, Self::tables_of(settings), None)
    }

    /// The same where flows are offloaded to an engine, made of the flow table and the number of workers.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a test.
    #[must_use]
    pub fn offloading(plan: Plan, workers: u16, engine: impl FnOnce(Arc<FlowTable>, usize) -> Box<dyn Engine>) -> Self {
        let shared = Self::tables_of(Settings::default());
        let (flows, count) = (&shared.flows, usize::from(workers));
        let engine = engine(Arc::clone(flows), count);
        let offloader = Offloader::new(count, Arc::clone(flows), vec![engine]).expect("memory for a test");
        assert!(shared.offload.set(Arc::clone(offloader.exchange())).is_ok(), "set once");
        Self::of(plan, workers, shared, Some(offloader))
    }

    fn tables_of(settings: Settings) -> Shared {
        let flows = FlowTable::new(1024, HashSeed::fixed()).expect("memory for a test");
        let connections = Connections::new(1024, settings, HashSeed::fixed()).expect("memory for a test");
        Shared::new(flows, connections, 1024).expect("memory for a test")
    }

    fn of(plan: Plan, workers: u16, shared: Shared, offloader: Option<Offloader>) -> Self {
        let shared = Arc::new(shared);
        let (send, events): (Sender<Event>, _) = unbounded();
        let setups = (0..workers).map(|_| {
            let config = UmemConfig { frames: 1024, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
            let (_, pool) = Umem::create(&config).expect("memory for a test");
            (WorkerConfig { flow_idle: 60_000, ..WorkerConfig::default() }, pool)
        });
        let made = Worker::make(setups.collect(), &shared, &send).expect("file descriptors for a test");
        let (workers, lines) = made.into_iter().unzip();
        let (wires, seen) = Default::default();
        let mut bed = Self { workers, shared, offloader, lines, wires, events, seen, clock: 1 };
        let tables = plan.build();
        let ports: Vec<PortId> = (0..tables.ports.len())
            .map(|number| PortId(number as u16))
            .filter(|port| tables.port(*port).is_some())
            .collect();
        bed.publish(tables);
        for port in ports {
            let wire = Wire::default();
            bed.attach(port, Box::new(MemoryPort::new(wire.clone())));
            bed.wires.insert(port, wire);
        }
        bed
    }

    /// Switches every worker to these tables.
    pub fn publish(&mut self, tables: Tables) {
        let tables = Arc::new(tables);
        self.outdate(tables.generation);
        let (send, _back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Tables(Arc::clone(&tables), send.clone()));
        }
    }

    /// Has every worker decide by a policy, under a generation of the policy's own.
    pub fn enforce(&mut self, generation: u32, policy: impl Policy + 'static) {
        let enforcement = Arc::new(Enforcement { generation: Generation(generation), policy: Box::new(policy) });
        self.outdate(enforcement.generation);
        let (send, _back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Policy(Arc::clone(&enforcement), send.clone()));
        }
    }

    /// Attaches a port of any kind.
    pub fn attach(&mut self, port: PortId, end: Box<dyn Port>) {
        let owner = port.index() % self.lines.len();
        for line in 0..self.lines.len() {
            if line != owner {
                self.command(line, Command::AttachRemote(port, WorkerId(owner as u16)));
            }
        }
        self.command(owner, Command::Attach(port, end));
    }

    /// Detaches a port and closes it.
    pub fn detach(&mut self, port: PortId) {
        let (send, back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Detach(port, send.clone()));
        }
        let owner = port.index() % self.lines.len();
        for end in back.try_iter().flatten() {
            let (lend, lent) = unbounded();
            self.command(owner, Command::Lend(0, lend));
            let mut pool = lent.try_recv().expect("a pool was lent");
            end.close(&mut pool);
            self.command(owner, Command::Absorb(pool));
        }
    }

    /// Takes a port out and puts it in again, at the same wire.
    pub fn plug_again(&mut self, port: PortId) {
        self.detach(port);
        let wire = self.wire(port).clone();
        self.attach(port, Box::new(MemoryPort::new(wire)));
    }

    /// Puts a packet on the wire of a port.
    ///
    /// # Panics
    /// If the plan has no such port.
    pub fn receive(&mut self, port: PortId, packet: impl Into<Vec<u8>>) {
        self.wire(port).send(packet);
    }

    /// The wire of a port.
    ///
    /// # Panics
    /// If the plan has no such port.
    #[must_use]
    pub fn wire(&self, port: PortId) -> &Wire {
        self.wires.get(&port).expect("a port of the plan")
    }

    /// Turns every worker twice: what one hands over, the other has sent. Then the offloader ticks.
    pub fn turn(&mut self) {
        for _ in 0..2 {
            for worker in &mut self.workers {
                worker.turn(self.clock);
            }
        }
        if let Some(offloader) = &mut self.offloader {
            offloader.tick(self.clock);
        }
    }

    /// A millisecond passes: what is done from time to time is done by the next turn.
    pub fn tick(&mut self) {
        self.clock += 1;
    }

    /// Before workers hear of a generation, engines do.
    fn outdate(&self, generation: Generation) {
        if let Some(exchange) = self.shared.offload.get() {
            exchange.outdate(generation);
        }
    }

    /// Lets milliseconds pass, turning once in each hundred.
    pub fn pass(&mut self, milliseconds: u32) {
        for _ in 0..milliseconds / 100 {
            self.clock += 100;
            self.turn();
        }
    }

    /// What a port has sent since the last look.
    #[must_use]
    pub fn sent_by(&self, port: PortId) -> Vec<Vec<u8>> {
        self.wire(port).receive()
    }

    /// What the workers reported.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// The ledger of all workers.
    ///
    /// # Panics
    /// If it is not balanced, which no test survives.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut total = Counters::default();
        for worker in &self.workers {
            total.merge(&worker.report().counters);
        }
        assert!(total.balanced(), "received = sent + dropped + held does not hold: {total:?}");
        total
    }

    /// What policy refused, by all workers, the most often refused first.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        let mut denials: Vec<_> = self
            .workers
            .iter()
            .flat_map(|worker| worker.report().denials.iter().copied().collect::<Vec<_>>())
            .collect();
        denials.sort_unstable_by_key(|denial| core::cmp::Reverse(denial.count));
        denials
    }

    /// Everything that moved since the last look, sorted: received, sent, dropped, held.
    pub fn moved(&mut self) -> Vec<Moved> {
        let now = self.counters();
        let mut moved = Vec::new();
        let mut lost: BTreeMap<DropReason, u64> = BTreeMap::new();
        for (number, port) in now.ports.iter().enumerate() {
            let before = self.seen.ports.get(number).cloned().unwrap_or_default();
            let id = PortId(number as u16);
            moved.push(Moved::Received(id, port.received.packets - before.received.packets));
            moved.push(Moved::Sent(id, port.sent.packets - before.sent.packets));
            for reason in DropReason::ALL {
                let died = port.dropped[reason as usize] - before.dropped[reason as usize];
                *lost.entry(reason).or_default() += died;
            }
        }
        moved.extend(lost.into_iter().map(|(reason, died)| Moved::Dropped(reason, died)));
        moved.push(Moved::Held(now.waiting()));
        moved.retain(|line| {
            !matches!(line, Moved::Received(_, 0) | Moved::Sent(_, 0) | Moved::Dropped(_, 0) | Moved::Held(0))
        });
        moved.sort_unstable();
        self.seen = now;
        moved
    }

    fn command(&mut self, line: usize, command: Command) {
        assert!(self.lines[line].send(command).is_ok(), "a worker of a test bed never ends");
        self.workers[line].obey();
    }
}
