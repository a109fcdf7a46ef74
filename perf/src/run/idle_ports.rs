//! `podlane-perf idle-ports`: what attached but silent ports cost a pair that is busy.
//!
//! One switch has them all open; the silent ones are taken from its worker and given back between rounds, which takes
//! microseconds, so both sides are measured under the same conditions.

use podlane_dataplane::{PortId, port::Port};

use crate::{
    bed::Bed,
    load::{
        flood::Flood,
        traffic::{PACKET, Traffic},
    },
    machine::Origin,
    report::Report,
    run::{RunError, Terms, allow_ports},
    series::{Check, Series, Target},
    subject::{
        Duty,
        podlane::{FIRST_SILENT, switch_pair, tables},
        switch::Switch,
    },
};

/// What the busy pair is to keep of its rate.
const KEPT: Target = Target::AtLeast(0.9);

/// Measures a pair alone, and with `ports` silent ports beside it.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, ports: u16) -> Result<Report, RunError> {
    let origin = Origin::here();
    allow_ports(ports)?;
    let duty = Duty { silent: ports, ..Duty::BRIDGED };
    let bed = Bed::lay(&duty.shape())?;
    (terms.progress)(&format!("attaching {ports} silent ports"));
    let switch = switch_pair(&bed, &duty, tables(&duty))?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=terms.rounds {
        (terms.progress)(&format!("round {round} of {}: the pair beside {ports} silent ports", terms.rounds));
        beside.push(rate(&bed, terms)?);
        (terms.progress)(&format!("round {round} of {}: the pair alone", terms.rounds));
        let taken = take(&switch, ports)?;
        let measured = rate(&bed, terms);
        for (port, end) in taken {
            switch.reattach(port, end)?;
        }
        alone.push(measured?);
    }
    (terms.progress)("closing the ports");
    switch.stop()?;
    let alone = Series::new("a busy pair alone", "Mpps", alone);
    let beside = Series::new(format!("beside {ports} silent ports"), "Mpps", beside);
    let checks = vec![Check::ratio("beside / alone", &beside, &alone, KEPT)];
    let title = "what silent ports cost a busy pair, 64-byte UDP, 1,000 flows, one core";
    Ok(Report { series: vec![alone, beside], checks, ..Report::new(title, origin, terms.rounds) })
}

/// Ports taken from the worker, still open.
type Taken = Vec<(PortId, Box<dyn Port>)>;

/// Takes the silent ports from the worker, open.
fn take(switch: &Switch, ports: u16) -> Result<Taken, RunError> {
    let mut taken = Taken::new();
    for port in (0..ports).map(|number| PortId(FIRST_SILENT + number)) {
        if let Some(end) = switch.detach(port)? {
            taken.push((port, end));
        }
    }
    Ok(taken)
}

fn rate(bed: &Bed, terms: &Terms<'_>) -> Result<f64, RunError> {
    let flood = Flood {
        bed,
        traffic: Traffic::bridged(1000),
        length: terms.length,
        patience: std::time::Duration::from_secs(2),
        taken: None,
        arriving: PACKET,
        stop: terms.stop,
    };
    Ok(flood.run()?.rate() / 1e6)
}
