//! The ends of a connection and its port, as they are typed, and the pods they mean.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use podlane_policy::model::{Pod, PodName, Protocol};

/// What was typed is no end of a connection, or no port.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Untold {
    #[error("\"{0}\" is neither an address nor a pod (write NAMESPACE/POD, as default/web, or an IP address)")]
    Party(String),
    #[error("\"{0}\" is no protocol with a port (write tcp/443, tcp/https, udp/53, sctp/3868 or icmp)")]
    Service(String),
}

/// What was typed means nothing that is there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unmeant {
    #[error("no pod is named {pod} ({})", guess(near.as_ref(), *known))]
    NoSuchPod { pod: String, near: Option<PodName>, known: usize },
    #[error("pods {first} and {second} are both named {name} (write the one that is meant)")]
    TwoPods { name: String, first: PodName, second: PodName },
    #[error("pod {pod} has no address yet (wait until it has, and print the pods again)")]
    NoAddress { pod: PodName },
    #[error("{from} and {to} have no addresses of one family (ask about two of IPv4, or two of IPv6)")]
    NoFamily { from: String, to: String },
    #[error("{to} calls no {protocol} port \"{name}\" (write its number)")]
    NoSuchPort { to: String, protocol: &'static str, name: String },
}

fn guess(near: Option<&PodName>, known: usize) -> String {
    let otherwise = || format!("the files have {known} pods: if it is new, print them again");
    near.map_or_else(otherwise, |near| format!("did you mean {near}?"))
}

/// One end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Party {
    Pod(PodName),
    /// A pod's name without its namespace, or, of a running switch, a port's.
    Name(String),
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
            None if !text.is_empty() => Ok(Self::Name(text.to_owned())),
            _ => Err(Untold::Party(text.to_owned())),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The end that opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Opener {
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

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Party(party) => party.fmt(f),
        }
    }
}

/// A protocol, and its port if it has ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) port: ServicePort,
}

/// A port as it is typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ServicePort {
    /// 0 for a protocol without.
    Number(u16),
    /// What the pod that is opened to calls it.
    Name(String),
}

impl FromStr for Service {
    type Err = Untold;

    fn from_str(text: &str) -> Result<Self, Untold> {
        let wrong = || Untold::Service(text.to_owned());
        let lower = text.to_ascii_lowercase();
        if lower == "icmp" {
            return Ok(Self { protocol: Protocol::Other, port: ServicePort::Number(0) });
        }
        let (protocol, port) = lower.split_once('/').ok_or_else(wrong)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return Err(wrong()),
        };
        let port = match port.parse() {
            Ok(0) => return Err(wrong()),
            Ok(number) => ServicePort::Number(number),
            // A number that is none of a port's is no name: a name has a letter.
            Err(_) if port.contains(|letter: char| letter.is_ascii_lowercase()) => ServicePort::Name(port.to_owned()),
            Err(_) => return Err(wrong()),
        };
        Ok(Self { protocol, port })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            ServicePort::Number(number) => f.write_str(&service(self.protocol, *number)),
            ServicePort::Name(name) => write!(f, "{}/{name}", self.protocol.name().to_lowercase()),
        }
    }
}

impl Service {
    /// The ports that it means at the pod that is opened to: a name may mean several.
    pub(crate) fn ports(&self, to: &Party, pod: Option<&Pod>) -> Result<Vec<u16>, Unmeant> {
        let name = match &self.port {
            ServicePort::Number(number) => return Ok(vec![*number]),
            ServicePort::Name(name) => name,
        };
        let called = pod.into_iter().flat_map(|pod| &pod.ports);
        let called = called.filter(|port| port.protocol == self.protocol && port.name == *name);
        let ports: Vec<u16> = called.map(|port| port.port).collect();
        if ports.is_empty() {
            let (to, protocol, name) = (to.to_string(), self.protocol.name(), name.clone());
            return Err(Unmeant::NoSuchPort { to, protocol, name });
        }
        Ok(ports)
    }
}

/// As it is typed: `tcp/443`, or `icmp`.
pub(crate) fn service(protocol: Protocol, port: u16) -> String {
    match protocol {
        Protocol::Other => "icmp".to_owned(),
        protocol => format!("{}/{port}", protocol.name().to_lowercase()),
    }
}

/// The pod that is meant, among these; none if it is an address that no pod has, or that of a pod on its node's network.
pub(crate) fn pod_meant<'p>(party: &Party, pods: &[&'p Pod]) -> Result<Option<&'p Pod>, Unmeant> {
    let no_such = |near: Option<&Pod>| Unmeant::NoSuchPod {
        pod: party.to_string(),
        near: near.map(|pod| pod.name.clone()),
        known: pods.len(),
    };
    match party {
        Party::Address(address) => {
            Ok(pods.iter().copied().find(|pod| !pod.host_network && pod.addresses.contains(address)))
        }
        Party::Pod(name) => {
            let found = pods.iter().copied().find(|pod| pod.name == *name);
            // A pod's name is long and made by a machine; the namespace is what people get wrong.
            let near = || pods.iter().copied().find(|pod| pod.name.name == name.name);
            found.map(Some).ok_or_else(|| no_such(near()))
        }
        Party::Name(name) => {
            let mut found = pods.iter().copied().filter(|pod| pod.name.name == *name);
            match (found.next(), found.next()) {
                (Some(pod), None) => Ok(Some(pod)),
                (Some(first), Some(second)) => {
                    let [first, second] = [first, second].map(|pod| pod.name.clone());
                    Err(Unmeant::TwoPods { name: name.clone(), first, second })
                }
                (None, _) => {
                    let near = podlane_api::nearest(name, pods.iter().map(|pod| pod.name.name.as_str()));
                    Err(no_such(pods.iter().copied().find(|pod| Some(pod.name.name.as_str()) == near)))
                }
            }
        }
    }
}

/// The addresses of an end.
pub(crate) fn addresses(party: &Party, pod: Option<&Pod>) -> Result<Vec<IpAddr>, Unmeant> {
    match (party, pod) {
        (Party::Address(address), _) => Ok(vec![*address]),
        (_, Some(pod)) if pod.addresses.is_empty() => Err(Unmeant::NoAddress { pod: pod.name.clone() }),
        (_, Some(pod)) => Ok(pod.addresses.clone()),
        (_, None) => Err(Unmeant::NoSuchPod { pod: party.to_string(), near: None, known: 0 }),
    }
}
