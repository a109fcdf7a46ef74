//! `podlane-perf veth`: from veth to veth over AF_XDP, in turns with the bare cross-connect and with others.

use crate::{
    load::traffic::Traffic,
    machine::Origin,
    report::Report,
    run::{RunError, Terms, turns::in_turns},
    series::{Check, Target},
    subject::{Row, crossconnect, drain::Drain, podlane::Podlane, testpmd::Testpmd},
};

/// Of the bare cross-connect's rate, what a switch is to keep.
const OF_CROSS_CONNECT: Target = Target::AtLeast(0.95);

/// What the bare cross-connect is to reach of testpmd's rate: that the rings themselves are good.
const OF_TESTPMD: Target = Target::AtLeast(1.15);

const DRAIN: Row = Row::new("generator's own limit", Traffic::bridged(1), &Drain);
const OURS: [Row; 3] = [
    Row::new("podlane, L2, 1 flow", Traffic::bridged(1), &Podlane),
    Row::new("podlane, L2, 1,000 flows", Traffic::bridged(1000), &Podlane),
    Row::new("podlane, L3, 1,000 flows", Traffic::routed(1000), &Podlane),
];
const TESTPMD: Row = Row::new("DPDK testpmd io, net_af_xdp", Traffic::bridged(1), &Testpmd);

/// Another switch to measure against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rival {
    /// DPDK's testpmd.
    Testpmd,
}

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, rivals: &[Rival]) -> Result<Report, RunError> {
    let mut rows = vec![DRAIN, crossconnect::ROW];
    rows.extend(OURS);
    rows.extend(rivals.iter().map(|Rival::Testpmd| TESTPMD));

    let origin = Origin::here();
    let series = in_turns(&rows, terms)?;
    // The order of the roster above.
    let (crossconnect, ours, rivals) = (&series[1], &series[2..2 + OURS.len()], &series[2 + OURS.len()..]);
    let mut checks: Vec<Check> = ours
        .iter()
        .map(|series| Check::ratio(&format!("{} / cross-connect", series.name), series, crossconnect, OF_CROSS_CONNECT))
        .collect();
    checks.extend(rivals.iter().map(|rival| Check::ratio("cross-connect / testpmd", crossconnect, rival, OF_TESTPMD)));
    let title = "veth to veth over AF_XDP, 64-byte UDP, one core";
    Ok(Report { series, checks, ..Report::new(title, origin, terms.rounds) })
}
