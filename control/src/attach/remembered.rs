//! What the journal remembers when a daemon starts, and what the daemon makes of it.
//!
//! ```text
//!   journal --> Remembered::recall --> up, and still there      --> its port is desired, and opened with the configuration's
//!                                 +--> up, link and pod gone    --+
//!                                 +--> making, ending           --+--> taken away by chores
//!               Attachments::start --> links of ours that no record knows, leases that nobody has: taken away
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use podlane_host::{HostError, Links, Netns};
use podlane_ipam::{Ipam, Lease, NetworkError};
use podlane_journal::{Change, Journal, OpenError, Records, Table};
use thiserror::Error;

use super::leases::{Clock, changes};
use super::port::port;
use super::record::{Record, lease_owner};
use super::{Kind, MadeNetwork, MadeNetworkError, Stage};
use crate::desired::{self, Desired};

/// Who holds addresses that no attachment has: what they were leased for, behind this.
pub(super) const POOLS: &str = "pool:";

/// What a former daemon promised, found again.
pub struct Remembered {
    pub(super) journal: Arc<Journal>,
    pub(super) ipam: Ipam,
    pub(super) clock: Clock,
    pub(super) records: Vec<Record>,
    pub(super) networks: Vec<MadeNetwork>,
    pub(super) settings: desired::Attachments,
}

/// What was promised cannot be found out. Nothing is changed.
#[derive(Debug, Error)]
pub enum RecallError {
    /// The journal.
    #[error("the journal: {0}")]
    Journal(#[from] OpenError),
    /// A record is of no use.
    #[error(
        "the journal has {what} {key:?} that cannot be read: {source}; was it written by a later Podlane? run that one, or move the journal away once no pod of it is left"
    )]
    Record {
        /// Of what.
        what: &'static str,
        /// Under which key.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A network that was made does not fit the configuration any more.
    #[error("{0}; change the configuration, since pods may be in it")]
    Network(#[from] MadeNetworkError),
    /// The host's links cannot be listed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No thread to be had.
    #[error("cannot start the threads that take links away: {0}; raise the limit on threads (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// What leases would be undone cannot be written.
    #[error(transparent)]
    Commit(#[from] podlane_journal::CommitError),
}

impl RecallError {
    /// Whether nothing is wrong but that another process has the journal.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self, Self::Journal(OpenError::Held { .. }))
    }
}

impl Remembered {
    /// Opens the journal that the configuration names, and has what it remembers be desired; none where pods are not attached.
    ///
    /// # Errors
    /// [`RecallError`].
    pub fn recall(desired: &mut Desired) -> Result<Option<Self>, RecallError> {
        let settings = desired.attachments.clone();
        settings.map(|settings| Self::recall_from(settings, desired)).transpose()
    }

    /// As [`recall`](Self::recall), from this journal.
    pub(super) fn recall_from(settings: desired::Attachments, desired: &mut Desired) -> Result<Self, RecallError> {
        let (journal, found) = Journal::open(&settings.journal)?;
        let journal = Arc::new(journal);
        let clock = Clock::start();
        let networks: Vec<MadeNetwork> = read("a network", &found.networks)?;
        for made in &networks {
            if let Some(network) = made.desired(desired)? {
                desired.networks.insert(network.name.clone(), network);
            }
        }
        let mut ipam = Ipam::new(settings.quarantine);
        // Before the attachments' ports, whose addresses are held by leases and not by the configuration.
        for network in desired.networks.values() {
            match ipam.add_network(network.name.as_str(), desired.plan(network)) {
                Ok(()) | Err(NetworkError::Exists { .. }) => {}
                Err(error) => tracing::error!(%error, "a network gives no addresses"),
            }
        }
        let mut records: Vec<Record> = read("an attachment", &found.attachments)?;
        forget_the_dead(&mut records, found.is_rebooted)?;
        let undone = restore_leases(&mut ipam, &found, &records, clock.now())?;
        journal.commit(undone)?;
        for record in records.iter().filter(|record| record.attachment.stage == Stage::Up) {
            desire(record, desired);
        }
        Ok(Self { journal, ipam, clock, records, networks, settings })
    }
}

/// Makes an attachment's port desired, where the configuration still has its network.
fn desire(record: &Record, desired: &mut Desired) {
    let attachment = &record.attachment;
    let wanted = match port(record, desired) {
        Ok(Some(port)) => port,
        Ok(None) => return,
        Err(error) => {
            return tracing::error!(port = attachment.port, %error, "a pod that was attached has no port any more");
        }
    };
    if !desired.networks.contains_key(attachment.order.network.as_str()) {
        let network = &attachment.order.network;
        tracing::error!(
            port = attachment.port,
            network,
            "a pod that was attached has no port, because its network is gone; put it back into the configuration"
        );
        return;
    }
    desired.ports.insert(wanted.name.clone(), Arc::new(wanted));
}

/// Has those end whose link and whose pod are gone: nobody may be left who would ask for it. After a reboot these are all, but what
/// is on the host's disk or in its hands is still to be given back.
fn forget_the_dead(records: &mut [Record], is_rebooted: bool) -> Result<(), RecallError> {
    let links: HashSet<String> = Links::open()?.list()?.into_iter().map(|link| link.name).collect();
    for record in records.iter_mut().filter(|record| record.attachment.stage == Stage::Up) {
        let has_link = record.attachment.host.as_ref().is_some_and(|end| links.contains(&end.name));
        let has_pod = || {
            let netns = record.attachment.order.netns.as_ref().and_then(|path| Netns::open(path).ok());
            netns.and_then(|netns| netns.id().ok()).is_some_and(|id| Some(id.to_string()) == record.netns)
        };
        let is_socket = record.attachment.order.kind == Kind::VhostUser;
        if is_rebooted || !(has_link || is_socket || has_pod()) {
            record.attachment.stage = Stage::Ending;
        }
    }
    Ok(())
}

/// Takes up the leases, and undoes those of attachments that there are none of: a daemon was killed between two records.
fn restore_leases(ipam: &mut Ipam, found: &Records, records: &[Record], now: u64) -> Result<Vec<Change>, RecallError> {
    let owners: HashSet<(String, String)> =
        records.iter().map(|record| (record.attachment.order.network.clone(), lease_owner(record.key()))).collect();
    let (mut orphans, mut gone) = (HashSet::new(), Vec::new());
    for lease in read::<Lease>("a lease", &found.leases)? {
        let owner = (lease.network.clone(), lease.owner.clone());
        if lease.until.is_none() && !lease.owner.starts_with(POOLS) && !owners.contains(&owner) {
            orphans.insert(owner);
        }
        let (key, is_held) = (lease.key(), lease.until.is_none());
        match ipam.restore(lease, now) {
            // The pod that has it may be there, and the network come back.
            Err(error) if is_held => tracing::warn!(%error, "an address of a pod is in no network"),
            Err(_) => gone.push(Change::delete(Table::Leases, key)),
            Ok(()) => {}
        }
    }
    let undone = orphans.iter().flat_map(|(network, owner)| ipam.release(network, owner, now));
    gone.extend(changes(undone.collect()));
    Ok(gone)
}

fn read<T: serde::de::DeserializeOwned>(
    what: &'static str,
    records: &std::collections::BTreeMap<String, Vec<u8>>,
) -> Result<Vec<T>, RecallError> {
    let parse = |(key, bytes): (&String, &Vec<u8>)| {
        serde_json::from_slice(bytes).map_err(|source| RecallError::Record { what, key: key.clone(), source })
    };
    records.iter().map(parse).collect()
}

/// A network that was made, to be written.
pub(super) fn put_network(made: &MadeNetwork) -> Change {
    let bytes = serde_json::to_vec(made).expect("a network has no map whose keys are not strings");
    Change::put(Table::Networks, made.name.clone(), bytes)
}
