//! The pod's side: its namespace, and what its end of the link is given there.

use std::net::IpAddr;
use std::path::Path;

use podlane_api::{Gateway, MacAddr};
use podlane_host::{Feature, HostError, LinkAddress, Links, Netns, NetnsId, Route, sysctl};

use super::error::{AttachError, OrderError};
use super::{Address, Interface, PodRoute};
use crate::desired::Prefix;

/// A pod's network namespace, which is not the daemon's own.
#[derive(Debug)]
pub(super) struct PodNetns {
    pub(super) netns: Netns,
    id: NetnsId,
}

/// What a pod's end of a link is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodEnd<'a> {
    pub(super) interface: &'a Interface,
    pub(super) mtu: u32,
    pub(super) addresses: &'a [Address],
    pub(super) routes: &'a [PodRoute],
    /// Whether segments of one stream are merged as they come in: over a veth nothing does so unasked, and it is worth
    /// 15 to 45 % of TCP's rate. A NIC has its driver's own mind.
    pub(super) merges: bool,
}

impl PodNetns {
    /// Opens the namespace behind a path.
    ///
    /// # Errors
    /// It is no network namespace, or the daemon's own.
    pub(super) fn open(path: &Path, own: NetnsId) -> Result<Self, AttachError> {
        let netns = Netns::open(path).map_err(AttachError::Netns)?;
        let id = netns.id().map_err(AttachError::Netns)?;
        if id == own {
            return Err(AttachError::OwnNetns { path: path.to_owned() });
        }
        Ok(Self { netns, id })
    }

    /// How the kernel numbers it.
    pub(super) fn number(&self) -> String {
        self.id.to_string()
    }
}

/// The routes of a pod, each with its gateway: what was ordered, and the default route where it goes this way and nobody ordered another.
///
/// # Errors
/// A route is of a family that the pod has no gateway of.
pub(super) fn routes(ordered: &[PodRoute], default: bool, addresses: &[Address]) -> Result<Vec<PodRoute>, OrderError> {
    let gateway = |of: &Gateway| {
        let same_family = |gateway: &IpAddr| gateway.is_ipv4() == of.address().is_ipv4();
        addresses.iter().filter_map(|address| address.gateway).find(same_family)
    };
    let mut routes = Vec::new();
    for route in ordered {
        let via = route.via.or_else(|| gateway(&route.to)).ok_or(OrderError::NoGateway(route.to))?;
        routes.push(PodRoute { to: masked(route.to), via: Some(via), ..*route });
    }
    for address in addresses.iter().filter(|_| default) {
        let Some(via) = address.gateway else { continue };
        let everywhere = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let to: Gateway = everywhere.parse().expect("an address with a prefix length");
        if routes.iter().all(|route| route.to != to) {
            routes.push(PodRoute { to, via: Some(via), mtu: None });
        }
    }
    Ok(routes)
}

/// A destination without the bits that its prefix leaves out, as the kernel wants it.
fn masked(to: Gateway) -> Gateway {
    let prefix = Prefix::of(to);
    Gateway::new(prefix.network(), prefix.len()).expect("a prefix is as long as its address allows")
}

/// Gives a pod's end all it is to have, and returns the links of the pod, which the calling thread is in.
///
/// # Errors
/// The kernel refuses a step; some are done then.
pub(super) fn furnish(mut links: Links, end: &PodEnd<'_>) -> Result<Links, AttachError> {
    let name = end.interface.name.as_str();
    let (v4, v6) = families(end.addresses);
    if v6 {
        // Runtimes switch IPv6 off where they know of no IPv6 address.
        sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), 0).map_err(AttachError::host("IPv6 in the pod"))?;
    }
    have_it_announce(name, v4, v6);
    links.set_up("lo").map_err(AttachError::host("the pod's loopback"))?;
    let link = links.by_name(name).map_err(AttachError::host("the pod's interface"))?;
    for address in end.addresses {
        let Address { address, .. } = address;
        let added = links.add_address(&link, address.address(), address.prefix_len());
        added.map_err(AttachError::host("the pod's address"))?;
    }
    if end.merges {
        merge(&mut links, link.index);
    }
    links.set_up(&link).map_err(AttachError::host("the pod's interface"))?;
    for route in end.routes {
        let route = as_link_route(route, end.addresses);
        links.route(&route, &link).map_err(AttachError::host("the pod's route"))?;
    }
    Ok(links)
}

/// Has the pod's kernel tell its neighbours of its addresses, now and whenever its link changes. Without it stale neighbours learn by
/// asking, so that a host whose /proc/sys cannot be written is no reason not to attach.
fn have_it_announce(name: &str, v4: bool, v6: bool) {
    let switches =
        [(v4, format!("net/ipv4/conf/{name}/arp_notify")), (v6, format!("net/ipv6/conf/{name}/ndisc_notify"))];
    for (_, switch) in switches.iter().filter(|(wanted, _)| *wanted) {
        if let Err(error) = sysctl(switch, 1) {
            tracing::warn!(%error, "the pod will not announce its addresses");
        }
    }
}

/// Merges segments, where the link can.
pub(super) fn merge(links: &mut Links, index: u32) {
    if let Err(error) = links.set_feature(index, Feature::Gro, true) {
        tracing::debug!(%error, "received segments are not merged");
    }
}

/// What of a pod's end is not as it should be.
///
/// # Errors
/// The kernel cannot be asked.
pub(super) fn differences(links: &mut Links, end: &PodEnd<'_>) -> Result<Vec<String>, HostError> {
    let name = end.interface.name.as_str();
    let link = match links.by_name(name) {
        Ok(link) => link,
        Err(HostError::NoSuchLink { .. }) => return Ok(vec![format!("the pod has no interface {name}")]),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    let mac = link.mac.map(MacAddr);
    if mac != Some(end.interface.mac) {
        let has = mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
        found.push(format!("{name} has the MAC address {has} and should have {}", end.interface.mac));
    }
    // A smaller one may well be wanted: `tuning` sets it, and not all of its versions tell.
    if link.mtu > end.mtu {
        found.push(format!("{name} has the MTU {} and should have {} at most", link.mtu, end.mtu));
    }
    if !link.up {
        found.push(format!("{name} is down"));
    }
    let addresses = links.addresses(&link)?;
    let has = |wanted: Gateway| {
        let same = |own: &LinkAddress| own.address == wanted.address() && own.prefix == wanted.prefix_len();
        addresses.iter().any(same)
    };
    let lacking = end.addresses.iter().filter(|wanted| !has(wanted.address));
    found.extend(lacking.map(|wanted| format!("{name} has lost its address {}", wanted.address)));
    let routes = links.routes(&link)?;
    for wanted in end.routes {
        let Route { destination, prefix, via, mtu, .. } = as_link_route(wanted, end.addresses);
        let is_it = |route: &Route| {
            (route.destination, route.prefix, route.via) == (destination, prefix, via)
                && (mtu.is_none() || route.mtu == mtu)
        };
        if !routes.iter().any(is_it) {
            let via = via.map(|via| format!(" via {via}")).unwrap_or_default();
            found.push(format!("the pod has lost its route to {destination}/{prefix}{via}"));
        }
    }
    Ok(found)
}

/// A pod's route as the kernel takes it: a gateway that no address says is near is said to be.
fn as_link_route(route: &PodRoute, addresses: &[Address]) -> Route {
    let is_near = |via: IpAddr| addresses.iter().any(|own| Prefix::of(own.address).contains(via));
    Route {
        destination: route.to.address(),
        prefix: route.to.prefix_len(),
        via: route.via,
        mtu: route.mtu,
        on_link: route.via.is_some_and(|via| !is_near(via)),
    }
}

fn families(addresses: &[Address]) -> (bool, bool) {
    let any = |v4: bool| addresses.iter().any(|own| own.address.address().is_ipv4() == v4);
    (any(true), any(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, gateway: Option<&str>) -> Address {
        Address { address: text.parse().unwrap(), gateway: gateway.map(|text| text.parse().unwrap()) }
    }

    fn route(to: &str, via: Option<&str>) -> PodRoute {
        PodRoute { to: to.parse().unwrap(), via: via.map(|text| text.parse().unwrap()), mtu: None }
    }

    #[test]
    fn each_family_with_a_gateway_has_its_default_route() {
        let both = [address("10.1.0.2/24", Some("10.1.0.1")), address("fd00:1::2/64", Some("fd00:1::1"))];
        let expected = [route("0.0.0.0/0", Some("10.1.0.1")), route("::/0", Some("fd00:1::1"))];
        assert_eq!(routes(&[], true, &both).unwrap(), expected);
        assert_eq!(routes(&[], false, &both).unwrap(), []);
        assert_eq!(routes(&[], true, &[address("10.1.0.2/24", None)]).unwrap(), []);
    }

    #[test]
    fn an_ordered_default_route_takes_the_place_of_ours() {
        let own = [address("10.1.0.2/24", Some("10.1.0.1"))];
        let ordered = PodRoute { mtu: Some(1400), ..route("0.0.0.0/0", Some("10.1.0.254")) };
        assert_eq!(routes(&[ordered], true, &own).unwrap(), [ordered]);
    }

    #[test]
    fn a_route_without_a_gateway_takes_its_familys_and_is_masked() {
        let own = [address("10.1.0.2/24", Some("10.1.0.1"))];
        let given = routes(&[route("10.9.3.4/16", None)], false, &own).unwrap();
        assert_eq!(given, [route("10.9.0.0/16", Some("10.1.0.1"))]);
        let refused = routes(&[route("fd00:9::/64", None)], false, &own);
        assert_eq!(refused, Err(OrderError::NoGateway("fd00:9::/64".parse().unwrap())));
    }

    #[test]
    fn a_gateway_that_no_address_is_near_is_said_to_be_on_the_link() {
        let lone = [address("10.1.0.2/32", Some("169.254.1.1"))];
        assert!(as_link_route(&route("0.0.0.0/0", Some("169.254.1.1")), &lone).on_link);
        let near = [address("10.1.0.2/24", Some("10.1.0.1"))];
        assert!(!as_link_route(&route("0.0.0.0/0", Some("10.1.0.1")), &near).on_link);
    }
}
