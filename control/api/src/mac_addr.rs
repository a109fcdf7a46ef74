//! A MAC address as people and JSON write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 48-bit MAC address; in text six hexadecimal octets with colons, lower case: `02:00:00:00:01:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

/// The text is not a MAC address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{text}\" is not a MAC address (write six octets, such as 02:00:00:00:01:01)")]
pub struct BadMacAddr {
    /// What was written.
    pub text: String,
}

impl MacAddr {
    /// Whether it names one station (the group bit is clear) and is not all zero.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = BadMacAddr;

    fn from_str(text: &str) -> Result<Self, BadMacAddr> {
        octets(text).map(Self).ok_or_else(|| BadMacAddr { text: text.to_owned() })
    }
}

fn octets(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split(':');
    let mut mac = [0; 6];
    for octet in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddr {
    type Error = BadMacAddr;

    fn try_from(text: String) -> Result<Self, BadMacAddr> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_octets_are_the_same_address() {
        let mac = MacAddr([0x02, 0, 0xab, 0, 1, 0xff]);
        assert_eq!(mac.to_string(), "02:00:ab:00:01:ff");
        assert_eq!("02:00:AB:00:01:ff".parse(), Ok(mac));
        assert_eq!(serde_json::to_string(&mac).unwrap(), "\"02:00:ab:00:01:ff\"");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "02:00:00:00:01", "02:00:00:00:01:01:01", "2:0:0:0:1:1", "02-00-00-00-01-01", "+2:00:00:00:01:01"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
        assert!(!MacAddr([0x01, 0, 0x5e, 0, 0, 1]).is_unicast());
        assert!(!MacAddr([0; 6]).is_unicast());
    }
}
