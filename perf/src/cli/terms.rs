//! What runs that repeat themselves are asked for: how often, how long, and where the result goes.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use thiserror::Error;

use super::Surroundings;
use crate::run::Terms;

/// Arguments of a run whose measurements have a length.
#[derive(Args, Debug)]
pub(super) struct Common {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(super) seconds: f64,
    #[command(flatten)]
    pub(super) rounds: Rounds,
}

/// Arguments of every run.
#[derive(Args, Debug)]
pub(super) struct Rounds {
    /// How often each thing is measured, in turns with the others.
    #[arg(long = "rounds", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) count: u32,
    #[command(flatten)]
    pub(super) delivery: Delivery,
}

/// Where a result goes.
#[derive(Args, Debug)]
pub(super) struct Delivery {
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(super) json: bool,
    /// Store the JSON object in this file too.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

impl Common {
    /// The terms of a run.
    pub(super) fn terms<'a>(&self, around: &Surroundings<'a>) -> Terms<'a> {
        self.rounds.terms(around, Duration::from_secs_f64(self.seconds))
    }
}

impl Rounds {
    /// The terms of a run whose measurements take this long.
    pub(super) fn terms<'a>(&self, around: &Surroundings<'a>, length: Duration) -> Terms<'a> {
        Terms { rounds: self.count, length, stop: around.stop, progress: around.progress }
    }
}

/// Why a length of time was refused.
#[derive(Debug, Error)]
#[error("give a number of seconds between 0.1 and 60")]
pub(super) struct SecondsError;

/// Reads the length of a measurement.
pub(super) fn seconds(text: &str) -> Result<f64, SecondsError> {
    text.parse().ok().filter(|seconds| (0.1..=60.0).contains(seconds)).ok_or(SecondsError)
}
