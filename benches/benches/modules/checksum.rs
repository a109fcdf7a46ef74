//! The Internet checksum, from an empty segment to a jumbo packet: `rings` adds on vector registers, `wire` is portable.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use podlane_rings::ones_complement_sum;
use podlane_wire::checksum;

/// Bytes: a header, a small packet, where vectors begin to pay, a full packet, two sizes of jumbo.
const SIZES: [usize; 8] = [20, 64, 128, 256, 576, 1_460, 4_096, 9_000];

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for size in SIZES {
        let bytes: Vec<u8> = (0..size as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("rings", size), &bytes, |bencher, bytes| {
            bencher.iter(|| ones_complement_sum(black_box(bytes)));
        });
        group.bench_with_input(BenchmarkId::new("wire", size), &bytes, |bencher, bytes| {
            bencher.iter(|| checksum::sum(black_box(bytes)));
        });
    }
    group.finish();
}
