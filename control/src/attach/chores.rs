//! What nobody waits for: links that the kernel takes 18 ms to delete, each in a grace period of its own.
//!
//! A few threads do it side by side, so that the waits overlap. What is asked is written in the journal before; a daemon that is
//! killed with chores undone finds them there.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, unbounded};

/// How many are done at once: the kernel's grace periods serve any number, and each thread sleeps through its own.
const THREADS: usize = 8;

/// One thing to do.
pub(super) type Chore = Box<dyn FnOnce() + Send>;

/// Threads that do what they are given, until this is dropped; that waits for what they have been given.
#[derive(Debug)]
pub(super) struct Chores {
    give: Mutex<Option<Sender<Chore>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Chores {
    /// Starts the threads.
    ///
    /// # Errors
    /// The kernel has none to give.
    pub(super) fn start() -> std::io::Result<Arc<Self>> {
        let (give, take) = unbounded();
        let start = |number| {
            let take = take.clone();
            std::thread::Builder::new().name(format!("podlane-chore-{number}")).spawn(move || work(&take))
        };
        let threads = (0..THREADS).map(start).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { give: Mutex::new(Some(give)), threads: Mutex::new(threads) }))
    }

    /// Has something done, soon.
    pub(super) fn give(&self, chore: Chore) {
        let give = self.give.lock().unwrap_or_else(PoisonError::into_inner);
        match give.as_ref() {
            // The threads hold the other end as long as this one is there.
            Some(give) => drop(give.send(chore)),
            None => chore(),
        }
    }

    /// Returns when all that was given is done.
    pub(super) fn finish(&self) {
        drop(self.give.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a chore panicked; what it was to take away is taken away by the next daemon");
            }
        }
    }
}

fn work(take: &Receiver<Chore>) {
    while let Ok(chore) = take.recv() {
        chore();
    }
}

impl Drop for Chores {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn what_was_given_is_done_when_the_end_returns() {
        let (chores, done) = (Chores::start().unwrap(), Arc::new(AtomicU32::new(0)));
        for _ in 0..100 {
            let done = Arc::clone(&done);
            chores.give(Box::new(move || {
                done.fetch_add(1, Ordering::SeqCst);
            }));
        }
        chores.finish();
        assert_eq!(done.load(Ordering::SeqCst), 100);
        // What comes late is done by who brings it.
        let late = Arc::clone(&done);
        chores.give(Box::new(move || {
            late.fetch_add(1, Ordering::SeqCst);
        }));
        assert_eq!(done.load(Ordering::SeqCst), 101);
    }
}
