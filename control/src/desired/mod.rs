//! What the node wants of the switch, valid and complete.
//!
//! Every source (the configuration file today) ends here, and `compile` begins here. Nothing in this module has been
//! seen by a worker: names are still names, no device has been looked for. What can be known to be wrong
//! without the machine has been refused before a [`Desired`] exists; see [`crate::config`].

mod attachments;
mod name;
mod network;
mod offload;
mod policy;
mod port;
mod prefix;
mod rates;
mod size;
mod underlay;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use attachments::{Attachments, Supply};
pub use name::{DeviceName, Name};
pub use network::{FloodLimit, Network, Route, Target};
pub use offload::{Emulated, Eviction, Fields, Offload};
pub use podlane_api::{Gateway, MacAddr, Poll};
pub use podlane_host::WakeLatency;
pub use policy::{Description, Inhabitant, Policy, Timeouts};
pub use port::{
    Behind, Device, Dhcp, Fault, Membership, Mode, Port, Queues, Ratio, Replay, Role, Sharing, VlanId, Xdp,
};
pub use prefix::Prefix;
pub use rates::{Bandwidth, BitRate, Burst, ConnectionRate, Rates};
pub use size::{ConnectionCapacity, FlowCapacity, FrameBytes, FrameCount, LEAST_FILL, Mtu, RingSize};
pub use underlay::{Encapsulation, Endpoint, Peer, Underlay, UnderlayRoute, Vni, Vtep};

/// All that one daemon should do.
#[derive(Clone, PartialEq, Debug)]
pub struct Desired {
    /// The daemon itself.
    pub daemon: Daemon,
    /// Its workers.
    pub workers: Workers,
    /// Its flow table.
    pub flows: FlowTable,
    /// What is enforced; none where no policy is, and then every port is open.
    pub policy: Option<Policy>,
    /// What the emulated offload engine is like, where one is chosen.
    pub emulated: Emulated,
    /// How pods are attached; none where they are not.
    pub attachments: Option<Attachments>,
    /// The networks, by name.
    pub networks: BTreeMap<Name, Network>,
    /// The ports, by name. Every network a port names is in `networks`. Shared, so that a snapshot of many ports is cheap.
    pub ports: BTreeMap<Name, Arc<Port>>,
    /// The routes. Every next hop is in a connected subnet of the route's VRF.
    pub routes: Vec<Route>,
    /// This node's place in the underlay; none where it has no tunnels, and then neither peers nor endpoints.
    pub underlay: Option<Underlay>,
    /// The other nodes, by name.
    pub peers: BTreeMap<Name, Peer>,
    /// The stations on other nodes.
    pub endpoints: Vec<Endpoint>,
}

/// The daemon itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Daemon {
    /// Where it listens for questions.
    pub socket: PathBuf,
    /// Whether its XDP programs and maps are pinned, so that the next daemon can take them over.
    pub pin: bool,
    /// What tells it from other daemons on the machine; names its pins.
    pub instance: Name,
}

/// The workers: all alike, but for the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workers {
    /// One worker per core, in this order; never empty, no core twice.
    pub cores: Vec<usize>,
    /// What a worker does when idle.
    pub poll: Poll,
    /// How long their cores may take to wake; none leaves that to the kernel.
    pub wake_latency: Option<WakeLatency>,
    /// Packet buffers of each worker.
    pub frames: FrameCount,
    /// The size of each.
    pub frame_bytes: FrameBytes,
}

/// The flow table, shared by all workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowTable {
    /// How many flows it holds.
    pub capacity: FlowCapacity,
    /// How long a flow may be idle before it is forgotten.
    pub idle: Duration,
}

impl Desired {
    /// Whether a port's packets are held to policies: there are some to enforce, and it is a pod's.
    #[must_use]
    pub const fn polices(&self, port: &Port) -> bool {
        self.policy.is_some() && port.pod.is_some()
    }

    /// What carries a port's flows: as it says itself, else as the network of its untagged frames does.
    #[must_use]
    pub fn offload_of(&self, port: &Port) -> Offload {
        let network = || self.networks.get(port.membership.untagged.as_ref()?);
        port.offload.unwrap_or_else(|| network().map_or(Offload::None, |network| network.offload))
    }

    /// Whether an engine may be chosen for a port, one that comes later included.
    #[must_use]
    pub fn offloads(&self) -> bool {
        let of_networks = self.networks.values().map(|network| network.offload);
        let of_ports = self.ports.values().filter_map(|port| port.offload);
        of_networks.chain(of_ports).any(|offload| offload != Offload::None)
    }

    /// The uplink of a network that is shared with the host. Where there is one, only a port that states its MAC address is reached by it,
    /// and where it is shared by IP address, one that states its addresses.
    #[must_use]
    pub fn uplink_shared_in(&self, network: &Name) -> Option<&Port> {
        let is_in = |port: &Port| port.membership.networks().any(|name| name == network);
        self.ports.values().map(|port| &**port).find(|port| port.sharing().is_some() && is_in(port))
    }

    /// The networks that route to each other in `vrf`.
    pub fn networks_of<'a>(&'a self, vrf: &'a Name) -> impl Iterator<Item = &'a Network> {
        self.networks.values().filter(move |network| network.vrf == *vrf)
    }
}
