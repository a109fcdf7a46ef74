//! Detaching, and taking away what an attempt, a crash or a caller left.
//!
//! ```text
//!   DEL --> record "ending" --> port closed, link down --> reply
//!                                      +--> chore: link deleted --> lease into quarantine, record gone
//! ```
//!
//! At the reply no packet of the pod goes anywhere: its port is in no table, and its link has lost its carrier. To delete the link takes the kernel
//! 18 ms more, which nobody waits for. Everything here may be done twice, and of what is not there.

use std::sync::Arc;

use podlane_host::{HostError, Links};
use podlane_journal::{Change, Table};

use super::birth::put;
use super::book::Held;
use super::error::AttachError;
use super::inner::Inner;
use super::record::{Record, journal_key, lease_owner};
use super::{Addressing, Attachment, Key, Kind, Stage, delegate, host_device, taken, vhost_user};
use crate::desired::Name;
use crate::reconcile::ChangeError;

/// What is left of an attachment that a caller gave back.
pub(super) struct Rest {
    pub(super) held: Held,
    pub(super) record: Arc<Record>,
}

impl Inner {
    /// Detaches, but for what nobody waits for; none when there is nothing left to do.
    ///
    /// # Errors
    /// Something cannot be taken away; asking again tries again.
    pub(super) fn detach(&self, key: &Key) -> Result<Option<Rest>, AttachError> {
        let held = self.hold(key)?;
        let Some(record) = held.record() else { return Ok(None) };
        let mut ending = Record::clone(&record);
        ending.attachment.stage = Stage::Ending;
        // Known first: who has labels for one that is up writes it anew, and that must not be the last word of it.
        held.write(&ending);
        let written = self.journal.submit(vec![put(&ending)]);
        self.close_when(&ending, || {
            if let Err(error) = written.wait() {
                // It is the next daemon that would miss it, and that finds neither link nor namespace.
                tracing::warn!(%error, "that a pod was detached is not written down yet");
            }
        })?;
        // The rest of a veth is its link, which can wait. The others' netdevs are wanted by whoever comes next.
        if ending.attachment.order.kind == Kind::Veth {
            return Ok(Some(Rest { held, record: Arc::new(ending) }));
        }
        self.clear(&held, &ending)?;
        Ok(None)
    }

    /// Has no packet of the pod go anywhere.
    pub(super) fn close(&self, record: &Record) -> Result<(), AttachError> {
        self.close_when(record, || ())
    }

    /// The same, and waits in between until it is `known`: a port is opened again by whoever finds the pod attached, a link that is down is not set up.
    fn close_when(&self, record: &Record, known: impl FnOnce()) -> Result<(), AttachError> {
        let Attachment { order, port, .. } = &record.attachment;
        // Over the link, which is there for as long.
        let goodbye = record.speaks_dhcp().then(|| delegate::del(order));
        if let Some(name) = Name::new(port) {
            match self.engine.remove_port(&name) {
                Ok(()) | Err(ChangeError::Unknown { .. }) => {}
                Err(source) => return Err(AttachError::Port { port: port.clone(), source }),
            }
        }
        known();
        if order.kind == Kind::Veth {
            let down = Links::open().and_then(|mut host| host.set_down(port));
            absent_is_well(down).map_err(AttachError::host("the pod's link"))?;
        }
        // Before the reply: the plugin's error is the caller's to know, and its addresses to give again, at once.
        if matches!(order.addressing, Addressing::Delegated { .. } | Addressing::Given { .. }) {
            self.release(record, Vec::new())?;
        }
        goodbye.unwrap_or_else(|| delegate::del(order))?;
        Ok(())
    }

    /// Takes away what is left, and forgets it. The port is closed.
    pub(super) fn clear(&self, held: &Held, record: &Record) -> Result<(), AttachError> {
        let order = &record.attachment.order;
        match order.kind {
            Kind::Veth => {
                let deleted = Links::open().and_then(|mut host| host.delete(&record.attachment.port));
                absent_is_well(deleted).map_err(AttachError::host("the pod's link"))?;
            }
            Kind::Taken { .. } => taken::give_back(record)?,
            Kind::HostDevice { .. } => host_device::bring_back(record)?,
            Kind::VhostUser => vhost_user::take_away(record)?,
        }
        self.release(record, vec![Change::delete(Table::Attachments, journal_key(&order.key))])?;
        held.forget();
        Ok(())
    }

    /// Takes the addresses back, along with other changes.
    fn release(&self, record: &Record, along: Vec<Change>) -> Result<(), AttachError> {
        // A journal from before they were told apart may have two of one owner.
        if self.book.has(|other| other.key() != record.key() && other.shares_leases(record)) {
            self.journal.commit(along)?;
        } else {
            let key = &record.attachment.order.key;
            self.leases.release((&record.attachment.order.network, &lease_owner(key)), along).wait()?;
        }
        Ok(())
    }
}

impl Rest {
    /// Takes it away. What cannot be stays in the book, for a later DEL, GC or daemon.
    pub(super) fn clear(self, inner: &Inner) {
        if let Err(error) = inner.clear(&self.held, &self.record) {
            let port = &self.record.attachment.port;
            tracing::warn!(port, %error, "something is left of a pod that was detached; a GC or a restart tries again");
        }
    }
}

/// What is not there need not be taken away.
pub(super) fn absent_is_well(outcome: Result<(), HostError>) -> Result<(), HostError> {
    match outcome {
        Err(HostError::NoSuchLink { .. }) => Ok(()),
        outcome => outcome,
    }
}
