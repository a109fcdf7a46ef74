//! Parsing: bytes to the view of a packet with all its headers checked, as everything off the hot path reads them; the hot path's own reading is
//! `classify`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use podlane_benches::packets::all_kinds;
use podlane_wire::Packet;

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    for (name, packet) in all_kinds() {
        group.bench_with_input(BenchmarkId::from_parameter(name), &packet, |bencher, packet| {
            bencher.iter(|| black_box(Packet::parse(black_box(packet))).is_ok());
        });
    }
    group.finish();
}
