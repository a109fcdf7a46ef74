//! A whole run: the plan carried out, its numbers kept as series, until it is done or the device is not one of which a rate can be told.

use std::{borrow::Cow, time::Duration};

use crate::{
    rfc2544::{
        device::{Device, Frames, Size, Stations, TrialError},
        flows,
        learning::{self, Capacity},
        plan::{Measurement, Plan},
        search::Found,
        session::{Ended, Session},
        throughput::{self, LOADS, Throughput},
        verdict::Verdict,
    },
    series::{Axis, Series},
};

/// The percentiles that are kept of a latency.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The numbers.
    pub series: Vec<Series>,
    /// What a reader must know to read them right.
    pub notes: Vec<Cow<'static, str>>,
    /// Why it ended early, if it did.
    pub verdict: Option<Verdict>,
}

/// Carries out a plan. A device that may not forward at first is given so much patience.
///
/// # Errors
/// [`TrialError`], if it is not the device that is at fault.
pub fn run(
    device: &mut dyn Device,
    plan: &Plan,
    patience: Duration,
    progress: &dyn Fn(&str),
) -> Result<Findings, TrialError> {
    let mut run = Run { plan, findings: Findings::default(), limited: Vec::new() };
    let mut session = Session::new(device, plan.length, patience, progress);
    match run.carry_out(&mut session) {
        Ok(()) => {}
        Err(Ended::Verdict(verdict)) => run.findings.verdict = Some(verdict),
        Err(Ended::Trial(error)) => return Err(error),
    }
    Ok(run.finish())
}

struct Run<'a> {
    plan: &'a Plan,
    findings: Findings,
    /// Where the generator was slower than the device.
    limited: Vec<String>,
}

impl Run<'_> {
    fn carry_out(&mut self, session: &mut Session<'_>) -> Result<(), Ended> {
        let Some(first) = self.plan.sizes.first() else { return Ok(()) };
        session.begin(frames(*first))?;
        for round in 1..=self.plan.rounds {
            let turn =
                if self.plan.rounds > 1 { format!("round {round} of {}: ", self.plan.rounds) } else { String::new() };
            for size in &self.plan.sizes {
                self.of_size(session, *size, &turn)?;
            }
            // The device may be another one meanwhile, of which none of the rates is to be.
            if self.plan.measures(Measurement::Learning, *first) {
                session.say(&format!("{turn}learning"));
                self.learn(session, frames(*first))?;
                session.restore()?;
            }
        }
        Ok(())
    }

    fn of_size(&mut self, session: &mut Session<'_>, size: Size, turn: &str) -> Result<(), Ended> {
        let frames = frames(size);
        let plan = self.plan;
        if plan.measures(Measurement::Throughput, size) {
            session.say(&format!("{turn}{size}: throughput"));
            let found = throughput::throughput(session, frames, plan.partial)?;
            self.keep_throughput(size, &found);
            self.build_on(session, (size, frames), &found, turn)?;
        }
        if plan.measures(Measurement::Flows, size) {
            session.say(&format!("{turn}{size}: from one flow to {}", plan.flows));
            for step in flows::ramp(session, frames, plan.flows, plan.partial)? {
                let flows = f64::from(step.flows);
                self.rate("no-drop rate by flows", step.throughput.no_drop, (Axis::Flows, flows));
                self.keep(
                    "delivered at full rate",
                    "Mpps",
                    Some((Axis::Flows, flows)),
                    step.throughput.delivered / 1e6,
                );
            }
        }
        Ok(())
    }

    /// What is measured at shares of the rates.
    fn build_on(
        &mut self,
        session: &mut Session<'_>,
        (size, frames): (Size, Frames),
        found: &Throughput,
        turn: &str,
    ) -> Result<(), Ended> {
        let borne = found.no_drop.load().or(found.partial_drop.load()).unwrap_or(found.delivered);
        if self.plan.measures(Measurement::Latency, size) {
            session.say(&format!("{turn}{size}: latency"));
            for (latency, share) in throughput::latency(session, frames, borne)?.iter().zip(LOADS) {
                let at = Some((Axis::OfferedShare, share * 100.0));
                for (name, quantile) in PERCENTILES {
                    let micros = latency.histogram.value_at_quantile(quantile) as f64 / 1e3;
                    // Without a clock that both ends share there is none.
                    if !latency.histogram.is_empty() {
                        self.keep(&format!("latency {name}, {size}"), "us", at, micros);
                    }
                }
            }
        }
        if self.plan.measures(Measurement::Loss, size) {
            session.say(&format!("{turn}{size}: loss"));
            for loss in throughput::loss_curve(session, frames, found.full)? {
                let at = Some((Axis::OfferedShare, loss.share.into()));
                self.keep(&format!("loss, {size}"), "%", at, loss.lost * 100.0);
            }
        }
        if self.plan.measures(Measurement::Burst, size) {
            session.say(&format!("{turn}{size}: bursts"));
            let longest = throughput::burst(session, frames, found.full)?;
            if let (Size::Bytes(bytes), Some(frames)) = (size, longest.load()) {
                self.keep("longest burst", "frames", Some((Axis::FrameSize, bytes.into())), frames);
            }
            self.note_limit(longest, &format!("bursts of {size}"));
        }
        Ok(())
    }

    fn keep_throughput(&mut self, size: Size, found: &Throughput) {
        let partial = format!("{} % drop rate", self.plan.partial * 100.0);
        let rates = [
            ("no-drop rate", found.no_drop.load()),
            (partial.as_str(), found.partial_drop.load()),
            ("delivered at full rate", Some(found.delivered)),
            ("generator's limit", Some(found.full)),
        ];
        for (name, rate) in rates {
            let mpps = rate.unwrap_or_default() / 1e6;
            match size {
                Size::Bytes(bytes) => self.keep(name, "Mpps", Some((Axis::FrameSize, bytes.into())), mpps),
                Size::Imix => self.keep(&format!("{name}, IMIX"), "Mpps", None, mpps),
            }
        }
        self.note_limit(found.no_drop, &format!("frames of {size}"));
        self.note_loss(found.no_drop, &format!("frames of {size}"));
    }

    fn learn(&mut self, session: &mut Session<'_>, frames: Frames) -> Result<(), Ended> {
        let capacity = learning::capacity(session, self.plan.addresses)?;
        let name = match capacity {
            Capacity::Kept(_) => "MAC addresses kept",
            Capacity::AtLeast(_) => "MAC addresses kept, at least",
            Capacity::None => {
                let why = "it learns no addresses that are behind its first link, or floods none that it does not know";
                self.findings.series.push(Series::skipped("MAC addresses kept", "addresses", why.to_owned()));
                return Ok(());
            }
        };
        self.keep(name, "addresses", None, capacity.addresses().into());
        let full = session.full(frames)?;
        match learning::rate(session, capacity, full)? {
            Some(found) => {
                self.keep("MAC addresses learned", "addresses/s", None, found.load().unwrap_or_default());
                self.note_limit(found, "new addresses");
            }
            None => {
                let why = "it cannot be made to forget; say how long it remembers (--ageing)";
                self.findings.series.push(Series::skipped("MAC addresses learned", "addresses/s", why.to_owned()));
            }
        }
        Ok(())
    }

    fn rate(&mut self, name: &str, found: Found, (axis, x): (Axis, f64)) {
        self.keep(name, "Mpps", Some((axis, x)), found.load().unwrap_or_default() / 1e6);
        self.note_limit(found, &format!("{x} flows"));
        self.note_loss(found, &format!("{x} flows"));
    }

    fn note_limit(&mut self, found: Found, what: &str) {
        if matches!(found, Found::AtLeast(_)) && !self.limited.iter().any(|limited| limited == what) {
            self.limited.push(what.to_owned());
        }
    }

    fn note_loss(&mut self, found: Found, what: &str) {
        let note = match found {
            Found::LessThan(rate) => {
                format!("Of {what} some are lost even at {rate} a second: there is no no-drop rate.")
            }
            Found::Unsettled(_) => format!(
                "The loss of {what} does not depend on the rate alone: their no-drop rate is the last that held."
            ),
            Found::Load(_) | Found::AtLeast(_) => return,
        };
        self.findings.notes.push(note.into());
    }

    /// One sample of a series, in the round under way.
    fn keep(&mut self, name: &str, unit: &'static str, at: Option<(Axis, f64)>, sample: f64) {
        let place = |series: &Series| series.at.map(|at| (at.axis, at.x));
        let known = self.findings.series.iter_mut().find(|series| series.name == name && place(series) == at);
        let samples = |samples: Vec<f64>| match at {
            Some((axis, x)) => Series::new(name, unit, samples).at(axis, x),
            None => Series::new(name, unit, samples),
        };
        match known {
            Some(series) => *series = samples(series.samples.iter().copied().chain([sample]).collect()),
            None => self.findings.series.push(samples(vec![sample])),
        }
    }

    fn finish(mut self) -> Findings {
        if !self.limited.is_empty() {
            let note =
                format!("The generator was the limit of {}: the device bears at least that.", self.limited.join(", "));
            self.findings.notes.push(note.into());
        }
        if let Some(verdict) = &self.findings.verdict {
            self.findings.notes.push(format!("Ended early: {verdict}.").into());
        }
        self.findings
    }
}

const fn frames(size: Size) -> Frames {
    Frames { size, stations: Stations::Flows(1) }
}
