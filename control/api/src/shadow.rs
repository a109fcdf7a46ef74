//! A candidate set of policies that is judged beside the live one, on real traffic; only the live one decides.

use serde::{Deserialize, Serialize};

use crate::{Opening, PolicyFinding};

/// Which shadow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowQuery {
    /// Its number, as it was given when it began.
    pub shadow: u64,
}

/// What a shadow has seen so far.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shadow {
    /// Its number.
    pub shadow: u64,
    /// Milliseconds since it began.
    pub age_ms: u64,
    /// Not asked about for so many milliseconds, it ends by itself.
    pub lease_ms: u64,
    /// The policies of the candidate that are new.
    pub added: Vec<String>,
    /// The policies of the candidate that stand in place of others.
    pub replaced: Vec<String>,
    /// Verdicts that both have given: one for each connection that is opened or is there already, and one more after each change
    /// of the policy.
    pub judged: u64,
    /// Those of them that differ.
    pub different: u64,
    /// Those of these that are in none of [`Self::differences`], since so many pairs of rules were not expected.
    pub unlisted: u64,
    /// The differences, the most frequent first.
    pub differences: Vec<ShadowDifference>,
    /// What the candidate probably does not mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyFinding>,
}

/// Verdicts that one rule gave, and another rule of the candidate would have given otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShadowDifference {
    /// How many.
    pub count: u64,
    /// What was decided.
    pub live: ShadowVerdict,
    /// What the candidate would have decided.
    pub candidate: ShadowVerdict,
    /// The last of them; none where it was being written.
    pub last: Option<Opening>,
}

/// A verdict by the name of its rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShadowVerdict {
    /// Whether the connection may be opened.
    pub allowed: bool,
    /// By which rule.
    pub rule: String,
}
