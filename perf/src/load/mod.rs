//! The load: packets into one pod's link, and a count of what arrives behind the other.
//!
//! Five kinds: a [`Flood`](flood::Flood) sends as fast as it can and counts, for rates; a [`Probe`](probe::Probe) sends one
//! packet and waits for it, for the latency of a switch that was idle; [`Paced`](paced::Paced) packets tell it under load; a [`stream`] is TCP between the pods' kernels, and an [`echo`] a question and its answer between
//! them, for what an application sees. The kernel runs a veth's receive path on the sender's core, so the load's core also pays for
//! bringing packets into the switch's memory, as a pod would; the switch's core pays for their way into the receiving pod.

pub mod echo;
pub mod flood;
pub mod generator;
pub mod paced;
pub mod probe;
pub mod stream;
pub mod traffic;
pub mod underlay;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use podlane_host::{HostError, Links, Netns, NetnsError};
use podlane_rings::SocketError;
use thiserror::Error;

use crate::{
    bed::{HostEnd, POD_LINK},
    generator::wire::WireError,
    load::generator::GeneratorError,
    subject::SubjectError,
    traffic::TemplateError,
};

/// Why nothing could be sent or counted.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The pods' ends cannot be opened.
    #[error("the load cannot be set up: {0}")]
    Open(#[from] SubjectError),
    /// The generator failed.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// The kernel does not tell what a link is or counts.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A namespace cannot be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A pod's end failed.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Nothing came through.
    #[error("nothing arrived within {} s; run it alone and look at what it prints", .patience.as_secs_f64())]
    Silent {
        /// How long was waited.
        patience: Duration,
    },
    /// Not all connections could be opened.
    #[error("of {flows} flows only {arrived} were answered; look at what is done with packets the other way")]
    Unanswered {
        /// How many there are.
        flows: u32,
        /// Answers that arrived in the last try.
        arrived: u64,
    },
    /// Something else came through.
    #[error(
        "packets of {expected} bytes were expected and {found:.1} arrived on average; look at what else is on the links"
    )]
    Strange {
        /// The bytes of each packet that was sent.
        expected: usize,
        /// The bytes of those that arrived, on average.
        found: f64,
    },
    /// More came through than was sent.
    #[error("{arrived} packets arrived of {sent} that were sent; look for a loop, or for two ways from pod to pod")]
    Multiplied {
        /// Packets sent.
        sent: u64,
        /// Packets that arrived.
        arrived: u64,
    },
    /// A stream was opened and carries nothing.
    #[error(
        "a TCP stream was opened and carries nothing; look at what is done with long packets and with unfinished checksums"
    )]
    Stalled,
    /// A TCP stream failed.
    #[error("no TCP stream from pod to pod: {0}; run it alone and look at what the switch drops")]
    Stream(#[source] std::io::Error),
    /// A pod's UDP socket failed.
    #[error("no question from pod to pod: {0}; look at the pods' addresses and at what the switch drops")]
    Socketless(#[source] std::io::Error),
    /// Latencies cannot be collected.
    #[error("cannot collect latencies: {0}; this is a mistake in podlane-perf")]
    Histogram(#[source] hdrhistogram::CreationError),
    /// The generator's packets cannot be built.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A pod's end cannot be opened by the generator, or died.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The rate that was asked for was not reached.
    #[error(
        "the generator was asked for {asked} packets a second and reached {reached:.0}; nothing can be said of more than that"
    )]
    Slow {
        /// Packets a second.
        asked: u32,
        /// Packets a second.
        reached: f64,
    },
    /// Too much was lost.
    #[error("{share:.1} % of the packets were lost; it is past the rate it can do")]
    Lossy {
        /// Per cent of those sent.
        share: f64,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// Between two looks at whether Ctrl-C was pressed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Sleeps, unless it is stopped.
pub(crate) fn pause(length: Duration, stop: &AtomicBool) -> Result<(), LoadError> {
    let until = Instant::now() + length;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(LoadError::Interrupted);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}

/// A pod's end of its link.
pub(crate) fn pod_end(netns: &Netns) -> Result<HostEnd, HostError> {
    let link = Links::open_in(netns)?.by_name(POD_LINK)?;
    Ok(HostEnd { name: link.name, ifindex: link.index })
}
