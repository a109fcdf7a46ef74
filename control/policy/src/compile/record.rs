//! A policy with its peers, ports and rules as numbers: what tables are built from.

use std::sync::Arc;

use super::RuleId;
use crate::model::{Action, Direction, Policy, Protocol};

/// Peers of one rule item: the members of a set, less those of others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PeerKey {
    pub(crate) set: u32,
    pub(crate) except: Vec<u32>,
}

impl PeerKey {
    /// Whether an identity in these sets, sorted, is such a peer.
    pub(crate) fn holds(&self, sets: &[u32]) -> bool {
        sets.binary_search(&self.set).is_ok() && self.except.iter().all(|set| sets.binary_search(set).is_err())
    }
}

/// Ports of one rule item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PortKey {
    Range { protocol: Protocol, first: u16, last: u16 },
    Named { protocol: Protocol, name: u32 },
}

impl PortKey {
    /// Whether it is this port, at a destination with these names.
    pub(crate) fn holds(&self, names: &[PortName], protocol: Protocol, port: u16) -> bool {
        match *self {
            Self::Range { protocol: only, first, last } => only == protocol && (first..=last).contains(&port),
            Self::Named { protocol: only, name } => {
                only == protocol && names.contains(&PortName { protocol, port, name })
            }
        }
    }
}

/// A port a pod has a name for, if some policy uses that name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PortName {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) name: u32,
}

#[derive(Debug)]
pub(crate) struct RuleRecord {
    pub(crate) number: RuleId,
    pub(crate) action: Action,
    pub(crate) peers: Vec<PeerKey>,
    pub(crate) ports: Vec<PortKey>,
}

/// A policy whose rules are numbered from `base`: isolation for ingress, for egress, ingress rules, egress rules.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) policy: Arc<Policy>,
    pub(crate) base: u32,
    pub(crate) rules: [Vec<RuleRecord>; 2],
}

impl Record {
    /// How many numbers a policy takes.
    pub(crate) fn numbers(policy: &Policy) -> u32 {
        let rules: usize = Direction::BOTH.iter().map(|direction| policy.rules(*direction).len()).sum();
        u32::try_from(rules + 2).expect("a policy with more rules than a u32 counts does not fit into memory")
    }

    pub(crate) fn isolation(&self, direction: Direction) -> RuleId {
        RuleId(self.base + direction as u32)
    }

    pub(crate) fn rules(&self, direction: Direction) -> &[RuleRecord] {
        &self.rules[direction as usize]
    }
}
