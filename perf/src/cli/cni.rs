//! `podlane-perf cni`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{CliError, Surroundings, terms::Rounds};
use crate::{
    run::cni::{self, Plan},
    subject::cni::podlane::Binaries,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    rounds: Rounds,
    /// ADDs and DELs of each a round, in turns.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    calls: u16,
    /// ADDs at once.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    together: u16,
    /// Pods that are attached already, of the second half.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=4_000))]
    attached: u16,
    /// Our plugin [default: what `cargo shim` built].
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Our daemon [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    daemon: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let found = Binaries::found();
        let binaries = Binaries {
            plugin: self.plugin.clone().unwrap_or(found.plugin),
            daemon: self.daemon.clone().unwrap_or(found.daemon),
        };
        let plan = Plan { calls: self.calls, together: self.together, attached: self.attached, binaries };
        // What ends by itself has no length.
        let report = cni::run(&self.rounds.terms(around, Duration::ZERO), &plan)?;
        self.rounds.delivery.deliver(&report)
    }
}
