//! Tunnels to other nodes, and what carries them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AttachMode, MacAddr, PortState, Traffic};

/// All tunnels of a node; nothing where it has no underlay.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Tunnels {
    /// The uplinks they go by, in the order of the configuration.
    pub uplinks: Vec<Uplink>,
    /// One entry per network and peer that has it, by network, then by peer.
    pub tunnels: Vec<Tunnel>,
    /// All inner packets that came out of tunnels.
    pub received: Traffic,
    /// All inner packets that went into tunnels.
    pub sent: Traffic,
}

/// A port that tunnels go by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uplink {
    /// The port.
    pub name: String,
    /// Whether it carries frames.
    pub state: PortState,
    /// How packets cross to and from the kernel; none until it is attached.
    pub mode: Option<AttachMode>,
    /// Its device's MAC address; none until it is attached.
    pub mac: Option<MacAddr>,
    /// Its device's MTU, in bytes; none until it is attached.
    pub mtu: Option<u32>,
    /// The VLAN tag of outer packets; none when they have none.
    pub vlan: Option<u16>,
    /// Outer packets that came from it: what its XDP program claimed and a worker took. All else is the host's.
    pub received: Traffic,
    /// Outer packets that were sent to it.
    pub sent: Traffic,
    /// What its XDP program has judged; none until it is attached.
    pub judged: Option<Judged>,
}

/// Frames that an uplink's XDP program has judged since it was put on the device, by a former daemon perhaps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Judged {
    /// Taken for Podlane.
    pub claimed: u64,
    /// Left to the host.
    pub passed: u64,
    /// Of those left to the host, fragments of UDP to one of this node's VTEP addresses: tunnelled packets that are lost.
    pub fragments: u64,
}

/// A network as far as it reaches over one peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tunnel {
    /// The other node.
    pub peer: String,
    /// Its address.
    pub vtep: IpAddr,
    /// The network.
    pub network: String,
    /// What the network is called on the wire.
    pub vni: u32,
    /// How it is carried.
    pub encapsulation: Encapsulation,
    /// This node's address towards the peer.
    pub local_vtep: IpAddr,
    /// Whether the host's kernel has that address, too.
    pub local_vtep_shared: bool,
    /// The ways to the peer, of which each flow takes one that answers; none while no uplink is attached.
    pub next_hops: Vec<NextHop>,
    /// The largest outer IP packet to the peer, in bytes, lowered to the path's where that was heard of; none while no uplink is
    /// attached.
    pub mtu: Option<u32>,
    /// The largest IP packet of a pod that fits into it.
    pub inner_mtu: Option<u32>,
    /// What was heard of the path's MTU; none when it is the uplink's, as far as is known.
    pub path_mtu: Option<PathMtu>,
    /// Inner packets that came out of it.
    pub received: Traffic,
    /// Inner packets that went into it.
    pub sent: Traffic,
    /// Endpoints stated to be behind it.
    pub stated: u64,
    /// MAC addresses learned behind it that are not stated.
    pub learned: u64,
}

/// An MTU that an ICMP error told of, and that is smaller than the uplink's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PathMtu {
    /// The largest outer IP packet, in bytes.
    pub mtu: u32,
    /// Milliseconds since it was last heard of. It is forgotten after ten minutes.
    pub age_ms: u64,
}

/// A neighbour in the underlay: a peer itself, or a router on the way to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NextHop {
    /// The uplink it is behind.
    pub uplink: String,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address; none while it is not known.
    pub mac: Option<MacAddr>,
    /// Whether it answers.
    pub state: NextHopState,
    /// Milliseconds since its last answer; none while its MAC address is not known.
    pub age_ms: Option<u64>,
}

/// How tunnelled packets are carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// Whether a next hop answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextHopState {
    /// It has answered, and no question to it is open.
    Reachable,
    /// It is being asked. Packets go on to one whose MAC address is known.
    Asking,
    /// It was asked three times in vain, and is still asked. Nothing is sent to it.
    Silent,
}

words! {
    Encapsulation { Vxlan: "vxlan", Geneve: "geneve" }
    NextHopState { Reachable: "reachable", Asking: "asking", Silent: "silent" }
}
