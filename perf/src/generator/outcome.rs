//! What a trial found, and what is to be thought of it.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use super::{
    analyse::Arrivals,
    clock::Nanos,
    latency::Latency,
    pace::{Packets, Rate},
    send::Departures,
    wire::WireError,
};
use crate::traffic::template::bits_on_a_wire;

/// A rate counts as reached from this share on.
pub const REACHED: f64 = 0.99;

/// What takes less, and was not said to take so long, has no rate: a burst may take a twentieth of it.
const SHORTEST: Duration = Duration::from_millis(1);

/// How a trial came to its end.
#[derive(Debug)]
pub enum Ended {
    /// As it should.
    Whole,
    /// By Ctrl-C.
    Interrupted,
    /// Because a wire died.
    Broken(WireError),
}

/// What a trial found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The rate that was asked for.
    pub offered: Rate,
    /// How many packets were asked for, where the run is judged by their number.
    pub asked: Option<u64>,
    /// The rate that was sent at, packets a second; zero of a run too short to have one.
    #[serde(rename = "reached_pps")]
    pub reached: f64,
    /// How long packets were sent.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// Packets that were sent.
    pub sent: u64,
    /// Bytes of them, without check sequences.
    pub sent_bytes: u64,
    /// Packets that left more than 10 us after they should have.
    pub late: u64,
    /// Frames of the run that arrived, in whatever state, however often.
    pub received: u64,
    /// Packets that arrived whole, each counted once.
    pub whole: u64,
    /// Packets of which nothing arrived: sent, less those that arrived whole or corrupted.
    pub lost: u64,
    /// Packets that a later one overtook.
    pub reordered: u64,
    /// Packets that arrived again.
    pub duplicated: u64,
    /// Packets whose payload was changed or cut.
    pub corrupted: u64,
    /// Packets that came too late to be told from duplicates; they count as lost.
    pub stale: u64,
    /// Frames that are not of the run.
    pub foreign: u64,
    /// Frames of the run that came back to where they were sent from.
    pub returned: u64,
    /// Frames, of whomever, that arrived and found no room at the receiver: its own loss and not the device's.
    pub overrun: u64,
    /// Whether frames of the run still arrived when waiting for the last of them was given up.
    pub endless: bool,
    /// From when each packet should have left to when it arrived, in nanoseconds, where that can be told.
    #[serde(serialize_with = "percentiles")]
    pub latency: Option<Histogram<u64>>,
    /// Whether packets carried a stamp. Without one only their number is known: order, changes and duplicates are not.
    pub stamped: bool,
    /// How it came to its end, which the verdict tells.
    #[serde(skip)]
    pub ended: Ended,
}

impl Outcome {
    /// Of what left and what arrived. `length` is how long the run was to be, if that was said.
    #[must_use]
    pub fn new(offered: Rate, length: Option<Nanos>, departures: Departures, arrivals: Arrivals) -> Self {
        let Departures { sent, bytes, late, took } = departures;
        // The last packet of a run belongs to a time before its end.
        let took_for_rate = Duration::from(took.max(length.unwrap_or(took)));
        // What left in one burst or a few has no rate of its own.
        let has_rate = length.map_or(took_for_rate >= SHORTEST, |length| length > Nanos(0));
        let Arrivals { received, whole, reordered, duplicated, corrupted, stale, foreign, .. } = arrivals;
        Self {
            offered,
            asked: None,
            reached: if has_rate { sent as f64 / took_for_rate.as_secs_f64() } else { 0.0 },
            took: took.into(),
            sent,
            sent_bytes: bytes,
            late,
            received,
            whole,
            lost: sent.saturating_sub(whole + corrupted),
            reordered,
            duplicated,
            corrupted,
            stale,
            foreign,
            returned: 0,
            overrun: 0,
            endless: false,
            latency: None,
            stamped: true,
            ended: Ended::Whole,
        }
    }

    /// Lost packets, as a share of those sent.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.sent.max(1) as f64
    }

    /// Whether fewer packets left than were asked for, or none at all.
    #[must_use]
    pub fn fell_short(&self) -> bool {
        self.sent < self.asked.unwrap_or(1)
    }

    /// Whether the sender kept to the rate and the number that were asked for.
    #[must_use]
    pub fn kept_up(&self) -> bool {
        if self.fell_short() {
            return false;
        }
        match self.offered {
            Rate::PerSecond(rate) => self.reached >= rate * REACHED,
            Rate::Maximum | Rate::Recorded => true,
        }
    }

    /// Whether so many packets left late that a loss behind them may be of the bursts in which they did: more than one in a hundred.
    #[must_use]
    pub fn was_held_up(&self) -> bool {
        self.kept_up() && self.late > self.sent / 100
    }

    /// What to think of it: the gravest thing there is to say.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.ended {
            Ended::Broken(_) => return Verdict::Broken,
            Ended::Interrupted => return Verdict::Interrupted,
            Ended::Whole => {}
        }
        // What comes back to its sender goes around, whether it also arrives or not.
        if self.returned > 0 {
            return Verdict::Looping;
        }
        if self.sent > 0 && self.received == 0 {
            return Verdict::Silent;
        }
        if !self.stamped && self.received > self.sent {
            return Verdict::Duplicating;
        }
        // Every packet three times and more is no accident of a retry. What others send looks endless where there are no stamps.
        if (self.endless && self.stamped) || self.duplicated > 2 * self.whole.max(1) {
            return Verdict::Looping;
        }
        let found = [
            (self.corrupted, Verdict::Corrupting),
            (self.duplicated, Verdict::Duplicating),
            (self.lost, Verdict::Losing),
            (self.reordered, Verdict::Reordering),
        ];
        match found.into_iter().find(|(packets, _)| *packets > 0) {
            Some((_, verdict)) => verdict,
            None if !self.kept_up() => Verdict::Unreached,
            None => Verdict::Clean,
        }
    }
}

/// An outcome as it is stored: one JSON object.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    /// What to think of it.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub says: String,
    /// The numbers.
    #[serde(flatten)]
    pub outcome: &'a Outcome,
}

impl Outcome {
    /// What is stored of it.
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary { verdict: self.verdict(), says: self.to_string(), outcome: self }
    }

    /// Bits a second that were sent, of an Ethernet wire's.
    #[must_use]
    pub fn bits(&self) -> f64 {
        self.reached * bits_on_a_wire(self.sent_bytes as f64 / self.sent.max(1) as f64)
    }
}

fn seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

fn percentiles<S: Serializer>(latencies: &Option<Histogram<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    latencies.as_ref().and_then(Latency::of).serialize(serializer)
}

/// What to think of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every packet arrived, once, in order, as it left (without stamps: as many as left); and the rate was reached.
    Clean,
    /// As clean, of fewer packets than were asked for, or slower.
    Unreached,
    /// Packets are missing.
    Losing,
    /// Packets overtook others.
    Reordering,
    /// Packets arrived again.
    Duplicating,
    /// Packets arrived again and again, or came back to where they were sent from.
    Looping,
    /// Packets arrived that had not left so.
    Corrupting,
    /// Nothing arrived at all.
    Silent,
    /// A device vanished or failed.
    Broken,
    /// Somebody ended it.
    Interrupted,
}

impl Verdict {
    /// The exit status of a program that tells it: 0 clean, 3 the device did not pass, 4 the rate was not reached, 1 broken, 130
    /// interrupted. (2 is a wrong command line.)
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Losing | Self::Reordering | Self::Duplicating | Self::Looping | Self::Corrupting | Self::Silent => 3,
            Self::Unreached => 4,
            Self::Broken => 1,
            Self::Interrupted => 130,
        }
    }
}

impl Display for Outcome {
    /// The verdict in a sentence.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, reordered, duplicated, corrupted, whole, received, returned, .. } = self;
        let share = |packets: &u64| *packets as f64 * 100.0 / (*sent).max(1) as f64;
        match self.verdict() {
            Verdict::Clean if !self.stamped => {
                write!(f, "clean: as many packets arrived as left; they carry no stamp, so no more can be told")?;
            }
            Verdict::Clean => write!(f, "clean: every packet arrived, once, in order, as it left")?,
            Verdict::Unreached if *sent == 0 => {
                write!(f, "tells nothing: no packet left; look at the device that sends")?;
            }
            Verdict::Unreached if self.fell_short() => write!(f, "clean, but short")?,
            Verdict::Unreached => write!(f, "clean, but slower than asked")?,
            Verdict::Losing => write!(f, "loses packets: {lost} of {sent} did not arrive ({:.4} %)", share(lost))?,
            Verdict::Reordering => write!(f, "reorders packets: {reordered} of {sent} were overtaken")?,
            Verdict::Duplicating if !self.stamped => write!(
                f,
                "duplicates packets, or others sent some: {received} arrived where {sent} left, and without a stamp they look alike"
            )?,
            Verdict::Duplicating => write!(f, "duplicates packets: {duplicated} arrived again")?,
            Verdict::Looping if *returned > 0 => write!(
                f,
                "loops: {returned} packets came back to where they were sent from, and {whole} arrived; look for a loop"
            )?,
            Verdict::Looping => {
                write!(f, "loops: {whole} packets arrived, and {duplicated} times one of them again; look for a loop")?;
            }
            Verdict::Corrupting => write!(f, "corrupts packets: {corrupted} arrived changed or cut")?,
            Verdict::Silent => {
                write!(
                    f,
                    "forwards nothing: {sent} packets left and none arrived; look at links, addresses and tables"
                )?;
            }
            Verdict::Broken => write!(f, "broken off after {sent} packets")?,
            Verdict::Interrupted => write!(f, "interrupted after {sent} packets")?,
        }
        if let Ended::Broken(error) = &self.ended {
            write!(f, ": {error}")?;
        }
        // A device that died or forwards nothing did not lose packets for these reasons.
        let losing = self.verdict() == Verdict::Losing;
        if losing && self.overrun > 0 {
            write!(f, "; {} found no room at the receiver: ask for a lower rate", self.overrun)?;
        }
        if losing && self.was_held_up() {
            write!(f, "; {} left late, in a burst each time the generator was held up: give it a core", self.late)?;
        }
        match self.asked {
            _ if self.kept_up() || !matches!(self.ended, Ended::Whole) => Ok(()),
            Some(asked) if self.fell_short() => write!(f, "; {asked} packets were asked for and {sent} left"),
            None if self.fell_short() => Ok(()),
            _ => write!(f, "; {} were asked for and {} reached", self.offered, Packets(self.reached)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_behind_packets_that_left_late_is_told_with_them() {
        let said = |late, whole| {
            let departures = Departures { sent: 1_000, bytes: 60_000, late, took: Nanos(999_000_000) };
            let arrivals = Arrivals { received: whole, whole, next: 1_000, ..Arrivals::default() };
            let length = Some(Nanos(1_000_000_000));
            Outcome::new(Rate::PerSecond(1_000.0), length, departures, arrivals).to_string()
        };
        let loses = "loses packets: 10 of 1000 did not arrive (1.0000 %)";
        assert_eq!(said(10, 990), loses);
        let late = "; 11 left late, in a burst each time the generator was held up: give it a core";
        assert_eq!(said(11, 990), format!("{loses}{late}"));
        assert!(said(500, 0).ends_with("look at links, addresses and tables"), "nothing arrived, for another reason");
        assert_eq!(said(500, 1_000), "clean: every packet arrived, once, in order, as it left");
    }
}
