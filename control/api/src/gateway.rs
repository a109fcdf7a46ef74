//! A gateway as people and JSON write it: an address and the subnet around it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address with the length of its subnet's prefix; in text `10.1.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Gateway {
    address: IpAddr,
    prefix_len: u8,
}

/// The text is no address with a prefix length.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{text}\" is not an address with its prefix length (write it as in 10.1.0.1/24 or fd00:1::1/64)")]
pub struct BadGateway {
    /// What was written.
    pub text: String,
}

impl Gateway {
    /// The address and the length of its prefix in bits; none when the family has no prefix that long.
    #[must_use]
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix_len <= bits).then_some(Self { address, prefix_len })
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The length of the subnet's prefix, in bits.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Gateway {
    type Err = BadGateway;

    fn from_str(text: &str) -> Result<Self, BadGateway> {
        split(text).ok_or_else(|| BadGateway { text: text.to_owned() })
    }
}

fn split(text: &str) -> Option<Gateway> {
    let (address, length) = text.split_once('/')?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Gateway::new(address.parse().ok()?, length.parse().ok()?)
}

impl From<Gateway> for String {
    fn from(gateway: Gateway) -> Self {
        gateway.to_string()
    }
}

impl TryFrom<String> for Gateway {
    type Error = BadGateway;

    fn try_from(text: String) -> Result<Self, BadGateway> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_the_same_gateway() {
        for text in ["10.1.0.1/24", "0.0.0.0/0", "10.1.0.1/32", "fd00:1::1/64", "fd00::1/128"] {
            assert_eq!(text.parse::<Gateway>().unwrap().to_string(), text);
        }
        for text in ["10.1.0.1", "10.1.0.1/", "10.1.0.1/33", "fd00::1/129", "10.1.0/24", "10.1.0.1/+4", "10.1.0.1/24/8"]
        {
            assert!(text.parse::<Gateway>().is_err(), "{text}");
        }
    }
}
