//! What is asked for and what comes of it, in no caller's words.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use podlane_api::{Gateway, MacAddr};
use serde::{Deserialize, Serialize};

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A container runtime, by the Container Network Interface.
    Cni,
    /// Docker, by libnetwork's remote driver protocol.
    Docker,
    /// Podman, by a netavark plugin.
    Netavark,
}

/// What tells one attachment from every other: in CNI's words the name of the network configuration, the container id and the interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Whose names the others are.
    pub origin: Origin,
    /// The network, as the caller calls it.
    pub list: String,
    /// The container.
    pub container: String,
    /// The interface in it.
    pub interface: String,
}

/// How the pod is attached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A veth pair of ours: AF_XDP on the host end.
    Veth,
    /// The veth that another plugin made before us: its host end becomes a port of ours.
    Taken {
        /// The host end, in the daemon's network namespace.
        host: String,
    },
    /// A directory with the socket of a vhost-user port, handed to the pod.
    VhostUser,
    /// A netdev of the host's, moved into the pod and back again.
    HostDevice {
        /// Its name, in the daemon's network namespace.
        device: String,
    },
}

/// Where the pod's addresses come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// From the ranges of the network, these if they are free.
    Own {
        /// What is wished for; of a family without a wish any address will do.
        wished: Vec<IpAddr>,
    },
    /// As the caller says, or as another plugin has set them already.
    Given {
        /// The addresses.
        addresses: Vec<Address>,
    },
    /// From an IPAM plugin, which is run with the caller's configuration.
    Delegated {
        /// Its name, as in `ipam.type`.
        plugin: String,
        /// The directories it is looked for in (`CNI_PATH`).
        path: Vec<PathBuf>,
        /// The network configuration it is given on its standard input, as JSON.
        config: String,
        /// `CNI_ARGS` as they came.
        args: String,
    },
    /// None: a pure L2 attachment.
    None,
}

/// One address of a pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Address {
    /// With its subnet.
    pub address: Gateway,
    /// Who routes for the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// One route in a pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PodRoute {
    /// Where to.
    pub to: Gateway,
    /// By whom; the gateway of the family where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The largest IP packet of this way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// What is asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// What it will be known by.
    pub key: Key,
    /// How to attach.
    pub kind: Kind,
    /// The file of the pod's network namespace; none while the caller does not know it yet.
    pub netns: Option<PathBuf>,
    /// The network of the daemon's.
    pub network: String,
    /// The pod end's MAC address; none leaves it to us.
    pub mac: Option<MacAddr>,
    /// Its addresses.
    pub addressing: Addressing,
    /// The largest IP packet; none takes what the network's path carries.
    pub mtu: Option<u32>,
    /// Whether the pod's default route goes this way.
    pub default_route: bool,
    /// Further routes.
    pub routes: Vec<PodRoute>,
    /// How much it may send, receive and open.
    pub rates: podlane_api::Rates,
    /// The pod, as Kubernetes calls it, which policies are about.
    pub pod: Option<(String, String)>,
    /// Its labels, as far as the caller knows them.
    pub labels: BTreeMap<String, String>,
    /// What else is known of it, to be shown (the pod's UID, the infra container, Docker's names).
    pub notes: BTreeMap<String, String>,
}

/// How far an attachment has come, in the journal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Written down; some of it may be made. Who finds it so after a crash takes it away.
    Making,
    /// Made, and promised to the caller.
    Up,
    /// Given back by the caller; some of it may be there still. Who finds it so takes away the rest.
    Ending,
}

/// A netdev of an attachment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
}

/// What a pod is told of name servers.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// The servers, the first asked first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The domain that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The domains in which short names are looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of its resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What came of an order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// What was asked for.
    pub order: Order,
    /// How far it is.
    pub stage: Stage,
    /// The port of the switch; also the name of the host end of a veth of ours.
    pub port: String,
    /// The host end; none where there is none (a host device, a vhost-user socket).
    pub host: Option<Interface>,
    /// The pod end; none for a vhost-user socket.
    pub pod: Option<Interface>,
    /// The socket of a vhost-user port.
    pub socket: Option<PathBuf>,
    /// The addresses that it got.
    pub addresses: Vec<Address>,
    /// The routes that were set.
    pub routes: Vec<PodRoute>,
    /// What whoever gave the addresses says of name servers.
    #[serde(default)]
    pub dns: Dns,
    /// The largest IP packet.
    pub mtu: u32,
    /// When it was asked for, seconds since 1970.
    pub since: u64,
}
