//! What the offloader tells a worker about a flow of its: what was carried, and whether that is over.

use crate::{
    flow::FlowKey,
    ids::{PathId, PortId},
    offload::{Permit, Refusal, Usage},
};

/// Why a flow is not carried any more, or never was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The engine, or the offloader for it, did not take it.
    Refused(Refusal),
    /// The engine put it out for another.
    Evicted,
    /// The engine lost it without a word.
    Lost,
    /// Its permit was taken back, or what it rests on has changed.
    Aged,
}

/// News of a flow that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Under which permit.
    pub permit: Permit,
    /// Which flow.
    pub key: FlowKey,
    /// The ports its packets came in and left by.
    pub ports: (PortId, PortId),
    /// The path they came out of, and how long its outer headers are; the path they went into, likewise.
    pub paths: [Option<(PathId, u8)>; 2],
    /// What was carried since the last news.
    pub usage: Usage,
    /// Whether it is over.
    pub over: Option<End>,
}
