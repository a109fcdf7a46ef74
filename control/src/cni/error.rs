//! Errors in the specification's form. Which code means what to a runtime is in `docs/operating.md`.

use podlane_api::Refusal;

/// The codes that are given. Below 100 they are the specification's.
pub mod code {
    /// The configuration is of a version that is not understood, or that does not have the verb.
    pub const VERSION: u32 = 1;
    /// The configuration asks for something that its version has no words for.
    pub const UNSUPPORTED: u32 = 2;
    /// The container is not there, or nothing is attached to it: there is nothing to be cleaned up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or means nothing.
    pub const ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const INPUT_OUTPUT: u32 = 5;
    /// What came is no JSON, or none of the expected shape.
    pub const DECODE: u32 = 6;
    /// The configuration is wrong.
    pub const CONFIGURATION: u32 = 7;
    /// Nothing is wrong with the call: it may be carried out later.
    pub const TRY_AGAIN: u32 = 11;
    /// To STATUS: ADD would fail.
    pub const NOT_AVAILABLE: u32 = 50;
    /// To STATUS: ADD would fail, and pods that are attached are cut off, too.
    pub const CUT_OFF: u32 = 51;
    /// CHECK found it other than promised.
    pub const DIFFERS: u32 = 101;
    /// No address is to be had, or not the wished one.
    pub const ADDRESSES: u32 = 102;
    /// The IPAM plugin failed.
    pub const IPAM_PLUGIN: u32 = 103;
    /// A step in the kernel failed.
    pub const KERNEL: u32 = 104;
    /// The switch did not take the port.
    pub const SWITCH: u32 = 105;
    /// The same container has the interface already, on other terms.
    pub const ATTACHED: u32 = 106;
}

/// Why a call was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{msg}: {details}")]
pub struct CniError {
    /// One of [`code`].
    pub code: u32,
    /// What is wrong, in short.
    pub msg: &'static str,
    /// The object, and what to do.
    pub details: String,
}

impl CniError {
    pub(super) fn new(code: u32, msg: &'static str, details: impl Into<String>) -> Self {
        Self { code, msg, details: details.into() }
    }

    /// The configuration is wrong.
    pub(super) fn configuration(details: impl Into<String>) -> Self {
        Self::new(code::CONFIGURATION, "invalid network configuration", details)
    }

    /// The environment is.
    pub(super) fn environment(details: impl Into<String>) -> Self {
        Self::new(code::ENVIRONMENT, "invalid environment", details)
    }

    /// Something is not of the shape that it should have.
    pub(super) fn decode(what: &str, error: impl std::fmt::Display) -> Self {
        let details = format!("{what}: {error} (write it as the CNI specification has it)");
        Self::new(code::DECODE, "it cannot be decoded", details)
    }
}

impl From<CniError> for Refusal {
    fn from(CniError { code, msg, details }: CniError) -> Self {
        Self::Cni { code, msg: msg.to_owned(), details }
    }
}
