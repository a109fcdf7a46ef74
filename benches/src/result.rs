//! What a bench found, in the form that `perf/REPORT.md` is made of.
//!
//! A bench prints for whoever runs it. With the feature `results`, and `PODLANE_RESULT` naming a file, it stores its figures too, as
//! `podlane-perf` stores its own: this is how `perf/measure` comes by them.

use crate::verdict::Measured;

/// Parts of a case's samples, one after the other, each of which counts as a round.
#[cfg(feature = "results")]
const ROUNDS: usize = 9;

/// Stores what the cases cost, less their devices, if that is wanted. The bench is called `name`.
///
/// # Panics
/// If the file cannot be written.
#[cfg(feature = "results")]
pub fn keep(name: &str, title: &'static str, cases: &[Measured]) {
    use podlane_perf::{
        report::Report,
        series::{Check, Series, Target},
    };

    let (mut series, mut checks) = (Vec::new(), Vec::new());
    for Measured { name, whole, device, target } in cases.iter().filter(|case| !case.whole.is_empty()) {
        let rounds = whole.rounds(ROUNDS).into_iter().zip(device.rounds(ROUNDS));
        let line = Series::new(name, "ns", rounds.map(|(whole, device)| whole - device).collect());
        match target {
            Some(target) => checks.push(Check::new(line, Target::AtMost(*target))),
            None => series.push(line),
        }
    }
    store(name, Report { series, checks, ..Report::new(title, origin(name), ROUNDS as u32) });
}

/// Without the feature nothing is stored, and nobody is told that it was.
///
/// # Panics
/// If somebody wants it stored.
#[cfg(not(feature = "results"))]
pub fn keep(_name: &str, _title: &'static str, _cases: &[Measured]) {
    assert!(std::env::var_os("PODLANE_RESULT").is_none(), "PODLANE_RESULT is heeded with `--features results` only");
}

/// Where a bench ran, and of what.
#[cfg(feature = "results")]
#[must_use]
pub fn origin(name: &str) -> podlane_perf::machine::Origin {
    let command = format!("cargo bench -p podlane-benches --features results --bench {name}");
    podlane_perf::machine::Origin { command, ..podlane_perf::machine::Origin::here() }
}

/// Writes a report to the file that `PODLANE_RESULT` names, if it names one.
///
/// # Panics
/// If it cannot be written.
#[cfg(feature = "results")]
#[expect(clippy::needless_pass_by_value, reason = "a report that was stored is done with")]
pub fn store(bench: &str, report: podlane_perf::report::Report) {
    if let Some(path) = std::env::var_os("PODLANE_RESULT") {
        let stored = report.store(path.as_ref());
        assert!(stored.is_ok(), "{bench}: cannot write {}: {stored:?}", path.display());
    }
}
