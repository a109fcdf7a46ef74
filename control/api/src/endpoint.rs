//! Stations on other nodes, as they are stated.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::MacAddr;

/// A station of an overlay network on a peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The network.
    pub network: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IP addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The peer it is on.
    pub peer: String,
    /// Which statement of the MAC address this is: the highest counts.
    pub generation: u64,
}

/// A station that is no longer where it was stated to be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRemoval {
    /// The network.
    pub network: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// The newest statement that is taken back: a later one stands.
    pub generation: u64,
}

/// Which endpoints to list.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointQuery {
    /// Only those of this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// The endpoints in force: the configuration's that nothing newer was said of, and those that were set.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Endpoints {
    /// By network and MAC address.
    pub endpoints: Vec<Endpoint>,
}
