//! What the journal keeps of an attachment: all that takes it away again, or lets it go on, without the daemon that made it.

use podlane_api::MacAddr;
use podlane_host::Link;
use podlane_policy::model::PodName;
use serde::{Deserialize, Serialize};

use super::{Attachment, Key, Origin, Stage};

/// One attachment, as it is written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// What was asked for and what came of it.
    pub(super) attachment: Attachment,
    /// Which network namespace its pod has, as the kernel numbers it: a path may come to name another.
    pub(super) netns: Option<String>,
    /// What a netdev that is not ours was before, to be that again.
    pub(super) former: Option<Former>,
}

/// A netdev as it was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Former {
    /// Its name.
    pub(super) name: String,
    /// Its MAC address.
    pub(super) mac: Option<MacAddr>,
    /// Its MTU.
    pub(super) mtu: u32,
    /// Whether it was up.
    pub(super) up: bool,
    /// The bridge it was a port of.
    pub(super) master: Option<String>,
}

impl Record {
    /// As it is written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has no map whose keys are not strings")
    }

    pub(super) fn key(&self) -> &Key {
        &self.attachment.order.key
    }

    /// Whether the two would have the same leases.
    pub(super) fn shares_leases<'a>(&'a self, other: &'a Self) -> bool {
        // As `lease_owner` says, of two words without a slash; asked of everybody for each who comes.
        let owner = |record: &'a Self| (&record.key().container, &record.key().interface);
        owner(self) == owner(other) && self.attachment.order.network == other.attachment.order.network
    }

    /// Its pod, as policies call it.
    pub(super) fn pod(&self) -> Option<PodName> {
        self.attachment.order.pod.as_ref().map(|(namespace, name)| PodName::new(namespace, name))
    }

    /// Whether the two are of one pod.
    fn is_of_same_pod(&self, other: &Self) -> bool {
        let (own, its) = (&self.attachment.order, &other.attachment.order);
        own.pod.is_some() && own.pod == its.pod
    }

    /// Whether the two are interfaces of one pod, in one sandbox.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let sandbox = |record: &Self| (record.key().origin, record.key().container.clone());
        self.is_of_same_pod(other) && sandbox(self) == sandbox(other)
    }

    /// Whether the other is of the same pod in another sandbox, which is not being given back.
    pub(super) fn is_elsewhere(&self, other: &Self) -> bool {
        self.is_of_same_pod(other) && !self.is_beside(other) && other.attachment.stage != Stage::Ending
    }

    /// Takes the pod's labels from an interface beside it, where the caller gives them with one alone: so each of them can go first.
    /// Returns whether it had none and has them now.
    pub(super) fn learn_labels<'a>(&mut self, others: impl IntoIterator<Item = &'a Self>) -> bool {
        let labels = |other: &'a Self| &other.attachment.order.labels;
        let mut told = others.into_iter().filter(|other| self.is_beside(other)).map(labels);
        let Some(told) = told.find(|labels| !labels.is_empty()).filter(|_| self.attachment.order.labels.is_empty())
        else {
            return false;
        };
        self.attachment.order.labels = told.clone();
        true
    }
}

impl Former {
    /// A netdev as it is now, as a port of this bridge.
    pub(super) fn of(link: &Link, master: Option<String>) -> Self {
        Self { name: link.name.clone(), mac: link.mac.map(MacAddr), mtu: link.mtu, up: link.up, master }
    }
}

/// What a record is found by in the journal.
pub(super) fn journal_key(key: &Key) -> String {
    let origin = match key.origin {
        Origin::Cni => "cni",
        Origin::Docker => "docker",
        Origin::Netavark => "netavark",
    };
    // Of the four, only the list's name may have a slash, and the other three tell where it ends.
    format!("{origin}/{}/{}/{}", key.list, key.container, key.interface)
}

/// Who holds a lease: a container's interface gets its former address back, whichever list attaches it.
pub(super) fn lease_owner(key: &Key) -> String {
    format!("{}/{}", key.container, key.interface)
}
