//! What workers share and learn together: flows, where stations are, who has which address, who listens, the ways to other nodes.
//!
//! All of it is read and written without a lock. What is learned makes flows that may have been resolved otherwise misses, by
//! the epoch of a shard.

use core::net::IpAddr;

use podlane_wire::MacAddr;

use crate::{
    flow::{
        FlowTable,
        connections::Connections,
        crowd::Crowd,
        groups::Groups,
        key::{mac_word, word_mac},
        learned::{Learned, Lesson, spread},
        table::SHARDS,
    },
    ids::{NetworkId, PortId},
    stage::{meter::Meters, ways::Renewal},
    tables::Network,
    worker::asked::Asked,
};

/// What workers share and learn together.
pub struct Shared {
    /// The flows.
    pub flows: std::sync::Arc<FlowTable>,
    /// The connections that flows under policy belong to.
    pub connections: std::sync::Arc<Connections>,
    /// Which port a MAC address is behind: the FDB's learned part.
    pub macs: Learned<1>,
    /// How many of them are behind each port.
    pub crowd: Crowd,
    /// Which MAC address an IP address has: the learned neighbours.
    pub neighbours: Learned<3>,
    /// Which MAC address an underlay next hop has, by [`hop_key`](crate::tables::underlay::hop_key).
    pub hops: Learned<3>,
    /// Which of them were asked for and have not answered.
    pub hop_questions: Asked,
    /// What the way to a peer carries, by [`peer_key`](crate::tables::underlay::peer_key), where it was heard that this is less than its uplink's MTU.
    pub path_mtus: Learned<3>,
    /// When news of either have all flows resolved anew.
    pub renewal: Renewal,
    /// Who listens to which multicast group.
    pub groups: Groups,
    /// How much of its rates each port has used.
    pub meters: std::sync::Arc<Meters>,
}

/// Underlay next hops, and peers whose way has a smaller MTU, that are remembered at once.
const NODES: usize = 8192;

impl Shared {
    /// Shared tables for these flows and connections, and about `stations` MAC addresses and neighbours.
    #[must_use]
    pub fn new(flows: FlowTable, connections: Connections, stations: usize) -> Self {
        let macs = Learned::new(stations);
        Self {
            flows: flows.into(),
            connections: connections.into(),
            crowd: Crowd::new(macs.slots()),
            macs,
            neighbours: Learned::new(stations),
            hops: Learned::new(NODES),
            hop_questions: Asked::of(NODES),
            path_mtus: Learned::new(NODES),
            renewal: Renewal::default(),
            groups: Groups::default(),
            meters: std::sync::Arc::default(),
        }
    }

    /// Where a MAC address of a network is: as stated, else as learned.
    #[must_use]
    pub fn station(&self, number: NetworkId, network: &Network, mac: MacAddr) -> Option<PortId> {
        if let Some(port) = network.stations.get(&mac) {
            return Some(*port);
        }
        let port = self.macs.lookup(&mac_key(number, mac))?;
        Some(PortId((port - 1) as u16))
    }

    /// Which MAC address an IP address of a network has: as stated, else as learned.
    #[must_use]
    pub fn neighbour(&self, number: NetworkId, network: &Network, address: IpAddr) -> Option<MacAddr> {
        if let Some(mac) = network.neighbours.get(&address) {
            return Some(*mac);
        }
        self.neighbours.lookup(&neighbour_key(number, address)).map(word_mac)
    }

    /// Learns that `mac` is behind `port`; flows toward its former place are forgotten.
    pub(super) fn learn_mac(&self, network: NetworkId, mac: MacAddr, port: PortId, now: u32) {
        let (key, at) = (mac_key(network, mac), u64::from(port.0) + 1);
        if !self.crowd.has_room(at) && self.macs.lookup(&key) != Some(at) {
            return;
        }
        let lesson = self.macs.learn(&key, at, now);
        self.take_lesson(&key, lesson, at);
    }

    /// What follows from where a station is now: its flows are resolved anew, and its former place has room.
    fn take_lesson(&self, key: &[u64; 1], lesson: Lesson, at: u64) {
        match lesson {
            Lesson::Known | Lesson::Refused => return,
            Lesson::Moved(before) => self.crowd.left(before),
            Lesson::New => {}
        }
        self.crowd.came(at);
        self.flows.forget(shard(key));
    }

    /// Hears of a flow from `mac` that last came in by `port` at `seen`. A station that comes back to a port where its old
    /// flows are still hits is learned from nothing else.
    pub(crate) fn confirm_mac(&self, network: NetworkId, mac: MacAddr, port: PortId, seen: u32) {
        let (key, at) = (mac_key(network, mac), u64::from(port.0) + 1);
        let lesson = self.macs.confirm(&key, at, seen);
        self.take_lesson(&key, lesson, at);
    }

    /// Learns that `address` has `mac`; flows routed to its former MAC address are forgotten.
    pub fn learn_neighbour(&self, network: NetworkId, address: IpAddr, mac: MacAddr, now: u32) {
        let lesson = self.neighbours.learn(&neighbour_key(network, address), mac_word(mac) | 1 << 63, now);
        if let Lesson::Moved(former) = lesson {
            self.flows.forget(shard(&mac_key(network, word_mac(former))));
        }
    }
}

/// A MAC address of a network, as a key of [`Shared::macs`].
#[must_use]
pub fn mac_key(network: NetworkId, mac: MacAddr) -> [u64; 1] {
    [mac_word(mac) | u64::from(network.0) << 48]
}

/// An IP address of a network, as a key of [`Shared::neighbours`].
#[must_use]
pub fn neighbour_key(network: NetworkId, address: IpAddr) -> [u64; 3] {
    let (family, bits) = match address {
        IpAddr::V4(v4) => (4, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (6, v6.to_bits()),
    };
    [u64::from(network.0) | family << 16, (bits >> 64) as u64, bits as u64]
}

/// The shard of the flow table's epochs that a learned MAC address belongs to.
#[must_use]
pub fn shard(key: &[u64; 1]) -> u16 {
    (spread(key) as usize % SHARDS) as u16
}
