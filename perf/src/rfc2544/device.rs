//! The seam between what is measured and how packets get there: one trial, asked for and told.
//!
//! Everything of RFC 2544 and RFC 2889 here is written against [`Device`]. On a machine that is the generator between two netdevs
//! ([`wires`](super::wires)); in tests it is a device whose capacity, buffer and table are known (`modelled`).

use std::{fmt::Display, str::FromStr, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;
use thiserror::Error;

use crate::traffic::template::{LONGEST, STANDARD_SIZES};

/// How long the frames of a trial are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// All alike: bytes with the frame check sequence.
    Bytes(u16),
    /// The simple Internet mix: seven of 64, four of 594 and one of 1518.
    Imix,
}

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Imix => write!(f, "IMIX"),
        }
    }
}

/// Why a frame size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("give {} to {LONGEST} bytes, or `imix`", STANDARD_SIZES[0])]
pub struct SizeError;

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text == "imix" {
            return Ok(Self::Imix);
        }
        let bytes = text.parse::<u16>().map_err(|_| SizeError)?;
        let fits = bytes >= STANDARD_SIZES[0] && usize::from(bytes) <= LONGEST;
        if fits { Ok(Self::Bytes(bytes)) } else { Err(SizeError) }
    }
}

/// Which frames a trial sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frames {
    /// How long they are.
    pub size: Size,
    /// Whom they are from and for.
    pub stations: Stations,
}

/// Whom frames are from and for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stations {
    /// From one station to the other, so many flows in turns, told apart by their UDP ports.
    Flows(u32),
    /// Each from a station of its own, one of a row: a device that learns addresses learns as many.
    Teach(Row),
    /// Each for one of such a row, from the side where it was taught. What learned it keeps the frame; what did not floods it to the
    /// other side, where it arrives.
    Ask(Row),
}

/// So many MAC addresses in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The number of the first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// How fast frames are offered.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// So many a second, evenly.
    Rate(f64),
    /// As fast as the generator can.
    Full,
}

/// How much is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// For so long.
    Time(Duration),
    /// So many frames.
    Count(u64),
}

/// What one trial is asked to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ask {
    /// Which frames.
    pub frames: Frames,
    /// How fast.
    pub pace: Pace,
    /// How many.
    pub until: Until,
}

/// What one trial saw.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Frames that were sent.
    pub sent: u64,
    /// Of these, how many arrived at least once, and as they were sent.
    pub received: u64,
    /// Frames that arrived again after they had arrived.
    pub duplicated: u64,
    /// Frames that arrived after one that was sent later.
    pub reordered: u64,
    /// Frames that arrived with something else in them.
    pub corrupted: u64,
    /// Frames that came back to where they were sent from.
    pub returned: u64,
    /// Frames that are not of the trial.
    pub foreign: u64,
    /// Frames still arrived when waiting for the last ones was given up.
    pub endless: bool,
    /// Frames, of whomever, that found no room at the generator's own receiver.
    pub overrun: u64,
    /// Frames that left later than they should have, because the generator was held up.
    pub late: u64,
    /// How fast frames were offered in truth, a second.
    pub reached: f64,
    /// Nanoseconds from when a frame was to be sent to when it arrived.
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// The share of what was sent that never arrived.
    #[must_use]
    pub fn lost(&self) -> f64 {
        if self.sent == 0 {
            return 1.0;
        }
        1.0 - self.received.min(self.sent) as f64 / self.sent as f64
    }

    /// Whether what was lost may have arrived, at a receiver that had no room for it.
    #[must_use]
    pub const fn is_overrun(&self) -> bool {
        self.overrun > 0 && self.received < self.sent
    }
}

/// Whether a generator that was asked for so much offered less: one that reaches less than this share has met its limit.
#[must_use]
pub fn fell_short(asked: f64, reached: f64) -> bool {
    const REACHED: f64 = 0.98;
    reached < REACHED * asked
}

/// Why a trial has no outcome.
#[derive(Debug, Error)]
pub enum TrialError {
    /// A netdev is gone.
    #[error("{name} is gone")]
    Vanished {
        /// Its name.
        name: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Anything else; it names its object and remedy.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// A trial that failed for a reason of its own.
pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TrialError {
    TrialError::Failed(Box::new(error))
}

/// A device under test with a generator around it.
pub trait Device {
    /// Sends what is asked for, waits for the last of it, and tells what arrived. It ends by itself whatever the device does.
    ///
    /// # Errors
    /// [`TrialError`] if nothing can be said about the device's forwarding.
    fn trial(&mut self, ask: &Ask) -> Result<Outcome, TrialError>;

    /// How long it takes to make the device forget what it learned, if there is a way.
    fn forgetting(&self) -> Option<Duration> {
        None
    }

    /// Has the device forget what it learned, if there is a way. Returns whether there is.
    ///
    /// # Errors
    /// [`TrialError`] if the device is not usable afterwards.
    fn forget(&mut self) -> Result<bool, TrialError> {
        Ok(false)
    }

    /// Puts back the device that was measured before it was made to forget, if another stands in for it.
    ///
    /// # Errors
    /// [`TrialError`] if it cannot be put back.
    fn restore(&mut self) -> Result<(), TrialError> {
        Ok(())
    }
}
