//! The table against the definition: of all prefixes that contain an address, the longest, and of equals the last given.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Address, Lpm, LpmError, MAX_VALUE, Route, Word};

/// Looks at every route, every time.
fn oracle<A: Address>(routes: &[Route<A>], address: A) -> Option<u32> {
    let contains = |route: &&Route<A>| route.prefix.word().agreement(address.word()) >= u32::from(route.len);
    routes.iter().filter(contains).max_by_key(|route| route.len).map(|route| route.value)
}

fn route4(prefix: &str, len: u8, value: u32) -> Route<Ipv4Addr> {
    Route { prefix: prefix.parse().unwrap(), len, value }
}

fn route6(prefix: &str, len: u8, value: u32) -> Route<Ipv6Addr> {
    Route { prefix: prefix.parse().unwrap(), len, value }
}

fn v4(address: &str) -> Ipv4Addr {
    address.parse().unwrap()
}

fn v6(address: &str) -> Ipv6Addr {
    address.parse().unwrap()
}

/// A small generator, so that a million routes need no strategy: Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn an_empty_table_matches_nothing() {
    let table = Lpm::<Ipv4Addr>::build(&[]).unwrap();
    assert!(table.is_empty());
    assert_eq!(table.lookup(v4("10.0.0.1")), None);
    assert_eq!(Lpm::<Ipv6Addr>::build(&[]).unwrap().lookup(v6("::")), None);
}

#[test]
fn the_longest_prefix_wins_and_the_default_takes_the_rest() {
    let table = Lpm::build(&[
        route4("10.1.2.0", 24, 3),
        route4("0.0.0.0", 0, 1),
        route4("10.1.2.255", 32, 4),
        route4("10.0.0.0", 8, 2),
    ])
    .unwrap();
    let answers = ["192.0.2.1", "10.9.9.9", "10.1.2.254", "10.1.2.255", "10.1.3.0", "11.0.0.0"]
        .map(|address| table.lookup(v4(address)));
    assert_eq!(answers, [Some(1), Some(2), Some(3), Some(4), Some(2), Some(1)]);
}

#[test]
fn an_ipv6_host_route_is_found_under_its_network_and_its_default() {
    let table = Lpm::build(&[
        route6("::", 0, 1),
        route6("fd00:1::", 64, 2),
        route6("fd00:1::5", 128, 3),
        route6("ff00::", 8, 4),
    ])
    .unwrap();
    let answers =
        ["2001:db8::1", "fd00:1::4", "fd00:1::5", "fd00:1:0:1::5", "ff02::1"].map(|address| table.lookup(v6(address)));
    assert_eq!(answers, [Some(1), Some(2), Some(3), Some(1), Some(4)]);
}

#[test]
fn the_later_of_two_equal_prefixes_wins_and_host_bits_do_not_count() {
    let table = Lpm::build(&[route4("10.0.0.7", 8, 1), route4("10.200.0.0", 8, 2)]).unwrap();
    assert_eq!((table.len(), table.lookup(v4("10.3.3.3"))), (1, Some(2)));
}

#[test]
fn zero_and_the_largest_value_are_values() {
    let table = Lpm::build(&[route4("0.0.0.0", 1, 0), route4("128.0.0.0", 1, MAX_VALUE)]).unwrap();
    assert_eq!(table.lookup(v4("1.1.1.1")), Some(0));
    assert_eq!(table.lookup(v4("255.255.255.255")), Some(MAX_VALUE));
}

#[test]
fn a_route_that_cannot_be_is_named_by_its_position() {
    let good = route4("10.0.0.0", 8, 1);
    let long = Lpm::build(&[good, Route { len: 33, ..good }]);
    assert_eq!(long.err(), Some(LpmError::PrefixTooLong { index: 1, len: 33, max: 32 }));
    let large = Lpm::build(&[good, good, Route { value: MAX_VALUE + 1, ..good }]);
    assert_eq!(large.err(), Some(LpmError::ValueTooLarge { index: 2, value: MAX_VALUE + 1 }));
    let long = Lpm::build(&[Route { len: 129, ..route6("::", 0, 1) }]);
    assert_eq!(long.err(), Some(LpmError::PrefixTooLong { index: 0, len: 129, max: 128 }));
}

#[test]
fn a_table_of_three_routes_is_smaller_than_two_kilobytes() {
    let four = [route4("0.0.0.0", 0, 1), route4("10.1.0.0", 16, 2), route4("10.1.2.0", 24, 3)];
    let six = [route6("::", 0, 1), route6("fd00::", 48, 2), route6("fd00:0:0:7::", 64, 3)];
    assert!(Lpm::build(&four).unwrap().bytes() < 2048);
    assert!(Lpm::build(&six).unwrap().bytes() < 2048);
}

#[test]
fn a_million_routes_build_in_time_and_stay_small() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let routes: Vec<_> = (0..1_000_000)
        .map(|value| {
            let bits = numbers.next();
            Route { prefix: Ipv4Addr::from_bits(bits as u32), len: 16 + (bits >> 60) as u8, value }
        })
        .collect();
    let start = Instant::now();
    let table = Lpm::build(&routes).unwrap();
    // Generous: an unoptimised build on a busy machine takes a second or two.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(table.bytes() < 160 << 20, "{}", table.bytes());
    for route in routes.iter().step_by(100_003) {
        assert_eq!(table.lookup(route.prefix), oracle(&routes, route.prefix));
    }
}

/// Prefixes crowd around few values, so that they nest, repeat and touch.
fn crowded4() -> impl Strategy<Value = Vec<Route<Ipv4Addr>>> {
    let prefix = prop_oneof![
        any::<u32>(),
        (0_u32..4, 0_u32..40).prop_map(|(net, host)| 0x0a00_0000 | net << 14 | host),
        Just(u32::MAX),
    ];
    let route = (prefix, 0_u8..=32, 0_u32..50).prop_map(|(bits, len, value)| Route {
        prefix: Ipv4Addr::from_bits(bits),
        len,
        value,
    });
    prop::collection::vec(route, 0..120)
}

/// As [`crowded4`], with the differences at the places a route of that family has them.
fn crowded6() -> impl Strategy<Value = Vec<Route<Ipv6Addr>>> {
    let prefix = prop_oneof![
        any::<u128>(),
        (0_u128..4, 0_u128..3, 0_u128..40)
            .prop_map(|(site, net, host)| { 0xfd00 << 112 | site << 80 | net << 64 | host }),
        Just(u128::MAX),
    ];
    let route = (prefix, 0_u8..=128, 0_u32..50).prop_map(|(bits, len, value)| Route {
        prefix: Ipv6Addr::from_bits(bits),
        len,
        value,
    });
    prop::collection::vec(route, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_ipv4_answer_is_the_oracles(routes in crowded4(), others: [u32; 16]) {
        let table = Lpm::build(&routes).unwrap();
        let near = routes.iter().flat_map(|route| {
            let (bits, end) = (route.prefix.to_bits(), u32::MAX.checked_shr(route.len.into()).unwrap_or(0));
            [bits, bits & !end, bits | end, (bits | end).wrapping_add(1), (bits & !end).wrapping_sub(1)]
        });
        for address in near.chain(others).map(Ipv4Addr::from_bits) {
            prop_assert_eq!(table.lookup(address), oracle(&routes, address), "{}", address);
        }
    }

    #[test]
    fn every_ipv6_answer_is_the_oracles(routes in crowded6(), others: [u128; 16]) {
        let table = Lpm::build(&routes).unwrap();
        let near = routes.iter().flat_map(|route| {
            let (bits, end) = (route.prefix.to_bits(), u128::MAX.checked_shr(route.len.into()).unwrap_or(0));
            [bits, bits & !end, bits | end, (bits | end).wrapping_add(1), (bits & !end).wrapping_sub(1)]
        });
        for address in near.chain(others).map(Ipv6Addr::from_bits) {
            prop_assert_eq!(table.lookup(address), oracle(&routes, address), "{}", address);
        }
    }
}
