//! apply by itself: bursts whose programs are known, and the exits they leave by.
//!
//! The programs are those a worker resolved for the same packets ([`Bed`]), so an action here is an action there; only what no case of the
//! bed has, a drop and a flood, is put into the flow table by hand. Stage, exits and ports are the worker's own.

use std::sync::{Arc, atomic::AtomicBool};

use podlane_dataplane::{
    WorkerId,
    burst::{BURST, Burst, Line},
    drops::DropReason,
    flow::{Basis, FlowWriter, Insertion, Program},
    port::Port,
    stage::{
        apply::{Pass, apply},
        classify::classify,
        dispatch::Exits,
        lookup::lookup,
        shared::Shared,
    },
    tables::Tables,
    worker::handoff::Peers,
};

use crate::{
    bed::Bed,
    carousel::{Carousel, Exit},
    case::Case,
    packets::{ENTRY, EXIT, TUNNELLED},
    stages::keys,
};

/// What is done to packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// What happens to the packets of a case.
    Of(Case),
    /// They are dropped by name.
    Drop,
    /// They are copied to every other port of the network, of which there is one.
    Flood,
}

impl Action {
    /// One of each kind, and what it is called.
    pub const ALL: [(&'static str, Self); 9] = [
        ("bridge", Self::Of(Case::Bridge)),
        ("bridge, checksum finished", Self::Of(Case::FromPod)),
        ("route", Self::Of(Case::Route)),
        ("route ipv6", Self::Of(Case::RouteIpv6)),
        ("tag off", Self::Of(Case::PopTag)),
        ("tag on", Self::Of(Case::PushTag)),
        ("encapsulate", Self::Of(Case::Encapsulate)),
        ("drop", Self::Drop),
        ("flood to one port", Self::Flood),
    ];

    const fn case(self) -> Case {
        match self {
            Self::Of(case) => case,
            Self::Drop | Self::Flood => Case::Bridge,
        }
    }

    /// The program of every flow, where the worker's own is not meant.
    fn program(self) -> Option<Program> {
        match self {
            Self::Of(_) => None,
            Self::Drop => Some(Program::drop(DropReason::PolicyDenied)),
            Self::Flood => Some(Program::flood()),
        }
    }
}

/// A burst whose programs are known.
pub type Ready = (Line, Burst);

/// Slots of packet memory: as many bursts as are counted at once, and some to spare.
const FRAMES: u32 = 2048;

/// Everything apply wants.
pub struct Actions {
    carousel: Carousel,
    exits: Exits,
    tables: Arc<Tables>,
    shared: Arc<Shared>,
    /// Worker-clock milliseconds: one a burst, so that no limit on floods is ever reached.
    now: u32,
    /// A line and a burst whose room is used again.
    spare: Option<Ready>,
    /// Its flows end when it is dropped, and those of the writer.
    _bed: Bed,
    _writer: FlowWriter,
}

impl Actions {
    /// An action for so many flows, all of which are known.
    ///
    /// # Panics
    /// If the machine has no memory for it, or more than one flow in a thousand finds no room.
    #[must_use]
    pub fn new(action: Action, flows: usize) -> Self {
        let (case, load) = (action.case(), action.case().load(flows));
        let own = action.program();
        let bed = if own.is_none() { Bed::warm(case, flows) } else { Bed::new(case, load.clone()) };
        let (tables, shared) = (Arc::clone(&bed.tables), Arc::clone(&bed.shared));
        let table = Arc::clone(&shared.flows);
        let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(1));
        if let Some(program) = own {
            let full = keys(&load).filter(|key| {
                let basis = Basis { generation: tables.generation, epoch: table.epoch(program.shard()) };
                writer.insert(table.hash(key), key, &program, basis, 1) == Insertion::Full
            });
            let full = full.count();
            assert!(full <= flows / 1000, "{full} of {flows} flows find no room");
        }
        let mut exits = Exits::new(load.ready_with(FRAMES), Peers::default(), Arc::clone(&shared.meters));
        exits.attach(ENTRY, Box::new(Exit));
        exits.attach(EXIT, Box::new(Exit));
        exits.limits.make_room(tables.networks.len());
        let carousel = Carousel::new(load, Arc::new(AtomicBool::new(true)));
        Self { carousel, exits, tables, shared, now: 1, spare: None, _bed: bed, _writer: writer }
    }

    /// The next burst arrives, and its programs are found.
    ///
    /// # Panics
    /// If one is not known.
    #[must_use]
    pub fn ready(&mut self) -> Ready {
        let (mut line, mut burst) = self.spare.take().unwrap_or_else(|| (Line::new(), Burst::new()));
        self.carousel.receive(&mut self.exits.pool, &mut burst);
        line.came_by(ENTRY);
        let table = &self.shared.flows;
        classify(&mut line, burst.frames(), self.exits.pool.umem(), TUNNELLED, table);
        let known = lookup(&mut line, table, self.tables.generation, self.now);
        assert_eq!(known, BURST as u64, "a full burst of known flows");
        (line, burst)
    }

    /// Its programs run, and what is to leave leaves.
    #[inline]
    pub fn apply(&mut self, (mut line, mut burst): Ready) {
        self.now += 1;
        let port = self.tables.port(ENTRY);
        let (tables, shared, generation) = (&*self.tables, &*self.shared, self.tables.generation);
        let pass = Pass { tables, shared, ingress: ENTRY, port, policy: None, generation, now: self.now };
        apply(&mut line, &mut burst, &pass, &mut self.exits);
        self.exits.flush(|_, _| {});
        self.spare = Some((line, burst));
    }

    /// Its frames go home as they came.
    #[inline]
    pub fn discard(&mut self, (line, mut burst): Ready) {
        burst.drain().for_each(|frame| self.exits.pool.give(frame));
        self.spare = Some((line, burst));
    }

    /// The ledger: packets that left by the exit, and that were dropped.
    #[must_use]
    pub fn moved(&self) -> [u64; 2] {
        let counters = &self.exits.counters;
        [counters.ports[EXIT.index()].sent.packets, counters.lost()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_does_to_a_burst_what_its_name_says() {
        for (name, action) in Action::ALL {
            let mut actions = Actions::new(action, 256);
            for _ in 0..4 {
                let ready = actions.ready();
                actions.apply(ready);
            }
            let packets = 4 * BURST as u64;
            let moved = if action == Action::Drop { [0, packets] } else { [packets, 0] };
            assert_eq!(actions.moved(), moved, "{name}");
        }
    }

    #[test]
    fn as_many_bursts_stand_ready_at_once_as_are_counted() {
        let mut actions = Actions::new(Action::Of(Case::Route), 1024);
        let ready: Vec<Ready> = (0..16).map(|_| actions.ready()).collect();
        ready.into_iter().for_each(|ready| actions.apply(ready));
        assert_eq!(actions.moved(), [1024, 0]);
    }
}
