//! The hash of a flow key, whose seed and multiplications `flow/key.rs` argues for.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use podlane_benches::{case::Case, stages::keys};
use podlane_dataplane::{
    burst::BURST,
    flow::{FlowKey, HashSeed},
};

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash of 64 keys");
    group.throughput(Throughput::Elements(BURST as u64));
    for (name, case) in [("ipv4", Case::Bridge), ("ipv6", Case::BridgeIpv6)] {
        let keys: Vec<FlowKey> = keys(&case.load(BURST)).collect();
        let seed = black_box(HashSeed::fixed());
        group.bench_function(name, |bencher| {
            bencher.iter(|| keys.iter().fold(0, |sum, key| sum ^ seed.hash(black_box(key))));
        });
    }
    group.finish();
}
