//! Podman's networks: netavark's plugin protocol, answered from the daemon's attachments.
//!
//! ```text
//! podman network create  create    the network's configuration is completed, or refused
//! podman run             setup     its network is there, made if need be; the container is attached
//! podman rm              teardown  it is detached; a network that nobody is in any more is removed
//! ```
//!
//! Podman keeps the network's configuration and sends it along with every call, and never says that it removed one. So a network of
//! Podman's exists among ours while containers are in it, and what is refused at `setup` would have been refused at `create`. Podman
//! also chooses the addresses, unless the network has the IPAM driver `none`: then they are ours.
//!
//! Source: netavark's description of its plugin API, 1.0.0.

#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use podlane_api::{Gateway, NetavarkCall, nearest};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::attach::{
    Address, Addressing, Attaches, Attachment, Key, Kind, MadeNetwork, NO_VNI, Order, Origin, asks_for_vni,
};
use crate::desired::Prefix;
use words::{Exec, Network, Options, Status, StatusInterface, StatusSubnet};

/// The option that joins Podman's network to one of the configuration.
const NETWORK: &str = "podlane.network";
/// The option that puts a network among those of a VRF, to be routed with them, instead of on its own.
const VRF: &str = "podlane.vrf";
/// Netavark's own option for the largest IP packet.
const MTU: &str = "mtu";
/// All of them.
const OPTIONS: [&str; 3] = [NETWORK, VRF, MTU];
/// The IPAM driver that leaves addresses to Podman.
const HOST_LOCAL: &str = "host-local";
/// The IPAM driver that leaves them to us.
const NONE: &str = "none";

/// A call of netavark's could not be carried out. Podman shows the text to who typed the command.
#[derive(Debug, thiserror::Error)]
pub enum NetavarkError {
    /// A verb of another protocol.
    #[error("podlane knows no verb {verb} of netavark's plugins (they are create, setup, teardown and info)")]
    Verb {
        /// The verb.
        verb: String,
    },
    /// The input is not what netavark sends.
    #[error("{verb} came with what cannot be read: {source}")]
    Input {
        /// The verb.
        verb: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// An option that means nothing to us.
    #[error("podlane knows no option {option}{} (it knows {})", meant(nearest.as_deref()), OPTIONS.join(", "))]
    Option {
        /// The option.
        option: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A network between nodes.
    #[error("podlane makes no network for {option}: {NO_VNI}")]
    Overlay {
        /// The option that asks for it.
        option: String,
    },
    /// An option has a value that it cannot have.
    #[error("{option}={value}: write {expected}")]
    OptionValue {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Another source of addresses.
    #[error(
        "podlane has no IPAM driver {driver} (write --ipam-driver {HOST_LOCAL}, or --ipam-driver {NONE} to have podlane choose the addresses)"
    )]
    Ipam {
        /// The driver.
        driver: String,
    },
    /// A network on its own without a subnet.
    #[error(
        "a network of podlane's needs a subnet (give one with --subnet, or join a configured network with -o {NETWORK}=NAME)"
    )]
    NoSubnet,
    /// A configured network is not there.
    #[error("podlane has no network {network} (podlane status lists them)")]
    NoNetwork {
        /// The network.
        network: String,
    },
    /// A subnet that the configured network has not.
    #[error("{subnet} with the gateway {gateway} is not of network {network} (leave out --subnet and --gateway)")]
    NotItsSubnet {
        /// The subnet.
        subnet: Gateway,
        /// The gateway.
        gateway: IpAddr,
        /// The network.
        network: String,
    },
    /// A gateway outside its subnet.
    #[error("the gateway {gateway} is not in {subnet} (give another --gateway)")]
    Outside {
        /// The gateway.
        gateway: IpAddr,
        /// The subnet.
        subnet: Gateway,
    },
    /// An address that no subnet of the network has.
    #[error("{address} is in no subnet of network {network} (give another --ip)")]
    Address {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
    },
    /// Ports were to be published.
    #[error(
        "podlane publishes no ports on the host (leave out -p, and reach the container by its address from a network that routes to it)"
    )]
    Publish,
    /// What the attachments say.
    #[error("{0}")]
    Attaching(String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!(", perhaps {nearest}")).unwrap_or_default()
}

/// Carries out one call; null where netavark expects nothing.
///
/// # Errors
/// [`NetavarkError`] says what is wrong and what to do; nothing is left of a container that could not be attached.
pub fn carry_out(on: &impl Attaches, call: &NetavarkCall) -> Result<Value, NetavarkError> {
    match call.verb.as_str() {
        "info" => Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": "1.0.0" })),
        "create" => create(on, read(call)?),
        "setup" => setup(on, &call.netns, &read(call)?),
        "teardown" => teardown(on, &read(call)?).map(|()| Value::Null),
        verb => Err(NetavarkError::Verb { verb: verb.to_owned() }),
    }
}

fn read<T: DeserializeOwned>(call: &NetavarkCall) -> Result<T, NetavarkError> {
    serde_json::from_str(&call.input).map_err(|source| NetavarkError::Input { verb: call.verb.clone(), source })
}

/// Answers with the configuration that Podman will send from now on: as it came, with the subnets of the network that it joins, and the
/// gateways it was given.
fn create(on: &impl Attaches, mut network: Network) -> Result<Value, NetavarkError> {
    let options = options(&network)?;
    is_ours(network.ipam_options.get("driver").map_or(HOST_LOCAL, String::as_str))?;
    if let Some(configured) = &options.network {
        join(on, configured, &mut network)?;
    } else if network.subnets.as_ref().is_none_or(Vec::is_empty) {
        return Err(NetavarkError::NoSubnet);
    }
    for subnet in network.subnets.iter_mut().flatten() {
        let prefix = Prefix::of(subnet.subnet);
        let gateway = *subnet.gateway.get_or_insert_with(|| prefix.first_host());
        if !prefix.has_host(gateway) {
            return Err(NetavarkError::Outside { gateway, subnet: subnet.subnet });
        }
    }
    Ok(json!(network))
}

/// Fills in, or compares, the subnets of a configured network.
fn join(on: &impl Attaches, configured: &str, network: &mut Network) -> Result<(), NetavarkError> {
    let has = gateways(on, configured)?;
    let subnets = network.subnets.get_or_insert_default();
    for subnet in subnets.iter_mut() {
        let own = has.iter().find(|gateway| Prefix::of(**gateway) == Prefix::of(subnet.subnet));
        let gateway = subnet.gateway.or(own.map(|own| own.address()));
        if own.map(|own| own.address()) != gateway || own.is_none() {
            let gateway = gateway.unwrap_or_else(|| Prefix::of(subnet.subnet).first_host());
            return Err(NetavarkError::NotItsSubnet { subnet: subnet.subnet, gateway, network: configured.to_owned() });
        }
        subnet.gateway = gateway;
    }
    if subnets.is_empty() {
        subnets.extend(has.iter().filter_map(|gateway| words::Subnet::around(*gateway)));
    }
    network.ipv6_enabled |= subnets.iter().any(|subnet| subnet.subnet.address().is_ipv6());
    Ok(())
}

fn setup(on: &impl Attaches, netns: &str, asked: &Exec) -> Result<Value, NetavarkError> {
    if asked.port_mappings.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return Err(NetavarkError::Publish);
    }
    let options = options(&asked.network)?;
    let network = match &options.network {
        Some(configured) => configured.clone(),
        None => made(on, &asked.network, &options)?,
    };
    let attached = order(on, netns, asked, &network, &options).and_then(|order| on.attach(order).map_err(said));
    match attached {
        Ok(attachment) => Ok(json!(status(asked, &attachment))),
        Err(error) => {
            leave(on, &asked.network);
            Err(error)
        }
    }
}

fn teardown(on: &impl Attaches, asked: &Exec) -> Result<(), NetavarkError> {
    on.detach(&key(asked)).map_err(said)?;
    leave(on, &asked.network);
    Ok(())
}

/// Makes the network among ours, unless it is there.
fn made(on: &impl Attaches, network: &Network, options: &Parsed) -> Result<String, NetavarkError> {
    let name = name(network);
    let subnets = || network.subnets.iter().flatten();
    let gateway = |subnet: &words::Subnet| {
        let gateway = subnet.gateway.unwrap_or_else(|| Prefix::of(subnet.subnet).first_host());
        Gateway::new(gateway, subnet.subnet.prefix_len())
    };
    let wanted = MadeNetwork {
        name: name.clone(),
        origin: Origin::Netavark,
        stands_for: None,
        gateways: subnets().filter_map(gateway).collect(),
        mtu: options.mtu,
        ranges: subnets().filter_map(words::Subnet::range).collect(),
        reserved: Vec::new(),
        vrf: options.vrf.clone(),
    };
    on.make_network(wanted).map_err(said)?;
    Ok(name)
}

/// Removes the network if nobody is in it any more. Who came in meanwhile keeps it: then it is refused, and that is as it should be.
fn leave(on: &impl Attaches, network: &Network) {
    let name = name(network);
    if let Err(error) = on.remove_network(&name) {
        tracing::debug!(network = name, %error, "the network stays");
    }
}

fn order(
    on: &impl Attaches,
    netns: &str,
    asked: &Exec,
    network: &str,
    options: &Parsed,
) -> Result<Order, NetavarkError> {
    let has = gateways(on, network)?;
    let wished = asked.network_options.static_ips.clone().unwrap_or_default();
    let ours = asked.network.ipam_options.get("driver").is_some_and(|driver| driver == NONE);
    let addressing = match ours {
        true => Addressing::Own { wished },
        false => {
            let address = |address: IpAddr| {
                let gateway = has.iter().find(|gateway| Prefix::of(**gateway).contains(address));
                let outside = NetavarkError::Address { address, network: asked.network.name.clone() };
                let gateway = gateway.ok_or(outside)?;
                let address = Gateway::new(address, gateway.prefix_len()).unwrap_or(*gateway);
                Ok(Address { address, gateway: Some(gateway.address()) })
            };
            Addressing::Given { addresses: wished.into_iter().map(address).collect::<Result<_, NetavarkError>>()? }
        }
    };
    let notes = [("container", &asked.container_name), ("network", &asked.network.name)];
    Ok(Order {
        key: key(asked),
        kind: Kind::Veth,
        netns: Some(PathBuf::from(netns)),
        network: network.to_owned(),
        mac: asked.network_options.static_mac,
        addressing,
        mtu: options.mtu,
        default_route: !asked.network.internal,
        routes: Vec::new(),
        rates: podlane_api::Rates::default(),
        pod: None,
        labels: BTreeMap::new(),
        notes: notes.map(|(note, text)| (note.to_owned(), text.clone())).into(),
    })
}

fn status(asked: &Exec, attachment: &Attachment) -> Status {
    let subnets = attachment.addresses.iter();
    let subnets = subnets.map(|address| StatusSubnet { ipnet: address.address, gateway: address.gateway }).collect();
    let interface = StatusInterface { mac_address: attachment.pod.as_ref().map(|pod| pod.mac), subnets };
    Status {
        dns_search_domains: Vec::new(),
        dns_server_ips: Vec::new(),
        interfaces: BTreeMap::from([(asked.network_options.interface_name.clone(), interface)]),
    }
}

fn key(asked: &Exec) -> Key {
    Key {
        origin: Origin::Netavark,
        list: asked.network.id.clone(),
        container: asked.container_id.clone(),
        interface: asked.network_options.interface_name.clone(),
    }
}

/// What a network of Podman's is called among ours. Podman may give a name to another network later, and never gives an id again.
fn name(network: &Network) -> String {
    let short: String = network.id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("podman-{short}")
}

fn gateways(on: &impl Attaches, network: &str) -> Result<Vec<Gateway>, NetavarkError> {
    let found = on.networks().into_iter().find(|(name, _)| name == network);
    found.map(|(_, gateways)| gateways).ok_or_else(|| NetavarkError::NoNetwork { network: network.to_owned() })
}

fn is_ours(driver: &str) -> Result<(), NetavarkError> {
    match driver {
        HOST_LOCAL | NONE => Ok(()),
        _ => Err(NetavarkError::Ipam { driver: driver.to_owned() }),
    }
}

/// What was written behind `-o`.
#[derive(Debug, Default)]
struct Parsed {
    network: Option<String>,
    mtu: Option<u32>,
    vrf: Option<String>,
}

fn options(network: &Network) -> Result<Parsed, NetavarkError> {
    let mut parsed = Parsed::default();
    let written: &Options = &network.options;
    for (option, value) in written.iter().flatten() {
        let refused = |option, expected| NetavarkError::OptionValue { option, value: value.clone(), expected };
        match option.as_str() {
            NETWORK => parsed.network = Some(value.clone()),
            MTU => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
                parsed.mtu = Some(mtu.ok_or_else(|| refused(MTU, "a number of bytes from 68 to 65535"))?);
            }
            VRF => parsed.vrf = Some(value.clone()),
            overlay if asks_for_vni(overlay) => return Err(NetavarkError::Overlay { option: option.clone() }),
            _ => {
                let nearest = nearest(option, OPTIONS).map(str::to_owned);
                return Err(NetavarkError::Option { option: option.clone(), nearest });
            }
        }
    }
    Ok(parsed)
}

fn said(error: impl std::fmt::Display) -> NetavarkError {
    NetavarkError::Attaching(error.to_string())
}
