//! TCP's phases against two ends that talk to each other (RFC 9293, 3.3.2 and 3.10), over a network that loses segments on either side of
//! the table, and with somebody who forges resets. The ends know nothing of the table; the table sees segments alone.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// One end: it takes segments in order only, acknowledges each at once, and repeats all that is not acknowledged when it is told to.
struct End {
    side: Side,
    at: At,
    /// Its first number, the first that is not acknowledged, the next to send, and the one after all that it wants to send (without FIN).
    first: u32,
    unacknowledged: u32,
    next: u32,
    end: u32,
    /// What it expects.
    expected: u32,
    window: u16,
    finishes: bool,
    was_reset: bool,
}

const FLAGS: [TcpFlags; 4] = [TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN, TcpFlags::RST];

impl End {
    fn new(side: Side, first: u32, window: u16) -> Self {
        let (at, next) = (At::Listen, first.wrapping_add(1));
        Self {
            side,
            at,
            first,
            unacknowledged: first,
            next: first,
            end: next,
            expected: 0,
            window,
            finishes: false,
            was_reset: false,
        }
    }

    fn is_synchronised(&self) -> bool {
        !matches!(self.at, At::Closed | At::Listen | At::SynSent)
    }

    fn say(&self, flags: TcpFlags, seq: u32, payload: u32) -> Segment {
        let (flags, ack) = if self.is_synchronised() { (flags.with(TcpFlags::ACK), self.expected) } else { (flags, 0) };
        Segment { from: self.side, flags, seq, ack, window: self.window, payload, scale: None }
    }

    /// All that was sent and not acknowledged, once more, and what is new.
    fn send(&mut self) -> Vec<Segment> {
        let (mut said, mut at) = (Vec::new(), self.unacknowledged);
        if at == self.first && !matches!(self.at, At::Closed | At::Listen) {
            self.next = at.wrapping_add(1);
            return vec![self.say(TcpFlags::SYN, at, 0)];
        }
        if !self.is_synchronised() || self.at == At::SynReceived {
            return said;
        }
        while at != self.end && at != self.end.wrapping_add(1) {
            let payload = self.end.wrapping_sub(at).min(100);
            said.push(self.say(TcpFlags::PSH, at, payload));
            at = at.wrapping_add(payload);
        }
        if self.finishes && at == self.end {
            said.push(self.say(TcpFlags::FIN, at, 0));
            at = at.wrapping_add(1);
            self.at = match self.at {
                At::Established => At::FinWait1,
                At::CloseWait => At::LastAck,
                other => other,
            };
        }
        self.next = at;
        said
    }

    fn abort(&mut self) -> Option<Segment> {
        let said = self.is_synchronised().then(|| self.say(TcpFlags::RST, self.next, 0));
        self.at = At::Closed;
        self.was_reset = true;
        said
    }

    fn receive(&mut self, segment: &Segment) -> Vec<Segment> {
        let [syn, ack, fin, rst] = FLAGS.map(|flag| segment.flags.contains(flag));
        let answer_with_reset = if ack {
            Segment { flags: TcpFlags::RST, ..self.say(TcpFlags::RST, segment.ack, 0) }
        } else {
            let ack = segment.seq.wrapping_add(segment.payload + u32::from(syn) + u32::from(fin));
            let flags = TcpFlags::RST.with(TcpFlags::ACK);
            Segment { flags, ack, ..self.say(flags, 0, 0) }
        };
        match self.at {
            At::Closed | At::Listen if rst => vec![],
            At::Listen if syn && !ack => {
                (self.at, self.expected) = (At::SynReceived, segment.seq.wrapping_add(1));
                self.next = self.first.wrapping_add(1);
                self.acknowledge()
            }
            At::Closed | At::Listen => vec![answer_with_reset],
            At::SynSent => self.receive_in_syn_sent(segment, answer_with_reset),
            _ if rst && segment.seq == self.expected => {
                (self.at, self.was_reset) = (At::Closed, true);
                vec![]
            }
            _ if rst && segment.seq.wrapping_sub(self.expected) < u32::from(self.window) => self.acknowledge(),
            _ if rst => vec![],
            At::SynReceived if syn && segment.seq.wrapping_add(1) == self.expected => {
                self.take_acknowledgement(segment);
                self.acknowledge()
            }
            _ if syn => self.acknowledge(),
            _ if !ack => vec![],
            _ => self.receive_in_stream(segment, fin),
        }
    }

    fn receive_in_syn_sent(&mut self, segment: &Segment, answer_with_reset: Segment) -> Vec<Segment> {
        let [syn, ack, _, rst] = FLAGS.map(|flag| segment.flags.contains(flag));
        if ack && segment.ack != self.next {
            return if rst { vec![] } else { vec![answer_with_reset] };
        }
        if rst {
            if ack {
                (self.at, self.was_reset) = (At::Closed, true);
            }
            return vec![];
        }
        if !syn {
            return vec![];
        }
        self.expected = segment.seq.wrapping_add(1);
        if ack {
            self.unacknowledged = segment.ack;
            self.at = At::Established;
            return self.acknowledge();
        }
        self.at = At::SynReceived;
        vec![self.say(TcpFlags::SYN, self.first, 0)]
    }

    fn take_acknowledgement(&mut self, segment: &Segment) {
        let fresh = segment.ack.wrapping_sub(self.unacknowledged);
        if !segment.flags.contains(TcpFlags::ACK) || fresh == 0 || fresh > self.next.wrapping_sub(self.unacknowledged) {
            return;
        }
        self.unacknowledged = segment.ack;
        let all = self.finishes && segment.ack == self.end.wrapping_add(1);
        self.at = match self.at {
            At::SynReceived => At::Established,
            At::FinWait1 if all => At::FinWait2,
            At::Closing if all => At::TimeWait,
            At::LastAck if all => At::Closed,
            other => other,
        };
    }

    fn receive_in_stream(&mut self, segment: &Segment, fin: bool) -> Vec<Segment> {
        self.take_acknowledgement(segment);
        if segment.payload == 0 && !fin {
            return vec![];
        }
        if segment.seq == self.expected && self.at != At::SynReceived {
            self.expected = self.expected.wrapping_add(segment.payload + u32::from(fin));
            if fin {
                self.at = match self.at {
                    At::Established => At::CloseWait,
                    At::FinWait1 => At::Closing,
                    At::FinWait2 => At::TimeWait,
                    other => other,
                };
            }
        }
        self.acknowledge()
    }

    fn acknowledge(&self) -> Vec<Segment> {
        if self.at == At::SynReceived {
            return vec![self.say(TcpFlags::SYN, self.first, 0)];
        }
        if self.is_synchronised() { vec![self.say(TcpFlags(0), self.next, 0)] } else { vec![] }
    }
}

/// Two ends, the wires behind the table, and the table; its caller caches flows as a worker does, or does not.
struct World {
    ends: [End; 2],
    wires: [VecDeque<Segment>; 2],
    table: Arc<Connections>,
    writer: ConnectionWriter,
    key: ConnectionKey,
    id: Option<ConnectionId>,
    phase: Phase,
    caches: bool,
    said: [Option<Acknowledged>; 2],
}

impl World {
    fn new(firsts: [u32; 2], caches: bool) -> Self {
        let (table, writer) = bed();
        let [low, high] = firsts;
        Self {
            ends: [End::new(Side::Low, low, 3000), End::new(Side::High, high, 65_000)],
            wires: [VecDeque::new(), VecDeque::new()],
            table,
            writer,
            key: key(TCP, 2),
            id: None,
            phase: Phase::Opening,
            caches,
            said: [None; 2],
        }
    }

    /// A segment on its way by the table; `lost` before it, the table does not know of it.
    fn pass(&mut self, segment: &Segment, lost: bool) -> Result<(), DropReason> {
        if lost {
            return Ok(());
        }
        let (from, special) =
            (segment.from, FLAGS.map(|flag| segment.flags.contains(flag)) != [false, true, false, false]);
        let seen = if let Some(id) = self.id {
            if self.phase == Phase::Closed && segment.flags == TcpFlags::SYN {
                let again = self.writer.open(&self.key, &opened_by(*segment, 0)).unwrap();
                (self.id, self.phase, self.said) = (Some(again), Phase::Opening, [None; 2]);
            } else if !self.caches || special || self.phase != Phase::Established {
                let said = if self.caches { self.said[from.other().index()] } else { None };
                self.phase = self.table.segment(id, &self.key, segment, said, 0)?;
            }
            true
        } else {
            let opens = segment.flags == TcpFlags::SYN;
            if opens {
                self.id = Some(self.writer.open(&self.key, &opened_by(*segment, 0)).unwrap());
            }
            opens
        };
        if segment.flags.contains(TcpFlags::ACK) && self.caches && !segment.flags.contains(TcpFlags::RST) {
            self.said[from.index()] = Some(Acknowledged { ack: segment.ack, window: segment.window });
        }
        if seen {
            self.wires[from.other().index()].push_back(*segment);
        }
        Ok(())
    }

    fn pass_all(&mut self, segments: Vec<Segment>, lost: bool) {
        for segment in segments {
            if let Err(reason) = self.pass(&segment, lost) {
                // The only ones an end may lose to the table: a reset in answer to what the other has left behind meanwhile, and data that
                // would be answered with one.
                let stale = |end: &End| segment.seq != end.expected || !end.is_synchronised();
                let receiver = &self.ends[segment.from.other().index()];
                let in_vain = segment.payload > 0 && !receiver.is_synchronised();
                let harmless = match reason {
                    DropReason::BadReset => stale(receiver),
                    DropReason::NoConnection => in_vain && self.phase == Phase::Closed,
                    _ => false,
                };
                assert!(harmless, "{reason:?} of {segment:?}");
            }
        }
    }

    fn deliver(&mut self, to: Side) {
        if let Some(segment) = self.wires[to.index()].pop_front() {
            let answers = self.ends[to.index()].receive(&segment);
            self.pass_all(answers, false);
        }
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..40 {
            for side in [Side::Low, Side::High] {
                let said = self.ends[side.index()].send();
                self.pass_all(said, false);
            }
            while self.wires.iter().any(|wire| !wire.is_empty()) {
                self.deliver(Side::Low);
                self.deliver(Side::High);
            }
        }
    }

    fn check(&self) {
        let states = [self.ends[0].at, self.ends[1].at];
        let reset = self.ends.iter().any(|end| end.was_reset);
        match states {
            _ if reset => {}
            [At::Established, At::Established] => assert_eq!(self.phase, Phase::Established),
            [At::FinWait2, At::CloseWait] | [At::CloseWait, At::FinWait2] => assert_eq!(self.phase, Phase::Closing),
            [At::TimeWait | At::Closed, At::TimeWait | At::Closed] if self.id.is_some() => {
                assert_eq!(self.phase, Phase::Closed);
                let table = &self.table;
                // It knows that both FINs were acknowledged, if it was told.
                let short = table.find(&self.key, table.settings().closed).is_none();
                assert!(short || self.caches, "both FINs were acknowledged");
            }
            _ => {}
        }
        if self.ends.iter().all(|end| end.was_reset && end.at == At::Closed) && self.phase == Phase::Established {
            let doubted = self.table.find(&self.key, self.table.settings().tcp_closing).is_none();
            assert!(doubted, "both ends are gone");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Connect { high: bool },
    Send { high: bool, bytes: u32 },
    Finish { high: bool },
    Abort { high: bool },
    Repeat { high: bool, lost: bool },
    Deliver { high: bool },
    Lose { high: bool },
    Forge { high: bool, beside: i32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<bool>().prop_map(|high| Step::Connect { high }),
        4 => (any::<bool>(), 1..400u32).prop_map(|(high, bytes)| Step::Send { high, bytes }),
        1 => any::<bool>().prop_map(|high| Step::Finish { high }),
        1 => prop::bool::weighted(0.5).prop_map(|high| Step::Abort { high }),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(high, lost)| Step::Repeat { high, lost }),
        20 => any::<bool>().prop_map(|high| Step::Deliver { high }),
        2 => any::<bool>().prop_map(|high| Step::Lose { high }),
        1 => (any::<bool>(), prop_oneof![-5000..100_000i32, any::<i32>()])
            .prop_map(|(high, beside)| Step::Forge { high, beside }),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        let side = |high| if high { Side::High } else { Side::Low };
        match *step {
            Step::Connect { high } => {
                let end = &mut self.ends[side(high).index()];
                if end.at == At::Listen {
                    end.at = At::SynSent;
                    self.take(&Step::Repeat { high, lost: false });
                }
            }
            Step::Send { high, bytes } => {
                let end = &mut self.ends[side(high).index()];
                if matches!(end.at, At::Established | At::CloseWait)
                    && !end.finishes
                    && end.end.wrapping_sub(end.unacknowledged) < 2000
                {
                    end.end = end.end.wrapping_add(bytes);
                    self.take(&Step::Repeat { high, lost: false });
                }
            }
            Step::Finish { high } => {
                let end = &mut self.ends[side(high).index()];
                if matches!(end.at, At::Established | At::CloseWait) {
                    end.finishes = true;
                    self.take(&Step::Repeat { high, lost: false });
                }
            }
            Step::Abort { high } => {
                let said = self.ends[side(high).index()].abort();
                self.pass_all(said.into_iter().collect(), false);
            }
            Step::Repeat { high, lost } => {
                let said = self.ends[side(high).index()].send();
                self.pass_all(said, lost);
            }
            Step::Deliver { high } => self.deliver(side(high)),
            Step::Lose { high } => drop(self.wires[side(high).index()].pop_front()),
            Step::Forge { high, beside } => self.forge(side(high), beside),
        }
    }

    /// A reset that claims to come from `from`, to the other end in the stream: it passes just if that end would have to answer it.
    fn forge(&mut self, from: Side, beside: i32) {
        let victim = &self.ends[from.other().index()];
        let streaming = matches!(victim.at, At::Established | At::FinWait1 | At::FinWait2 | At::CloseWait);
        if beside == 0 || !streaming || self.phase == Phase::Closed {
            return;
        }
        let (seq, window) = (victim.expected.wrapping_add_signed(beside), i32::from(victim.window));
        let forged = segment(from, TcpFlags::RST, seq, 0);
        let inside = (0..=window).contains(&beside);
        let passed = self.pass(&forged, false);
        assert_eq!(passed, if inside { Ok(()) } else { Err(DropReason::BadReset) }, "{beside} of {window}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_table_stands_where_the_ends_stand(low: u32, high: u32, caches: bool, steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::new([low, high], caches);
        for step in &steps {
            world.take(step);
        }
        world.settle();
        world.check();
    }
}
