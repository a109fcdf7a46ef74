//! Rules of the MAC and IP addresses that ports state: each is one station's, and fits its network.

use std::net::IpAddr;

use podlane_api::MacAddr;

use super::networks::class;
use super::underlay::Below;
use super::{First, Networks};
use crate::config::file::PortTable;
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::At;
use crate::desired::{Name, Network, Prefix};

pub(super) fn verify(tables: &[PortTable], (networks, below): (&Networks, &Below), findings: &Findings<'_>) {
    let mut macs = First::new();
    let mut addresses = First::new();
    for table in tables {
        let names = table
            .network
            .given()
            .into_iter()
            .chain(table.vlans.given().into_iter().flat_map(|vlans| vlans.value.iter().map(|(_, name)| name)));
        let mut of_port: Vec<&Network> = names.filter_map(|name| networks.get(&name.value)).collect();
        of_port.dedup_by_key(|network| &network.name);
        if let Some(mac) = table.mac.given()
            && let Some(mistake) = mac_mistake(mac, table, &of_port, &mut macs, findings)
        {
            findings.add(mac.at, &table.subject, mistake);
        }
        let mut own = First::new();
        for address in &table.addresses {
            let repeated = own.note(address.value, address.at, ());
            let mistake =
                repeated.map(|(at, ())| Mistake::AddressRepeated { address: address.value, first: findings.line(at) });
            let mistake = mistake.or_else(|| below.vtep(address.value));
            let mistake = mistake.or_else(|| placement(address.value, &of_port));
            let mistake = mistake.or_else(|| shared(address, table, &of_port, &mut addresses, findings));
            if let Some(mistake) = mistake {
                findings.add(address.at, &table.subject, mistake);
            }
        }
    }
}

/// Where a station was first stated, by its network or VRF, and the port that did.
type Stations<A> = First<(Name, A), String>;

fn mac_mistake(
    mac: &At<MacAddr>,
    table: &PortTable,
    networks: &[&Network],
    macs: &mut Stations<MacAddr>,
    findings: &Findings<'_>,
) -> Option<Mistake> {
    let At { value: mac, at } = *mac;
    if !mac.is_unicast() {
        return Some(Mistake::GroupMac { mac });
    }
    networks.iter().find_map(|network| {
        if let Some(mistake) = mac_in(mac, network) {
            return Some(mistake);
        }
        let (first, port) = macs.note((network.name.clone(), mac), at, table.subject.clone())?;
        Some(Mistake::MacTwice { mac, port, network: network.name.clone(), first: findings.line(first) })
    })
}

/// Why a station of a network cannot have the MAC address.
pub(super) fn mac_in(mac: MacAddr, network: &Network) -> Option<Mistake> {
    if !mac.is_unicast() {
        return Some(Mistake::GroupMac { mac });
    }
    let is_gateway = network.gateway_mac == mac && !network.gateways.is_empty();
    is_gateway.then(|| Mistake::GatewayMac { mac, network: network.name.clone() })
}

/// Why the address does not fit the port's networks. A pure L2 network has no subnets, so any address fits it.
pub(super) fn placement(address: IpAddr, networks: &[&Network]) -> Option<Mistake> {
    if let Some(class) = class(address) {
        return Some(Mistake::NotUnicast { address, class });
    }
    let gateway = networks.iter().find(|network| network.gateways.iter().any(|gateway| gateway.address() == address));
    if let Some(network) = gateway {
        return Some(Mistake::GatewayAddress { address, network: network.name.clone() });
    }
    let subnets: Vec<Prefix> = networks.iter().flat_map(|network| network.subnets()).collect();
    let anywhere = networks.is_empty() || networks.iter().any(|network| network.gateways.is_empty());
    match subnets.iter().find(|subnet| subnet.contains(address)) {
        Some(subnet) if !subnet.has_host(address) => Some(Mistake::AddressNotHost { address, subnet: *subnet }),
        None if !anywhere => {
            let networks = networks.iter().map(|network| network.name.clone()).collect();
            Some(Mistake::OutsideSubnets { address, networks, subnets })
        }
        _ => None,
    }
}

fn shared(
    address: &At<IpAddr>,
    table: &PortTable,
    networks: &[&Network],
    addresses: &mut Stations<IpAddr>,
    findings: &Findings<'_>,
) -> Option<Mistake> {
    // The network that holds the address decides; without one, all of them do.
    let holder = networks.iter().find(|network| network.subnets().any(|subnet| subnet.contains(address.value)));
    let mut candidates: Vec<&Network> = holder.map_or_else(|| networks.to_vec(), |network| vec![*network]);
    candidates.dedup_by_key(|network| &network.vrf);
    candidates.iter().find_map(|network| {
        let (first, port) = addresses.note((network.vrf.clone(), address.value), address.at, table.subject.clone())?;
        let (address, vrf) = (address.value, network.vrf.clone());
        Some(Mistake::AddressTwice { address, port, vrf, first: findings.line(first) })
    })
}
