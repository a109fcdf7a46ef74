//! Policies: applied, deleted, listed.

use crate::{Client, ClientError, Manifests, Policies, PolicyApplied, Reply, Request};

impl Client {
    /// The policies in force.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do; that none are enforced is [`ClientError::Refused`].
    pub fn policies(&mut self) -> Result<Policies, ClientError> {
        match self.ask(&Request::Policies)? {
            Reply::Policies(policies) => Ok(policies),
            other => Err(self.other_reply("policies", &other)),
        }
    }

    /// Applies pods, namespaces and policies.
    ///
    /// # Errors
    /// [`ClientError`]; what is wrong, or does not fit what there is, is [`ClientError::Refused`] and changes nothing.
    pub fn apply_policy(&mut self, manifests: Manifests) -> Result<PolicyApplied, ClientError> {
        match self.ask(&Request::ApplyPolicy(manifests))? {
            Reply::ApplyPolicy(applied) => Ok(applied),
            other => Err(self.other_reply("apply_policy", &other)),
        }
    }

    /// Deletes pods, namespaces and policies.
    ///
    /// # Errors
    /// [`ClientError`]; what is wrong or not there is [`ClientError::Refused`] and changes nothing.
    pub fn delete_policy(&mut self, manifests: Manifests) -> Result<PolicyApplied, ClientError> {
        match self.ask(&Request::DeletePolicy(manifests))? {
            Reply::DeletePolicy(deleted) => Ok(deleted),
            other => Err(self.other_reply("delete_policy", &other)),
        }
    }
}
