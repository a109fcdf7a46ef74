//! `podlane-perf veth`: from veth to veth over AF_XDP, in turns with the bare cross-connect and with others.

use crate::{
    bed::Bed,
    load::{LoadError, flood::Flood, traffic::Traffic},
    machine::Origin,
    report::Report,
    run::{RunError, Terms},
    series::{Check, Series, Target},
    subject::{Subject, crossconnect::CrossConnect, drain::Drain, podlane::Podlane, testpmd::Testpmd},
};

/// Of the bare cross-connect's rate, what a switch is to keep.
const OF_CROSS_CONNECT: Target = Target::AtLeast(0.95);

/// What the bare cross-connect is to reach of testpmd's rate: that the rings themselves are good.
const OF_TESTPMD: Target = Target::AtLeast(1.15);

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
    let podlane = |name, traffic| Podlane { name, traffic };
    let ours = [
        podlane("podlane, L2, 1 flow", Traffic::bridged(1)),
        podlane("podlane, L2, 1,000 flows", Traffic::bridged(1000)),
        podlane("podlane, L3, 1,000 flows", Traffic::routed(1000)),
    ];
    let mut subjects: Vec<&dyn Subject> = vec![&Drain, &CrossConnect];
    subjects.extend(ours.iter().map(|podlane| podlane as &dyn Subject));
    subjects.extend(rivals.iter().map(|Rival::Testpmd| &Testpmd as &dyn Subject));

    let origin = Origin::here();
    let series = in_turns(&subjects, terms)?;
    // The order of the roster above.
    let (crossconnect, ours, rivals) = (&series[1], &series[2..2 + ours.len()], &series[2 + ours.len()..]);
    let mut checks: Vec<Check> = ours
        .iter()
        .map(|series| Check::ratio(&format!("{} / cross-connect", series.name), series, crossconnect, OF_CROSS_CONNECT))
        .collect();
    checks.extend(rivals.iter().map(|rival| Check::ratio("cross-connect / testpmd", crossconnect, rival, OF_TESTPMD)));
    Ok(Report {
        title: "veth to veth over AF_XDP, 64-byte UDP, one core",
        origin,
        rounds: terms.rounds,
        series,
        checks,
        notes: &[],
    })
}

/// Measures each subject once a round. One that is absent, cannot be had here or forwards nothing is skipped, by name.
///
/// # Errors
/// [`RunError`], if it is the bed, the load or a subject of our own that failed.
pub fn in_turns(subjects: &[&dyn Subject], terms: &Terms<'_>) -> Result<Vec<Series>, RunError> {
    let mut outcomes: Vec<Result<Vec<f64>, String>> = subjects.iter().map(|_| Ok(Vec::new())).collect();
    for round in 1..=terms.rounds {
        for (subject, outcome) in subjects.iter().zip(&mut outcomes) {
            let Ok(samples) = outcome else { continue };
            (terms.progress)(&format!("round {round} of {}: {}", terms.rounds, subject.name()));
            match measure(*subject, terms) {
                Ok(rate) => samples.push(rate),
                Err(RunError::Load(error @ LoadError::Silent { .. })) => *outcome = Err(error.to_string()),
                Err(RunError::Subject { source, .. }) if source.is_a_reason_to_skip() => {
                    *outcome = Err(source.to_string());
                }
                Err(error) => return Err(error),
            }
        }
    }
    let series = subjects.iter().zip(outcomes).map(|(subject, outcome)| match outcome {
        Ok(samples) => Series::new(subject.name(), "Mpps", samples),
        Err(why) => Series::skipped(subject.name(), "Mpps", why),
    });
    Ok(series.collect())
}

/// Millions of packets a second through one subject, on a bed of its own: a program that was killed may have left something on
/// its links, and a queue that was just closed is busy for a while.
fn measure(subject: &dyn Subject, terms: &Terms<'_>) -> Result<f64, RunError> {
    let failed = |source| RunError::Subject { name: subject.name(), source };
    let bed = &Bed::lay()?;
    let running = subject.start(bed).map_err(failed)?;
    let flood = Flood {
        bed,
        traffic: subject.traffic(),
        length: terms.length,
        patience: subject.patience(),
        taken: running.taken(),
        arriving: subject.arriving(),
        stop: terms.stop,
    };
    let sample = flood.run()?;
    running.stop().map_err(failed)?;
    Ok(sample.rate() / 1e6)
}
