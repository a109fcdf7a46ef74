//! Trials one after the other, each looked at before its numbers are believed.

use std::time::Duration;

use thiserror::Error;

use crate::rfc2544::{
    device::{Ask, Device, Frames, Outcome, Pace, TrialError, Until, fell_short},
    search::{Found, Search, Step},
    verdict::{self, Verdict},
};

/// The rate at which a device is asked whether it forwards at all, and how many frames of it make one question.
const GENTLE: f64 = 1_000.0;
const QUESTION: u64 = 50;

/// How often a trial is made again whose loss may be the generator's own.
const AGAIN: u32 = 2;

/// Of the frames, the share that leave late where the generator was held up.
const HELD_UP: f64 = 0.01;

/// Why a measurement has no result.
#[derive(Debug, Error)]
pub enum Ended {
    /// The device is not one of which a rate can be told.
    #[error(transparent)]
    Verdict(#[from] Verdict),
    /// The trial itself failed.
    #[error(transparent)]
    Trial(TrialError),
}

impl From<TrialError> for Ended {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Vanished { name } => Self::Verdict(Verdict::Vanished { name }),
            error => Self::Trial(error),
        }
    }
}

/// Trials in which the generator itself was at fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbed {
    /// Its receiver had no room for what arrived, also when the trial was made again.
    pub overrun: u32,
    /// It was held up, and frames left late.
    pub late: u32,
}

/// A device that is being measured.
pub struct Session<'a> {
    device: &'a mut dyn Device,
    /// How long a trial is.
    pub length: Duration,
    /// How long the device may take until it forwards.
    patience: Duration,
    /// How many trials were made.
    pub trials: u32,
    /// How many of these are not to be relied on, and why.
    pub disturbed: Disturbed,
    progress: &'a dyn Fn(&str),
}

impl<'a> Session<'a> {
    /// A session of trials of this length with a device that may take a while until it forwards.
    pub fn new(device: &'a mut dyn Device, length: Duration, patience: Duration, progress: &'a dyn Fn(&str)) -> Self {
        Self { device, length, patience, trials: 0, disturbed: Disturbed::default(), progress }
    }

    /// Says what is being measured.
    pub fn say(&self, line: &str) {
        (self.progress)(line);
    }

    /// Waits until the device forwards.
    ///
    /// # Errors
    /// [`Verdict::ForwardsNothing`] if it does not within its patience.
    pub fn begin(&mut self, frames: Frames) -> Result<(), Ended> {
        self.question(frames)
            .and_then(|(sent, heard)| if heard { Ok(()) } else { Err(Verdict::ForwardsNothing { sent }.into()) })
    }

    /// One trial, whose outcome is of a device that forwards and does nothing wrong. It is made again if what was lost may have been lost by
    /// the generator's own receiver.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn trial(&mut self, ask: &Ask) -> Result<Outcome, Ended> {
        let mut outcome = self.look(ask)?;
        for _ in 0..AGAIN {
            if outcome.is_overrun() {
                outcome = self.look(ask)?;
            }
        }
        self.disturbed.overrun += u32::from(outcome.is_overrun());
        // What cannot be reached at all leaves late too, and is told as that.
        let reached = matches!(ask.pace, Pace::Rate(rate) if !fell_short(rate, outcome.reached));
        self.disturbed.late += u32::from(reached && outcome.late as f64 > HELD_UP * outcome.sent as f64);
        if outcome.received == 0 && outcome.sent > 0 {
            let (sent, heard) = self.question(ask.frames)?;
            if !heard {
                return Err(Verdict::Stopped { sent: sent + outcome.sent }.into());
            }
        }
        Ok(outcome)
    }

    /// One trial of which nothing need arrive.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn look(&mut self, ask: &Ask) -> Result<Outcome, Ended> {
        self.trials += 1;
        let outcome = self.device.trial(ask)?;
        match verdict::of(&outcome) {
            Some(verdict) => Err(verdict.into()),
            None => Ok(outcome),
        }
    }

    /// Has the device forget what it learned; whether it could be made to.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn forget(&mut self) -> Result<bool, Ended> {
        Ok(self.device.forget()?)
    }

    /// Has the device measured that was there before it was made to forget.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn restore(&mut self) -> Result<(), Ended> {
        Ok(self.device.restore()?)
    }

    /// Frames at this pace, for as long as a trial is.
    #[must_use]
    pub const fn ask(&self, frames: Frames, pace: Pace) -> Ask {
        Ask { frames, pace, until: Until::Time(self.length) }
    }

    /// How fast the generator can offer these frames, a second.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn full(&mut self, frames: Frames) -> Result<f64, Ended> {
        Ok(self.trial(&self.ask(frames, Pace::Full))?.reached)
    }

    /// Searches for the highest rate of these frames.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn search_rate(&mut self, mut search: Search, frames: Frames) -> Result<(Found, Search), Ended> {
        // A generator that was kept from its core once may reach the rate the next time.
        let mut short = false;
        let most_lost = search.terms().most_lost;
        loop {
            let rate = match search.step() {
                Step::Done(found) => return Ok((found, search)),
                Step::Try(rate) => rate,
            };
            let outcome = self.trial(&self.ask(frames, Pace::Rate(rate)))?;
            let falls_short = outcome.lost() <= most_lost && fell_short(rate, outcome.reached);
            match (falls_short, short) {
                (true, true) => search.cannot_offer(outcome.reached),
                (true, false) => {}
                (false, _) => search.learn(outcome.lost()),
            }
            short = falls_short;
        }
    }

    /// Sends gently until anything arrives or the patience is over; how many were sent, and whether anything did.
    fn question(&mut self, frames: Frames) -> Result<(u64, bool), Ended> {
        let ask = Ask { frames, pace: Pace::Rate(GENTLE), until: Until::Count(QUESTION) };
        let took = Duration::from_secs_f64(QUESTION as f64 / GENTLE);
        let questions = self.patience.div_duration_f64(took).ceil().max(1.0) as u64;
        for number in 1..=questions {
            let outcome = self.look(&ask)?;
            if outcome.received > 0 {
                return Ok((number * QUESTION, true));
            }
        }
        Ok((questions * QUESTION, false))
    }
}
