//! What moves down the line: a burst of frames, the scratch that describes them, and the queue at a port's exit.

use std::collections::VecDeque;

use podlane_rings::{Frame, Umem};

use crate::{
    counters::Tally,
    drops::DropReason,
    flow::{FlowKey, Program},
    ids::PortId,
};

/// The most frames a stage sees at once. Over veth, a bare cross-connect was 3 to 4 % slower with 32, and no faster with 256 once packets
/// were prefetched on receive; the in-memory line was not measured with other sizes.
pub const BURST: usize = 64;

/// Up to [`BURST`] frames as one port received them.
#[derive(Default)]
pub struct Burst {
    frames: Vec<Frame>,
    /// Where [`Self::sift`] puts what stays: room that is there already.
    sieve: Vec<Frame>,
}

impl Burst {
    /// An empty burst with room for all it will ever hold.
    #[must_use]
    pub fn new() -> Self {
        Self { frames: Vec::with_capacity(BURST), sieve: Vec::with_capacity(BURST) }
    }

    /// How many more frames fit.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        BURST.saturating_sub(self.frames.len())
    }

    /// Adds a frame. A port asks for [`Self::room`] first; beyond it the burst grows, which costs an allocation and is a
    /// mistake of the port.
    #[inline]
    pub fn push(&mut self, frame: Frame) {
        debug_assert!(self.room() > 0, "a port received more than a burst");
        self.frames.push(frame);
    }

    /// Whether nothing was received.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in order of arrival.
    #[inline]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames in order of arrival, to be rewritten.
    #[inline]
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// Keeps the frames that `keep` gives back, in order. It is told each one's row.
    pub fn sift(&mut self, mut keep: impl FnMut(usize, Frame) -> Option<Frame>) {
        let stays = self.frames.drain(..).enumerate().filter_map(|(row, frame)| keep(row, frame));
        self.sieve.extend(stays);
        core::mem::swap(&mut self.frames, &mut self.sieve);
    }

    /// Takes the frames out, in order of arrival.
    #[inline]
    pub fn drain(&mut self) -> std::vec::Drain<'_, Frame> {
        self.frames.drain(..)
    }
}

/// Where the headers of a packet start, in bytes from the start of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// The IP (or ARP, or other) header.
    pub l3: u16,
    /// The transport header; 0 when the frame has none: no IP, or a fragment.
    pub l4: u16,
}

/// The scratch of one burst: a column a field, a row a frame. One per worker, reused.
pub struct Line {
    /// The rows in use.
    pub(crate) rows: usize,
    /// The port each packet came in by: of those out of a tunnel, their path's.
    pub(crate) vias: [PortId; BURST],
    pub(crate) keys: Box<[FlowKey; BURST]>,
    pub(crate) hashes: Box<[u64; BURST]>,
    pub(crate) layouts: [Layout; BURST],
    /// Bytes of the whole packet.
    pub(crate) lengths: [u32; BURST],
    pub(crate) programs: Box<[Program; BURST]>,
    /// The flow entries that were looked into; those of hits mean something.
    pub(crate) entries: [u32; BURST],
    /// A set bit: the row's program is not known yet.
    pub(crate) missing: u64,
    /// Bytes of all rows.
    pub(crate) bytes: u64,
}

impl Line {
    /// Scratch for bursts of up to [`BURST`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: 0,
            vias: [PortId(0); BURST],
            keys: Box::new([FlowKey::default(); BURST]),
            hashes: Box::new([0; BURST]),
            layouts: [Layout::default(); BURST],
            lengths: [0; BURST],
            programs: Box::new([Program::drop(DropReason::PortClosed); BURST]),
            entries: [0; BURST],
            missing: 0,
            bytes: 0,
        }
    }

    /// The next burst came in by this port, all of it.
    #[inline]
    pub fn came_by(&mut self, port: PortId) {
        self.vias.fill(port);
    }

    /// Whether somebody watches a flow of the burst. A program that is not known yet may be an old one, so yes is not certain.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        let programs = &self.programs[..self.rows.min(BURST)];
        programs.iter().fold(0, |watches, program| watches | program.watch_bits()) != 0
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames waiting to leave by one port: what the port's ring did not take stays here, up to a bound.
pub struct OutQueue {
    frames: VecDeque<Frame>,
    /// Of all frames, as of the last count and what came since.
    bytes: u64,
    bound: usize,
}

impl OutQueue {
    /// A queue of at most `bound` packets.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self { frames: VecDeque::with_capacity(bound), bytes: 0, bound }
    }

    /// Adds a packet of `length` bytes, or gives it back when the queue is full.
    ///
    /// # Errors
    /// The frame itself: the caller drops it by name.
    #[inline]
    pub fn push(&mut self, frame: Frame, length: usize) -> Result<(), Frame> {
        if self.room() == 0 {
            return Err(frame);
        }
        self.frames.push_back(frame);
        self.bytes += length as u64;
        Ok(())
    }

    /// Adds packets of `bytes` together, of which there are no more than [`Self::room`].
    #[inline]
    pub fn extend(&mut self, frames: impl ExactSizeIterator<Item = Frame>, bytes: u64) {
        debug_assert!(frames.len() <= self.room(), "more packets than the queue has room for");
        self.frames.extend(frames);
        self.bytes += bytes;
    }

    /// How many more packets it takes.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.bound.saturating_sub(self.frames.len())
    }

    /// The frames, first to leave first. Ports take from the front only.
    #[inline]
    pub const fn frames(&mut self) -> &mut VecDeque<Frame> {
        &mut self.frames
    }

    /// What waits: packets and all their bytes. [`Self::recount`] first, if a port has taken some.
    #[inline]
    #[must_use]
    pub fn waiting(&self) -> Tally {
        Tally { packets: self.frames.len() as u64, bytes: self.bytes }
    }

    /// Counts the bytes anew: nothing to do where the port took all, which it nearly always does.
    #[inline]
    pub fn recount(&mut self, umem: &Umem) {
        self.bytes = if self.frames.is_empty() {
            0
        } else {
            self.frames.iter().map(|frame| length_of(frame, umem) as u64).sum()
        };
    }

    /// How many packets wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// The bytes of a packet, all its segments together.
#[inline]
#[must_use]
pub fn length_of(frame: &Frame, umem: &Umem) -> usize {
    if frame.is_chained() { umem.packet_len(frame) } else { frame.len() }
}
