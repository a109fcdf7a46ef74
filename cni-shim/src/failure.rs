//! An error of the specification's form, with the codes that this program gives by itself. The daemon's own pass through.

use serde_json::{Value, json};

/// Why a call was not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The specification's code, or one from 100.
    pub(crate) code: u32,
    /// What is wrong, in short.
    pub(crate) msg: String,
    /// The object, and what to do.
    pub(crate) details: String,
}

/// An environment variable is missing, or means nothing.
pub(crate) const ENVIRONMENT: u32 = 4;
/// Input or output failed.
pub(crate) const INPUT: u32 = 5;
/// The configuration is no JSON object.
pub(crate) const DECODE: u32 = 6;
/// Nothing is wrong with the call: the same may be carried out later.
pub(crate) const TRY_AGAIN: u32 = 11;
/// The answer to STATUS when ADD would not be carried out.
pub(crate) const NOT_AVAILABLE: u32 = 50;
/// The daemon refused in words that are not CNI's: it is of another release, or configured to attach nothing.
pub(crate) const REFUSED: u32 = 100;

impl Failure {
    pub(crate) fn new(code: u32, msg: &str, details: impl Into<String>) -> Self {
        Self { code, msg: msg.to_owned(), details: details.into() }
    }

    /// As the specification has it, in the version of the caller's configuration.
    pub(crate) fn document(&self, version: &str) -> Value {
        json!({ "cniVersion": version, "code": self.code, "msg": self.msg, "details": self.details })
    }
}
