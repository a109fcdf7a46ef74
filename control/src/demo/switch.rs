//! The seam between the demo and the switch it shows.
//!
//! The demo makes pods and traffic and asks four things of a switch: start with this configuration, say
//! what each port is, give account of every frame, stop. It does not care whether the switch is the
//! daemon in this process or, in tests, something else that carries frames.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

/// Everything a switch needs to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchPlan {
    /// The configuration as a user would write it for `podlane run`. Its devices exist already, in the
    /// network namespace of the thread that starts the switch, and are up.
    pub config: String,
    /// Where the switch answers `podlane ports --socket` and the like; nowhere if nobody will ask.
    pub socket: Option<PathBuf>,
}

/// A running switch.
pub trait Switch {
    /// What each port is and what passed through it, in the order of the configuration.
    fn ports(&self) -> Result<Vec<Port>, SwitchError>;

    /// What became of every frame so far.
    fn ledger(&self) -> Result<Ledger, SwitchError>;

    /// Stops the workers and lets go of every device. Dropping a running switch does the same, without
    /// a word about what went wrong; the demo does that while it unwinds from a panic.
    fn stop(self: Box<Self>) -> Result<(), SwitchError>;
}

/// One port of the switch, as it turned out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port's name in the configuration.
    pub name: String,
    /// The netdev it is attached to.
    pub device: String,
    /// The network it belongs to.
    pub network: String,
    /// How frames are moved, in words: `af_xdp copy`, `af_xdp zero-copy`.
    pub mode: String,
    /// Frames the switch received on this port.
    pub received: u64,
    /// Frames the switch sent on this port.
    pub sent: u64,
}

/// What became of every frame, summed over all ports.
///
/// `received + made = sent + dropped + held`, or frames were lost without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Frames taken from a port.
    pub received: u64,
    /// Frames the switch made itself: answers of a gateway, copies of a flood.
    pub made: u64,
    /// Frames given to a port.
    pub sent: u64,
    /// Frames on their way at the moment of looking.
    pub held: u64,
    /// Frames dropped, by reason; reasons that dropped nothing may be left out.
    pub dropped: BTreeMap<String, u64>,
}

impl Ledger {
    /// Frames dropped for whatever reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Whether every frame is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.received + self.made == self.sent + self.dropped_total() + self.held
    }
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
