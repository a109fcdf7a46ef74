//! Making it so: ports that are desired and possible are attached, ports that died are taken away, and the workers' tables follow.
//!
//! ```text
//!   Desired --> Engine::start --> workers (closed)
//!                   |
//!                   +--> reconciler thread: every link event, port death, or quarter second
//!                   |        for each port: absent -> wait | there -> open | died, gone -> detach
//!                   |        something changed? -> compile -> publish to every worker -> acknowledged
//!                   |        what was opened -> handed to the workers: its tables are in force already
//!   add_port -------+--> caller's thread: open --> reconciler, at once: policy -> publish -> handed to the workers -> answered
//!   remove_port ----+--> reconciler, at once: publish without it -> back from the workers -> answered; closed by other threads
//! ```
//!
//! The reconciler alone decides what is desired, and publishes. It never holds a worker up: what takes long happens here or in the thread
//! that asked, and a worker gets a finished port or finished tables between two of its turns.

mod apply;
pub mod board;
mod change;
mod close;
mod cores;
mod crew;
mod endpoints;
mod error;
mod estate;
mod fill;
mod follow;
mod founder;
mod frames;
mod heir;
mod offload;
mod open;
mod pass;
mod pins;
mod plan;
mod policy;
mod publish;
mod publisher;
mod requests;
mod restate;
mod room;
mod settings;
mod underlay;
mod world;

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Sender, bounded};
use podlane_dataplane::flow::{FlowTable, HashSeed};
use podlane_dataplane::offload::Running;
use podlane_dataplane::stage::shared::Shared;
use podlane_dataplane::worker::command::Report;
use podlane_dataplane::worker::handoff::Bell;
use podlane_dataplane::worker::{Crew, WorkerConfig};
use podlane_rings::FramePool;

pub use board::{Board, Facts, Fate};
pub use change::ChangeError;
pub use crew::{Ends, PATIENCE, Silent, Workers};
pub use endpoints::{EndpointError, Endpoints};
pub use error::StartError;
pub use estate::{End, Estate, Hold, Remains, Withheld};
pub use heir::{Heir, InheritError};
pub use plan::Plan;
pub use policy::PolicyChange;
pub use publisher::Publisher;

use crate::compile::Numbers;
use crate::desired::{Desired, Mtu, Name, Network, Port};
use crate::enforce::{Enforcer, Live, Places};
use close::Closer;
use cores::Cores;
use fill::Fill;
use founder::Founder;
use pass::Reconciler;
use pins::Pins;
use plan::Plans;
use policy::{enforce, replay};
use requests::{Request, Requests};
use settings::{connections, setups};
use world::World;

/// MAC addresses and neighbours that can be learned, for all networks together.
const STATIONS: usize = 65_536;

/// A running switch: workers, and the reconciler that gives them ports.
pub struct Engine {
    plans: Arc<Plans>,
    shared: Arc<Shared>,
    board: Arc<Board>,
    endpoints: Arc<Endpoints>,
    enforcer: Option<Arc<Enforcer>>,
    requests: Requests,
    publisher: Publisher,
    workers: Workers,
    began: Instant,
    stop: Option<Sender<()>>,
    reconciler: Option<JoinHandle<()>>,
    /// Shared by all who open, close or publish; whoever has it alone holds them up.
    turnstile: Arc<RwLock<()>>,
    /// The lock on the pins, where there are any.
    pin_lock: Option<OwnedFd>,
    /// Where an engine is chosen.
    offloader: Option<Running>,
    crew: Crew,
}

/// What a switch is begun on.
struct Basis {
    desired: Desired,
    numbers: Numbers,
    /// Of a former daemon.
    pins: Option<Pins>,
    shared: Shared,
    setups: Vec<(WorkerConfig, FramePool)>,
    /// The last one that was given.
    generation: u32,
    /// What was done to the policy since a former daemon's start.
    changes: Vec<PolicyChange>,
}

impl Engine {
    /// Starts workers and begins to attach ports, in the calling thread's network namespace. Returns at once; ports come up
    /// as they can.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(desired: Desired) -> Result<Self, StartError> {
        let numbers = Numbers::of(&desired);
        let flows =
            FlowTable::new(desired.flows.capacity.get() as usize, HashSeed::random()).map_err(StartError::Flows)?;
        let connections = connections(desired.policy.as_ref()).map_err(StartError::Connections)?;
        let shared = Shared::new(flows, connections, STATIONS).map_err(StartError::Flows)?;
        let setups = setups(&desired)?;
        let basis = Basis { desired, numbers, pins: None, shared, setups, generation: 0, changes: Vec::new() };
        let (mut engine, mut reconciler) = Self::assemble(basis)?;
        reconciler.founder = engine.founder();
        engine.reconcile(reconciler)?;
        Ok(engine)
    }

    /// Starts workers, with the policy in force, and makes the reconciler, which does nothing yet.
    fn assemble(basis: Basis) -> Result<(Self, Reconciler), StartError> {
        let Basis { desired, numbers, pins, shared, setups, generation, changes } = basis;
        let plan = Plan { desired: Arc::new(desired), numbers: Arc::new(numbers) };
        let Plan { desired, numbers } = plan.clone();
        let plans = Arc::new(Plans::new(plan));
        // What is wrong with the files is said before anything is begun.
        let places = || Arc::new(Places::of(&desired, &numbers));
        let mut policy = desired.policy.as_ref().map(|_| Live::open(&desired, places())).transpose()?;
        if let Some((live, doubts)) = &mut policy {
            doubts.extend(replay(live, changes)?);
        }
        let board = Arc::new(Board::new(&desired));
        let pins = pins.map_or_else(|| Pins::take(&desired, &board), |pins| Ok(Some(pins)))?;
        let pin_lock = pins.as_ref().and_then(|pins| pins.lock().try_clone_to_owned().ok());
        let shared = Arc::new(shared);
        let (events, happened) = bounded(1024);
        let offloader = offload::prepare(&desired, &shared)?;
        let crew = Crew::start(setups, &shared, &events)?;
        let workers = Workers::new(crew.lines.clone());
        let publisher = Publisher::after(workers.clone(), generation).outdating(shared.offload.get().cloned());
        let offloader = offloader.map(|offloader| offloader.start(shared.started)).transpose();
        let offloader = offloader.map_err(StartError::Offloader)?;
        let turnstile: Arc<RwLock<()>> = Arc::default();
        // Before any port is opened, so that none is ever without its policy.
        let enforcer = policy.map(|(live, doubts)| enforce(live, &doubts, &publisher)).transpose()?.map(Arc::new);
        let (stop, stopped) = bounded(0);
        let (endpoints, moved) = Endpoints::new(Arc::clone(&plans));
        let endpoints = Arc::new(endpoints);
        let bell = Bell::new().map_err(StartError::Bell)?;
        let directory = pins.as_ref().map(|pins| pins.directory().to_owned());
        if desired.attachments.is_some()
            && let Err(error) = podlane_bpf::load_pods(directory.as_deref())
        {
            tracing::warn!(error = chain(&error), "the program of pods could not be loaded ahead");
        }
        let (requests, asked) =
            Requests::new((Arc::clone(&plans), Arc::clone(&turnstile)), workers.clone(), directory, bell.clone());
        let claims = Arc::clone(&requests.claims);
        let reconciler = Reconciler {
            plans: Arc::clone(&plans),
            desired: Arc::clone(&desired),
            numbers: Arc::clone(&numbers),
            board: Arc::clone(&board),
            workers: workers.clone(),
            closer: Closer::new((workers.clone(), Arc::clone(&shared)), claims, Arc::clone(&turnstile), bell.clone()),
            asked,
            bell,
            leaving: Vec::new(),
            enforcer: enforcer.clone(),
            passed: None,
            looked: None,
            due: Default::default(),
            has_news: false,
            pins,
            turnstile: Arc::clone(&turnstile),
            happened,
            set_aside: Default::default(),
            stopped,
            endpoints: Arc::clone(&endpoints),
            moved,
            waiting: Vec::new(),
            hosts: Default::default(),
            world: World::of(&desired),
            frames: requests.frames.clone(),
            written: Arc::clone(&requests.written),
            cores: Cores::of(&desired),
            fill: Fill::of(&shared),
            up: Default::default(),
            been_up: Default::default(),
            retry: Default::default(),
            publisher: publisher.clone(),
            behind: false,
            founder: None,
        };
        let engine = Self {
            plans,
            shared,
            board,
            endpoints,
            enforcer,
            requests,
            publisher,
            workers,
            began: Instant::now(),
            stop: Some(stop),
            reconciler: None,
            turnstile,
            pin_lock,
            offloader,
            crew,
        };
        Ok((engine, reconciler))
    }

    /// Keeps the workers' memory registered, where pods come and go.
    fn founder(&self) -> Option<Founder> {
        self.desired().attachments.as_ref().and_then(|_| Founder::of(&self.workers))
    }

    /// Has the reconciler begin.
    fn reconcile(&mut self, reconciler: Reconciler) -> Result<(), StartError> {
        let thread = std::thread::Builder::new().name("podlane-recon".into());
        self.reconciler = Some(thread.spawn(move || reconciler.run()).map_err(StartError::Thread)?);
        Ok(())
    }

    /// What is desired and how it is numbered at this moment, of which the one fits the other.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plans.read()
    }

    /// What is desired now.
    #[must_use]
    pub fn desired(&self) -> Arc<Desired> {
        self.plan().desired
    }

    /// The numbers on the packet path.
    #[must_use]
    pub fn numbers(&self) -> Arc<Numbers> {
        self.plan().numbers
    }

    /// Adds a port: opens its device in the calling thread, which is to be in the daemon's network namespace, and returns when policy and
    /// tables with it are in force in every worker. Until then it is closed. Many threads may add ports at once.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing of it is left then.
    pub fn add_port(&self, port: Port) -> Result<(), ChangeError> {
        self.requests.add_port(port)
    }

    /// Has a port that was opened while its pod asked for addresses over DHCP state them: it is guarded and known by them from then on, and open.
    ///
    /// # Errors
    /// [`ChangeError`]; the port stays as it was.
    pub fn state_addresses(&self, name: &Name, addresses: Vec<IpAddr>) -> Result<(), ChangeError> {
        self.requests.ask(|back| Request::StateAddresses(name.clone(), addresses, back))
    }

    /// Removes a port, of the configuration or added since, and returns when no packet goes by it; its sockets and its XDP program are
    /// left in the background. Its name is free when they are, which [`Self::add_port`] waits for.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`], [`ChangeError::Late`] or [`ChangeError::Ending`].
    pub fn remove_port(&self, name: &Name) -> Result<(), ChangeError> {
        self.requests.ask(|back| Request::RemovePort(name.clone(), back))
    }

    /// Adds a network of this node, and returns when it is in force in every worker.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing is changed then.
    pub fn add_network(&self, network: Network) -> Result<(), ChangeError> {
        self.requests.ask(|back| Request::AddNetwork(Box::new(network), back))
    }

    /// Removes a network that no port is in.
    ///
    /// # Errors
    /// [`ChangeError::InUse`] and others; but for [`ChangeError::Late`], nothing is changed then.
    pub fn remove_network(&self, name: &Name) -> Result<(), ChangeError> {
        self.requests.ask(|back| Request::RemoveNetwork(name.clone(), back))
    }

    /// What workers share: flows, and what was learned.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How far the world has come.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.board.read()
    }

    /// The largest IP packet of a network: what it states, else what its tunnels carry.
    #[must_use]
    pub fn mtu(&self, network: &Network) -> u32 {
        let proposed = || self.board.proposed_mtu(&network.name).map_or(0, u32::from);
        network.mtu.map_or_else(proposed, Mtu::get)
    }

    /// The stations on other nodes, and the way to move them.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The policy in force and the way to change it; none where no policy is enforced.
    #[must_use]
    pub fn enforcer(&self) -> Option<&Arc<Enforcer>> {
        self.enforcer.as_ref()
    }

    /// The last generation that was put in force, of tables or of policy.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.publisher.generation().0
    }

    /// Since when it runs.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Every worker's ledger, each consistent in itself.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn reports(&self) -> Result<Vec<Report>, Silent> {
        self.workers.reports()
    }

    /// Takes every port away and ends the workers. Nothing is left: no program, no pin, no socket.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.requests.end();
        if let Some(enforcer) = &self.enforcer {
            enforcer.stop();
        }
        drop(self.stop.take());
        if let Some(reconciler) = self.reconciler.take()
            && reconciler.join().is_err()
        {
            tracing::error!("the reconciler panicked; XDP programs may be left on devices");
        }
        drop(self.offloader.take());
        self.crew.stop();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// An error with what caused it: some name their object and remedy only at the root.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
