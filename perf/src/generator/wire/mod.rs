//! Wires: what packets leave by and arrive from.

pub mod af_xdp;
pub mod memory;

use podlane_bpf::AttachError;
use podlane_host::{HostError, NetnsError};
use podlane_rings::{SocketError, UmemError};
use thiserror::Error;

/// Packets of one burst, at most.
pub const BURST: usize = 64;

/// One end of what is measured.
pub trait Wire: Send {
    /// Sends packets. `write` is called with a slot, writes a packet into it and returns its length, or nothing when no more
    /// are to be sent; at most [`BURST`] times, and not at all while there is no room. Never waits. Returns how many were taken on.
    ///
    /// # Errors
    /// [`WireError`]: the wire is dead.
    fn send(&mut self, write: impl FnMut(&mut [u8]) -> Option<usize>) -> Result<usize, WireError>;

    /// Shows packets that have arrived to `read`, at most [`BURST`], and returns how many. Never waits.
    ///
    /// # Errors
    /// [`WireError`]: the wire is dead.
    fn receive(&mut self, read: impl FnMut(&[u8])) -> Result<usize, WireError>;

    /// Packets that were taken on and have not left yet. While there are any, go on calling [`Self::send`].
    fn waiting(&self) -> usize;

    /// Looks whether the device is still there; ask a few times a second.
    ///
    /// # Errors
    /// [`WireError`]: it is not.
    fn health(&mut self) -> Result<(), WireError>;

    /// What it is, for people: the device, and how packets reach it.
    fn describe(&self) -> String;
}

/// Why a wire cannot be opened, or ended by itself.
#[derive(Debug, Error)]
pub enum WireError {
    /// The device was deleted.
    #[error("{device} is gone: it was deleted while packets went by it")]
    Gone {
        /// Its name.
        device: String,
    },
    /// There is no such device, or the kernel does not tell.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The device's namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The AF_XDP socket failed.
    #[error("{device}: {source}")]
    Socket {
        /// The device.
        device: String,
        /// What the socket layer says, with its remedy.
        source: SocketError,
    },
    /// The XDP program that receives could not be attached.
    #[error("{device}: {source}")]
    Attach {
        /// The device.
        device: String,
        /// What the loader says, with its remedy.
        source: AttachError,
    },
    /// There is no packet memory.
    #[error(transparent)]
    Memory(#[from] UmemError),
}
