//! What a running switch hands over to the next daemon, and how it stands still for it.
//!
//! ```text
//!   hold: no port is opened or closed, nothing is published -- packets go on as before
//!     estate: descriptors of all that both processes will have, and what has to be known of it
//!     halt:   the workers turn no more -- what only they knew is written down
//!     resume: they turn again, because nobody took it
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{MutexGuard, PoisonError, RwLockWriteGuard};
use std::time::Instant;

use podlane_dataplane::flow::table::Progress;
use podlane_dataplane::stage::shared::SharedFacts;
use podlane_dataplane::worker::legacy::Legacy;
use podlane_dataplane::{PortId, WorkerId};
use podlane_rings::{SocketFacts, UmemConfig};
use thiserror::Error;

use super::crew::Silent;
use super::settings::memory;
use super::{Engine, Plan};
use crate::compile::Former;
use crate::desired::Name;

/// Why a switch cannot be handed over.
#[derive(Debug, Error)]
pub enum Withheld {
    /// A port is more than its sockets.
    #[error("port {port} is no device, and only devices can be handed over; stop this daemon, then start the next one")]
    Port {
        /// The port.
        port: Name,
    },
    /// The XDP programs end with the process.
    #[error(
        "its XDP programs are not pinned (`pin = false` under [daemon], or no BPF file system) and end with it; stop this daemon, then \
         start the next one"
    )]
    NotPinned,
    /// A worker does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// No descriptor to be had.
    #[error("a descriptor cannot be copied: {0}; raise the limit on open files (ulimit -n)")]
    Descriptor(#[from] io::Error),
}

/// One worker's sockets of a port, with their descriptors.
#[derive(Debug)]
pub struct End {
    /// Whose.
    pub worker: WorkerId,
    /// The sockets.
    pub sockets: Vec<(SocketFacts, Vec<OwnedFd>)>,
}

/// What there is to take over, while its owner still uses it.
#[derive(Debug)]
pub struct Estate {
    /// The numbers on the packet path.
    pub numbers: Former,
    /// What the numbers of paths to other nodes rest on.
    pub ways: String,
    /// The last generation that was put in force.
    pub generation: u32,
    /// The tables that workers share.
    pub tables: SharedFacts,
    /// Their memory files.
    pub files: Vec<OwnedFd>,
    /// Each worker's packet memory.
    pub memories: Vec<(UmemConfig, OwnedFd)>,
    /// The ports that are attached.
    pub ports: BTreeMap<Name, Vec<End>>,
    /// The lock on the pins.
    pub pins: OwnedFd,
}

/// What the workers left when they halted.
#[derive(Debug)]
pub struct Remains {
    /// Of each worker.
    pub legacies: Vec<Legacy>,
    /// How far the flows have come.
    pub flows: Progress,
    /// How far the connections have come.
    pub connections: Progress,
    /// When the first packets began to wait.
    pub halted: Instant,
}

/// While it is there, nothing is opened, closed or published.
pub struct Hold<'a> {
    _passes: RwLockWriteGuard<'a, ()>,
    generation: MutexGuard<'a, u32>,
}

impl Engine {
    /// Waits for what is being opened, closed or published, and holds up the next. Packets do not notice.
    pub fn hold(&self) -> Hold<'_> {
        let passes = self.turnstile.write().unwrap_or_else(PoisonError::into_inner);
        Hold { _passes: passes, generation: self.publisher.freeze() }
    }

    /// What there is to hand over.
    ///
    /// # Errors
    /// [`Withheld`]: not all of it can be.
    pub fn estate(&self, hold: &Hold<'_>) -> Result<Estate, Withheld> {
        let plan = self.plan();
        let pins = self.pin_lock.as_ref().ok_or(Withheld::NotPinned)?.as_fd().try_clone_to_owned()?;
        let mut ports: BTreeMap<Name, Vec<End>> = BTreeMap::new();
        for (worker, described) in self.workers.describe()?.into_iter().enumerate() {
            for port in described {
                let Some(name) = plan.numbers.port_name(port.port).cloned() else { continue };
                if !port.can_be_handed_over {
                    return Err(Withheld::Port { port: name });
                }
                ports.entry(name).or_default().push(End { worker: WorkerId(worker as u16), sockets: port.sockets? });
            }
        }
        let config = memory(&plan.desired);
        let memories = self.crew.umems.iter().map(|umem| Ok((config, umem.fd().try_clone_to_owned()?)));
        Ok(Estate {
            numbers: plan.numbers.former(),
            ways: ways(&plan),
            generation: *hold.generation,
            tables: self.shared.facts(),
            files: self.shared.files().map(|file| file.try_clone_to_owned()).collect::<io::Result<_>>()?,
            memories: memories.collect::<io::Result<_>>()?,
            ports,
            pins,
        })
    }

    /// Halts the workers, and has each write down what it leaves.
    ///
    /// # Errors
    /// A worker does not answer; [`resume`](Self::resume) the others.
    pub fn halt(&self, _hold: &Hold<'_>) -> Result<Remains, Silent> {
        let legacies = self.workers.halt()?;
        let halted = legacies.iter().map(|legacy| legacy.since).min().unwrap_or_else(Instant::now);
        let (flows, connections) = (self.shared.flows.progress(), self.shared.connections.progress());
        Ok(Remains { legacies, flows, connections, halted })
    }

    /// Has the workers turn again.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn resume(&self) -> Result<(), Silent> {
        self.workers.resume().map(drop)
    }
}

/// What the numbers of paths to other nodes rest on. Two daemons that have the same here have the same paths.
pub(super) fn ways(plan: &Plan) -> String {
    let Plan { desired, numbers } = plan;
    let uplinks = desired.underlay.as_ref().map(|underlay| &underlay.uplinks);
    let overlays = desired.networks.values().filter(|network| network.vni.is_some());
    let networks: Vec<_> = overlays.map(|network| (numbers.network(&network.name).0, &network.peers)).collect();
    format!("{uplinks:?} {:?} {networks:?}", desired.peers.keys())
}

impl Remains {
    /// A socket as it was left.
    pub(super) fn socket(&self, worker: WorkerId, port: PortId, number: u32) -> Option<&SocketFacts> {
        let legacy = self.legacies.get(worker.index())?;
        let (_, sockets) = legacy.ports.iter().find(|(id, _)| *id == port)?;
        sockets.iter().find(|socket| socket.number == number)
    }
}
