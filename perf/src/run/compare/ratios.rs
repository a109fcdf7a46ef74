//! Podlane over each of the others, within each round; and what some of these ratios are held to.

use super::{
    roster::{Contender, Rival},
    turns::Cell,
    workload::{Family, Figure},
};
use crate::series::{Check, Series, Target};

/// What Podlane is to reach of a rival's figure. Of times it is to need no more.
const fn target(family: Family, rival: Rival) -> Option<Target> {
    match (family, rival) {
        (Family::Udp | Family::Routed, Rival::CrossConnect) => Some(Target::AtLeast(0.97)),
        (Family::Udp | Family::Vxlan, Rival::OvsAfxdp) | (Family::Udp, Rival::OvsDpdk) => Some(Target::AtLeast(1.2)),
        (Family::Udp, Rival::Bridge) => Some(Target::AtLeast(1.0)),
        (Family::Tcp | Family::Policy, Rival::OvsAfxdp) | (Family::Tcp, Rival::OvsDpdk) => Some(Target::AtLeast(1.4)),
        (Family::RoundTrip, Rival::OvsAfxdp | Rival::OvsDpdk | Rival::Testpmd | Rival::Vpp) => {
            Some(Target::AtMost(1.0))
        }
        (Family::Policy, Rival::Nftables) => Some(Target::AtLeast(20.0)),
        _ => None,
    }
}

/// What the bare cross-connect is to reach of testpmd's rate: that the rings themselves are good.
const RINGS: Target = Target::AtLeast(1.15);

/// Why there is no percentile where packets arrived.
const TOO_FEW: &str = "too few packets a round to tell it; measure for longer (--seconds)";

/// One figure of one cell.
pub(super) fn series(cell: &Cell<'_>, number: usize, figure: Figure) -> Series {
    let name = named(cell.subject.name(), &cell.workload.name, figure);
    let series = match &cell.outcome {
        Ok(rounds) => match rounds.iter().filter_map(|round| round[number]).collect::<Vec<_>>() {
            samples if samples.is_empty() => Series::skipped(name, figure.unit, TOO_FEW.to_owned()),
            samples => Series::new(name, figure.unit, samples),
        },
        Err(missing) => Series::skipped(name, figure.unit, missing.to_string()),
    };
    match cell.workload.at {
        Some(at) => series.at(at.axis, at.x),
        None => series,
    }
}

fn named(who: &str, workload: &str, figure: Figure) -> String {
    [who, workload, figure.what].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// All ratios: those with a target, and the others.
pub(super) fn ratios(cells: &[Cell<'_>]) -> (Vec<Check>, Vec<Series>) {
    let mut told = (Vec::new(), Vec::new());
    // Of a sweep the curves tell.
    for ours in cells.iter().filter(|cell| cell.contender == Contender::Podlane && cell.workload.at.is_none()) {
        let others = || cells.iter().filter(|cell| std::ptr::eq(cell.workload, ours.workload));
        for other in others() {
            let Contender::Rival(rival) = other.contender else { continue };
            tell(&mut told, (ours, other), &other.workload.name, target(ours.workload.family, rival));
        }
        let with = |rival| others().find(|cell| cell.contender == Contender::Rival(rival));
        if let (Family::Udp, Some(rings), Some(testpmd)) =
            (ours.workload.family, with(Rival::CrossConnect), with(Rival::Testpmd))
        {
            tell(&mut told, (rings, testpmd), &ours.workload.name, Some(RINGS));
        }
        if let Some((base, target)) = ours.workload.base {
            let base = cells.iter().find(|cell| cell.contender == Contender::Podlane && cell.workload.name == base);
            base.into_iter().for_each(|base| tell(&mut told, (ours, base), "", target));
        }
    }
    told
}

/// One cell over another, by each figure that is compared.
fn tell(
    (checks, others): &mut (Vec<Check>, Vec<Series>),
    (one, other): (&Cell<'_>, &Cell<'_>),
    workload: &str,
    target: Option<Target>,
) {
    let figures = one.workload.figures();
    for (number, figure) in figures.iter().enumerate().filter(|(_, figure)| figure.compared) {
        let (over, under) = (series(one, number, *figure), series(other, number, *figure));
        // Two subjects under one workload, or one subject under two.
        let name = if workload.is_empty() {
            format!("{} / {}", over.name, other.workload.name)
        } else {
            named(&format!("{} / {}", one.subject.name(), other.subject.name()), workload, *figure)
        };
        match target {
            Some(target) => checks.push(Check::ratio(&name, &over, &under, target)),
            None if under.skipped.is_some() || over.skipped.is_some() => {}
            None => others.push(Series::new(name, "", over.over(&under))),
        }
    }
}
