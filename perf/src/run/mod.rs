//! The runs: what is measured against what, and what is asked of it. One file each.

pub mod cni;
pub mod compare;
pub mod idle;
pub mod idle_ports;

use std::{io, path::PathBuf, sync::atomic::AtomicBool, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use crate::{bed::BedError, load::LoadError, subject::SubjectError};

/// What every run is told.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How often each thing is measured, in turns with the others.
    pub rounds: u32,
    /// How long each time.
    pub length: Duration,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
    /// Told what is being measured.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// Why a run ended without a result.
#[derive(Debug, Error)]
pub enum RunError {
    /// There is no bed.
    #[error(transparent)]
    Bed(#[from] BedError),
    /// Packets could not be sent or counted.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The kernel refused a link.
    #[error(transparent)]
    Host(#[from] podlane_host::HostError),
    /// A namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] podlane_host::NetnsError),
    /// What is measured failed.
    #[error(transparent)]
    Switch(#[from] SubjectError),
    /// Latencies cannot be collected.
    #[error("cannot collect latencies: {0}; this is a mistake in podlane-perf")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The worker's CPU clock cannot be read.
    #[error("cannot read the worker's CPU time from {}: {source}; check that /proc is mounted and has schedstat", .path.display())]
    Clock {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// There are too few cores.
    #[error(transparent)]
    Cores(#[from] crate::cores::CoresError),
    /// A core cannot be kept awake, or stays so.
    #[error(transparent)]
    WakeLatency(#[from] podlane_host::WakeLatencyError),
    /// The limit on open files cannot be raised.
    #[error("{count} {what} need {wanted} open files, and the limit cannot be raised: {source}; raise it (ulimit -n)")]
    Files {
        /// How many there are to be.
        count: u16,
        /// Of what.
        what: &'static str,
        /// How many files.
        wanted: u64,
        /// What the kernel says.
        source: nix::errno::Errno,
    },
}

impl RunError {
    /// Whether it is about the machine or the user, so that whoever comes next would fail alike.
    #[must_use]
    pub fn is_everybodys(&self) -> bool {
        matches!(self, Self::Bed(BedError::Lacking(_) | BedError::Cores(_)) | Self::Cores(_) | Self::Files { .. })
    }

    /// Whether it was Ctrl-C.
    #[must_use]
    pub const fn is_interruption(&self) -> bool {
        matches!(self, Self::Load(LoadError::Interrupted))
    }
}

/// Files a port may need: its socket, its program, its maps, its link.
const A_PORT: u64 = 8;

/// Files a pod may need: its namespace, and a few while it is attached.
const A_POD: u64 = 4;

/// Files of whatever else is open.
const OTHERS: u64 = 256;

/// Raises the limit on open files to what so many ports need.
fn allow_ports(count: u16) -> Result<(), RunError> {
    allow_files(count, "ports", A_PORT)
}

/// The same for pods that are attached.
fn allow_pods(count: u16) -> Result<(), RunError> {
    allow_files(count, "pods", A_POD)
}

fn allow_files(count: u16, what: &'static str, each: u64) -> Result<(), RunError> {
    let wanted = OTHERS + u64::from(count) * each;
    let failed = |source| RunError::Files { count, what, wanted, source };
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(failed)
}
