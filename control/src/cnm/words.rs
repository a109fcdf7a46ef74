//! The words of Docker's plugin protocols, as libnetwork writes them: the remote network driver's and the remote IPAM driver's.
//!
//! What Podlane has no use for is not read. Source: libnetwork's `drivers/remote/api` and `ipams/remote/api`, and Docker's
//! documentation of its plugin API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podlane_api::{Gateway, MacAddr};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::absent::{nullable, unless_empty};

/// Where Docker keeps the driver's own options (`docker network create -o`) among those of a network.
pub(super) const GENERIC: &str = "com.docker.network.generic";
/// Among a network's options: whether nothing is to leave it (`--internal`).
pub(super) const INTERNAL: &str = "com.docker.network.internal";
/// Among an endpoint's options: the ports to publish (`-p`).
pub(super) const PORT_MAP: &str = "com.docker.network.portmap";
/// Among an address's options: what it is for.
pub(super) const ADDRESS_TYPE: &str = "RequestAddressType";
/// It is the network's gateway.
pub(super) const FOR_GATEWAY: &str = "com.docker.network.gateway";

/// `NetworkDriver.CreateNetwork`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) options: Map<String, Value>,
    #[serde(default, rename = "IPv4Data", deserialize_with = "nullable")]
    pub(super) ipv4: Vec<Subnet>,
    #[serde(default, rename = "IPv6Data", deserialize_with = "nullable")]
    pub(super) ipv6: Vec<Subnet>,
}

/// One subnet of a network.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Subnet {
    /// `10.77.0.0/24`; empty with the IPAM driver `null`.
    pub(super) pool: String,
    /// `10.77.0.1/24`; empty where the IPAM driver gave none.
    pub(super) gateway: String,
    /// Addresses that are somebody's already, by name.
    #[serde(deserialize_with = "nullable")]
    pub(super) aux_addresses: BTreeMap<String, String>,
}

/// `NetworkDriver.DeleteNetwork`
#[derive(Debug, Deserialize)]
pub(super) struct DeleteNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
}

/// An endpoint, which is all that most calls name.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    #[serde(rename = "NetworkID")]
    pub(super) network: String,
    #[serde(rename = "EndpointID")]
    pub(super) endpoint: String,
}

/// `NetworkDriver.CreateEndpoint`
#[derive(Debug, Deserialize)]
pub(super) struct CreateEndpoint {
    #[serde(flatten)]
    pub(super) endpoint: Endpoint,
    #[serde(default, rename = "Interface")]
    pub(super) interface: Option<Interface>,
}

/// What Docker has decided of an endpoint's interface: empty texts are left to the driver.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    #[serde(rename = "Address", deserialize_with = "unless_empty")]
    pub(super) ipv4: Option<Gateway>,
    #[serde(rename = "AddressIPv6", deserialize_with = "unless_empty")]
    pub(super) ipv6: Option<Gateway>,
    #[serde(rename = "MacAddress", deserialize_with = "unless_empty")]
    pub(super) mac: Option<MacAddr>,
}

/// What the driver has decided of it: only what was left to it may be said.
#[derive(Debug, Default, Serialize)]
pub(super) struct Decided {
    #[serde(rename = "MacAddress", skip_serializing_if = "Option::is_none")]
    pub(super) mac: Option<MacAddr>,
}

/// What `NetworkDriver.Join` is answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Joined {
    pub(super) interface_name: InterfaceName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gateway: Option<IpAddr>,
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "Option::is_none")]
    pub(super) gateway_ipv6: Option<IpAddr>,
    /// Else Docker connects a container that got no gateway to a bridge of its own.
    pub(super) disable_gateway_service: bool,
}

/// Which netdev Docker takes, and what it becomes in the container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InterfaceName {
    pub(super) src_name: String,
    pub(super) dst_prefix: &'static str,
}

/// `NetworkDriver.ProgramExternalConnectivity`
#[derive(Debug, Deserialize)]
pub(super) struct External {
    #[serde(default, rename = "Options", deserialize_with = "nullable")]
    pub(super) options: Map<String, Value>,
}

/// `IpamDriver.RequestPool`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RequestPool {
    pub(super) pool: String,
    pub(super) sub_pool: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) options: BTreeMap<String, String>,
    pub(super) v6: bool,
}

/// A pool, as the driver names it to Docker and Docker to the driver.
#[derive(Debug, Deserialize)]
pub(super) struct ReleasePool {
    #[serde(rename = "PoolID")]
    pub(super) pool: String,
}

/// `IpamDriver.RequestAddress`
#[derive(Debug, Deserialize)]
pub(super) struct RequestAddress {
    #[serde(rename = "PoolID")]
    pub(super) pool: String,
    #[serde(default, rename = "Address", deserialize_with = "unless_empty")]
    pub(super) address: Option<IpAddr>,
    #[serde(default, rename = "Options", deserialize_with = "nullable")]
    pub(super) options: BTreeMap<String, String>,
}

/// `IpamDriver.ReleaseAddress`
#[derive(Debug, Deserialize)]
pub(super) struct ReleaseAddress {
    #[serde(rename = "PoolID")]
    pub(super) pool: String,
    #[serde(rename = "Address")]
    pub(super) address: IpAddr,
}
