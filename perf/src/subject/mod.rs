//! What can be measured: everything that takes packets from one link of the [`Bed`].
//!
//! Another switch is one more file here that implements [`Subject`], and one line in the roster of
//! [`compare`](crate::run::compare). Each says which [duties](Duty) it can do, is started for its turn and stopped after it, so that no two
//! ever run at once.

pub mod bridge;
pub mod cni;
pub mod crossconnect;
pub mod drain;
pub mod duty;
pub mod end;
mod folder;
pub mod kernel_vxlan;
pub mod learner;
mod lifeline;
pub mod nftables;
mod overlay;
pub mod ovs;
pub mod podlane;
mod policed;
pub(crate) mod poller;
mod receiver;
mod rules;
pub mod sleeper;
pub mod switch;
pub mod testpmd;
mod tools;
pub(crate) mod tunnel;
pub mod vpp;
pub mod wire;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use podlane_host::{HostError, NetnsError};
use thiserror::Error;

pub use self::duty::{Duty, Way};
pub(crate) use self::overlay::UNDERLAY_MTU;
use crate::{bed::Bed, nodes::Nodes};

/// Something that takes packets from the bed's first link, and usually forwards them to the second.
pub trait Subject: Sync {
    /// What it is called in tables.
    fn name(&self) -> &'static str;

    /// Whether it can do this at all, were it installed.
    fn takes(&self, duty: &Duty) -> bool;

    /// How long it may take until it forwards.
    fn patience(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Whether TCP and UDP checksums that a pod's kernel leaves unfinished are finished by it, or left to the next kernel that knows.
    /// For any other the pods' kernels are told to finish them, which costs them something.
    fn finishes_checksums(&self) -> bool {
        false
    }

    /// Whether it is the link between the pods itself, and no switch.
    fn joins_pods(&self) -> bool {
        false
    }

    /// Starts it on the bed's core for switches.
    ///
    /// # Errors
    /// [`SubjectError`]: it is not installed, or does not do here what it says it can.
    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError>;

    /// Whether it can carry packets between the pods of two nodes, in VXLAN.
    fn spans_nodes(&self) -> bool {
        false
    }

    /// Starts it on both nodes.
    ///
    /// # Errors
    /// [`SubjectError`].
    fn span(&self, _: &Nodes) -> Result<Box<dyn Running>, SubjectError> {
        Err(SubjectError::NotItsDuty { name: self.name() })
    }
}

/// A started subject. Dropping it stops it as well, with nobody told what went wrong.
pub trait Running {
    /// That it still runs.
    ///
    /// # Errors
    /// [`SubjectError::Ended`].
    fn check(&mut self) -> Result<(), SubjectError> {
        Ok(())
    }

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
    /// It was asked for what it said it cannot do.
    #[error("{name} does not do this; compare it by another workload")]
    NotItsDuty {
        /// Its name.
        name: &'static str,
    },
    /// A program did not end.
    #[error("{program} was told to {task} and did not end within {} s; run it alone and look at what it waits for", .limit.as_secs())]
    Hangs {
        /// Whose program.
        program: &'static str,
        /// What it was told.
        task: String,
        /// How long it was waited for.
        limit: Duration,
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
    /// Whether it is not to be had here, and so nobody's mistake.
    #[must_use]
    pub const fn is_a_reason_to_skip(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Unable { .. })
    }
}
