//! Names of things of Podlane's, and of the kernel's netdevs.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name of a network, port, VRF or instance: 1 to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or a
/// digit. So it fits a table, a path below bpffs and a shell without quoting. A copy is cheap: a snapshot of
/// what is desired holds all of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 63;

    /// The name, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        (first && text.len() <= Self::MAX && text.bytes().all(inner)).then(|| Self(text.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    /// `default`: what a daemon is called that is the only one.
    fn default() -> Self {
        Self("default".into())
    }
}

/// A netdev's name: 1 to 15 bytes without `/`, `:` and white space, and neither `.` nor `..` (the kernel's
/// `dev_valid_name`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceName(Box<str>);

impl DeviceName {
    /// The longest name, in bytes: `IFNAMSIZ` with its final zero.
    pub const MAX: usize = 15;

    /// The name, if the kernel would take it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let refused = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '\0');
        let fits = (1..=Self::MAX).contains(&text.len());
        (fits && text != "." && text != ".." && !text.contains(refused)).then(|| Self(text.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_path_and_a_shell() {
        for good in ["blue", "7", "tenant-a.web_1", &"x".repeat(63)] {
            assert!(Name::new(good).is_some(), "{good}");
        }
        for bad in ["", "..", "-x", "a/b", "a b", "bläu", &"x".repeat(64)] {
            assert!(Name::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn device_names_are_what_the_kernel_takes() {
        for good in ["eth0", "veth-red", "a.100", "x@y", "123456789012345"] {
            assert!(DeviceName::new(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "eth0:1", "1234567890123456"] {
            assert!(DeviceName::new(bad).is_none(), "{bad}");
        }
    }
}
