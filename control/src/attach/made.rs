//! Networks that are asked for while the daemon runs.

use std::net::IpAddr;

use podlane_api::Gateway;
use serde::{Deserialize, Serialize};

use super::Origin;

/// A network that was asked for at run time: in the journal, and so there again after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeNetwork {
    /// Its name, among those of the configuration.
    pub name: String,
    /// Who asked.
    pub origin: Origin,
    /// The configured network that this is only another caller's name of: nothing is made then, and what is asked of it is that one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_for: Option<String>,
    /// The switch's own addresses in it, each with its subnet.
    pub gateways: Vec<Gateway>,
    /// The largest IP packet; none takes what its path carries.
    pub mtu: Option<u32>,
    /// What pods' addresses are taken from, as `[[network]] ranges` writes it; none for the gateways' subnets.
    pub ranges: Vec<String>,
    /// Addresses that no pod gets unasked.
    pub reserved: Vec<IpAddr>,
    /// Whether nothing is routed into or out of it.
    pub isolated: bool,
}
