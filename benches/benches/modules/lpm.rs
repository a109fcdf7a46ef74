//! Longest-prefix match: one lookup among a handful of routes, among a thousand, among as many as the Internet has.
//!
//! Addresses are looked up in an order no prefetcher guesses, half of them inside of some route. Each lookup waits for the one before
//! it, so the figure is a latency, as resolve meets it.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use podlane_benches::packets::Random;
use podlane_dataplane::tables::lpm::{Lpm4, Lpm6, Route};

/// Routes in the table: of a pod's network, of a node, of the Internet's default-free zone.
const ROUTES: [usize; 3] = [3, 1_000, 1_000_000];
/// Addresses looked up over and over: more than the first-level cache has room for.
const ADDRESSES: usize = 1 << 16;

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

/// Routes as the Internet has them: most of 24 bits, some shorter; and addresses, every other one inside of one.
fn ipv4(count: usize) -> (Lpm4, Vec<Ipv4Addr>) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let routes: Vec<Route<Ipv4Addr>> = (0..count as u32)
        .map(|value| {
            let len = if random.below(10) < 6 { 24 } else { 16 + random.below(8) as u8 };
            let bits = random.draw() as u32 & (u32::MAX << (32 - len));
            Route { prefix: Ipv4Addr::from_bits(bits), len, value }
        })
        .collect();
    let addresses = (0..ADDRESSES).map(|n| {
        let host = random.draw() as u32;
        let inside = routes[random.below(count)];
        let bits = inside.prefix.to_bits() | (host & (u32::MAX >> inside.len));
        Ipv4Addr::from_bits(if n % 2 == 0 { bits } else { host })
    });
    let addresses = addresses.collect();
    (Lpm4::build(&routes).expect("prefixes of a bench fit"), addresses)
}

/// The same in IPv6: most routes of 48 bits, below 2000::/3.
fn ipv6(count: usize) -> (Lpm6, Vec<Ipv6Addr>) {
    let mut random = Random(0xbf58_476d_1ce4_e5b9);
    let mut wide = move || u128::from(random.draw()) << 64 | u128::from(random.draw());
    let global = |bits: u128| bits >> 3 | 1 << 125;
    let routes: Vec<Route<Ipv6Addr>> = (0..count as u32)
        .map(|value| {
            let len = if wide() % 10 < 6 { 48 } else { 32 + (wide() % 33) as u8 };
            let bits = global(wide()) & (u128::MAX << (128 - len));
            Route { prefix: Ipv6Addr::from_bits(bits), len, value }
        })
        .collect();
    let addresses = (0..ADDRESSES).map(|n| {
        let host = global(wide());
        let inside = routes[(wide() % count as u128) as usize];
        let bits = inside.prefix.to_bits() | (host & (u128::MAX >> inside.len));
        Ipv6Addr::from_bits(if n % 2 == 0 { bits } else { host })
    });
    let addresses = addresses.collect();
    (Lpm6::build(&routes).expect("prefixes of a bench fit"), addresses)
}
