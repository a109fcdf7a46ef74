//! What the policy crate finds, in the words of the socket: the same for the daemon's answers and for those from files.
//!
//! ```text
//! what was typed -> question.rs -> ends and service -> Compiled::explain -> explained.rs -> WhyEnd
//!                                                   diff(now, candidate) -> change.rs    -> PolicyChange
//! ```

pub(crate) mod change;
pub(crate) mod explained;
pub(crate) mod question;
