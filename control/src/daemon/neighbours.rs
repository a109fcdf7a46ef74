//! What the daemon tells of who is where: what is stated in the tables in force, and what the workers have learned beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_api::{MAX_NEIGHBOURS, NeighbourQuery, Neighbours, NextHop, Origin, Refusal, Station};
use podlane_dataplane::flow::key::word_mac;
use podlane_dataplane::tables::{Network, Tables};
use podlane_dataplane::{NetworkId, PortId};
use podlane_wire::MacAddr;

use super::answers::near;
use super::moment::Moment;
use super::tunnels::learned_place;
use crate::desired::{Desired, Name};

/// Something known, and when it was last heard of where it is learned.
#[derive(Clone, Copy)]
struct Known<T> {
    what: T,
    seen: Option<u32>,
}

/// What was learned in one network.
#[derive(Default)]
struct Lessons {
    places: Vec<(MacAddr, PortId, u32)>,
    addresses: Vec<(IpAddr, MacAddr, u32)>,
}

/// The generations in which places are stated: by network, MAC address and place.
type Generations<'e> = HashMap<(&'e Name, podlane_api::MacAddr, &'e Name), u64>;

impl Moment<'_> {
    pub(super) fn neighbours(&self, query: &NeighbourQuery) -> Result<Neighbours, Refusal> {
        self.check(query)?;
        let engine = self.engine();
        let tables = engine.facts().tables;
        let mut lessons = self.lessons();
        let set = engine.endpoints().list();
        let ports = self.desired().ports.values();
        let of_ports = ports.flat_map(|port| {
            let stated = port.mac.map(|mac| (mac, port.generation)).into_iter();
            stated.flat_map(move |(mac, generation)| {
                port.membership.networks().map(move |network| ((network, mac, &port.name), generation))
            })
        });
        let of_peers =
            set.iter().map(|endpoint| ((&endpoint.network, endpoint.mac, &endpoint.peer), endpoint.generation));
        let generations: Generations<'_> = of_ports.chain(of_peers).collect();
        let mut stations = Vec::new();
        for (number, network) in (0..).map(NetworkId).zip(&tables.networks) {
            let Some(name) = self.numbers().network_name(number) else { continue };
            if query.network.as_deref().is_some_and(|wanted| wanted != name.as_str()) {
                continue;
            }
            let learned = lessons.remove(&number).unwrap_or_default();
            let found = self.stations((name, network), learned, &tables, &generations);
            stations.extend(found.into_iter().filter(|station| is_at(station, query)));
        }
        let matched = stations.len() as u64;
        stations.truncate(query.limit.min(MAX_NEIGHBOURS));
        Ok(Neighbours { matched, stations, next_hops: self.next_hops(query, &tables) })
    }

    /// Whether all that a query names is there.
    fn check(&self, query: &NeighbourQuery) -> Result<(), Refusal> {
        let Desired { ports, .. } = self.desired();
        self.check_network(query.network.as_deref())?;
        if let Some(name) = query.port.as_deref().filter(|name| !ports.contains_key(*name)) {
            return Err(Refusal::UnknownPort { name: name.to_owned(), nearest: near(name, ports.keys()) });
        }
        query.peer.as_deref().map_or(Ok(()), |name| self.peer_named(name).map(|_| ()))
    }

    /// What the workers have learned, by network.
    fn lessons(&self) -> HashMap<NetworkId, Lessons> {
        let mut lessons: HashMap<NetworkId, Lessons> = HashMap::new();
        let shared = self.engine().shared();
        for ([key], place, seen) in shared.macs.entries() {
            let of_network = lessons.entry(NetworkId((key >> 48) as u16)).or_default();
            of_network.places.push((word_mac(key), learned_place(place), seen));
        }
        for ([network, high, low], mac, seen) in shared.neighbours.entries() {
            let address = match network >> 16 {
                4 => IpAddr::V4(Ipv4Addr::from_bits(low as u32)),
                _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))),
            };
            let of_network = lessons.entry(NetworkId(network as u16)).or_default();
            of_network.addresses.push((address, word_mac(mac), seen));
        }
        lessons
    }

    /// The stations of a network, by address; what is stated counts before what was learned.
    fn stations(
        &self,
        (name, network): (&Name, &Network),
        lessons: Lessons,
        tables: &Tables,
        generations: &Generations<'_>,
    ) -> Vec<Station> {
        let learned =
            lessons.places.into_iter().map(|(mac, place, seen)| (mac, Known { what: place, seen: Some(seen) }));
        let mut places: BTreeMap<MacAddr, Known<PortId>> = learned.collect();
        places.extend(network.stations.iter().map(|(mac, place)| (*mac, Known { what: *place, seen: None })));
        let learned = lessons.addresses.into_iter().map(|(of, mac, seen)| (of, Known { what: mac, seen: Some(seen) }));
        let mut addresses: BTreeMap<IpAddr, Known<MacAddr>> = learned.collect();
        addresses.extend(network.neighbours.iter().map(|(of, mac)| (*of, Known { what: *mac, seen: None })));

        let addressed: BTreeSet<MacAddr> = addresses.values().map(|known| known.what).collect();
        let bare =
            places.keys().filter(|mac| !addressed.contains(mac)).map(|mac| (None, Known { what: *mac, seen: None }));
        let rows = addresses.iter().map(|(address, mac)| (Some(*address), *mac)).chain(bare);
        let station = |(address, mac): (Option<IpAddr>, Known<MacAddr>)| {
            let place = places.get(&mac.what).copied();
            let (port, peer) = place.map_or((None, None), |place| self.location(place.what, tables));
            let heard = [mac.seen, place.and_then(|place| place.seen)];
            let age_ms = heard.into_iter().flatten().map(|seen| self.since(seen)).max();
            let api_mac = podlane_api::MacAddr(mac.what.0);
            let at = port.or(peer).filter(|_| place.is_some_and(|place| place.seen.is_none()));
            Station {
                network: name.to_string(),
                address,
                mac: api_mac,
                port: port.map(ToString::to_string),
                peer: peer.map(ToString::to_string),
                origin: if age_ms.is_some() { Origin::Learned } else { Origin::Stated },
                generation: at.and_then(|at| generations.get(&(name, api_mac, at)).copied()),
                age_ms,
            }
        };
        rows.map(station).collect()
    }

    /// The port or the peer behind a number.
    fn location(&self, place: PortId, tables: &Tables) -> (Option<&Name>, Option<&Name>) {
        let numbers = self.numbers();
        match place.path() {
            None => (numbers.port_name(place), None),
            Some(path) => (None, tables.underlay.path(path).and_then(|path| numbers.peer_name(path.peer))),
        }
    }

    fn next_hops(&self, query: &NeighbourQuery, tables: &Tables) -> Vec<NextHop> {
        if query.network.is_some() {
            return Vec::new();
        }
        let numbers = self.numbers();
        let is_peer = |number: u16| {
            let is = |wanted| numbers.peer_name(number).is_some_and(|name| name.as_str() == wanted);
            query.peer.as_deref().is_none_or(is)
        };
        let peers = (0..).zip(&tables.underlay.peers).filter(|(number, _)| is_peer(*number));
        let hops: BTreeSet<_> = peers.flat_map(|(_, peer)| &peer.hops).collect();
        let by_port = |hop: &NextHop| query.port.as_deref().is_none_or(|wanted| hop.uplink == wanted);
        hops.into_iter().filter_map(|hop| self.next_hop(hop, tables)).filter(by_port).collect()
    }
}

fn is_at(station: &Station, query: &NeighbourQuery) -> bool {
    let is = |wanted: &Option<String>, at: &Option<String>| wanted.is_none() || wanted == at;
    is(&query.port, &station.port) && is(&query.peer, &station.peer)
}
