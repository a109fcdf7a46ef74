//! What is attached.

use crate::{
    AttachmentQuery, Attachments, Client, ClientError, CniCall, LeaseQuery, Leases, NetavarkCall, Reply, Request,
};

impl Client {
    /// The attachments that match `query`.
    ///
    /// # Errors
    /// [`ClientError`]; an unknown network, and a daemon that attaches no pods, is [`ClientError::Refused`].
    pub fn attachments(&mut self, query: AttachmentQuery) -> Result<Attachments, ClientError> {
        match self.ask(&Request::Attachments(query))? {
            Reply::Attachments(attachments) => Ok(attachments),
            other => Err(self.other_reply("attachments", &other)),
        }
    }

    /// The addresses that pods have, and how many are free.
    ///
    /// # Errors
    /// As [`attachments`](Self::attachments).
    pub fn leases(&mut self, query: LeaseQuery) -> Result<Leases, ClientError> {
        match self.ask(&Request::Leases(query))? {
            Reply::Leases(leases) => Ok(leases),
            other => Err(self.other_reply("leases", &other)),
        }
    }

    /// Carries out a call of the Container Network Interface; its result is JSON of the caller's version, or null where there is none.
    ///
    /// # Errors
    /// [`ClientError`]; an error of CNI's own is [`Refusal::Cni`](crate::Refusal::Cni).
    pub fn cni(&mut self, call: CniCall) -> Result<serde_json::Value, ClientError> {
        match self.ask(&Request::Cni(call))? {
            Reply::Cni(result) => Ok(result),
            other => Err(self.other_reply("cni", &other)),
        }
    }

    /// Carries out a call of netavark's plugin protocol.
    ///
    /// # Errors
    /// [`ClientError`]; what could not be done is [`Refusal::Attachment`](crate::Refusal::Attachment).
    pub fn netavark(&mut self, call: NetavarkCall) -> Result<serde_json::Value, ClientError> {
        match self.ask(&Request::Netavark(call))? {
            Reply::Netavark(result) => Ok(result),
            other => Err(self.other_reply("netavark", &other)),
        }
    }
}
