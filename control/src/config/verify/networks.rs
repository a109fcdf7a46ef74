//! Rules of `[[network]]`: one name each, gateways that can be stations, subnets that do not overlap within a VRF, and a VNI that
//! tells it apart in tunnels.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::underlay::Below;
use super::{First, Networks, supply};
use crate::config::defaults;
use crate::config::file::NetworkTable;
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::At;
use crate::desired::{Gateway, Name, Network, Prefix, Supply, Vni};
use podlane_dataplane::ids::MAX_PATHS;

/// The least MTU of a link that carries IPv6 (RFC 8200, section 5).
const IPV6_MIN_MTU: u32 = 1_280;

/// The most networks: as many as a network's number can tell apart.
const MOST: usize = 1 << 16;

pub(super) fn verify(tables: &[NetworkTable], below: &Below, findings: &Findings<'_>) -> Networks {
    if let Some(name) = tables.get(MOST).and_then(|surplus| surplus.name.given()) {
        let mistake = Mistake::TooMany { what: "network", count: tables.len(), most: MOST };
        findings.add(name.at, "", mistake);
    }
    let mut names = First::new();
    let mut networks = Networks::new();
    let mut subnets = Subnets::default();
    let mut vnis = First::new();
    for table in tables {
        let Some(name) = table.name.given() else {
            continue;
        };
        if let Some((at, ())) = names.note(name.value.clone(), name.at, ()) {
            let mistake =
                Mistake::DuplicateName { what: "a network", name: name.value.clone(), first: findings.line(at) };
            findings.add(name.at, &table.subject, mistake);
            continue;
        }
        own_vrf(table, &name.value, tables, findings);
        gateway_mac(table, findings);
        mtu(table, findings);
        let peers = tunnels(table, (&name.value, below), &mut vnis, findings);
        let network = Network { peers, ..network(table, &name.value) };
        for gateway in &table.gateways {
            let mistake = station(gateway.value).or_else(|| below.vtep(gateway.value.address()));
            if let Some(mistake) = mistake.or_else(|| subnets.overlap(gateway.value, &network)) {
                findings.add(gateway.at, &table.subject, mistake);
            }
            subnets.add(gateway.value, &network);
        }
        let supply = supply::verify(table, &network, &mut subnets, findings);
        let network = Network { supply, ..network };
        networks.insert(name.value.clone(), network);
    }
    paths(tables, &networks, below, findings);
    networks
}

fn network(table: &NetworkTable, name: &Name) -> Network {
    let is_overlay = table.vni.given().is_some();
    Network {
        name: name.clone(),
        gateways: table.gateways.iter().map(|gateway| gateway.value).collect(),
        gateway_mac: table.gateway_mac.given().map_or_else(|| Network::derived_mac(name), |mac| mac.value),
        vrf: table.vrf.given().map_or_else(|| name.clone(), |vrf| vrf.value.clone()),
        mtu: table.mtu.given().map(|mtu| mtu.value).or((!is_overlay).then_some(defaults::MTU)),
        learning: table.learning,
        mac_age: table.mac_age,
        flood_limit: table.flood_limit,
        vni: table.vni.given().map(|vni| vni.value),
        peers: Vec::new(),
        flood: table.flood.given().map_or(defaults::FLOOD, |flood| flood.value),
        replication_limit: table.replication_limit.given().map_or(defaults::REPLICATION_LIMIT, |limit| limit.value),
        supply: Supply::default(),
        offload: table.offload,
    }
}

/// A network that names no VRF is alone in the one of its own name. Another network that names it would join it unasked,
/// and open what its owner believes closed.
fn own_vrf(table: &NetworkTable, name: &Name, tables: &[NetworkTable], findings: &Findings<'_>) {
    let Some(At { value: vrf, at }) = table.vrf.given() else {
        return;
    };
    let is_owner =
        |other: &&NetworkTable| other.vrf.is_absent() && other.name.given().is_some_and(|name| name.value == *vrf);
    if vrf != name && tables.iter().any(|other| is_owner(&other)) {
        findings.add(*at, &table.subject, Mistake::VrfTaken { vrf: vrf.clone() });
    }
}

fn gateway_mac(table: &NetworkTable, findings: &Findings<'_>) {
    if let Some(mac) = table.gateway_mac.given().filter(|mac| !mac.value.is_unicast()) {
        findings.add(mac.at, &table.subject, Mistake::GroupMac { mac: mac.value });
    }
}

fn mtu(table: &NetworkTable, findings: &Findings<'_>) {
    let has_ipv6 = table.gateways.iter().any(|gateway| gateway.value.address().is_ipv6());
    if let Some(mtu) = table.mtu.given().filter(|mtu| has_ipv6 && mtu.value.get() < IPV6_MIN_MTU) {
        findings.add(mtu.at, &table.subject, Mistake::MtuBelowIpv6 { mtu: mtu.value });
    }
}

/// The peers of an overlay network; what only one can have means nothing to another.
fn tunnels(
    table: &NetworkTable,
    (name, below): (&Name, &Below),
    vnis: &mut First<Vni, Name>,
    findings: &Findings<'_>,
) -> Vec<Name> {
    let Some(At { value: vni, at }) = table.vni.given() else {
        let flood = table.flood.given().filter(|flood| flood.value).map(|flood| flood.at);
        let of_overlay =
            [("peers", table.peers.at()), ("flood", flood), ("replication_limit", table.replication_limit.at())];
        for (key, at) in of_overlay.into_iter().filter(|_| table.vni.is_absent()) {
            if let Some(at) = at {
                findings.add(at, &table.subject, Mistake::NeedsVni { key });
            }
        }
        return Vec::new();
    };
    if let Some((first, network)) = vnis.note(*vni, *at, name.clone()) {
        findings.add(*at, &table.subject, Mistake::VniTwice { vni: *vni, network, first: findings.line(first) });
    }
    if below.underlay.is_none() {
        if below.is_absent {
            findings.add(*at, &table.subject, Mistake::NoUnderlay);
        }
        return Vec::new();
    }
    let Some(written) = table.peers.given() else { return below.peers.keys().cloned().collect() };
    let mut listed = First::new();
    let mut peers = Vec::new();
    for peer in &written.value {
        match listed.note(peer.value.clone(), peer.at, ()) {
            Some((first, ())) => {
                let mistake = Mistake::NameRepeated { name: peer.value.clone(), first: findings.line(first) };
                findings.add(peer.at, &table.subject, mistake);
            }
            None => peers.extend(below.named(peer, &table.subject, findings).map(|peer| peer.name.clone())),
        }
    }
    peers.sort_unstable();
    peers
}

/// Every peer of every overlay network takes a path by every uplink.
fn paths(tables: &[NetworkTable], networks: &Networks, below: &Below, findings: &Findings<'_>) {
    let uplinks = below.underlay.as_ref().map_or(0, |underlay| underlay.uplinks.len());
    let paths = networks.values().map(|network| network.peers.len()).sum::<usize>() * uplinks;
    let overlay = tables.iter().find_map(|table| Some((table, table.vni.given()?)));
    if let Some((table, vni)) = overlay.filter(|_| paths > MAX_PATHS) {
        findings.add(vni.at, &table.subject, Mistake::TooManyPaths { paths, uplinks, most: MAX_PATHS });
    }
}

/// Why the gateway's address can be no station's.
pub(super) fn station(gateway: Gateway) -> Option<Mistake> {
    let subnet = Prefix::of(gateway);
    if let Some(class) = class(gateway.address()) {
        return Some(Mistake::NotUnicast { address: gateway.address(), class });
    }
    (!subnet.has_host(gateway.address())).then(|| Mistake::GatewayNotHost {
        gateway,
        subnet,
        instead: subnet.first_host(),
    })
}

/// What the address is, when it is nothing that is switched or routed to one station.
pub(super) fn class(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match address {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if link_local => Some("a link-local address"),
        _ => None,
    }
}

/// The subnets of each VRF so far, with their networks.
#[derive(Default)]
pub(super) struct Subnets(BTreeMap<Name, Vec<(Prefix, Name)>>);

impl Subnets {
    pub(super) fn overlap(&self, gateway: Gateway, network: &Network) -> Option<Mistake> {
        let subnet = Prefix::of(gateway);
        let (other, of) = self.0.get(&network.vrf)?.iter().find(|(other, _)| other.overlaps(subnet))?;
        Some(Mistake::SubnetOverlap { subnet, other: *other, network: of.clone(), vrf: network.vrf.clone() })
    }

    pub(super) fn add(&mut self, gateway: Gateway, network: &Network) {
        self.0.entry(network.vrf.clone()).or_default().push((Prefix::of(gateway), network.name.clone()));
    }
}
