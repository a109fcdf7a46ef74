//! Why a pod was not attached, or is not as it was promised; each says what to do about it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use podlane_host::{HostError, NetnsError};
use podlane_ipam::LeaseError;
use podlane_journal::CommitError;
use thiserror::Error;

use super::Key;
use super::delegate::DelegateError;
use crate::reconcile::ChangeError;

/// Why an order, or a question about an attachment, came to nothing. After a failed order nothing of it is left.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The daemon has no such network.
    #[error("there is no network \"{network}\" here{}; name one of the configuration in \"network\", or add it there", near(nearest.as_deref()))]
    Network {
        /// The name as given.
        network: String,
        /// One that is much alike.
        nearest: Option<String>,
    },
    /// The order contradicts itself.
    #[error("{0}")]
    Order(OrderError),
    /// The pod's network namespace cannot be opened.
    #[error("the pod's network namespace: {0}")]
    Netns(#[source] NetnsError),
    /// The pod's network namespace is the daemon's own.
    #[error(
        "{} is the network namespace that the daemon runs in: a pod on the host's network is not attached; leave it out of the network",
        path.display()
    )]
    OwnNetns {
        /// The path as given.
        path: PathBuf,
    },
    /// Another caller is at work on the same attachment.
    #[error("{} is being worked on for another caller, for more than {} s now; try again", name(key), waited.as_secs())]
    Busy {
        /// Which.
        key: Key,
        /// For how long it was waited.
        waited: Duration,
    },
    /// The key is attached, to something else.
    #[error("{} is attached already, {how}; detach it first (DEL)", name(key))]
    Attached {
        /// Which.
        key: Key,
        /// What is not as the new order has it.
        how: &'static str,
    },
    /// Nothing is attached by this key.
    #[error("{} is not attached; attach it (ADD)", name(key))]
    Unknown {
        /// Which.
        key: Key,
    },
    /// It is not as it was promised.
    #[error("{} is not as it was promised: {}; detach and attach it anew (DEL, ADD)", name(key), list(differences))]
    Differs {
        /// Which.
        key: Key,
        /// What is not so.
        differences: Vec<String>,
    },
    /// No address, or not the wished one.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The IPAM plugin failed.
    #[error(transparent)]
    Delegate(#[from] DelegateError),
    /// What was promised could not be written down.
    #[error(transparent)]
    Journal(#[from] CommitError),
    /// A step in the kernel failed.
    #[error("{step}: {source}")]
    Host {
        /// Which step.
        step: &'static str,
        /// What the kernel said.
        source: HostError,
    },
    /// The switch did not take the port.
    #[error("the switch did not take the port {port}: {source}")]
    Port {
        /// Its name.
        port: String,
        /// Why.
        source: ChangeError,
    },
    /// Another port has the pod: that of its former sandbox, mostly, which is about to be taken away.
    #[error("{pod} is behind the port {port}, as policies know it; try again when that is detached (DEL)")]
    PodElsewhere {
        /// The pod.
        pod: podlane_policy::model::PodName,
        /// What it is behind.
        port: String,
    },
    /// Somebody is attached to the network.
    #[error("the network {network} is still that of {}; detach it first (DEL)", name(key))]
    Inhabited {
        /// The network.
        network: String,
        /// Who.
        key: Key,
    },
    /// A network cannot be made.
    #[error(transparent)]
    Made(#[from] super::MadeNetworkError),
    /// The network is not the caller's to remove.
    #[error("the network {network} is one of the configuration file; remove it there")]
    Configured {
        /// Its name.
        network: String,
    },
    /// Addresses of the network are held.
    #[error(transparent)]
    Held(#[from] podlane_ipam::NetworkError),
    /// The switch did not take, or not let go of, the network.
    #[error("the network {network}: {source}")]
    MadeNetwork {
        /// Its name.
        network: String,
        /// Why.
        source: ChangeError,
    },
    /// The switch has failed.
    #[error("the switch is not working: {what}; restart the daemon")]
    Engine {
        /// What is wrong with it.
        what: String,
    },
    /// The directory of a vhost-user port.
    #[error("{}: {source}; the directory `vhost_sockets` under [attachments] must be writable", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OrderError {
    /// This kind needs to know where the pod is.
    #[error("a pod's network namespace is needed to attach it; give its path (CNI_NETNS)")]
    NoNetns,
    /// A MAC address of no station.
    #[error("{0} is no station's MAC address; give one whose first octet is even, and not all zero")]
    Mac(podlane_api::MacAddr),
    /// An MTU that no link can have, or that is too small for an address family.
    #[error("an MTU of {asked} cannot be had: give {least} to {most}")]
    Mtu {
        /// What was asked.
        asked: u32,
        /// The least: IPv6 needs 1280, IPv4 576.
        least: u32,
        /// The most.
        most: u32,
    },
    /// An interface name that the kernel would not take.
    #[error("{0:?} cannot be an interface's name: use 1 to 15 bytes without '/', ':' or white space")]
    Interface(String),
    /// The link to be taken is not there.
    #[error(
        "there is no link {0} in the host's network namespace; it should be the host end that the plugin before us made"
    )]
    NoHostEnd(String),
    /// The link to be taken, or the device, is a port already.
    #[error("{device} is the device of port {port} already; take it out of the configuration, or name another")]
    IsPort {
        /// The device.
        device: String,
        /// Whose it is.
        port: String,
    },
    /// The device is not there.
    #[error("there is no device {0} in the host's network namespace; name one that is, in \"device\"")]
    NoDevice(String),
    /// The host lives on the device.
    #[error(
        "{device} has addresses of this host ({}): given to a pod, the host would be cut off; move the addresses elsewhere, or name another device",
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    HostsOwn {
        /// The device.
        device: String,
        /// Which.
        addresses: Vec<IpAddr>,
    },
    /// The host routes by the device.
    #[error("{0} has routes of this host: given to a pod, the host would be cut off; name another device")]
    HostRoutes(String),
    /// The device is part of something else.
    #[error("{device} {why}; name another device")]
    InUse {
        /// The device.
        device: String,
        /// What of.
        why: &'static str,
    },
    /// A rate that cannot be kept.
    #[error("{0} cannot be had: give 1 to 1000000000000 bits a second, and a burst of at least one packet")]
    Rate(&'static str),
    /// A route whose gateway is of no family that the pod has.
    #[error("a route to {0} has no gateway: the pod has none of that family; give it \"gw\"")]
    NoGateway(podlane_api::Gateway),
    /// A pod's name that cannot be one.
    #[error("{namespace}/{name} cannot be a pod's name; give both as Kubernetes does")]
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl From<OrderError> for AttachError {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl AttachError {
    /// What a step in the kernel failed with.
    pub(super) fn host(step: &'static str) -> impl FnOnce(HostError) -> Self {
        move |source| Self::Host { step, source }
    }

    /// Whether the same may well work soon, with nothing changed by anybody.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Lease(error) => error.passes(),
            Self::Delegate(error) => error.is_passing(),
            other => {
                matches!(other, Self::Busy { .. } | Self::Engine { .. } | Self::Journal(_) | Self::PodElsewhere { .. })
            }
        }
    }
}

/// An attachment as its caller knows it.
fn name(key: &Key) -> String {
    let Key { list, container, interface, .. } = key;
    format!("{interface} of {container} in {list}")
}

fn near(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

fn list(differences: &[String]) -> String {
    differences.join("; ")
}
