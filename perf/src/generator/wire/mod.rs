//! Wires: what packets leave by and arrive from.

pub mod af_xdp;
pub mod memory;

use podlane_bpf::AttachError;
use podlane_host::{HostError, NetnsError};
use podlane_rings::{SocketError, UmemError};
use thiserror::Error;

use crate::traffic::{Traffic, template::CHECK_SEQUENCE};

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

    /// Packets that arrived and found no room, since the wire was opened: this end's own loss and not that of a device before it.
    fn overrun(&self) -> u64;

    /// The longest packet that it carries, in bytes without check sequence.
    fn longest(&self) -> usize;

    /// What it is, for people: the device, and how packets reach it.
    fn describe(&self) -> String;
}

/// Looks whether a wire carries the longest of these packets: what is longer is thrown away where nobody counts it.
///
/// # Errors
/// [`WireError::TooLong`], naming both.
pub(crate) fn check(wire: &impl Wire, frames: &Traffic) -> Result<(), WireError> {
    let [frame, most] = [frames.longest(), wire.longest()].map(|bytes| bytes + CHECK_SEQUENCE);
    if frame > most { Err(WireError::TooLong { wire: wire.describe(), frame, most }) } else { Ok(()) }
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
    /// It does not carry such packets.
    #[error(
        "{wire} carries frames of {most} bytes at the most (its MTU, a tagged header and the check sequence), and these have {frame}; \
         ask for shorter ones (--size) or raise the MTU"
    )]
    TooLong {
        /// The wire.
        wire: String,
        /// The longest frame, in bytes with its check sequence.
        frame: usize,
        /// What is carried, likewise.
        most: usize,
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
