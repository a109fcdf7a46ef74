//! What can be measured: everything that takes packets from one link of the [`Bed`].
//!
//! Another switch is one more file here that implements [`Subject`], and one line in the roster of a run. Each is
//! started for its turn and stopped after it, so that no two ever run at once.

pub mod cni;
pub mod crossconnect;
pub mod drain;
pub mod end;
pub mod kernel;
pub mod nftables;
pub mod overlay;
pub mod ovs;
pub mod podlane;
pub mod policed;
mod poller;
mod receiver;
pub mod rules;
pub mod sleeper;
pub mod switch;
pub mod testpmd;
mod tools;
pub mod tunnel;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use podlane_host::{HostError, NetnsError};
use thiserror::Error;

use crate::{
    bed::Bed,
    load::traffic::{PACKET, Traffic},
};

/// One row of a run's table: a subject, and what it is given to do.
#[derive(Clone, Copy)]
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// What is sent to it.
    pub traffic: Traffic,
    /// Bytes of a packet behind it.
    pub arriving: usize,
    /// What is measured.
    pub subject: &'static dyn Subject,
}

impl Row {
    /// A subject from which packets come as they went in.
    #[must_use]
    pub const fn new(name: &'static str, traffic: Traffic, subject: &'static dyn Subject) -> Self {
        Self { name, traffic, arriving: PACKET, subject }
    }
}

/// Something that takes packets from the bed's first link, and usually forwards them to the second.
pub trait Subject {
    /// How long it may take until it forwards.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Starts it on the bed's core for switches, to forward this traffic.
    ///
    /// # Errors
    /// [`SubjectError::Absent`] where it is not installed: its row is skipped by name. Any other error ends the run.
    fn start(&self, bed: &Bed, traffic: Traffic) -> Result<Box<dyn Running>, SubjectError>;
}

/// A started subject. Dropping it stops it as well, with nobody told what went wrong.
pub trait Running {
    /// Packets it took itself, if nothing arrives behind it; `None` for what forwards.
    fn taken(&self) -> Option<Arc<AtomicU64>> {
        None
    }

    /// Stops it; its links are free afterwards.
    ///
    /// # Errors
    /// It ended before it was told to.
    fn stop(self: Box<Self>) -> Result<(), SubjectError>;
}

/// Why a subject cannot be measured.
#[derive(Debug, Error)]
pub enum SubjectError {
    /// It is not installed.
    #[error("{program} is not installed ({remedy})")]
    Absent {
        /// What was looked for.
        program: &'static str,
        /// How to get it.
        remedy: &'static str,
    },
    /// It is installed, and does not do here what is to be measured.
    #[error("{program} cannot {task}: {says}; see {remedy}")]
    Unable {
        /// Whose program.
        program: &'static str,
        /// What it was told.
        task: String,
        /// What it answered.
        says: String,
        /// Where to look.
        remedy: &'static str,
    },
    /// It ended by itself.
    #[error("{name} ended by itself; run it alone and look at what it prints")]
    Ended {
        /// Its name.
        name: &'static str,
    },
    /// A process or thread could not be started.
    #[error("cannot start {name}: {source}; check the limits on processes and threads")]
    Start {
        /// Its name.
        name: &'static str,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// No memory for packets.
    #[error(transparent)]
    Umem(#[from] podlane_rings::UmemError),
    /// A socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] podlane_rings::SocketError),
    /// An XDP program cannot be attached.
    #[error(transparent)]
    Attach(#[from] podlane_bpf::AttachError),
    /// A port of Podlane cannot be opened.
    #[error(transparent)]
    Port(#[from] podlane_dataplane::port::PortError),
    /// A worker of Podlane cannot be started.
    #[error(transparent)]
    Worker(#[from] podlane_dataplane::worker::WorkerError),
    /// A namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The kernel refused a link or an address.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A program's own folder cannot be made.
    #[error("cannot make the folder {}: {source}; make room there or set TMPDIR", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// No memory for the flow table.
    #[error("no memory for a flow table of {flows} flows: {source}; free some memory")]
    Flows {
        /// How many were asked for.
        flows: usize,
        /// What the kernel says.
        source: std::io::Error,
    },
}

impl SubjectError {
    /// Whether the subject's row is skipped by name instead of ending the run.
    #[must_use]
    pub fn is_a_reason_to_skip(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Unable { .. })
    }
}
