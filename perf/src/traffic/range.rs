//! Ranges of field values, and the place in all of them that a flow stands for.
//!
//! The ranges of a template are the digits of a number: the first range counts fastest, and a step of it past its end carries into the
//! next. So the flows of a template are numbered from zero to the product of all ranges, and any of them can be named without the ones
//! before it. The sender walks them one by one, which costs an increment where naming each anew would cost a division a range.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use podlane_wire::MacAddr;
use thiserror::Error;

/// Why a range was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RangeError {
    /// An end of it is no value.
    #[error("`{text}` is no {what}; give one, or two with a hyphen between them")]
    Value {
        /// What was given.
        text: String,
        /// What it should be.
        what: &'static str,
    },
    /// It ends before it begins.
    #[error("{text} ends before it begins; give the lower value first")]
    Backwards {
        /// What was given.
        text: String,
    },
    /// Its ends are of two families, or of two IPv6 networks.
    #[error("{text} reaches over more than one /64, or over two families; keep both ends in one")]
    TooWide {
        /// What was given.
        text: String,
    },
}

/// What a range may be of.
pub trait Countable: Copy + FromStr + Display {
    /// What to call it in a message.
    const WHAT: &'static str;

    /// The part of it that counts, as a number.
    fn number(self) -> u64;

    /// Whether a count can lead from this to another.
    fn same_kind(self, other: Self) -> bool {
        let _ = other;
        true
    }
}

impl Countable for u16 {
    const WHAT: &'static str = "number from 0 to 65535";

    fn number(self) -> u64 {
        self.into()
    }
}

impl Countable for u32 {
    const WHAT: &'static str = "number";

    fn number(self) -> u64 {
        self.into()
    }
}

impl Countable for MacAddr {
    const WHAT: &'static str = "MAC address";

    fn number(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl Countable for IpAddr {
    const WHAT: &'static str = "IP address";

    /// Of an IPv6 address the lower half: nobody counts past it.
    fn number(self) -> u64 {
        match self {
            Self::V4(address) => address.to_bits().into(),
            Self::V6(address) => address.to_bits() as u64,
        }
    }

    fn same_kind(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(_), Self::V4(_)) => true,
            (Self::V6(first), Self::V6(last)) => first.to_bits() >> 64 == last.to_bits() >> 64,
            _ => false,
        }
    }
}

/// All values from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    /// The first.
    pub first: T,
    /// The last, which belongs to it.
    pub last: T,
}

impl<T: Countable> Range<T> {
    /// A range of one value.
    #[must_use]
    pub const fn of(value: T) -> Self {
        Self { first: value, last: value }
    }

    /// How many values it has; at least one.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.last.number() - self.first.number()).saturating_add(1)
    }
}

impl<T: Countable> FromStr for Range<T> {
    type Err = RangeError;

    /// `first-last`, or one value.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let value = |text: &str| {
            let text = text.trim();
            text.parse::<T>().map_err(|_| RangeError::Value { text: text.to_owned(), what: T::WHAT })
        };
        let (first, last) = (value(first)?, value(last)?);
        if !first.same_kind(last) {
            return Err(RangeError::TooWide { text: text.to_owned() });
        }
        if first.number() > last.number() {
            return Err(RangeError::Backwards { text: text.to_owned() });
        }
        Ok(Self { first, last })
    }
}

impl<T: Countable> Display for Range<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.count() == 1 {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl From<Ipv4Addr> for Range<IpAddr> {
    fn from(address: Ipv4Addr) -> Self {
        Self::of(IpAddr::V4(address))
    }
}

impl From<Ipv6Addr> for Range<IpAddr> {
    fn from(address: Ipv6Addr) -> Self {
        Self::of(IpAddr::V6(address))
    }
}

/// How many values each range of a template has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    counts: Vec<u64>,
    flows: u64,
}

impl Ranges {
    /// Ranges of these many values, the fastest first, of which the first `limit` flows are sent; all without a limit.
    #[must_use]
    pub fn new(counts: Vec<u64>, limit: Option<u64>) -> Self {
        let product = counts.iter().fold(1_u64, |product, count| product.saturating_mul(*count));
        Self { flows: product.min(limit.unwrap_or(u64::MAX)).max(1), counts }
    }

    /// Different flows.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// The place of one flow: how far each range is from its first value.
    #[must_use]
    pub fn place(&self, flow: u64) -> Vec<u64> {
        let mut rest = flow % self.flows;
        let digit = |count: &u64| {
            let digit = rest % count;
            rest /= count;
            digit
        };
        self.counts.iter().map(digit).collect()
    }

    /// A walk over all flows, again and again.
    #[must_use]
    pub fn walk(&self) -> Walk {
        Walk { flow: 0, place: vec![0; self.counts.len()] }
    }
}

/// Where a walk over the flows stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    flow: u64,
    place: Vec<u64>,
}

impl Walk {
    /// The flow's number.
    #[inline]
    #[must_use]
    pub fn flow(&self) -> u64 {
        self.flow
    }

    /// How far each range is from its first value.
    #[inline]
    #[must_use]
    pub fn place(&self) -> &[u64] {
        &self.place
    }

    /// Goes to the next flow; after the last comes the first.
    #[inline]
    pub fn step(&mut self, ranges: &Ranges) {
        self.flow += 1;
        if self.flow == ranges.flows {
            self.flow = 0;
            self.place.fill(0);
            return;
        }
        for (digit, count) in self.place.iter_mut().zip(&ranges.counts) {
            *digit += 1;
            if *digit < *count {
                return;
            }
            *digit = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: Countable + std::fmt::Debug>(text: &str) -> String {
        text.parse::<Range<T>>().unwrap_err().to_string()
    }

    #[test]
    fn a_range_is_one_value_or_two_with_a_hyphen() {
        let ports: Range<u16> = "1024-65535".parse().unwrap();
        assert_eq!((ports.count(), ports.to_string().as_str()), (64_512, "1024-65535"));
        let one: Range<IpAddr> = "10.0.0.1".parse().unwrap();
        assert_eq!((one.count(), one.to_string().as_str()), (1, "10.0.0.1"));
        let addresses: Range<IpAddr> = "fd00::1 - fd00::1:0".parse().unwrap();
        assert_eq!(addresses.count(), 65_536);
        let stations: Range<MacAddr> = "02:00:00:00:00:fe-02:00:00:00:01:01".parse().unwrap();
        assert_eq!(stations.count(), 4);
    }

    #[test]
    fn a_wrong_range_says_what_is_wrong_with_it() {
        assert_eq!(
            refused::<u16>("1-65536"),
            "`65536` is no number from 0 to 65535; give one, or two with a hyphen between them"
        );
        assert_eq!(refused::<u16>("9-8"), "9-8 ends before it begins; give the lower value first");
        for text in ["10.0.0.1-fd00::1", "fd00::1-fd01::1"] {
            assert_eq!(
                refused::<IpAddr>(text),
                format!("{text} reaches over more than one /64, or over two families; keep both ends in one")
            );
        }
    }

    #[test]
    fn a_walk_meets_every_flow_once_and_at_the_place_its_number_names() {
        for limit in [None, Some(17), Some(60), Some(1)] {
            let ranges = Ranges::new(vec![3, 1, 4, 5], limit);
            let mut walk = ranges.walk();
            let mut met = std::collections::HashSet::new();
            for number in 0..3 * ranges.flows() {
                assert_eq!(walk.flow(), number % ranges.flows());
                assert_eq!(walk.place(), ranges.place(number), "flow {number}");
                met.insert(walk.place().to_vec());
                walk.step(&ranges);
            }
            assert_eq!(met.len() as u64, ranges.flows());
        }
        assert_eq!(Ranges::new(vec![3, 1, 4, 5], None).flows(), 60);
    }

    #[test]
    fn ranges_too_wide_to_multiply_are_still_walked() {
        let ranges = Ranges::new(vec![u64::MAX, 1 << 40], None);
        assert_eq!((ranges.flows(), ranges.place(u64::MAX - 1)), (u64::MAX, vec![u64::MAX - 1, 0]));
    }
}
