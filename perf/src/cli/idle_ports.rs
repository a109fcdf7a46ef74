//! `podlane-perf idle-ports`.

use clap::Args;

use super::{CliError, Surroundings, terms::Common};
use crate::run::idle_ports;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// How many silent ports.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4000))]
    ports: u16,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let report = idle_ports::run(&self.common.terms(around), self.ports)?;
        self.common.rounds.delivery.deliver(&report)
    }
}
