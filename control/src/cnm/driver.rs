//! Docker's network driver: networks, and the endpoints of containers in them.
//!
//! ```text
//! docker network create   RequestPool, RequestAddress (gateway), CreateNetwork   a network is made, and written down
//! docker run              RequestAddress, CreateEndpoint, Join                   a pod is attached; Docker takes its end into the container
//! docker rm               Leave, DeleteEndpoint, ReleaseAddress                  it is detached
//! docker network rm       DeleteNetwork, ReleaseAddress, ReleasePool             the network is removed
//! ```
//!
//! What an endpoint is lives in the journal with every other attachment; here is only what left its container and may join one again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use podlane_api::{Gateway, nearest};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::error::CnmError;
use super::pools::{self, Pools, said};
use super::words::{
    CreateEndpoint, CreateNetwork, Decided, DeleteNetwork, Endpoint, External, GENERIC, INTERNAL, InterfaceName,
    Joined, PORT_MAP, Subnet,
};
use super::{MTU, NETWORK, VRF, subnet};
use crate::attach::{
    Address, Addressing, Attaches, Attachment, Key, Kind, MadeNetwork, Order, Origin, Stage, asks_for_vni,
};

/// What a container's interfaces are called: Docker counts on from it.
const INTERFACE: &str = "eth";

/// The options of a network.
const OPTIONS: [&str; 3] = [NETWORK, VRF, MTU];

/// Answers Docker's calls from the daemon's attachments.
#[derive(Default)]
pub(super) struct Driver {
    pools: Pools,
    /// Endpoints that left their container. Docker lets them join another one, or deletes them next.
    left: Mutex<HashMap<Key, Order>>,
}

/// What was written behind `-o`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// The configured network that Docker's is another name of.
    network: Option<String>,
    mtu: Option<u32>,
    vrf: Option<String>,
}

impl Driver {
    /// Carries out one call.
    pub(super) fn call(&self, on: &impl Attaches, method: &str, body: &[u8]) -> Result<Value, CnmError> {
        let done = |()| json!({});
        match method {
            "Plugin.Activate" => Ok(json!({ "Implements": ["NetworkDriver", "IpamDriver"] })),
            "NetworkDriver.GetCapabilities" => Ok(json!({ "Scope": "local", "ConnectivityScope": "local" })),
            "NetworkDriver.CreateNetwork" => self.create_network(on, &read(method, body)?).map(done),
            "NetworkDriver.DeleteNetwork" => delete_network(on, &read(method, body)?).map(done),
            "NetworkDriver.CreateEndpoint" => create_endpoint(on, &read(method, body)?),
            "NetworkDriver.EndpointOperInfo" => info(on, &read(method, body)?),
            "NetworkDriver.DeleteEndpoint" => self.delete_endpoint(on, &read(method, body)?).map(done),
            "NetworkDriver.Join" => self.join(on, &read(method, body)?),
            "NetworkDriver.Leave" => self.leave(on, &read(method, body)?).map(done),
            "NetworkDriver.ProgramExternalConnectivity" => publish(&read(method, body)?).map(done),
            // Swarm's allocation, other nodes that come and go, ports that were never published: nothing to do.
            "NetworkDriver.AllocateNetwork"
            | "NetworkDriver.FreeNetwork"
            | "NetworkDriver.DiscoverNew"
            | "NetworkDriver.DiscoverDelete"
            | "NetworkDriver.RevokeExternalConnectivity" => Ok(json!({})),
            "IpamDriver.GetCapabilities" => Ok(json!({ "RequiresMACAddress": false, "RequiresRequestReplay": false })),
            "IpamDriver.GetDefaultAddressSpaces" => {
                Ok(json!({ "LocalDefaultAddressSpace": "podlane", "GlobalDefaultAddressSpace": "podlane-global" }))
            }
            "IpamDriver.RequestPool" => self.pools.request(on, &read(method, body)?),
            "IpamDriver.ReleasePool" => {
                self.pools.release(&read::<super::words::ReleasePool>(method, body)?.pool).map(done)
            }
            "IpamDriver.RequestAddress" => pools::request_address(on, &read(method, body)?),
            "IpamDriver.ReleaseAddress" => pools::release_address(on, &read(method, body)?).map(done),
            _ => Err(CnmError::Method { method: method.to_owned() }),
        }
    }

    fn create_network(&self, on: &impl Attaches, asked: &CreateNetwork) -> Result<(), CnmError> {
        let options = options(&asked.options)?;
        let subnets = || asked.ipv4.iter().chain(&asked.ipv6).filter(|subnet| !subnet.pool.is_empty());
        let mut network = MadeNetwork {
            name: name(&asked.network),
            origin: Origin::Docker,
            stands_for: options.network.clone(),
            gateways: subnets().filter_map(gateway).collect(),
            mtu: options.mtu,
            ranges: Vec::new(),
            reserved: subnets().flat_map(reserved).collect(),
            vrf: options.vrf.clone(),
        };
        if let Some(configured) = &options.network {
            same_subnets(on, configured, &network.gateways)?;
        }
        for written in subnets() {
            let pool = subnet(&written.pool)?;
            network.ranges.extend(self.pools.forget(pool).map(|range| range.to_string()));
        }
        on.make_network(network).map_err(said)
    }

    fn delete_endpoint(&self, on: &impl Attaches, asked: &Endpoint) -> Result<(), CnmError> {
        let key = key(asked);
        self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        on.detach(&key).map_err(said)
    }

    fn join(&self, on: &impl Attaches, asked: &Endpoint) -> Result<Value, CnmError> {
        let again = self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(asked));
        let attachment = match again {
            Some(order) => on.attach(order).map_err(said)?,
            None => endpoint(on, asked)?,
        };
        let pod = attachment.pod.ok_or_else(|| CnmError::NoEndpoint { id: asked.endpoint.clone() })?;
        let by = |v6: bool| {
            let mut gateways = attachment.addresses.iter().filter_map(|address| address.gateway);
            gateways.find(|gateway| gateway.is_ipv6() == v6)
        };
        // The gateway of a network that is alone routes nowhere, but answers; Docker's own way out is not wanted beside ours.
        let joined = Joined {
            interface_name: InterfaceName { src_name: pod.name, dst_prefix: INTERFACE },
            gateway: by(false),
            gateway_ipv6: by(true),
            disable_gateway_service: true,
        };
        Ok(json!(joined))
    }

    fn leave(&self, on: &impl Attaches, asked: &Endpoint) -> Result<(), CnmError> {
        let Ok(attachment) = endpoint(on, asked) else { return Ok(()) };
        let key = key(asked);
        on.detach(&key).map_err(said)?;
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(key, attachment.order);
        Ok(())
    }
}

/// That Docker's subnets are those of the network it stands for.
fn same_subnets(on: &impl Attaches, configured: &str, asked: &[Gateway]) -> Result<(), CnmError> {
    let has = pools::gateways(on, configured)?;
    let stranger = asked.iter().find(|gateway| !has.contains(gateway));
    stranger.map_or(Ok(()), |gateway| {
        Err(CnmError::NotItsSubnet {
            network: configured.to_owned(),
            v6: gateway.address().is_ipv6(),
            pool: Some(crate::desired::Prefix::of(*gateway)),
            gateways: has.clone(),
        })
    })
}

fn delete_network(on: &impl Attaches, asked: &DeleteNetwork) -> Result<(), CnmError> {
    on.remove_network(&name(&asked.network)).map_err(said)
}

fn create_endpoint(on: &impl Attaches, asked: &CreateEndpoint) -> Result<Value, CnmError> {
    let made = network(on, &asked.endpoint.network)?;
    let network = made.stands_for.as_ref().unwrap_or(&made.name);
    let gateways = pools::gateways(on, network)?;
    let none = super::words::Interface::default();
    let interface = asked.interface.as_ref().unwrap_or(&none);
    let addresses = [interface.ipv4, interface.ipv6].into_iter().flatten();
    let addresses = addresses.map(|address| Address { address, gateway: routes_for(&gateways, address) }).collect();
    let order = Order {
        key: key(&asked.endpoint),
        kind: Kind::Veth,
        netns: None,
        network: network.clone(),
        mac: interface.mac,
        addressing: Addressing::Given { addresses },
        mtu: made.mtu,
        default_route: false,
        routes: Vec::new(),
        rates: podlane_api::Rates::default(),
        pod: None,
        labels: BTreeMap::new(),
        notes: BTreeMap::new(),
    };
    let attachment = on.attach(order).map_err(said)?;
    // What Docker decided itself may not be said again.
    let mac = attachment.pod.filter(|_| interface.mac.is_none()).map(|pod| pod.mac);
    Ok(json!({ "Interface": Decided { mac } }))
}

fn info(on: &impl Attaches, asked: &Endpoint) -> Result<Value, CnmError> {
    let attachment = endpoint(on, asked)?;
    Ok(json!({ "Value": { "podlane.port": attachment.port, "podlane.network": attachment.order.network } }))
}

fn network(on: &impl Attaches, id: &str) -> Result<MadeNetwork, CnmError> {
    let name = name(id);
    let found = on.made().into_iter().find(|network| network.name == name);
    found.ok_or_else(|| CnmError::Forgotten { id: id.to_owned() })
}

fn endpoint(on: &impl Attaches, asked: &Endpoint) -> Result<Attachment, CnmError> {
    let key = key(asked);
    let found =
        on.attached().into_iter().find(|attachment| attachment.order.key == key && attachment.stage == Stage::Up);
    found.ok_or_else(|| CnmError::NoEndpoint { id: asked.endpoint.clone() })
}

fn read<T: DeserializeOwned>(method: &str, body: &[u8]) -> Result<T, CnmError> {
    serde_json::from_slice(body).map_err(|source| CnmError::Body { method: method.to_owned(), source })
}

/// What a network of Docker's is called among ours: Docker tells only its id, of which it shows twelve digits itself.
fn name(id: &str) -> String {
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("docker-{short}")
}

fn key(endpoint: &Endpoint) -> Key {
    Key {
        origin: Origin::Docker,
        list: endpoint.network.clone(),
        container: endpoint.endpoint.clone(),
        interface: INTERFACE.to_owned(),
    }
}

/// An internal network has a gateway as far as Docker is concerned. It is ours too: pods use it to reach nothing but the switch.
fn gateway(written: &Subnet) -> Option<Gateway> {
    written.gateway.parse().ok()
}

fn reserved(written: &Subnet) -> Vec<IpAddr> {
    let address = |text: &String| text.split('/').next().and_then(|address| address.parse().ok());
    written.aux_addresses.values().filter_map(address).collect()
}

/// The gateway of the subnet that an address is in.
fn routes_for(gateways: &[Gateway], address: Gateway) -> Option<IpAddr> {
    let around = |gateway: &&Gateway| crate::desired::Prefix::of(**gateway).contains(address.address());
    gateways.iter().find(around).map(|gateway| gateway.address())
}

fn options(written: &Map<String, Value>) -> Result<Options, CnmError> {
    let mut options = Options::default();
    let own = written.get(GENERIC).and_then(Value::as_object);
    for (option, value) in own.into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let refused = |option, expected| CnmError::OptionValue { option, value: text.clone(), expected };
        match option.as_str() {
            NETWORK => options.network = Some(text),
            MTU => {
                let mtu = text.parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
                options.mtu = Some(mtu.ok_or_else(|| refused(MTU, "a number of bytes from 68 to 65535"))?);
            }
            VRF => options.vrf = Some(text),
            overlay if asks_for_vni(overlay) => return Err(CnmError::Overlay { option: option.clone() }),
            _ => {
                let nearest = nearest(option, OPTIONS).map(str::to_owned);
                return Err(CnmError::Option { option: option.clone(), nearest, known: OPTIONS.join(", ") });
            }
        }
    }
    let internal = written.get(INTERNAL).is_some_and(|internal| internal == true || internal == "true");
    if let Some(value) = options.vrf.as_ref().filter(|_| internal) {
        let expected = "none with --internal";
        return Err(CnmError::OptionValue { option: VRF, value: value.clone(), expected });
    }
    Ok(options)
}

/// Ports cannot be published yet, and a container that believes its are would wait in vain.
fn publish(asked: &External) -> Result<(), CnmError> {
    match asked.options.get(PORT_MAP).and_then(Value::as_array) {
        Some(ports) if !ports.is_empty() => Err(CnmError::Publish),
        _ => Ok(()),
    }
}
