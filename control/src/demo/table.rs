//! The table at the end: a picture of the pods and the switch, the steps, the ledger, the verdict.
//!
//! Drawn from a [`Report`] alone, so that fixed numbers give a fixed text.

use std::fmt::{self, Display, Formatter};

use podlane_api::{Ledger, Port, PortState};

use super::pods::{Family, Network, Pod};
use super::policy;
use super::report::{Failure, Figures, Report, StepReport, dropped};
use super::steps::Group;
use crate::paint::Paint;
use crate::units::{count, packet_rate};

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
        for titled in TITLES {
            group(f, self.paint, &self.report.steps, titled)?;
        }
        self.report.policy.iter().try_for_each(|policy| policy::section(f, self.paint, policy))?;
        ports(f, self.paint, "packets by port", &self.report.ports)?;
        if let Some(of_all) = &self.report.ledger {
            ledger(f, self.paint, of_all)?;
        }
        let Report { ok, seconds, interrupted, steps, failures, .. } = self.report;
        let held = self.report.policy.as_ref().is_some_and(|policy| policy.ok);
        let (ok, seconds, interrupted) = (*ok, *seconds, *interrupted);
        verdict(f, self.paint, &Ending { ok, seconds, interrupted, steps, held, failures })
    }
}

/// The heading of each group: what its columns are.
pub(crate) const TITLES: [(Group, &str); 3] = [
    (Group::Echo, "round trip, µs                       p50        p99      p99.9      echoes"),
    (Group::Tcp, "TCP, Gbit/s                         there       back    streams"),
    (Group::Udp, "UDP                                  rate       loss      bytes  reordered"),
];

impl Table<'_> {
    fn picture(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let strong = self.paint.strong;
        let row = |of: &dyn Fn(Pod) -> String| {
            let [red, green, blue] = Pod::ALL.map(of);
            // the wall between the networks takes one column more
            format!("{red:COLUMN$}{green:<width$}{blue}", width = COLUMN + 1).trim_end().to_owned()
        };
        writeln!(f)?;
        writeln!(f, "  {strong}{}{strong:#}", row(&|pod| pod.name().to_owned()))?;
        for family in [Family::V4, Family::V6] {
            writeln!(f, "  {}", row(&|pod| pod.address(family).to_string()))?;
        }
        writeln!(f, "  {}", row(&|pod| format!("│ {}", self.mode(pod))))?;
        let (near, far) = ("─".repeat(COLUMN * 2 - 1), "─".repeat(COLUMN - 1));
        let stem = format!("┴{}", "─".repeat(COLUMN - 1));
        writeln!(f, " ┌{stem}{stem}┬┴{far}┐")?;
        let names = Network::ALL.map(Network::name);
        let [v4, v6] = [Family::V4, Family::V6].map(|family| {
            Network::ALL.map(|network| format!("{}/{}", network.gateway(family), Network::prefix_length(family)))
        });
        for (label, of) in [(names, v4), (["", ""], v6)] {
            let [near, far] = [0, 1].map(|at| format!("{:5}{}", label[at], of[at]));
            writeln!(f, " │ {near:<n$}│ {far:<w$}│", n = COLUMN * 2 - 1, w = COLUMN - 1)?;
        }
        writeln!(f, " ├─{near}┴─{far}┤")?;
        let switch = format!("podlane  {}", self.cores());
        writeln!(f, " │ {strong}{switch:<width$}{strong:#}│", width = COLUMN * 3)?;
        writeln!(f, " └─{near}──{far}┘")
    }

    fn port(&self, pod: Pod) -> Option<&Port> {
        self.report.ports.iter().find(|port| port.name == pod.name())
    }

    fn mode(&self, pod: Pod) -> String {
        match self.port(pod) {
            Some(Port { mode: Some(mode), state: PortState::Up, .. }) => format!("AF_XDP {mode}"),
            Some(port) => port.state.to_string(),
            None => "no port".to_owned(),
        }
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
}

/// The steps of one group below their heading; nothing when there are none.
pub(crate) fn group(f: &mut Formatter<'_>, paint: Paint, steps: &[StepReport], of: (Group, &str)) -> fmt::Result {
    let Paint { strong, bad, .. } = paint;
    let (group, title) = of;
    let mut steps = steps.iter().filter(|step| step.what == group.name()).peekable();
    if steps.peek().is_none() {
        return Ok(());
    }
    writeln!(f, "\n {strong}{title}{strong:#}")?;
    for step in steps {
        write!(f, " {}", route(step))?;
        match (&step.figures, &step.failure) {
            (Some(figures), _) => writeln!(f, "{}", columns(step, figures))?,
            (None, why) => {
                writeln!(f, "  {bad}FAILED{bad:#} {}", why.as_deref().unwrap_or_default())?;
            }
        }
    }
    Ok(())
}

/// What went through each port; nothing when there are none.
pub(crate) fn ports(f: &mut Formatter<'_>, paint: Paint, title: &str, ports: &[Port]) -> fmt::Result {
    let Paint { strong, .. } = paint;
    if ports.is_empty() {
        return Ok(());
    }
    let title = format!("{title:<29}{:>14}{:>14}{:>14}", "received", "sent", "kernel lost");
    writeln!(f, "\n {strong}{title}{strong:#}")?;
    for port in ports {
        let name = format!("{:<6}{}", port.name, port.device.as_deref().unwrap_or_default());
        let lost = port.kernel.rx_dropped + port.kernel.rx_ring_full + port.kernel.rx_invalid + port.kernel.tx_invalid;
        let [received, sent, lost] = [port.received.packets, port.sent.packets, lost].map(count);
        writeln!(f, " {name:<29}{received:>14}{sent:>14}{lost:>14}")?;
    }
    Ok(())
}

/// The ledger, and whether it balances.
pub(crate) fn ledger(f: &mut Formatter<'_>, paint: Paint, ledger: &Ledger) -> fmt::Result {
    let Paint { strong, good, bad, faint, .. } = paint;
    writeln!(f, "\n {strong}{:<29}{:>14}{strong:#}", "ledger", "packets")?;
    let mut line = |name: &str, packets: u64| writeln!(f, " {name:<29}{:>14}", count(packets));
    line("received", ledger.received)?;
    line("= sent", ledger.sent)?;
    line("+ dropped", dropped(ledger))?;
    for (reason, packets) in ledger.dropped.iter().filter(|(_, packets)| **packets > 0) {
        line(&format!("    {reason}"), *packets)?;
    }
    line("+ held", ledger.held)?;
    if ledger.balances() {
        write!(f, " {good}every packet is accounted for{good:#}")?;
    } else {
        write!(f, " {bad}packets are unaccounted for{bad:#}")?;
    }
    let made = count(ledger.made);
    writeln!(f, " {faint}({made} of those received were made by the switch: replies, copies of floods){faint:#}")
}

/// How a demo ended.
pub(crate) struct Ending<'a> {
    /// Whether nothing failed.
    pub(crate) ok: bool,
    /// How long the whole took.
    pub(crate) seconds: f64,
    /// Of how many steps it ran only some, as it was interrupted.
    pub(crate) interrupted: Option<usize>,
    /// The steps that began.
    pub(crate) steps: &'a [StepReport],
    /// Whether there was a policy, and pods were held to it.
    pub(crate) held: bool,
    /// What failed, in words.
    pub(crate) failures: &'a [String],
}

/// Whether all went well, in how many seconds, and what did not. A demo that was interrupted has not failed for that.
pub(crate) fn verdict(f: &mut Formatter<'_>, paint: Paint, ending: &Ending<'_>) -> fmt::Result {
    let Paint { strong, good, bad, .. } = paint;
    let Ending { ok, seconds, interrupted, steps, held, failures } = *ending;
    if let Some(planned) = interrupted {
        let run = steps.iter().filter(|step| !step.is_cut).count();
        let passed = match (run, steps.iter().filter(|step| !step.ok && !step.is_cut).count()) {
            (0, _) => String::new(),
            (_, 0) => ", all passed".to_owned(),
            (_, failed) => format!(", {failed} failed"),
        };
        writeln!(f, "\n {strong}INTERRUPTED{strong:#}  {run} of {planned} steps run{passed}, {seconds:.1} s")?;
        let told = Failure::Interrupted.to_string();
        return failures.iter().filter(|failure| **failure != told).try_for_each(|failure| writeln!(f, "   {failure}"));
    }
    let passed = steps.iter().filter(|step| step.ok).count();
    let policy = if held { ", policy held" } else { "" };
    let steps = format!("{passed} of {} steps passed{policy}, {seconds:.1} s", steps.len());
    if ok {
        return writeln!(f, "\n {good}OK{good:#}  {steps}");
    }
    writeln!(f, "\n {bad}FAILED{bad:#}  {steps}")?;
    failures.iter().try_for_each(|failure| writeln!(f, "   {failure}"))
}

/// Who speaks to whom, and how: the left columns of a step.
pub(crate) fn route(step: &StepReport) -> String {
    format!("{:<5} → {:<8}{:<5} {:<8}", step.from, step.to, step.family, step.path)
}

/// The numbers of a step, below the headings of its group.
fn columns(step: &StepReport, figures: &Figures) -> String {
    match figures {
        Figures::Echo { rtt_us, echoes } => {
            format!("{:>11.1}{:>11.1}{:>11.1}{:>12}", rtt_us.p50, rtt_us.p99, rtt_us.p999, count(*echoes))
        }
        Figures::Tcp { gbps, gbps_back } => {
            let back = gbps_back.map_or_else(|| "-".to_owned(), |back| format!("{back:.2}"));
            format!("{gbps:>11.2}{back:>11}{:>11}", step.streams.unwrap_or(0))
        }
        Figures::Udp { pps, sent, lost, reordered, .. } => {
            let loss = format!("{:.1} %", share(*lost, *sent) * 100.0);
            let (rate, bytes) = (packet_rate(*pps), step.payload.unwrap_or(0));
            format!("{rate:>11}{loss:>11}{bytes:>11}{:>11}", count(*reordered))
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A step's numbers in a few words, for the line that tells of its end.
pub(crate) fn words(figures: &Figures) -> String {
    match figures {
        Figures::Echo { rtt_us, .. } => format!("{:.1} µs, p99 {:.1} µs", rtt_us.p50, rtt_us.p99),
        Figures::Tcp { gbps, gbps_back: None } => format!("{gbps:.2} Gbit/s"),
        Figures::Tcp { gbps, gbps_back: Some(back) } => {
            format!("{gbps:.2} Gbit/s there, {back:.2} Gbit/s back")
        }
        Figures::Udp { pps, sent, lost, .. } => {
            format!("{}, {:.1} % lost", packet_rate(*pps), share(*lost, *sent) * 100.0)
        }
    }
}
