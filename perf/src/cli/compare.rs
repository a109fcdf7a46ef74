//! `podlane-perf compare`.

use clap::{Args, ValueEnum};

use super::{CliError, Surroundings, terms::Common};
use crate::run::compare::{
    self, Plan,
    roster::Rival,
    workload::{Family, Scale},
};

/// What is compared if nothing is said: what needs no sweep and no second node.
const USUAL: [Family; 5] = [Family::Udp, Family::Tcp, Family::RoundTrip, Family::Policy, Family::Vxlan];

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// What to do; several are given one by one or with commas.
    #[arg(long = "workload", value_enum, value_delimiter = ',', default_values_t = USUAL)]
    workloads: Vec<Family>,
    /// Who to compare with [default: everybody who can do it]. Who is not installed is skipped by name.
    #[arg(long, value_enum, value_delimiter = ',')]
    against: Vec<Rival>,
    /// Flows of the workload `udp`.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flows: Vec<u32>,
    /// Rules of the workload `policy`, of which the last one allows the traffic.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rules: u16,
}

impl Arguments {
    pub(super) fn perform(&self, around: &Surroundings<'_>) -> Result<(), CliError> {
        let named = !self.against.is_empty();
        let plan = Plan {
            families: self.workloads.clone(),
            rivals: if named { self.against.clone() } else { Rival::value_variants().to_vec() },
            named,
            scale: Scale { flows: self.flows.clone(), rules: self.rules },
        };
        let compared = compare::run(&self.common.terms(around), &plan)?;
        self.common.rounds.delivery.deliver(&compared.report)?;
        if compared.failures.is_empty() { Ok(()) } else { Err(CliError::Unmeasured(compared.failures.join("; "))) }
    }
}
