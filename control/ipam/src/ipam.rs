//! The networks, and what is asked of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::{LeaseError, NetworkError};
use crate::lease::{Change, Granted, Lease, Wish};
use crate::plan::{Plan, Use};
use crate::pool::{Count, Pool};
use crate::span::Family;

/// Who has which address of which network.
///
/// All times are seconds since 1970 and must not go back while it lives: count on from the wall clock at the start, by a clock that nobody sets.
#[derive(Debug)]
pub struct Ipam {
    pools: BTreeMap<String, Pool>,
    quarantine: u64,
}

impl Ipam {
    /// No network yet. What is released stays away from other owners for `quarantine`.
    #[must_use]
    pub const fn new(quarantine: Duration) -> Self {
        Self { pools: BTreeMap::new(), quarantine: quarantine.as_secs() }
    }

    /// Adds a network.
    ///
    /// # Errors
    /// [`NetworkError::Exists`].
    pub fn add_network(&mut self, network: &str, plan: Plan) -> Result<(), NetworkError> {
        if self.pools.contains_key(network) {
            return Err(NetworkError::Exists { network: network.to_owned() });
        }
        self.pools.insert(network.to_owned(), Pool::new(network, plan));
        Ok(())
    }

    /// Removes a network nobody holds an address of, and returns what must be written.
    ///
    /// # Errors
    /// [`NetworkError::Missing`], [`NetworkError::Held`].
    pub fn remove_network(&mut self, network: &str) -> Result<Vec<Change>, NetworkError> {
        let missing = || NetworkError::Missing { network: network.to_owned() };
        let pool = self.pools.get_mut(network).ok_or_else(missing)?;
        if let Some((lease, held)) = pool.any_held() {
            return Err(NetworkError::Held { network: network.to_owned(), held, owner: lease.owner.clone() });
        }
        let mut changes = pool.take_unwritten();
        changes.extend(pool.leases().map(|lease| Change::Drop { network: network.to_owned(), address: lease.address }));
        self.pools.remove(network);
        Ok(changes)
    }

    /// Takes up a lease of a former life, also where it would not be given today: its owner has it. A quarantine is no
    /// longer than one that begins now, whatever the clock said then.
    ///
    /// # Errors
    /// [`LeaseError::NoNetwork`]: the record is of no use.
    pub fn restore(&mut self, lease: Lease, now: u64) -> Result<(), LeaseError> {
        let until = lease.until.map(|until| until.min(now.saturating_add(self.quarantine)));
        self.pool(&lease.network)?.restore(&Lease { until, ..lease });
        Ok(())
    }

    /// Gives the owner what it wishes for, and an address of each further family that the network has; or nothing. An owner that has addresses
    /// gets these again.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn lease(&mut self, network: &str, owner: &str, wished: &[IpAddr], now: u64) -> Result<Granted, LeaseError> {
        let pool = self.current(network, now)?;
        let held = pool.held_by(owner);
        if !held.is_empty() {
            return match wished.iter().find(|wished| !held.contains(wished)) {
                None => Ok(granted(pool, held, Vec::new())),
                Some(&wished) => {
                    let held = held.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
                    Err(LeaseError::Holds { network: network.to_owned(), owner: owner.to_owned(), held, wished })
                }
            };
        }
        let mut chosen = wished.to_vec();
        for address in wished {
            pool.check(owner, *address, now)?;
        }
        for family in Family::ALL {
            let is_wished = wished.iter().any(|address| Family::of(*address) == family);
            if !is_wished && pool.plan().ranges(family).next().is_some() {
                let former = pool.former(owner, family);
                chosen.push(former.map_or_else(|| pool.next(family, now), Ok)?);
            }
        }
        if chosen.is_empty() {
            return Err(LeaseError::NoRange { network: network.to_owned(), family: None });
        }
        Ok(hold(pool, owner, chosen))
    }

    /// Gives the owner one address more, for callers that ask for each on its own and say of all that they are the owner: what one of these
    /// had is not given back to it unless it wishes for it.
    ///
    /// # Errors
    /// [`LeaseError`]; also where the owner has the very address.
    pub fn lease_one(&mut self, network: &str, owner: &str, wish: Wish, now: u64) -> Result<Granted, LeaseError> {
        let pool = self.current(network, now)?;
        let address = match wish {
            Wish::Any(family) => pool.next(family, now)?,
            Wish::Address(address) => {
                if let Some(lease) = pool.lease(address).filter(|lease| lease.until.is_none()) {
                    let owner = lease.owner.clone();
                    return Err(LeaseError::Taken { network: network.to_owned(), address, owner });
                }
                pool.check(owner, address, now)?;
                address
            }
        };
        Ok(hold(pool, owner, vec![address]))
    }

    /// Notes that the owner has these, which somebody else gave it: they are not given out, whatever the ranges say.
    ///
    /// # Errors
    /// [`LeaseError::Taken`], [`LeaseError::Used`], [`LeaseError::NoNetwork`].
    pub fn claim(&mut self, network: &str, owner: &str, addresses: &[IpAddr], now: u64) -> Result<Granted, LeaseError> {
        let pool = self.current(network, now)?;
        for address in addresses {
            match pool.check(owner, *address, now) {
                // Reserved for whoever gives them out, outside ours, or released by the one who gives them again: theirs to decide.
                Err(LeaseError::Used { used: Use::Reserved, .. }) => {}
                Err(error @ (LeaseError::Taken { .. } | LeaseError::Used { .. })) => return Err(error),
                _ => {}
            }
        }
        Ok(hold(pool, owner, addresses.to_vec()))
    }

    /// Takes back all that the owner has, and returns what must be written; nothing if it has nothing.
    pub fn release(&mut self, network: &str, owner: &str, now: u64) -> Vec<Change> {
        let until = now.saturating_add(self.quarantine);
        let Ok(pool) = self.current(network, now) else { return Vec::new() };
        let mut changes = pool.take_unwritten();
        for address in pool.held_by(owner) {
            changes.extend(pool.release(address, until));
        }
        changes
    }

    /// Takes back one address, whoever has it, and returns what must be written; nothing if nobody has it.
    pub fn release_one(&mut self, network: &str, address: IpAddr, now: u64) -> Vec<Change> {
        let until = now.saturating_add(self.quarantine);
        let Ok(pool) = self.current(network, now) else { return Vec::new() };
        let mut changes = pool.take_unwritten();
        changes.extend(pool.release(address, until));
        changes
    }

    /// Takes back what the owner was never told of, without quarantine, and returns what must be written.
    pub fn undo(&mut self, network: &str, owner: &str) -> Vec<Change> {
        let Some(pool) = self.pools.get_mut(network) else { return Vec::new() };
        let held = pool.held_by(owner);
        held.into_iter().filter_map(|address| pool.undo(address)).collect()
    }

    /// Takes back one address that its owner was never told of, without quarantine, and returns what must be written.
    pub fn undo_one(&mut self, network: &str, address: IpAddr) -> Option<Change> {
        self.pools.get_mut(network)?.undo(address)
    }

    /// All that somebody has or had a short while ago, by network and address.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.pools.values().flat_map(Pool::leases)
    }

    /// The networks, and how many addresses of each family they have.
    pub fn counts(&self, now: u64) -> Vec<(&str, Vec<Count>)> {
        let counts = |pool: &Pool| {
            let counts = Family::ALL.into_iter().map(|family| pool.count(family, now));
            counts.filter(|count| !count.ranges.is_empty() || count.held > 0).collect()
        };
        self.pools.iter().map(|(network, pool)| (network.as_str(), counts(pool))).collect()
    }

    fn pool(&mut self, network: &str) -> Result<&mut Pool, LeaseError> {
        self.pools.get_mut(network).ok_or_else(|| LeaseError::NoNetwork { network: network.to_owned() })
    }

    /// The pool as it is now.
    fn current(&mut self, network: &str, now: u64) -> Result<&mut Pool, LeaseError> {
        let pool = self.pool(network)?;
        pool.expire(now);
        Ok(pool)
    }
}

/// Holds the addresses for the owner.
fn hold(pool: &mut Pool, owner: &str, mut addresses: Vec<IpAddr>) -> Granted {
    addresses.sort_unstable();
    addresses.dedup();
    let mut changes = pool.take_unwritten();
    for address in &addresses {
        changes.push(pool.hold(owner, *address));
    }
    granted(pool, addresses, changes)
}

fn granted(pool: &Pool, addresses: Vec<IpAddr>, changes: Vec<Change>) -> Granted {
    Granted { addresses: addresses.into_iter().map(|address| (address, pool.subnet(address))).collect(), changes }
}
