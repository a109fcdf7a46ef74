//! The ends of a connection and its port, as they are typed and as the files know them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use podlane_policy::Cluster;
use podlane_policy::model::{Pod, PodName, Protocol};

use super::PolicyError;

/// What was typed is no end of a connection, or no port.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::cli) enum Untold {
    #[error("\"{0}\" is neither an address nor a pod (write NAMESPACE/POD, as default/web, or an IP address)")]
    Party(String),
    #[error("\"{0}\" is no protocol with a port (write tcp/443, udp/53, sctp/3868 or icmp)")]
    Service(String),
}

/// One end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Party {
    Pod(PodName),
    Address(IpAddr),
}

impl FromStr for Party {
    type Err = Untold;

    fn from_str(text: &str) -> Result<Self, Untold> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::Pod(PodName::new(namespace, name)))
            }
            _ => Err(Untold::Party(text.to_owned())),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The end that opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Opener {
    /// The node that the other end runs on.
    Node,
    Party(Party),
}

impl FromStr for Opener {
    type Err = Untold;

    fn from_str(text: &str) -> Result<Self, Untold> {
        if text == "node" { Ok(Self::Node) } else { text.parse().map(Self::Party) }
    }
}

/// A protocol, and its port if it has ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Service {
    pub(super) protocol: Protocol,
    /// 0 for a protocol without.
    pub(super) port: u16,
}

impl FromStr for Service {
    type Err = Untold;

    fn from_str(text: &str) -> Result<Self, Untold> {
        let wrong = || Untold::Service(text.to_owned());
        let lower = text.to_ascii_lowercase();
        if lower == "icmp" {
            return Ok(Self { protocol: Protocol::Other, port: 0 });
        }
        let (protocol, port) = lower.split_once('/').ok_or_else(wrong)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        Ok(Self { protocol, port })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Other => f.write_str("icmp"),
            protocol => write!(f, "{}/{}", protocol.name().to_lowercase(), self.port),
        }
    }
}

/// The addresses of an end.
pub(super) fn addresses(party: &Party, cluster: &Cluster) -> Result<Vec<IpAddr>, PolicyError> {
    let name = match party {
        Party::Address(address) => return Ok(vec![*address]),
        Party::Pod(name) => name,
    };
    match cluster.pods.iter().find(|pod| pod.name == *name) {
        Some(pod) if pod.addresses.is_empty() => Err(PolicyError::NoAddress { pod: name.clone() }),
        Some(pod) => Ok(pod.addresses.clone()),
        None => {
            // A pod's name is long and made by a machine; the namespace is what people get wrong.
            let near = cluster.pods.iter().map(|pod| &pod.name).find(|known| known.name == name.name).cloned();
            Err(PolicyError::NoSuchPod { pod: name.clone(), near, known: cluster.pods.len() })
        }
    }
}

/// The node that an address belongs to: that of pods on their node's network.
pub(super) fn node_at(address: IpAddr, cluster: &Cluster) -> Option<&str> {
    let host = cluster.pods.iter().find(|pod| pod.host_network && pod.addresses.contains(&address));
    host.and_then(|pod| pod.node.as_deref())
}

/// The pod with a network of its own at an address.
pub(super) fn pod_at(address: IpAddr, cluster: &Cluster) -> Option<&Pod> {
    cluster.pods.iter().find(|pod| !pod.host_network && pod.addresses.contains(&address))
}
