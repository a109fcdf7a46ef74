//! The words of netavark's plugins, as Podman writes them. What Podlane has no use for is kept as it came where it has to be said again.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podlane_api::{Gateway, MacAddr};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::absent::{nullable, unless_empty};
use crate::desired::Prefix;

/// Options, by name; Podman writes null where there are none.
pub(super) type Options = Option<BTreeMap<String, String>>;

/// A network, as `podman network inspect` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) id: String,
    #[serde(default)]
    pub(super) subnets: Option<Vec<Subnet>>,
    #[serde(default)]
    pub(super) ipv6_enabled: bool,
    #[serde(default)]
    pub(super) internal: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) ipam_options: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) options: Options,
    /// The driver, when it was created, its interface and name servers, and what later versions add.
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

/// A subnet of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Subnet {
    pub(super) subnet: Gateway,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "unless_empty")]
    pub(super) gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease_range: Option<LeaseRange>,
}

/// Where its addresses are taken from (`--ip-range`).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LeaseRange {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "unless_empty")]
    pub(super) start_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "unless_empty")]
    pub(super) end_ip: Option<IpAddr>,
}

/// What `setup` and `teardown` come with.
#[derive(Debug, Deserialize)]
pub(super) struct Exec {
    pub(super) container_id: String,
    #[serde(default)]
    pub(super) container_name: String,
    #[serde(default)]
    pub(super) port_mappings: Option<Vec<Value>>,
    pub(super) network: Network,
    pub(super) network_options: PerNetwork,
}

/// How this container is in the network.
#[derive(Debug, Deserialize)]
pub(super) struct PerNetwork {
    pub(super) interface_name: String,
    #[serde(default)]
    pub(super) static_ips: Option<Vec<IpAddr>>,
    #[serde(default, deserialize_with = "unless_empty")]
    pub(super) static_mac: Option<MacAddr>,
}

/// What `setup` is answered with.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) dns_search_domains: Vec<String>,
    pub(super) dns_server_ips: Vec<IpAddr>,
    pub(super) interfaces: BTreeMap<String, StatusInterface>,
}

/// One interface of the container.
#[derive(Debug, Serialize)]
pub(super) struct StatusInterface {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mac_address: Option<MacAddr>,
    pub(super) subnets: Vec<StatusSubnet>,
}

/// One address of it.
#[derive(Debug, Serialize)]
pub(super) struct StatusSubnet {
    pub(super) ipnet: Gateway,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<IpAddr>,
}

impl Subnet {
    /// The subnet around a gateway.
    pub(super) fn around(gateway: Gateway) -> Option<Self> {
        let subnet = Prefix::of(gateway);
        let subnet = Gateway::new(subnet.network(), subnet.len())?;
        Some(Self { subnet, gateway: Some(gateway.address()), lease_range: None })
    }

    /// Its range, as `[[network]] ranges` writes it.
    pub(super) fn range(&self) -> Option<String> {
        match self.lease_range.as_ref()? {
            LeaseRange { start_ip: Some(first), end_ip: Some(last) } => Some(format!("{first}-{last}")),
            _ => None,
        }
    }
}
