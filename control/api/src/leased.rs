//! The addresses of pods: which networks have them to give, and who has which.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The most leases one reply lists: it keeps a reply within [`crate::MAX_REPLY_BYTES`].
pub const MAX_LEASES: usize = 10_000;

/// Which leases to list.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseQuery {
    /// Only those of this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// Addresses that pods have, and how many there are.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Leases {
    /// What the networks have to give, by name and family.
    pub pools: Vec<Pool>,
    /// By network and address, the first [`MAX_LEASES`] of them.
    pub leases: Vec<Lease>,
}

/// What a network has to give, of one family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// The network.
    pub network: String,
    /// The ranges: subnets, or a first and a last address with `-` between; empty where it only notes what others give.
    pub ranges: Vec<String>,
    /// Free to be given; the highest number there is where there are more.
    pub free: u64,
    /// Somebody's.
    pub held: usize,
    /// Released a short while ago, and given to nobody else for now.
    pub quarantined: usize,
}

/// An address that is somebody's, or was a short while ago.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The network.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub owner: String,
    /// It was released, and is free in so many seconds; none while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_in_s: Option<u64>,
}
