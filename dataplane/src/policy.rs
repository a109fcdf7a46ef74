//! Policy, as the packet path meets it: somebody to ask whether a connection may be opened.
//!
//! The control side compiles pods and policies and answers here, from tables that never change; what a pod, a label or a namespace
//! is, this crate does not know. It is asked once a connection, on a miss, and again when the generation is another: so one virtual
//! call stands where a second copy of the rules would have to be kept in step, and `podlane why` asks the very tables that decide.

use core::{fmt, net::IpAddr};

use crate::ids::{Generation, PortId};

/// The rule that decided, by the policy's own number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Rule(pub u32);

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Its address.
    pub address: IpAddr,
    /// The port it is behind, which may be a path's.
    pub port: PortId,
}

/// A connection about to be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Who opens it.
    pub from: End,
    /// To whom.
    pub to: End,
    /// The IP protocol number.
    pub protocol: u8,
    /// The destination's port, for TCP, UDP and SCTP; 0 for all others and for fragments, which only rules without ports match.
    pub port: u16,
}

/// What was decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether the connection may be opened.
    pub allow: bool,
    /// By which rule: if it may not, the one against it.
    pub rule: Rule,
}

/// Decides. Called by workers on a miss: it neither allocates, locks, waits nor reads a clock.
pub trait Policy: Send + Sync + fmt::Debug {
    /// Whether a connection may be opened, by the policies of both ends as far as they are here.
    fn verdict(&self, opening: &Opening) -> Verdict;
}

/// A policy in force.
#[derive(Debug)]
pub struct Enforcement {
    /// From the counter that numbers [`Tables`](crate::tables::Tables) too: all flows resolved under another are misses.
    pub generation: Generation,
    /// What decides.
    pub policy: Box<dyn Policy>,
}
