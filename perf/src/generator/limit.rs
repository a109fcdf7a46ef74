//! What the generator itself can do with some packets: measured before each run and told beside it, so that nobody takes it for a switch's limit.
//!
//! ```text
//!   over a veth      Sender --> socket ══ a link of its own, nothing between ══ socket --> Receiver      what a run over a veth can reach at most
//!   in memory        Sender -----------> ring of this process's memory -----------> Receiver            what no wire can do more than
//! ```
//!
//! Over a veth the kernel copies, and delivers on the sender's core, so the first is a tenth of the second. A device that reads and writes packet memory
//! itself (zero-copy) lies between the two.

use std::{
    fmt::{self, Display, Formatter},
    iter::repeat_with,
    sync::atomic::AtomicBool,
    time::Duration,
};

use hdrhistogram::CreationError;
use podlane_rings::AskMode;
use serde::Serialize;
use thiserror::Error;

use super::{
    Loop, Rate, Threads, Trial, Until,
    apart::{Errand, send},
    clock::Monotonic,
    gauge::Gauge,
    pace::Packets,
    threads::on_core,
    wire::{
        Wire, WireError,
        af_xdp::{AfXdpWire, Ask, Use},
        memory,
    },
};
use crate::{
    bed::{BedError, POD_LINK, bare_link},
    traffic::{Traffic, stamp::RunId},
};

/// How often and how long each is measured. The best counts: whoever else runs on the machine makes a limit look lower, and nobody higher.
const TIMES: usize = 4;
const LENGTH: Duration = Duration::from_millis(50);

/// Slots of the ring in memory: what stays in a core's own cache.
const SLOTS: usize = 128;

/// How long it must be silent before the last packet is taken to have arrived. Nobody but the kernel is in the way.
const SILENCE: Duration = Duration::from_millis(1);

/// The least MTU of the link.
const MTU: usize = 1500;

/// Bytes of an Ethernet header, which no MTU counts.
const HEADER: usize = 14;

/// Which ends there are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// A sender; what arrives is nobody's.
    Sender,
    /// A sender and a receiver.
    Both,
}

/// Packets a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// Over AF_XDP and a veth with nothing behind it.
    pub veth_pps: f64,
    /// In memory, made and checked on one core.
    pub memory_pps: f64,
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum LimitError {
    /// There is no link to measure it on.
    #[error("the generator's own limit cannot be measured: {0}")]
    Bed(#[from] BedError),
    /// The link cannot be opened.
    #[error("the generator's own limit cannot be measured, on a link made for it: {0}")]
    Wire(#[from] WireError),
    /// Latencies cannot be collected.
    #[error("cannot collect latencies: {0}; free some memory")]
    Histogram(#[from] CreationError),
}

impl Limit {
    /// Of these packets, with the ends where they will run. About half a second.
    ///
    /// # Errors
    /// [`LimitError`]; nothing is left behind.
    pub fn measure(frames: &Traffic, ends: Ends, threads: Threads, stop: &AtomicBool) -> Result<Self, LimitError> {
        Ok(Self { veth_pps: over_a_veth(frames, ends, threads, stop)?, memory_pps: in_memory(frames, stop)? })
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [veth, memory] = [self.veth_pps, self.memory_pps].map(Packets);
        write!(f, "{veth} over a bare veth, {memory} in memory")
    }
}

fn in_memory(frames: &Traffic, stop: &AtomicBool) -> Result<f64, CreationError> {
    let [near, far] = memory::plain(SLOTS);
    let around = Loop::new(near, Some(far), Monotonic, Threads::Here, stop)?;
    Ok(around_and_around(around, frames))
}

fn around_and_around<W: Wire>(around: Loop<'_, W, Monotonic>, frames: &Traffic) -> f64 {
    let mut around = around.with_silence(SILENCE);
    best(|| around.trial(Rate::Maximum, frames, Until::Time(LENGTH)).reached)
}

fn best(reached: impl FnMut() -> f64) -> f64 {
    repeat_with(reached).take(TIMES).fold(0.0, f64::max)
}

fn over_a_veth(frames: &Traffic, ends: Ends, threads: Threads, stop: &AtomicBool) -> Result<f64, LimitError> {
    let longest = frames.longest();
    let pods = bare_link(longest.saturating_sub(HEADER).max(MTU) as u32)?;
    let [near, far] = &pods;
    let open = |netns, used| AfXdpWire::open(&Ask { device: POD_LINK, netns, used, longest, mode: AskMode::Auto });
    if ends == Ends::Both {
        let (near, far) = (open(near, Use::Both)?, open(far, Use::Both)?);
        return Ok(around_and_around(Loop::new(near, Some(far), Monotonic, threads, stop)?, frames));
    }
    let mut wire = open(near, Use::Send)?;
    let errand = Errand { run: RunId(0), frames, offered: Rate::Maximum, until: Until::Time(LENGTH) };
    let mut sent = || best(|| send(&mut wire, &Monotonic, &errand, &Gauge::default(), stop).outcome.reached);
    Ok(match threads {
        Threads::One(core) => on_core(core, sent),
        Threads::Here | Threads::Two(_) => sent(),
    })
}

#[cfg(test)]
mod tests {
    use podlane_host::lab::skip;

    use super::*;
    use crate::traffic::Template;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn the_generator_says_what_it_can_do() {
        let frames = Traffic::of(&Template::default()).unwrap();
        let rate = in_memory(&frames, &GO_ON).unwrap();
        assert!(rate > 1e4, "{rate} packets a second in memory");
        if skip("the_generator_says_what_it_can_do") {
            return;
        }
        // A jumbo frame, which a link of the usual MTU does not carry.
        for size in [64, 3_000] {
            let frames = Traffic::of(&Template::default().of_size(size)).unwrap();
            for ends in [Ends::Both, Ends::Sender] {
                let rate = over_a_veth(&frames, ends, Threads::One(0), &GO_ON).unwrap();
                assert!(rate > 100.0, "{rate} packets of {size} bytes a second over a veth: {ends:?}");
            }
        }
        let limit = Limit { veth_pps: 1.25e6, memory_pps: 14.1e6 };
        assert_eq!(limit.to_string(), "1.250 Mpps over a bare veth, 14.100 Mpps in memory");
    }
}
