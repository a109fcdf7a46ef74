//! The questions about policies and connections.

use crate::{
    Client, ClientError, ConnectionQuery, Connections, Denied, DeniedQuery, Manifest, PolicyChange, Reply, Request,
    Shadow, ShadowQuery, Why, WhyQuery,
};

impl Client {
    /// Why a connection would come through or not.
    ///
    /// # Errors
    /// [`ClientError`]; ends that nobody knows are [`ClientError::Refused`].
    pub fn why(&mut self, query: WhyQuery) -> Result<Why, ClientError> {
        match self.ask(&Request::Why(query))? {
            Reply::Why(why) => Ok(why),
            other => Err(self.other_reply("why", &other)),
        }
    }

    /// What candidate policies would change.
    ///
    /// # Errors
    /// [`ClientError`]; mistakes in the candidate are [`ClientError::Refused`].
    pub fn test_policy(&mut self, candidate: Manifest) -> Result<PolicyChange, ClientError> {
        match self.ask(&Request::TestPolicy(candidate))? {
            Reply::TestPolicy(change) => Ok(change),
            other => Err(self.other_reply("test_policy", &other)),
        }
    }

    /// Has candidate policies judged beside the live ones, until [`Self::end_shadow`] or until nobody asks for them any more.
    ///
    /// # Errors
    /// [`ClientError`]; mistakes in the candidate, and that there is another, are [`ClientError::Refused`].
    pub fn start_shadow(&mut self, candidate: Manifest) -> Result<Shadow, ClientError> {
        self.ask_for_shadow(&Request::StartShadow(candidate))
    }

    /// What a shadow has seen so far.
    ///
    /// # Errors
    /// [`ClientError`]; one that has ended is [`ClientError::Refused`].
    pub fn shadow(&mut self, query: ShadowQuery) -> Result<Shadow, ClientError> {
        self.ask_for_shadow(&Request::Shadow(query))
    }

    /// Ends a shadow; says what it has seen.
    ///
    /// # Errors
    /// [`ClientError`]; one that has ended is [`ClientError::Refused`].
    pub fn end_shadow(&mut self, query: ShadowQuery) -> Result<Shadow, ClientError> {
        self.ask_for_shadow(&Request::EndShadow(query))
    }

    /// What policies have denied, by rule.
    ///
    /// # Errors
    /// [`ClientError`] names the socket and what to do.
    pub fn denied(&mut self, query: DeniedQuery) -> Result<Denied, ClientError> {
        match self.ask(&Request::Denied(query))? {
            Reply::Denied(denied) => Ok(denied),
            other => Err(self.other_reply("denied", &other)),
        }
    }

    /// The connections that match `query`.
    ///
    /// # Errors
    /// [`ClientError`]; an end that nobody knows is [`ClientError::Refused`].
    pub fn connections(&mut self, query: ConnectionQuery) -> Result<Connections, ClientError> {
        match self.ask(&Request::Connections(query))? {
            Reply::Connections(connections) => Ok(connections),
            other => Err(self.other_reply("connections", &other)),
        }
    }

    fn ask_for_shadow(&mut self, request: &Request) -> Result<Shadow, ClientError> {
        match self.ask(request)? {
            Reply::Shadow(shadow) => Ok(shadow),
            other => Err(self.other_reply("shadow", &other)),
        }
    }
}
