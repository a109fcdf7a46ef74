//! What nobody waits for: links that the kernel takes 18 ms to delete, each in a grace period of its own.
//!
//! A few threads do it side by side, so that the waits overlap. What is asked is written in the journal before; a daemon that is
//! killed with chores undone finds them there.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

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
    undone: Arc<Undone>,
}

/// How many chores are given and not done.
#[derive(Debug, Default)]
struct Undone {
    count: Mutex<usize>,
    done: Condvar,
}

impl Undone {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; also one that panics is done with.
struct Given(Arc<Undone>);

impl Given {
    fn to(undone: &Arc<Undone>) -> Self {
        *undone.count() += 1;
        Self(Arc::clone(undone))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.done.notify_all();
    }
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
        Ok(Arc::new(Self { give: Mutex::new(Some(give)), threads: Mutex::new(threads), undone: Arc::default() }))
    }

    /// Has something done, soon.
    pub(super) fn give(&self, chore: Chore) {
        let given = Given::to(&self.undone);
        let chore: Chore = Box::new(move || {
            let _given = given;
            chore();
        });
        let give = self.give.lock().unwrap_or_else(PoisonError::into_inner);
        match give.as_ref() {
            // The threads hold the other end as long as this one is there.
            Some(give) => drop(give.send(chore)),
            None => chore(),
        }
    }

    /// Waits so long until all that was given is done. Returns whether it is.
    pub(super) fn are_done_within(&self, longest: Duration) -> bool {
        let waited = self.undone.done.wait_timeout_while(self.undone.count(), longest, |count| *count > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
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
    fn a_chore_that_takes_long_is_waited_for_so_long() {
        let (chores, (end, ended)) = (Chores::start().unwrap(), crossbeam::channel::bounded::<()>(0));
        chores.give(Box::new(move || {
            let _ = ended.recv();
        }));
        assert!(!chores.are_done_within(Duration::from_millis(5)));
        drop(end);
        assert!(chores.are_done_within(Duration::from_secs(60)));
    }

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
