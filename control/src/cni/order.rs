//! What ADD orders.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use podlane_api::{Bandwidth, Gateway, MacAddr, Rates};

use super::environment::{CniArgs, Environment, is_identifier};
use super::netconf::{self, Netconf};
use super::previous;
use super::{CniError, Version, code};
use crate::attach::{Addressing, Key, Kind, Order, Origin};
use crate::config;
use crate::desired::BitRate;

/// The IPAM that is the daemon's own.
pub(super) const OWN_IPAM: &str = "podlane";

/// What a runtime's attachment is known by.
pub(super) fn key(list: &str, Environment { container, interface, .. }: &Environment) -> Key {
    Key { origin: Origin::Cni, list: list.to_owned(), container: container.clone(), interface: interface.clone() }
}

/// Who made the interface that is to be attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Maker {
    /// Nobody yet.
    Ours,
    /// A plugin before us: the host end of its veth.
    Another(String),
}

/// The order of one ADD.
pub(super) fn order(
    netconf: &Netconf,
    environment: &Environment,
    (args, path): (&str, &str),
    maker: &Maker,
) -> Result<Order, CniError> {
    let said = CniArgs::parse(args)?;
    let kind = kind(netconf, maker)?;
    if kind == Kind::VhostUser && netconf.version < Version::V1_1_0 {
        let details = format!(
            "kind \"vhost-user\" needs cniVersion 1.1.0: the results of {} have no word for a socket (write 1.1.0)",
            netconf.version
        );
        return Err(CniError::new(code::UNSUPPORTED, "unsupported field", details));
    }
    let addressing = match maker {
        Maker::Ours => addressing(netconf, &said, (args, path))?,
        Maker::Another(_) => Addressing::Given { addresses: given_before(netconf, environment) },
    };
    let is_own = matches!(addressing, Addressing::Own { .. });
    let routes = match (maker, netconf.words.ipam.as_ref().and_then(|ipam| ipam.routes.as_ref())) {
        (Maker::Ours, Some(routes)) if is_own => previous::routes("ipam.routes", routes)?,
        _ => Vec::new(),
    };
    let default_route = netconf.words.default_route.unwrap_or(is_own) && *maker == Maker::Ours;
    Ok(Order {
        key: key(&netconf.name, environment),
        kind,
        netns: environment.netns.clone(),
        network: netconf.network().to_owned(),
        mac: mac(netconf, &said)?.filter(|_| *maker == Maker::Ours),
        addressing,
        mtu: netconf.words.mtu.filter(|mtu| *mtu != 0),
        default_route,
        routes,
        rates: rates(netconf.runtime().bandwidth.unwrap_or_default())?,
        labels: labels(netconf),
        notes: notes(netconf, &said),
        pod: said.pod,
    })
}

fn kind(netconf: &Netconf, maker: &Maker) -> Result<Kind, CniError> {
    let device = netconf.words.device.as_deref();
    let kind = netconf.words.kind.as_deref().unwrap_or("veth");
    match (kind, device, maker) {
        ("veth", None, Maker::Another(host)) => Ok(Kind::Taken { host: host.clone() }),
        ("veth", None, Maker::Ours) => Ok(Kind::Veth),
        ("vhost-user", None, Maker::Ours) => Ok(Kind::VhostUser),
        ("host-device", Some(device), Maker::Ours) => Ok(Kind::HostDevice { device: device.to_owned() }),
        ("host-device", None, _) => Err(CniError::configuration(
            "kind \"host-device\" has no \"device\" (name the netdev of the host that the pod gets)",
        )),
        ("veth" | "vhost-user", Some(device), _) => Err(CniError::configuration(format!(
            "\"device\" is \"{device}\", and kind \"{kind}\" has none (take it out, or write kind \"host-device\")"
        ))),
        ("vhost-user" | "host-device", _, Maker::Another(_)) => Err(CniError::configuration(format!(
            "a plugin before this one has made the interface, so that kind \"{kind}\" cannot (take that plugin or \"kind\" out)"
        ))),
        _ => Err(CniError::configuration(format!(
            "there is no kind \"{kind}\" (there are veth, vhost-user and host-device)"
        ))),
    }
}

fn given_before(netconf: &Netconf, environment: &Environment) -> Vec<crate::attach::Address> {
    let netns = environment.netns.as_deref().unwrap_or_else(|| "".as_ref());
    netconf.previous.as_ref().map(|previous| previous.addresses_of(&environment.interface, netns)).unwrap_or_default()
}

/// Addresses that are asked for: by the runtime's capability, the conventional `args`, or `CNI_ARGS`; the first that says any.
fn wished(netconf: &Netconf, said: &CniArgs) -> (&'static str, Vec<String>) {
    let ways = [
        ("runtimeConfig.ips", netconf.runtime().ips.unwrap_or_default()),
        ("args.cni.ips", netconf.args().ips.unwrap_or_default()),
        ("CNI_ARGS: IP", said.ips.clone()),
    ];
    ways.into_iter().find(|(_, ips)| !ips.is_empty()).unwrap_or(("runtimeConfig.ips", Vec::new()))
}

fn addressing(netconf: &Netconf, said: &CniArgs, (args, path): (&str, &str)) -> Result<Addressing, CniError> {
    let (what, wished) = wished(netconf, said);
    match netconf.ipam() {
        Some(OWN_IPAM) => {
            let bare = |text: &String| bare(text).map_err(|error| CniError::decode(what, error));
            Ok(Addressing::Own { wished: wished.iter().map(bare).collect::<Result<_, _>>()? })
        }
        Some(plugin) => delegated(netconf, plugin, (args, path)),
        None if wished.is_empty() => Ok(Addressing::None),
        None => {
            let given = |text: &String| previous::address(what, text, None);
            Ok(Addressing::Given { addresses: wished.iter().map(given).collect::<Result<_, _>>()? })
        }
    }
}

/// `10.1.0.5` or `10.1.0.5/24`: the subnet is the network's to know.
fn bare(text: &str) -> Result<IpAddr, String> {
    let with_subnet = || text.parse::<Gateway>().map(Gateway::address);
    text.parse()
        .or_else(|_| with_subnet())
        .map_err(|_| format!("\"{text}\" is no address (write it as in 10.1.0.5 or fd00::5)"))
}

fn delegated(netconf: &Netconf, plugin: &str, (args, path): (&str, &str)) -> Result<Addressing, CniError> {
    if !is_identifier(plugin) {
        return Err(CniError::configuration(format!(
            "ipam.type \"{plugin}\" is no name of a plugin (write host-local, say)"
        )));
    }
    if path.is_empty() {
        return Err(CniError::environment(format!(
            "CNI_PATH is not set (the runtime must say where the plugin {plugin} is)"
        )));
    }
    Ok(Addressing::Delegated {
        plugin: plugin.to_owned(),
        path: path.split(':').filter(|directory| !directory.is_empty()).map(PathBuf::from).collect(),
        config: netconf.text.clone(),
        args: args.to_owned(),
    })
}

fn mac(netconf: &Netconf, said: &CniArgs) -> Result<Option<MacAddr>, CniError> {
    let ways = [
        ("runtimeConfig.mac", netconf.runtime().mac),
        ("args.cni.mac", netconf.args().mac),
        ("CNI_ARGS: MAC", said.mac.clone()),
    ];
    let stated = ways.into_iter().find_map(|(what, mac)| Some((what, mac.filter(|mac| !mac.is_empty())?)));
    stated.map(|(what, mac)| mac.parse().map_err(|error| CniError::decode(what, error))).transpose()
}

fn rates(asked: netconf::Bandwidth) -> Result<Rates, CniError> {
    let one = |name: &str, rate: u64, burst: u64| {
        if (rate, burst) == (0, 0) {
            return Ok(None);
        }
        let Some(bits) = BitRate::new(rate) else {
            return Err(CniError::configuration(format!(
                "runtimeConfig.bandwidth has {name}Rate {rate} (give {} to {} bits a second)",
                BitRate::BOUNDS.start(),
                BitRate::BOUNDS.end()
            )));
        };
        let burst = if burst == 0 { config::burst(bits).get() } else { burst };
        Ok(Some(Bandwidth { rate, burst }))
    };
    Ok(Rates {
        ingress: one("ingress", asked.ingress_rate, asked.ingress_burst)?,
        egress: one("egress", asked.egress_rate, asked.egress_burst)?,
        new_connections: None,
    })
}

fn labels(netconf: &Netconf) -> BTreeMap<String, String> {
    let labels = netconf.args().labels.unwrap_or_default();
    labels.into_iter().map(|netconf::Label { key, value }| (key, value)).collect()
}

fn notes(netconf: &Netconf, said: &CniArgs) -> BTreeMap<String, String> {
    let mut notes = said.notes.clone();
    let aliases = netconf.runtime().aliases.unwrap_or_default().remove(&netconf.name).unwrap_or_default();
    if !aliases.is_empty() {
        notes.insert("aliases".to_owned(), aliases.join(","));
    }
    notes
}
