//! Sender and receiver apart: in two processes, in two namespaces, or on two machines.
//!
//! What the receiver cannot know is how many packets left. It counts as lost what later packets followed, so a loss at the end of a
//! run is seen only by comparing with what the sender says. Latencies it can tell only where both read one clock: on one machine.

use std::{
    fmt::{self, Display, Formatter},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use hdrhistogram::Histogram;

use super::{
    analyse::{Analyser, Arrivals},
    clock::{Clock, Nanos},
    gauge::Gauge,
    outcome::{Ended, Outcome, Verdict},
    pace::{Pace, Rate, Until},
    receive::Receiver,
    send::{Sender, Sending},
    wire::{self, Wire},
};
use crate::traffic::{Traffic, stamp::RunId};

/// What a sender is to do.
pub struct Errand<'a> {
    /// The run.
    pub run: RunId,
    /// What to send.
    pub frames: &'a Traffic,
    /// How fast.
    pub offered: Rate,
    /// How much.
    pub until: Until,
}

/// What a sender did.
#[derive(Debug)]
pub struct Sent {
    /// As of a trial, of which the arriving half is empty.
    pub outcome: Outcome,
}

impl Sent {
    /// What to think of it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.outcome.ended {
            Ended::Broken(_) => Verdict::Broken,
            Ended::Interrupted => Verdict::Interrupted,
            Ended::Whole if self.outcome.kept_up() => Verdict::Clean,
            Ended::Whole => Verdict::Unreached,
        }
    }
}

impl Display for Sent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Outcome { sent, offered, asked, reached, ended, .. } = &self.outcome;
        match (self.verdict(), ended) {
            (Verdict::Unreached, _) if *sent == 0 => write!(f, "no packet left; look at the device"),
            (Verdict::Unreached, _) if self.outcome.fell_short() => {
                write!(f, "short: {} packets were asked for and {sent} left", asked.unwrap_or_default())
            }
            (Verdict::Unreached, _) => {
                let reached = super::pace::Packets(*reached);
                write!(f, "slower than asked: {offered} were asked for and {reached} reached")
            }
            (_, Ended::Broken(error)) => write!(f, "broken off after {sent} packets: {error}"),
            (_, Ended::Interrupted) => write!(f, "interrupted after {sent} packets"),
            _ => write!(f, "sent"),
        }
    }
}

/// Sends, and waits until all has left.
pub fn send(wire: &mut impl Wire, clock: &impl Clock, errand: &Errand<'_>, gauge: &Gauge, stop: &AtomicBool) -> Sent {
    let pace = Pace::new(errand.offered, errand.frames, errand.until);
    let (length, asked) = (pace.length(), pace.asked());
    let mut sender = Sender::new(errand.run, errand.frames, pace, clock.now());
    let carried = wire::check(wire, errand.frames);
    let ended = loop {
        if let Err(error) = carried {
            break Ended::Broken(error);
        }
        if stop.load(Relaxed) {
            break Ended::Interrupted;
        }
        match sender.turn(wire, clock) {
            Ok(Sending::More) => gauge.depart(&sender.departures()),
            Ok(Sending::Over) => break Ended::Whole,
            Err(error) => break Ended::Broken(error),
        }
    };
    let length = length.filter(|_| matches!(ended, Ended::Whole));
    let outcome = Outcome::new(errand.offered, length, sender.departures(), Arrivals::default());
    Sent { outcome: Outcome { asked, ended, ..outcome } }
}

/// When a receiver is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// At the latest, counted from its start.
    pub most: Duration,
    /// After so much silence behind the first packet.
    pub silence: Duration,
}

/// What a receiver found.
#[derive(Debug)]
pub struct Heard {
    /// What arrived.
    pub arrivals: Arrivals,
    /// From when each packet should have left to when it arrived, where sender and receiver have one clock.
    pub latency: Option<Histogram<u64>>,
    /// From the first packet to the last.
    pub took: Duration,
    /// How it came to its end.
    pub ended: Ended,
}

impl Heard {
    /// The same as the outcome of a trial in which as many packets were sent as the highest number that arrived tells.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let Self { arrivals, latency, took, ended } = self;
        let departures = super::send::Departures {
            sent: arrivals.next.max(arrivals.whole + arrivals.corrupted),
            took: took.into(),
            ..Default::default()
        };
        let outcome = Outcome::new(Rate::Maximum, None, departures, arrivals);
        Outcome { latency, ended, ..outcome }
    }
}

/// Receives until it has been silent for long enough, or for as long as it may.
pub fn receive(
    wire: &mut impl Wire,
    clock: &impl Clock,
    analyser: Analyser,
    patience: Patience,
    gauge: &Gauge,
    stop: &AtomicBool,
) -> Heard {
    let started = clock.now();
    let mut receiver = Receiver::new(analyser, started);
    let mut first: Option<Nanos> = None;
    let ended = loop {
        if stop.load(Relaxed) {
            break Ended::Interrupted;
        }
        if let Err(error) = receiver.turn(wire, clock) {
            break Ended::Broken(error);
        }
        let counts = receiver.analyser().counts();
        gauge.arrive(&counts);
        let (now, heard) = (clock.now(), receiver.heard());
        if counts.received > 0 {
            first.get_or_insert(heard);
        }
        let silent = first.is_some() && now.since(heard) > patience.silence.into();
        if silent || now.since(started) > patience.most.into() {
            break Ended::Whole;
        }
    };
    let took = receiver.heard().since(first.unwrap_or(receiver.heard())).into();
    let (arrivals, latency) = receiver.finish().finish();
    Heard { arrivals, latency, took, ended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        generator::{
            analyse::latencies,
            clock::Stepped,
            wire::memory::{MemoryWire, plain},
        },
        traffic::Template,
    };

    const RUN: RunId = RunId(9);

    fn sent(wire: &mut MemoryWire, offered: Rate, until: Until) -> Sent {
        let frames = Traffic::of(&Template::default()).unwrap();
        let errand = Errand { run: RUN, frames: &frames, offered, until };
        send(wire, &Stepped::new(Nanos(100)), &errand, &Gauge::default(), &AtomicBool::new(false))
    }

    fn heard(wire: &mut MemoryWire, run: Option<RunId>) -> Heard {
        let patience = Patience { most: Duration::from_secs(1), silence: Duration::from_millis(1) };
        let analyser = Analyser::new(run, Some(latencies().unwrap()));
        receive(wire, &Stepped::new(Nanos(100)), analyser, patience, &Gauge::default(), &AtomicBool::new(false))
    }

    #[test]
    fn what_one_process_sends_another_hears() {
        let [mut near, mut far] = plain(4096);
        let sent = sent(&mut near, Rate::PerSecond(1e6), Until::Packets(1_000));
        assert_eq!((sent.outcome.sent, sent.verdict(), sent.to_string().as_str()), (1_000, Verdict::Clean, "sent"));
        let outcome = heard(&mut far, None).outcome();
        assert_eq!((outcome.whole, outcome.lost, outcome.verdict()), (1_000, 0, Verdict::Clean));
    }

    #[test]
    fn what_arrives_again_is_none_that_was_lost() {
        let [mut near, mut far] = plain(4096);
        // The same numbers twice: what a device sends that sends everything twice.
        for _ in 0..2 {
            sent(&mut near, Rate::PerSecond(1e6), Until::Packets(100));
        }
        let outcome = heard(&mut far, None).outcome();
        assert_eq!((outcome.sent, outcome.whole, outcome.duplicated, outcome.lost), (100, 100, 100, 0));
        assert_eq!(outcome.verdict(), Verdict::Duplicating);
    }

    #[test]
    fn a_receiver_hears_its_run_and_no_other() {
        let [mut near, mut far] = plain(4096);
        sent(&mut near, Rate::Maximum, Until::Packets(100));
        let heard = heard(&mut far, Some(RunId(10)));
        assert_eq!((heard.arrivals.received, heard.arrivals.foreign), (0, 100));
    }

    #[test]
    fn a_wire_that_takes_nothing_on_does_not_hold_a_sender_for_ever() {
        let [mut near, _far] = plain(64);
        let sent = sent(&mut near, Rate::PerSecond(1e6), Until::Packets(1_000));
        assert_eq!((sent.outcome.sent, sent.verdict()), (64, Verdict::Unreached));
        let text = sent.to_string();
        assert_eq!(text, "short: 1000 packets were asked for and 64 left");
    }
}
