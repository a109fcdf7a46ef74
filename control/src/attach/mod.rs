//! Attaching pods: one order in, one attachment out, and nothing forgotten in between.
//!
//! ```text
//! podlane-cni --socket--> cni ---+
//! netavark ----socket--> netavark+--> Order --> Attachments --> journal, ipam, host, engine
//! dockerd -----HTTP----> cnm ----+                  |
//!                                <-- Attachment <---+
//! ```
//!
//! The adapters speak their caller's protocol and decide nothing of the network; what an attachment is, and how far it has come, is
//! written down here before anything is made, and taken from there by the next daemon.

mod asked;
mod birth;
mod book;
mod check;
mod chores;
mod delegate;
mod ending;
mod error;
mod host_device;
mod inner;
mod leases;
mod made;
mod names;
mod networks;
#[cfg(test)]
pub(crate) mod on_paper;
mod order;
mod pod_end;
mod port;
mod record;
mod remembered;
mod sweep;
mod taken;
mod told;
mod vhost_user;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use podlane_api::Gateway;
use podlane_host::Netns;
use podlane_ipam::{Family, Ipam, Wish};

pub use asked::Attaches;
pub use delegate::DelegateError;
pub(crate) use delegate::{LONGEST, forward};
pub use error::{AttachError, OrderError};
pub use made::{MadeNetwork, MadeNetworkError};
pub(crate) use made::{NO_VNI, asks_for_vni};
pub use order::{Address, Addressing, Attachment, Dns, Interface, Key, Kind, Order, Origin, PodRoute, Stage};
pub use remembered::{RecallError, Remembered};
pub use told::{Told, ToldInterface};

use crate::desired;
use crate::reconcile::Engine;
use chores::Chores;
use inner::Inner;
use leases::Leases;
use remembered::POOLS;

/// The pods that are attached, and the way to attach and detach them: from any number of threads at once.
pub struct Attachments {
    /// Before what they work with, so that they are done when that ends.
    chores: Arc<Chores>,
    inner: Arc<Inner>,
}

impl Attachments {
    /// Goes on where a former daemon was: what it left half done is taken away, soon.
    ///
    /// # Errors
    /// [`RecallError`].
    pub fn start(remembered: Remembered, engine: Arc<Engine>) -> Result<Self, RecallError> {
        let own = Netns::current().and_then(|own| own.id()).map_err(podlane_host::HostError::from)?;
        let Remembered { journal, ipam, clock, records, networks, settings } = remembered;
        let inner = Arc::new(Inner {
            leases: Leases::new(ipam, Arc::clone(&journal), clock),
            book: book::Book::of(records),
            made: networks::Made::of(networks),
            own,
            instance: engine.desired().daemon.instance.clone(),
            settings,
            journal,
            engine,
        });
        let attachments = Self { chores: Chores::start().map_err(RecallError::Thread)?, inner };
        attachments.sweep();
        Ok(attachments)
    }

    /// Attaches a pod. The same key twice is one attachment.
    ///
    /// # Errors
    /// [`AttachError`]; nothing is left of it then.
    pub fn attach(&self, order: Order) -> Result<Attachment, AttachError> {
        self.inner.attach(order)
    }

    /// Detaches a pod; also one that is not attached, and twice.
    ///
    /// # Errors
    /// Something cannot be taken away; asking again tries again.
    pub fn detach(&self, key: &Key) -> Result<(), AttachError> {
        if let Some(rest) = self.inner.detach(key)? {
            let inner = Arc::clone(&self.inner);
            self.chores.give(Box::new(move || rest.clear(&inner)));
        }
        Ok(())
    }

    /// Whether an attachment is as it was promised, and as its caller believes.
    ///
    /// # Errors
    /// [`AttachError::Differs`] names all that is not so.
    pub fn check(&self, key: &Key, told: &Told) -> Result<(), AttachError> {
        self.inner.check(key, told)
    }

    /// Detaches all of a list's but these, and returns which.
    ///
    /// # Errors
    /// As [`detach`](Self::detach), of the first that cannot be; the others are detached all the same.
    pub fn collect(&self, origin: Origin, list: &str, valid: &[Key]) -> Result<Vec<Key>, AttachError> {
        let is_stale = |key: &Key| key.origin == origin && key.list == list && !valid.contains(key);
        let stale = self.inner.book.keys(is_stale);
        let mut failed = None;
        for key in &stale {
            if let Err(error) = self.detach(key) {
                failed.get_or_insert(error);
            }
        }
        self.sweep();
        failed.map_or(Ok(stale), Err)
    }

    /// Whether another pod could be attached to a network.
    ///
    /// # Errors
    /// What stands against it.
    pub fn status(&self, network: &str) -> Result<(), AttachError> {
        self.inner.status(network)
    }

    /// What is attached, is being attached or detached, by key.
    #[must_use]
    pub fn list(&self) -> Vec<Attachment> {
        self.inner.book.all().iter().map(|record| record.attachment.clone()).collect()
    }

    /// What is known of one key.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Attachment> {
        self.inner.book.look(key).map(|record| record.attachment.clone())
    }

    /// Asks who has which address, at this time in seconds since 1970.
    pub fn addresses<T>(&self, question: impl FnOnce(&mut Ipam, u64) -> T) -> T {
        self.inner.leases.read(question)
    }

    /// Waits so long for what is done behind the callers' backs. Returns whether nothing of it is left.
    #[must_use]
    pub fn are_at_rest_within(&self, longest: Duration) -> bool {
        self.chores.are_done_within(longest)
    }

    /// Finishes what is under way and lets go of the journal, so that another daemon can go on. Nothing can be attached or detached any more.
    pub fn close(&self) {
        self.chores.finish();
        self.inner.journal.close();
    }

    /// What was closed, open again: read anew from the journal, which another daemon may have had meanwhile.
    ///
    /// # Errors
    /// [`RecallError`].
    pub fn reopened(&self) -> Result<Self, RecallError> {
        let engine = &self.inner.engine;
        let mut desired = desired::Desired::clone(&engine.desired());
        for network in self.inner.made.all() {
            desired.networks.remove(network.name.as_str());
        }
        for attachment in self.list() {
            desired.ports.remove(attachment.port.as_str());
        }
        let remembered = Remembered::recall_from(self.inner.settings.clone(), &mut desired)?;
        Self::start(remembered, Arc::clone(engine))
    }

    /// Takes away, soon, what no record promises: what was half made or half taken away, and links of ours that nobody knows.
    fn sweep(&self) {
        let inner = Arc::clone(&self.inner);
        self.chores.give(Box::new(move || inner.sweep()));
    }
}

impl Attaches for Attachments {
    type Error = AttachError;

    fn attach(&self, order: Order) -> Result<Attachment, AttachError> {
        self.attach(order)
    }

    fn detach(&self, key: &Key) -> Result<(), AttachError> {
        self.detach(key)
    }

    fn attached(&self) -> Vec<Attachment> {
        self.list()
    }

    fn make_network(&self, network: MadeNetwork) -> Result<(), AttachError> {
        self.inner.make_network(&network)
    }

    fn remove_network(&self, name: &str) -> Result<(), AttachError> {
        self.inner.remove_network(name)
    }

    fn made(&self) -> Vec<MadeNetwork> {
        self.inner.made.all()
    }

    fn networks(&self) -> Vec<(String, Vec<Gateway>)> {
        let desired = self.inner.engine.desired();
        desired.networks.values().map(|network| (network.name.to_string(), network.gateways.clone())).collect()
    }

    fn lease(&self, network: &str, subnet: Gateway, wished: Option<IpAddr>) -> Result<IpAddr, AttachError> {
        let wish = wished.map_or(Wish::Any(Family::of(subnet.address())), Wish::Address);
        let network = self.inner.made.meant(network);
        let owner = format!("{POOLS}{subnet}");
        let given: Address = self.inner.leases.lease_one::<AttachError>((&network, &owner), wish)?;
        Ok(given.address.address())
    }

    fn release(&self, network: &str, address: IpAddr) -> Result<(), AttachError> {
        Ok(self.inner.leases.release_one(&self.inner.made.meant(network), address)?)
    }
}
