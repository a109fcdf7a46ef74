//! The directory of a vhost-user port: made for the pod, which finds the socket in it.
//!
//! The switch has no such port type yet. What is promised today is the directory and the socket's path in it, which stay the same from ADD
//! to DEL; that somebody listens there comes with the port type, which will be opened from the same record (`port::port`).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::AttachError;
use super::record::Record;

/// The socket's name in its directory.
const SOCKET: &str = "vhost.sock";

/// Where a port's socket will be.
pub(super) fn socket(directory: &Path, port: &str) -> PathBuf {
    directory.join(port).join(SOCKET)
}

/// Makes the directory: its group may look into it, others may not.
pub(super) fn make(record: &Record) -> Result<(), AttachError> {
    let Some(directory) = directory(record) else { return Ok(()) };
    let failed = |source| AttachError::Directory { path: directory.to_owned(), source };
    let parent = directory.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
    DirBuilder::new().mode(0o750).create(directory).map_err(failed)
}

/// Takes it away, with all that is in it.
pub(super) fn take_away(record: &Record) -> Result<(), AttachError> {
    let Some(directory) = directory(record) else { return Ok(()) };
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(AttachError::Directory { path: directory.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn directory(record: &Record) -> Option<&Path> {
    record.attachment.socket.as_deref()?.parent()
}
