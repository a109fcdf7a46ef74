//! `podlane-perf veth`.

use clap::{Args, ValueEnum};

use super::{CliError, Surroundings, terms::Common};
use crate::run::veth::{self, Rival};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Another switch to measure against; skipped by name if it is not installed.
    #[arg(long, value_enum, default_values_t = [Against::Testpmd])]
    against: Vec<Against>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Against {
    /// DPDK's testpmd, `io` on `net_af_xdp`.
    Testpmd,
    /// Nothing else.
    Nothing,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let rivals = self.against.iter().filter(|against| **against == Against::Testpmd).map(|_| Rival::Testpmd);
        let report = veth::run(&self.common.terms(around), &rivals.collect::<Vec<_>>())?;
        self.common.rounds.delivery.deliver(&report)
    }
}
