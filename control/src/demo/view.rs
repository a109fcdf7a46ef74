//! What the demo shows while it runs: one line a step, on standard error.
//!
//! On a terminal the line of the running step fills in and is replaced by what came of it. Anywhere else
//! each line is written once, when the step is over, so that a log stays readable. A line that cannot be
//! written stops nothing.

use std::io::{self, IsTerminal, Write};

use super::policy::{self, Couple, PairReport};
use super::report::StepReport;
use super::steps::{Group, Heading};
use super::table::{route, words};
use crate::paint::Paint;
use crate::units::packet_rate;

/// Cells of the bar that fills in.
const BAR: usize = 20;

/// The lines of a running demo.
pub(crate) struct View {
    out: Box<dyn Write>,
    terminal: bool,
    paint: Paint,
}

impl View {
    /// Shows on standard error.
    pub(crate) fn on_stderr() -> Self {
        let stderr = io::stderr();
        Self { terminal: stderr.is_terminal(), paint: Paint::of(&stderr), out: Box::new(stderr) }
    }

    /// Tells of something done.
    pub(crate) fn say(&mut self, what: &str) {
        let _ = writeln!(self.out, "{what}");
    }

    /// Shows how far a step got: `done` of the whole, 0 to 1, and `rate` a second of what it moves.
    pub(crate) fn moving(&mut self, step: &Heading, done: f64, rate: f64) {
        if !self.terminal {
            return;
        }
        let filled = (done.clamp(0.0, 1.0) * BAR as f64) as usize;
        let Paint { good, faint, .. } = self.paint;
        let bar = format!("{good}{}{good:#}{faint}{}{faint:#}", "━".repeat(filled), "━".repeat(BAR - filled));
        let rate = match step.what.group() {
            Group::Echo => format!("{rate:.0} a second"),
            Group::Tcp => format!("{:.2} Gbit/s", rate * 8.0 / 1e9),
            Group::Udp => packet_rate(rate),
        };
        let line = format!(
            " {:<5}{:<5} → {:<8}{:<5} {:<8} {bar} {rate}",
            step.what.group().name(),
            step.from,
            step.to,
            step.family.name(),
            step.path,
        );
        self.transient(&line);
    }

    /// Shows what is being tried with a pair.
    pub(crate) fn trying(&mut self, couple: &Couple, what: &str) {
        if self.terminal {
            self.transient(&policy::trying(couple, what));
        }
    }

    /// Tells how a pair was held to the policy.
    pub(crate) fn held(&mut self, pair: &PairReport) {
        self.last(&policy::held(pair, self.paint));
    }

    /// Tells what came of a step.
    pub(crate) fn ended(&mut self, step: &StepReport) {
        let Paint { good, bad, .. } = self.paint;
        let outcome = match (&step.figures, &step.failure) {
            (Some(figures), _) => format!("{good}ok{good:#}  {}", words(figures)),
            (None, why) => format!("{bad}FAILED{bad:#}  {}", why.as_deref().unwrap_or_default()),
        };
        self.last(&format!(" {:<5}{} {outcome}", step.what, route(step)));
    }

    /// A line that the next one takes the place of; on a terminal alone.
    fn transient(&mut self, line: &str) {
        let _ = write!(self.out, "\r\x1b[2K{line}");
        let _ = self.out.flush();
    }

    /// A line that stays, in the place of a transient one.
    fn last(&mut self, line: &str) {
        let back = if self.terminal { "\r\x1b[2K" } else { "" };
        let _ = writeln!(self.out, "{back}{line}");
    }
}
