//! classify by itself: headers to keys, hashes included, for a burst of 64-byte packets.
//!
//! What is called device work here is the writing of new ports into the burst.

use criterion::{Criterion, Throughput};
use podlane_benches::{
    bed::Case,
    measure::{Samples, time},
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
                device.note(bursts, time(|| (0..bursts).for_each(|_| stages.arrive())));
                let both = time(|| {
                    for _ in 0..bursts {
                        stages.arrive();
                        stages.classify();
                    }
                });
                whole.note(bursts, both)
            });
        });
        Measured { name: name.to_owned(), whole, device, target: None }
    });
    group.finish();
    verdict::print(&measured);
}
