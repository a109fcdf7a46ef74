//! Where stations are: behind this node's ports and on other nodes. Of two statements of one MAC address, or of one IP address,
//! the higher generation counts; of equal ones that of this node's port.
//!
//! A port or an uplink that is away keeps its stations: what is sent to them is dropped by name, not flooded.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;

use podlane_dataplane::PortId;
use podlane_dataplane::tables::Tables;
use podlane_wire::MacAddr;

use super::{Numbers, Seen};
use crate::desired::{Desired, Name, Sharing};

/// One statement of a station.
struct Statement<'a> {
    mac: MacAddr,
    addresses: &'a [IpAddr],
    place: PortId,
    rank: Rank,
}

/// Which statement counts: the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    generation: u64,
    is_here: bool,
}

/// Enters all stations into their networks' tables; the underlay is in them already.
pub(super) fn enter(tables: &mut Tables, desired: &Desired, numbers: &Numbers, seen: &Seen) {
    let mut statements: HashMap<&Name, Vec<Statement<'_>>> = HashMap::new();
    for port in desired.ports.values() {
        let Some(mac) = port.mac.map(|mac| MacAddr(mac.0)) else { continue };
        let (place, rank) = (numbers.port(&port.name), Rank { generation: port.generation, is_here: true });
        for name in port.membership.networks() {
            statements.entry(name).or_default().push(Statement { mac, addresses: &port.addresses, place, rank });
        }
    }
    for endpoint in &seen.endpoints {
        let network = numbers.network(&endpoint.network);
        // None only for a peer that does not have the network, which no endpoint is let in with.
        let Some(path) = tables.underlay.first_path(network, numbers.peer(&endpoint.peer)) else { continue };
        let rank = Rank { generation: endpoint.generation, is_here: false };
        let (mac, addresses) = (MacAddr(endpoint.mac.0), endpoint.addresses.as_slice());
        let statement = Statement { mac, addresses, place: path.port(), rank };
        statements.entry(&endpoint.network).or_default().push(statement);
    }
    let shared_by_ip = desired.ports.values().filter(|port| port.sharing() == Some(Sharing::Ip));
    let shared_by_ip: HashSet<&Name> = shared_by_ip.flat_map(|port| port.membership.networks()).collect();
    for (name, statements) in statements {
        let network = &mut tables.networks[numbers.network(name).index()];
        let stations = foremost(statements.iter().map(|statement| (statement.mac, statement, statement.rank)));
        let neighbours =
            foremost(stations.values().flat_map(|(statement, rank)| {
                statement.addresses.iter().map(|address| (*address, statement.mac, *rank))
            }));
        network.stations = stations.into_iter().map(|(mac, (statement, _))| (mac, statement.place)).collect();
        network.neighbours = neighbours.into_iter().map(|(address, (mac, _))| (address, mac)).collect();
        // On the wire they are known by their addresses alone, those included that they form from their MAC address.
        if shared_by_ip.contains(name) {
            let macs: Vec<MacAddr> = network.stations.keys().copied().collect();
            network.neighbours.extend(macs.into_iter().map(|mac| (mac.link_local().into(), mac)));
        }
    }
}

/// Of the values of each key the one with the greatest rank.
fn foremost<K: Eq + Hash, V>(ranked: impl Iterator<Item = (K, V, Rank)>) -> HashMap<K, (V, Rank)> {
    let mut foremost: HashMap<K, (V, Rank)> = HashMap::with_capacity(ranked.size_hint().0);
    for (key, value, rank) in ranked {
        match foremost.entry(key) {
            Entry::Occupied(mut best) if best.get().1 < rank => drop(best.insert((value, rank))),
            Entry::Occupied(_) => {}
            Entry::Vacant(first) => drop(first.insert((value, rank))),
        }
    }
    foremost
}
