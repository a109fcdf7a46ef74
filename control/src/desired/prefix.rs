//! A subnet: the addresses that share their first bits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_api::Gateway;

/// An address whose bits past the prefix are zero, and the prefix's length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    /// The subnet around a gateway.
    #[must_use]
    pub fn of(gateway: Gateway) -> Self {
        Self { network: masked(gateway.address(), gateway.prefix_len()), len: gateway.prefix_len() }
    }

    /// The first address.
    #[must_use]
    pub fn network(self) -> IpAddr {
        self.network
    }

    /// How many bits its addresses share; at most 32 or 128.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a prefix's length counts bits; a prefix of none is not empty")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.len) == self.network
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.len.min(other.len);
        let same_family = self.network.is_ipv4() == other.network.is_ipv4();
        same_family && masked(self.network, shorter) == masked(other.network, shorter)
    }

    /// Whether the address can be a station's: not the subnet's first address (the network, in IPv6 the any-router
    /// address) and not its IPv4 broadcast. In subnets of one or two addresses all are stations (RFC 3021, RFC 6164).
    #[must_use]
    pub fn has_host(self, address: IpAddr) -> bool {
        let bits = if self.network.is_ipv4() { 32 } else { 128 };
        self.contains(address)
            && (self.len + 1 >= bits || (address != self.network && Some(address) != self.broadcast()))
    }

    /// The first address that can be a station's.
    #[must_use]
    pub fn first_host(self) -> IpAddr {
        if self.has_host(self.network) {
            return self.network;
        }
        match self.network {
            IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() | 1).into(),
            IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | 1).into(),
        }
    }

    fn broadcast(self) -> Option<IpAddr> {
        match self.network {
            IpAddr::V4(network) => {
                let hosts = u32::MAX.checked_shr(self.len.into()).unwrap_or(0);
                Some(Ipv4Addr::from_bits(network.to_bits() | hosts).into())
            }
            IpAddr::V6(_) => None,
        }
    }
}

fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        Prefix::of(text.parse().unwrap())
    }

    #[test]
    fn bits_past_the_prefix_do_not_count() {
        assert_eq!(prefix("10.1.2.3/16").to_string(), "10.1.0.0/16");
        assert_eq!(prefix("10.1.2.3/0").to_string(), "0.0.0.0/0");
        assert_eq!(prefix("10.1.2.3/32").to_string(), "10.1.2.3/32");
        assert_eq!(prefix("fd00:1::9/64").to_string(), "fd00:1::/64");
        assert_eq!(prefix("fd00:1::9/0").to_string(), "::/0");
    }

    #[test]
    fn families_never_meet() {
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").overlaps(prefix("::/0")));
    }

    #[test]
    fn overlap_is_containment_of_the_shorter() {
        assert!(prefix("10.0.0.0/8").overlaps(prefix("10.9.0.0/16")));
        assert!(prefix("10.9.0.0/16").overlaps(prefix("10.0.0.0/8")));
        assert!(!prefix("10.8.0.0/16").overlaps(prefix("10.9.0.0/16")));
        assert!(prefix("fd00::/8").overlaps(prefix("fd00:1::/64")));
    }

    #[test]
    fn ends_of_a_subnet_are_no_stations() {
        let is_host = |subnet: &str, address: &str| prefix(subnet).has_host(address.parse().unwrap());
        assert!(is_host("10.1.0.0/24", "10.1.0.1"));
        assert!(!is_host("10.1.0.0/24", "10.1.0.0"));
        assert!(!is_host("10.1.0.0/24", "10.1.0.255"));
        assert!(is_host("10.1.0.0/31", "10.1.0.0"));
        assert!(is_host("10.1.0.7/32", "10.1.0.7"));
        assert!(!is_host("fd00::/64", "fd00::"));
        assert!(is_host("fd00::/64", "fd00::ffff:ffff:ffff:ffff"));
        assert!(is_host("fd00::/127", "fd00::"));
        assert!(!is_host("0.0.0.0/0", "255.255.255.255"));
    }
}
