//! Two stages by themselves, on bursts that stay in packet memory: classify, and lookup behind it.
//!
//! The stages are the worker's own functions. A lookup settles the rows of the burst it is given, so there is none without a
//! classify before it; what lookup costs is the difference of the two.

use std::sync::Arc;

use podlane_dataplane::{
    Generation, WorkerId,
    burst::{BURST, Line},
    flow::{Basis, FlowKey, FlowTable, FlowWriter, HashSeed, Insertion, Program, TagEdit},
    stage::{classify, lookup},
};
use podlane_rings::{Frame, FramePool};

use crate::{
    carousel::Load,
    case::Case,
    packets::{ENTRY, EXIT, PACKET},
};

const NOW: u32 = 1;
const GENERATION: Generation = Generation(1);

/// A burst of frames, the flow table, and the scratch between them.
pub struct Stages {
    load: Load,
    pool: FramePool,
    frames: Vec<Frame>,
    table: Arc<FlowTable>,
    /// Its flows end when it is dropped.
    _writer: FlowWriter,
    line: Line,
    at: usize,
}

impl Stages {
    /// Stages that see the packets of a case, whose flows are all in the table.
    ///
    /// # Panics
    /// If the machine has no memory for the table, or more than one flow in a thousand finds no room.
    #[must_use]
    pub fn new(case: Case, flows: usize) -> Self {
        let load = case.load(flows);
        let mut pool = load.ready();
        let frames: Vec<Frame> = (0..BURST).filter_map(|_| pool.write_packet(&load.template)).collect();
        let table = FlowTable::new(flows, HashSeed::fixed()).expect("memory for the flow table");
        let table = Arc::new(table);
        let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(0));
        let program = Program::bridge(EXIT, TagEdit::Keep, 1500);
        let full = keys(&load).filter(|key| {
            let basis = Basis { generation: GENERATION, epoch: table.epoch(program.shard()) };
            writer.insert(table.hash(key), key, &program, basis, NOW) == Insertion::Full
        });
        let full = full.count();
        assert!(full <= flows / 1000, "{full} of {flows} flows find no room");
        Self { load, pool, frames, table, _writer: writer, line: Line::new(), at: 0 }
    }

    /// The next burst arrives: other ports are written into the same frames.
    #[inline]
    pub fn arrive(&mut self) {
        let (at, flows) = (self.load.ports_at, &self.load.flows);
        for frame in &mut self.frames {
            let ports = flows.get(self.at).copied().unwrap_or_default();
            self.at = if self.at + 1 < flows.len() { self.at + 1 } else { 0 };
            frame.bytes_mut()[at..at + 4].copy_from_slice(&ports);
        }
    }

    /// The burst becomes keys.
    #[inline]
    pub fn classify(&mut self) {
        self.line.came_by(ENTRY);
        classify::classify(&mut self.line, &self.frames, self.pool.umem(), PACKET, &self.table);
    }

    /// The keys become programs. Returns how many did.
    #[inline]
    pub fn lookup(&mut self) -> u64 {
        lookup::lookup(&mut self.line, &self.table, GENERATION, NOW)
    }
}

/// The keys of a load's packets.
///
/// # Panics
/// Never: the packets are well formed.
pub fn keys(load: &Load) -> impl Iterator<Item = FlowKey> + '_ {
    load.flows.iter().map(|ports| {
        let mut packet = load.template.clone();
        packet[load.ports_at..load.ports_at + 4].copy_from_slice(ports);
        classify::key_of(ENTRY, &packet).expect("a bench's own packet is well formed").0
    })
}
