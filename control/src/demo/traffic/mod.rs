//! Meters: real kernel sockets inside two pods, and what came of the traffic between them.
//!
//! Each meter takes a [`Pair`] of pods and a [`Bounds`], runs its sockets on threads of its own, and comes
//! back with numbers or with a named failure. All of them promise to come back: every call into the kernel
//! is bounded, a run ends soon after its time, and sooner when the demo is told to stop. Rates are what
//! the receiver saw, never what the sender believes.

mod conversation;
mod echo;
mod lifeline;
mod pattern;
mod tcp;
mod too_large;
mod udp;

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use podlane_host::{HostError, Netns, NetnsError};
use thiserror::Error;

pub(crate) use conversation::{Callee, Conversation};
pub(crate) use echo::{Echo, EchoMeasured};
pub(crate) use lifeline::{Answers, Lifeline};
pub(crate) use tcp::{Tcp, TcpMeasured};
pub(crate) use too_large::TooLarge;
pub(crate) use udp::{Udp, UdpMeasured};

/// How long a single call into the kernel may wait before its thread looks at the clock again.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a connection, or the first answer of all, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a thread of a meter runs.
#[derive(Clone)]
pub(crate) struct Place {
    /// The pod's network namespace.
    pub(crate) namespace: Arc<Netns>,
    /// The core it is pinned to, if any.
    pub(crate) core: Option<CoreId>,
}

/// Two ends of some traffic.
#[derive(Clone)]
pub(crate) struct Pair {
    /// Where the sender runs.
    pub(crate) from: Place,
    /// Where the receiver runs.
    pub(crate) to: Place,
    /// The receiver's address.
    pub(crate) target: IpAddr,
}

/// How far a meter may go, and where it shows how far it got.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// How long to send.
    pub(crate) length: Duration,
    /// Set when everything should end early.
    pub(crate) stop: &'a AtomicBool,
    /// Bytes, datagrams or echoes that arrived so far, for whoever draws the progress.
    pub(crate) arrived: &'a AtomicU64,
}

impl Bounds<'_> {
    /// Whether sending that began at `start` should end.
    fn over(&self, start: Instant) -> bool {
        start.elapsed() >= self.length || self.stopped()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn add(&self, arrived: u64) {
        self.arrived.fetch_add(arrived, Ordering::Relaxed);
    }
}

/// Why a step of traffic failed.
#[derive(Debug, Error)]
pub(crate) enum MeterError {
    /// The pod's namespace could not be entered.
    #[error("cannot enter the pod's network namespace: {0}")]
    Enter(#[from] NetnsError),
    /// A socket could not be made or used.
    #[error("cannot {doing} at {at}: {source}")]
    Socket { doing: &'static str, at: IpAddr, source: io::Error },
    /// No connection came about.
    #[error("no connection to {to} within {} s: {source}", PATIENCE.as_secs())]
    Unconnected { to: IpAddr, source: io::Error },
    /// Nobody answered at all.
    #[error("{to} did not answer {asked} requests within {} s", PATIENCE.as_secs())]
    Unanswered { to: IpAddr, asked: u64 },
    /// A connection broke while data was moving.
    #[error("the connection to {to} broke after {moved} bytes: {source}")]
    Broken { to: IpAddr, moved: u64, source: io::Error },
    /// A stream stopped moving and never ended.
    #[error("the stream to {to} stalled after {received} bytes")]
    Stalled { to: IpAddr, received: u64 },
    /// A stream ended too early.
    #[error("{sent} bytes were sent to {to} and {received} arrived")]
    Short { to: IpAddr, sent: u64, received: u64 },
    /// A stream's bytes changed on the way.
    #[error("byte {offset} of the stream to {to} is not the byte that was sent")]
    Corrupt { to: IpAddr, offset: u64 },
    /// Not one datagram arrived.
    #[error("none of {sent} datagrams sent to {to} arrived")]
    Silent { to: IpAddr, sent: u64 },
    /// Datagrams changed on the way.
    #[error("{damaged} of {received} datagrams that arrived at {to} were damaged")]
    Damaged { to: IpAddr, received: u64, damaged: u64 },
    /// Datagrams multiplied on the way.
    #[error("{repeated} datagrams arrived at {to} more than once")]
    Repeated { to: IpAddr, repeated: u64 },
    /// Echoes were lost with one outstanding, when nothing is crowded.
    #[error("{lost} of {asked} echoes from {to} were lost")]
    Lost { to: IpAddr, asked: u64, lost: u64 },
    /// Nobody said that a packet was too large.
    #[error("nobody said that {packet} bytes are too many for the way to {to} within {} s", PATIENCE.as_secs())]
    NoTooLarge { to: IpAddr, packet: usize },
    /// Somebody said so, and named another MTU than the path has.
    #[error("the way to {to} carries {carries} bytes, and whoever refused more named {named}")]
    WrongMtu { to: IpAddr, carries: u32, named: u32 },
    /// The pod's own end could not be given another MTU.
    #[error("cannot have the pod send packets of {mtu} bytes: {source}")]
    Mtu { mtu: u32, source: HostError },
    /// A thread of the meter panicked.
    #[error("the {thread} panicked: {message}; please report this as a defect of podlane")]
    Panicked { thread: &'static str, message: String },
    /// The demo was told to stop before there was anything to measure.
    #[error("interrupted")]
    Interrupted,
}

impl MeterError {
    fn socket(doing: &'static str, at: IpAddr) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { doing, at, source }
    }
}

/// What a thread of a meter comes back with.
type Running<'scope, T> = ScopedJoinHandle<'scope, Result<T, MeterError>>;

impl Place {
    /// Runs `work` on a thread inside the pod: sockets it makes are the pod's.
    fn start<'scope, T, W>(&self, scope: &'scope Scope<'scope, '_>, work: W) -> Running<'scope, T>
    where
        T: Send + 'scope,
        W: FnOnce() -> Result<T, MeterError> + Send + 'scope,
    {
        let place = self.clone();
        scope.spawn(move || {
            // An unpinned thread measures a little worse, which is no reason to measure nothing.
            let _pinned = place.core.is_some_and(core_affinity::set_for_current);
            place.namespace.enter()?;
            work()
        })
    }
}

/// Waits for a thread of a meter; a panic in it becomes the step's failure.
fn finish<T>(running: Running<'_, T>, thread: &'static str) -> Result<T, MeterError> {
    running.join().unwrap_or_else(|panic| Err(MeterError::Panicked { thread, message: panic_message(panic.as_ref()) }))
}

/// The words of a panic, when it had any.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Whether a call only ran into its time limit, or into a signal, and may be made again.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
