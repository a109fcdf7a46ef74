//! An uplink that the host has too: what of its traffic is Podlane's, which of our addresses are the host's as well, and what fits
//! into tunnels.
//!
//! The NIC stays the host's. Its program is told what is ours, and all else goes to the kernel as if we were not there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use podlane_bpf::{Claim, Station, Vtep};
use podlane_dataplane::tables::underlay::link_local;
use podlane_wire::MacAddr;

use super::board::Facts;
use super::world::World;
use crate::compile::{Seen, proposed_mtu};
use crate::desired::{Behind, Desired, Membership, Name, Network, Port, Sharing, Underlay};

/// The least MTU of a link that carries IPv6 (RFC 8200, section 5).
const IPV6_MIN_MTU: u16 = 1_280;

/// What of an uplink's traffic is Podlane's; a [`Claim`] that owns its lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claimed {
    vteps: Vec<Vtep>,
    tunnel_ports: Vec<u16>,
    next_hops: Vec<IpAddr>,
    macs: Vec<[u8; 6]>,
    stations: Vec<Station>,
    whole: bool,
}

impl Claimed {
    /// What an uplink of this name and MAC address claims, where the host has `hosts` of our VTEP addresses too: what is for our
    /// tunnels, or all of it where the uplink is in networks.
    pub(super) fn of(desired: &Desired, name: &Name, mac: MacAddr, hosts: &BTreeSet<IpAddr>) -> Self {
        let nothing = Self {
            vteps: Vec::new(),
            tunnel_ports: Vec::new(),
            next_hops: Vec::new(),
            macs: Vec::new(),
            stations: Vec::new(),
            whole: false,
        };
        let underlay = desired.underlay.as_ref().filter(|underlay| underlay.uplinks.contains(name));
        let Some(underlay) = underlay else {
            let uplink = desired.ports.get(name);
            return match uplink.and_then(|port| Some((port, port.sharing()?))) {
                Some((uplink, Sharing::Mac)) => Self { macs: macs(desired, uplink, mac), ..nothing },
                Some((uplink, Sharing::Ip)) => Self { stations: stations(desired, uplink, hosts), ..nothing },
                None => Self { whole: true, ..nothing },
            };
        };
        let addresses = underlay.vteps.iter().map(|vtep| vtep.address());
        let mut vteps: Vec<Vtep> = addresses.map(|address| Vtep { address, own: !hosts.contains(&address) }).collect();
        // From it we ask for IPv6 next hops.
        if vteps.iter().any(|vtep| vtep.address.is_ipv6()) {
            vteps.push(Vtep { address: link_local(mac).into(), own: true });
        }
        let next_hops = probed(desired, underlay, hosts);
        Self { vteps, tunnel_ports: vec![underlay.udp_port], next_hops, ..nothing }
    }

    /// What a former daemon had its program claim: not known here, and other than whatever is wanted, since all and some together never is.
    pub(super) fn unknown() -> Self {
        Self {
            vteps: Vec::new(),
            tunnel_ports: vec![0],
            next_hops: Vec::new(),
            macs: Vec::new(),
            stations: Vec::new(),
            whole: true,
        }
    }

    /// Whether nothing is left to the host.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// For the uplink's program.
    pub(super) fn claim(&self) -> Claim<'_> {
        let Self { vteps, tunnel_ports, next_hops, macs, stations, whole } = self;
        Claim { vteps, tunnel_ports, next_hops, macs, stations, whole: *whole }
    }
}

/// The MAC addresses of the stations that are on the wire by an uplink: its networks' gateways and the other ports in them. Never the
/// uplink's own, by which the host is reached.
fn macs(desired: &Desired, uplink: &Port, own: MacAddr) -> Vec<[u8; 6]> {
    let gateways = networks(desired, uplink).map(|(_, network)| network).filter(|network| !network.gateways.is_empty());
    let stations = networks(desired, uplink).flat_map(|(_, network)| stated(desired, uplink, network));
    let macs: BTreeSet<_> =
        gateways.map(|network| network.gateway_mac.0).chain(stations.map(|(_, mac)| mac.0)).collect();
    macs.into_iter().filter(|mac| *mac != own.0).collect()
}

/// The addresses of the stations that share an uplink's MAC address, and those they form from their own. Never one that the host
/// has: it would be cut off.
fn stations(desired: &Desired, uplink: &Port, hosts: &BTreeSet<IpAddr>) -> Vec<Station> {
    let of_port = |(port, mac): (&Port, MacAddr)| {
        let formed = IpAddr::from(mac.link_local());
        port.addresses.iter().copied().chain([formed]).collect::<Vec<_>>()
    };
    let stations = networks(desired, uplink).flat_map(|(vlan, network)| {
        let addresses = stated(desired, uplink, network).flat_map(of_port);
        addresses.filter(|address| !hosts.contains(address)).map(move |address| Station { vlan, address })
    });
    stations.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The networks of an uplink, each with its tag.
fn networks<'a>(desired: &'a Desired, uplink: &'a Port) -> impl Iterator<Item = (Option<u16>, &'a Network)> {
    let Membership { untagged, tagged } = &uplink.membership;
    let tagged = tagged.iter().map(|(vlan, name)| (Some(vlan.get()), name));
    let all = untagged.iter().map(|name| (None, name)).chain(tagged);
    all.filter_map(|(vlan, name)| Some((vlan, desired.networks.get(name)?)))
}

/// The other ports of a network that state their MAC address.
fn stated<'a>(
    desired: &'a Desired,
    uplink: &'a Port,
    network: &'a Network,
) -> impl Iterator<Item = (&'a Port, MacAddr)> + 'a {
    let others = desired.ports.values().filter(|port| port.name != uplink.name);
    let members = others.filter(|port| port.membership.networks().any(|name| *name == network.name));
    members.filter_map(|port| Some((&**port, MacAddr(port.mac?.0))))
}

/// The IPv4 next hops, if they are asked for by probes: from an address that the host has too, answers would be the host's.
fn probed(desired: &Desired, underlay: &Underlay, hosts: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let is_shared = |peer: &IpAddr| underlay.towards(*peer).is_some_and(|vtep| hosts.contains(&vtep.address()));
    let peers = desired.peers.values().map(|peer| peer.vtep).filter(IpAddr::is_ipv4).filter(is_shared);
    let next_hops: BTreeSet<IpAddr> = peers.flat_map(|peer| underlay.next_hops(peer)).collect();
    next_hops.into_iter().collect()
}

/// Which of our addresses the host has too, on any device of the uplinks' namespaces: VTEPs, and those of stations that share an
/// uplink's MAC address. Where a namespace cannot be looked at, its uplinks are not up either.
pub(super) fn hosts(desired: &Desired, world: &mut World) -> BTreeSet<IpAddr> {
    let underlay = desired.underlay.as_ref();
    let is_tunnels = |name: &Name| underlay.is_some_and(|underlay| underlay.uplinks.contains(name));
    let by_ip = |port: &Port| port.sharing() == Some(Sharing::Ip);
    let shared: Vec<&Port> = desired.ports.values().map(|port| &**port).filter(|port| by_ip(port)).collect();
    let places: BTreeSet<_> = desired
        .ports
        .values()
        .filter(|port| is_tunnels(&port.name) || by_ip(port))
        .filter_map(|port| match &port.behind {
            Behind::Device(device) => Some(&device.netns),
            Behind::Replay(_) => None,
        })
        .collect();
    if places.is_empty() {
        return BTreeSet::new();
    }
    let had: BTreeSet<IpAddr> = places.into_iter().flat_map(|netns| world.addresses(netns)).collect();
    let nobody = BTreeSet::new();
    let claimed = shared.into_iter().flat_map(|uplink| stations(desired, uplink, &nobody));
    let vteps = underlay.into_iter().flat_map(|underlay| &underlay.vteps).map(|vtep| vtep.address());
    vteps.chain(claimed.map(|station| station.address)).filter(|address| had.contains(address)).collect()
}

/// Warns of stations whose address the host has as well.
pub(super) fn tell_taken(desired: &Desired, hosts: &BTreeSet<IpAddr>) -> Option<String> {
    let by_ip = |port: &&Arc<Port>| port.sharing() == Some(Sharing::Ip);
    let nobody = BTreeSet::new();
    let claimed = desired.ports.values().filter(by_ip).flat_map(|uplink| stations(desired, uplink, &nobody));
    let taken: BTreeSet<String> =
        claimed.filter(|station| hosts.contains(&station.address)).map(|station| station.address.to_string()).collect();
    (!taken.is_empty()).then(|| {
        let taken = taken.into_iter().collect::<Vec<_>>().join(", ");
        format!("the host has {taken} as well as a pod that shares its uplink by ip, and keeps it; give the pod another address")
    })
}

/// Writes down what fits into the tunnels of each network, and warns where a network is said to be larger.
pub(super) fn tell_mtus(desired: &Desired, seen: &Seen, facts: &mut Facts) {
    for network in desired.networks.values() {
        let Some(fits) = proposed_mtu(desired, network, &seen.attached) else { continue };
        facts.proposed_mtus.insert(network.name.clone(), fits);
        let name = &network.name;
        let has_ipv6 = network.gateways.iter().any(|gateway| gateway.address().is_ipv6());
        let warning = match network.mtu.map(crate::desired::Mtu::get) {
            Some(stated) if stated > u32::from(fits) => Some(format!(
                "network {name} has an mtu of {stated}, and its tunnels carry {fits}; raise the MTU of the uplinks, or lower \
                 mtu (without one, the network takes what fits)"
            )),
            None if has_ipv6 && fits < IPV6_MIN_MTU => Some(format!(
                "the tunnels of network {name} carry {fits} bytes, and IPv6 takes {IPV6_MIN_MTU}; raise the MTU of the uplinks"
            )),
            _ => None,
        };
        let subject = format!("mtu of network {name}");
        match warning {
            Some(warning) => drop(facts.warnings.insert(subject, warning)),
            None => drop(facts.warnings.remove(&subject)),
        }
    }
}
