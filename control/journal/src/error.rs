//! Why a journal cannot be opened or written, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Why a journal was not opened. The file is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{}: another process has this journal open (stop the other daemon of this instance, or give one of them another `instance` or `attachments.journal`)",
        path.display()
    )]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{}: is no journal of Podlane's, and was left as it is (name another file in `attachments.journal`)", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later Podlane wrote it.
    #[error(
        "{}: was written by a later Podlane, in format {found}, and this one reads up to {known} (run that Podlane, or move the file away once no pod of its is left)",
        path.display()
    )]
    Later {
        /// The file.
        path: PathBuf,
        /// The format it is in.
        found: u32,
        /// The latest this Podlane knows.
        known: u32,
    },
    /// It is a journal, and broken.
    #[error(
        "{}: is damaged: {what}; it was left as it is, because without it addresses of living pods would be given away \
         (put back a copy; or stop the node's pods, move the file away and start again with an empty one)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The kernel did not let us.
    #[error("{}: cannot be opened: {source} (the journal needs a directory this user may write to, with some room)", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why changes were not acknowledged.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// The file could not be written.
    #[error("{}: cannot be written: {source} (make room on its file system, or mount it writable; it is tried again with the next change)", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: Arc<io::Error>,
    },
    /// It was open and can no longer be opened.
    #[error("the journal was lost after it could not be written: {0}")]
    Lost(Arc<OpenError>),
    /// What is in it contradicts itself.
    #[error("{}: is damaged: {what} (see docs/operating.md, \"A journal that cannot be read\")", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It was closed, for another daemon to go on with.
    #[error("{}: is closed, because this daemon is ending (ask again: the next one answers)", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}
