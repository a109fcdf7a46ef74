//! A switch that takes over from a running one: all that takes long is done while the former one's workers still turn.
//!
//! ```text
//!   Engine::inherit   tables mapped, policy compiled, workers halted with both in force; devices found, sockets mapped
//!   Heir::prepare     the former workers have halted: marks, ledgers, owners -> pools, ports. Until here nothing has changed
//!   Heir::turn        the workers turn; then what the former switch had and nobody wants is closed
//! ```

use std::collections::BTreeMap;
use std::time::Instant;

use podlane_dataplane::counters::Counters;
use podlane_dataplane::port::Port;
use podlane_dataplane::port::af_xdp::AfXdpPort;
use podlane_dataplane::worker::legacy::Inheritance;
use podlane_dataplane::{PortId, WorkerId};
use podlane_rings::{FramePool, Inherited, SocketError, Umem, UmemError};
use thiserror::Error;

use super::crew::{Ends, Silent};
use super::estate::{End, Estate, Remains};
use super::open::{OpenError, Opener, faulty, hearing};
use super::pass::{Reconciler, Up};
use super::pins::Pins;
use super::settings::{configs, memory, settings};
use super::{Basis, Engine, PolicyChange, StartError};
use crate::compile::{Former, Numbers};
use crate::desired::{Behind, Desired, Name};
use podlane_dataplane::stage::shared::Shared;

/// Why a running switch cannot be taken over.
#[derive(Debug, Error)]
pub enum InheritError {
    /// It is made of other parts.
    #[error(
        "the running daemon has {there} {what}, and this configuration asks for {here}; stop it, then start this one"
    )]
    Other {
        /// What there is another number of.
        what: &'static str,
        /// Of the running one.
        there: u64,
        /// Asked for.
        here: u64,
    },
    /// Its tables cannot be mapped.
    #[error("the tables of the running daemon: {0}; stop it, then start this one")]
    Tables(#[source] std::io::Error),
    /// Its packet memory cannot be mapped.
    #[error("the packet memory of the running daemon's worker {worker}: {source}; stop it, then start this one")]
    Memory {
        /// Which worker's.
        worker: usize,
        /// What is wrong.
        source: UmemError,
    },
    /// One of its sockets cannot be gone on with.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// What it said when it halted cannot be true.
    #[error("what the former daemon left of worker {worker} is not believed: {why}; stop it, then start this one")]
    Remains {
        /// Which worker's.
        worker: usize,
        /// Why.
        why: String,
    },
    /// What is desired cannot be put in force.
    #[error("{why}; the running daemon goes on")]
    NotInForce {
        /// Why.
        why: String,
    },
    /// A worker of this process does not answer.
    #[error(transparent)]
    Silent(#[from] Silent),
    /// This process cannot start a switch.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// One socket of a former switch, mapped.
struct Mapped {
    /// What the former numbers called its port.
    port: PortId,
    name: Name,
    number: u32,
    socket: Inherited,
}

/// A switch that is ready to take over.
pub struct Heir {
    engine: Engine,
    reconciler: Reconciler,
    /// By worker.
    pools: Vec<FramePool>,
    sockets: Vec<Vec<Mapped>>,
    former: Former,
    /// Whether paths to other nodes have other numbers here.
    has_other_ways: bool,
}

impl Engine {
    /// Makes ready to go on with a running switch, whose workers turn meanwhile. Nothing of it is changed.
    ///
    /// # Errors
    /// [`InheritError`]: it cannot be gone on with under these desires.
    pub fn inherit(desired: Desired, estate: Estate, changes: Vec<PolicyChange>) -> Result<Heir, InheritError> {
        let Estate { numbers: former, ways, generation, tables, files, memories, ports, pins } = estate;
        let asked = memory(&desired);
        let workers = desired.workers.cores.len();
        compare("workers", memories.len(), workers)?;
        for (memory, _) in &memories {
            compare("frames a worker", memory.frames as usize, asked.frames as usize)?;
            compare("bytes a frame", memory.frame_size.bytes(), asked.frame_size.bytes())?;
        }
        compare("flows at the most", tables.flows.capacity, (desired.flows.capacity.get() as usize).max(1024))?;
        let connections = desired.policy.as_ref().map_or(0, |policy| policy.connections.get() as usize).max(1024);
        compare("connections at the most", tables.connections.capacity, connections)?;
        let shared =
            Shared::inherit(files, settings(desired.policy.as_ref()), &tables).map_err(InheritError::Tables)?;
        let (mut pools, mut setups) = (Vec::new(), Vec::new());
        for (worker, ((config, file), setup)) in memories.into_iter().zip(configs(&desired, true)).enumerate() {
            let refused = |source| InheritError::Memory { worker, source };
            let (_, mut pool) = Umem::inherit(file, &config).map_err(refused)?;
            // The worker's own part of an empty pool is as empty.
            setups.push((setup, pool.lend(0)));
            pools.push(pool);
        }
        let sockets = map(ports, &pools, &former)?;
        let pins = Pins::inherit(&desired, pins);
        let numbers = Numbers::after(&desired, &former);
        let basis = Basis { desired, numbers, pins: Some(pins), shared, setups, generation, changes };
        let (engine, mut reconciler) = Engine::assemble(basis)?;
        adopt(&mut reconciler, &sockets);
        reconciler.publish().map_err(|why| InheritError::NotInForce { why: why.to_string() })?;
        let has_other_ways = ways != super::estate::ways(&engine.plan());
        Ok(Heir { engine, reconciler, pools, sockets, former, has_other_ways })
    }
}

impl Heir {
    /// Takes in what the former workers left. Whatever fails here, the former switch can go on.
    ///
    /// # Errors
    /// [`InheritError`]: what was left cannot be true, or a worker of this process does not answer.
    pub fn prepare(self, remains: &Remains) -> Result<Ready, InheritError> {
        let Self { engine, mut reconciler, pools, sockets, former, has_other_ways } = self;
        compare("workers", remains.legacies.len(), pools.len())?;
        let owned = |places: fn(&podlane_dataplane::worker::legacy::Legacy) -> usize| {
            remains.legacies.iter().map(places).sum::<usize>()
        };
        engine.shared.flows.go_on(remains.flows, owned(|legacy| legacy.flows.len()));
        engine.shared.connections.go_on(remains.connections, owned(|legacy| legacy.connections.len()));
        if has_other_ways {
            engine.shared.forget_paths();
        }
        let same_numbers = engine.numbers().former() == former;
        let mut ends: BTreeMap<Name, Vec<(WorkerId, Vec<podlane_rings::Socket>)>> = BTreeMap::new();
        for (worker, (mut pool, mapped)) in pools.into_iter().zip(sockets).enumerate() {
            let id = WorkerId(worker as u16);
            let legacy = &remains.legacies[worker];
            let mut names = Vec::new();
            let mut halted = Vec::new();
            for Mapped { port, name, number, socket } in mapped {
                names.push(name);
                halted.push((socket, remains.socket(id, port, number).is_some_and(|last| last.skipping)));
            }
            let believed = pool.take_over(&legacy.marks, halted);
            let (sockets, lost) = believed.map_err(|why| InheritError::Remains { worker, why: why.to_string() })?;
            if lost > 0 {
                tracing::warn!(worker, lost, "frames of sockets that were not handed over are lost");
            }
            for (name, socket) in names.into_iter().zip(sockets) {
                let ends = ends.entry(name).or_default();
                match ends.iter_mut().find(|(owner, _)| *owner == id) {
                    Some((_, sockets)) => sockets.push(socket),
                    None => ends.push((id, vec![socket])),
                }
            }
            // Under other numbers the ledger would be others'.
            let counters = Counters::of_words(&legacy.counters).filter(|_| same_numbers);
            let (flows, connections) = (legacy.flows.clone(), legacy.connections.clone());
            engine.workers.inherit(id, Inheritance { pool, flows, connections, counters })?;
        }
        let plan = engine.plan();
        let mut unwanted = Vec::new();
        for (name, ends) in ends {
            let port = plan.desired.ports.get(&name).filter(|_| reconciler.up.contains_key(&name));
            let end =
                |(worker, sockets)| (worker, Box::new(AfXdpPort::inherit(name.as_str(), sockets)) as Box<dyn Port>);
            let ends: Ends = ends.into_iter().map(end).collect();
            match port {
                Some(port) => {
                    let everyone = reconciler.up.get_mut(&name).and_then(Up::everyone);
                    let ends = faulty(port, hearing(everyone, ends));
                    engine.workers.attach(plan.numbers.port(&name), ends)?;
                }
                None => unwanted.push((name, ends)),
            }
        }
        Ok(Ready { engine, reconciler, unwanted })
    }
}

/// A switch that has taken over all but the turning.
pub struct Ready {
    engine: Engine,
    reconciler: Reconciler,
    unwanted: Vec<(Name, Ends)>,
}

impl Ready {
    /// Turns. From here on the former switch must not. Returns since when.
    ///
    /// # Errors
    /// A worker does not answer, or there is no thread for the reconciler.
    pub fn turn(self, remains: &Remains) -> Result<(Engine, Instant), InheritError> {
        let Self { mut engine, mut reconciler, unwanted } = self;
        let turned = engine.workers.resume()?;
        // The former daemon's claims were its own until here.
        reconciler.reclaim();
        for (name, ends) in unwanted {
            tracing::info!(port = %name, "closing a port of the former daemon that is not wanted any more, or not so");
            if let Err(error) = engine.workers.close(ends) {
                tracing::error!(port = %name, %error, "port not closed");
            }
        }
        if let Some(pins) = &reconciler.pins {
            pins.sweep(&reconciler.desired);
        }
        let legacies = &remains.legacies;
        engine.shared.flows.recycle(remains.flows, legacies.iter().flat_map(|legacy| &legacy.flows));
        engine.shared.connections.recycle(remains.connections, legacies.iter().flat_map(|legacy| &legacy.connections));
        // What kept the memory registered was the former's, and ends with it.
        reconciler.founder = engine.founder();
        engine.reconcile(reconciler)?;
        Ok((engine, turned))
    }
}

fn compare(what: &'static str, there: usize, here: usize) -> Result<(), InheritError> {
    if there == here { Ok(()) } else { Err(InheritError::Other { what, there: there as u64, here: here as u64 }) }
}

/// Maps every socket, by worker.
fn map(
    ports: BTreeMap<Name, Vec<End>>,
    pools: &[FramePool],
    former: &Former,
) -> Result<Vec<Vec<Mapped>>, InheritError> {
    let mut sockets: Vec<Vec<Mapped>> = pools.iter().map(|_| Vec::new()).collect();
    for (name, ends) in ports {
        let Some(port) = former.ports.get(&name).copied().map(PortId) else { continue };
        for End { worker, sockets: handed } in ends {
            let Some(pool) = pools.get(worker.index()) else { continue };
            for (facts, descriptors) in handed {
                let socket = Inherited::of(pool, &facts, descriptors)?;
                sockets[worker.index()].push(Mapped { port, name: name.clone(), number: facts.number, socket });
            }
        }
    }
    Ok(sockets)
}

/// Has the reconciler know of the ports that are up already, of those that are desired as they are. The others are opened anew.
fn adopt(reconciler: &mut Reconciler, sockets: &[Vec<Mapped>]) {
    reconciler.world.look();
    reconciler.hosts = super::underlay::hosts(&reconciler.desired, &mut reconciler.world);
    let mut handed: BTreeMap<Name, Vec<&Inherited>> = BTreeMap::new();
    for mapped in sockets.iter().flatten() {
        handed.entry(mapped.name.clone()).or_default().push(&mapped.socket);
    }
    let desired = std::sync::Arc::clone(&reconciler.desired);
    for (name, sockets) in handed {
        let Some(port) = desired.ports.get(&name) else { continue };
        let pins = reconciler.pins.as_ref().map(Pins::directory);
        let opener = Opener {
            desired: &desired,
            workers: &reconciler.workers,
            pins,
            hosts: &reconciler.hosts,
            frames: &reconciler.frames,
            written: &reconciler.written,
        };
        let found = match &port.behind {
            Behind::Device(device) => reconciler.world.find(device).map_err(OpenError::from).map(|at| (device, at)),
            Behind::Replay(_) => Err(OpenError::Changed { what: "it is a device no more" }),
        };
        match found.and_then(|(device, at)| opener.inherit((port, device), at, &sockets)) {
            Ok(opened) => {
                tracing::debug!(port = %name, "port found as the former daemon has it");
                reconciler.up.insert(name.clone(), Up::of(opened));
                reconciler.been_up.insert(name);
            }
            Err(error) => tracing::warn!(port = %name, %error, "port to be opened anew"),
        }
    }
}
