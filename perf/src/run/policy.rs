//! `podlane-perf policy`: what 1,000 rules and connection tracking cost over AF_XDP veths; in turns with no policy at all, and with others'
//! rules and trackers.
//!
//! Everybody has the same rules in the same order and gets the same packets, of connections in which both sides have spoken. They are
//! UDP without a checksum, so that a flow's port can be written into them: a tracker looks at the checksums there are.

use crate::{
    load::traffic::Traffic,
    machine::Origin,
    report::Report,
    run::{RunError, Terms, turns::in_turns},
    series::{Check, Series, Target},
    subject::{Row, crossconnect, nftables::Nftables, ovs::tracking::Tracking, podlane::Podlane, policed::Policed},
};

/// Of the rate of OVS with AF_XDP, its tracker and as many rules, what is to be reached.
const OF_OVS: Target = Target::AtLeast(1.4);

/// Of the rate of the kernel's bridge with as many rules, what is to be reached.
const OF_LINEAR: Target = Target::AtLeast(20.0);

/// Another policy to measure against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rival {
    /// Open vSwitch with AF_XDP ports.
    Ovs,
    /// The kernel's bridge with nftables.
    Nftables,
}

/// Flows that cross: enough that none is the next packet's, few enough for every switch's cache.
const TRAFFIC: Traffic = Traffic::bridged(1000).answered();

const OPEN: Row = Row::new("podlane, no policy", TRAFFIC, &Podlane);
const POLICED: Row = Row::new("podlane, stateful, 1,000 rules", TRAFFIC, &Policed);
const OVS: Row = Row::new("OVS AF_XDP, ct, 1,000 rules", TRAFFIC, &Tracking);
const LINEAR: Row = Row::new("bridge + nft, 1,000 linear rules", TRAFFIC, &Nftables::Linear);
const TRACKED: Row = Row::new("bridge + nft, ct first, 1,000 rules", TRAFFIC, &Nftables::Tracked);

const NOTES: &[&str] = &[
    "1,000 flows, each answered once beforehand. Of the rules the last one allows them.",
    "OVS and the kernel's tracker look up the connection of every packet; Podlane has it in the flow, and keeps it alive from its upkeep. \
     Of TCP it reads every segment too, which UDP does not show: `cargo bench -p podlane-benches --bench policy` has what that costs.",
    "The kernel's bridge has no connection tracking of its own; the linear rules are all evaluated for each packet. \
     With ct first, packets take the way through br_netfilter, and only those that open a connection meet the rules.",
    "The bare cross-connect looks at no byte: over OVS it shows about how far ahead an AF_XDP switch can be on these links.",
];

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, rivals: &[Rival]) -> Result<Report, RunError> {
    let mut rows = vec![crossconnect::ROW, OPEN, POLICED];
    for rival in rivals {
        match rival {
            Rival::Ovs => rows.push(OVS),
            Rival::Nftables => rows.extend([LINEAR, TRACKED]),
        }
    }
    let origin = Origin::here();
    let mut series = in_turns(&rows, terms)?;
    // The order of the roster above.
    let (crossconnect, open, ours) = (&series[0], &series[1], &series[2]);
    let mut checks = Vec::new();
    for (row, target) in [(OVS, OF_OVS), (LINEAR, OF_LINEAR)] {
        let rival = series.iter().find(|series| series.name == row.name);
        checks.extend(rival.map(|rival| Check::ratio(&format!("podlane / {}", rival.name), ours, rival, target)));
    }
    let mut bounds = vec![Series::new("podlane under policy / without", "", ours.over(open))];
    let ovs = series.iter().find(|series| series.name == OVS.name && series.skipped.is_none());
    // About what a switch that costs nothing would reach.
    bounds.extend(ovs.map(|ovs| Series::new(format!("bare cross-connect / {}", ovs.name), "", crossconnect.over(ovs))));
    series.extend(bounds);
    let title = "Stateful policy over AF_XDP veths, 64-byte UDP, 1,000 flows, one core";
    Ok(Report { series, checks, ..Report::new(title, origin, terms.rounds) }.noted(NOTES))
}
