//! Making networks and removing them, in the journal, the allocator and the switch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use podlane_journal::{Change, Table};

use super::error::AttachError;
use super::inner::{Inner, PATIENCE};
use super::leases::is_unattached;
use super::made::{MadeNetwork, MadeNetworkError};
use super::record::Record;
use super::remembered::put_network;
use crate::desired::Name;
use crate::reconcile::ChangeError;

/// The networks that were made. They are made and removed one at a time: it is seldom, and what one needs another may be about to take.
#[derive(Debug, Default)]
pub(super) struct Made(Mutex<BTreeMap<String, MadeNetwork>>);

impl Made {
    pub(super) fn of(networks: Vec<MadeNetwork>) -> Self {
        Self(Mutex::new(networks.into_iter().map(|network| (network.name.clone(), network)).collect()))
    }

    /// All, by name.
    pub(super) fn all(&self) -> Vec<MadeNetwork> {
        self.lock().values().cloned().collect()
    }

    /// The network that is meant by a name: its own, or the one it stands for.
    pub(super) fn meant(&self, name: &str) -> String {
        let made = self.lock();
        made.get(name).and_then(|made| made.stands_for.clone()).unwrap_or_else(|| name.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, MadeNetwork>> {
        // A network is put in and taken out in one statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes a network; the same again is the same.
    pub(super) fn make_network(&self, network: &MadeNetwork) -> Result<(), AttachError> {
        let mut made = self.made.lock();
        if let Some(there) = made.get(&network.name) {
            let exists = || MadeNetworkError::Exists(network.name.clone());
            return if there == network { Ok(()) } else { Err(exists().into()) };
        }
        let desired = self.engine.desired();
        if let Some(wanted) = network.desired(&desired)? {
            let name = wanted.name.clone();
            let plan = desired.plan(&wanted);
            let refused = |source| AttachError::MadeNetwork { network: network.name.clone(), source };
            self.engine.add_network(wanted).map_err(refused)?;
            // Written down before anything is promised of it; a daemon killed in between has made nothing.
            let written = self.leases.add_network(&network.name, plan, vec![put_network(network)]);
            let written = written.map_err(AttachError::from).and_then(|pending| Ok(pending.wait()?));
            if let Err(error) = written {
                // The first error is the one to tell; what is left has no port, and ends with the daemon.
                let _ = self.engine.remove_network(&name);
                let _ = self.leases.remove_network(&network.name, Vec::new());
                return Err(error);
            }
        } else {
            // Another name of one that is there.
            self.network(network.stands_for.as_deref().unwrap_or(&network.name))?;
            self.journal.commit(vec![put_network(network)])?;
        }
        made.insert(network.name.clone(), network.clone());
        Ok(())
    }

    /// Removes a network that was made; one that is not there is as good. Its caller has none of its addresses then, whatever it was given.
    pub(super) fn remove_network(&self, name: &str) -> Result<(), AttachError> {
        let is_in_it = |record: &Record| record.attachment.order.network == name;
        self.book.wait_for_the_ending(is_in_it, PATIENCE);
        let mut made = self.made.lock();
        let Some(network) = made.get(name) else {
            let is_configured = self.engine.desired().networks.contains_key(name);
            return if is_configured { Err(AttachError::Configured { network: name.to_owned() }) } else { Ok(()) };
        };
        let gone = vec![Change::delete(Table::Networks, name)];
        match Name::new(name).filter(|_| network.stands_for.is_none()) {
            Some(own) => {
                // All that may stand against it, before anything is taken away.
                if let Some(record) = self.book.all().iter().find(|record| is_in_it(record)) {
                    return Err(AttachError::Inhabited { network: name.to_owned(), key: record.key().clone() });
                }
                self.leases.read(|ipam, _| is_unattached(ipam, name))?;
                let refused = |source| AttachError::MadeNetwork { network: name.to_owned(), source };
                match self.engine.remove_network(&own) {
                    Ok(()) | Err(ChangeError::Unknown { .. }) => {}
                    Err(source) => return Err(refused(source)),
                }
                match self.leases.remove_network(name, gone) {
                    Ok(written) => written.wait()?,
                    Err(error) => {
                        // Somebody came between, who finds it as it was.
                        let again = network.desired(&self.engine.desired())?;
                        again.map_or(Ok(()), |again| self.engine.add_network(again)).map_err(refused)?;
                        return Err(error.into());
                    }
                }
            }
            None => self.journal.commit(gone)?,
        }
        made.remove(name);
        Ok(())
    }
}
