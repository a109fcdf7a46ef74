//! classify by itself: headers to keys, hashes included, for a burst of 64-byte packets.
//!
//! What is called device work here is the writing of new ports into the burst.

use criterion::{Criterion, Throughput};
use podlane_benches::{
    case::Case,
    measure::Samples,
    stages::Stages,
    verdict::{self, Measured},
};
use podlane_dataplane::burst::BURST;

const CASES: [(&str, Case); 3] =
    [("ipv4", Case::Bridge), ("ipv6", Case::BridgeIpv6), ("ipv4 behind a tag", Case::PopTag)];

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    group.throughput(Throughput::Elements(BURST as u64));
    let measured = CASES.map(|(name, case)| {
        let (whole, device) = (Samples::default(), Samples::default());
        let mut stages = Stages::new(case, 1_000);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|bursts| {
                device.take(bursts, |few| (0..few).for_each(|_| stages.arrive()));
                whole.take(bursts, |few| {
                    for _ in 0..few {
                        stages.arrive();
                        stages.classify();
                    }
                })
            });
        });
        Measured { name: name.to_owned(), whole, device, target: None }
    });
    group.finish();
    verdict::print(&measured);
}
