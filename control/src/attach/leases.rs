//! Addresses: the allocator behind a lock, its changes in the journal in the order in which they were decided.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use podlane_api::Gateway;
use podlane_ipam::{Granted, Ipam, Lease, LeaseError, NetworkError, Plan, Subnet, Wish};
use podlane_journal::{Change, CommitError, Journal, Pending, Table};

use super::Address;
use super::remembered::POOLS;

/// Who has which address, durably.
pub(super) struct Leases {
    ipam: Mutex<Ipam>,
    journal: Arc<Journal>,
    clock: Clock,
}

/// Seconds since 1970 that never go back: the wall clock when it began, counted on by one that nobody sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    wall: u64,
    began: Instant,
}

/// What is written along with a lease.
pub(super) type Along<'a, E> = &'a mut dyn FnMut(&[Address]) -> Result<Vec<Change>, E>;

impl Clock {
    pub(super) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { wall, began: Instant::now() }
    }

    pub(super) fn now(&self) -> u64 {
        self.wall + self.began.elapsed().as_secs()
    }
}

impl Leases {
    pub(super) fn new(ipam: Ipam, journal: Arc<Journal>, clock: Clock) -> Self {
        Self { ipam: Mutex::new(ipam), journal, clock }
    }

    /// Gives an owner addresses, and begins to write that down with what `along` adds for them. Should `along` refuse, nothing is given.
    ///
    /// # Errors
    /// No address, or the refusal.
    pub(super) fn lease<E: From<LeaseError>>(
        &self,
        (network, owner): (&str, &str),
        wished: &[IpAddr],
        along: Along<'_, E>,
    ) -> Result<Pending, E> {
        let mut ipam = self.ipam();
        let granted = ipam.lease(network, owner, wished, self.clock.now())?;
        self.grant(&mut ipam, (network, owner), granted, along)
    }

    /// Notes that an owner has addresses which somebody else gave it, as [`lease`](Self::lease) does.
    ///
    /// # Errors
    /// As [`lease`](Self::lease).
    pub(super) fn claim<E: From<LeaseError>>(
        &self,
        (network, owner): (&str, &str),
        addresses: &[IpAddr],
        along: Along<'_, E>,
    ) -> Result<Pending, E> {
        let mut ipam = self.ipam();
        let granted = ipam.claim(network, owner, addresses, self.clock.now())?;
        self.grant(&mut ipam, (network, owner), granted, along)
    }

    /// Gives an owner one address more, durably.
    ///
    /// # Errors
    /// No address, or the journal.
    pub(super) fn lease_one<E: From<LeaseError> + From<CommitError>>(
        &self,
        (network, owner): (&str, &str),
        wish: Wish,
    ) -> Result<Address, E> {
        let (given, pending) = {
            let mut ipam = self.ipam();
            let granted = ipam.lease_one(network, owner, wish, self.clock.now())?;
            (addresses(&granted), self.journal.submit(changes(granted.changes)))
        };
        if let Err(error) = pending.wait() {
            // Nobody was told of it. What could not be written may yet have been, so that its end is written too.
            let mut ipam = self.ipam();
            let undone = given.iter().filter_map(|own| ipam.undo_one(network, own.address.address())).collect();
            drop(self.journal.submit(changes(undone)));
            return Err(error.into());
        }
        // One was asked for, and a lease that gives none is an error.
        given.into_iter().next().ok_or_else(|| LeaseError::NoRange { network: network.to_owned(), family: None }.into())
    }

    /// Takes back one address, durably.
    ///
    /// # Errors
    /// The journal.
    pub(super) fn release_one(&self, network: &str, address: IpAddr) -> Result<(), CommitError> {
        let pending = {
            let mut ipam = self.ipam();
            let released = ipam.release_one(network, address, self.clock.now());
            self.journal.submit(changes(released))
        };
        pending.wait()
    }

    /// Takes back what an owner has, along with other changes.
    pub(super) fn release(&self, (network, owner): (&str, &str), mut along: Vec<Change>) -> Pending {
        let mut ipam = self.ipam();
        along.extend(changes(ipam.release(network, owner, self.clock.now())));
        self.journal.submit(along)
    }

    /// Adds a network, along with other changes.
    ///
    /// # Errors
    /// It is there.
    pub(super) fn add_network(&self, network: &str, plan: Plan, along: Vec<Change>) -> Result<Pending, NetworkError> {
        let mut ipam = self.ipam();
        ipam.add_network(network, plan)?;
        Ok(self.journal.submit(along))
    }

    /// Removes a network, along with other changes and with what is held of it for nobody in particular; one that is not there is as good.
    ///
    /// # Errors
    /// An attachment has addresses of it.
    pub(super) fn remove_network(&self, network: &str, mut along: Vec<Change>) -> Result<Pending, NetworkError> {
        let mut ipam = self.ipam();
        is_unattached(&ipam, network)?;
        let pools: BTreeSet<String> = held(&ipam, network).map(|lease| lease.owner.clone()).collect();
        for owner in pools {
            along.extend(changes(ipam.release(network, &owner, self.clock.now())));
        }
        match ipam.remove_network(network) {
            Ok(gone) => along.extend(changes(gone)),
            Err(NetworkError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(self.journal.submit(along))
    }

    /// Asks the allocator something.
    pub(super) fn read<T>(&self, question: impl FnOnce(&mut Ipam, u64) -> T) -> T {
        question(&mut self.ipam(), self.clock.now())
    }

    /// The time of leases.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Submits under the lock, so that the journal has changes in the order of the decisions.
    fn grant<E>(
        &self,
        ipam: &mut Ipam,
        (network, owner): (&str, &str),
        granted: Granted,
        along: Along<'_, E>,
    ) -> Result<Pending, E> {
        match along(&addresses(&granted)) {
            Ok(mut all) => {
                all.extend(changes(granted.changes));
                Ok(self.journal.submit(all))
            }
            Err(error) => {
                // Nobody was told of them. Should they have been held from before, what is written is the same again.
                drop(self.journal.submit(changes(ipam.undo(network, owner))));
                Err(error)
            }
        }
    }

    fn ipam(&self) -> MutexGuard<'_, Ipam> {
        // An operation on the allocator is whole or has not begun.
        self.ipam.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is held of a network.
fn held<'a>(ipam: &'a Ipam, network: &'a str) -> impl Iterator<Item = &'a Lease> {
    ipam.leases().filter(move |lease| lease.network == network && lease.until.is_none())
}

/// Whether no attachment has an address of a network.
///
/// # Errors
/// [`NetworkError::Held`].
pub(super) fn is_unattached(ipam: &Ipam, network: &str) -> Result<(), NetworkError> {
    let mut attached = held(ipam, network).filter(|lease| !lease.owner.starts_with(POOLS));
    let Some(lease) = attached.next() else { return Ok(()) };
    Err(NetworkError::Held { network: network.to_owned(), held: 1 + attached.count(), owner: lease.owner.clone() })
}

/// What was granted, with subnets and gateways.
fn addresses(granted: &Granted) -> Vec<Address> {
    let address = |(address, subnet): &(IpAddr, Subnet)| Address {
        address: Gateway::new(*address, subnet.prefix_len).expect("a subnet's prefix fits its addresses"),
        gateway: subnet.gateway,
    };
    granted.addresses.iter().map(address).collect()
}

/// The allocator's changes as the journal takes them.
pub(super) fn changes(of: Vec<podlane_ipam::Change>) -> Vec<Change> {
    let change = |change: podlane_ipam::Change| {
        let key = change.key();
        match change {
            podlane_ipam::Change::Put(lease) => Change::put(Table::Leases, key, bytes(&lease)),
            podlane_ipam::Change::Drop { .. } => Change::delete(Table::Leases, key),
        }
    };
    of.into_iter().map(change).collect()
}

fn bytes(lease: &Lease) -> Vec<u8> {
    serde_json::to_vec(lease).expect("a lease has no map whose keys are not strings")
}

/// Whether a network has an address left of each family that it gives.
///
/// # Errors
/// [`LeaseError::Exhausted`].
pub(super) fn has_room(ipam: &mut Ipam, network: &str, now: u64) -> Result<(), LeaseError> {
    let counts = ipam.counts(now).into_iter().find(|(name, _)| *name == network).map(|(_, counts)| counts);
    let full = counts.into_iter().flatten().find(|count| count.free == 0 && !count.ranges.is_empty());
    let Some(full) = full else { return Ok(()) };
    Err(LeaseError::Exhausted {
        network: network.to_owned(),
        family: full.family,
        ranges: full.ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        held: full.held,
        quarantined: full.quarantined,
        next_in: None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podlane_ipam::Family;

    use super::*;
    use crate::attach::AttachError;

    #[test]
    fn an_address_that_cannot_be_written_down_is_nobodys() {
        let directory = std::env::temp_dir().join(format!("podlane-leases-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (journal, _) = Journal::open(&directory.join("journal.redb")).unwrap();
        let mut ipam = Ipam::new(Duration::from_secs(30));
        let subnets = Subnet::of_gateway([10, 7, 0, 1].into(), 24).into_iter().collect();
        ipam.add_network("pool", Plan { subnets, ..Plan::default() }).unwrap();
        let leases = Leases::new(ipam, Arc::new(journal), Clock::start());
        let lease = || leases.lease_one::<AttachError>(("pool", "pool:10.7.0.0/24"), Wish::Any(Family::V4));
        let first = lease().unwrap();
        leases.journal.close();
        assert!(matches!(lease(), Err(AttachError::Journal(_))));
        let known: Vec<_> = leases.read(|ipam, _| ipam.leases().map(|lease| lease.address).collect());
        assert_eq!(known, [first.address.address()], "what was told before stays, the other is free");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
