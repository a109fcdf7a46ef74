//! What runtimes write in JSON where there is nothing.

use serde::{Deserialize, Deserializer};

/// Go and Podman write an empty map or slice as null.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Go, and some versions of Podman, write a text that is not there as an empty one.
pub(crate) fn unless_empty<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: Option<String> = Option::deserialize(from)?;
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}
