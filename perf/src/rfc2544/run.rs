//! A whole run: the plan carried out, its numbers kept as series, until it is done or the device is not one of which a rate can be told.

use std::{borrow::Cow, time::Duration};

use crate::{
    generator::latency::micros,
    rfc2544::{
        device::{Device, Frames, Size, Stations, TrialError, fell_short},
        flows,
        learning::{self, Capacity},
        plan::{Measurement, Plan},
        search::Found,
        session::{Disturbed, Ended, Session},
        throughput::{self, LOADS, Latency, Throughput},
        verdict::Verdict,
    },
    series::{Axis, Series},
};

/// The percentiles that are kept of a latency.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Where on a sweep.
type Place = (Axis, f64);

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
    let mut run =
        Run { plan, findings: Findings::default(), limited: Vec::new(), slower: Vec::new(), lossy: Vec::new() };
    let mut session = Session::new(device, plan.length, patience, progress);
    match run.carry_out(&mut session) {
        Ok(()) => {}
        Err(Ended::Verdict(verdict)) => run.findings.verdict = Some(verdict),
        Err(Ended::Trial(error)) => return Err(error),
    }
    Ok(run.finish(session.trials, session.disturbed))
}

struct Run<'a> {
    plan: &'a Plan,
    findings: Findings,
    /// Where the generator was slower than the device.
    limited: Vec<String>,
    /// Where it was slower than the share of a rate that it was asked for.
    slower: Vec<String>,
    /// Where frames were lost while a latency was taken.
    lossy: Vec<String>,
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
                let (at, rates) = (Some((Axis::Flows, flows)), &step.throughput);
                self.keep_found("no-drop rate by flows", ("Mpps", 1e6), at, rates.no_drop);
                self.note_limit(rates.no_drop, &format!("{flows} flows"));
                self.note_loss(rates.no_drop, &format!("{flows} flows"));
                self.keep("delivered at full rate", "Mpps", at, rates.delivered / 1e6);
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
                self.keep_latency(size, share * 100.0, latency);
            }
        }
        if self.plan.measures(Measurement::Loss, size) {
            session.say(&format!("{turn}{size}: loss"));
            for loss in throughput::loss_curve(session, frames, found.full)? {
                let share = f64::from(loss.share);
                let at = Some((Axis::OfferedShare, share));
                self.keep(&format!("loss, {size}"), "%", at, loss.lost * 100.0);
                self.keep(&format!("offered for loss, {size}"), "Mpps", at, loss.reached / 1e6);
                // The first point is the limit itself.
                if loss.share < 100 && fell_short(loss.rate, loss.reached) {
                    note(&mut self.slower, format!("loss of {size} at {share} %"));
                }
            }
        }
        if self.plan.measures(Measurement::Burst, size) {
            session.say(&format!("{turn}{size}: bursts"));
            let longest = throughput::burst(session, frames, found.full)?;
            if let Size::Bytes(bytes) = size {
                self.keep_found("longest burst", ("frames", 1.0), Some((Axis::FrameSize, bytes.into())), longest);
            }
            self.note_limit(longest, &format!("bursts of {size}"));
        }
        Ok(())
    }

    fn keep_latency(&mut self, size: Size, share: f64, latency: &Latency) {
        let at = Some((Axis::OfferedShare, share));
        for (name, quantile) in PERCENTILES {
            // Without a clock that both ends share there is none, and of a few frames no rare one.
            if let Some(micros) = micros(&latency.histogram, quantile) {
                self.keep(&format!("latency {name}, {size}"), "us", at, micros);
            }
        }
        self.keep(&format!("offered for latency, {size}"), "Mpps", at, latency.reached / 1e6);
        let point = || format!("{size} at {share} %");
        if fell_short(latency.rate, latency.reached) {
            note(&mut self.slower, format!("latency of {}", point()));
        }
        if latency.lost > 0.0 {
            note(&mut self.lossy, point());
        }
    }

    fn keep_throughput(&mut self, size: Size, found: &Throughput) {
        let partial = format!("{} % drop rate", self.plan.partial * 100.0);
        let searched = [("no-drop rate", found.no_drop), (partial.as_str(), found.partial_drop)];
        let seen = [("delivered at full rate", found.delivered), ("generator's limit", found.full)];
        let place = |name: &str| match size {
            Size::Bytes(bytes) => (name.to_owned(), Some((Axis::FrameSize, bytes.into()))),
            Size::Imix => (format!("{name}, IMIX"), None),
        };
        for (name, found) in searched {
            let (name, at) = place(name);
            self.keep_found(&name, ("Mpps", 1e6), at, found);
        }
        for (name, rate) in seen {
            let (name, at) = place(name);
            self.keep(&name, "Mpps", at, rate / 1e6);
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
                self.keep_found("MAC addresses learned", ("addresses/s", 1.0), None, found);
                self.note_limit(found, "new addresses");
            }
            None => {
                let why = "it cannot be made to forget; say how long it remembers (--ageing)";
                self.findings.series.push(Series::skipped("MAC addresses learned", "addresses/s", why.to_owned()));
            }
        }
        Ok(())
    }

    fn note_limit(&mut self, found: Found, what: &str) {
        if matches!(found, Found::AtLeast(_)) {
            note(&mut self.limited, what.to_owned());
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
        // It is the same in every round.
        if !self.findings.notes.iter().any(|said| *said == note) {
            self.findings.notes.push(note.into());
        }
    }

    /// What a search found, in the round under way, in a unit of so many. Where it found nothing there is no sample, and no zero either.
    fn keep_found(&mut self, name: &str, (unit, size): (&'static str, f64), at: Option<Place>, found: Found) {
        let why = match (found, found.load()) {
            // What is counted one by one comes in no parts.
            (_, Some(load)) if size == 1.0 => return self.keep(name, unit, at, load.round()),
            (_, Some(load)) => return self.keep(name, unit, at, load / size),
            (Found::LessThan(least), None) => format!("not even {least} is borne"),
            _ => "what is borne once is not borne again".to_owned(),
        };
        if self.known(name, at).is_none() {
            let series = Series::skipped(name, unit, why);
            self.findings.series.push(at.map_or(series.clone(), |(axis, x)| series.at(axis, x)));
        }
    }

    fn known(&mut self, name: &str, at: Option<Place>) -> Option<&mut Series> {
        let place = |series: &Series| series.at.map(|at| (at.axis, at.x));
        self.findings.series.iter_mut().find(|series| series.name == name && place(series) == at)
    }

    /// One sample of a series, in the round under way.
    fn keep(&mut self, name: &str, unit: &'static str, at: Option<Place>, sample: f64) {
        let known = self.known(name, at);
        let samples = |samples: Vec<f64>| match at {
            Some((axis, x)) => Series::new(name, unit, samples).at(axis, x),
            None => Series::new(name, unit, samples),
        };
        match known {
            Some(series) => *series = samples(series.samples.iter().copied().chain([sample]).collect()),
            None => self.findings.series.push(samples(vec![sample])),
        }
    }

    fn finish(mut self, trials: u32, disturbed: Disturbed) -> Findings {
        let mut tell = |what: &[String], sentence: fn(&str) -> String| {
            if !what.is_empty() {
                self.findings.notes.push(sentence(&what.join(", ")).into());
            }
        };
        tell(&self.limited, |what| format!("The generator was the limit of {what}: the device bears at least that."));
        tell(&self.slower, |what| {
            format!("The generator was slower than asked for the {what}: what it offered is told beside.")
        });
        tell(&self.lossy, |what| {
            format!("Frames were lost while latency was taken, of {what}: it is that of the others.")
        });
        let Disturbed { overrun, late } = disturbed;
        if overrun > 0 {
            let note = format!(
                "In {overrun} of {trials} trials frames found no room at the generator's own receiver, each time they were made: that loss is not the device's."
            );
            self.findings.notes.push(note.into());
        }
        if late > 0 {
            let note = format!(
                "In {late} of {trials} trials the generator was held up, and more than one frame in a hundred left late: latency and loss of these are its own in part."
            );
            self.findings.notes.push(note.into());
        }
        if let Some(verdict) = &self.findings.verdict {
            self.findings.notes.push(format!("Ended early: {verdict}.").into());
        }
        self.findings
    }
}

/// Adds what is not there yet.
fn note(notes: &mut Vec<String>, what: String) {
    if !notes.contains(&what) {
        notes.push(what);
    }
}

const fn frames(size: Size) -> Frames {
    Frames { size, stations: Stations::Flows(1) }
}
