//! `podlane-perf policy`.

use clap::{Args, ValueEnum};

use super::{CliError, Surroundings, terms::Common};
use crate::run::policy::{self, Rival};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Another policy to measure against; skipped by name if it is not to be had.
    #[arg(long, value_enum, default_values_t = [Against::Ovs, Against::Nftables])]
    against: Vec<Against>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Against {
    /// Open vSwitch with AF_XDP ports and connection tracking.
    Ovs,
    /// The kernel's bridge with nftables.
    Nftables,
    /// Nothing else.
    Nothing,
}

impl Against {
    const fn rival(self) -> Option<Rival> {
        match self {
            Self::Ovs => Some(Rival::Ovs),
            Self::Nftables => Some(Rival::Nftables),
            Self::Nothing => None,
        }
    }
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let rivals: Vec<_> = self.against.iter().filter_map(|against| against.rival()).collect();
        let report = policy::run(&self.common.terms(around), &rivals)?;
        self.common.rounds.delivery.deliver(&report)
    }
}
