//! The sending end of a run: looks at the clock, writes what is due, and knows what left late.

use super::{
    clock::{Clock, Nanos},
    pace::Pace,
    wire::{Wire, WireError},
};
use crate::traffic::{
    Traffic, Writer,
    stamp::{RunId, Stamp},
};

/// A packet that leaves this much after it should have is late: ten times what a turn takes.
pub const LATE: Nanos = Nanos(10_000);

/// What left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// Packets.
    pub sent: u64,
    /// Their bytes, without check sequences.
    pub bytes: u64,
    /// Packets that left more than [`LATE`] after they should have.
    pub late: u64,
    /// From the start to the last of them.
    pub took: Nanos,
}

/// Whether there is more to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// There is.
    More,
    /// All that belongs to the run has left, or its time is up.
    Over,
}

/// How long a wire may take nothing on of what is due before the run is given up.
const PATIENCE: Nanos = Nanos(2_000_000_000);

/// How long after its end a run may still send what belongs to it, at least: another process may hold it up.
const GRACE: Nanos = Nanos(50_000_000);

/// Sends one run.
pub struct Sender<'a> {
    run: RunId,
    writer: Writer<'a>,
    pace: Pace<'a>,
    started: Nanos,
    departures: Departures,
    /// Since when the wire has taken nothing of what is due.
    refused: Option<Nanos>,
}

impl<'a> Sender<'a> {
    /// A run that starts now.
    #[must_use]
    pub fn new(run: RunId, traffic: &'a Traffic, pace: Pace<'a>, started: Nanos) -> Self {
        Self { run, writer: traffic.writer(), pace, started, departures: Departures::default(), refused: None }
    }

    /// Sends what is due, at most a burst.
    ///
    /// # Errors
    /// [`WireError`]: the wire is dead.
    #[inline]
    pub fn turn(&mut self, wire: &mut impl Wire, clock: &impl Clock) -> Result<Sending, WireError> {
        let elapsed = clock.now().since(self.started);
        if self.is_over(elapsed) {
            // What was taken on is on its way, unless the wire takes for ever.
            if wire.waiting() == 0 || elapsed.since(self.departures.took) > PATIENCE {
                return Ok(Sending::Over);
            }
            wire.send(|_| None)?;
            return Ok(Sending::More);
        }
        let Self { run, writer, pace, started, departures, refused } = self;
        let before = departures.sent;
        wire.send(|slot| {
            let at = pace.due(departures.sent, elapsed)?;
            let stamp = Stamp { run: *run, number: departures.sent, intended: started.plus(at) };
            let length = writer.write(stamp, slot);
            departures.late += u64::from(elapsed.since(at) > LATE);
            departures.sent += 1;
            departures.bytes += length as u64;
            Some(length)
        })?;
        if departures.sent > before {
            departures.took = elapsed;
            *refused = None;
        } else if refused.is_none() && pace.due(departures.sent, elapsed).is_some() {
            *refused = Some(elapsed);
        }
        Ok(Sending::More)
    }

    /// Whether nothing more is to be sent.
    #[inline]
    fn is_over(&self, elapsed: Nanos) -> bool {
        let total = self.pace.total();
        if self.departures.sent >= total {
            return true;
        }
        match self.pace.deadline() {
            // At the maximum rate nothing is owed when the time is up.
            Some(length) if total == u64::MAX => elapsed >= length,
            // A hundredth, so that a rate is accurate to that.
            Some(length) => elapsed > length.plus(Nanos((length.0 / 100).max(GRACE.0))),
            // A gap of a capture, or of a low rate, is no refusal.
            None => self.refused.is_some_and(|since| elapsed.since(since) > PATIENCE),
        }
    }

    /// The pace.
    #[must_use]
    pub fn pace(&self) -> &Pace<'a> {
        &self.pace
    }

    /// What left so far.
    #[must_use]
    pub fn departures(&self) -> Departures {
        self.departures
    }
}
