//! `prevResult`: what the plugins before us made, and what ADD answered when CHECK asks.
//!
//! It is kept as it came, since it goes on to the plugins behind us with words that we need not know; what we must know of it is read
//! beside that.

use std::path::{Path, PathBuf};

use podlane_api::{Gateway, MacAddr};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::netconf::Route;
use super::{CniError, Version};
use crate::attach::{Address, PodRoute, Told, ToldInterface};

/// A result of an earlier plugin.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Previous {
    /// As it came.
    pub(super) raw: Map<String, Value>,
    interfaces: Vec<Interface>,
    addresses: Vec<(Option<usize>, Address)>,
    routes: Vec<PodRoute>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Words {
    interfaces: Option<Vec<Interface>>,
    ips: Option<Vec<Ip>>,
    routes: Option<Vec<Route>>,
}

/// A netdev of it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Interface {
    pub(super) name: String,
    #[serde(default)]
    mac: String,
    #[serde(default)]
    mtu: Option<u32>,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    address: String,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    interface: Option<usize>,
}

impl Previous {
    /// Reads it. All versions that are understood have it alike, as far as it is read.
    pub(super) fn read(value: Value, version: Version) -> Result<Self, CniError> {
        let Value::Object(raw) = value else {
            return Err(CniError::decode("prevResult", "it is no object"));
        };
        if let Some(said) = raw.get("cniVersion").and_then(Value::as_str) {
            let said = Version::of(Some(said))?;
            if said != version {
                return Err(CniError::configuration(format!(
                    "prevResult is of cniVersion {said}, the configuration of {version} (the runtime must give both alike)"
                )));
            }
        }
        let words =
            Words::deserialize(Value::Object(raw.clone())).map_err(|error| CniError::decode("prevResult", error))?;
        let interfaces = words.interfaces.unwrap_or_default();
        let mut addresses = Vec::new();
        for ip in words.ips.unwrap_or_default() {
            if ip.interface.is_some_and(|index| index >= interfaces.len()) {
                return Err(CniError::decode(
                    "prevResult.ips",
                    format!("{} is of an interface that is not there", ip.address),
                ));
            }
            addresses.push((ip.interface, address("prevResult.ips", &ip.address, ip.gateway.as_deref())?));
        }
        let routes = routes("prevResult.routes", &words.routes.unwrap_or_default())?;
        Ok(Self { raw, interfaces, addresses, routes })
    }

    /// Whether an earlier plugin made `interface` in the pod.
    pub(super) fn has(&self, interface: &str, netns: &Path) -> bool {
        self.index_of(interface, netns).is_some()
    }

    /// The names of netdevs on the host's side.
    pub(super) fn on_host(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().filter(|interface| interface.sandbox.is_empty()).map(|interface| interface.name.as_str())
    }

    /// The addresses of `interface` in the pod, and those of which nothing is said.
    pub(super) fn addresses_of(&self, interface: &str, netns: &Path) -> Vec<Address> {
        let index = self.index_of(interface, netns);
        let ours = self.addresses.iter().filter(|(of, _)| of.is_none() || *of == index);
        ours.map(|(_, address)| *address).collect()
    }

    /// All that it says of the attachment, for CHECK.
    pub(super) fn told(&self, interface: &str, netns: &Path) -> Result<Told, CniError> {
        let interfaces = self.interfaces.iter().map(Interface::told).collect::<Result<_, _>>()?;
        Ok(Told { addresses: self.addresses_of(interface, netns), routes: self.routes.clone(), interfaces })
    }

    fn index_of(&self, interface: &str, netns: &Path) -> Option<usize> {
        self.interfaces.iter().position(|found| found.name == interface && Path::new(&found.sandbox) == netns)
    }
}

impl Interface {
    fn told(&self) -> Result<ToldInterface, CniError> {
        let mac = Some(&self.mac).filter(|mac| !mac.is_empty());
        let mac = mac.map(|mac| mac.parse::<MacAddr>()).transpose();
        let mac = mac.map_err(|error| CniError::decode("prevResult.interfaces", error))?;
        let netns = Some(&self.sandbox).filter(|sandbox| !sandbox.is_empty()).map(PathBuf::from);
        Ok(ToldInterface { name: self.name.clone(), mac, netns, mtu: self.mtu.filter(|mtu| *mtu != 0) })
    }
}

/// An address with its subnet, and who routes for it.
pub(super) fn address(what: &str, text: &str, gateway: Option<&str>) -> Result<Address, CniError> {
    let address: Gateway = text.parse().map_err(|error| CniError::decode(what, error))?;
    let gateway = gateway.filter(|gateway| !gateway.is_empty()).map(str::parse).transpose();
    let gateway = gateway.map_err(|error| CniError::decode(what, format!("gateway of {text}: {error}")))?;
    Ok(Address { address, gateway })
}

/// Routes as they are written.
pub(super) fn routes(what: &str, routes: &[Route]) -> Result<Vec<PodRoute>, CniError> {
    let route = |route: &Route| {
        let to = route.dst.parse().map_err(|error| CniError::decode(what, error))?;
        let via = route.gw.as_deref().filter(|gw| !gw.is_empty()).map(str::parse).transpose();
        let via = via.map_err(|error| CniError::decode(what, format!("gw of {}: {error}", route.dst)))?;
        Ok(PodRoute { to, via, mtu: route.mtu.filter(|mtu| *mtu != 0) })
    };
    routes.iter().map(route).collect()
}
