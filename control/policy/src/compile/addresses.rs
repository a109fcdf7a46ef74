//! Prefixes to identities, the longest that contains an address first.
//!
//! One flat, sorted list. What lies in a prefix follows it, so the last entry not after an address either contains it or lies, with it,
//! in one of its own parents.

use super::Identity;
use crate::model::Prefix;

const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    entries: Box<[(Prefix, Identity)]>,
    parents: Box<[u32]>,
}

impl Prefixes {
    /// From sorted entries.
    pub(super) fn new(entries: Vec<(Prefix, Identity)>) -> Self {
        let mut above: Vec<usize> = Vec::new();
        let mut parents = Vec::with_capacity(entries.len());
        for (at, (prefix, _)) in entries.iter().enumerate() {
            while above.last().is_some_and(|parent| !entries[*parent].0.covers(prefix)) {
                above.pop();
            }
            parents.push(above.last().and_then(|parent| u32::try_from(*parent).ok()).unwrap_or(NONE));
            above.push(at);
        }
        Self { entries: entries.into(), parents: parents.into() }
    }

    pub(super) fn entries(&self) -> &[(Prefix, Identity)] {
        &self.entries
    }

    /// The identity at the longest prefix that covers all of this one.
    pub(super) fn covering(&self, prefix: Prefix) -> Identity {
        let mut at = self.entries.partition_point(|entry| entry.0 <= prefix).checked_sub(1);
        while let Some(here) = at {
            let (covers, identity) = self.entries[here];
            if covers.covers(&prefix) {
                return identity;
            }
            let parent = self.parents[here];
            at = (parent != NONE).then_some(parent as usize);
        }
        Identity::OUTSIDE
    }
}
