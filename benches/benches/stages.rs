//! Where the nanoseconds of a hit go: the stages one by one, against flows.
//!
//! `cargo bench -p podlane-benches --features results --bench stages`. The stages are the worker's own functions. None can be stopped in the middle of a
//! turn, so each is the difference of two things that are measured in turns: a burst that arrives, that is classified too, that is
//! looked up too, and a whole turn. What a turn costs beyond these is applying the programs, handing frames to their ports, and the turn
//! itself; the ports of the bench are taken off. Instructions by stage, which no noise moves, are the table of
//! `perf/PROFILES.md` that `.ci/stages` keeps.

use std::time::Instant;

use podlane_benches::{
    bed::Bed,
    carousel::Device,
    case::Case,
    result::{origin, store},
    stages::Stages,
};
use podlane_dataplane::burst::BURST;
use podlane_perf::{
    report::Report,
    series::{Axis, Series},
};

/// Flows that go around.
const FLOWS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// How often everything is measured, and how often with `--quick`.
const ROUNDS: u32 = 9;
const FEW: u32 = 3;

/// Bursts of one measurement: each lasts some ten milliseconds, and a million flows come around once.
const BURSTS: usize = 16_384;

/// What stands in the table, in this order.
const NAMES: [&str; 6] =
    ["classify", "lookup", "apply, dispatch, turn", "a hit, L2", "a hit, L3", "ports of the bench, taken off"];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rounds = if quick { FEW } else { ROUNDS };
    let series: Vec<Series> = FLOWS.into_iter().flat_map(|flows| against(flows, rounds)).collect();
    let title = "Where the nanoseconds of a hit go, in memory, 64-byte UDP in bursts of 64";
    let report = Report { series, ..Report::new(title, origin("stages"), rounds) };
    println!("{report}");
    store("stages", report);
}

/// The stages with so many flows.
fn against(flows: usize, rounds: u32) -> Vec<Series> {
    let mut stages = Stages::new(Case::Bridge, flows);
    let (mut bridged, mut bridged_ports) = whole(Case::Bridge, flows);
    let (mut routed, mut routed_ports) = whole(Case::Route, flows);
    let mut samples: [Vec<f64>; NAMES.len()] = Default::default();
    for _ in 0..rounds {
        let arrive = nanoseconds(|| stages.arrive());
        let classified = nanoseconds(|| {
            stages.arrive();
            stages.classify();
        });
        let found = nanoseconds(|| {
            stages.arrive();
            stages.classify();
            stages.lookup();
        });
        let ports = nanoseconds(|| bridged_ports.turn());
        let l2 = nanoseconds(|| bridged.turns(1)) - ports;
        let l3_ports = nanoseconds(|| routed_ports.turn());
        let l3 = nanoseconds(|| routed.turns(1)) - l3_ports;
        let (classify, lookup) = (classified - arrive, found - classified);
        let round = [classify, lookup, l2 - classify - lookup, l2, l3, ports];
        samples.iter_mut().zip(round).for_each(|(samples, sample)| samples.push(sample));
    }
    let series = NAMES.into_iter().zip(samples);
    series.map(|(name, samples)| Series::new(name, "ns", samples).at(Axis::Flows, flows as f64)).collect()
}

/// A worker whose flows are all known, and its ports without it.
fn whole(case: Case, flows: usize) -> (Bed, Device) {
    (Bed::warm(case, flows), Device::new(case.load(flows)))
}

/// Nanoseconds a packet of what is done to one burst.
fn nanoseconds(mut burst: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..BURSTS).for_each(|_| burst());
    start.elapsed().as_nanos() as f64 / (BURSTS * BURST) as f64
}
