//! The policy that a switch starts with: what its files say, and what was done to it since a former daemon's start.

use podlane_policy::yaml::Documents;

use super::publisher::Publisher;
use crate::enforce::{Doubt, EnforceError, Enforcer, Live};

/// A change of the policy, as it came over the socket.
#[derive(Debug)]
pub enum PolicyChange {
    /// These were applied.
    Apply(Documents),
    /// These were deleted.
    Delete(Documents),
}

/// Does again what was done before. Returns what of it is probably not meant.
pub(super) fn replay(live: &mut Live, changes: Vec<PolicyChange>) -> Result<Vec<Doubt>, EnforceError> {
    let mut doubts = Vec::new();
    for change in changes {
        let changed = match change {
            PolicyChange::Apply(documents) => live.apply(documents),
            PolicyChange::Delete(documents) => live.delete(documents),
        };
        doubts.extend(changed.map_err(EnforceError::Unfit)?.doubts);
    }
    Ok(doubts)
}

/// Puts a policy in force, and tells the log what of it is probably not meant.
pub(super) fn enforce(live: Live, doubts: &[Doubt], publisher: &Publisher) -> Result<Enforcer, EnforceError> {
    doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
    Enforcer::start(live, publisher)
}
