//! Stations on other nodes that come, move and go while the daemon runs.
//!
//! The file's endpoints are where it begins; what is set or removed here stands before them until the daemon ends, and then the
//! file counts again. Every change is of a generation, and none undoes a later one: two that race for a moved pod end alike
//! whichever arrives first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Receiver, Sender, bounded};
use podlane_api::MacAddr;
use thiserror::Error;

use super::crew::PATIENCE;
use super::plan::Plans;
use crate::config::Mistake;
use crate::config::verify::endpoint as mistake_in;
use crate::desired::{Desired, Endpoint, Name};

/// The most changes that are kept: as many as stations that can be learned.
const MOST: usize = super::STATIONS;

/// Changes that wait for the reconciler; more of them wait where they were made.
const ROOM: usize = 64;

/// Why an endpoint was not changed.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// It does not fit what the daemon was started with.
    #[error(transparent)]
    Unfit(Box<Mistake>),
    /// Something newer is known.
    #[error(
        "generation {given} of {what} in network \"{network}\" is not above {known}, which is known (set it with a higher generation if it is newer)"
    )]
    Stale {
        /// The MAC or IP address.
        what: String,
        /// The network.
        network: Name,
        /// What is known.
        known: u64,
        /// What was given.
        given: u64,
    },
    /// It was removed, and nothing newer is said.
    #[error(
        "endpoint {mac} of network \"{network}\" was removed in generation {removed}, and {given} is not newer (give a higher one)"
    )]
    Removed {
        /// The MAC address.
        mac: MacAddr,
        /// The network.
        network: Name,
        /// The generation it was removed in.
        removed: u64,
        /// What was given.
        given: u64,
    },
    /// What is to be removed was stated since.
    #[error(
        "endpoint {mac} of network \"{network}\" was stated in generation {known}, and {given} is older (give {known} or a higher one)"
    )]
    Newer {
        /// The MAC address.
        mac: MacAddr,
        /// The network.
        network: Name,
        /// The generation it was stated in.
        known: u64,
        /// What was given.
        given: u64,
    },
    /// There is nothing to remove.
    #[error("network \"{network}\" has no endpoint {mac} (`podlane neighbours` lists them)")]
    Unknown {
        /// The MAC address.
        mac: MacAddr,
        /// The network.
        network: Name,
    },
    /// Too much has changed.
    #[error(
        "{MOST} endpoints have been changed, and no more are kept (write them into the file and restart the daemon)"
    )]
    TooMany,
    /// The change is noted, but not in force within two seconds.
    #[error("the change is noted, but not in force yet: the reconciler is busy (`podlane status` says with what)")]
    Late,
}

/// What became of a station since the start.
#[derive(Clone, Debug)]
struct Change {
    generation: u64,
    /// Where it is; none for one that was removed.
    endpoint: Option<Endpoint>,
}

type Key = (Name, MacAddr);

/// The endpoints in force, and the way to change them.
#[derive(Debug)]
pub struct Endpoints {
    plans: Arc<Plans>,
    changes: Mutex<BTreeMap<Key, Change>>,
    changed: Sender<Sender<()>>,
}

impl Endpoints {
    /// Those of the file; the reconciler is told of changes, and tells when they are in force.
    pub(super) fn new(plans: Arc<Plans>) -> (Self, Receiver<Sender<()>>) {
        let (changed, hears) = bounded(ROOM);
        (Self { plans, changes: Mutex::default(), changed }, hears)
    }

    /// States where a station is. Returns once it is so for every packet that arrives from now on.
    ///
    /// # Errors
    /// [`EndpointError`]; but for [`EndpointError::Late`], nothing is changed then.
    pub fn set(&self, endpoint: Endpoint) -> Result<(), EndpointError> {
        let desired = self.plans.read().desired;
        if let Some(mistake) = mistake_in(&endpoint, &desired) {
            return Err(EndpointError::Unfit(Box::new(mistake)));
        }
        let key = (endpoint.network.clone(), endpoint.mac);
        let mut changes = self.lock();
        let of = changes.get(&key);
        // Said twice, it is so already.
        if of.is_some_and(|change| change.endpoint.as_ref() == Some(&endpoint)) {
            return Ok(());
        }
        let newest =
            stated(&desired, &key).map(|(generation, _)| generation).chain(of.map(|change| change.generation)).max();
        if let Some(known) = newest.filter(|known| *known >= endpoint.generation) {
            let is_removal = of.is_some_and(|change| change.endpoint.is_none() && change.generation == known);
            if is_removal {
                let (mac, given) = (endpoint.mac, endpoint.generation);
                return Err(EndpointError::Removed { mac, network: endpoint.network, removed: known, given });
            }
            return Err(stale(&endpoint.mac, &endpoint, known));
        }
        let taken = endpoint.addresses.iter().find_map(|address| {
            let known = address_generation(&desired, &endpoint, *address, &changes)?;
            (known >= endpoint.generation).then(|| stale(address, &endpoint, known))
        });
        if let Some(taken) = taken {
            return Err(taken);
        }
        let generation = endpoint.generation;
        Self::note(&mut changes, key, Change { generation, endpoint: Some(endpoint) })?;
        drop(changes);
        self.wait()
    }

    /// Removes a station. A port that states it counts again.
    ///
    /// # Errors
    /// [`EndpointError`]; but for [`EndpointError::Late`], nothing is changed then.
    pub fn remove(&self, network: &Name, mac: MacAddr, generation: u64) -> Result<(), EndpointError> {
        let key = (network.clone(), mac);
        let mut changes = self.lock();
        let known = match changes.get(&key) {
            Some(change) => change.endpoint.as_ref().map(|_| change.generation),
            None => stated(&self.plans.read().desired, &key)
                .filter(|(_, is_here)| !is_here)
                .map(|(generation, _)| generation)
                .max(),
        };
        let Some(known) = known else { return Err(EndpointError::Unknown { mac, network: network.clone() }) };
        if known > generation {
            return Err(EndpointError::Newer { mac, network: network.clone(), known, given: generation });
        }
        Self::note(&mut changes, key, Change { generation, endpoint: None })?;
        drop(changes);
        self.wait()
    }

    /// The endpoints in force: the file's that nothing newer was said of, and those that were set.
    #[must_use]
    pub fn list(&self) -> Vec<Endpoint> {
        let changes = self.lock();
        let desired = self.plans.read().desired;
        let unchanged = desired.endpoints.iter().filter(|endpoint| {
            let change = changes.get(&(endpoint.network.clone(), endpoint.mac));
            change.is_none_or(|change| change.generation < endpoint.generation)
        });
        let set = changes.values().filter_map(|change| change.endpoint.as_ref());
        unchanged.chain(set).cloned().collect()
    }

    fn note(changes: &mut BTreeMap<Key, Change>, key: Key, change: Change) -> Result<(), EndpointError> {
        if changes.len() >= MOST && !changes.contains_key(&key) {
            return Err(EndpointError::TooMany);
        }
        changes.insert(key, change);
        Ok(())
    }

    fn wait(&self) -> Result<(), EndpointError> {
        let (done, in_force) = bounded(1);
        let late = |_| EndpointError::Late;
        self.changed.send_timeout(done, PATIENCE).map_err(|_| EndpointError::Late)?;
        in_force.recv_timeout(PATIENCE).map_err(late)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In which generations the file states a station, and whether behind a port of this node.
fn stated(desired: &Desired, (network, mac): &Key) -> impl Iterator<Item = (u64, bool)> {
    let endpoints = desired.endpoints.iter();
    let endpoints = endpoints.filter(move |endpoint| endpoint.network == *network && endpoint.mac == *mac);
    let ports = desired.ports.values().filter(move |port| port.mac == Some(*mac));
    let ports = ports.filter(move |port| port.membership.networks().any(|name| name == network));
    endpoints.map(|endpoint| (endpoint.generation, false)).chain(ports.map(|port| (port.generation, true)))
}

/// The newest generation in which another station of the network has an address.
fn address_generation(
    desired: &Desired,
    claimant: &Endpoint,
    address: IpAddr,
    changes: &BTreeMap<Key, Change>,
) -> Option<u64> {
    let another = |endpoint: &&Endpoint| {
        endpoint.network == claimant.network && endpoint.mac != claimant.mac && endpoint.addresses.contains(&address)
    };
    let unchanged = desired.endpoints.iter().filter(|endpoint| {
        changes
            .get(&(endpoint.network.clone(), endpoint.mac))
            .is_none_or(|change| change.generation < endpoint.generation)
    });
    let set = changes.values().filter_map(|change| change.endpoint.as_ref());
    let endpoints = unchanged.chain(set).filter(another).map(|endpoint| endpoint.generation);
    let ports = desired.ports.values().filter(|port| {
        port.mac != Some(claimant.mac)
            && port.addresses.contains(&address)
            && port.membership.networks().any(|name| *name == claimant.network)
    });
    endpoints.chain(ports.map(|port| port.generation)).max()
}

fn stale(what: &impl ToString, endpoint: &Endpoint, known: u64) -> EndpointError {
    let (network, given) = (endpoint.network.clone(), endpoint.generation);
    EndpointError::Stale { what: what.to_string(), network, known, given }
}

#[cfg(test)]
mod tests;
