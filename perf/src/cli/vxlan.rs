//! `podlane-perf vxlan`.

use clap::{Args, ValueEnum};

use super::{CliError, Surroundings, terms::Common};
use crate::run::vxlan::{self, Rival};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Another tunnel to measure against; skipped by name if it is not to be had.
    #[arg(long, value_enum, default_values_t = [Against::Ovs, Against::Kernel])]
    against: Vec<Against>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Against {
    /// Open vSwitch with AF_XDP ports.
    Ovs,
    /// The kernel's `vxlan` device and bridge.
    Kernel,
    /// Nothing else.
    Nothing,
}

impl Against {
    const fn rival(self) -> Option<Rival> {
        match self {
            Self::Ovs => Some(Rival::Ovs),
            Self::Kernel => Some(Rival::Kernel),
            Self::Nothing => None,
        }
    }
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let rivals: Vec<_> = self.against.iter().filter_map(|against| against.rival()).collect();
        let report = vxlan::run(&self.common.terms(around), &rivals)?;
        self.common.rounds.delivery.deliver(&report)
    }
}
