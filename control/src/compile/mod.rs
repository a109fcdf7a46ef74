//! From what is desired to what the workers switch by.
//!
//! [`compile`] is pure: the same desires, numbers and attachments give the same tables. It is where names become numbers; a
//! worker never meets a name, and nothing here has met a device.

mod amend;
mod numbers;
mod overlay;
mod rates;
mod stations;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_dataplane::Generation;
use podlane_dataplane::offload::EngineId;
use podlane_dataplane::tables::lpm::{Lpm, LpmError, Route};
use podlane_dataplane::tables::{Gateway, Member, Network, NextHop, PortTable, Tables, Vrf};
use podlane_wire::MacAddr;
use thiserror::Error;

pub use amend::{Changed, amend, is_amendable};
pub use numbers::{Former, Numbers};
pub use overlay::proposed_mtu;

use crate::desired::{self, Desired, Endpoint, Name, Target};

/// The place of the emulated offload engine among those of a switch.
pub const EMULATED: EngineId = EngineId(0);

/// What is known of a port once it is attached. A port that is not attached is in no table: it is closed, and nothing is
/// sent to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// The longest IP packet its device takes.
    pub mtu: u16,
    /// Its device's MAC address, zeros where it has none.
    pub mac: MacAddr,
    /// Whether the kernel behind it leaves checksums to be finished.
    pub unfinished_checksums: bool,
}

/// What is known of the world, beside what is desired.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// The ports that are attached.
    pub attached: BTreeMap<Name, Attached>,
    /// The VTEP addresses that the host has as well.
    pub hosts: BTreeSet<IpAddr>,
    /// The stations on other nodes: those of the configuration, as they have moved since.
    pub endpoints: Vec<Endpoint>,
}

/// What is desired cannot be put into tables.
#[derive(Debug, Error)]
pub enum Unsatisfied {
    /// The routes of a VRF do not make a table.
    #[error("vrf {vrf}: {source}")]
    Routes {
        /// The VRF.
        vrf: Name,
        /// What is wrong with them.
        source: LpmError,
    },
}

/// The tables for what is desired and seen.
///
/// # Errors
/// [`Unsatisfied`]; the tables in force stay.
pub fn compile(
    desired: &Desired,
    numbers: &Numbers,
    seen: &Seen,
    generation: Generation,
) -> Result<Tables, Unsatisfied> {
    let mut tables = Tables {
        generation,
        ports: vec![None; numbers.ports_end()],
        networks: numbers.networks().map(|name| network_of(desired, name, (numbers, seen))).collect(),
        vrfs: numbers.vrfs().map(|vrf| vrf_of(desired, numbers, vrf)).collect::<Result<_, _>>()?,
        underlay: overlay::underlay(desired, numbers, seen).into(),
    };
    // Both are in the order of the names: of hundreds of ports, none is looked for among the others.
    let mut attached = seen.attached.iter().peekable();
    for (name, port) in &desired.ports {
        while attached.next_if(|(other, _)| *other < name).is_some() {}
        if let Some((_, facts)) = attached.next_if(|(other, _)| *other == name) {
            open(&mut tables, port, *facts, (desired, numbers));
        }
    }
    for network in desired.networks.values().filter(|network| network.flood) {
        replicate(&mut tables, network, numbers);
    }
    stations::enter(&mut tables, desired, numbers, seen);
    let uplinks = desired.underlay.iter().flat_map(|underlay| &underlay.uplinks);
    for name in uplinks.filter(|name| seen.attached.contains_key(*name)) {
        if let Some(port) = &mut tables.ports[numbers.port(name).index()] {
            port.underlay = true;
        }
    }
    Ok(tables)
}

/// The network of a number, without ports. Behind one that is nobody's is nothing, and no table leads there.
fn network_of(desired: &Desired, name: Option<&Name>, known: (&Numbers, &Seen)) -> Network {
    let network = name.and_then(|name| desired.networks.get(name));
    network.map(|network| empty(desired, network, known)).unwrap_or_default()
}

/// The routes of a number's VRF; none of one that is nobody's.
fn vrf_of(desired: &Desired, numbers: &Numbers, name: Option<&Name>) -> Result<Vrf, Unsatisfied> {
    name.map_or_else(|| Ok(Vrf::default()), |vrf| routes(desired, numbers, vrf))
}

/// A network without ports.
fn empty(desired: &Desired, network: &desired::Network, (numbers, seen): (&Numbers, &Seen)) -> Network {
    Network {
        vrf: numbers.vrf(&network.vrf),
        gateway: gateway(network, mtu_of(desired, network, seen)),
        learning: network.learning,
        flood_unknown: true,
        mac_age: u32::try_from(network.mac_age.as_millis()).unwrap_or(u32::MAX),
        flood_limit: network.flood_limit.0,
        snooping: true,
        ..Network::default()
    }
}

/// The largest IP packet of a network: what it states, else what its tunnels carry.
#[must_use]
pub fn mtu_of(desired: &Desired, network: &desired::Network, seen: &Seen) -> u16 {
    let stated = network.mtu.map(|mtu| u16::try_from(mtu.get()).unwrap_or(u16::MAX));
    stated.or_else(|| proposed_mtu(desired, network, &seen.attached)).unwrap_or(u16::MAX)
}

/// Floods a network to its peers as well.
fn replicate(tables: &mut Tables, network: &desired::Network, numbers: &Numbers) {
    let id = numbers.network(&network.name);
    let first = |peer| tables.underlay.first_path(id, numbers.peer(peer));
    let firsts = network.peers.iter().filter_map(first).collect();
    let flooded = &mut tables.networks[id.index()];
    flooded.replicate_to = firsts;
    flooded.replication_limit = network.replication_limit.0;
}

fn gateway(network: &desired::Network, mtu: u16) -> Option<Gateway> {
    if network.gateways.is_empty() {
        return None;
    }
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for gateway in &network.gateways {
        match gateway.address() {
            IpAddr::V4(v4) => ipv4.push((v4, gateway.prefix_len())),
            IpAddr::V6(v6) => ipv6.push((v6, gateway.prefix_len())),
        }
    }
    let mac = MacAddr(network.gateway_mac.0);
    Some(Gateway { mac, ipv4, ipv6, link_local: mac.link_local(), mtu })
}

/// Enters a port that is attached.
fn open(tables: &mut Tables, port: &desired::Port, facts: Attached, (desired, numbers): (&Desired, &Numbers)) {
    let id = numbers.port(&port.name);
    let Attached { mtu, mac, unfinished_checksums } = facts;
    let native = port.membership.untagged.as_ref().map(|name| numbers.network(name));
    // In order of the ids already: the map is.
    let vlans: Vec<_> = port.membership.tagged.iter().map(|(vlan, name)| (vlan.get(), numbers.network(name))).collect();
    let tagged = vlans.iter().map(|(vlan, network)| (Some(*vlan), *network));
    for (vlan, network) in native.iter().map(|network| (None, *network)).chain(tagged) {
        let members = &mut tables.networks[network.index()].members;
        // By number, in whatever order they come: a table that was amended is the one that would have been compiled.
        let at = members.partition_point(|member| member.port < id);
        members.insert(at, Member { port: id, vlan, mtu });
    }
    tables.ports[id.index()] = Some(PortTable {
        mac: port.mac.map(|mac| MacAddr(mac.0)),
        addresses: port.addresses.clone(),
        native,
        vlans,
        mtu,
        outer_mac: (port.sharing() == Some(desired::Sharing::Ip)).then_some(mac),
        underlay: false,
        unfinished_checksums,
        policed: desired.polices(port),
        dhcp: port.dhcp,
        rates: rates::of(&port.rates, mtu),
        offload: match desired.offload_of(port) {
            desired::Offload::None => None,
            desired::Offload::Emulated => Some(EMULATED),
        },
    });
}

/// The routes of a VRF: to its networks' subnets, and as configured.
fn routes(desired: &Desired, numbers: &Numbers, vrf: &Name) -> Result<Vrf, Unsatisfied> {
    let mut next_hops: Vec<NextHop> = Vec::new();
    let (mut ipv4, mut ipv6): (Vec<Route<Ipv4Addr>>, Vec<Route<Ipv6Addr>>) = (Vec::new(), Vec::new());
    let mut add = |prefix: desired::Prefix, hop: NextHop| {
        let known = next_hops.iter().position(|known| *known == hop);
        let value = known.unwrap_or_else(|| {
            next_hops.push(hop);
            next_hops.len() - 1
        }) as u32;
        match prefix.network() {
            IpAddr::V4(v4) => ipv4.push(Route { prefix: v4, len: prefix.len(), value }),
            IpAddr::V6(v6) => ipv6.push(Route { prefix: v6, len: prefix.len(), value }),
        }
    };
    for network in desired.networks_of(vrf) {
        let connected = NextHop::Connected(numbers.network(&network.name));
        network.subnets().for_each(|subnet| add(subnet, connected));
    }
    for route in desired.routes.iter().filter(|route| route.vrf == *vrf) {
        add(
            route.prefix,
            match &route.target {
                Target::Via { next_hop, network } => NextHop::Via(numbers.network(network), *next_hop),
                Target::Discard => NextHop::Blackhole,
            },
        );
    }
    let unsatisfied = |source| Unsatisfied::Routes { vrf: vrf.clone(), source };
    let ipv4 = Lpm::build(&ipv4).map_err(unsatisfied)?;
    let ipv6 = Lpm::build(&ipv6).map_err(unsatisfied)?;
    Ok(Vrf { ipv4, ipv6, next_hops })
}
