//! The policy's part of the demo's table: what was applied, what became of each pair, and what `podlane why` prints of it.

use std::fmt::{self, Formatter};
use std::time::Duration;

use podlane_api::Why;

use super::report::{Found, PairReport, PolicyReport};
use super::{Couple, POLICY, SILENCE};
use crate::cli::Show;
use crate::demo::pods::NAMESPACE;
use crate::paint::Paint;
use crate::units::count;

/// The heading of the pairs: what their columns are.
const TITLE: &str = "TCP to port 8080              from before   a new one   policy_denied";

/// The policy, the pairs, and why.
pub(crate) fn section(f: &mut Formatter<'_>, paint: Paint, report: &PolicyReport) -> fmt::Result {
    let Paint { strong, bad, .. } = paint;
    let in_force = report.in_force_ms.map(|took| format!(", in force after {took:.1} ms")).unwrap_or_default();
    writeln!(f, "\n {strong}policy{strong:#}, applied while pods talk{in_force}")?;
    POLICY.lines().try_for_each(|line| writeln!(f, "   {line}"))?;
    if let Some(why) = &report.failure {
        return writeln!(f, " {bad}FAILED{bad:#} {why}");
    }
    writeln!(f, "\n {strong}{TITLE}{strong:#}")?;
    for pair in report.pairs() {
        write!(f, " {}", route(pair))?;
        match (&pair.found, &pair.failure) {
            (Some(found), None) => writeln!(f, "{}", columns(found))?,
            (_, why) => writeln!(f, "  {bad}FAILED{bad:#} {}", why.as_deref().unwrap_or_default())?,
        }
    }
    report.pairs().try_for_each(|pair| why(f, paint, pair))
}

/// What the switch says of a pair, as the command of that name prints it; of both families, the one that was tried.
fn why(f: &mut Formatter<'_>, paint: Paint, pair: &PairReport) -> fmt::Result {
    let Paint { strong, faint, .. } = paint;
    let Some(found) = &pair.found else { return Ok(()) };
    let PairReport { from, to, family, service, .. } = pair;
    let command = format!("podlane why {NAMESPACE}/{from} {NAMESPACE}/{to} {service}");
    writeln!(f, "\n {strong}{command}{strong:#}{faint}, over {family}{faint:#}")?;
    let answers = found.why.answers.iter().filter(|answer| answer.to.is_ipv4() == pair.is_v4).cloned().collect();
    let text = Why { answers, ..found.why.clone() }.show(paint);
    text.lines().try_for_each(|line| writeln!(f, "{}", format!("   {line}").trim_end()))
}

/// Who calls whom, and how: as of every step.
fn route(pair: &PairReport) -> String {
    let PairReport { from, to, family, path, .. } = pair;
    format!("{from:<5} → {to:<8}{family:<5} {path:<8}")
}

/// What became of a pair, below [`TITLE`].
fn columns(found: &Found) -> String {
    let former = if found.goes_on { "goes on" } else { "stopped" };
    format!("{former:>11}{:>12}{:>16}", new_one(found), count(found.denied))
}

fn new_one(found: &Found) -> String {
    found.opened.map_or_else(|| "no answer".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1e3))
}

/// The line that tells of the policy's beginning.
pub(crate) fn applied_in(objects: &[String], in_force: Duration) -> String {
    let took = in_force.as_secs_f64() * 1e3;
    format!("{} applied while pods talk, in force after {took:.1} ms", objects.join(", "))
}

/// The line of a pair that was held to the policy.
pub(crate) fn held(pair: &PairReport, paint: Paint) -> String {
    let Paint { good, bad, .. } = paint;
    let outcome = match (&pair.found, &pair.failure) {
        (Some(found), None) => format!("{good}ok{good:#}  {}", words(found)),
        (_, why) => format!("{bad}FAILED{bad:#}  {}", why.as_deref().unwrap_or_default()),
    };
    format!(" {:<5}{} {outcome}", "tcp", route(pair))
}

fn words(found: &Found) -> String {
    match found.opened {
        Some(_) => format!("allowed: the connection goes on, a new one opens in {}", new_one(found)),
        None => format!(
            "denied: the connection stopped, a new one had no answer in {} ms; {} packets policy_denied",
            SILENCE.as_millis(),
            count(found.denied)
        ),
    }
}

/// What is being tried with a pair.
pub(crate) fn trying(couple: &Couple, what: &str) -> String {
    let (from, to) = (couple.from.name(), couple.to.name());
    format!(" {:<5}{from:<5} → {to:<8}{:<5} {:<8} {what}", "tcp", couple.family.name(), couple.path())
}
