//! Ethernet addresses. IP addresses are `core::net`'s, which say all that is needed.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A 48-bit Ethernet address, in the order of the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, which no station may use as a source.
    pub const UNSPECIFIED: Self = Self([0; 6]);

    /// The six bytes, in the order of the wire.
    #[inline]
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether this is the broadcast address.
    #[inline]
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// Whether the group bit is set; broadcast is a group too.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station may use this as its own: neither a group nor all zeros.
    #[inline]
    #[must_use]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self != Self::UNSPECIFIED
    }

    /// Whether the address was chosen locally and not bought from the IEEE.
    #[inline]
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// The group address of an IPv4 multicast address: its low 23 bits (RFC 1112, section 6.4).
    #[inline]
    #[must_use]
    pub const fn of_ipv4_multicast(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The group address of an IPv6 multicast address: its low 32 bits (RFC 2464, section 7).
    #[inline]
    #[must_use]
    pub const fn of_ipv6_multicast(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The link-local IPv6 address formed from this address (modified EUI-64, RFC 4291, appendix A).
    #[must_use]
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl From<[u8; 6]> for MacAddr {
    #[inline]
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMacAddr;

impl fmt::Display for BadMacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an Ethernet address: write six two-digit hexadecimal bytes joined by colons, as in 02:00:5e:10:00:01",
        )
    }
}

impl core::error::Error for BadMacAddr {}

impl FromStr for MacAddr {
    type Err = BadMacAddr;

    fn from_str(text: &str) -> Result<Self, BadMacAddr> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(BadMacAddr)?;
            let digits = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            if part.len() != 2 || !digits {
                return Err(BadMacAddr);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| BadMacAddr)?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(BadMacAddr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_round_trips_and_nonsense_is_refused() {
        let address = MacAddr([0x02, 0, 0x5e, 0x10, 0xff, 0x01]);
        assert_eq!(address.to_string(), "02:00:5e:10:ff:01");
        assert_eq!("02:00:5E:10:FF:01".parse(), Ok(address));
        for text in [
            "",
            "02",
            "02:00:5e:10:ff",
            "02:00:5e:10:ff:01:",
            "2:0:5e:10:ff:1",
            "02:00:5e:10:ff:+1",
            "02-00-5e-10-ff-01",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(BadMacAddr), "{text}");
        }
    }

    #[test]
    fn groups_and_link_local_follow_the_rfcs() {
        let group = Ipv4Addr::new(239, 255, 0, 251);
        assert_eq!(MacAddr::of_ipv4_multicast(group), MacAddr([1, 0, 0x5e, 0x7f, 0, 251]));
        let nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x1234);
        assert_eq!(MacAddr::of_ipv6_multicast(nodes), MacAddr([0x33, 0x33, 0xff, 0, 0x12, 0x34]));
        let station = MacAddr([0x52, 0x54, 0, 0xaa, 0xbb, 0xcc]);
        assert_eq!(station.link_local().to_string(), "fe80::5054:ff:feaa:bbcc");
    }

    #[test]
    fn kinds_are_told_apart() {
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_multicast());
        assert!(!MacAddr::UNSPECIFIED.is_unicast());
        assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_unicast() && MacAddr([2, 0, 0, 0, 0, 1]).is_local());
    }
}
