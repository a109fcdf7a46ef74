//! Policies that are enforced: applied, deleted and listed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Objects to apply or to delete: pods, namespaces and network policies. All of them, or none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifests {
    /// The files they stand in.
    pub files: Vec<Manifest>,
    /// Whether the answer waits until the change is in force in every worker.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// Kubernetes YAML, and what to call it in messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The file it is from.
    #[serde(default)]
    pub from: String,
    /// The YAML.
    pub yaml: String,
}

fn yes() -> bool {
    true
}

/// Something of a file that is wrong, or probably not meant. Displayed `FILE:LINE: OBJECT: what`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyFinding {
    /// The file; empty where it is about none.
    pub file: String,
    /// The line, counted from 1; 0 where it is about no file.
    pub line: u64,
    /// The object, as `Kind namespace/name`; empty outside any.
    pub object: String,
    /// What, and what to do.
    pub what: String,
}

impl fmt::Display for PolicyFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, object, what } = self;
        if !file.is_empty() {
            write!(f, "{file}:{line}: ")?;
        }
        if !object.is_empty() {
            write!(f, "{object}: ")?;
        }
        f.write_str(what)
    }
}

/// What was applied or deleted.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct PolicyApplied {
    /// The objects, as `Kind namespace/name`, in the order of the files.
    pub objects: Vec<String>,
    /// What of them is probably not meant.
    pub warnings: Vec<PolicyFinding>,
    /// Whether it was in force in every worker when this was answered.
    pub in_force: bool,
}

/// The policies in force.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Policies {
    /// How many pods there are, of this node and of others.
    pub pods: u64,
    /// How many namespaces were declared.
    pub namespaces: u64,
    /// Classes of pods that the same policies select.
    pub classes: u64,
    /// Classes of peers that no rule can tell apart.
    pub identities: u64,
    /// Pods behind ports of which nothing is known, so that nothing passes there.
    pub unknown_pods: Vec<String>,
    /// By kind and name.
    pub policies: Vec<PolicyEntry>,
}

/// A policy in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Its kind, such as `NetworkPolicy`.
    pub kind: String,
    /// Its namespace, if its kind has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: String,
    /// Its rank within the tier, lower first.
    pub priority: u16,
    /// How many pods it selects now.
    pub pods: u64,
    /// The file it is from.
    pub file: String,
    /// The line there, counted from 1.
    pub line: u64,
}
