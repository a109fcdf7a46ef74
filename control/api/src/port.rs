//! The ports as the daemon sees them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Dropped;

/// All ports, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// One entry per configured port.
    pub ports: Vec<Port>,
    /// Which of them tunnels go by; they are in no network.
    #[serde(default)]
    pub underlay: Vec<String>,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What is behind it.
    pub kind: PortKind,
    /// The netdev it is attached to; none for a replay port.
    pub device: Option<String>,
    /// The network namespace the netdev lives in; none when it is the daemon's own.
    pub netns: Option<PathBuf>,
    /// The network of its untagged frames.
    pub network: Option<String>,
    /// The networks of its tagged frames, by VLAN id.
    pub vlans: BTreeMap<u16, String>,
    /// What tells its pods' frames from the host's, of an uplink of networks that the host has too.
    #[serde(default)]
    pub sharing: Option<Sharing>,
    /// Whether it carries frames.
    pub state: PortState,
    /// Why it does not; none when it does.
    pub reason: Option<String>,
    /// How packets cross to and from the kernel; none until it is attached, and for a replay port.
    pub mode: Option<AttachMode>,
    /// Where the XDP program runs; none until it is attached, and for a replay port.
    pub xdp: Option<XdpMode>,
    /// Device queues that are bound, over all workers.
    pub queues: u32,
    /// Whether the kernel finishes the checksums of what is sent (transmit metadata).
    pub checksum_offload: bool,
    /// The device's MTU, in bytes; none until it is attached.
    pub mtu: Option<u32>,
    /// How much the pod behind it may send, receive and open.
    #[serde(default)]
    pub rates: Rates,
    /// What came from it.
    pub received: Traffic,
    /// What was sent to it.
    pub sent: Traffic,
    /// What came from it and was dropped, packets by reason.
    pub dropped: Dropped,
    /// Packets that wait to leave by it.
    pub held: u64,
    /// What the kernel lost or refused before or after the switch.
    pub kernel: KernelDrops,
}

/// What is behind a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortKind {
    /// A pod: the switch gets every frame of the device.
    Pod,
    /// The wire: only what is Podlane's is taken, the kernel keeps the rest.
    Uplink,
    /// A capture file instead of a device.
    Replay,
}

/// What tells the pods' frames from the host's on an uplink that both have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Every pod has a MAC address of its own on the wire, as with the kernel's macvlan.
    Mac,
    /// All pods have the uplink's MAC address on the wire and are told apart by their IP addresses, as with the kernel's ipvlan.
    Ip,
}

/// Whether a port carries frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Attached and in the tables.
    Up,
    /// Its device or network namespace is not there yet.
    Waiting,
    /// Its device or network namespace was there and went.
    Gone,
    /// The kernel refused; `reason` says what and why.
    Failed,
}

/// How packets cross between the kernel and the switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// The device reads and writes packet memory itself.
    ZeroCopy,
    /// The kernel copies each packet once.
    Copy,
}

/// Where the XDP program of a port runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic receive path, after it made a socket buffer.
    Generic,
}

/// What a pod may; null where there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Rates {
    /// What it receives.
    pub ingress: Option<Bandwidth>,
    /// What it sends.
    pub egress: Option<Bandwidth>,
    /// New connections that it opens a second.
    pub new_connections: Option<u32>,
}

/// How much, the Ethernet header included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bits a second.
    pub rate: u64,
    /// Bits at once, after silence.
    pub burst: u64,
}

/// Packets and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the Ethernet header to the end of the payload.
    pub bytes: u64,
}

/// What the kernel lost or refused at a port's sockets, as its `XDP_STATISTICS` count it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct KernelDrops {
    /// Dropped for another reason than a full or empty ring.
    pub rx_dropped: u64,
    /// Dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Times a packet found no frame in the fill ring.
    pub fill_ring_empty: u64,
    /// Times the kernel looked for something to send and found nothing.
    pub tx_ring_empty: u64,
    /// Receive descriptors the kernel refused.
    pub rx_invalid: u64,
    /// Transmit descriptors the kernel refused.
    pub tx_invalid: u64,
}

words! {
    PortKind { Pod: "pod", Uplink: "uplink", Replay: "replay" }
    PortState { Up: "up", Waiting: "waiting", Gone: "gone", Failed: "failed" }
    AttachMode { ZeroCopy: "zero-copy", Copy: "copy" }
    XdpMode { Native: "native", Generic: "generic" }
}
