//! Rules of `[[route]]`: one VRF, one prefix, and a next hop in a connected subnet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{First, Networks, named, unknown};
use crate::config::file::RouteTable;
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::{At, Entry};
use crate::config::value::WrittenPrefix;
use crate::desired::{Name, Network, Prefix, Route, Target};

pub(super) fn verify(tables: &[RouteTable], networks: &Networks, findings: &Findings<'_>) -> Vec<Route> {
    let mut routed = First::new();
    let mut routes = Vec::new();
    for table in tables {
        let scope = scope(table, networks, findings);
        let prefix = prefix(table, findings);
        let target = target(table, scope.as_ref(), prefix, findings);
        let (Some(scope), Some(At { value: prefix, at })) = (scope, prefix) else {
            continue;
        };
        if let Some((first, ())) = routed.note((scope.vrf.clone(), prefix), at, ()) {
            let mistake = Mistake::RouteTwice { prefix, vrf: scope.vrf.clone(), first: findings.line(first) };
            findings.add(at, &table.subject, mistake);
        }
        let of_vrf = networks.values().filter(|network| network.vrf == scope.vrf);
        if let Some(network) = of_vrf.into_iter().find(|network| network.subnets().any(|subnet| subnet == prefix)) {
            findings.add(at, &table.subject, Mistake::RouteToSubnet { prefix, network: network.name.clone() });
        }
        routes.extend(target.map(|target| Route { vrf: scope.vrf, prefix, target }));
    }
    routes
}

/// Where a route holds, and the networks its next hop may be in.
struct Scope<'n> {
    vrf: Name,
    networks: Vec<&'n Network>,
}

/// Of `network = ` and `vrf = ` exactly one is given, and it exists.
fn scope<'n>(table: &RouteTable, networks: &'n Networks, findings: &Findings<'_>) -> Option<Scope<'n>> {
    if table.network.is_absent() == table.vrf.is_absent() {
        let given = !table.network.is_absent();
        findings.add(table.at, &table.subject, Mistake::OneOf { keys: "\"network\" and \"vrf\"", given });
        return None;
    }
    if let Some(name) = table.network.given() {
        let network = named(name, networks, &table.subject, findings)?;
        return Some(Scope { vrf: network.vrf.clone(), networks: vec![network] });
    }
    let At { value: vrf, at } = table.vrf.given()?;
    let of_vrf: Vec<&Network> = networks.values().filter(|network| network.vrf == *vrf).collect();
    if of_vrf.is_empty() {
        let vrfs: BTreeSet<&Name> = networks.values().map(|network| &network.vrf).collect();
        let mistake =
            unknown(vrf, vrfs.into_iter(), |name, nearest, names| Mistake::UnknownVrf { name, nearest, names });
        findings.add(*at, &table.subject, mistake);
        return None;
    }
    Some(Scope { vrf: vrf.clone(), networks: of_vrf })
}

fn prefix(table: &RouteTable, findings: &Findings<'_>) -> Option<At<Prefix>> {
    let At { value: WrittenPrefix(written), at } = *table.prefix.given()?;
    let prefix = Prefix::of(written);
    if prefix.network() != written.address() {
        findings.add(at, &table.subject, Mistake::HostBits { written, prefix });
    }
    Some(At { value: prefix, at })
}

/// Of `via = ` and `discard = true` exactly one is given.
fn target(
    table: &RouteTable,
    scope: Option<&Scope<'_>>,
    prefix: Option<At<Prefix>>,
    findings: &Findings<'_>,
) -> Option<Target> {
    let discard = table.discard.given().is_some_and(|discard| discard.value);
    let silent = matches!(table.discard, Entry::Refused);
    if !silent && table.via.is_absent() != discard {
        let given = discard;
        findings.add(table.at, &table.subject, Mistake::OneOf { keys: "\"via\" and \"discard = true\"", given });
        return None;
    }
    if discard {
        return Some(Target::Discard);
    }
    let At { value: next_hop, at } = *table.via.given()?;
    match connected(next_hop, scope?, prefix?.value) {
        Ok(network) => Some(Target::Via { next_hop, network }),
        Err(mistake) => {
            findings.add(at, &table.subject, mistake);
            None
        }
    }
}

fn connected(next_hop: IpAddr, scope: &Scope<'_>, prefix: Prefix) -> Result<Name, Mistake> {
    if next_hop.is_ipv4() != prefix.network().is_ipv4() {
        return Err(Mistake::OtherFamily { next_hop, prefix });
    }
    let holder = |network: &&Network| network.subnets().any(|subnet| subnet.contains(next_hop));
    let Some(network) = scope.networks.iter().copied().find(holder) else {
        let subnets = scope.networks.iter().flat_map(|network| network.subnets()).collect();
        return Err(Mistake::NotConnected { next_hop, subnets });
    };
    if network.gateways.iter().any(|gateway| gateway.address() == next_hop) {
        return Err(Mistake::GatewayAddress { address: next_hop, network: network.name.clone() });
    }
    match network.subnets().find(|subnet| subnet.contains(next_hop) && !subnet.has_host(next_hop)) {
        Some(subnet) => Err(Mistake::AddressNotHost { address: next_hop, subnet }),
        None => Ok(network.name.clone()),
    }
}
