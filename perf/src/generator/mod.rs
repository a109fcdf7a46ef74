//! The generator and its analyser: packets out of one wire, and what became of them out of another.
//!
//! ```text
//!   Traffic --> Sender --(Pace: what is due?)--> Wire near ==> device under test ==> Wire far --> Receiver --> Analyser --> Outcome
//! ```
//!
//! A [`Trial`] is one run through a device: at this rate, of these packets, for so long. It ends by itself whatever the device does: it
//! waits a bounded time for the last packets, a wire whose device vanished ends it, and so does Ctrl-C.

pub mod analyse;
pub mod apart;
pub mod clock;
mod gauge;
pub mod latency;
pub mod limit;
mod loops;
pub mod outcome;
pub mod pace;
pub mod pktgen;
pub mod receive;
pub mod send;
pub mod threads;
pub mod view;
pub mod wire;

use crate::traffic::Traffic;

pub use gauge::{Gauge, Glance};
pub use loops::Loop;
pub use outcome::{Ended, Outcome, Summary, Verdict};
pub use pace::{Rate, Until};
pub use threads::Threads;

/// A device under test with a generator around it.
pub trait Trial {
    /// Sends these packets at this rate for so long, waits for the last of them, and tells what arrived.
    fn trial(&mut self, offered: Rate, frames: &Traffic, until: Until) -> Outcome;

    /// Tells switches that learn where the stations of these packets are: a frame from each of them, from its side.
    ///
    /// # Errors
    /// [`wire::WireError`]: a wire is dead.
    fn introduce(&mut self, frames: &Traffic) -> Result<(), wire::WireError>;
}
