//! `podlane-perf idle-ports`: what attached but silent ports cost a pair that is busy.
//!
//! One switch has them all open; the silent ones are taken from its worker and given back between rounds, which takes
//! microseconds, so both sides are measured under the same conditions.

use std::num::NonZero;

use podlane_dataplane::{PortId, port::Port, worker::idle::Poll};

use crate::{
    bed::{Bed, Shape},
    load::{
        flood::Flood,
        traffic::{PACKET, Traffic},
    },
    machine::Origin,
    report::Report,
    run::{RunError, Terms, allow_files},
    series::{Check, Series, Target},
    subject::{
        Duty,
        podlane::{attach_pair, tables},
        switch::{FRAMES, Switch},
    },
};

/// What the busy pair is to keep of its rate.
const KEPT: Target = Target::AtLeast(0.9);

/// Frames lent to each silent port: the least the daemon lends.
const FILL: u32 = 64;

/// The first silent port's number.
const FIRST: u16 = 10;

/// Measures a pair alone, and with `ports` silent ports beside it.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, ports: u16) -> Result<Report, RunError> {
    let origin = Origin::here();
    allow_files(ports)?;
    let bed = Bed::lay(&Shape { silent: ports, ..Shape::default() })?;
    let frames = FRAMES.max(FRAMES / 2 + u32::from(ports) * FILL);
    let mut switch =
        Switch::start(&[bed.cores.switch], Poll::Busy, NonZero::new(frames).unwrap_or(NonZero::<u32>::MIN))?;
    attach_pair(&mut switch, &bed)?;
    switch.publish(tables(&Duty::BRIDGED))?;
    (terms.progress)(&format!("attaching {ports} silent ports"));
    for (link, number) in bed.silent_ends().iter().zip(FIRST..) {
        switch.attach(bed.switch(), link, PortId(number), FILL)?;
        if terms.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(crate::load::LoadError::Interrupted.into());
        }
    }
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
    for port in (0..ports).map(|number| PortId(FIRST + number)) {
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
