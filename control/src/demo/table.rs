//! The table at the end: a picture of the pods and the switch, the steps, the ledger, the verdict.
//!
//! Drawn from a [`Report`] alone, so that fixed numbers give a fixed text.

use std::fmt::{self, Display, Formatter};

use super::paint::{Paint, count, packets};
use super::pods::{Family, Network, Pod};
use super::report::{Figures, Report, StepReport};
use super::steps::Group;
use super::switch::{Ledger, Port};

/// Width of a pod's column in the picture.
const COLUMN: usize = 24;

/// A report, ready to be printed.
pub(crate) struct Table<'a> {
    /// What to print.
    pub(crate) report: &'a Report,
    /// How to set it.
    pub(crate) paint: Paint,
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.picture(f)?;
        for (group, title) in TITLES {
            self.group(f, group, title)?;
        }
        if let Some(ledger) = &self.report.ledger {
            self.ledger(f, ledger)?;
        }
        self.verdict(f)
    }
}

/// The heading of each group: what its columns are.
const TITLES: [(Group, &str); 3] = [
    (
        Group::Echo,
        "round trip, µs                       p50        p99      p99.9      echoes",
    ),
    (
        Group::Tcp,
        "TCP, Gbit/s                         there       back    streams",
    ),
    (
        Group::Udp,
        "UDP                                  rate       loss      bytes  reordered",
    ),
];

impl Table<'_> {
    fn picture(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Paint { strong, faint, .. } = self.paint;
        let row = |of: &dyn Fn(Pod) -> String| {
            let [red, green, blue] = Pod::ALL.map(of);
            // the wall between the networks takes one column more
            format!("{red:COLUMN$}{green:<width$}{blue}", width = COLUMN + 1)
                .trim_end()
                .to_owned()
        };
        writeln!(f)?;
        writeln!(
            f,
            "  {strong}{}{strong:#}",
            row(&|pod| pod.name().to_owned())
        )?;
        for family in [Family::V4, Family::V6] {
            writeln!(f, "  {}", row(&|pod| pod.address(family).to_string()))?;
        }
        writeln!(f, "  {}", row(&|pod| format!("│ {}", self.mode(pod))))?;
        let (near, far) = ("─".repeat(COLUMN * 2 - 1), "─".repeat(COLUMN - 1));
        let stem = format!("┴{}", "─".repeat(COLUMN - 1));
        writeln!(f, " ┌{stem}{stem}┬┴{far}┐")?;
        let names = Network::ALL.map(Network::name);
        let [v4, v6] = [Family::V4, Family::V6].map(|family| {
            Network::ALL.map(|network| {
                format!(
                    "{}/{}",
                    network.gateway(family),
                    Network::prefix_length(family)
                )
            })
        });
        for (label, of) in [(names, v4), (["", ""], v6)] {
            let [near, far] = [0, 1].map(|at| format!("{:5}{}", label[at], of[at]));
            writeln!(
                f,
                " │ {near:<n$}│ {far:<w$}│",
                n = COLUMN * 2 - 1,
                w = COLUMN - 1
            )?;
        }
        writeln!(f, " ├─{near}┴─{far}┤")?;
        let switch = format!("podlane  {}", self.cores());
        writeln!(
            f,
            " │ {strong}{switch:<width$}{strong:#}│",
            width = COLUMN * 3
        )?;
        writeln!(f, " └─{near}──{far}┘{faint}{faint:#}")
    }

    fn port(&self, pod: Pod) -> Option<&Port> {
        self.report
            .ports
            .iter()
            .find(|port| port.name == pod.name())
    }

    fn mode(&self, pod: Pod) -> &str {
        self.port(pod).map_or("no port", |port| &port.mode)
    }

    fn cores(&self) -> String {
        match &self.report.cores {
            Some(cores) if cores.shared => format!("core {}, shared with the load", cores.switch),
            Some(cores) => {
                let load: Vec<String> = cores.load.iter().map(usize::to_string).collect();
                format!("core {}; load on core {}", cores.switch, load.join(", "))
            }
            None => String::new(),
        }
    }

    fn group(&self, f: &mut Formatter<'_>, group: Group, title: &str) -> fmt::Result {
        let Paint { strong, bad, .. } = self.paint;
        let mut steps = self
            .report
            .steps
            .iter()
            .filter(|step| step.what == group.name())
            .peekable();
        if steps.peek().is_none() {
            return Ok(());
        }
        writeln!(f, "\n {strong}{title}{strong:#}")?;
        for step in steps {
            write!(f, " {}", route(step))?;
            match (&step.figures, &step.failure) {
                (Some(figures), _) => writeln!(f, "{}", columns(step, figures))?,
                (None, why) => {
                    writeln!(
                        f,
                        "  {bad}FAILED{bad:#} {}",
                        why.as_deref().unwrap_or_default()
                    )?;
                }
            }
        }
        Ok(())
    }

    fn ledger(&self, f: &mut Formatter<'_>, ledger: &Ledger) -> fmt::Result {
        let Paint {
            strong,
            good,
            bad,
            faint,
        } = self.paint;
        writeln!(
            f,
            "\n {strong}{:<29}{:>14}{:>14}{strong:#}",
            "frames by port", "received", "sent"
        )?;
        for port in &self.report.ports {
            let device = format!("{} {faint}{}{faint:#}", port.name, port.device);
            // colour has no width, and padding does not know it
            let pad = 29usize.saturating_sub(port.name.len() + 1 + port.device.len());
            let (received, sent) = (count(port.received), count(port.sent));
            writeln!(f, " {device}{:pad$}{received:>14}{sent:>14}", "")?;
        }
        writeln!(f, "\n {strong}{:<29}{:>14}{strong:#}", "ledger", "frames")?;
        let mut line = |name: &str, frames: u64, note: &str| {
            let note = if note.is_empty() {
                String::new()
            } else {
                format!("   {faint}{note}{faint:#}")
            };
            writeln!(f, " {name:<29}{:>14}{note}", count(frames))
        };
        line("received", ledger.received, "")?;
        line(
            "+ made",
            ledger.made,
            "by the switch: answers of its own, copies of floods",
        )?;
        line("= sent", ledger.sent, "")?;
        line("+ dropped", ledger.dropped_total(), "")?;
        for (reason, frames) in ledger.dropped.iter().filter(|(_, frames)| **frames > 0) {
            line(&format!("    {reason}"), *frames, "")?;
        }
        line("+ held", ledger.held, "")?;
        if ledger.balances() {
            writeln!(f, " {good}every frame is accounted for{good:#}")
        } else {
            writeln!(f, " {bad}frames are unaccounted for{bad:#}")
        }
    }

    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Paint { good, bad, .. } = self.paint;
        let Report {
            steps,
            failures,
            seconds,
            ..
        } = self.report;
        let passed = steps.iter().filter(|step| step.ok).count();
        let steps = format!("{passed} of {} steps passed, {seconds:.1} s", steps.len());
        if self.report.ok {
            return writeln!(f, "\n {good}OK{good:#}  {steps}");
        }
        writeln!(f, "\n {bad}FAILED{bad:#}  {steps}")?;
        failures
            .iter()
            .try_for_each(|failure| writeln!(f, "   {failure}"))
    }
}

/// Who speaks to whom, and how: the left columns of a step.
pub(crate) fn route(step: &StepReport) -> String {
    format!(
        "{:<5} → {:<8}{:<5} {:<8}",
        step.from, step.to, step.family, step.path
    )
}

/// The numbers of a step, below the headings of its group.
fn columns(step: &StepReport, figures: &Figures) -> String {
    match figures {
        Figures::Echo { rtt_us, echoes } => {
            format!(
                "{:>11.1}{:>11.1}{:>11.1}{:>12}",
                rtt_us.p50,
                rtt_us.p99,
                rtt_us.p999,
                count(*echoes)
            )
        }
        Figures::Tcp { gbps, gbps_back } => {
            let back = gbps_back.map_or_else(|| "-".to_owned(), |back| format!("{back:.2}"));
            format!("{gbps:>11.2}{back:>11}{:>11}", step.streams.unwrap_or(0))
        }
        Figures::Udp {
            pps,
            sent,
            lost,
            reordered,
            ..
        } => {
            let loss = format!("{:.1} %", share(*lost, *sent) * 100.0);
            let (rate, bytes) = (packets(*pps), step.payload.unwrap_or(0));
            format!("{rate:>11}{loss:>11}{bytes:>11}{:>11}", count(*reordered))
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// A step's numbers in a few words, for the line that tells of its end.
pub(crate) fn words(figures: &Figures) -> String {
    match figures {
        Figures::Echo { rtt_us, .. } => format!("{:.1} µs, p99 {:.1} µs", rtt_us.p50, rtt_us.p99),
        Figures::Tcp {
            gbps,
            gbps_back: None,
        } => format!("{gbps:.2} Gbit/s"),
        Figures::Tcp {
            gbps,
            gbps_back: Some(back),
        } => {
            format!("{gbps:.2} Gbit/s there, {back:.2} Gbit/s back")
        }
        Figures::Udp {
            pps, sent, lost, ..
        } => {
            format!(
                "{}, {:.1} % lost",
                packets(*pps),
                share(*lost, *sent) * 100.0
            )
        }
    }
}
