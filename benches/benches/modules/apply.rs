//! apply by itself, an action a case: programs that are known run on a burst of 64-byte packets, which leave for a port in memory.
//!
//! What is called device work here is everything before it: new ports written into the burst, classify and lookup.

use criterion::{Criterion, Throughput};
use podlane_benches::{
    actions::{Action, Actions},
    measure::Samples,
    verdict::{self, Measured},
};
use podlane_dataplane::burst::BURST;

/// Flows of a case: few enough for the cache, since what memory costs is the lookup's.
const FLOWS: usize = 1_000;

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(BURST as u64));
    let measured = Action::ALL.map(|(name, action)| {
        let (whole, device) = (Samples::default(), Samples::default());
        let mut made = None;
        group.bench_function(name, |bencher| {
            let actions = made.get_or_insert_with(|| Actions::new(action, FLOWS));
            bencher.iter_custom(|bursts| {
                device.take(bursts, |few| {
                    for _ in 0..few {
                        let ready = actions.ready();
                        actions.discard(ready);
                    }
                });
                whole.take(bursts, |few| {
                    for _ in 0..few {
                        let ready = actions.ready();
                        actions.apply(ready);
                    }
                })
            });
        });
        Measured { name: name.to_owned(), whole, device, target: None }
    });
    group.finish();
    verdict::print(&measured);
}
