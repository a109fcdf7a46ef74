//! Pods that come and go: what a container runtime asks by way of the shim, and what is attached.
//!
//! A runtime's call crosses the socket whole. The shim understands none of it beyond where the daemon is, so that what a plugin must
//! know of networks is in one program, and that is the one that runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Gateway, MacAddr};

/// One call of the Container Network Interface, as the runtime made it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CniCall {
    /// `CNI_COMMAND`: `ADD`, `DEL`, `CHECK`, `GC`, `STATUS` or `VERSION`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// `CNI_NETNS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// `CNI_IFNAME`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ifname: String,
    /// `CNI_ARGS`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args: String,
    /// `CNI_PATH`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The network configuration, as it came on standard input.
    pub config: String,
}

/// One call of netavark's plugin protocol.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetavarkCall {
    /// `info`, `create`, `setup` or `teardown`.
    pub verb: String,
    /// The file of the container's network namespace, of `setup` and `teardown`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// What came on standard input.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
}

/// Which attachments to list.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentQuery {
    /// Only those to this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Only those of this pod (`NAMESPACE/POD`), or of the container whose id begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// What is attached. There are no more than ports, so that all fit one reply.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Attachments {
    /// By network, container and interface.
    pub attachments: Vec<Attachment>,
}

/// A pod's interface on a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// Who asked for it.
    pub caller: Caller,
    /// The network, as the caller calls it.
    pub list: String,
    /// The container.
    pub container: String,
    /// The interface in it.
    pub interface: String,
    /// The pod, `NAMESPACE/POD`, where the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The network of the daemon's.
    pub network: String,
    /// How it is attached.
    pub kind: AttachmentKind,
    /// The port of the switch.
    pub port: String,
    /// The file of the pod's network namespace; none while the caller keeps it to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// The MAC address of the pod's end; none for a vhost-user socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// The pod's addresses.
    pub addresses: Vec<Gateway>,
    /// Who routes for them, one for each family that has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// The largest IP packet.
    pub mtu: u32,
    /// The socket of a vhost-user port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// How far it has come.
    pub stage: AttachmentStage,
    /// Seconds since it was asked for.
    pub age_s: u64,
    /// What else the caller told of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

/// Who asks for attachments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A container runtime, by the Container Network Interface.
    Cni,
    /// Docker, by libnetwork's remote driver protocol.
    Docker,
    /// Podman, by netavark's plugin protocol.
    Netavark,
}

/// How a pod is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentKind {
    /// By a veth pair that the daemon made.
    Veth,
    /// By a veth pair that another plugin made, and whose host end became a port.
    Taken,
    /// By the socket of a vhost-user port.
    VhostUser,
    /// By a netdev of the host's that was moved into it.
    HostDevice,
}

/// How far an attachment has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentStage {
    /// It is being made.
    Making,
    /// It is made, and promised to the caller.
    Up,
    /// It is being taken away.
    Ending,
}

words! {
    Caller { Cni: "cni", Docker: "docker", Netavark: "netavark" }
    AttachmentKind { Veth: "veth", Taken: "taken", VhostUser: "vhost-user", HostDevice: "host-device" }
    AttachmentStage { Making: "making", Up: "up", Ending: "ending" }
}
