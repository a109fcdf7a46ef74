//! The seam between the demo and the switch it shows.
//!
//! The demo makes pods and traffic and asks six things of a switch: start with this configuration, say
//! what each port is, give account of every frame, hold to a policy, say why, stop. It does not care whether the switch is the
//! daemon in this process or, in tests, something else that carries frames.

use std::error::Error;
use std::path::PathBuf;

use podlane_api::{Ledger, PolicyApplied, Port, Why, WhyQuery};
use thiserror::Error;

/// Everything a switch needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchPlan {
    /// The configuration as a user would write it for `podlane run`. Its devices exist already, in the
    /// network namespace of the thread that starts the switch, and are up.
    pub config: String,
    /// Where the switch answers `podlane ports --socket` and the like, as in the configuration. Without one
    /// it must not listen at all, whatever a configuration means that names no socket: nobody will ask,
    /// and there may be a daemon on this machine already.
    pub socket: Option<PathBuf>,
}

/// A running switch.
pub trait Switch {
    /// What each port is and what passed through it, in the order of the configuration.
    fn ports(&self) -> Result<Vec<Port>, SwitchError>;

    /// What became of every packet so far, all ports together.
    fn ledger(&self) -> Result<Ledger, SwitchError>;

    /// Applies Kubernetes YAML, by the name of its file, and comes back when it is in force for every packet.
    fn apply_policy(&self, file: &str, yaml: &str) -> Result<PolicyApplied, SwitchError>;

    /// Why a connection would come through or not.
    fn why(&self, query: &WhyQuery) -> Result<Why, SwitchError>;

    /// Stops the workers and lets go of every device. Dropping a running switch does the same, without
    /// a word about what went wrong; the demo does that while it unwinds from a panic.
    fn stop(self: Box<Self>) -> Result<(), SwitchError>;
}

/// What a switch could not do. The cause names the object and the remedy; this names the moment.
#[derive(Debug, Error)]
pub enum SwitchError {
    /// The switch did not come up.
    #[error("the switch did not start: {0}")]
    Start(#[source] Box<dyn Error + Send + Sync>),
    /// The switch is up, or was, and did not answer.
    #[error("the switch does not answer: {0}")]
    Ask(#[source] Box<dyn Error + Send + Sync>),
    /// The switch did not let go of everything.
    #[error("the switch did not stop cleanly: {0}")]
    Stop(#[source] Box<dyn Error + Send + Sync>),
}
