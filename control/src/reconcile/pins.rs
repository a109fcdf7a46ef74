//! The daemon's place in the BPF file system: its XDP links and maps stay there when it dies, for the next one to take over.
//!
//! One daemon has an instance's pins at a time, by a lock on their directory that ends with the process. Without a BPF
//! file system the daemon goes on unpinned and says so: XDP then ends with the process, and the kernel gets the packets, those of pods
//! under policy among them.

use std::fs::{self, File, TryLockError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use podlane_bpf::{PinError, ensure_bpffs, port_pin, sweep, vacate};
use thiserror::Error;

use super::board::Board;
use super::chain;
use super::open::pin_directory;
use crate::desired::Desired;

/// Another daemon is at work under the same instance name.
#[derive(Debug, Error)]
#[error(
    "instance {instance} is another running daemon's ({} is locked); stop it, or set another `instance` under [daemon]",
    directory.display()
)]
pub struct PinLockError {
    instance: String,
    directory: PathBuf,
}

/// The pins of one instance, held.
pub(super) struct Pins {
    directory: PathBuf,
    /// Locked, for as long as any process has a descriptor of it: it is never unlocked by name, so that an heir can have one too.
    lock: File,
}

impl Pins {
    /// Takes the instance's place and sweeps what a former daemon pinned for ports that are no longer desired.
    pub(super) fn take(desired: &Desired, board: &Board) -> Result<Option<Self>, PinLockError> {
        if !desired.daemon.pin {
            return Ok(None);
        }
        let instance = desired.daemon.instance.to_string();
        let directory = pin_directory(&instance);
        let unpinned = |why: String| {
            tracing::warn!("XDP programs are not pinned: {why}");
            let warning = format!("XDP programs are not pinned and end with the daemon: {why}");
            board.warn("pins", Some(warning));
            Ok(None)
        };
        if let Err(error) = ensure_bpffs(Path::new("/sys/fs/bpf")) {
            return unpinned(chain(&error));
        }
        let opened = fs::create_dir_all(&directory).and_then(|()| File::open(&directory));
        let file = match opened {
            Ok(file) => file,
            Err(error) => return unpinned(format!("{}: {error}", directory.display())),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PinLockError { instance, directory }),
            Err(TryLockError::Error(error)) => return unpinned(format!("{}: {error}", directory.display())),
        }
        let pins = Self { directory, lock: file };
        pins.sweep(desired);
        Ok(Some(pins))
    }

    /// Goes on with the place of a former daemon, whose lock this is. What is pinned there is its own until it has ended.
    pub(super) fn inherit(desired: &Desired, lock: OwnedFd) -> Self {
        Self { directory: pin_directory(desired.daemon.instance.as_str()), lock: File::from(lock) }
    }

    /// The lock, for an heir.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Where they are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Leaves the place empty, of what was left of ports that failed too.
    pub(super) fn remove(self) {
        if let Err(error) = sweep(&self.directory, &[]) {
            tracing::warn!(%error, "pins stay");
        }
        if let Err(error) = self.vacate() {
            tracing::warn!(%error, directory = %self.directory.display(), "the pin directory stays");
        }
    }

    /// Leaves what is pinned to the next daemon.
    pub(super) fn leave(self) {
        // It goes only if no port is left.
        let _ = self.vacate();
    }

    fn vacate(&self) -> Result<(), PinError> {
        // The parent goes with its last instance; while there is another, it does not go, and that is right.
        if vacate(&self.directory)?
            && let Some(parent) = self.directory.parent()
        {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Removes what is pinned for ports that are not desired.
    pub(super) fn sweep(&self, desired: &Desired) {
        let keep: Vec<String> = desired
            .ports
            .keys()
            .filter_map(|name| Some(port_pin(&self.directory, name.as_str()).file_name()?.to_str()?.to_owned()))
            .collect();
        let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
        match sweep(&self.directory, &keep) {
            Ok(swept) if swept.is_empty() => {}
            Ok(swept) => tracing::info!(?swept, "removed pins of ports that are no longer desired"),
            Err(error) => tracing::warn!(%error, "stale pins stay"),
        }
    }
}
