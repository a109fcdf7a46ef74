//! How the daemon, its workers and its tables are.

use serde::{Deserialize, Serialize};

use crate::{ConnectionTable, Gateway, MacAddr};

/// The daemon at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's release.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// The `instance` of its configuration.
    pub instance: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The generation of the tables the workers use.
    pub generation: u64,
    /// The daemon it took over from; none where it was started anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_over: Option<TookOver>,
    /// One entry per worker, in the order of the configured cores.
    pub workers: Vec<Worker>,
    /// The flow table's fill.
    pub flow_table: FlowTable,
    /// The connection table's fill; none where no policy is enforced.
    #[serde(default)]
    pub connection_table: Option<ConnectionTable>,
    /// The networks, by name.
    pub networks: Vec<Network>,
    /// What an operator should know and might not expect, one sentence each.
    pub warnings: Vec<String>,
}

/// A hand-over, as the daemon that took over saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TookOver {
    /// The former daemon's process id.
    pub pid: u32,
    /// Microseconds in which no packet moved.
    pub gap_us: u64,
}

/// What a worker does when a turn moved nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Poll {
    /// Spins a while, then naps with a bound.
    Adaptive,
    /// Spins, always: for a core that is Podlane's alone.
    Busy,
}

/// One worker since it started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// The core it is pinned to.
    pub core: usize,
    /// What it does when idle.
    pub poll: Poll,
    /// Turns of its loop.
    pub turns: u64,
    /// The share of its turns that moved packets, 0 to 1, since it started.
    pub busy_ratio: f64,
    /// Packets it received.
    pub packets: u64,
    /// Times it napped.
    pub naps: u64,
    /// Times the kernel ran something else on its core in the middle of work.
    pub preempted: u64,
    /// Where its frames are.
    pub frames: Frames,
}

/// Where a worker's frames are; the parts add up to `total`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Frames {
    /// Frames of the worker's packet memory.
    pub total: u64,
    /// In its pool, ready for use.
    pub free: u64,
    /// With the kernel, to be received into.
    pub receiving: u64,
    /// With the kernel, being sent.
    pub sending: u64,
    /// In the switch: queued for a port, or between two workers.
    pub held: u64,
}

/// The flow table's fill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct FlowTable {
    /// Flows it can hold.
    pub capacity: u64,
    /// Flows it holds.
    pub used: u64,
    /// Packets that were served without a place in the table because it was full.
    pub uncached: u64,
}

/// One network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The routing domain its gateways belong to.
    pub vrf: String,
    /// The largest IP packet, in bytes.
    pub mtu: u32,
    /// The addresses the switch answers for; none for a pure L2 network.
    pub gateways: Vec<Gateway>,
    /// The MAC address of all its gateways.
    pub gateway_mac: MacAddr,
    /// How many ports are configured into it.
    pub ports: u64,
    /// How many MAC addresses it has learned and not yet forgotten.
    pub macs: u64,
    /// What it is called in tunnels; none for a network of this node alone.
    #[serde(default)]
    pub vni: Option<u32>,
    /// The MTU its pods should have, in bytes: what its tunnels carry. None for a network of this node alone.
    #[serde(default)]
    pub pod_mtu: Option<u32>,
}
