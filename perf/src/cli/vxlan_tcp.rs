//! `podlane-perf vxlan-tcp`.

use clap::Args;

use super::{CliError, Surroundings, terms::Common};
use crate::run::vxlan_tcp;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let report = vxlan_tcp::run(&self.common.terms(around))?;
        self.common.rounds.delivery.deliver(&report)
    }
}
