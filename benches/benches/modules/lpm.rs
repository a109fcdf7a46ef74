//! Longest-prefix match: one lookup among a handful of routes, among a thousand, among as many as the Internet has.
//!
//! Addresses are looked up in an order no prefetcher guesses, half of them inside of some route. Each lookup waits for the one before
//! it, so the figure is a latency, as resolve meets it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use podlane_benches::routes::{ADDRESSES, ipv4, ipv6};

/// Routes in the table: of a pod's network, of a node, of the Internet's default-free zone.
const ROUTES: [usize; 3] = [3, 1_000, 1_000_000];

/// Measures it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lpm");
    group.throughput(Throughput::Elements(1));
    for count in ROUTES {
        let (table, addresses) = ipv4(count);
        group.bench_function(BenchmarkId::new("ipv4", count), |bencher| {
            let mut at = 0;
            bencher.iter(|| at = after(at, table.lookup(addresses[at])));
        });
        let (table, addresses) = ipv6(count);
        group.bench_function(BenchmarkId::new("ipv6", count), |bencher| {
            let mut at = 0;
            bencher.iter(|| at = after(at, table.lookup(addresses[at])));
        });
    }
    group.finish();
}

/// Which address comes next: known only once the last one was found, because no route's value has the top bit.
#[inline]
fn after(at: usize, found: Option<u32>) -> usize {
    (at + 1 + (black_box(found).unwrap_or_default() >> 31) as usize) & (ADDRESSES - 1)
}
