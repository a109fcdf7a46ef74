//! The network configuration: which of its words are ours, and that they are spelt as ours.
//!
//! A configuration has words of the specification, of ours, and of anybody else; the last are none of our business, unless one looks
//! like a slip in one of ours. What takes away (DEL, GC) reads no more than the name: it must not fail of what made nothing.

use std::collections::BTreeMap;

use podlane_api::nearest;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::environment::is_identifier;
use super::previous::Previous;
use super::{CniError, Version};

/// Our words on the first level. `socket` and `pending` are the shim's.
const OURS: [&str; 7] = ["network", "kind", "device", "mtu", "defaultRoute", "socket", "pending"];

/// Words of the specification, and of plugins whose configurations are often copied, that are no slip in one of ours.
const KNOWN: [&str; 14] = [
    "cniVersion",
    "name",
    "type",
    "capabilities",
    "ipam",
    "ipMasq",
    "dns",
    "args",
    "runtimeConfig",
    "prevResult",
    "disableCheck",
    "disableGC",
    "plugins",
    "bridge",
];

/// A network configuration, read as a whole.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Netconf {
    pub(super) version: Version,
    pub(super) name: String,
    pub(super) words: Words,
    pub(super) previous: Option<Previous>,
    /// As it came, for an IPAM plugin.
    pub(super) text: String,
}

/// The part of it that every verb needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) name: String,
}

/// What a configuration may say to us.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Words {
    pub(super) network: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) device: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) default_route: Option<bool>,
    pub(super) ipam: Option<Ipam>,
    pub(super) dns: Option<Map<String, Value>>,
    pub(super) runtime_config: Option<RuntimeConfig>,
    pub(super) args: Option<Args>,
}

/// Where addresses come from.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Ipam {
    #[serde(rename = "type")]
    pub(super) plugin: Option<String>,
    pub(super) routes: Option<Vec<Route>>,
}

/// A route, of a configuration or of a result.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Route {
    pub(super) dst: String,
    pub(super) gw: Option<String>,
    pub(super) mtu: Option<u32>,
}

/// What a runtime adds, as far as it concerns us. Port mappings are for the plugin behind us in the list.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct RuntimeConfig {
    pub(super) mac: Option<String>,
    pub(super) ips: Option<Vec<String>>,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) aliases: Option<BTreeMap<String, Vec<String>>>,
    pub(super) dns: Option<RuntimeDns>,
}

/// Rates in bits a second, bursts in bits; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Bandwidth {
    pub(super) ingress_rate: u64,
    pub(super) ingress_burst: u64,
    pub(super) egress_rate: u64,
    pub(super) egress_burst: u64,
}

/// The capability `dns`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct RuntimeDns {
    pub(super) servers: Option<Vec<String>>,
    pub(super) searches: Option<Vec<String>>,
    pub(super) options: Option<Vec<String>>,
}

/// `args`, where the conventions put what a runtime knows of a container.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Args {
    pub(super) cni: Option<CniWords>,
}

/// `args.cni`.
#[derive(Clone, PartialEq, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct CniWords {
    pub(super) labels: Option<Vec<Label>>,
    pub(super) ips: Option<Vec<String>>,
    pub(super) mac: Option<String>,
}

/// One label of a container.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

/// The object that `text` is.
fn object(text: &str) -> Result<Map<String, Value>, CniError> {
    serde_json::from_str(text).map_err(|error| CniError::decode("the network configuration", error))
}

impl Head {
    /// Reads what every verb needs, whatever else is wrong.
    pub(super) fn of(text: &str) -> Result<Self, CniError> {
        Self::in_object(&object(text)?)
    }

    fn in_object(object: &Map<String, Value>) -> Result<Self, CniError> {
        let version = Version::of(object.get("cniVersion").and_then(Value::as_str))?;
        let name = object.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_identifier(name) {
            return Err(CniError::configuration(format!(
                "\"name\" is \"{name}\" (name the network: a letter or a digit, then these, underscores, dots and hyphens)"
            )));
        }
        Ok(Self { version, name: name.to_owned() })
    }
}

impl Netconf {
    /// Reads all of it.
    pub(super) fn of(text: &str) -> Result<Self, CniError> {
        let mut object = object(text)?;
        let Head { version, name } = Head::in_object(&object)?;
        refuse_slips(&object)?;
        let previous = object.remove("prevResult").filter(|previous| !previous.is_null());
        let previous = previous.map(|previous| Previous::read(previous, version)).transpose()?;
        let words = Words::deserialize(Value::Object(object))
            .map_err(|error| CniError::decode("the network configuration", error))?;
        Ok(Self { version, name, words, previous, text: text.to_owned() })
    }

    /// The network of the daemon's: said, or of the same name.
    pub(super) fn network(&self) -> &str {
        self.words.network.as_deref().unwrap_or(&self.name)
    }

    /// The name of the IPAM plugin; none where there is to be none.
    pub(super) fn ipam(&self) -> Option<&str> {
        self.words.ipam.as_ref()?.plugin.as_deref().filter(|plugin| !plugin.is_empty())
    }

    /// What the runtime added.
    pub(super) fn runtime(&self) -> RuntimeConfig {
        self.words.runtime_config.clone().unwrap_or_default()
    }

    /// `args.cni`.
    pub(super) fn args(&self) -> CniWords {
        self.words.args.clone().and_then(|args| args.cni).unwrap_or_default()
    }
}

/// Refuses words of nobody that look like one of ours, and like none of ours that is there beside them.
fn refuse_slips(object: &Map<String, Value>) -> Result<(), CniError> {
    for key in object.keys().map(String::as_str) {
        if KNOWN.contains(&key) || OURS.contains(&key) {
            continue;
        }
        if let Some(meant) = nearest(key, OURS).filter(|meant| !object.contains_key(*meant)) {
            return Err(CniError::configuration(format!("there is no key \"{key}\" (did you mean \"{meant}\"?)")));
        }
    }
    Ok(())
}
