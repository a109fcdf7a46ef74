//! Who has an address, and what of it must be on the disk.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::plan::Subnet;
use crate::span::Family;

/// An address that is somebody's, or was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The network.
    pub network: String,
    /// The address.
    pub address: IpAddr,
    /// Whose it is, in words of whoever asked.
    pub owner: String,
    /// Released, and until when nobody else gets it, in seconds since 1970; none while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Lease {
    /// What tells its record from every other: an address is once in a network.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.network, self.address)
    }
}

fn key(network: &str, address: IpAddr) -> String {
    format!("{network} {address}")
}

/// What must be on the disk before anybody is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The lease's record is this.
    Put(Lease),
    /// There is no record of the address.
    Drop {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
    },
}

impl Change {
    /// The key of the record, as [`Lease::key`].
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Put(lease) => lease.key(),
            Self::Drop { network, address } => key(network, *address),
        }
    }
}

/// Addresses that were given.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Granted {
    /// Each with the subnet it is in; IPv4 first.
    pub addresses: Vec<(IpAddr, Subnet)>,
    /// What must be on the disk before the owner is told.
    pub changes: Vec<Change>,
}

/// One address that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// This one.
    Address(IpAddr),
    /// Any of the family.
    Any(Family),
}
