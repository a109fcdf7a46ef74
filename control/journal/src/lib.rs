//! What the daemon has promised, on disk before anybody is told.
//!
//! ```text
//! thread A: commit([...]) --+
//! thread B: commit([...]) --+--> writer: all that waits, one transaction, one fdatasync --> all of them go on
//! thread C: submit([...]) --+
//! ```
//!
//! Promised: a commit that returned is there after the daemon was killed and after the machine lost power; one that did not
//! return is there whole or not at all. Records are bytes under a name, in three tables; what they mean is their writer's. One process
//! has a journal at a time. What cannot be read is refused and left as it is: an empty journal in its place would give
//! the addresses of living pods to others.
//!
//! Callers that come together share one sync: the disk is what a commit costs, so a hundred cost hardly more than two. Why `redb`,
//! and what it was measured against: `docs/decisions/0023-journal-and-ipam.md`.

#![forbid(unsafe_code)]

mod error;
mod file;
mod record;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

pub use error::{CommitError, OpenError};
pub use record::{Change, Records, Table};
use writer::{Call, Writer};

/// An open journal, and the only one of its file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    calls: Sender<Call>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A commit that is under way.
#[derive(Debug)]
#[must_use = "nothing is promised before `wait` returned"]
pub struct Pending {
    path: PathBuf,
    outcome: Receiver<Result<(), CommitError>>,
}

impl Journal {
    /// Opens the journal at `path`, made if it is not there, with its directory; and reads all that is in it.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path) -> Result<(Self, Records), OpenError> {
        let database = file::open(path)?;
        let records = file::read(&database, path)?;
        let (calls, waiting) = channel();
        let writer = Writer::new(path, database, waiting);
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok((Self { path: path.to_owned(), calls, writer: Mutex::new(Some(writer)) }, records))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the changes, all of them or none, and returns when they are on the disk.
    ///
    /// # Errors
    /// [`CommitError`]. The changes may be there all the same, as with any disk that fails late: write what should be there instead.
    pub fn commit(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        self.submit(changes).wait()
    }

    /// Begins to make the changes, after all that were submitted before, and returns at once.
    pub fn submit(&self, changes: Vec<Change>) -> Pending {
        let (done, outcome) = channel();
        // Without a writer the call is dropped, and its `done` with it: `wait` tells.
        drop(self.calls.send(Call::Commit { changes, done }));
        Pending { path: self.path.clone(), outcome }
    }

    /// Finishes what was submitted and lets go of the file, so that another daemon can open it. What is committed afterwards is refused.
    pub fn close(&self) {
        drop(self.calls.send(Call::Close));
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has let go of the file as well.
            drop(writer.join());
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pending {
    /// Returns when the changes are on the disk.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn wait(self) -> Result<(), CommitError> {
        self.outcome.recv().unwrap_or(Err(CommitError::Closed { path: self.path }))
    }
}
