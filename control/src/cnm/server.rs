//! The plugin's server: one thread that accepts, one a call.
//!
//! Docker makes a few calls for each container, several containers at once, and none of its calls is slow for us: so a connection is one
//! call, and when as many are being answered as may be, the next wait in the socket's queue. Stopping waits for those being answered.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podlane_api::{BindError, Listener, Refusal};
use serde_json::{Value, json};

use super::driver::Driver;
use super::http::{self, Call, Deadline, HttpError};
use crate::attach::Attaches;

/// Calls answered at once.
const MAX_CALLS: usize = 32;

/// How often the socket is tried again while the daemon that this one takes over from still has it.
const AGAIN: Duration = Duration::from_millis(100);

/// Makes a call with the attachments: they are others after a hand-over that came to nothing, and while one is under way there are none
/// to change.
pub type Source<A> = Box<dyn Fn(&mut dyn FnMut(&A)) -> Result<(), Refusal> + Send + Sync>;

/// What calls are answered from.
struct Answering<A> {
    attaches: Source<A>,
    driver: Driver,
}

/// Docker's plugin, until it is dropped: then its socket is gone, and Docker's calls wait for the next daemon's.
#[derive(Debug)]
pub struct Plugin {
    /// Closing it tells the accepting thread to end.
    stop: Option<UnixStream>,
    accepting: Option<JoinHandle<()>>,
}

impl Plugin {
    /// Answers on `socket`. If another daemon has it, as one does that this one takes over from, it is had as soon as that one ends.
    ///
    /// # Errors
    /// [`BindError`]: the socket is not to be had there at all, or no thread.
    pub fn start<A: Attaches + 'static>(socket: &Path, attaches: Source<A>) -> Result<Self, BindError> {
        let first = match Listener::bind(socket) {
            Ok(listener) => Some(listener),
            Err(BindError::Held { .. }) => None,
            Err(error) => return Err(error),
        };
        let failed = |step| move |source| BindError::Io { path: socket.into(), step, source };
        let (stop, told) = UnixStream::pair().map_err(failed("make the pair that ends it"))?;
        let (path, plugin) = (socket.to_owned(), Answering { attaches, driver: Driver::default() });
        let run = move || {
            if let Some(listener) = first.or_else(|| held(&path, &told)) {
                accept(&listener, &told, &plugin);
            }
        };
        let accepting =
            thread::Builder::new().name("podlane-docker".into()).spawn(run).map_err(failed("start its thread"))?;
        Ok(Self { stop: Some(stop), accepting: Some(accepting) })
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.accepting.take().is_some_and(|accepting| accepting.join().is_err()) {
            tracing::error!("Docker's plugin panicked");
        }
    }
}

/// Waits for the socket of another daemon; none when told to stop before.
fn held(socket: &Path, told: &UnixStream) -> Option<Listener> {
    tracing::info!(socket = %socket.display(), "another daemon has Docker's socket; waiting for it to end");
    let pause = PollTimeout::try_from(AGAIN).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(&mut [PollFd::new(told.as_fd(), PollFlags::POLLIN)], pause) {
            Ok(0) | Err(Errno::EINTR) => {}
            _ => return None,
        }
        match Listener::bind(socket) {
            Ok(listener) => return Some(listener),
            Err(BindError::Held { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "Docker cannot be answered; its networks are as they were");
                return None;
            }
        }
    }
}

fn accept<A: Attaches>(listener: &Listener, told: &UnixStream, plugin: &Answering<A>) {
    let seats = Seats::default();
    thread::scope(|scope| {
        while wait(listener, told) {
            let stream = match listener.accept_stream() {
                Ok(stream) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    tracing::warn!(%error, "a call of Docker's was lost");
                    // Out of descriptors, the caller stays in the queue and poll returns at once: do not spin on it.
                    thread::sleep(AGAIN);
                    continue;
                }
            };
            let seat = seats.take();
            let answering = thread::Builder::new().name("podlane-docker-call".into()).spawn_scoped(scope, move || {
                answer(&stream, plugin);
                drop(seat);
            });
            if let Err(error) = answering {
                tracing::warn!(%error, "no thread for a call of Docker's");
            }
        }
    });
}

/// Waits for a caller; false when told to stop.
fn wait(listener: &Listener, told: &UnixStream) -> bool {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(told.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => fds[1].revents().is_none_or(|events| events.is_empty()),
        Err(Errno::EINTR) => true,
        Err(error) => {
            tracing::error!(%error, "Docker's socket cannot be waited on; no more of its calls are answered");
            false
        }
    }
}

fn answer<A: Attaches>(stream: &UnixStream, plugin: &Answering<A>) {
    let (status, body) = match http::read(&mut Deadline::from_now(stream)) {
        Ok(call) => carry_out(&call, plugin),
        // Whoever only looked whether somebody listens is owed nothing.
        Err(HttpError::Read(_)) => return,
        Err(error) => (error.status(), json!({ "Err": error.to_string() })),
    };
    if let Err(error) = http::write(stream, status, body.to_string().as_bytes()) {
        tracing::debug!(%error, "an answer did not reach Docker");
    }
}

/// A refusal is a plain answer with `Err` in it: another status would have Docker think of the transport, and some versions ask again.
fn carry_out<A: Attaches>(call: &Call, plugin: &Answering<A>) -> (&'static str, Value) {
    let mut outcome = None;
    let made = (plugin.attaches)(&mut |attaches| {
        outcome = Some(plugin.driver.call(attaches, &call.method, &call.body));
    });
    let Some(outcome) = outcome else {
        let why =
            made.err().map_or_else(|| "no answer (see the daemon's log)".to_owned(), |refusal| refusal.to_string());
        tracing::warn!(method = call.method, why, "refused to Docker");
        return ("200 OK", json!({ "Err": why }));
    };
    match outcome {
        Ok(reply) => ("200 OK", reply),
        Err(error @ super::CnmError::Method { .. }) => ("404 Not Found", json!({ "Err": error.to_string() })),
        Err(error) => {
            tracing::warn!(method = call.method, %error, "refused to Docker");
            ("200 OK", json!({ "Err": error.to_string() }))
        }
    }
}

/// As many as calls are answered at once.
#[derive(Default)]
struct Seats {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// One of them, until it is dropped.
struct Seat<'s>(&'s Seats);

impl Seats {
    fn take(&self) -> Seat<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            self.given_back.wait_while(taken, |taken| *taken >= MAX_CALLS).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Seat(self)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}
