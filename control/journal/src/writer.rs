//! The one thread that writes: it takes all calls that wait, makes them one transaction, syncs once and answers them all.
//!
//! `redb` refuses everything after a write that failed, until it is opened anew. So does the writer, with the next call: a disk that
//! was full is written again as soon as there is room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use redb::Database;

use crate::error::{CommitError, OpenError};
use crate::file;
use crate::record::Change;

/// Calls that one transaction takes at most. Past a few hundred, their pages cost more than the sync they share.
const MOST_TOGETHER: usize = 256;

/// What the writer is asked to do.
pub(crate) enum Call {
    Commit { changes: Vec<Change>, done: Sender<Result<(), CommitError>> },
    Close,
}

pub(crate) struct Writer {
    path: PathBuf,
    /// None after a write that failed, until it is opened again.
    database: Option<Database>,
    calls: Receiver<Call>,
}

impl Writer {
    pub(crate) fn new(path: &Path, database: Database, calls: Receiver<Call>) -> Self {
        Self { path: path.to_owned(), database: Some(database), calls }
    }

    /// Writes until it is told to close, or nobody can call any more.
    pub(crate) fn run(mut self) {
        let mut is_open = true;
        while is_open && let Ok(first) = self.calls.recv() {
            let mut changes = Vec::new();
            let mut waiting = Vec::new();
            let mut next = Some(first);
            while let Some(call) = next.take() {
                match call {
                    Call::Commit { changes: more, done } => {
                        changes.extend(more);
                        waiting.push(done);
                        if waiting.len() < MOST_TOGETHER {
                            next = self.calls.try_recv().ok();
                        }
                    }
                    Call::Close => is_open = false,
                }
            }
            self.write(&changes, waiting);
        }
    }

    fn write(&mut self, changes: &[Change], waiting: Vec<Sender<Result<(), CommitError>>>) {
        if waiting.is_empty() {
            return;
        }
        let outcome = self.commit(changes);
        for done in waiting {
            // Who no longer waits for the answer has nobody to be told.
            drop(done.send(outcome.clone()));
        }
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), CommitError> {
        if self.database.is_none() {
            let opened = file::open_there(&self.path).map_err(|error| self.lost(error))?;
            self.database = Some(opened);
        }
        let Some(database) = &self.database else { return Ok(()) };
        let outcome = transact(database, changes);
        outcome.map_err(|error| {
            self.database = None;
            self.failed(error)
        })
    }

    fn failed(&self, error: redb::Error) -> CommitError {
        let path = self.path.clone();
        match error {
            redb::Error::Io(source) => CommitError::Io { path, source: Arc::new(source) },
            redb::Error::PreviousIo => {
                CommitError::Io { path, source: Arc::new(io::Error::other("an earlier write failed")) }
            }
            other => CommitError::Damaged { path, what: other.to_string() },
        }
    }

    fn lost(&self, error: OpenError) -> CommitError {
        match error {
            OpenError::Io { path, source } => CommitError::Io { path, source: Arc::new(source) },
            other => CommitError::Lost(Arc::new(other)),
        }
    }
}

fn transact(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for Change { table, key, value } in changes {
        let mut rows = transaction.open_table(table.definition())?;
        match value {
            Some(value) => drop(rows.insert(key.as_str(), value.as_slice())?),
            None => drop(rows.remove(key.as_str())?),
        }
    }
    transaction.commit()?;
    Ok(())
}
