//! Docker's IPAM driver: subnets for networks, and addresses in them.
//!
//! Docker asks for a subnet and for its gateway before it asks for the network. Until then there is nothing to write down, and if
//! nothing comes of it there is nothing to forget: so what is promised in between is kept in memory, and all that `CreateNetwork`
//! needs to make the same network after a restart it brings along. Addresses of containers are asked for later, and leased like every
//! other pod's.
//!
//! A pool's id says all about it, so that none need be remembered: the subnet, and the configured network that it is of, if it is.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use podlane_api::Gateway;
use serde_json::{Value, json};

use super::error::CnmError;
use super::words::{ADDRESS_TYPE, FOR_GATEWAY, ReleaseAddress, RequestAddress, RequestPool};
use super::{NETWORK, subnet};
use crate::attach::{Attaches, Origin};
use crate::desired::Prefix;

/// Subnets that were given to Docker, whose networks it has not asked for yet: with the range that pods' addresses come from, if that
/// is smaller.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<HashMap<Prefix, Option<Prefix>>>);

/// What a pool's id says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PoolId {
    subnet: Gateway,
    /// The network of the configuration.
    network: Option<String>,
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.network {
            None => self.subnet.fmt(f),
            Some(network) => write!(f, "{} {network}", self.subnet),
        }
    }
}

impl PoolId {
    fn read(text: &str) -> Result<Self, CnmError> {
        let (subnet, network) = match text.split_once(' ') {
            Some((subnet, network)) => (subnet, Some(network.to_owned())),
            None => (text, None),
        };
        let subnet = subnet.parse().map_err(|_| CnmError::Pool { pool: text.to_owned() })?;
        Ok(Self { subnet, network })
    }
}

impl Pools {
    /// `RequestPool`
    pub(super) fn request(&self, on: &impl Attaches, asked: &RequestPool) -> Result<Value, CnmError> {
        let wished = (!asked.pool.is_empty()).then(|| subnet(&asked.pool)).transpose()?;
        let range = (!asked.sub_pool.is_empty()).then(|| subnet(&asked.sub_pool)).transpose()?;
        if let Some(option) = asked.options.keys().find(|option| option.as_str() != NETWORK) {
            return Err(CnmError::Option { option: option.clone(), nearest: None, known: NETWORK.to_owned() });
        }
        let id = match asked.options.get(NETWORK) {
            Some(network) => {
                PoolId { subnet: of_network(on, network, wished, asked.v6)?, network: Some(network.clone()) }
            }
            None => PoolId { subnet: self.promise(on, wished, range, asked.v6)?, network: None },
        };
        Ok(json!({ "PoolID": id.to_string(), "Pool": id.subnet.to_string(), "Data": {} }))
    }

    /// Promises a subnet that is nobody's.
    fn promise(
        &self,
        on: &impl Attaches,
        wished: Option<Prefix>,
        range: Option<Prefix>,
        v6: bool,
    ) -> Result<Gateway, CnmError> {
        let mut promised = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<(Prefix, Option<String>)> = promised.keys().map(|pool| (*pool, None)).collect();
        for (name, gateways) in on.networks() {
            taken.extend(gateways.into_iter().map(|gateway| (Prefix::of(gateway), Some(name.clone()))));
        }
        let overlapping = |pool: Prefix| taken.iter().find(|(other, _)| other.overlaps(pool));
        let pool = match wished {
            Some(pool) => match overlapping(pool) {
                Some((other, network)) => {
                    return Err(CnmError::Overlap { pool, taken: *other, network: network.clone() });
                }
                None => pool,
            },
            None => choices(v6).find(|pool| overlapping(*pool).is_none()).ok_or(CnmError::NoPool)?,
        };
        promised.insert(pool, range);
        Ok(written(pool))
    }

    /// Forgets a promise: its network was made, or never will be. Tells the range that was asked for with it.
    pub(super) fn forget(&self, pool: Prefix) -> Option<Prefix> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&pool).flatten()
    }

    /// `ReleasePool`
    pub(super) fn release(&self, id: &str) -> Result<(), CnmError> {
        let id = PoolId::read(id)?;
        if id.network.is_none() {
            self.forget(Prefix::of(id.subnet));
        }
        Ok(())
    }
}

/// `RequestAddress`
pub(super) fn request_address(on: &impl Attaches, asked: &RequestAddress) -> Result<Value, CnmError> {
    let id = PoolId::read(&asked.pool)?;
    let address = match asked.options.get(ADDRESS_TYPE).map(String::as_str) {
        Some(FOR_GATEWAY) => gateway(on, &id, asked.address)?,
        _ => match (network_of(on, &id), asked.address) {
            (Some(network), wished) => on.lease(&network, id.subnet, wished).map_err(said)?,
            // Somebody's outside Docker (--aux-address), told before its network: the network reserves it.
            (None, Some(address)) => address,
            (None, None) => return Err(CnmError::Pool { pool: asked.pool.clone() }),
        },
    };
    Ok(json!({ "Address": format!("{address}/{}", id.subnet.prefix_len()), "Data": {} }))
}

/// `ReleaseAddress`: also of gateways, which are not leased, and after the network.
pub(super) fn release_address(on: &impl Attaches, asked: &ReleaseAddress) -> Result<(), CnmError> {
    match network_of(on, &PoolId::read(&asked.pool)?) {
        Some(network) => on.release(&network, asked.address).map_err(said),
        None => Ok(()),
    }
}

/// The network that has the pool, once there is one.
fn network_of(on: &impl Attaches, id: &PoolId) -> Option<String> {
    if let Some(network) = &id.network {
        return Some(network.clone());
    }
    let has = |gateways: &[Gateway]| gateways.iter().any(|gateway| Prefix::of(*gateway) == Prefix::of(id.subnet));
    let made = on.made().into_iter();
    made.filter(|network| network.origin == Origin::Docker).find(|network| has(&network.gateways)).map(|it| it.name)
}

/// The subnet of a configured network.
fn of_network(on: &impl Attaches, network: &str, wished: Option<Prefix>, v6: bool) -> Result<Gateway, CnmError> {
    let gateways = gateways(on, network)?;
    let fits = |gateway: &&Gateway| match wished {
        Some(pool) => Prefix::of(**gateway) == pool,
        None => gateway.address().is_ipv6() == v6,
    };
    match gateways.iter().find(fits) {
        Some(gateway) => Ok(written(Prefix::of(*gateway))),
        None => Err(CnmError::NotItsSubnet { network: network.to_owned(), v6, pool: wished, gateways }),
    }
}

/// The gateways of a network of the daemon's.
pub(super) fn gateways(on: &impl Attaches, network: &str) -> Result<Vec<Gateway>, CnmError> {
    let found = on.networks().into_iter().find(|(name, _)| name == network);
    found.map(|(_, gateways)| gateways).ok_or_else(|| CnmError::NoNetwork { network: network.to_owned() })
}

fn gateway(on: &impl Attaches, id: &PoolId, wished: Option<IpAddr>) -> Result<IpAddr, CnmError> {
    let pool = Prefix::of(id.subnet);
    let Some(network) = &id.network else { return Ok(wished.unwrap_or_else(|| pool.first_host())) };
    let own = gateways(on, network)?.into_iter().find(|gateway| Prefix::of(*gateway) == pool);
    let own = own.ok_or_else(|| CnmError::Pool { pool: id.to_string() })?;
    match wished {
        Some(wished) if wished != own.address() => {
            Err(CnmError::Gateway { network: network.clone(), gateway: own, wished })
        }
        _ => Ok(own.address()),
    }
}

/// Where a subnet is chosen from when Docker leaves it to us: 256 of each family, none that Docker's own networks use; the IPv6 ones are
/// unique local addresses (RFC 4193).
fn choices(v6: bool) -> impl Iterator<Item = Prefix> {
    (0..=255).filter_map(move |number: u8| {
        let (network, len) = match v6 {
            false => (Ipv4Addr::new(10, 200, number, 0).into(), 24),
            true => (Ipv6Addr::new(0xfd70, 0x6f64, 0x6c61, number.into(), 0, 0, 0, 0).into(), 64),
        };
        Gateway::new(network, len).map(Prefix::of)
    })
}

/// A subnet as Docker writes it.
fn written(pool: Prefix) -> Gateway {
    Gateway::new(pool.network(), pool.len()).unwrap_or_else(|| unreachable!("a prefix is no longer than its family's"))
}

pub(super) fn said(error: impl fmt::Display) -> CnmError {
    CnmError::Attaching(error.to_string())
}
