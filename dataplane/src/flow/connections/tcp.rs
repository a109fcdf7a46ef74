//! TCP as somebody between the two ends sees it (RFC 9293): what each segment says about the connection, and whether it may pass.
//!
//! It is no receiver: it does not put streams together, and a segment it cannot place passes without moving the state. It refuses
//! three things only: a reset that the other end would refuse too (RFC 5961, 3.2), a SYN that would turn the connection's direction
//! round behind the policy's back, and data of a connection that a reset has ended.

use podlane_wire::tcp::TcpFlags;

use crate::{
    DropReason,
    flow::connections::{
        key::Side,
        state::{FIN, FIN_ACKED, Phase, SPOKE, SYN, SYN_ACKED, State},
    },
};

/// What is read of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The end that sent it.
    pub from: Side,
    /// Its control bits.
    pub flags: TcpFlags,
    /// Its sequence number.
    pub seq: u32,
    /// Its acknowledgement number; means nothing without the flag.
    pub ack: u32,
    /// Its sender's window, as it stands in the header.
    pub window: u16,
    /// Bytes of payload.
    pub payload: u32,
    /// The window scale option of a SYN.
    pub scale: Option<u8>,
}

/// How far a side has acknowledged the other, and how much more it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// The acknowledgement number.
    pub ack: u32,
    /// The window, as it stands in the header.
    pub window: u16,
}

impl Acknowledged {
    /// The one of two that acknowledges more: they may have come by different workers.
    fn further(one: Option<Self>, two: Option<Self>) -> Option<Self> {
        match (one, two) {
            (Some(one), Some(two)) => Some(if is_before(one.ack, two.ack) { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}

/// All that is remembered of a TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Track {
    pub(super) state: State,
    /// Of each side, the sequence number after its SYN, or after its FIN once that was seen.
    pub(super) edge: [u32; 2],
    /// Of each side, what it acknowledged in the segments that came by here.
    pub(super) heard: [Option<Acknowledged>; 2],
}

/// A SYN may carry data, and so may what follows it before it is acknowledged: the acknowledgement lies within so many bytes of it.
const FIRST_FLIGHT: u32 = 1 << 16;

impl Track {
    /// A connection whose first segment seen is this one.
    pub(super) fn open(state: State, segment: &Segment) -> Self {
        let mut track = Self { state, edge: [0; 2], heard: [None; 2] };
        let (from, to) = (segment.from, segment.from.other());
        if segment.flags.contains(TcpFlags::SYN) {
            track.take_syn(segment);
            if segment.flags.contains(TcpFlags::ACK) {
                track.state.set(SYN_ACKED, to);
                track.hear(segment);
            }
        } else {
            track.state.pick_up();
            track.take_fin(segment, None);
            track.hear(segment);
        }
        if segment.flags.contains(TcpFlags::RST) {
            track.state.reset();
        }
        track.state.set(SPOKE, from);
        track
    }

    /// Follows the next segment. `acknowledged` is what the other side's latest packet said, where the caller knows.
    ///
    /// # Errors
    /// [`DropReason::BadReset`], [`DropReason::UnexpectedSyn`], [`DropReason::NoConnection`]: the segment must not pass, and nothing is
    /// changed.
    pub(super) fn follow(&mut self, segment: &Segment, acknowledged: Option<Acknowledged>) -> Result<(), DropReason> {
        let receiver = Acknowledged::further(self.heard[segment.from.other().index()], acknowledged);
        if segment.flags.contains(TcpFlags::RST) {
            return self.take_reset(segment, receiver);
        }
        // Neither end takes it any more; nor is it a way to go on under a verdict that nobody asks for again.
        if self.state.is_reset() && segment.payload > 0 {
            return Err(DropReason::NoConnection);
        }
        match (segment.flags.contains(TcpFlags::SYN), segment.flags.contains(TcpFlags::ACK)) {
            (true, false) => self.follow_syn(segment)?,
            (true, true) => self.follow_answer(segment),
            (false, _) => self.take_fin(segment, receiver),
        }
        self.hear(segment);
        self.state.set(SPOKE, segment.from);
        Ok(())
    }

    /// A SYN alone: the opener's, as often as it likes to repeat it; or that of a simultaneous open (RFC 9293, 3.5), which comes before
    /// the opener was answered, and its repetitions.
    fn follow_syn(&mut self, segment: &Segment) -> Result<(), DropReason> {
        let (from, phase) = (segment.from, self.state.phase());
        let repeated = self.state.has(SYN, from) && segment.seq.wrapping_add(1) == self.edge[from.index()];
        let expected = match phase {
            Phase::Opening => true,
            // Picked up at the answer to a SYN, nobody has seen the opener's: the answer is no SYN of a simultaneous open.
            Phase::Answered => from == self.state.opener() || repeated && self.state.has(SYN, self.state.opener()),
            Phase::Established | Phase::Closing => from == self.state.opener(),
            Phase::Closed => false,
        };
        if !expected {
            return Err(DropReason::UnexpectedSyn);
        }
        // One with another number is another attempt; but what was answered is not taken back by it (RFC 5961, 4).
        if matches!(phase, Phase::Opening | Phase::Answered) && !self.state.has(SYN_ACKED, from) {
            self.take_syn(segment);
        }
        Ok(())
    }

    /// A SYN that acknowledges the other side's. One that acknowledges something else is an old duplicate, to which that side knows
    /// the answer (RFC 9293, 3.5).
    fn follow_answer(&mut self, segment: &Segment) {
        let (from, to) = (segment.from, segment.from.other());
        if self.acknowledges(segment) && !self.state.has(SYN_ACKED, from) && !self.state.has(FIN, from) {
            self.take_syn(segment);
            // What it said before it had the SYN does not count.
            self.heard[from.index()] = None;
            self.state.set(SYN_ACKED, to);
        }
    }

    fn take_syn(&mut self, segment: &Segment) {
        self.state.set(SYN, segment.from);
        self.state.set_scale(segment.from, segment.scale);
        self.edge[segment.from.index()] = segment.seq.wrapping_add(1);
    }

    /// A FIN counts if it is within what the other side takes; a forged one is left to the ends.
    fn take_fin(&mut self, segment: &Segment, receiver: Option<Acknowledged>) {
        let from = segment.from;
        if !segment.flags.contains(TcpFlags::FIN) || self.state.has(FIN, from) {
            return;
        }
        let edge = segment.seq.wrapping_add(segment.payload).wrapping_add(1);
        let inside = |receiver: Acknowledged| {
            // A FIN is sent although it finds no more room.
            edge.wrapping_sub(receiver.ack) <= self.window(from.other(), receiver) + 1
        };
        if receiver.is_none_or(inside) {
            self.state.set(FIN, from);
            self.edge[from.index()] = edge;
        }
    }

    /// What a segment acknowledges: the other side's SYN or FIN perhaps, and how far its stream.
    fn hear(&mut self, segment: &Segment) {
        if !segment.flags.contains(TcpFlags::ACK) {
            return;
        }
        let (from, to) = (segment.from, segment.from.other());
        let said = Acknowledged { ack: segment.ack, window: segment.window };
        let before = self.heard[from.index()];
        // Until it has acknowledged the other's SYN, its latest word counts: those before may be about a former connection.
        let goes_on = self.state.is_picked_up() || self.state.has(SYN_ACKED, to);
        self.heard[from.index()] = if goes_on { Acknowledged::further(Some(said), before) } else { Some(said) };
        if self.acknowledges(segment) {
            self.state.set(SYN_ACKED, to);
        }
        if self.state.has(FIN, to) && !is_before(segment.ack, self.edge[to.index()]) {
            self.state.set(FIN_ACKED, to);
        }
    }

    /// Whether it acknowledges the other side's SYN.
    fn acknowledges(&self, segment: &Segment) -> bool {
        let to = segment.from.other();
        segment.flags.contains(TcpFlags::ACK)
            && self.state.has(SYN, to)
            && segment.ack.wrapping_sub(self.edge[to.index()]) < FIRST_FLIGHT
    }

    /// Whether its number is that of its sender's SYN, or shortly after.
    fn takes_back(&self, segment: &Segment) -> bool {
        let first = self.edge[segment.from.index()].wrapping_sub(1);
        self.state.has(SYN, segment.from) && segment.seq.wrapping_sub(first) <= FIRST_FLIGHT
    }

    /// A reset ends the connection if it is just where the receiver stands, is a matter of doubt if it is elsewhere in its window
    /// (a receiver then asks back, RFC 5961, 3.2), and is refused outside of it. While the receiver waits for an answer to its SYN, a
    /// reset must acknowledge that (RFC 9293, 3.5.2), or take back the sender's own.
    fn take_reset(&mut self, segment: &Segment, receiver: Option<Acknowledged>) -> Result<(), DropReason> {
        let (from, to) = (segment.from, segment.from.other());
        let exact = match receiver {
            _ if !self.state.has(SYN_ACKED, to) && self.acknowledges(segment) => true,
            Some(receiver) => match segment.seq.wrapping_sub(receiver.ack) {
                0 => true,
                ahead if ahead <= self.window(to, receiver) => false,
                _ => return Err(DropReason::BadReset),
            },
            None if self.takes_back(segment) => true,
            None if self.state.has(SYN, to) || self.state.has(SYN, from) => return Err(DropReason::BadReset),
            // Picked up, and the other side was not heard yet: nothing to measure it by.
            None => false,
        };
        if exact {
            self.state.reset();
        } else {
            self.state.doubt();
        }
        Ok(())
    }

    /// The bytes a side takes beyond what it acknowledged.
    const fn window(&self, side: Side, said: Acknowledged) -> u32 {
        (said.window as u32) << self.state.scale(side)
    }
}

/// Whether one sequence number lies before another (RFC 9293, 3.4).
const fn is_before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}
