//! Offload: flows that the switch has decided, carried by something that is faster than the switch.
//!
//! An engine (a NIC's table, the kernel, an emulation of either) is given established, simple flows and carries their packets without a
//! worker. What it does not know, or may not carry any more, comes to the workers as before: an engine decides nothing, and is at any moment
//! free to carry nothing at all.
//!
//! ```text
//!   worker: flow moved some packets --offer--> bounded ring --> offloader (a thread): insert --> engine
//!           ledger, flow, station <--- told <-- bounded ring <-- counts, evictions, refusals <------+
//!
//!   what stops a flow, each by one write:   publication --> generation --> the engine's gate
//!                                           its worker  --> permit of its entry
//! ```
//!
//! * A worker makes no system call and waits for nobody: it offers into a ring, and if that is full the flow is not offered now.
//! * An engine carries a packet only while its gate shows the generation the flow was offered under, and the flow's permit the
//!   stamp it was offered with ([`Permits`]). So verdicts are those of the workers: what a connection's end, a policy or a new table changes is changed
//!   for what an engine carries too, before anybody could be told that it is.
//! * Segments with SYN, FIN or RST, fragments, and what is too long or at its last hop are never carried.
//!
//! A new engine is one file here, and one line in the control side's roster. Why it is so: docs/decisions/0039-offload-engines.md.

pub mod emulated;
mod exchange;
mod feed;
mod numbers;
mod offer;
mod offloader;
mod permits;
mod refusal;
mod told;

pub use exchange::Exchange;
pub(crate) use feed::{Feed, Grounds};
pub use numbers::EngineReport;
pub use offer::{Fields, IntoTunnel, Offer};
pub use offloader::{Offloader, Running, TICK};
pub use permits::{Permit, Permits};
pub use refusal::Refusal;
pub use told::{End, Told};

use std::sync::Arc;

use crate::{
    counters::Tally,
    ids::{Generation, PortId, WorkerId},
    port::Port,
};

/// Which of the engines of an [`Exchange`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EngineId(pub u8);

/// What carries flows. Its owner is the [`Offloader`]'s thread, which alone calls it; it may make system calls.
pub trait Engine: Send {
    /// The name in configuration and tables.
    fn name(&self) -> &'static str;

    /// The fields it tells flows apart by. A flow that needs others is not given to it.
    fn matches(&self) -> Fields;

    /// How many flows fit.
    fn capacity(&self) -> usize;

    /// Carries a flow from now on or soon. One that it carries already under another permit is replaced.
    ///
    /// # Errors
    /// It will not be carried, and why.
    fn insert(&mut self, offer: &Offer) -> Result<(), Refusal>;

    /// Carries a flow no more. Returns what it has carried since it was last asked.
    fn remove(&mut self, permit: Permit) -> Usage;

    /// Tells of every flow it has, and what it carried of it since it was last asked. What it has lost it does not tell of.
    fn usage(&mut self, tell: &mut dyn FnMut(Permit, Usage));

    /// Tells of the flows it has put out by itself since it was last asked, with what it carried of each until then.
    fn evicted(&mut self, tell: &mut dyn FnMut(Permit, Usage));

    /// Time passes: worker-clock milliseconds.
    fn keep_up(&mut self, now: u32);

    /// Of the packets it looked at: how many, and how many of them it carried.
    fn looked_up(&self) -> Looks;

    /// What others may do to it from any thread.
    fn gate(&self) -> Arc<dyn Gate>;

    /// Ends: nothing is carried from now on.
    fn stop(&mut self);
}

/// The side of an engine that is open to every thread.
pub trait Gate: Send + Sync {
    /// Has it carry nothing but what was offered under this generation: in one write, whatever it carries.
    fn outdate(&self, generation: Generation);

    /// Puts it in front of a port that a worker is to serve, if it sits there.
    fn front(&self, _id: PortId, _worker: WorkerId, port: Box<dyn Port>) -> Box<dyn Port> {
        port
    }
}

/// What an engine carried of a flow since it was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Packets and their bytes, as they came in: of inner frames.
    pub carried: Tally,
    /// When the last of them was, worker-clock milliseconds; not later than that, since a station is where it was heard last. Means nothing if
    /// there was none.
    pub seen: u32,
}

/// Packets an engine looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Looks {
    /// All of them.
    pub packets: u64,
    /// Those it carried.
    pub hits: u64,
}
