//! The socket's server: one thread that accepts, one short-lived thread a client.
//!
//! Questions are few and answers small, so threads are plainer than an event loop and as good. What a client can
//! cost is bounded: so many at once, each within the time limits of [`Connection`]. Stopping hangs up on all of them
//! and waits for their threads, so that nothing of what they answered from outlives [`Server::stop`].

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podlane_api::{Connection, HangUp, LineError, Listener, Refusal};

use super::Answer;

/// Clients served at once: a node that starts attaches all its pods at the same time, and each has a shim that waits for its answer.
const MAX_CLIENTS: usize = 256;

/// How long a client may think between two questions, and take for one line.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    /// Closing it tells the accepting thread to end.
    stop: Option<UnixStream>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `listener` from `answer`.
    ///
    /// # Errors
    /// What the kernel says when there is no thread or descriptor to be had.
    pub fn start(listener: Listener, answer: Arc<dyn Answer>) -> io::Result<Self> {
        let (stop, told) = UnixStream::pair()?;
        let accepting =
            thread::Builder::new().name("podlane-socket".into()).spawn(move || accept(&listener, &told, &answer))?;
        Ok(Self { stop: Some(stop), accepting: Some(accepting) })
    }

    /// Hangs up on every client, takes the socket away, and returns when no thread of the server is left.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if self.accepting.take().is_some_and(|accepting| accepting.join().is_err()) {
            tracing::error!("the socket's server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: &Listener, told: &UnixStream, answer: &Arc<dyn Answer>) {
    let clients = Clients::default();
    thread::scope(|scope| {
        let mut next = 0_u64;
        while wait(listener, told) {
            let Some(mut connection) = accepted(listener) else { continue };
            let Some(seat) = clients.seat(next, &connection) else {
                // The refusal fits the socket's buffer, so this does not wait for the client.
                let _ = connection.answer(Err(Refusal::Busy { clients: MAX_CLIENTS }));
                continue;
            };
            next += 1;
            let name = format!("podlane-client-{next}");
            let serving = thread::Builder::new().name(name).spawn_scoped(scope, move || {
                serve(&mut connection, answer.as_ref());
                drop(seat);
            });
            if let Err(error) = serving {
                tracing::warn!(%error, "no thread for a client");
            }
        }
        clients.hang_up();
    });
}

/// Waits for a client; false when told to stop.
fn wait(listener: &Listener, told: &UnixStream) -> bool {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(told.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => fds[1].revents().is_none_or(|events| events.is_empty()),
        Err(nix::errno::Errno::EINTR) => true,
        Err(error) => {
            tracing::error!(%error, "the socket cannot be waited on; no more questions are taken");
            false
        }
    }
}

fn accepted(listener: &Listener) -> Option<Connection> {
    match listener.accept(PATIENCE) {
        Ok(connection) => Some(connection),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => {
            tracing::warn!(%error, "a client was lost");
            // Out of descriptors, the client stays in the queue and poll returns at once: do not spin on it.
            thread::sleep(Duration::from_millis(20));
            None
        }
    }
}

fn serve(connection: &mut Connection, answer: &dyn Answer) {
    loop {
        let heard = match connection.hear() {
            Ok(heard) => heard,
            Err(LineError::Closed | LineError::TimedOut { .. }) => return,
            Err(error) => {
                tracing::debug!(%error, "a client was given up");
                return;
            }
        };
        let last = matches!(heard, Err(Refusal::TooLong { .. }));
        let outcome = heard.and_then(|request| answer.answer(&request));
        if let Err(error) = connection.answer(outcome) {
            tracing::debug!(%error, "an answer did not arrive");
            return;
        }
        if last {
            return;
        }
    }
}

/// The clients being served.
#[derive(Default)]
struct Clients(Mutex<HashMap<u64, HangUp>>);

/// One client's place among them, until it is dropped.
struct Seat<'c> {
    clients: &'c Clients,
    number: u64,
}

impl Clients {
    fn seat(&self, number: u64, connection: &Connection) -> Option<Seat<'_>> {
        let hang_up = connection.hang_up_later().ok()?;
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.len() >= MAX_CLIENTS {
            return None;
        }
        seats.insert(number, hang_up);
        Some(Seat { clients: self, number })
    }

    fn hang_up(&self) {
        let seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.values().for_each(HangUp::hang_up);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut seats = self.clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.remove(&self.number);
    }
}
