//! What lies below the networks, in numbers: the nodes, the ways there, and what fits into a tunnel.
//!
//! An uplink that is not attached keeps its place, so that every path has one number whatever is attached; no next hop is behind
//! it, so nothing is sent by it. While no uplink is attached, packets for other nodes are dropped by name (`underlay_unresolved`)
//! and their senders told: their way is known, so they are not flooded.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podlane_dataplane::ids::Vni;
use podlane_dataplane::tables::underlay::{self as tables, Hop, Segment, Uplink, Vtep};
use podlane_dataplane::tunnel::HEADER;
use podlane_wire::MacAddr;

use super::{Attached, Numbers, Seen};
use crate::desired::{self, Desired, Name, Underlay};

/// What an uplink is taken to carry while its device is not there: Ethernet's payload. Nothing is sent by it.
const UNSEEN_MTU: u16 = 1_500;

/// The inner Ethernet header.
const ETHERNET: u16 = 14;

/// The underlay for what is desired and attached; empty where a node has none.
pub(super) fn underlay(desired: &Desired, numbers: &Numbers, seen: &Seen) -> tables::Underlay {
    let Some(underlay) = &desired.underlay else { return tables::Underlay::default() };
    let vteps = underlay.vteps.iter().map(|vtep| vtep.address());
    let vteps = vteps.map(|address| Vtep { address, shared: seen.hosts.contains(&address) }).collect();
    let uplinks = underlay.uplinks.iter().map(|name| uplink(underlay, name, numbers, &seen.attached)).collect();
    let peers = desired.peers.values().map(|peer| tables::Peer {
        address: peer.vtep,
        // Every peer has one of its family.
        vtep: underlay.towards(peer.vtep).map_or(peer.vtep, desired::Vtep::address),
        hops: hops(underlay, peer.vtep, &seen.attached),
    });
    let segments: Vec<Segment> =
        desired.networks.values().filter_map(|network| segment(underlay, network, numbers)).collect();
    tables::Underlay::of(vteps, uplinks, peers.collect(), &segments)
}

fn uplink(underlay: &Underlay, name: &Name, numbers: &Numbers, attached: &BTreeMap<Name, Attached>) -> Uplink {
    let facts = attached.get(name);
    let mac = facts.map_or(MacAddr::default(), |facts| facts.mac);
    Uplink {
        port: numbers.port(name),
        mac,
        vlan: underlay.vlan.map(desired::VlanId::get),
        mtu: facts.map_or(UNSEEN_MTU, |facts| facts.mtu),
        link_local: tables::link_local(mac),
    }
}

/// The ways to a peer: each of its next hops by each uplink that is attached.
fn hops(underlay: &Underlay, peer: IpAddr, attached: &BTreeMap<Name, Attached>) -> Vec<Hop> {
    let next_hops = underlay.next_hops(peer);
    let uplinks = (0u16..).zip(&underlay.uplinks).filter(|(_, name)| attached.contains_key(*name));
    let by = |(uplink, _)| next_hops.iter().map(move |address| Hop { uplink, address: *address });
    uplinks.flat_map(by).collect()
}

fn segment(underlay: &Underlay, network: &desired::Network, numbers: &Numbers) -> Option<Segment> {
    let has_gateway = !network.gateways.is_empty();
    Some(Segment {
        network: numbers.network(&network.name),
        vni: Vni(network.vni?.get()),
        encapsulation: underlay.encapsulation,
        udp_port: underlay.udp_port,
        checksum: underlay.udp_checksum,
        gateway_mac: if has_gateway { MacAddr(network.gateway_mac.0) } else { MacAddr::default() },
        clamp_mss: underlay.clamp_mss,
        peers: network.peers.iter().map(|peer| numbers.peer(peer)).collect(),
    })
}

/// The largest IP packet of an overlay network's pods that fits into its tunnels by any uplink that is attached, to any of its
/// peers; none for a network without a VNI.
#[must_use]
pub fn proposed_mtu(desired: &Desired, network: &desired::Network, attached: &BTreeMap<Name, Attached>) -> Option<u16> {
    let underlay = desired.underlay.as_ref().filter(|_| network.vni.is_some())?;
    let mtus = underlay.uplinks.iter().filter_map(|name| attached.get(name)).map(|facts| facts.mtu);
    let peers = network.peers.iter().filter_map(|name| desired.peers.get(name)).map(|peer| peer.vtep);
    // A network that has no peers yet is measured as if it had some of each family.
    let own = underlay.vteps.iter().map(|vtep| vtep.address()).filter(|_| network.peers.is_empty());
    let overhead = peers.chain(own).map(overhead).max().unwrap_or(0);
    Some(mtus.min().unwrap_or(UNSEEN_MTU).saturating_sub(overhead))
}

/// What stands before the inner IP packet in an outer one to this address.
fn overhead(address: IpAddr) -> u16 {
    const UDP: u16 = 8;
    let ip = if address.is_ipv4() { 20 } else { 40 };
    ip + UDP + HEADER as u16 + ETHERNET
}
