//! Tables of routes, and addresses to be looked up in them.

use core::net::{Ipv4Addr, Ipv6Addr};

use podlane_dataplane::tables::lpm::{Lpm4, Lpm6, Route};

use crate::packets::Random;

/// Addresses looked up over and over: more than the first-level cache has room for.
pub const ADDRESSES: usize = 1 << 16;

/// Routes as the Internet has them: most of 24 bits, some shorter; and addresses, every other one inside of one.
///
/// # Panics
/// If there are more routes than a table takes, which the Internet is far from.
#[must_use]
pub fn ipv4(count: usize) -> (Lpm4, Vec<Ipv4Addr>) {
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
///
/// # Panics
/// As [`ipv4`].
#[must_use]
pub fn ipv6(count: usize) -> (Lpm6, Vec<Ipv6Addr>) {
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
