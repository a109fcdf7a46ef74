//! The running daemon: takes its socket, holds what is desired, answers questions, ends on a signal.
//!
//! ```text
//! main thread   signals -------------------------------> ends: server first, then what it answered from
//! server thread socket --> connection threads --> Answer
//! ```

mod server;
mod state;

use std::path::PathBuf;
use std::sync::Arc;

use podlane_api::{BindError, Listener, Refusal, Reply, Request};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

pub use server::Server;
pub use state::State;

use crate::desired::Desired;

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
    /// Signals could not be listened for.
    #[error("cannot listen for SIGTERM and SIGINT: {0} (check the limits of this process)")]
    Signals(#[source] std::io::Error),
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`] when it could not start; nothing is left behind then.
pub fn run(desired: Desired) -> Result<(), DaemonError> {
    // Before anything that a signal should take down again.
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(DaemonError::Signals)?;
    let listener = Listener::bind(&desired.daemon.socket)?;
    let socket = listener.socket().to_owned();
    let (networks, ports) = (desired.networks.len(), desired.ports.len());
    let state = Arc::new(State::new(desired));
    let server =
        Server::start(listener, state).map_err(|source| DaemonError::Server { socket: socket.clone(), source })?;
    tracing::info!(socket = %socket.display(), networks, ports, "ready");
    if let Some(signal) = signals.forever().next() {
        let signal = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        tracing::info!(signal, "ending");
    }
    server.stop();
    Ok(())
}
