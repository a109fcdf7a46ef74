//! Why a switch does not start.

use podlane_dataplane::worker::WorkerError;
use podlane_rings::UmemError;
use thiserror::Error;

use super::pins::PinLockError;
use crate::enforce::EnforceError;

/// The switch could not start. Nothing is left running.
#[derive(Debug, Error)]
pub enum StartError {
    /// No packet memory.
    #[error("packet memory of worker {worker}: {source}")]
    Memory {
        /// Which worker.
        worker: usize,
        /// What is wrong.
        source: UmemError,
    },
    /// No memory for the flow table.
    #[error("the flow table: {0}; lower `capacity` under [flows]")]
    Flows(#[source] std::io::Error),
    /// No memory for the table of connections.
    #[error("the table of connections: {0}; lower `connections` under [policy]")]
    Connections(#[source] std::io::Error),
    /// No workers.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Another daemon has the pins of this instance.
    #[error(transparent)]
    Pins(#[from] PinLockError),
    /// The policy cannot be enforced.
    #[error(transparent)]
    Policy(#[from] EnforceError),
    /// No way to wake the reconciler.
    #[error("cannot make an event file descriptor: {0}; raise the limit on open files (ulimit -n)")]
    Bell(#[source] std::io::Error),
    /// No thread for the offloader.
    #[error("cannot start the offloader: {0}; raise the limit on threads (ulimit -u)")]
    Offloader(#[source] std::io::Error),
    /// No thread for the reconciler.
    #[error("cannot start the reconciler: {0}; raise the limit on threads (ulimit -u)")]
    Thread(#[source] std::io::Error),
}
