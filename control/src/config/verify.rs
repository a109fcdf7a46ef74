//! The rules across tables, and the way from what is written to what is desired.
//!
//! Every rule runs, whatever the others found: a table that broke a rule still takes part in the next ones, and an
//! entry that was refused on reading is left out of them, so one mistake is one finding.

mod endpoints;
mod networks;
mod pods;
mod ports;
mod rates;
mod routes;
pub(crate) mod sharing;
mod stations;
mod supply;
mod underlay;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use podlane_api::nearest;

use super::Machine;
use super::file::File;
use super::mistake::{Findings, Mistake};
use super::table::At;
use crate::desired::{Desired, Endpoint, Name, Network, Port};

/// Applies all rules. The result is meaningful only when nothing was found.
pub(super) fn verify(file: File, machine: &Machine, findings: &Findings<'_>) -> Desired {
    let below = underlay::verify(&file, findings);
    supply::needed(&file, findings);
    let networks = networks::verify(&file.networks, &below, findings);
    let routes = routes::verify(&file.routes, &networks, findings);
    stations::verify(&file.ports, (&networks, &below), findings);
    sharing::verify(&file, findings);
    let endpoints = endpoints::verify(&file, (&networks, &below), findings);
    let may_enforce = file.policy.is_some() || !file.is_policy_sound;
    rates::verify(&file.ports, (&networks, may_enforce), findings);
    let ports = ports::verify(file.ports, (&networks, &below), findings);
    let workers = workers::verify(file.workers, &ports, machine, findings);
    Desired {
        attachments: file.attachments.map(|attachments| attachments.of_instance(&file.daemon.instance)),
        daemon: file.daemon,
        workers,
        flows: file.flows,
        emulated: file.emulated,
        policy: file.policy,
        networks,
        ports: ports.into_iter().map(|(name, port)| (name, Arc::new(port))).collect(),
        routes,
        underlay: below.underlay,
        peers: below.peers,
        endpoints,
    }
}

/// Why an endpoint that is stated while the daemon runs does not fit what the daemon was started with. The same rules as for
/// one in the file, but for generations: those of the file have been compared, later ones depend on what was moved since.
pub(crate) fn endpoint(endpoint: &Endpoint, desired: &Desired) -> Option<Mistake> {
    let below =
        underlay::Below { underlay: desired.underlay.clone(), peers: desired.peers.clone(), ..Default::default() };
    let Some(network) = desired.networks.get(&endpoint.network) else {
        let names = desired.networks.keys();
        let of = |name, nearest, names| Mistake::UnknownNetwork { name, nearest, names };
        return Some(unknown(&endpoint.network, names, of));
    };
    let Some(peer) = desired.peers.get(&endpoint.peer) else {
        let of = |name, nearest, names| Mistake::UnknownPeer { name, nearest, names };
        return Some(unknown(&endpoint.peer, desired.peers.keys(), of));
    };
    let address = || endpoint.addresses.iter().find_map(|address| endpoints::unfit(*address, network, &below));
    endpoints::reach(network, peer).or_else(|| stations::mac_in(endpoint.mac, network)).or_else(address)
}

/// Why the station of a port that is added while the daemon runs does not fit its networks, which are desired. The same rules as for one in
/// the file, but for what another port has already.
pub(crate) fn station(port: &Port, desired: &Desired) -> Option<Mistake> {
    let below =
        underlay::Below { underlay: desired.underlay.clone(), peers: desired.peers.clone(), ..Default::default() };
    let networks: Vec<&Network> = port.membership.networks().filter_map(|name| desired.networks.get(name)).collect();
    let of_mac = |mac| networks.iter().find_map(|network| stations::mac_in(mac, network));
    let of_address = |address| below.vtep(address).or_else(|| stations::placement(address, &networks));
    port.mac.and_then(of_mac).or_else(|| port.addresses.iter().find_map(|address| of_address(*address)))
}

/// The networks by name, the way every rule sees them.
type Networks = BTreeMap<Name, Network>;

/// The network a table names; one that does not exist is reported at its place.
fn named<'n>(name: &At<Name>, networks: &'n Networks, subject: &str, findings: &Findings<'_>) -> Option<&'n Network> {
    let network = networks.get(&name.value);
    if network.is_none() {
        let mistake = unknown(&name.value, networks.keys(), |name, nearest, names| Mistake::UnknownNetwork {
            name,
            nearest,
            names,
        });
        findings.add(name.at, subject, mistake);
    }
    network
}

/// A mistake about a name that is none of `names`.
fn unknown<'n>(
    name: &Name,
    names: impl Iterator<Item = &'n Name>,
    mistake: impl FnOnce(Name, Option<Name>, Vec<Name>) -> Mistake,
) -> Mistake {
    let names: Vec<Name> = names.cloned().collect();
    let near = nearest(name.as_str(), names.iter().map(Name::as_str)).and_then(Name::new);
    mistake(name.clone(), near, names)
}

/// What was first seen where: the second of a kind is a mistake that names the line of the first.
struct First<K, V = ()>(BTreeMap<K, (usize, V)>);

impl<K: Ord, V: Clone> First<K, V> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Notes `key` at a byte of the text; the place of the first and what it was noted with, when there was one.
    fn note(&mut self, key: K, at: usize, with: V) -> Option<(usize, V)> {
        match self.0.entry(key) {
            std::collections::btree_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert((at, with));
                None
            }
        }
    }
}
