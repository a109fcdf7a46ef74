//! What a candidate set of policies would change; it is tried against pods without being applied.

use serde::{Deserialize, Serialize};

use crate::PolicyFinding;

/// What candidate policies would change.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Whether any connection would be decided otherwise.
    pub changed: bool,
    /// The policies that would be new.
    pub added: Vec<String>,
    /// The policies that would take the place of others.
    pub replaced: Vec<String>,
    /// Connections that would be decided otherwise.
    pub differences: Vec<PolicyDifference>,
    /// How many more differences there are than are listed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
    /// What the candidate probably does not mean; from files it is told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PolicyFinding>,
}

/// Connections to one end that the same rules decide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyDifference {
    /// Who opens.
    pub from: PolicyEnds,
    /// Who is opened to.
    pub to: PolicyEnds,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// To which ports.
    pub ports: Vec<PortRange>,
    /// What is decided now.
    pub before: PolicyDecision,
    /// What would be.
    pub after: PolicyDecision,
}

/// Pods, and addresses that are no pod's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PolicyEnds {
    /// The pods.
    pub pods: Vec<String>,
    /// The prefixes: of each what is no pod's and in no longer prefix of a policy.
    pub prefixes: Vec<String>,
    /// How many more of both there are than are listed.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
}

/// Destination ports of one protocol.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PortRange {
    /// `TCP`, `UDP`, `SCTP`, or `other` for all that has no ports.
    pub protocol: String,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// A decision, by the names of its rules.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyDecision {
    /// Whether the connection may be opened.
    pub allowed: bool,
    /// The rule at the pod that opens; absent where that is no pod that policies are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// The rule at the pod that is opened to; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// Where it is denied: `egress`, `ingress` or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_at: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}
