//! Policy, as the packet path meets it: somebody to ask whether a connection may be opened.
//!
//! The control side compiles pods and policies and answers here, from tables that never change; what a pod, a label or a namespace
//! is, this crate does not know. It is asked once a connection, on a miss, and again when the generation is another: so one virtual
//! call stands where a second copy of the rules would have to be kept in step, and `podlane why` asks the very tables that decide.

use core::{fmt, net::IpAddr};

use crate::{
    headers::UDP,
    ids::{Generation, PortId},
};

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
    /// What it has to do with DHCP.
    pub leasing: Leasing,
}

/// What UDP from one port to another has to do with DHCP (RFC 2131, 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Leasing {
    /// Nothing.
    #[default]
    Unrelated,
    /// A client asks a server.
    Asking,
    /// A server answers a client.
    Answering,
}

impl Leasing {
    /// Where servers listen.
    pub const SERVER: u16 = 67;
    /// Where clients do.
    pub const CLIENT: u16 = 68;

    /// Of packets of a protocol between two ports, the sender's first.
    #[must_use]
    pub const fn of(protocol: u8, ports: (u16, u16)) -> Self {
        match (protocol, ports) {
            (UDP, (Self::CLIENT, Self::SERVER)) => Self::Asking,
            (UDP, (Self::SERVER, Self::CLIENT)) => Self::Answering,
            _ => Self::Unrelated,
        }
    }

    /// Of packets to a port, whose sender has the port that DHCP gives it.
    #[must_use]
    pub const fn toward(protocol: u8, port: u16) -> Self {
        match port {
            Self::SERVER => Self::of(protocol, (Self::CLIENT, Self::SERVER)),
            Self::CLIENT => Self::of(protocol, (Self::SERVER, Self::CLIENT)),
            _ => Self::Unrelated,
        }
    }
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
