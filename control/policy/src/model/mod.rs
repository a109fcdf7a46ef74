//! What a policy speaks of: pods, namespaces, selectors, addresses and the policies themselves.
//!
//! These are the objects of Kubernetes after reading, every default filled in, so that whoever evaluates them has one case
//! for one meaning: an absent `from` is [`None`], a kind that does not isolate has no say in [`Policy::isolates`]. All is plain data.

mod name;
mod policy;
mod prefix;
mod selector;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use name::{is_label_key, is_label_value, is_object_name, is_port_name};
pub use policy::{
    Action, Block, Direction, MAX_PRIORITY, Peer, PodsOf, Policy, PolicyKind, PolicyName, PortMatch, Rule, Scope, Tier,
};
pub use prefix::Prefix;
pub use selector::{Expression, Operator, Selector};

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// The label every namespace carries with its own name, set by the API server.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// IP protocol numbers (IANA) of the protocols whose ports policies know.
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// What a packet carries, as far as a policy can tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Protocol {
    /// TCP, and what a port means when nothing is said.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Anything without a port that policies know: ICMP above all. Only rules without ports match it.
    Other,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Other];

    /// That of an IP header's protocol number, or next header.
    #[must_use]
    pub const fn of_number(number: u8) -> Self {
        match number {
            TCP => Self::Tcp,
            UDP => Self::Udp,
            SCTP => Self::Sctp,
            _ => Self::Other,
        }
    }

    /// Its number in an IP header; none of [`Self::Other`], which is many.
    #[must_use]
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Tcp => Some(TCP),
            Self::Udp => Some(UDP),
            Self::Sctp => Some(SCTP),
            Self::Other => None,
        }
    }

    /// As Kubernetes writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pod by name. Displayed `namespace/name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

impl PodName {
    /// A name from its two parts.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A container port with a name. A pod may use one name several times: the name then means each of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamedPort {
    /// The name.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}

/// A pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, of either family. None before it has been given one.
    pub addresses: Vec<IpAddr>,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
    /// Whether it uses its node's network: then it is no subject of policies, and a peer only by the node's address.
    pub host_network: bool,
    /// The node it runs on.
    pub node: Option<String>,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, with [`NAMESPACE_NAME_LABEL`] among them.
    pub labels: Labels,
}

impl Namespace {
    /// A namespace with these labels and the one of its own name.
    #[must_use]
    pub fn new(name: impl Into<String>, mut labels: Labels) -> Self {
        let name = name.into();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        Self { name, labels }
    }
}
