//! A worker that hands over: it is halted, says what it leaves, and is resumed only if nobody has taken that.
//!
//! ```text
//!   turns --Halt--> obeys and does not turn; all stand: no frame in hand, what it leaves is written down
//!     ^                                                                   |
//!     +----------------------------Resume---------------------------------+      nobody took it
//!
//!   an heir's worker begins halted --Inherit--> --Attach--> --Resume--> turns
//! ```
//!
//! What workers share, and the rings of their sockets, is memory that both processes have; only what a worker keeps to itself is written
//! down here. Each waits until all stand, so that no frame is handed to one that has nothing any more. It is one command and not two, because
//! every time that a thread has to be woken is a part of the gap.

use core::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use podlane_rings::{FramePool, SocketFacts};

use crate::{
    counters::Counters,
    drops::DropReason,
    ids::{PortId, WorkerId},
    worker::Worker,
};

/// How long a halted worker tries to send what waits in its queues.
const FLUSH: Duration = Duration::from_millis(1);

/// How long a worker that stands waits for the others.
const OTHERS: Duration = Duration::from_millis(500);

/// What a halted worker leaves to the worker of its number in another process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Legacy {
    /// Whose.
    pub worker: WorkerId,
    /// Since when it stands.
    pub since: Instant,
    /// Which socket has each slot of its packet memory ([`FramePool::marks`]).
    pub marks: Vec<u16>,
    /// Where the flows are that it owns.
    pub flows: Vec<u64>,
    /// Where the connections are that it owns.
    pub connections: Vec<u64>,
    /// Its ledger ([`Counters::words`]).
    pub counters: Vec<u64>,
    /// Its sockets as they are now, by port.
    pub ports: Vec<(PortId, Vec<SocketFacts>)>,
}

/// What a worker goes on with.
#[derive(Debug)]
pub struct Inheritance {
    /// The frames that nobody has.
    pub pool: FramePool,
    /// Where the flows are that it owns.
    pub flows: Vec<u64>,
    /// Where the connections are that it owns.
    pub connections: Vec<u64>,
    /// Its ledger.
    pub counters: Option<Counters>,
}

impl Worker {
    /// Turns no more until it is resumed; what waits to be sent is sent, for a bounded time. Returns since when.
    pub(super) fn halt(&mut self) -> Instant {
        if !core::mem::replace(&mut self.halted, true) {
            self.standing.fetch_add(1, Ordering::AcqRel);
        }
        let since = Instant::now();
        loop {
            self.exits.take_over();
            let (worker, events) = (self.id, &self.events);
            self.exits.flush(|port, error| super::report_death(events, worker, port, error));
            self.exits.peers.announce();
            if self.exits.held() == 0 || since.elapsed() > FLUSH {
                return since;
            }
        }
    }

    /// Turns again, or for the first time.
    pub(super) fn resume(&mut self) {
        if core::mem::replace(&mut self.halted, false) {
            self.standing.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Gives up every frame it has in hand and writes down what it leaves.
    pub(super) fn bequeath(&mut self, since: Instant) -> Legacy {
        // One that does not come to stand does not answer either, and then nobody takes anything.
        while self.standing.load(Ordering::Acquire) < self.workers && since.elapsed() < OTHERS {
            std::thread::yield_now();
        }
        self.exits.take_over();
        self.exits.give_up(DropReason::HandOver);
        let facts = |attached: &crate::stage::dispatch::Attached| {
            let sockets = attached.port.sockets().iter().map(podlane_rings::Socket::facts).collect();
            (attached.id, sockets)
        };
        Legacy {
            worker: self.id,
            since,
            marks: self.exits.pool.marks(),
            flows: self.flows.places(),
            connections: self.connections.places(),
            counters: self.exits.counters.words(),
            ports: self.exits.slots.iter().map(facts).collect(),
        }
    }

    /// Goes on with what a former process's worker left.
    pub(super) fn inherit(&mut self, inheritance: Inheritance) {
        let Inheritance { pool, flows, connections, counters } = inheritance;
        self.exits.pool.absorb(pool);
        self.flows.inherit(&flows);
        self.connections.inherit(&connections);
        if let Some(counters) = counters {
            let (ports, paths) = (self.exits.counters.ports.len(), self.exits.counters.paths.len());
            self.exits.counters = counters;
            self.exits.counters.make_room(PortId(ports.saturating_sub(1) as u16));
            self.exits.counters.make_room_for_paths(paths.saturating_sub(1));
        }
    }
}
