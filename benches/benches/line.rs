//! The in-memory line: receive, classify, lookup, apply, dispatch, transmit; 64-byte UDP packets in bursts of 64 on one core.
//!
//! `cargo bench -p podlane-benches --bench line` measures all cases, `-- --quick` in a few seconds, `-- l2` those whose name has that in
//! it. Each figure is a worker's turns divided by the packets they carried, less what the ports cost by themselves.
//! Left out besides them is what the worker does between turns: a clock reading and a look at its command channel.

use criterion::{SamplingMode, Throughput};
use podlane_benches::{
    bed::Lap,
    case::Case,
    measure::configured,
    result,
    runs::{hit, miss},
    verdict,
};
use podlane_dataplane::burst::BURST;

/// Name, what happens, flows, and the most a packet may cost in nanoseconds: VPP's figures on the same machine, and what a
/// table of a million flows may add.
const HITS: [(&str, Case, usize, Option<f64>); 11] = [
    ("l2 hit, 1k flows", Case::Bridge, 1_000, Some(18.0)),
    ("l2 hit, 1M flows", Case::Bridge, 1_000_000, Some(45.0)),
    ("l3 hit, 1k flows", Case::Route, 1_000, Some(18.0)),
    ("l3 hit, 1M flows", Case::Route, 1_000_000, Some(45.0)),
    ("ipv6 l2 hit, 1k flows", Case::BridgeIpv6, 1_000, Some(18.0)),
    ("ipv6 l3 hit, 1k flows", Case::RouteIpv6, 1_000, Some(18.0)),
    ("vlan pop, 1k flows", Case::PopTag, 1_000, None),
    ("vlan push, 1k flows", Case::PushTag, 1_000, None),
    ("l2 from pod, 1k flows", Case::FromPod, 1_000, None),
    ("vxlan encapsulation, 1k flows", Case::Encapsulate, 1_000, Some(30.0)),
    ("vxlan decapsulation, 1k flows", Case::Decapsulate, 1_000, Some(35.0)),
];

/// The most a miss may cost, nanoseconds.
const MISS: f64 = 600.0;

fn main() {
    let mut criterion = configured();
    let mut measured = Vec::new();
    {
        let mut group = criterion.benchmark_group("line");
        group.throughput(Throughput::Elements(BURST as u64)).sampling_mode(SamplingMode::Flat);
        for (name, case, flows, target) in HITS {
            measured.push(hit(&mut group, (name, target), case, flows));
        }
        for (name, case) in [("l2 miss", Case::Bridge), ("l3 miss", Case::Route)] {
            measured.push(miss(&mut group, (name, Some(MISS)), case, Lap::First));
        }
        group.finish();
    }
    verdict::print(&measured);
    result::keep("line", "The in-memory line, 64-byte UDP in bursts of 64, one core", &measured);
    criterion.final_summary();
}
