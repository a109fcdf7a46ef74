//! What a value about offload must be.

use std::borrow::Cow;

use toml::de::DeValue;

use super::{FromValue, Word, between, integer};
use crate::desired::{Eviction, Fields, Offload};

impl FromValue for Offload {
    fn must_be() -> Cow<'static, str> {
        // Named, because who has read of them looks for them.
        "\"none\" or \"emulated\" (\"kernel\" and \"tc-flower\" are not there yet)".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        match value.as_str()? {
            "none" => Some(Self::None),
            "emulated" => Some(Self::Emulated),
            _ => None,
        }
    }

    fn words() -> &'static [&'static str] {
        &["none", "emulated"]
    }
}

impl Word for Eviction {
    const WORDS: &'static [&'static str] = &["none", "least-recently-used", "random"];
    const VALUES: &'static [Self] = &[Self::None, Self::LeastRecentlyUsed, Self::Random];
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Family {
    Ipv4,
    Ipv6,
}

impl Word for Family {
    const WORDS: &'static [&'static str] = &["ipv4", "ipv6"];
    const VALUES: &'static [Self] = &[Self::Ipv4, Self::Ipv6];
}

/// A protocol over IP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

impl Word for Protocol {
    const WORDS: &'static [&'static str] = &["tcp", "udp", "sctp", "icmp"];
    const VALUES: &'static [Self] = &[Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp];
}

/// Fields that flows can be told apart by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Field(pub(in crate::config) Fields);

impl Word for Field {
    const WORDS: &'static [&'static str] = &["macs", "addresses", "ports"];
    const VALUES: &'static [Self] = &[Self(Fields::MACS), Self(Fields::ADDRESSES), Self(Fields::PORTS)];
}

/// How many flows fit.
pub(in crate::config) struct Capacity(pub(in crate::config) usize);

impl FromValue for Capacity {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of flows", 1..=1 << 20)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).filter(|flows| (1..=1 << 20).contains(flows)).map(Self)
    }
}

/// Insertions a second.
pub(in crate::config) struct Insertions(pub(in crate::config) u32);

impl FromValue for Insertions {
    fn must_be() -> Cow<'static, str> {
        "a whole number a second, 0 for no bound".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).map(Self)
    }
}

/// Milliseconds from an insertion to the first packet that is carried.
pub(in crate::config) struct Latency(pub(in crate::config) u32);

impl FromValue for Latency {
    fn must_be() -> Cow<'static, str> {
        between("a whole number of milliseconds", 0..=60_000)
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).filter(|latency| *latency <= 60_000).map(Self)
    }
}

/// Every so many.
pub(in crate::config) struct Every(pub(in crate::config) u32);

impl FromValue for Every {
    fn must_be() -> Cow<'static, str> {
        "a whole number, 0 for none".into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).map(Self)
    }
}
