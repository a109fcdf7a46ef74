//! lookup by itself: known keys to programs, in flow tables from one that fits the first-level cache to one of a million.
//!
//! A lookup has a classify before it; what is called device work here is that, and the writing of new ports.

use criterion::{Criterion, Throughput};
use podlane_benches::{
    case::Case,
    measure::Samples,
    stages::Stages,
    verdict::{self, Measured},
};
use podlane_dataplane::burst::BURST;

const CASES: [(&str, Case, usize); 6] = [
    ("ipv4, 1k flows", Case::Bridge, 1_000),
    ("ipv4, 100k flows", Case::Bridge, 100_000),
    ("ipv4, 1M flows", Case::Bridge, 1_000_000),
    ("ipv6, 1k flows", Case::BridgeIpv6, 1_000),
    ("ipv6, 100k flows", Case::BridgeIpv6, 100_000),
    ("ipv6, 1M flows", Case::BridgeIpv6, 1_000_000),
];

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(BURST as u64));
    let measured = CASES.map(|(name, case, flows)| {
        let (whole, device) = (Samples::default(), Samples::default());
        // Built only if the case is asked for: a million flows take a while.
        let mut made = None;
        group.bench_function(name, |bencher| {
            let stages = made.get_or_insert_with(|| Stages::new(case, flows));
            bencher.iter_custom(|bursts| {
                device.take(bursts, |few| {
                    for _ in 0..few {
                        stages.arrive();
                        stages.classify();
                    }
                });
                whole.take(bursts, |few| {
                    for _ in 0..few {
                        stages.arrive();
                        stages.classify();
                        stages.lookup();
                    }
                })
            });
        });
        Measured { name: name.to_owned(), whole, device, target: None }
    });
    group.finish();
    verdict::print(&measured);
}
