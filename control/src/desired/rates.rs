//! How much the pod behind a port may send, receive and open a second, in the terms of the CNI bandwidth plugin: bits a second, and bits at once.
//!
//! Ingress is what the pod receives, egress what it sends. Bits are those of whole frames, the Ethernet header included.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;

use super::Mtu;

/// Bits a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BitRate(NonZeroU64);

/// Bits at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Burst(u64);

/// Connections a second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionRate(NonZeroU32);

/// So many bits a second, and so many at once after silence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bandwidth {
    /// In the long run.
    pub rate: BitRate,
    /// At once.
    pub burst: Burst,
}

/// What the pod behind a port may; each is unlimited where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rates {
    /// What it receives.
    pub ingress: Option<Bandwidth>,
    /// What it sends.
    pub egress: Option<Bandwidth>,
    /// New connections that it opens.
    pub new_connections: Option<ConnectionRate>,
}

impl BitRate {
    /// The least and the most.
    pub const BOUNDS: RangeInclusive<u64> = 1..=1_000_000_000_000;

    /// So many bits a second, if that is within the bounds.
    #[must_use]
    pub const fn new(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(rate) if bits <= *Self::BOUNDS.end() => Some(Self(rate)),
            _ => None,
        }
    }

    /// Bits a second.
    #[must_use]
    pub const fn get(self) -> NonZeroU64 {
        self.0
    }
}

impl Burst {
    /// The least and the most.
    pub const BOUNDS: RangeInclusive<u64> = 1..=1_000_000_000_000;

    /// So many bits, if that is within the bounds.
    #[must_use]
    pub const fn new(bits: u64) -> Option<Self> {
        if bits >= *Self::BOUNDS.start() && bits <= *Self::BOUNDS.end() { Some(Self(bits)) } else { None }
    }

    /// The least burst with which a rate can be kept: one packet, with its Ethernet header and a tag; and two milliseconds of the rate, since the
    /// workers' clock counts in milliseconds.
    #[must_use]
    pub fn least_of(rate: BitRate, mtu: Mtu) -> Self {
        const LINK: u64 = 14 + 4;
        Self(((u64::from(mtu.get()) + LINK) * 8).max(rate.get().get().div_ceil(500)))
    }

    /// Bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl ConnectionRate {
    /// So many connections a second; none for 0.
    #[must_use]
    pub const fn new(connections: u32) -> Option<Self> {
        match NonZeroU32::new(connections) {
            Some(rate) => Some(Self(rate)),
            None => None,
        }
    }

    /// Connections a second.
    #[must_use]
    pub const fn get(self) -> NonZeroU32 {
        self.0
    }
}

impl From<Rates> for podlane_api::Rates {
    fn from(rates: Rates) -> Self {
        let bandwidth = |of: Bandwidth| podlane_api::Bandwidth { rate: of.rate.get().get(), burst: of.burst.get() };
        Self {
            ingress: rates.ingress.map(bandwidth),
            egress: rates.egress.map(bandwidth),
            new_connections: rates.new_connections.map(|rate| rate.get().get()),
        }
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_with_two_milliseconds_of_it_or_one_packet() {
        let of = |bits, mtu| Burst::least_of(BitRate::new(bits).unwrap(), Mtu::new(mtu).unwrap()).get();
        assert_eq!(of(1_000_000, 1_500), 12_144);
        assert_eq!(of(1_000_000, 9_000), 72_144);
        assert_eq!(of(1_000_000_000, 9_000), 2_000_000);
    }
}
