//! A worker: one thread on one core, turning.
//!
//! ```text
//!   turn:  commands? -> for each port: receive -> classify -> lookup -> track -> resolve, police -> apply -> (dispatch)
//!          -> from other workers -> transmit and settle what is busy -> ageing, a little -> idle? spin, then sleep
//! ```
//!
//! A worker owns its packet memory, its rings, its ledger and the flow entries it wrote. It shares the flow table and what was
//! learned, neither behind a lock; it waits for no one.

pub mod asked;
pub mod command;
pub mod handoff;
mod hops;
pub mod idle;
pub mod legacy;
pub mod limits;
mod misses;
mod upkeep;
pub mod watch;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender};
use podlane_rings::{FramePool, Umem};
use thiserror::Error;

use crate::{
    burst::{Burst, Line},
    flow::{FlowWriter, connections::ConnectionWriter},
    ids::{Generation, PortId, WorkerId},
    offload::Feed,
    policy::Enforcement,
    port::{Port, PortError},
    stage::{
        apply::{self, Pass},
        classify::classify,
        dispatch::Exits,
        lookup::lookup,
        meter,
        open::open,
        shared::Shared,
    },
    tables::Tables,
    worker::{
        command::{Command, Event, Pace, PortReport, Report},
        handoff::{Bell, Peers},
        idle::{LONGEST, Poll, SPIN, STALL, STALLED},
        upkeep::Upkeep,
        watch::Watch,
    },
};

/// How long workers wait for each other's frames when they end.
const FAREWELL: Duration = Duration::from_millis(500);

/// How one worker works.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerConfig {
    /// The core to run on; `None` leaves it to the scheduler.
    pub core: Option<usize>,
    /// How to wait.
    pub poll: Poll,
    /// Flows end after this many milliseconds without a packet.
    pub flow_idle: u32,
    /// Begin halted: obey, and turn when resumed.
    pub halted: bool,
}

/// Why workers cannot start.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// No thread or file descriptor to be had.
    #[error("worker {worker} cannot start: {source}; raise the limits on threads and open files (ulimit -u, -n)")]
    Resources {
        /// Which.
        worker: WorkerId,
        /// What the kernel says.
        source: io::Error,
    },
    /// The core is not this process's.
    #[error(
        "worker {worker} cannot run on core {core}; name a core of this machine that the process may use (taskset -p, cpuset)"
    )]
    Core {
        /// Which.
        worker: WorkerId,
        /// The core.
        core: usize,
    },
}

/// What a worker is made of; [`Crew::start`] makes all of them.
pub struct Worker {
    id: WorkerId,
    config: WorkerConfig,
    shared: Arc<Shared>,
    tables: Arc<Tables>,
    policy: Option<Arc<Enforcement>>,
    /// Of the tables or the policy, whichever came last.
    generation: Generation,
    flows: FlowWriter,
    connections: ConnectionWriter,
    /// Where flows may be offloaded.
    feed: Option<Box<Feed>>,
    exits: Exits,
    line: Line,
    burst: Burst,
    commands: Receiver<Command>,
    events: Sender<Event>,
    bell: Bell,
    pace: Pace,
    upkeep: Upkeep,
    started: Instant,
    leaving: Arc<AtomicUsize>,
    /// How many workers do not turn.
    standing: Arc<AtomicUsize>,
    workers: usize,
    /// Whether it only obeys, see [`legacy`].
    halted: bool,
}

/// The running workers.
pub struct Crew {
    /// A line to each.
    pub lines: Vec<command::Line>,
    /// The memory of each, for opening sockets.
    pub umems: Vec<Umem>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts one worker a pool. They have no ports yet, and empty tables: everything is closed.
    ///
    /// # Errors
    /// A thread, a file descriptor or a core is not to be had; nothing is left running then.
    pub fn start(
        setups: Vec<(WorkerConfig, FramePool)>,
        shared: &Arc<Shared>,
        events: &Sender<Event>,
    ) -> Result<Self, WorkerError> {
        let workers = Worker::make(setups, shared, events)?;
        let umems = workers.iter().map(|(worker, _)| worker.exits.pool.umem().clone()).collect();
        let mut crew = Self { lines: Vec::new(), umems, threads: Vec::new() };
        for (worker, line) in workers {
            let (id, name) = (worker.id, format!("podlane-w{}", worker.id));
            crew.lines.push(line);
            match std::thread::Builder::new().name(name).spawn(move || worker.run()) {
                Ok(thread) => crew.threads.push(thread),
                Err(source) => {
                    crew.stop();
                    return Err(WorkerError::Resources { worker: id, source });
                }
            }
        }
        Ok(crew)
    }

    /// Ends all workers and waits for them, without a bound: their memory may not go before they do, so a worker that is
    /// stuck holds up the end. Ports are closed, frames are home.
    pub fn stop(&mut self) {
        for line in &self.lines {
            // A worker that has ended needs no telling.
            let _ = line.send(Command::Stop);
        }
        for thread in self.threads.drain(..) {
            // A worker's panic was reported as an event already.
            let _ = thread.join();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    /// Workers that are not running yet, for [`Crew::start`] and for tests and benches that turn them by hand.
    ///
    /// # Errors
    /// A file descriptor or a core is not to be had.
    pub fn make(
        setups: Vec<(WorkerConfig, FramePool)>,
        shared: &Arc<Shared>,
        events: &Sender<Event>,
    ) -> Result<Vec<(Self, command::Line)>, WorkerError> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let resources = |worker| move |source| WorkerError::Resources { worker, source };
        let mut ends = Vec::new();
        for (number, (config, pool)) in setups.iter().enumerate() {
            let worker = WorkerId(number as u16);
            if let Some(core) = config.core
                && !cores.iter().any(|id| id.id == core)
            {
                return Err(WorkerError::Core { worker, core });
            }
            ends.push((pool.umem().clone(), Bell::new().map_err(resources(worker))?));
        }
        let (started, leaving, workers) = (shared.started, Arc::default(), setups.len());
        let standing = Arc::new(AtomicUsize::new(setups.iter().filter(|(config, _)| config.halted).count()));
        let peers = Peers::mesh(&ends);
        let mut made = Vec::new();
        for (number, (((config, pool), peers), (_, bell))) in setups.into_iter().zip(peers).zip(ends).enumerate() {
            let id = WorkerId(number as u16);
            let (line, commands) = command::Line::new(bell.clone());
            let mut exits = Exits::new(pool, peers, Arc::clone(&shared.meters));
            exits.watch = Watch::new().map_err(resources(id))?;
            let worker = Self {
                id,
                config,
                shared: Arc::clone(shared),
                tables: Arc::default(),
                policy: None,
                generation: Generation::default(),
                flows: FlowWriter::new(Arc::clone(&shared.flows), id),
                connections: ConnectionWriter::new(Arc::clone(&shared.connections), id),
                feed: shared.offload.get().map(|exchange| Box::new(Feed::new(Arc::clone(exchange), id))),
                exits,
                line: Line::new(),
                burst: Burst::new(),
                commands,
                events: events.clone(),
                bell,
                pace: Pace::default(),
                upkeep: Upkeep::default(),
                started,
                leaving: Arc::clone(&leaving),
                standing: Arc::clone(&standing),
                workers,
                halted: config.halted,
            };
            made.push((worker, line));
        }
        Ok(made)
    }

    /// Turns until told to stop.
    pub fn run(mut self) {
        let mut report = ReportEnd { events: self.events.clone(), worker: self.id, armed: true };
        if let Some(core) = self.config.core
            && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
        {
            // Without a control side there is no one to tell, and it works, if slowly.
            let _ = self.events.try_send(Event::Unpinned { worker: self.id, core });
        }
        let (mut last_work, mut has_slept) = (Instant::now(), false);
        while self.obey() {
            if self.halted {
                let commands = &self.commands;
                idle::sleep(&self.bell, (&[], &Watch::default()), LONGEST, || !commands.is_empty());
                continue;
            }
            let turned = Instant::now();
            if self.turn(self.clock(turned)) {
                (last_work, has_slept) = (turned, false);
            } else if self.config.poll == Poll::Adaptive {
                let idle = turned.duration_since(last_work);
                // What woke it was no packet, but a command or the time: there is nothing more to wait for awake.
                if !self.exits.is_busy() && (idle > SPIN || has_slept) {
                    self.rest(LONGEST);
                    (last_work, has_slept) = (Instant::now(), true);
                } else if idle > STALL {
                    self.rest(STALLED);
                }
            }
        }
        report.armed = false;
        if self.halted {
            // What it has is another process's, or was and will be: tables it could empty, sockets it could disturb.
            core::mem::forget(self);
            return;
        }
        self.leave();
    }

    /// Carries out what was asked. Returns whether to go on.
    pub fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Tables(tables, back) => {
                    self.exits.limits.make_room(tables.networks.len());
                    self.exits.counters.make_room_for_paths(tables.underlay.paths.len());
                    self.generation = tables.generation;
                    self.exits.limit(&tables);
                    let former = core::mem::replace(&mut self.tables, tables);
                    // Nobody waits for them: then they are freed here, once, after all.
                    let _ = back.send(former);
                }
                Command::Policy(policy, back) => {
                    self.generation = policy.generation;
                    let _ = back.send(self.policy.replace(policy));
                }
                Command::Attach(id, port) => {
                    let port = self.front(id, port);
                    self.exits.attach(id, port);
                    self.exits.limit(&self.tables);
                }
                Command::AttachRemote(id, worker) => self.exits.attach_remote(id, worker),
                Command::Detach(id, back) => self.detach(id, &back),
                Command::Retire(id) => self.exits.counters.retire(id),
                Command::Lend(frames, back) => {
                    if let Err(unwanted) = back.send(self.exits.pool.lend(frames)) {
                        self.exits.pool.absorb(unwanted.0);
                    }
                }
                Command::Absorb(pool) => self.exits.pool.absorb(pool),
                Command::Report(back) => drop(back.send(self.report())),
                Command::Describe(back) => drop(back.send(self.describe())),
                Command::Halt(back) => {
                    let since = self.halt();
                    let _ = back.send(Box::new(self.bequeath(since)));
                }
                Command::Inherit(inheritance) => self.inherit(*inheritance),
                Command::Resume(back) => {
                    self.resume();
                    let _ = back.send(Instant::now());
                }
                Command::Stop => return false,
            }
        }
        true
    }

    /// A port as this worker is to serve it: behind the engine that is chosen for it, if that sits there.
    fn front(&self, id: PortId, port: Box<dyn Port>) -> Box<dyn Port> {
        let engine = self.tables.port(id).and_then(|port| port.offload);
        match (&self.feed, engine) {
            (Some(feed), Some(engine)) => feed.exchange().front(engine, id, self.id, port),
            _ => port,
        }
    }

    /// One turn: every port once. Returns whether a packet moved.
    pub fn turn(&mut self, now: u32) -> bool {
        let mut moved = false;
        self.exits.now = now;
        for slot in 0..self.exits.slots.len() {
            moved |= self.serve(slot, now);
        }
        if !self.exits.peers.is_empty() {
            moved |= self.exits.peers.has_work();
            self.exits.take_over();
        }
        if self.exits.is_busy() {
            let (worker, events) = (self.id, &self.events);
            self.exits.flush(|port, error| report_death(events, worker, port, error));
            self.exits.peers.announce();
        }
        if self.upkeep.is_due(now) {
            self.keep_up(now);
        }
        self.pace.turns += 1;
        self.pace.busy_turns += u64::from(moved);
        moved
    }

    /// What the worker would report now.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut counters = self.exits.counters.clone();
        counters.held = self.exits.held();
        let ports = self.exits.slots.iter().map(|attached| PortReport {
            id: attached.id,
            facts: attached.port.facts(),
            statistics: attached.port.statistics(),
            held: attached.queue.len() as u64,
            lent: attached.port.lent(),
            dead: attached.dead,
        });
        Report {
            worker: self.id,
            counters,
            denials: self.exits.denials.clone(),
            ports: ports.collect(),
            pace: Pace { uptime_ms: self.started.elapsed().as_millis() as u64, ..self.pace },
            frames: (self.exits.pool.total(), self.exits.pool.free()),
            flows: self.flows.owned(),
            connections: self.connections.owned(),
        }
    }

    fn describe(&self) -> Vec<command::Described> {
        let described = |attached: &crate::stage::dispatch::Attached| {
            let sockets = attached.port.sockets();
            let sockets = sockets.iter().map(|socket| Ok((socket.facts(), socket.descriptors()?))).collect();
            command::Described { port: attached.id, can_be_handed_over: attached.port.can_be_handed_over(), sockets }
        };
        self.exits.slots.iter().map(described).collect()
    }

    /// One burst of one port down the line.
    fn serve(&mut self, slot: usize, now: u32) -> bool {
        let Some(attached) = self.exits.slots.get_mut(slot) else { return false };
        if attached.dead {
            return false;
        }
        attached.port.receive(&mut self.exits.pool, &mut self.burst);
        if self.burst.is_empty() {
            return false;
        }
        let ingress = attached.id;
        self.exits.hear(slot);
        let tables = Arc::clone(&self.tables);
        let port = tables.port(ingress);
        // An Ethernet header and two tags, beyond the MTU.
        let longest = port.map_or(usize::MAX, |port| usize::from(port.mtu) + 22);
        let (policy, generation) = (self.policy.as_deref(), self.generation);
        let pass = Pass { tables: &tables, shared: &self.shared, ingress, port, policy, generation, now };
        let opened = port.is_some_and(|port| port.underlay);
        if opened {
            let (packets, bytes) = open(&mut self.line, &mut self.burst, &pass, &mut self.exits);
            self.exits.counters.port(ingress).received.add(packets, bytes);
        } else {
            self.line.came_by(ingress);
        }
        let table = &self.shared.flows;
        classify(&mut self.line, self.burst.frames(), self.exits.pool.umem(), longest, table);
        if !opened {
            self.exits.counters.port(ingress).received.add(self.line.rows as u64, self.line.bytes);
        }
        if let Some(rate) = port.and_then(|port| port.rates.egress) {
            meter::egress(&mut self.line, (ingress, &rate), &self.shared.meters, now);
        }
        self.exits.counters.hits += lookup(&mut self.line, table, self.generation, now);
        if self.line.is_watched() {
            self.follow_watched(&tables, ingress, now);
        }
        if self.line.missing != 0 {
            self.resolve_missing(&tables, ingress, now);
        }
        let (policy, generation) = (self.policy.as_deref(), self.generation);
        let pass = Pass { tables: &tables, shared: &self.shared, ingress, port, policy, generation, now };
        apply::apply(&mut self.line, &mut self.burst, &pass, &mut self.exits);
        true
    }

    fn detach(&mut self, id: PortId, back: &Sender<Option<Box<dyn Port>>>) {
        if let Err(unwanted) = back.send(self.exits.detach(id))
            && let Some(port) = unwanted.0
        {
            port.close(&mut self.exits.pool);
        }
    }

    fn rest(&mut self, longest: Duration) {
        self.pace.sleeps += 1;
        self.exits.hush();
        let (commands, peers) = (&self.commands, &self.exits.peers);
        idle::sleep(&self.bell, (&self.exits.slots, &self.exits.watch), longest, || {
            !commands.is_empty() || peers.has_work()
        });
    }

    /// The end: ports close, and frames lent to other workers come home while they still turn.
    fn leave(&mut self) {
        let table = &self.shared.flows;
        self.flows = FlowWriter::new(Arc::clone(table), self.id);
        self.connections = ConnectionWriter::new(Arc::clone(&self.shared.connections), self.id);
        self.exits.close();
        self.leaving.fetch_add(1, Ordering::AcqRel);
        let deadline = Instant::now() + FAREWELL;
        loop {
            self.exits.take_over();
            let all_left = self.leaving.load(Ordering::Acquire) >= self.workers;
            let settled = !self.exits.peers.has_work() && !self.exits.peers.outstanding();
            if (all_left && settled) || Instant::now() > deadline {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn clock(&self, at: Instant) -> u32 {
        at.duration_since(self.started).as_millis() as u32
    }

    /// The generation the worker switches by.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

fn report_death(events: &Sender<Event>, worker: WorkerId, port: PortId, error: PortError) {
    // Without a control side there is no one to tell; the port stays dead.
    let _ = events.try_send(Event::PortDied { worker, port, error });
}

/// Tells the control side when a worker ends by a panic.
struct ReportEnd {
    events: Sender<Event>,
    worker: WorkerId,
    armed: bool,
}

impl Drop for ReportEnd {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.events.try_send(Event::WorkerEnded { worker: self.worker });
        }
    }
}
