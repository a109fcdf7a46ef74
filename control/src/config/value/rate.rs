//! Values that are rates: whole numbers, or texts with a unit behind one, as the CNI bandwidth plugin's users write them.

use std::borrow::Cow;

use toml::de::DeValue;

use super::{FromValue, integer};
use crate::desired::{BitRate, Burst, ConnectionRate};

impl FromValue for BitRate {
    fn must_be() -> Cow<'static, str> {
        let (least, most) = (Self::BOUNDS.start(), Self::BOUNDS.end());
        format!("bits a second, from {least} to {most}, such as 64000, \"64k\", \"100M\" or \"2G\"").into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        quantity(value).and_then(Self::new)
    }
}

impl FromValue for Burst {
    fn must_be() -> Cow<'static, str> {
        let (least, most) = (Self::BOUNDS.start(), Self::BOUNDS.end());
        format!("bits, from {least} to {most}, such as 64000, \"64k\", \"10M\" or \"1G\"").into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        quantity(value).and_then(Self::new)
    }
}

impl FromValue for ConnectionRate {
    fn must_be() -> Cow<'static, str> {
        format!("a whole number of connections a second from 1 to {}", u32::MAX).into()
    }

    fn from_value(value: &DeValue<'_>) -> Option<Self> {
        integer(value).and_then(Self::new)
    }
}

/// A whole number, or a text of one with a decimal unit behind it.
fn quantity(value: &DeValue<'_>) -> Option<u64> {
    let Some(text) = value.as_str() else { return integer(value) };
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[unit..] {
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return None,
    };
    text[..unit].parse::<u64>().ok()?.checked_mul(factor)
}
