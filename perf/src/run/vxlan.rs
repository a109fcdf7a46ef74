//! `podlane-perf vxlan`: what a tunnel costs, each way, over AF_XDP veths; in turns with plain routing, and with others' tunnels.
//!
//! The bare cross-connect runs beside them: it is about the ceiling on these links. One switch is measured: packets come from a pod
//! and are counted on the underlay, or come in VXLAN from the underlay and are counted in a pod. How long they are says which they
//! are, and is checked.

use crate::{
    load::traffic::Traffic,
    machine::Origin,
    report::Report,
    run::{RunError, Terms, turns::in_turns},
    series::{Check, Series, Target},
    subject::{
        Row, crossconnect,
        kernel::Kernel,
        overlay::Overlay,
        ovs::tunnel::Tunnel,
        podlane::Podlane,
        tunnel::Direction::{Decapsulation, Encapsulation},
    },
};

/// Of the plain routed rate, what a tunnel is to keep, each way.
const OF_ROUTED: Target = Target::AtLeast(0.90);

/// Of the rate of OVS with AF_XDP, what is to be reached, each way.
const OF_OVS: Target = Target::AtLeast(1.2);

/// Another tunnel to measure against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rival {
    /// Open vSwitch with AF_XDP ports.
    Ovs,
    /// The kernel's `vxlan` device and bridge.
    Kernel,
}

const NOTES: &[&str] = &[
    "The bare cross-connect looks at no byte: over OVS it shows about how far ahead an AF_XDP switch can be on these links, where the \
     kernel's copy and delivery of each packet take most of the time.",
];

const ROUTED: Row = Row::new("podlane, routed without a tunnel", Traffic::routed(1000), &Podlane);
const OURS: [Row; 2] = [
    Encapsulation.row("podlane, encapsulation", &Overlay(Encapsulation)),
    Decapsulation.row("podlane, decapsulation", &Overlay(Decapsulation)),
];
const OVS: [Row; 2] = [
    Encapsulation.row("OVS AF_XDP, encapsulation", &Tunnel(Encapsulation)),
    Decapsulation.row("OVS AF_XDP, decapsulation", &Tunnel(Decapsulation)),
];
const KERNEL: [Row; 2] = [
    Encapsulation.row("kernel vxlan, encapsulation", &Kernel(Encapsulation)),
    Decapsulation.row("kernel vxlan, decapsulation", &Kernel(Decapsulation)),
];

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, rivals: &[Rival]) -> Result<Report, RunError> {
    let mut rows = vec![crossconnect::ROW, ROUTED];
    rows.extend(OURS);
    rows.extend(rivals.iter().flat_map(|rival| match rival {
        Rival::Ovs => OVS,
        Rival::Kernel => KERNEL,
    }));
    let origin = Origin::here();
    let mut series = in_turns(&rows, terms)?;
    // The order of the roster above.
    let (crossconnect, routed, ours) = (&series[0], &series[1], &series[2..2 + OURS.len()]);
    let mut checks: Vec<Check> =
        ours.iter().map(|one| Check::ratio(&format!("{} / routed", one.name), one, routed, OF_ROUTED)).collect();
    let mut bounds = Vec::new();
    for (one, ovs) in ours.iter().zip(&OVS) {
        let Some(ovs) = series.iter().find(|series| series.name == ovs.name) else { continue };
        checks.push(Check::ratio(&format!("{} / OVS AF_XDP", one.name), one, ovs, OF_OVS));
        // About what a switch that costs nothing would reach.
        if ovs.skipped.is_none() {
            bounds.push(Series::new(format!("bare cross-connect / {}", ovs.name), "", crossconnect.over(ovs)));
        }
    }
    series.extend(bounds);
    let title = "VXLAN over AF_XDP veths, 64-byte inner UDP, 1,000 flows, one core";
    Ok(Report { series, checks, ..Report::new(title, origin, terms.rounds) }.noted(NOTES))
}
