//! A worker as the daemon runs it, between two ports that cost next to nothing, turned by hand.
//!
//! The worker, its stages, the flow table and the tables are the real ones, so a bench of the [`Bed`] is a bench of the line and
//! not of a copy of it. Before anything is measured each case is looked at: all packets left by the port they should, as
//! hits or as misses, and none died. TCP connections are opened as hosts open them, with both sides' packets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crossbeam::channel::unbounded;
use podlane_dataplane::{
    PortId,
    burst::BURST,
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    port::Port,
    stage::shared::Shared,
    tables::Tables,
    worker::{
        Worker, WorkerConfig,
        command::{Command, Line, Report},
    },
};

use crate::{
    carousel::{Carousel, Exit, Load, Rewrite},
    case::Case,
    cluster,
    packets::{self, ENTRY, EXIT, Segment},
};

/// Flows the table has room for: the million of the benches, and what makes the number even. Connections, too.
const CAPACITY: usize = 1 << 20;

/// Both directions of as many connections are flows.
const BOTH_WAYS: usize = 2 * CAPACITY;

/// Flows end after so many milliseconds without a packet.
const IDLE: u32 = 60_000;

/// Turns in a millisecond at about 20 ns a packet: so often the clock ticks, and upkeep has its share.
const TURNS_A_MILLISECOND: u64 = 800;

/// Fresh flows of the miss case before they are swept away, where time is taken.
pub const FRESH: usize = 1 << 16;

/// Which packets of a flow miss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lap {
    /// The first ones.
    First,
    /// Under policy also the second ones: a flow is remembered from then on.
    Second,
}

impl Lap {
    /// How many flows go around if so many are fresh between two sweeps: so many that none comes back too soon, or each of them in the
    /// next lap.
    #[must_use]
    pub const fn flows(self, fresh: usize) -> usize {
        match self {
            Self::First => 16 * fresh,
            Self::Second => fresh,
        }
    }
}

/// One worker, one port packets come in by, one they leave by.
pub struct Bed {
    worker: Worker,
    /// What it learned and resolved.
    pub shared: Arc<Shared>,
    /// What it switches by.
    pub tables: Arc<Tables>,
    line: Line,
    open: Arc<AtomicBool>,
    clock: u32,
    turns: u64,
    fresh: usize,
}

impl Bed {
    /// A worker with the case's tables and ports, and an empty flow table with room for a million flows.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a bench.
    #[must_use]
    pub fn new(case: Case, load: Load) -> Self {
        let flows = if case.is_tcp() { BOTH_WAYS } else { CAPACITY };
        let shared = Arc::new(
            Shared::new(
                FlowTable::new(flows, HashSeed::fixed()).expect("memory for a million flows"),
                Connections::new(CAPACITY, Settings::default(), HashSeed::fixed())
                    .expect("memory for as many connections"),
                1024,
            )
            .expect("memory for the tables of a bench"),
        );
        let (events, _nobody) = unbounded();
        let config = WorkerConfig { flow_idle: IDLE, ..WorkerConfig::default() };
        let made = Worker::make(vec![(config, load.ready())], &shared, &events);
        let (worker, line) = made.expect("file descriptors for a bench").pop().expect("one worker was asked for");
        let there = packets::node(2);
        shared.learn_hop(EXIT, there.v4.into(), there.mac, 1);
        let open = Arc::new(AtomicBool::new(true));
        let tables = Arc::new(case.plan().build());
        let mut bed = Self {
            worker,
            line,
            shared,
            tables: Arc::clone(&tables),
            open: Arc::clone(&open),
            clock: 1,
            turns: 0,
            fresh: FRESH,
        };
        let (back, _former) = unbounded();
        bed.command(Command::Tables(tables, back));
        if let Some(policies) = case.policies() {
            let (back, _former) = unbounded();
            bed.command(Command::Policy(Arc::new(cluster::enforcement(policies)), back));
        }
        bed.command(Command::Attach(ENTRY, Box::new(Carousel::new(load, open))));
        bed.command(Command::Attach(EXIT, Box::new(Exit)));
        bed
    }

    /// A bed that knows the flows. A few of a million may find both their buckets full and stay misses: one in a thousand
    /// is let pass, and paid for in the figure.
    ///
    /// # Panics
    /// If more miss, or the packets do not all go the way of the case.
    #[must_use]
    pub fn warm(case: Case, flows: usize) -> Self {
        let mut bed = Self::new(case, case.load(flows));
        if case.is_tcp() {
            bed.establish(case, flows);
        }
        bed.turns(2 * flows.div_ceil(BURST) + 1);
        let before = bed.report();
        assert!(before.flows >= flows - flows / 1000, "{case:?}: {} of {flows} flows are in the table", before.flows);
        bed.turns(flows.div_ceil(BURST));
        bed.assert_moved(case, &before);
        let missed = bed.report().counters.misses - before.counters.misses;
        assert!(missed <= flows as u64 / 1000, "{case:?}: {missed} packets of known flows missed");
        bed
    }

    /// A bed that has seen its flows and forgotten them: memory is touched, and every packet to come is a miss as long as
    /// [`Self::renew`] is called after each `fresh` of them.
    ///
    /// # Panics
    /// If the packets do not all go the way of the case.
    #[must_use]
    pub fn fresh(case: Case, lap: Lap, fresh: usize) -> Self {
        let mut bed = Self::new(case, case.opening(lap.flows(fresh)));
        bed.fresh = fresh;
        bed.renew(lap);
        let before = bed.report();
        bed.turns(fresh / BURST);
        let after = bed.report();
        let missed = after.counters.misses - before.counters.misses;
        assert_eq!(missed, fresh as u64, "{case:?}: every packet opens a flow, or a connection, or is its second");
        assert_eq!(after.counters.uncached, 0, "{case:?}: and every flow finds room");
        bed.assert_moved(case, &before);
        bed.renew(lap);
        bed
    }

    /// Forgets everything, so that the next packets are first ones, and in the second lap lets those pass.
    pub fn renew(&mut self, lap: Lap) {
        self.sweep();
        if lap == Lap::Second {
            self.turns(self.fresh / BURST);
        }
    }

    /// Opens the connections of a case, one segment of each after the other, and goes back to its load.
    fn establish(&mut self, case: Case, flows: usize) {
        for (segment, from, to) in
            [(Segment::Open, ENTRY, EXIT), (Segment::Answer, EXIT, ENTRY), (Segment::Data, ENTRY, EXIT)]
        {
            let load = Load { rewrite: Rewrite::All, ..case.segments(segment, flows) };
            self.join(from, Box::new(Carousel::new(load, Arc::clone(&self.open))));
            self.join(to, Box::new(Exit));
            self.turns(flows.div_ceil(BURST));
        }
        let load = case.load(flows);
        let (send, lent) = unbounded();
        self.command(Command::Lend(usize::MAX, send));
        let mut frames = lent.try_recv().expect("a worker lends its frames at once");
        load.fill(&mut frames);
        self.command(Command::Absorb(frames));
        self.join(ENTRY, Box::new(Carousel::new(load, Arc::clone(&self.open))));
    }

    /// Has another port stand where one does.
    fn join(&mut self, id: PortId, port: Box<dyn Port>) {
        let (back, _former) = unbounded();
        self.command(Command::Detach(id, back));
        self.command(Command::Attach(id, port));
    }

    /// Turns so many times, a full burst each.
    #[inline]
    pub fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turns += 1;
            if self.turns.is_multiple_of(TURNS_A_MILLISECOND) {
                self.clock += 1;
            }
            self.worker.turn(self.clock);
        }
    }

    /// Ends every flow and connection, as idleness would.
    pub fn sweep(&mut self) {
        self.open.store(false, Ordering::Relaxed);
        self.clock += IDLE;
        while self.worker.report().flows > 0 || self.shared.connections.fill().used > 0 {
            self.clock += 100;
            self.worker.turn(self.clock);
        }
        self.open.store(true, Ordering::Relaxed);
    }

    /// What the worker says of itself.
    #[must_use]
    pub fn report(&self) -> Report {
        self.worker.report()
    }

    fn assert_moved(&self, case: Case, before: &Report) {
        let (before, now) = (&before.counters, &self.report().counters);
        let packets = now.received() - before.received();
        assert!(packets > 0 && now.balanced(), "{case:?}: the ledger is balanced");
        let left = now.ports[EXIT.index()].sent.packets - before.ports[EXIT.index()].sent.packets;
        // Of a million connections a few find no place in their two buckets, and are refused.
        let lost = now.lost() - before.lost();
        assert_eq!(left + lost, packets, "{case:?}: every packet leaves by the exit");
        assert!(lost <= packets / 100_000, "{case:?}: {lost} of {packets} packets were lost");
    }

    fn command(&mut self, command: Command) {
        assert!(self.line.send(command).is_ok(), "a worker turned by hand never ends");
        self.worker.obey();
    }
}

#[cfg(test)]
mod tests {
    use podlane_dataplane::flow::connections::Phase;

    use super::*;

    /// Fresh flows between two sweeps.
    const FEW: usize = 4096;

    #[test]
    fn the_packets_of_every_case_cross_as_hits() {
        let cases = [
            Case::Bridge,
            Case::BridgeIpv6,
            Case::FromPod,
            Case::Route,
            Case::RouteIpv6,
            Case::PopTag,
            Case::PushTag,
            Case::Encapsulate,
            Case::Decapsulate,
        ];
        for case in cases {
            // It looks at the whole ledger itself.
            let bed = Bed::warm(case, 256);
            assert_eq!((bed.report().counters.misses, bed.report().flows), (256, 256), "{case:?}");
        }
    }

    #[test]
    fn connections_are_established_before_their_segments_cross_as_hits() {
        // Without policy a segment that opens is remembered, with it only what comes after that.
        for (policies, laps) in [(None, 2), (Some(0), 3), (Some(3), 3)] {
            for case in [Case::Tcp(policies), Case::TcpIpv6(policies)] {
                let bed = Bed::warm(case, 256);
                let report = bed.report();
                assert_eq!((report.counters.misses, report.flows), (laps * 256, 2 * 256), "{case:?}");
                let connections = bed.shared.connections.records(usize::MAX, |_| true);
                assert_eq!(connections.len(), policies.map_or(0, |_| 256), "{case:?}");
                assert!(connections.iter().all(|connection| connection.phase == Phase::Established), "{case:?}");
            }
        }
    }

    #[test]
    fn under_policy_the_first_two_packets_of_a_flow_miss() {
        let case = Case::Tcp(Some(3));
        let mut bed = Bed::fresh(case, Lap::First, FEW);
        bed.turns(4);
        assert_eq!((bed.report().flows, bed.shared.connections.fill().used), (0, 4 * BURST));
        let mut bed = Bed::fresh(case, Lap::Second, FEW);
        bed.turns(4);
        assert_eq!((bed.report().flows, bed.shared.connections.fill().used), (4 * BURST, FEW));
    }

    #[test]
    fn a_fresh_bed_misses_again_after_each_sweep() {
        let mut bed = Bed::fresh(Case::Bridge, Lap::First, FEW);
        for round in 2..4 {
            bed.turns(4);
            assert_eq!(bed.report().flows, 4 * BURST);
            bed.sweep();
            let counters = bed.report().counters;
            assert_eq!(counters.misses, (FEW + (round - 1) * 4 * BURST) as u64);
            assert_eq!((counters.hits, bed.report().flows), (0, 0));
        }
    }
}
