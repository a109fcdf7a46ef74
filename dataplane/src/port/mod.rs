//! Ports: where frames come from and go to.
//!
//! A worker talks to every kind of port through [`Port`], one virtual call a burst. A new kind of port is one new file
//! here and one line in the control side's roster.

pub mod af_xdp;
pub mod fault;
pub mod memory;
pub mod replay;
pub mod shared;
#[cfg(feature = "xsk-rs")]
pub mod xsk_rs;

use std::os::fd::BorrowedFd;

use podlane_rings::{FramePool, Socket};
use thiserror::Error;

use crate::burst::{Burst, OutQueue};

/// One worker's end of a port.
///
/// Frames belong to the worker's pool. A port takes frames only from `receive`'s and `transmit`'s pool and gives all of them back at
/// [`Port::close`].
pub trait Port: Send {
    /// Adds packets that arrived, as many as the burst has room for. Never waits.
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst);

    /// Takes packets from the front of the queue, as many as there is room for; the rest stays queued. Never waits.
    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue);

    /// Takes back what was sent, refills what was received, and rings the doorbell if the other side sleeps. Called once after a
    /// burst of transmits, and while [`Port::outstanding`].
    ///
    /// # Errors
    /// The port is dead: the worker stops polling it and reports it.
    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError>;

    /// Whether frames are still out that only [`Port::settle`] brings home.
    fn outstanding(&self) -> bool {
        false
    }

    /// Frames lent to the other side: for what may arrive, and for what is being sent.
    fn lent(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Looks whether the device is still there. Called a few times a second, also on idle ports.
    ///
    /// # Errors
    /// The port is dead.
    fn health(&mut self) -> Result<(), PortError> {
        Ok(())
    }

    /// What a worker may sleep on until something arrives; empty if the port must be polled.
    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// Its sockets, if it is made of such.
    fn sockets(&self) -> &[Socket] {
        &[]
    }

    /// Whether another process could go on with its [`sockets`](Self::sockets) and nothing else of it.
    fn can_be_handed_over(&self) -> bool {
        false
    }

    /// Gives back the frames it holds between two calls: another process may go on with its sockets.
    fn pause(&mut self, _pool: &mut FramePool) {}

    /// How the port works.
    fn facts(&self) -> PortFacts;

    /// What the other side counts; numbers that the worker cannot know.
    fn statistics(&self) -> PortStatistics {
        PortStatistics::default()
    }

    /// Ends the port and gives every frame back. May take tens of milliseconds: the control side calls it on a detached port,
    /// with a pool the worker lent.
    fn close(self: Box<Self>, pool: &mut FramePool);
}

/// How a port came to work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortFacts {
    /// How packets reach the other side.
    pub mode: PortMode,
    /// Queues this worker serves.
    pub queues: u32,
    /// Whether a checksum may be left for the kernel or the device to finish.
    pub finishes_checksums: bool,
}

/// How packets cross a port's border.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PortMode {
    /// The device reads and writes packet memory itself.
    ZeroCopy,
    /// The kernel copies.
    Copy,
    /// The port copies, on its own account.
    EdgeCopy,
    /// No device: memory or a file.
    #[default]
    Memory,
}

impl PortMode {
    /// The name in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::EdgeCopy => "edge-copy",
            Self::Memory => "memory",
        }
    }
}

/// Losses on the far side of a port, as the kernel counts them (`XDP_STATISTICS`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStatistics {
    /// Arrived but dropped for other reasons than those below.
    pub rx_dropped: u64,
    /// Arrived while the receive ring was full: the worker was too slow.
    pub rx_ring_full: u64,
    /// Arrived while no frame was lent: the pool is too small.
    pub fill_ring_empty: u64,
    /// Packets that could not be sent: no descriptor could carry them, or the kernel found it invalid.
    pub tx_invalid: u64,
    /// Descriptors of the kernel's that we refused to believe.
    pub refused: u64,
    /// Packets a fault port lost on purpose, in either direction.
    pub faults: u64,
}

impl PortStatistics {
    /// Adds another queue's or worker's losses.
    pub const fn merge(&mut self, other: &Self) {
        self.rx_dropped += other.rx_dropped;
        self.rx_ring_full += other.rx_ring_full;
        self.fill_ring_empty += other.fill_ring_empty;
        self.tx_invalid += other.tx_invalid;
        self.refused += other.refused;
        self.faults += other.faults;
    }
}

/// Why a port cannot be opened, or ended by itself.
#[derive(Debug, Error)]
pub enum PortError {
    /// The device was deleted, or its namespace was.
    #[error("device {device} is gone; the port waits until a device of this name is there again")]
    Gone {
        /// Its name.
        device: String,
    },
    /// The AF_XDP socket failed.
    #[error("device {device}: {source}")]
    Socket {
        /// Its name.
        device: String,
        /// What the socket layer says, with its remedy.
        source: podlane_rings::SocketError,
    },
    /// The XDP program could not be attached.
    #[error("device {device}: {source}")]
    Attach {
        /// Its name.
        device: String,
        /// What the loader says, with its remedy.
        source: podlane_bpf::AttachError,
    },
    /// The device's network namespace cannot be entered.
    #[error(
        "device {device}: cannot enter network namespace {netns}: {source}; check that the path exists and that podlane runs as root"
    )]
    Namespace {
        /// The device.
        device: String,
        /// The namespace's path.
        netns: String,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// A capture file cannot be read or written.
    #[error(
        "capture {path}: {source}; give a pcap file (magic a1b2c3d4 or a1b23c4d) that podlane may read, or a folder it may write to"
    )]
    Capture {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
}
