//! A device whose capacity, buffer and table are known, in a time that passes by itself: what the measurements are tested against.
//!
//! It is a server with a queue. Frames offered faster than it works wait; when the queue is full they are lost. With a rate r
//! above the capacity c, of n frames c/r are served meanwhile and a queue's length more, so the answers to all measurements can be
//! worked out on paper.

use std::{collections::HashSet, time::Duration};

use hdrhistogram::Histogram;

use crate::rfc2544::device::{Ask, Device, Outcome, Pace, Row, Stations, TrialError, Until, failed};

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    None,
    ForwardsNothing,
    Doubles,
    Loops,
    /// What introduced the stations goes around, and nothing else gets through.
    Storms,
    Spoils,
    /// It forwards nothing after so many trials.
    StopsAfter(u32),
    /// Its netdev is gone after so many trials.
    VanishesAfter(u32),
    /// One trial of so many loses a frame for which the device is not to blame.
    LosesOneTrialOf(u32),
    /// In one trial of so many the generator's own receiver has no room for a tenth of the frames.
    OverrunsOneTrialOf(u32),
    /// In one trial of so many the generator was held up, and a tenth of the frames left late.
    LateInOneTrialOf(u32),
}

/// The device.
#[derive(Clone, Debug)]
pub(crate) struct Modelled {
    /// Frames a second the generator can make.
    pub(crate) full: f64,
    /// Whether it makes half as many from the third trial on.
    pub(crate) tires: bool,
    /// Frames a second the device works off.
    pub(crate) capacity: f64,
    /// Frames that may wait.
    pub(crate) buffer: f64,
    /// Addresses it has room for.
    pub(crate) table: usize,
    /// Addresses a second it can learn.
    pub(crate) learns: f64,
    /// Flows above which it works at a tenth of its capacity.
    pub(crate) flows: u32,
    /// Whether it can be made to forget.
    pub(crate) forgets: bool,
    /// Whether another one, a tenth as fast, stands in for it from when it is made to forget; and whether that one is there.
    pub(crate) stand_in: bool,
    pub(crate) replaced: bool,
    pub(crate) flaw: Flaw,
    pub(crate) known: HashSet<u32>,
    pub(crate) trials: u32,
    /// The time that all trials took.
    pub(crate) took: Duration,
}

/// Nanoseconds through the device with nobody waiting.
pub(crate) const THROUGH: u64 = 10_000;

impl Default for Modelled {
    fn default() -> Self {
        Self {
            full: 5e6,
            tires: false,
            capacity: 2e6,
            buffer: 1_000.0,
            table: 5_000,
            learns: 100_000.0,
            flows: u32::MAX,
            forgets: true,
            stand_in: false,
            replaced: false,
            flaw: Flaw::None,
            known: HashSet::new(),
            trials: 0,
            took: Duration::ZERO,
        }
    }
}

impl Modelled {
    pub(crate) fn with(flaw: Flaw) -> Self {
        Self { flaw, ..Self::default() }
    }

    /// How many of these addresses become known.
    fn teach(&mut self, row: Row, rate: f64) {
        let share = (self.learns / rate).min(1.0);
        let mut due = 0.0;
        for address in row.first..row.first + row.count {
            due += share;
            if due >= 1.0 - 1e-9 && self.known.len() < self.table {
                self.known.insert(address);
            }
            due = if due >= 1.0 - 1e-9 { due - 1.0 } else { due };
        }
    }

    fn flaws(&self, outcome: &mut Outcome) {
        let nothing = |outcome: &mut Outcome| outcome.received = 0;
        match self.flaw {
            Flaw::ForwardsNothing => nothing(outcome),
            Flaw::StopsAfter(trials) if self.trials > trials => nothing(outcome),
            Flaw::Doubles => outcome.duplicated = outcome.received,
            Flaw::Loops => (outcome.duplicated, outcome.endless) = (outcome.received * 100, true),
            Flaw::Storms => (outcome.foreign, outcome.received) = (outcome.sent * 50, 0),
            Flaw::Spoils => (outcome.corrupted, outcome.received) = (outcome.received, 0),
            Flaw::LosesOneTrialOf(trials) if self.trials.is_multiple_of(trials) => {
                outcome.received = outcome.received.saturating_sub(1);
            }
            Flaw::OverrunsOneTrialOf(trials) if self.trials.is_multiple_of(trials) => {
                outcome.overrun = outcome.received.div_ceil(10);
                outcome.received -= outcome.overrun;
            }
            Flaw::LateInOneTrialOf(trials) if self.trials.is_multiple_of(trials) => {
                outcome.late = outcome.sent.div_ceil(10);
            }
            _ => {}
        }
    }
}

impl Device for Modelled {
    fn trial(&mut self, ask: &Ask) -> Result<Outcome, TrialError> {
        self.trials += 1;
        if matches!(self.flaw, Flaw::VanishesAfter(trials) if self.trials > trials) {
            return Err(TrialError::Vanished { name: "veth7".to_owned() });
        }
        let full = if self.tires && self.trials > 2 { self.full / 2.0 } else { self.full };
        let rate = match ask.pace {
            Pace::Rate(rate) => rate.min(full),
            Pace::Full => full,
        };
        let sent = match ask.until {
            Until::Time(length) => (rate * length.as_secs_f64()).floor(),
            Until::Count(count) => count as f64,
        };
        self.took += Duration::from_secs_f64(sent / rate);
        let slowed = matches!(ask.frames.stations, Stations::Flows(flows) if flows > self.flows);
        let capacity = if slowed || self.replaced { self.capacity / 10.0 } else { self.capacity };
        let excess = (sent - sent * capacity / rate).max(0.0);
        let mut received = sent - (excess - self.buffer).max(0.0).ceil();
        match ask.frames.stations {
            Stations::Flows(_) => {}
            Stations::Teach(row) => self.teach(row, rate),
            Stations::Ask(row) => {
                let asked = row.first..row.first + row.count;
                received = asked.filter(|address| !self.known.contains(address)).count() as f64;
            }
        }
        let mut latency = Histogram::new(3).map_err(failed)?;
        let waiting = (excess.min(self.buffer) / capacity * 1e9) as u64;
        latency.record_n(THROUGH + waiting, received as u64).map_err(failed)?;
        let mut outcome = Outcome {
            sent: sent as u64,
            received: received as u64,
            duplicated: 0,
            reordered: 0,
            corrupted: 0,
            returned: 0,
            foreign: 0,
            overrun: 0,
            late: 0,
            endless: false,
            reached: rate,
            latency,
        };
        self.flaws(&mut outcome);
        Ok(outcome)
    }

    fn forgetting(&self) -> Option<Duration> {
        self.forgets.then_some(Duration::ZERO)
    }

    fn forget(&mut self) -> Result<bool, TrialError> {
        if self.forgets {
            self.known.clear();
            self.replaced = self.stand_in;
        }
        Ok(self.forgets)
    }

    fn restore(&mut self) -> Result<(), TrialError> {
        self.replaced = false;
        Ok(())
    }
}
