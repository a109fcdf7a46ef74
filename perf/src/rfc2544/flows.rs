//! The ramp of flows: the rate a device keeps when it must tell more and more of them apart.
//!
//! Flows are sent in turns, a frame each, which is the worst order for a cache. Each step begins with all flows once, gently, so that what is
//! measured is known flows and not new ones.

use crate::rfc2544::{
    device::{Ask, Frames, Pace, Stations, Until},
    search::Found,
    session::{Ended, Session},
    throughput::{Throughput, throughput},
};

/// The steps of the ramp.
pub const FLOWS: [u32; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];

/// The share of the rate borne by fewer flows at which new ones are shown to the device.
const SHOWN_AT: f64 = 0.1;

/// One step of the ramp.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How many flows.
    pub flows: u32,
    /// Their rates.
    pub throughput: Throughput,
}

/// The ramp up to so many flows; frames of this size.
///
/// # Errors
/// [`Ended`].
pub fn ramp(session: &mut Session<'_>, frames: Frames, most: u32, partial: f64) -> Result<Vec<Step>, Ended> {
    let mut steps: Vec<Step> = Vec::new();
    for flows in FLOWS.into_iter().filter(|flows| *flows <= most) {
        session.say(&format!("{flows} flows"));
        let frames = Frames { stations: Stations::Flows(flows), ..frames };
        let before = steps.last().and_then(|step| step.throughput.no_drop.load());
        let pace = before.map_or(Pace::Full, |rate| Pace::Rate(rate * SHOWN_AT));
        session.trial(&Ask { frames, pace, until: Until::Count(flows.into()) })?;
        steps.push(Step { flows, throughput: throughput(session, frames, partial)? });
    }
    Ok(steps)
}

/// The rate of the last step as a share of the first one's, if both bear any.
#[must_use]
pub fn kept(steps: &[Step]) -> Option<f64> {
    let rate = |step: &Step| Found::load(step.throughput.no_drop);
    Some(rate(steps.last()?)? / rate(steps.first()?)?)
}
