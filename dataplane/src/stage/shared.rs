//! What workers share and learn together: flows, where stations are, who has which address, who listens, the ways to other nodes.
//!
//! All of it is read and written without a lock. What is learned makes flows that may have been resolved otherwise misses, by
//! the epoch of a shard.

use core::net::IpAddr;
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, OnceLock},
    time::Instant,
};

use podlane_wire::MacAddr;

use crate::{
    flow::{
        FlowTable,
        connections::{CONNECTION_FILES, Connections, Settings},
        crowd::Crowd,
        groups::Groups,
        key::{mac_word, word_mac},
        learned::{Learned, Lesson, spread},
        table::{FLOW_FILES, SHARDS, TableFacts},
    },
    ids::{NetworkId, PortId},
    offload::Exchange,
    stage::{meter::Meters, ways::Renewal},
    tables::Network,
    worker::asked::Asked,
};

/// What workers share and learn together.
pub struct Shared {
    /// When the workers' clock began.
    pub started: Instant,
    stations: usize,
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
    /// Where flows may be offloaded: set before there are workers.
    pub offload: OnceLock<Arc<Exchange>>,
}

/// Memory files of the shared tables.
pub const FILES: usize = FLOW_FILES + CONNECTION_FILES + 5;

/// What is the same of the shared tables for their former process and for the heir.
#[derive(Clone, Copy, Debug)]
pub struct SharedFacts {
    /// When the workers' clock began.
    pub started: Instant,
    /// About so many MAC addresses and neighbours.
    pub stations: usize,
    /// The flows.
    pub flows: TableFacts,
    /// The connections.
    pub connections: TableFacts,
}

/// Underlay next hops, and peers whose way has a smaller MTU, that are remembered at once.
const NODES: usize = 8192;

impl Shared {
    /// Shared tables for these flows and connections, and about `stations` MAC addresses and neighbours.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(flows: FlowTable, connections: Connections, stations: usize) -> io::Result<Self> {
        let macs = Learned::in_file(stations)?;
        Ok(Self {
            started: Instant::now(),
            stations,
            flows: flows.into(),
            connections: connections.into(),
            crowd: Crowd::new(macs.slots())?,
            macs,
            neighbours: Learned::in_file(stations)?,
            hops: Learned::in_file(NODES)?,
            hop_questions: Asked::of(NODES),
            path_mtus: Learned::in_file(NODES)?,
            renewal: Renewal::default(),
            groups: Groups::default(),
            meters: Arc::default(),
            offload: OnceLock::new(),
        })
    }

    /// The shared tables of a former process. Until its workers are halted they are for nobody to write to.
    ///
    /// # Errors
    /// The files are no such tables.
    pub fn inherit(files: Vec<OwnedFd>, settings: Settings, facts: &SharedFacts) -> io::Result<Self> {
        let found = files.len();
        let Ok(files) = <[OwnedFd; FILES]>::try_from(files) else {
            let text = format!("{found} memory files of the tables were handed over, of {FILES}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let [flows @ .., buckets, connections, macs, crowd, neighbours, hops, path_mtus] = files;
        let macs = Learned::inherit(macs, facts.stations)?;
        Ok(Self {
            started: facts.started,
            stations: facts.stations,
            flows: FlowTable::inherit(flows, &facts.flows)?.into(),
            connections: Connections::inherit([buckets, connections], settings, &facts.connections)?.into(),
            crowd: Crowd::inherit(crowd, macs.slots())?,
            macs,
            neighbours: Learned::inherit(neighbours, facts.stations)?,
            hops: Learned::inherit(hops, NODES)?,
            hop_questions: Asked::of(NODES),
            path_mtus: Learned::inherit(path_mtus, NODES)?,
            renewal: Renewal::default(),
            // Until somebody asks again, multicast goes to all; and every port begins with its whole burst.
            groups: Groups::default(),
            meters: Arc::default(),
            offload: OnceLock::new(),
        })
    }

    /// The memory files, in the order of [`Self::inherit`].
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let learned = [self.macs.file(), Some(self.crowd.file()), self.neighbours.file()];
        let learned = learned.into_iter().chain([self.hops.file(), self.path_mtus.file()]).flatten();
        self.flows.files().into_iter().chain(self.connections.files()).chain(learned)
    }

    /// What an heir has to know of them.
    #[must_use]
    pub fn facts(&self) -> SharedFacts {
        SharedFacts {
            started: self.started,
            stations: self.stations,
            flows: self.flows.facts(),
            connections: self.connections.facts(),
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

    /// Whether a station or a listener was learned at a port; where workers learned at once, it may say no of one that is forgotten by its age.
    #[must_use]
    pub fn has_learned_at(&self, port: PortId) -> bool {
        !self.crowd.is_empty(u64::from(port.0) + 1) || self.groups.has_any(port)
    }

    /// Forgets everything that is known of ports whose numbers are to be others'. To be called when no worker has them.
    pub fn forget_ports(&self, ports: &[PortId]) {
        self.forget_stations(|_, at| ports.contains(&at));
        self.groups.forget_at(|_, at| ports.contains(&at));
        ports.iter().for_each(|port| self.meters.reset(*port));
    }

    /// Forgets everything that was learned in a network whose number is to be another's. To be called when no table has it.
    pub fn forget_network(&self, network: NetworkId) {
        self.forget_stations(|within, _| within == network);
        let is_within = |key: &[u64; 3], _, _| NetworkId(key[0] as u16) == network;
        self.neighbours.forget(0..self.neighbours.slots(), is_within, |_, _| ());
        self.groups.forget_at(|within, _| within == network);
    }

    /// Forgets every station that was learned behind a path, and the ways there. To be called when paths are numbered otherwise and no worker
    /// turns.
    pub fn forget_paths(&self) {
        self.forget_stations(|_, at| at.path().is_some());
        self.groups.forget_at(|_, at| at.path().is_some());
        for known in [&self.hops, &self.path_mtus] {
            known.forget(0..known.slots(), |_, _, _| true, |_, _| ());
        }
    }

    fn forget_stations(&self, gone: impl Fn(NetworkId, PortId) -> bool) {
        let is_gone = |key: &[u64; 1], at: u64, _| gone(NetworkId((key[0] >> 48) as u16), PortId((at - 1) as u16));
        self.macs.forget(0..self.macs.slots(), is_gone, |key, at| {
            self.crowd.left(at);
            self.flows.forget(shard(key));
        });
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
