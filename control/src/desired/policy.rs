//! Policy: where its objects are written, how connections are kept, and which pod is behind a port.

use std::path::PathBuf;
use std::time::Duration;

use podlane_policy::model::{Labels, NamedPort, PodName};

use super::ConnectionCapacity;

/// What is enforced, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Files and directories of Kubernetes YAML, read at the start.
    pub files: Vec<PathBuf>,
    /// Whether a TCP connection whose opening was not seen may go on, if it might be opened now.
    pub pick_up: bool,
    /// How many connections are kept at once.
    pub connections: ConnectionCapacity,
    /// How long a connection is kept without a packet.
    pub timeouts: Timeouts,
}

/// How long a connection is kept without a packet, by what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// TCP that has been asked for and not answered, or not confirmed.
    pub tcp_opening: Duration,
    /// TCP both ends of which have agreed.
    pub tcp_established: Duration,
    /// TCP that one end has finished.
    pub tcp_closing: Duration,
    /// TCP that is over: late segments of it still come.
    pub tcp_closed: Duration,
    /// UDP that nobody has answered.
    pub udp_opening: Duration,
    /// UDP in both directions.
    pub udp: Duration,
    /// ICMP questions and their answers.
    pub icmp: Duration,
    /// Every other protocol.
    pub other: Duration,
}

/// The pod behind a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inhabitant {
    /// Its name.
    pub name: PodName,
    /// What it is to policies, where this is not left to a Pod of the policy's files.
    pub description: Option<Description>,
    /// Whether it was attached while the switch ran: then documents may say otherwise, and count, but for its addresses.
    pub attached: bool,
}

/// What a pod is to policies, beside its name and addresses.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Description {
    /// Its labels.
    pub labels: Labels,
    /// Its ports that have names, sorted by them.
    pub ports: Vec<NamedPort>,
}
