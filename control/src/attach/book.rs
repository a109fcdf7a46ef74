//! Who is attached, and who is at work on it: one thread at a time for a key, any number of keys at once.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use podlane_policy::model::PodName;

use super::record::Record;
use super::{Key, Stage};

/// All attachments, by key.
#[derive(Default, Debug)]
pub(super) struct Book {
    pages: Mutex<HashMap<Key, Page>>,
    turned: Condvar,
}

#[derive(Default, Debug)]
struct Page {
    /// None while it is made for the first time.
    record: Option<Arc<Record>>,
    is_held: bool,
}

/// A key that nobody else can work on until this is dropped, in whichever thread.
#[derive(Debug)]
pub(super) struct Held {
    book: Arc<Book>,
    key: Key,
}

/// Who is in the way of an attachment.
#[derive(Debug)]
pub(super) enum Rival {
    /// Whoever has its leases.
    Leases(Key),
    /// Its own pod, by this port of another sandbox: let in beside it, it could not be told from it.
    Sandbox { pod: PodName, port: String },
}

impl Book {
    /// The book of a daemon that finds these.
    pub(super) fn of(records: impl IntoIterator<Item = Record>) -> Arc<Self> {
        let page = |record: Record| (record.key().clone(), Page { record: Some(Arc::new(record)), is_held: false });
        Arc::new(Self { pages: Mutex::new(records.into_iter().map(page).collect()), turned: Condvar::new() })
    }

    /// Takes a key, waiting for who holds it; none when that took too long.
    pub(super) fn hold(self: &Arc<Self>, key: &Key, patience: Duration) -> Option<Held> {
        let deadline = Instant::now() + patience;
        let mut pages = self.pages();
        while pages.get(key).is_some_and(|page| page.is_held) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            pages = self.turned.wait_timeout(pages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        pages.entry(key.clone()).or_default().is_held = true;
        Some(Held { book: Arc::clone(self), key: key.clone() })
    }

    /// What is known of a key now.
    pub(super) fn look(&self, key: &Key) -> Option<Arc<Record>> {
        self.pages().get(key)?.record.clone()
    }

    /// All that is known now, by key.
    pub(super) fn all(&self) -> Vec<Arc<Record>> {
        let mut all: Vec<_> = self.pages().values().filter_map(|page| page.record.clone()).collect();
        all.sort_by(|one, other| one.key().cmp(other.key()));
        all
    }

    /// The keys that are asked for or there, of those that `wanted` says.
    pub(super) fn keys(&self, wanted: impl Fn(&Key) -> bool) -> Vec<Key> {
        let mut keys: Vec<_> = self.pages().keys().filter(|key| wanted(key)).cloned().collect();
        keys.sort();
        keys
    }

    /// Whether there is such an attachment.
    pub(super) fn has(&self, wanted: impl Fn(&Record) -> bool) -> bool {
        self.pages().values().any(|page| page.record.as_deref().is_some_and(&wanted))
    }

    /// Whether some attachment has this port.
    pub(super) fn has_port(&self, port: &str) -> bool {
        self.has(|record| record.attachment.port == port)
    }

    /// Whether a port is that of another interface of the same pod, in the same sandbox.
    pub(super) fn is_beside(&self, record: &Record, port: &str) -> bool {
        self.has(|other| other.attachment.port == port && record.is_beside(other))
    }

    /// Waits until none of those that `wanted` says is being taken away by somebody, though not for ever.
    pub(super) fn wait_for_the_ending(&self, wanted: impl Fn(&Record) -> bool, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut pages = self.pages();
        while pages.values().any(|page| page.is_ending() && page.record.as_deref().is_some_and(&wanted)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            pages = self.turned.wait_timeout(pages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<Key, Page>> {
        // What is behind the lock is whole between any two statements.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// Whether somebody is at work to take it away.
    fn is_ending(&self) -> bool {
        self.is_held && self.record.as_ref().is_some_and(|record| record.attachment.stage == Stage::Ending)
    }
}

impl Held {
    /// Enters what will be made, with what is known of its pod by another interface. Whoever has its leases is waited for while that ends.
    ///
    /// # Errors
    /// Who is in its way, and is not ending.
    pub(super) fn enter(&self, record: &mut Record, has_policy: bool, patience: Duration) -> Result<(), Rival> {
        let deadline = Instant::now() + patience;
        let mut pages = self.book.pages();
        loop {
            let others = || pages.iter().filter(|(key, _)| **key != self.key).map(|(_, page)| page);
            let is_elsewhere = |other: &&Record| has_policy && record.is_elsewhere(other);
            let former = others().filter_map(|page| page.record.as_deref()).find(is_elsewhere);
            if let Some((former, pod)) = former.and_then(|former| Some((former, former.pod()?))) {
                return Err(Rival::Sandbox { pod, port: former.attachment.port.clone() });
            }
            let has_its = |page: &&Page| page.record.as_ref().is_some_and(|other| other.shares_leases(record));
            let Some(rival) = others().find(has_its) else {
                record.learn_labels(others().filter_map(|page| page.record.as_deref()));
                break;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(other) = rival.record.as_ref().filter(|_| !rival.is_ending() || left.is_zero()) {
                return Err(Rival::Leases(other.key().clone()));
            }
            pages = self.book.turned.wait_timeout(pages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(page) = pages.get_mut(&self.key) {
            page.record = Some(Arc::new(record.clone()));
        }
        Ok(())
    }

    /// What is known of it.
    pub(super) fn record(&self) -> Option<Arc<Record>> {
        self.book.look(&self.key)
    }

    /// Makes this what is known of it.
    pub(super) fn write(&self, record: &Record) {
        if let Some(page) = self.book.pages().get_mut(&self.key) {
            page.record = Some(Arc::new(record.clone()));
        }
    }

    /// Has all interfaces of the pod know the labels that any of them came with, this one too, in whichever order they come: those that are up
    /// and had none are put into `write`, while nobody can change what is known of them.
    ///
    /// Who makes one calls this when it is up, and then finds all that came before; one that is still being made will call it in turn.
    pub(super) fn share_labels<T>(&self, write: impl FnOnce(&[Arc<Record>]) -> T) -> Option<T> {
        let mut pages = self.book.pages();
        let own = pages.get(&self.key)?.record.clone()?;
        let beside: Vec<_> =
            pages.values().filter_map(|page| page.record.clone()).filter(|other| own.is_beside(other)).collect();
        let mut taught = Vec::new();
        for page in pages.values_mut() {
            let is_its = |record: &&Arc<Record>| own.is_beside(record) && record.attachment.stage == Stage::Up;
            let Some(mut record) = page.record.as_ref().filter(is_its).map(|record| Record::clone(record)) else {
                continue;
            };
            if record.learn_labels(beside.iter().map(|other| &**other)) {
                let record = Arc::new(record);
                page.record = Some(Arc::clone(&record));
                taught.push(record);
            }
        }
        (!taught.is_empty()).then(|| write(&taught))
    }

    /// Forgets it.
    pub(super) fn forget(&self) {
        if let Some(page) = self.book.pages().get_mut(&self.key) {
            page.record = None;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut pages = self.book.pages();
        if let Some(page) = pages.get_mut(&self.key) {
            page.is_held = false;
            if page.record.is_none() {
                pages.remove(&self.key);
            }
        }
        drop(pages);
        self.book.turned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::attach::Origin;

    fn key(container: &str) -> Key {
        let [list, interface] = ["blue", "eth0"].map(str::to_owned);
        Key { origin: Origin::Cni, list, container: container.to_owned(), interface }
    }

    #[test]
    fn a_key_is_held_by_one_at_a_time_and_others_are_not_in_its_way() {
        let book = Book::of([]);
        let held = book.hold(&key("c1"), Duration::ZERO).unwrap();
        assert!(book.hold(&key("c1"), Duration::from_millis(5)).is_none());
        drop(book.hold(&key("c2"), Duration::ZERO).unwrap());
        drop(held);
        drop(book.hold(&key("c1"), Duration::ZERO).unwrap());
        assert!(book.keys(|_| true).is_empty(), "what nothing is known of has no page");
    }

    #[test]
    fn who_waits_for_a_key_gets_it_when_it_is_let_go() {
        let (book, inside) = (Book::of([]), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let held = book.hold(&key("c1"), Duration::from_secs(30)).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(Duration::from_millis(1));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(held);
                });
            }
        });
        assert!(book.keys(|_| true).is_empty());
    }
}
