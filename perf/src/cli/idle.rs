//! `podlane-perf idle`.

use std::time::Duration;

use clap::Args;

use super::{CliError, Surroundings, terms::Common};
use crate::run::idle::{self, Plan};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// First packets a round; of fewer than 100 no p99 is told.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    packets: u32,
    /// Silence before each, milliseconds.
    #[arg(long, default_value_t = 200)]
    silence_ms: u64,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let plan = Plan { packets: self.packets, silence: Duration::from_millis(self.silence_ms) };
        let report = idle::run(&self.common.terms(around), plan)?;
        self.common.rounds.delivery.deliver(&report)
    }
}
