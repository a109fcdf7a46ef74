//! Rules of `[[endpoint]]`: a station on a peer that has its network, and which of two statements of one station counts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podlane_api::MacAddr;

use super::stations::{mac_in, placement};
use super::underlay::Below;
use super::{First, Networks, named};
use crate::config::file::{EndpointTable, File, NetworkTable, PortTable};
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::At;
use crate::desired::{Endpoint, Name, Network, Peer};

/// Who stated a MAC or IP address in a generation. Two ports that state the same have been told of it with the ports.
type Stated<A> = First<(Name, A, u64), String>;

pub(super) fn verify(file: &File, (networks, below): (&Networks, &Below), findings: &Findings<'_>) -> Vec<Endpoint> {
    let (mut macs, mut addresses) = of_ports(&file.ports, networks);
    let mut endpoints = Vec::new();
    for table in &file.endpoints {
        if below.underlay.is_none() {
            if below.is_absent {
                findings.add(table.at, &table.subject, Mistake::NoUnderlay);
            }
            continue;
        }
        let network = table.network.given().and_then(|name| named(name, networks, &table.subject, findings));
        let peer = table.peer.given().and_then(|name| below.named(name, &table.subject, findings));
        let (Some(network), Some(peer)) = (network, peer) else { continue };
        let (Some(At { value: mac, at }), Some(name)) = (table.mac.given(), table.peer.given()) else { continue };
        let reached = reach(network, peer).filter(|_| are_tunnels_known(&file.networks, &network.name, below));
        if let Some(mistake) = reached {
            findings.add(name.at, &table.subject, mistake);
        }
        let (mac, generation) = (*mac, table.generation);
        let again = |(first, other)| Mistake::MacInGeneration { mac, other, generation, first: findings.line(first) };
        let twice = macs.note((network.name.clone(), mac, generation), *at, table.subject.clone()).map(again);
        if let Some(mistake) = mac_in(mac, network).or(twice) {
            findings.add(*at, &table.subject, mistake);
        }
        for address in &table.addresses {
            if let Some(mistake) = address_mistake(address, table, (network, below), &mut addresses, findings) {
                findings.add(address.at, &table.subject, mistake);
            }
        }
        endpoints.push(Endpoint {
            network: network.name.clone(),
            mac,
            addresses: table.addresses.iter().map(|address| address.value).collect(),
            peer: peer.name.clone(),
            generation,
        });
    }
    endpoints
}

/// Whether the network's VNI and peers are those that were meant; what follows from others is told with them.
fn are_tunnels_known(tables: &[NetworkTable], name: &Name, below: &Below) -> bool {
    let table = tables.iter().find(|table| table.name.given().is_some_and(|given| given.value == *name));
    table.is_none_or(|table| {
        let is_vni_sound = table.vni.is_absent() || table.vni.given().is_some();
        let mut peers = table.peers.given().into_iter().flat_map(|peers| &peers.value);
        is_vni_sound && table.are_peers_sound && peers.all(|peer| below.peers.contains_key(&peer.value))
    })
}

/// Why an endpoint of a network cannot be on a peer.
pub(super) fn reach(network: &Network, peer: &Peer) -> Option<Mistake> {
    if network.vni.is_none() {
        return Some(Mistake::NoVni { network: network.name.clone() });
    }
    let has = network.peers.contains(&peer.name);
    (!has).then(|| Mistake::PeerWithoutNetwork { peer: peer.name.clone(), network: network.name.clone() })
}

/// Why an endpoint of a network cannot have an address.
pub(super) fn unfit(address: IpAddr, network: &Network, below: &Below) -> Option<Mistake> {
    below.vtep(address).or_else(|| placement(address, &[network]))
}

fn address_mistake(
    address: &At<IpAddr>,
    table: &EndpointTable,
    (network, below): (&Network, &Below),
    addresses: &mut Stated<IpAddr>,
    findings: &Findings<'_>,
) -> Option<Mistake> {
    let At { value: address, at } = *address;
    let generation = table.generation;
    let twice = addresses.note((network.vrf.clone(), address, generation), at, table.subject.clone());
    unfit(address, network, below).or_else(|| {
        let (first, other) = twice?;
        Some(Mistake::AddressInGeneration { address, other, generation, first: findings.line(first) })
    })
}

/// What the ports state, in the networks of each.
fn of_ports(ports: &[PortTable], networks: &Networks) -> (Stated<MacAddr>, Stated<IpAddr>) {
    let (mut macs, mut addresses) = (Stated::new(), Stated::new());
    for port in ports {
        let tagged = port.vlans.given().into_iter().flat_map(|vlans| vlans.value.iter().map(|(_, name)| name));
        let names = port.network.given().into_iter().chain(tagged);
        let of_port: BTreeMap<&Name, &Network> =
            names.filter_map(|name| networks.get(&name.value)).map(|network| (&network.name, network)).collect();
        for network in of_port.into_values() {
            if let Some(mac) = port.mac.given() {
                macs.note((network.name.clone(), mac.value, port.generation), mac.at, port.subject.clone());
            }
            for address in &port.addresses {
                let key = (network.vrf.clone(), address.value, port.generation);
                addresses.note(key, address.at, port.subject.clone());
            }
        }
    }
    (macs, addresses)
}
