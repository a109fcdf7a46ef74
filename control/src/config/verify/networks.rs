//! Rules of `[[network]]`: one name each, gateways that can be stations, subnets that do not overlap within a VRF.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{First, Networks};
use crate::config::file::NetworkTable;
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::At;
use crate::desired::{Gateway, Name, Network, Prefix};

/// The least MTU of a link that carries IPv6 (RFC 8200, section 5).
const IPV6_MIN_MTU: u32 = 1_280;

/// The most networks: as many as a network's number can tell apart.
const MOST: usize = 1 << 16;

pub(super) fn verify(tables: &[NetworkTable], findings: &Findings<'_>) -> Networks {
    if let Some(name) = tables.get(MOST).and_then(|surplus| surplus.name.given()) {
        let mistake = Mistake::TooMany { what: "network", count: tables.len(), most: MOST };
        findings.add(name.at, "", mistake);
    }
    let mut names = First::new();
    let mut networks = Networks::new();
    let mut subnets = Subnets::default();
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
        let network = network(table, &name.value);
        for gateway in &table.gateways {
            if let Some(mistake) = station(gateway.value).or_else(|| subnets.overlap(gateway.value, &network)) {
                findings.add(gateway.at, &table.subject, mistake);
            }
            subnets.add(gateway.value, &network);
        }
        networks.insert(name.value.clone(), network);
    }
    networks
}

fn network(table: &NetworkTable, name: &Name) -> Network {
    Network {
        name: name.clone(),
        gateways: table.gateways.iter().map(|gateway| gateway.value).collect(),
        gateway_mac: table.gateway_mac.given().map_or_else(|| Network::derived_mac(name), |mac| mac.value),
        vrf: table.vrf.given().map_or_else(|| name.clone(), |vrf| vrf.value.clone()),
        mtu: Some(table.mtu.value),
        learning: table.learning,
        mac_age: table.mac_age,
        flood_limit: table.flood_limit,
        vni: None,
        peers: Vec::new(),
        flood: false,
        replication_limit: table.flood_limit,
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
    if has_ipv6 && table.mtu.value.get() < IPV6_MIN_MTU {
        findings.add(table.mtu.at, &table.subject, Mistake::MtuBelowIpv6 { mtu: table.mtu.value });
    }
}

/// Why the gateway's address can be no station's.
fn station(gateway: Gateway) -> Option<Mistake> {
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
struct Subnets(BTreeMap<Name, Vec<(Prefix, Name)>>);

impl Subnets {
    fn overlap(&self, gateway: Gateway, network: &Network) -> Option<Mistake> {
        let subnet = Prefix::of(gateway);
        let (other, of) = self.0.get(&network.vrf)?.iter().find(|(other, _)| other.overlaps(subnet))?;
        Some(Mistake::SubnetOverlap { subnet, other: *other, network: of.clone(), vrf: network.vrf.clone() })
    }

    fn add(&mut self, gateway: Gateway, network: &Network) {
        self.0.entry(network.vrf.clone()).or_default().push((Prefix::of(gateway), network.name.clone()));
    }
}
