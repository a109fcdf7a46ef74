//! Stateful policy on the in-memory line: TCP in established connections, 64 bytes of it over IPv4 and 74 over IPv6, in bursts of 64 on one
//! core; and what the first two packets of a connection cost under 10,000 policies, all of them about both of its ends.
//!
//! `cargo bench -p podlane-benches --bench policy`; what a figure is, is as in `line.rs`. The second table has the same packets with policy in
//! force and without, taken in turns: what policy adds.

use criterion::{SamplingMode, Throughput};
use podlane_benches::{
    bed::Lap,
    case::Case,
    measure::configured,
    result,
    runs::{added, hit, miss},
    verdict,
};
use podlane_dataplane::burst::BURST;

/// Policies in force.
const MANY: Option<usize> = Some(10_000);

/// Name, what happens, flows, and the most a packet may cost in nanoseconds. VPP with its stateful ACL: 34.
const HITS: [(&str, Case, usize, Option<f64>); 6] = [
    ("tcp hit, no policy, 1k flows", Case::Tcp(None), 1_000, None),
    ("tcp hit, 0 policies, 1k flows", Case::Tcp(Some(0)), 1_000, Some(25.0)),
    ("tcp hit, 10k policies, 1k flows", Case::Tcp(MANY), 1_000, Some(25.0)),
    ("tcp hit, no policy, 1M flows", Case::Tcp(None), 1_000_000, None),
    ("tcp hit, 10k policies, 1M flows", Case::Tcp(MANY), 1_000_000, None),
    ("ipv6 tcp hit, 10k policies, 1k flows", Case::TcpIpv6(MANY), 1_000, Some(25.0)),
];

/// Name, with and without, and flows.
const ADDED: [(&str, [Case; 2], usize); 3] = [
    ("policy adds, tcp, 1k flows", [Case::Tcp(MANY), Case::Tcp(None)], 1_000),
    ("policy adds, ipv6 tcp, 1k flows", [Case::TcpIpv6(MANY), Case::TcpIpv6(None)], 1_000),
    ("policy adds, tcp, 1M flows", [Case::Tcp(MANY), Case::Tcp(None)], 1_000_000),
];

/// The most policy may add to a hit, and the most a miss may cost, nanoseconds.
const MOST: f64 = 10.0;
const MISS: f64 = 1000.0;

fn main() {
    let mut criterion = configured();
    let (mut measured, mut differences) = (Vec::new(), Vec::new());
    {
        let mut group = criterion.benchmark_group("policy");
        group.throughput(Throughput::Elements(BURST as u64)).sampling_mode(SamplingMode::Flat);
        for (name, case, flows, target) in HITS {
            measured.push(hit(&mut group, (name, target), case, flows));
        }
        for (name, lap) in
            [("tcp miss, 10k policies, opening", Lap::First), ("tcp miss, 10k policies, second packet", Lap::Second)]
        {
            measured.push(miss(&mut group, (name, Some(MISS)), Case::Tcp(MANY), lap));
        }
        for (name, cases, flows) in ADDED {
            differences.push(added(&mut group, (name, Some(MOST)), cases, flows));
        }
        group.finish();
    }
    verdict::print(&measured);
    verdict::print_added(&differences);
    measured.extend(differences);
    result::keep("policy", "Stateful policy on the in-memory line, TCP in bursts of 64, one core", &measured);
    criterion.final_summary();
}
