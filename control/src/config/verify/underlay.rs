//! Rules of `[underlay]` and `[[peer]]`: uplinks that can carry tunnels, VTEP addresses that tell nodes apart, and a way to every
//! peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podlane_api::PortKind;
use podlane_bpf::MAX_NEXT_HOPS;

use super::networks::class;
use super::{First, unknown};
use crate::config::file::{File, PeerTable, PortTable, UnderlayRouteTable, UnderlayTable};
use crate::config::mistake::{Findings, Mistake};
use crate::config::table::{At, Entry};
use crate::config::value::WrittenPrefix;
use crate::desired::{Name, Peer, Prefix, Underlay, UnderlayRoute, Vtep};

/// The most peers: as many as there can be paths, of which each has at least one.
const MOST: usize = podlane_dataplane::ids::MAX_PATHS;

/// What lies below the networks.
#[derive(Default)]
pub(super) struct Below {
    pub(super) underlay: Option<Underlay>,
    pub(super) peers: BTreeMap<Name, Peer>,
    pub(super) listed: Listed,
    /// Whether `[underlay]` is left out, and not misspelt.
    pub(super) is_absent: bool,
}

/// The ports that are listed as uplinks, good or not.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) names: BTreeSet<Name>,
    /// Whether a mistake that is told may have kept a port out of the list.
    pub(super) is_short: bool,
}

impl Below {
    /// Whose VTEP an address is: then it is nothing's in a tunnel.
    pub(super) fn vtep(&self, address: IpAddr) -> Option<Mistake> {
        let own = self.underlay.iter().flat_map(|underlay| &underlay.vteps).any(|vtep| vtep.address() == address);
        let owner = match own {
            true => "this node".to_owned(),
            false => format!("peer \"{}\"", self.peers.values().find(|peer| peer.vtep == address)?.name),
        };
        Some(Mistake::VtepAddress { address, owner })
    }

    /// The peer a table names; one that does not exist is reported at its place.
    pub(super) fn named(&self, name: &At<Name>, subject: &str, findings: &Findings<'_>) -> Option<&Peer> {
        let peer = self.peers.get(&name.value);
        if peer.is_none() {
            let mistake = unknown(&name.value, self.peers.keys(), |name, nearest, names| Mistake::UnknownPeer {
                name,
                nearest,
                names,
            });
            findings.add(name.at, subject, mistake);
        }
        peer
    }
}

pub(super) fn verify(file: &File, findings: &Findings<'_>) -> Below {
    let table = file.underlay.as_ref();
    let mut listed = Listed::default();
    let underlay = table.map(|table| Underlay {
        vteps: vteps(table, findings),
        uplinks: uplinks(table, (&file.ports, &mut listed), findings),
        vlan: table.vlan,
        encapsulation: table.encapsulation,
        udp_port: table.udp_port.map_or(table.encapsulation.port(), |port| port.0),
        udp_checksum: table.udp_checksum,
        clamp_mss: table.clamp_mss,
        routes: Vec::new(),
    });
    let Some((mut underlay, table)) = underlay.zip(table) else {
        let is_absent = file.is_underlay_sound;
        for peer in file.peers.iter().filter(|_| is_absent) {
            findings.add(peer.at, &peer.subject, Mistake::NoUnderlay);
        }
        let is_told = !file.peers.is_empty()
            || !file.endpoints.is_empty()
            || file.networks.iter().any(|network| network.vni.given().is_some());
        listed.is_short = !is_absent || is_told;
        return Below { listed, is_absent, ..Below::default() };
    };
    underlay.routes = routes(table, &underlay, findings);
    // What was refused in the underlay says nothing about who can be reached.
    let whole = has_all_vteps(table) && table.routes.len() == underlay.routes.len();
    let peers = verify_peers(&file.peers, (&underlay, whole), findings);
    next_hops_of(&file.peers, &underlay, findings);
    Below { underlay: Some(underlay), peers, listed, is_absent: false }
}

/// Whether the node's links are all known; where they are not, nothing is said of what is on none.
fn has_all_vteps(table: &UnderlayTable) -> bool {
    table.are_vteps_sound && table.vteps.given().is_some_and(|vteps| !vteps.value.is_empty())
}

fn vteps(table: &UnderlayTable, findings: &Findings<'_>) -> Vec<Vtep> {
    let mut vteps: Vec<Vtep> = Vec::new();
    let Some(written) = table.vteps.given() else { return vteps };
    if written.value.is_empty() && table.are_vteps_sound {
        findings.add(written.at, &table.subject, Mistake::Empty { key: "vteps", what: "address of this node" });
    }
    for At { value: written, at } in &written.value {
        let vtep = Vtep::new(*written);
        let address = vtep.address();
        if let Some(mistake) = no_node(address, Some(vtep.on_link())) {
            findings.add(*at, &table.subject, mistake);
        }
        match vteps.iter().find(|other| other.address().is_ipv4() == address.is_ipv4()) {
            Some(other) => {
                findings.add(*at, &table.subject, Mistake::FamilyTwice { address, other: other.address() });
            }
            None => vteps.push(vtep),
        }
    }
    vteps
}

/// Why an address can be no node's.
fn no_node(address: IpAddr, link: Option<Prefix>) -> Option<Mistake> {
    if let Some(class) = class(address) {
        return Some(Mistake::NotUnicast { address, class });
    }
    let subnet = link.filter(|link| link.contains(address) && !link.has_host(address))?;
    Some(Mistake::AddressNotHost { address, subnet })
}

fn uplinks(table: &UnderlayTable, (ports, all): (&[PortTable], &mut Listed), findings: &Findings<'_>) -> Vec<Name> {
    all.is_short = !table.are_uplinks_sound;
    let Some(written) = table.uplinks.given() else { return Vec::new() };
    if written.value.is_empty() && table.are_uplinks_sound {
        all.is_short = true;
        findings.add(written.at, &table.subject, Mistake::Empty { key: "uplinks", what: "port" });
    }
    let mut listed = First::new();
    let mut uplinks = Vec::new();
    for At { value: name, at } in &written.value {
        if let Some((first, ())) = listed.note(name.clone(), *at, ()) {
            let mistake = Mistake::NameRepeated { name: name.clone(), first: findings.line(first) };
            findings.add(*at, &table.subject, mistake);
            continue;
        }
        all.names.insert(name.clone());
        let mut named = ports.iter().filter(|port| port.name.given().is_some_and(|port| port.value == *name));
        let mistake = match named.next() {
            None => {
                all.is_short = true;
                let names = ports.iter().filter_map(|port| port.name.given()).map(|name| &name.value);
                Some(unknown(name, names, |name, nearest, names| Mistake::UnknownPort { name, nearest, names }))
            }
            // What it is has been asked already.
            Some(port) if !port.is_kind_sound => continue,
            Some(port) if port.kind != PortKind::Uplink => {
                Some(Mistake::NotAnUplink { port: name.clone(), kind: port.kind })
            }
            Some(port) if is_in_network(port) => Some(Mistake::UplinkInNetwork { port: name.clone() }),
            Some(_) => None,
        };
        match mistake {
            Some(mistake) => findings.add(*at, &table.subject, mistake),
            None => uplinks.push(name.clone()),
        }
    }
    uplinks
}

fn is_in_network(port: &PortTable) -> bool {
    let tagged = matches!(&port.vlans, Entry::Given(vlans) if !vlans.value.is_empty());
    port.network.given().is_some() || tagged
}

fn routes(table: &UnderlayTable, underlay: &Underlay, findings: &Findings<'_>) -> Vec<UnderlayRoute> {
    let has_all = has_all_vteps(table);
    let mut routed = First::new();
    let mut routes = Vec::new();
    for route in &table.routes {
        let (Some(At { value: WrittenPrefix(written), at }), Some(via)) = (route.prefix.given(), route.via.given())
        else {
            continue;
        };
        let prefix = Prefix::of(*written);
        if prefix.network() != written.address() {
            findings.add(*at, &route.subject, Mistake::HostBits { written: *written, prefix });
        }
        if let Some((first, ())) = routed.note(prefix, *at, ()) {
            let mistake = Mistake::UnderlayRouteTwice { prefix, first: findings.line(first) };
            findings.add(*at, &route.subject, mistake);
        }
        if via.value.is_empty() {
            findings.add(via.at, &route.subject, Mistake::Empty { key: "via", what: "next hop" });
        }
        routes.push(UnderlayRoute { prefix, via: next_hops(route, &via.value, (prefix, underlay, has_all), findings) });
    }
    routes
}

fn next_hops(
    route: &UnderlayRouteTable,
    via: &[At<IpAddr>],
    (prefix, underlay, has_all): (Prefix, &Underlay, bool),
    findings: &Findings<'_>,
) -> Vec<IpAddr> {
    let links: Vec<Prefix> = underlay.vteps.iter().map(|vtep| vtep.on_link()).collect();
    let mut listed = First::new();
    for At { value: next_hop, at } in via {
        let (next_hop, first) = (*next_hop, listed.note(*next_hop, *at, ()));
        let link = links.iter().find(|link| link.contains(next_hop));
        let mistake = match (first, link) {
            (Some((first, ())), _) => Some(Mistake::AddressRepeated { address: next_hop, first: findings.line(first) }),
            _ if next_hop.is_ipv4() != prefix.network().is_ipv4() => Some(Mistake::OtherFamily { next_hop, prefix }),
            // IPv6 routers are known by link-local addresses, which are on every link (RFC 4861, section 4.2).
            _ if matches!(next_hop, IpAddr::V6(v6) if v6.is_unicast_link_local()) => None,
            (None, None) if !has_all => None,
            (None, None) => Some(Mistake::NotConnected { next_hop, subnets: links.clone() }),
            _ if is_own(underlay, next_hop) => Some(Mistake::OwnVtep { address: next_hop }),
            (None, Some(link)) => no_node(next_hop, Some(*link)),
        };
        if let Some(mistake) = mistake {
            findings.add(*at, &route.subject, mistake);
        }
    }
    via.iter().map(|next_hop| next_hop.value).collect()
}

fn is_own(underlay: &Underlay, address: IpAddr) -> bool {
    underlay.vteps.iter().any(|vtep| vtep.address() == address)
}

fn verify_peers(
    tables: &[PeerTable],
    (underlay, whole): (&Underlay, bool),
    findings: &Findings<'_>,
) -> BTreeMap<Name, Peer> {
    if let Some(surplus) = tables.get(MOST) {
        let mistake = Mistake::TooMany { what: "peer", count: tables.len(), most: MOST };
        findings.add(surplus.at, &surplus.subject, mistake);
    }
    let (mut names, mut vteps) = (First::new(), First::new());
    let mut peers = BTreeMap::new();
    for table in tables {
        if let Some(At { value: address, at }) = table.vtep.given() {
            let twice = vteps.note(*address, *at, table.subject.clone());
            let twice =
                twice.map(|(first, peer)| Mistake::PeerTwice { address: *address, peer, first: findings.line(first) });
            let mistake = twice.or_else(|| unreachable(*address, underlay, whole));
            if let Some(mistake) = mistake {
                findings.add(*at, &table.subject, mistake);
            }
        }
        let Some(At { value: name, at }) = table.name.given() else { continue };
        if let Some((first, ())) = names.note(name.clone(), *at, ()) {
            let mistake = Mistake::DuplicateName { what: "a peer", name: name.clone(), first: findings.line(first) };
            findings.add(*at, &table.subject, mistake);
            continue;
        }
        // A peer whose address was refused keeps its name known; nothing is made of it.
        let vtep = table.vtep.given().map_or(IpAddr::from([0, 0, 0, 0]), |vtep| vtep.value);
        peers.insert(name.clone(), Peer { name: name.clone(), vtep });
    }
    peers
}

/// Counts the IPv4 neighbours that peers are reached by. Where the host has our address too, an uplink's program must know each of
/// them; whether it has is not known here and may change, so the bound holds always.
fn next_hops_of(tables: &[PeerTable], underlay: &Underlay, findings: &Findings<'_>) {
    let (mut next_hops, mut surplus) = (BTreeSet::new(), None);
    for table in tables {
        let Some(At { value: vtep, at }) = table.vtep.given() else { continue };
        next_hops.extend(underlay.next_hops(*vtep).into_iter().filter(IpAddr::is_ipv4));
        if next_hops.len() > MAX_NEXT_HOPS {
            surplus = surplus.or(Some((*at, &table.subject)));
        }
    }
    if let Some((at, subject)) = surplus {
        findings.add(at, subject, Mistake::TooManyNextHops { count: next_hops.len(), most: MAX_NEXT_HOPS });
    }
}

/// Why no tunnel can end at an address.
fn unreachable(address: IpAddr, underlay: &Underlay, whole: bool) -> Option<Mistake> {
    let links: Vec<Prefix> = underlay.vteps.iter().map(|vtep| vtep.on_link()).collect();
    let link = links.iter().copied().find(|link| link.contains(address));
    if let Some(mistake) = no_node(address, link) {
        return Some(mistake);
    }
    if is_own(underlay, address) {
        return Some(Mistake::OwnVtep { address });
    }
    if !whole {
        return None;
    }
    if underlay.towards(address).is_none() {
        return Some(Mistake::NoVtepOfFamily { address });
    }
    underlay.next_hops(address).is_empty().then_some(Mistake::Unreachable { address, links })
}
