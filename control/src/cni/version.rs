//! Versions of the specification: what a configuration may say, and what changed between them as far as it concerns us.

use std::fmt;

use podlane_api::CNI_VERSIONS;

use super::{CniError, code};

/// A version whose configurations are understood and whose results are given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// Results have interfaces, and addresses their family.
    V0_3_0,
    /// The same.
    V0_3_1,
    /// CHECK.
    V0_4_0,
    /// Addresses without their family.
    V1_0_0,
    /// GC, STATUS; MTU, sockets and more in results.
    V1_1_0,
}

impl Version {
    /// All of them, in the order of [`CNI_VERSIONS`].
    pub const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// As configurations write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        CNI_VERSIONS[self as usize]
    }

    /// The version that a configuration says.
    ///
    /// # Errors
    /// Code 1 for any other, and for none.
    pub fn of(said: Option<&str>) -> Result<Self, CniError> {
        let known = CNI_VERSIONS.join(", ");
        let refused = |details| CniError::new(code::VERSION, "incompatible CNI version", details);
        let Some(said) = said else {
            return Err(refused(format!("the configuration has no \"cniVersion\" (write one of {known})")));
        };
        let find = || Self::ALL.into_iter().find(|version| version.as_str() == said);
        find().ok_or_else(|| refused(format!("cniVersion \"{said}\" is not understood (write one of {known})")))
    }

    /// Refuses a verb that this version does not have yet.
    ///
    /// # Errors
    /// Code 1, with the version that has it.
    pub(super) fn allows(self, verb: &str, since: Self) -> Result<(), CniError> {
        if self >= since {
            return Ok(());
        }
        let details = format!("cniVersion {self} has no {verb} (write \"cniVersion\": \"{since}\" or a later one)");
        Err(CniError::new(code::VERSION, "incompatible CNI version", details))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_read_as_it_is_written_and_they_are_in_order() {
        for (version, written) in Version::ALL.into_iter().zip(CNI_VERSIONS) {
            assert_eq!((Version::of(Some(written)), version.as_str()), (Ok(version), written));
        }
        assert!(Version::ALL.is_sorted());
    }

    #[test]
    fn another_version_is_refused_with_those_there_are() {
        for said in [None, Some("0.1.0"), Some("0.2.0"), Some("1.1"), Some("2.0.0"), Some("")] {
            let error = Version::of(said).unwrap_err();
            assert_eq!(error.code, 1, "{said:?}");
            assert!(error.details.contains("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{error}");
        }
    }

    #[test]
    fn verbs_are_refused_before_their_version() {
        assert!(Version::V0_3_1.allows("CHECK", Version::V0_4_0).is_err());
        assert!(Version::V0_4_0.allows("CHECK", Version::V0_4_0).is_ok());
        let error = Version::V1_0_0.allows("GC", Version::V1_1_0).unwrap_err();
        assert_eq!((error.code, error.details.contains("1.1.0")), (1, true), "{error}");
    }
}
