//! What carries flows in the workers' place.

use serde::{Deserialize, Serialize};

use crate::Traffic;

/// The offload engines of a switch; none where no port has one.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Offload {
    /// By the order in which they were made.
    pub engines: Vec<OffloadEngine>,
}

/// One engine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OffloadEngine {
    /// Its name in the configuration.
    pub name: String,
    /// How many flows fit.
    pub capacity: u64,
    /// How many it carries.
    pub flows: u64,
    /// Flows that were offered to it.
    pub offered: u64,
    /// Flows that were not offered when they could have been, because too many were at once. They are offered later.
    pub unheard: u64,
    /// Offers it took.
    pub taken: u64,
    /// What it has carried, as far as the workers were told: inner frames.
    pub carried: Traffic,
    /// Packets it looked at.
    pub looked_up: u64,
    /// Those of them that it carried; all others went to the workers.
    pub hits: u64,
    /// Flows it put out for others.
    pub evicted: u64,
    /// Flows it lost without a word.
    pub lost: u64,
    /// Flows that were taken back: they ended, or what they rested on changed.
    pub aged: u64,
    /// Flows that were refused, by reason, the most frequent first.
    pub refused: Vec<OffloadRefusal>,
}

/// Flows that an engine does not carry, for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OffloadRefusal {
    /// Its name.
    pub reason: String,
    /// What it means.
    pub means: String,
    /// How many flows.
    pub flows: u64,
}
