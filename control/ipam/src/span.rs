//! A run of addresses of one family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order addresses are told.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// How many bits its addresses have.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of this number. Numbers come from [`number`], so an IPv4 one fits.
    pub(crate) const fn address(self, number: u128) -> IpAddr {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "it came from an IPv4 address")]
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            Self::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// An address as a number of its family.
pub(crate) const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The addresses from one to another, both included, of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    first: IpAddr,
    last: IpAddr,
}

impl Span {
    /// From `first` to `last`; none where they are of two families or the wrong way round.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (Family::of(first) == Family::of(last) && first <= last).then_some(Self { first, last })
    }

    /// One address.
    #[must_use]
    pub const fn one(address: IpAddr) -> Self {
        Self { first: address, last: address }
    }

    /// The subnet around an address; none where the prefix is too long.
    #[must_use]
    pub fn subnet(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let family = Family::of(address);
        let hosts = u32::from(family.bits().checked_sub(prefix_len)?);
        // A shift by all bits is none in Rust.
        let mask = u128::MAX.checked_shl(hosts).unwrap_or(0);
        let inverse = !mask & (u128::MAX >> (128 - u32::from(family.bits())));
        let network = number(address) & mask;
        Some(Self { first: family.address(network), last: family.address(network | inverse) })
    }

    /// The first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// The last address.
    #[must_use]
    pub const fn last(self) -> IpAddr {
        self.last
    }

    /// The family of all.
    #[must_use]
    pub const fn family(self) -> Family {
        Family::of(self.first)
    }

    /// Whether the address is one of them.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && self.first <= address && address <= self.last
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.contains(other.first) && self.contains(other.last)
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.family() == other.family() && self.first <= other.last && other.first <= self.last
    }

    pub(crate) const fn numbers(self) -> (u128, u128) {
        (number(self.first), number(self.last))
    }
}

/// Not a run of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "must be an address, a subnet such as 10.1.0.0/24 without bits past its prefix, or a first and a last address such as 10.1.0.10-10.1.0.99"
)]
pub struct SpanError;

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let address = |text: &str| text.parse::<IpAddr>().map_err(|_| SpanError);
        if let Some((first, last)) = text.split_once('-') {
            return Self::new(address(first.trim())?, address(last.trim())?).ok_or(SpanError);
        }
        let Some((network, prefix_len)) = text.split_once('/') else { return address(text).map(Self::one) };
        let network = address(network)?;
        let subnet =
            prefix_len.parse().ok().and_then(|prefix_len| Self::subnet(network, prefix_len)).ok_or(SpanError)?;
        // 10.1.0.7/24 is an address in a subnet; which of the two is meant, only its writer knows.
        if subnet.first == network { Ok(subnet) } else { Err(SpanError) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        let (first, last) = self.numbers();
        let hosts = (first ^ last).count_ones();
        #[expect(clippy::cast_possible_truncation, reason = "at most 128 bits")]
        let prefix_len = self.family().bits() - hosts as u8;
        if Self::subnet(self.first, prefix_len) == Some(*self) {
            write!(f, "{}/{prefix_len}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Span {
        text.parse().unwrap()
    }

    #[test]
    fn a_span_reads_what_it_writes() {
        for text in [
            "10.1.0.0/24",
            "10.1.0.10-10.1.0.99",
            "10.1.0.7",
            "0.0.0.0/0",
            "::/0",
            "fd00::/64",
            "fd00::5-fd00::7",
            "fd00::1",
        ] {
            assert_eq!(span(text).to_string(), text);
        }
        assert_eq!(span("10.1.0.0-10.1.0.255").to_string(), "10.1.0.0/24");
        assert_eq!(span("10.1.0.7/32").to_string(), "10.1.0.7");
    }

    #[test]
    fn what_is_no_run_of_addresses_is_refused() {
        for text in [
            "",
            "10.1.0.9-10.1.0.1",
            "10.1.0.1-fd00::1",
            "10.1.0.7/24",
            "10.1.0.0/33",
            "10.1.0.0/",
            "fd00::/129",
            "a-b",
            "10.1.0.1-",
        ] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }

    #[test]
    fn spans_of_two_families_never_meet() {
        assert!(!span("0.0.0.0/0").overlaps(span("::/0")));
        assert!(!span("::/0").contains("10.0.0.1".parse().unwrap()));
        assert!(span("10.1.0.0/24").covers(span("10.1.0.10-10.1.0.99")));
        assert!(!span("10.1.0.10-10.1.0.99").covers(span("10.1.0.0/24")));
    }
}
