//! The running daemon: takes its socket, holds what is desired, answers questions, ends on a signal.
//!
//! ```text
//! main thread   signals -------------------------------> ends: server first, then what it answered from
//! server thread socket --> connection threads --> Answer
//! ```

mod answers;
mod attachments;
mod connections;
mod denied;
mod endpoints;
mod flows;
mod moment;
mod neighbours;
mod policies;
mod rights;
mod server;
mod trials;
mod tunnels;
mod wake;
mod why;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use podlane_api::{
    BindError, Counters, Listener, Manifests, PolicyApplied, Ports, Refusal, Reply, Request, Why, WhyQuery,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use answers::Answers;
pub use rights::RightsError;
pub use server::Server;

use crate::desired::Desired;
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
    /// The switch could not go on.
    #[error("{0}")]
    Fatal(String),
    /// Signals could not be listened for.
    #[error("cannot listen for SIGTERM, SIGINT and SIGHUP: {0} (check the limits of this process)")]
    Signals(#[source] std::io::Error),
}

/// A running daemon; dropped, it ends as with [`stop`](Self::stop).
pub struct Daemon {
    /// None when nobody is to ask over a socket. Before what it answers from, so that it is dropped first.
    server: Option<Server>,
    answers: Arc<Answers>,
    /// Behind the workers that it is for, so that it is lifted when they have ended.
    _wake: WakeLimits,
}

impl Daemon {
    /// Makes `desired` so, and answers on `socket` if there is to be one.
    ///
    /// # Errors
    /// [`DaemonError`] when it could not start; nothing is left behind then.
    pub fn start(desired: Desired, socket: Option<&Path>) -> Result<Self, DaemonError> {
        rights::check(&desired)?;
        // The socket next: its lock is what tells two daemons apart before they touch anything else.
        let listener = socket.map(Listener::bind).transpose()?;
        let wake = WakeLimits::hold(&desired.workers);
        let answers = Arc::new(Answers::new(Engine::start(desired)?));
        let serve = |listener: Listener| {
            let socket = listener.socket().to_owned();
            let answer = Arc::clone(&answers) as Arc<dyn Answer>;
            Server::start(listener, answer).map_err(|source| DaemonError::Server { socket, source })
        };
        let server = listener.map(serve).transpose()?;
        Ok(Self { server, answers, _wake: wake })
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
    pub fn stop(self) -> Result<(), DaemonError> {
        if let Some(server) = self.server {
            server.stop();
        }
        self.answers.engine().facts().fatal.map_or(Ok(()), |what| Err(DaemonError::Fatal(what)))
    }
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
    if let Some(signal) = signals.forever().next() {
        let signal = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        tracing::info!(signal, "ending");
    }
    daemon.stop()
}
