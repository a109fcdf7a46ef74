//! The running daemon: takes its socket, holds what is desired, answers questions, ends on a signal.
//!
//! ```text
//! main thread   signals -------------------------------> ends: server first, then what it answered from
//! server thread socket --> connection threads --> Answer
//! ```

mod answers;
mod attachments;
mod chronicle;
mod connections;
mod denied;
mod endpoints;
mod files;
mod flows;
mod leases;
mod moment;
mod neighbours;
pub(crate) mod notify;
mod offload;
mod policies;
mod rights;
mod server;
mod trials;
mod tunnels;
mod wake;
mod why;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podlane_api::{
    BindError, Counters, Listener, Manifests, PolicyApplied, Ports, Refusal, Reply, Request, TookOver, Why, WhyQuery,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use answers::Answers;
pub use rights::RightsError;
pub use server::Server;

use crate::attach::{Attachments, RecallError, Remembered};
use crate::cnm;
use crate::desired::Desired;
use crate::handover::{Claimed, Former, Handed, HeirError, Inheritance};
use crate::reconcile::{Engine, StartError};
use wake::WakeLimits;

/// What can answer the questions of a socket.
pub trait Answer: Send + Sync {
    /// The reply to one request, soon: the asking client waits.
    ///
    /// # Errors
    /// A [`Refusal`] that names what is wrong with the request.
    fn answer(&self, request: &Request) -> Result<Reply, Refusal>;
}

/// The daemon could not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The process lacks a right.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// The socket is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A thread could not be started.
    #[error("cannot start the server of {}: {source} (raise the process's limit of threads)", socket.display())]
    Server {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The switch could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A running daemon has the instance, and it cannot be taken over.
    #[error("cannot take over: {0}")]
    Heir(#[from] HeirError),
    /// What a former daemon promised cannot be found out.
    #[error(transparent)]
    Recall(#[from] RecallError),
    /// The switch could not go on.
    #[error("{0}")]
    Fatal(String),
    /// Signals could not be listened for.
    #[error("cannot listen for SIGTERM, SIGINT and SIGHUP: {0} (check the limits of this process)")]
    Signals(#[source] std::io::Error),
}

/// A running daemon; dropped, it ends as with [`stop`](Self::stop).
pub struct Daemon {
    /// Waits for the next daemon, where there is a socket.
    former: Option<Former>,
    /// None when nobody is to ask over a socket. Before what it answers from, so that it is dropped first.
    server: Option<Server>,
    /// None where Docker's containers are not attached.
    docker: Option<cnm::Plugin>,
    answers: Arc<Answers>,
    /// Behind the workers that it is for, so that it is lifted when they have ended.
    wake: Option<WakeLimits>,
}

impl Handed for Answers {
    fn engine(&self) -> &Engine {
        self.engine()
    }

    fn close(&self) {
        self.chronicle.close();
    }

    fn is_at_rest_within(&self, longest: Duration) -> bool {
        let began = Instant::now();
        // Which give the chores.
        let are_left = self.chronicle.is_left_within(longest);
        let left = longest.saturating_sub(began.elapsed());
        are_left && self.attachments().map_or(true, |attachments| attachments.are_at_rest_within(left))
    }

    fn let_go(&self) -> Vec<Request> {
        self.let_go_of_attachments();
        self.chronicle.told()
    }

    fn take_up(&self) {
        self.take_up_attachments();
    }

    fn open(&self) {
        self.chronicle.open();
    }
}

impl Daemon {
    /// Makes `desired` so, and answers on `socket` if there is to be one. Where a daemon of the same instance answers there, takes over from
    /// it.
    ///
    /// # Errors
    /// [`DaemonError`] when it could not start; nothing is left behind then, and nothing of another daemon changed.
    pub fn start(desired: Desired, socket: Option<&Path>) -> Result<Self, DaemonError> {
        rights::check(&desired)?;
        files::make_room();
        let instance = desired.daemon.instance.to_string();
        // The socket next: its lock is what tells two daemons apart before they touch anything else.
        let listener = match socket.map(Listener::bind).transpose() {
            Ok(listener) => listener,
            Err(held @ BindError::Held { .. }) => {
                let claimed = socket.map(|socket| Claimed::knock(socket, &instance)).transpose()?.flatten();
                let claimed = claimed.ok_or(held)?;
                return Self::take_over(claimed, desired);
            }
            Err(error) => return Err(error.into()),
        };
        let wake = WakeLimits::hold(&desired.workers);
        let mut desired = desired;
        let remembered = Remembered::recall(&mut desired)?;
        let engine = Arc::new(Engine::start(desired)?);
        let attachments = attach(remembered, &engine)?;
        let answers = Arc::new(Answers::new(engine, attachments));
        Self { former: None, server: None, docker: None, answers, wake: Some(wake) }.serve(listener, &instance, None)
    }

    /// Goes on with the switch of a running daemon.
    fn take_over(claimed: Claimed, desired: Desired) -> Result<Self, DaemonError> {
        let (socket, instance) = (desired.daemon.socket.clone(), desired.daemon.instance.to_string());
        let wake = WakeLimits::hold(&desired.workers);
        // Dropped behind what was remembered: a former that goes on wants its journal back as soon as it hears nobody any more.
        let line = claimed.line()?;
        // The former has let go of its journal.
        let mut desired = desired;
        let remembered = Remembered::recall(&mut desired)?;
        let Inheritance { engine, former, gap, doors, place, changes } = claimed.take_over(desired)?;
        drop(line);
        let gap_us = gap.as_micros() as u64;
        tracing::info!(former, gap_us, "took over");
        let listener = Listener::inherit(&socket, doors)?;
        let took_over = TookOver { pid: former, gap_us };
        let engine = Arc::new(engine);
        let attachments = attach(remembered, &engine)?;
        let answers = Arc::new(Answers::inherit((engine, attachments), took_over, &changes));
        let daemon = Self { former: None, server: None, docker: None, answers, wake: Some(wake) };
        daemon.serve(Some(listener), &instance, Some(place))
    }

    /// Answers, and waits for an heir.
    fn serve(
        mut self,
        listener: Option<Listener>,
        instance: &str,
        place: Option<OwnedFd>,
    ) -> Result<Self, DaemonError> {
        let Some(listener) = listener else { return Ok(self) };
        let socket = listener.socket().to_owned();
        let failed = |source| DaemonError::Server { socket: socket.clone(), source };
        let doors = listener.descriptors().map_err(failed)?.into();
        // Runtimes can connect already, and wait: what they asked before is done before.
        self.answers.carry_out_pending();
        let answer = Arc::clone(&self.answers) as Arc<dyn Answer>;
        self.server = Some(Server::start(listener, answer).map_err(failed)?);
        self.docker = self.answer_docker()?;
        let handed = Arc::clone(&self.answers) as Arc<dyn Handed>;
        self.former = Some(Former::start(handed, (&socket, instance), doors, place).map_err(failed)?);
        Ok(self)
    }

    fn answer_docker(&self) -> Result<Option<cnm::Plugin>, BindError> {
        let desired = self.answers.engine().desired();
        let Some(socket) = desired.attachments.as_ref().and_then(|attachments| attachments.docker.as_deref()) else {
            return Ok(None);
        };
        let answers = Arc::clone(&self.answers);
        cnm::Plugin::start(socket, Box::new(move |call| answers.with_attachments(call))).map(Some)
    }

    /// The ports, by name.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn ports(&self) -> Result<Ports, Refusal> {
        self.answers.ports()
    }

    /// The ledger.
    ///
    /// # Errors
    /// A worker does not answer.
    pub fn counters(&self) -> Result<Counters, Refusal> {
        self.answers.counters()
    }

    /// Applies policies, as over the socket.
    ///
    /// # Errors
    /// What is wrong with them; or no policy is enforced, or a worker does not answer.
    pub fn apply_policy(&self, manifests: &Manifests) -> Result<PolicyApplied, Refusal> {
        self.answers.apply_policy(manifests)
    }

    /// Why a connection would come through or not.
    ///
    /// # Errors
    /// What was asked means nothing that is there.
    pub fn why(&self, query: &WhyQuery) -> Result<Why, Refusal> {
        self.answers.why(query)
    }

    /// Ends: hangs up on who asks, and leaves nothing behind.
    ///
    /// # Errors
    /// [`DaemonError::Fatal`]: it had to, because a part of it had ended by a defect.
    pub fn stop(mut self) -> Result<(), DaemonError> {
        if self.end() {
            return Ok(());
        }
        if let Some(server) = self.server.take() {
            server.stop();
        }
        self.answers.engine().facts().fatal.map_or(Ok(()), |what| Err(DaemonError::Fatal(what)))
    }
}

impl Daemon {
    /// Waits for no heir any more. Returns whether one has taken over: then nothing is left to be ended, and what is here is left to the end of
    /// the process, because all of it is the heir's.
    fn end(&mut self) -> bool {
        // First: while an heir is spoken to, calls of Docker's may wait for what is held up meanwhile.
        let taken = self.former.take().is_some_and(Former::end);
        // The heir waits for Docker's socket.
        drop(self.docker.take());
        if taken {
            std::mem::forget((self.server.take(), Arc::clone(&self.answers), self.wake.take()));
        }
        taken
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Attaches pods, where that was asked for.
fn attach(remembered: Option<Remembered>, engine: &Arc<Engine>) -> Result<Option<Attachments>, RecallError> {
    remembered.map(|remembered| Attachments::start(remembered, Arc::clone(engine))).transpose()
}

/// Runs a daemon until SIGTERM, SIGINT, or SIGHUP of a terminal that was closed.
///
/// # Errors
/// [`DaemonError`] when it could not start; nothing is left behind then.
pub fn run(desired: Desired) -> Result<(), DaemonError> {
    // Before anything that a signal should take down again.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(DaemonError::Signals)?;
    let socket = desired.daemon.socket.clone();
    let (networks, ports) = (desired.networks.len(), desired.ports.len());
    let daemon = Daemon::start(desired, Some(&socket))?;
    tracing::info!(socket = %socket.display(), networks, ports, "ready");
    notify::ready();
    if let Some(signal) = signals.forever().next() {
        let signal = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        tracing::info!(signal, "ending");
    }
    daemon.stop()
}
