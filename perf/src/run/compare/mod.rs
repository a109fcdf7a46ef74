//! `podlane-perf compare`: the same workloads on the same two veths, for Podlane and for whatever else is installed.
//!
//! ```text
//!   roster      who can be compared
//!   workload    what they are given to do
//!   turns       all of them, once a round each
//!   ratios      Podlane over each of the others, and the targets
//! ```

mod ratios;
pub mod roster;
#[cfg(test)]
mod tests;
mod turns;
pub mod workload;

use self::{
    ratios::{ratios, series},
    roster::{Contender, Rival},
    turns::{Cell, Missing, in_turns},
    workload::{Family, Load, Scale, Workload},
};
use crate::{
    machine::Origin,
    report::Report,
    run::{RunError, Terms},
};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is done.
    pub families: Vec<Family>,
    /// Who does it beside Podlane.
    pub rivals: Vec<Rival>,
    /// Whether these were asked for one by one: then a workload that one of them cannot do is told as skipped, and not left out.
    pub named: bool,
    /// How much of it.
    pub scale: Scale,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Compared {
    /// All of it.
    pub report: Report,
    /// Why Podlane itself has no figure, each time it has none.
    pub failures: Vec<String>,
}

const NOTES: &[&str] = &[
    "Load on one core, switch on another; ratios within a round. The generator's own limit is its rate into nothing: nobody behind it can be seen to pass it. \
     Where pods speak themselves the bare veth is that limit.",
    "The kernel's own switches receive floods in a thread on the switch's core; TCP and round trips cross them on the pods' core, as anywhere, and use no other.",
    "Over AF_XDP no TCP segment is longer than the MTU. The pods of a switch that does not finish checksums finish them themselves.",
];

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, plan: &Plan) -> Result<Compared, RunError> {
    let origin = Origin::here();
    let workloads: Vec<Workload> = plan.families.iter().flat_map(|family| family.workloads(&plan.scale)).collect();
    let mut cells: Vec<Cell<'_>> = workloads.iter().flat_map(|workload| cells(workload, plan)).collect();
    in_turns(&mut cells, terms)?;
    let (checks, others) = ratios(&cells);
    let figures = |cell: &'_ Cell<'_>| {
        let figures = cell.workload.figures().iter().enumerate();
        figures.map(|(number, figure)| series(cell, number, *figure)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = cells.iter().flat_map(figures).collect();
    let failure = |cell: &Cell<'_>| {
        let missing = cell.outcome.as_ref().err().filter(|missing| !missing.is_excused())?;
        Some(format!("{}: {missing}", cell.workload.label()))
    };
    let failures = cells.iter().filter(|cell| cell.contender == Contender::Podlane).filter_map(failure).collect();
    all.extend(others);
    let title = "Side by side on two veths, one core for the switch";
    let report = Report { series: all, checks, ..Report::new(title, origin, terms.rounds) }.noted(NOTES);
    Ok(Compared { report, failures })
}

/// Who is measured under a workload, in the order of the table.
fn cells<'a>(workload: &'a Workload, plan: &Plan) -> Vec<Cell<'a>> {
    let ours = [Contender::Limit, Contender::Podlane];
    let mut all = ours.to_vec();
    // Pods that speak themselves have no limit of their own but a link.
    let limit = workload.duty.peopled && !plan.rivals.contains(&Rival::Veth);
    all.extend(limit.then_some(Contender::Rival(Rival::Veth)));
    all.extend(plan.rivals.iter().copied().map(Contender::Rival));
    let cell = |contender: Contender| {
        let subject = contender.subject()?;
        let does = match workload.load {
            Load::Span => subject.spans_nodes(),
            _ => subject.takes(&workload.duty),
        };
        let told = plan.named && plan.rivals.iter().any(|rival| contender == Contender::Rival(*rival));
        let wanted = contender == Contender::Podlane || !workload.alone && (does || told);
        let outcome = if does { Ok(Vec::new()) } else { Err(Missing::NotItsWork) };
        wanted.then_some(Cell { workload, contender, subject, outcome })
    };
    all.into_iter().filter_map(cell).collect()
}
