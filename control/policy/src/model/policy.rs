//! Policies of every kind in one shape.
//!
//! A NetworkPolicy and a ClusterNetworkPolicy differ in three things, which are fields here: the tier, whether being selected
//! isolates, and what a rule may do. The rest, subjects, peers and ports, is shared.

use std::fmt;
use std::sync::Arc;

use super::{Prefix, Protocol, Selector};

/// The highest number a priority may have; 0 comes first.
pub const MAX_PRIORITY: u16 = 1000;

/// Which way a connection is opened, seen from the pod that a policy selects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ingress { "ingress" } else { "egress" })
    }
}

/// The tiers in the order in which they decide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    /// Cluster policies nobody can override.
    Admin,
    /// NetworkPolicy: rules add up, and to be selected isolates.
    NetworkPolicy,
    /// Cluster policies for pods that no NetworkPolicy isolates.
    Baseline,
}

impl Tier {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Admin, Self::NetworkPolicy, Self::Baseline];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "Admin",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Baseline => "Baseline",
        })
    }
}

/// What a policy was written as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`: its predecessor for the Admin tier.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`: its predecessor for the Baseline tier.
    BaselineAdminNetworkPolicy,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkPolicy => "NetworkPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::AdminNetworkPolicy => "AdminNetworkPolicy",
            Self::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
        })
    }
}

/// A policy by name. Displayed `Kind namespace/name`, or `Kind name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyName {
    /// What it was written as.
    pub kind: PolicyKind,
    /// Its namespace, if its kind has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A policy.
///
/// ```text
/// tier, priority -> subject -> [rule: peers AND ports -> action], first match within a tier
/// ```
///
/// Within NetworkPolicy all rules accept, so their order says nothing. Cluster policies of one tier and priority are tried
/// in the order of their names, where Kubernetes leaves the choice open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Its tier.
    pub tier: Tier,
    /// Its rank within the tier, lower first. A BaselineAdminNetworkPolicy has none of its own and comes after all others.
    pub priority: u16,
    /// The pods it is about. Pods on their node's network are never among them.
    pub subject: PodsOf,
    /// Rules for connections to the subject; [`None`] if it says nothing about them.
    pub ingress: Option<Arc<[Rule]>>,
    /// Rules for connections from the subject; [`None`] if it says nothing about them.
    pub egress: Option<Arc<[Rule]>>,
}

impl Policy {
    /// The rules of one direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[Rule] {
        let rules = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        rules.as_deref().unwrap_or_default()
    }

    /// Whether a pod it selects is closed in this direction but for what rules accept.
    #[must_use]
    pub fn isolates(&self, direction: Direction) -> bool {
        let says = match direction {
            Direction::Ingress => self.ingress.is_some(),
            Direction::Egress => self.egress.is_some(),
        };
        says && self.tier == Tier::NetworkPolicy
    }

    /// What policies are sorted by to be tried in order.
    #[must_use]
    pub fn rank(&self) -> (Tier, u16, &PolicyName) {
        (self.tier, self.priority, &self.name)
    }
}

/// A set of pods by namespace and label.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodsOf {
    /// In which namespaces.
    pub namespaces: Scope,
    /// Which pods there.
    pub pods: Selector,
}

/// A set of namespaces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// This one.
    Named(String),
    /// Those that match.
    Selected(Selector),
}

/// One rule: it matches if one of the peers and one of the ports do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it does.
    pub action: Action,
    /// The other ends; [`None`] is everybody.
    pub peers: Option<Vec<Peer>>,
    /// The ports at the destination; [`None`] is every port of every protocol.
    pub ports: Option<Vec<PortMatch>>,
}

/// What a rule does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Lets it through; no later tier is asked.
    Accept,
    /// Drops it; no later tier is asked.
    Deny,
    /// Leaves it to the next tier.
    Pass,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "Accept",
            Self::Deny => "Deny",
            Self::Pass => "Pass",
        })
    }
}

/// The other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Pods, never those on their node's network.
    Pods(PodsOf),
    /// Addresses, a pod's among them.
    Block(Block),
}

/// `ipBlock`: the addresses of a prefix less those of others, within this item only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// What is in.
    pub cidr: Prefix,
    /// What is taken out again.
    pub except: Vec<Prefix>,
}

/// A port at the destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PortMatch {
    /// The ports of one protocol from `first` to `last`, both included.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// The port that the destination pod calls this; nothing where it calls none so.
    Named {
        /// The name.
        name: String,
        /// The protocol it must have; [`None`] takes the one the pod gives it.
        protocol: Option<Protocol>,
    },
}
