//! An uplink that tunnels go by: what of its traffic is Podlane's, which of our addresses the host has too, and what fits.
//!
//! The NIC stays the host's. Its program is told what is ours, and all else goes to the kernel as if we were not there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use podlane_bpf::{Claim, Vtep};
use podlane_dataplane::tables::underlay::link_local;
use podlane_wire::MacAddr;

use super::board::Facts;
use super::world::World;
use crate::compile::{Seen, proposed_mtu};
use crate::desired::{Behind, Desired, Name, Underlay};

/// The least MTU of a link that carries IPv6 (RFC 8200, section 5).
const IPV6_MIN_MTU: u16 = 1_280;

/// What of an uplink's traffic is Podlane's; a [`Claim`] that owns its lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claimed {
    vteps: Vec<Vtep>,
    tunnel_ports: Vec<u16>,
    next_hops: Vec<IpAddr>,
    whole: bool,
}

impl Claimed {
    /// What an uplink of this name and MAC address claims, where the host has `hosts` of our VTEP addresses too: what is for our
    /// tunnels, or all of it where the uplink is in networks.
    pub(super) fn of(desired: &Desired, name: &Name, mac: MacAddr, hosts: &BTreeSet<IpAddr>) -> Self {
        let underlay = desired.underlay.as_ref().filter(|underlay| underlay.uplinks.contains(name));
        let Some(underlay) = underlay else {
            return Self { vteps: Vec::new(), tunnel_ports: Vec::new(), next_hops: Vec::new(), whole: true };
        };
        let addresses = underlay.vteps.iter().map(|vtep| vtep.address());
        let mut vteps: Vec<Vtep> = addresses.map(|address| Vtep { address, own: !hosts.contains(&address) }).collect();
        // From it we ask for IPv6 next hops.
        if vteps.iter().any(|vtep| vtep.address.is_ipv6()) {
            vteps.push(Vtep { address: link_local(mac).into(), own: true });
        }
        let next_hops = probed(desired, underlay, hosts);
        Self { vteps, tunnel_ports: vec![underlay.udp_port], next_hops, whole: false }
    }

    /// Whether nothing is left to the host.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// For the uplink's program.
    pub(super) fn claim(&self) -> Claim<'_> {
        let Self { vteps, tunnel_ports, next_hops, whole } = self;
        Claim { vteps, tunnel_ports, next_hops, whole: *whole, ..Claim::default() }
    }
}

/// The IPv4 next hops, if they are asked for by probes: from an address that the host has too, answers would be the host's.
fn probed(desired: &Desired, underlay: &Underlay, hosts: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let is_shared = |peer: &IpAddr| underlay.towards(*peer).is_some_and(|vtep| hosts.contains(&vtep.address()));
    let peers = desired.peers.values().map(|peer| peer.vtep).filter(IpAddr::is_ipv4).filter(is_shared);
    let next_hops: BTreeSet<IpAddr> = peers.flat_map(|peer| underlay.next_hops(peer)).collect();
    next_hops.into_iter().collect()
}

/// Which of our VTEP addresses the host has too, on any device of the uplinks' namespaces. Where a namespace cannot be looked at,
/// its uplinks are not up either.
pub(super) fn hosts(desired: &Desired, world: &mut World) -> BTreeSet<IpAddr> {
    let Some(underlay) = &desired.underlay else { return BTreeSet::new() };
    let ports = underlay.uplinks.iter().filter_map(|name| desired.ports.get(name));
    let places: BTreeSet<_> = ports
        .filter_map(|port| match &port.behind {
            Behind::Device(device) => Some(&device.netns),
            Behind::Replay(_) => None,
        })
        .collect();
    let had: BTreeSet<IpAddr> = places.into_iter().flat_map(|netns| world.addresses(netns)).collect();
    underlay.vteps.iter().map(|vtep| vtep.address()).filter(|address| had.contains(address)).collect()
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
