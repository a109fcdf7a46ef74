//! Rules of `sharing`: where an uplink stays the host's too, its program hands over what is for a stated station and nothing else,
//! so each station must be stated; and what is shared by IP address is one segment with the wire.

use crate::config::file::{File, NetworkTable, PortTable};
use crate::config::mistake::{Findings, Mistake};
use crate::desired::{Desired, Name, Port, Sharing};
use podlane_api::PortKind;

pub(super) fn verify(file: &File, findings: &Findings<'_>) {
    for uplink in file.ports.iter().filter(|port| is_uplink(port)) {
        let (Some(name), Some(sharing)) = (uplink.name.given(), uplink.device.sharing.given()) else { continue };
        for network in networks(uplink) {
            let stations = file.ports.iter().filter(|port| is_station_in(port, network));
            for port in stations {
                if let Some(key) = unstated(port, sharing.value) {
                    let (network, uplink) = (network.clone(), name.value.clone());
                    findings.add(port.at, &port.subject, Mistake::UnknownOnUplink { network, uplink, key });
                }
            }
            let is_it = |table: &&NetworkTable| table.name.given().is_some_and(|name| name.value == *network);
            let table = file.networks.iter().find(is_it).filter(|_| sharing.value == Sharing::Ip);
            if let Some((table, at)) = table.and_then(|table| Some((table, routed(table)?))) {
                findings.add(at, &table.subject, Mistake::RoutedOnUplink { uplink: name.value.clone() });
            }
        }
    }
}

/// The networks of a port, those included that do not exist: they are told of elsewhere.
fn networks(port: &PortTable) -> impl Iterator<Item = &Name> {
    let tagged = port.vlans.given().into_iter().flat_map(|vlans| &vlans.value).map(|(_, network)| &network.value);
    port.network.given().map(|network| &network.value).into_iter().chain(tagged)
}

fn is_station_in(port: &PortTable, network: &Name) -> bool {
    port.is_kind_sound && port.kind != PortKind::Uplink && networks(port).any(|name| name == network)
}

fn is_uplink(port: &PortTable) -> bool {
    port.is_kind_sound && port.kind == PortKind::Uplink
}

fn unstated(port: &PortTable, sharing: Sharing) -> Option<&'static str> {
    missing(sharing, !port.mac.is_absent(), !port.addresses.is_empty())
}

/// What a station should state so that the uplink's program knows its frames, and does not.
const fn missing(sharing: Sharing, has_mac: bool, has_addresses: bool) -> Option<&'static str> {
    match sharing {
        _ if !has_mac => Some("mac"),
        Sharing::Ip if !has_addresses => Some("addresses"),
        Sharing::Mac | Sharing::Ip => None,
    }
}

/// Why a port that is added while the switch runs cannot be in its networks.
pub(crate) fn unknown_on_uplink(port: &Port, desired: &Desired) -> Option<Mistake> {
    port.membership.networks().find_map(|network| {
        let uplink = desired.uplink_shared_in(network)?;
        let key = missing(uplink.sharing()?, port.mac.is_some(), !port.addresses.is_empty())?;
        Some(Mistake::UnknownOnUplink { network: network.clone(), uplink: uplink.name.clone(), key })
    })
}

/// Where the network says that it is more than a segment, if it does.
fn routed(network: &NetworkTable) -> Option<usize> {
    network.gateways.first().map(|gateway| gateway.at).or(network.vni.at())
}
