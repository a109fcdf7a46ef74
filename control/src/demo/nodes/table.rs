//! The table at the end of a demo of two nodes: the machines, the steps, what the hosts and the probes were told, the ledgers.

use std::fmt::{self, Display, Formatter};

use podlane_api::Ledger;

use super::cast::{Node, POD_MTU, Pod, UNDERLAY_MTU};
use super::report::{HostReport, NodesReport, TooLargeReport};
use crate::demo::pods::Family;
use crate::demo::report::dropped;
use crate::demo::table::{Ending, TITLES, group, ports, verdict};
use crate::paint::Paint;
use crate::units::count;

/// Width of a pod's column in the picture.
const COLUMN: usize = 17;

/// A report, ready to be printed.
pub(crate) struct NodesTable<'a> {
    /// What to print.
    pub(crate) report: &'a NodesReport,
    /// How to set it.
    pub(crate) paint: Paint,
}

impl Display for NodesTable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let NodesTable { report, paint } = *self;
        self.picture(f)?;
        for titled in TITLES {
            group(f, paint, &report.steps, titled)?;
        }
        self.too_large(f)?;
        self.host(f)?;
        for node in report.nodes.iter().filter(|node| !node.ports.is_empty()) {
            ports(f, paint, &format!("{}, packets by port", node.name), &node.ports)?;
        }
        self.ledgers(f)?;
        let NodesReport { ok, seconds, interrupted, steps, failures, .. } = report;
        let (ok, seconds, interrupted) = (*ok, *seconds, *interrupted);
        verdict(f, paint, &Ending { ok, seconds, interrupted, steps, held: false, failures })
    }
}

impl NodesTable<'_> {
    fn picture(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let strong = self.paint.strong;
        // a machine is as wide as its pods, a space in front of each
        let width = |node: Node| node.pods().count() * (COLUMN + 1);
        let boxes = |of: &dyn Fn(Node) -> String| {
            let cells = Node::ALL.map(|node| format!("│{:<width$}│", of(node), width = width(node)));
            cells.join(" ")
        };
        let pods = |of: &dyn Fn(Pod) -> String| {
            boxes(&|node| node.pods().map(|pod| format!(" {:<COLUMN$}", of(pod))).collect())
        };
        let edge = |left: char, right: char| {
            let edges = Node::ALL.map(|node| format!("{left}{}{right}", "─".repeat(width(node))));
            edges.join(" ")
        };
        writeln!(f, "\n {}", edge('┌', '┐'))?;
        writeln!(f, " {strong}{}{strong:#}", pods(&|pod| pod.name().to_owned()))?;
        writeln!(f, " {}", pods(&|pod| pod.network().name().to_owned()))?;
        for family in [Family::V4, Family::V6] {
            writeln!(f, " {}", pods(&|pod| pod.address(family).to_string()))?;
        }
        writeln!(f, " {}", edge('├', '┤'))?;
        writeln!(f, " {strong}{}{strong:#}", boxes(&|node| self.carries(node)))?;
        writeln!(f, " {}", boxes(&|node| format!(" {} {}", node.name(), node.vtep())))?;
        let stems = Node::ALL.map(|node| {
            let rest = width(node) - 9;
            format!("└────────┬{}┘", "─".repeat(rest))
        });
        writeln!(f, " {}", stems.join(" "))?;
        // from the first machine's stem to the last one's
        let width = width(Node::One) + width(Node::Two) + 2 * 3 + 1;
        let underlay = format!(" underlay, MTU {UNDERLAY_MTU}; VXLAN leaves the pods {POD_MTU} ");
        writeln!(f, "          {underlay:═^width$}")?;
        writeln!(f, " {}", self.report.cores.words())
    }

    /// What carries the packets of a machine's pods.
    fn carries(&self, node: Node) -> String {
        let core = self.report.nodes.iter().find(|is| is.name == node.name()).and_then(|is| is.core);
        core.map_or_else(|| " kernel vxlan".to_owned(), |core| format!(" podlane, core {core}"))
    }

    fn too_large(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Paint { strong, bad, .. } = self.paint;
        if self.report.too_large.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n {strong}too large for the path, with DF        bytes   told MTU{strong:#}")?;
        for probe in &self.report.too_large {
            let TooLargeReport { from, to, family, path, packet, told_mtu, failure, .. } = probe;
            let told = told_mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string());
            write!(f, " {from:<5} → {to:<8}{family:<5} {path:<8}{packet:>14}{told:>11}")?;
            match failure {
                Some(why) => writeln!(f, "  {bad}FAILED{bad:#} {why}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn host(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Paint { strong, bad, .. } = self.paint;
        if self.report.host.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n {strong}host's own TCP, open all the time    answers    longest{strong:#}")?;
        for HostReport { node, family, answers, longest_ms, failure } in &self.report.host {
            write!(f, " linux → {node:<8}{family:<5} host    ")?;
            match (answers, longest_ms, failure) {
                (Some(answers), Some(longest), _) => writeln!(f, "{:>14}{:>8.1} ms", count(*answers), longest)?,
                (.., why) => writeln!(f, "  {bad}FAILED{bad:#} {}", why.as_deref().unwrap_or_default())?,
            }
        }
        Ok(())
    }

    /// The ledgers side by side; every reason that either has.
    fn ledgers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Paint { strong, good, bad, .. } = self.paint;
        let known: Vec<(&str, &Ledger)> =
            self.report.nodes.iter().filter_map(|node| Some((node.name, node.ledger.as_ref()?))).collect();
        if known.is_empty() {
            return Ok(());
        }
        let names: String = known.iter().map(|(name, _)| format!("{name:>14}")).collect();
        writeln!(f, "\n {strong}{:<29}{names}{strong:#}", "ledger, packets")?;
        let mut line = |label: &str, of: &dyn Fn(&Ledger) -> u64| {
            let numbers: String = known.iter().map(|(_, ledger)| format!("{:>14}", count(of(ledger)))).collect();
            writeln!(f, " {label:<29}{numbers}")
        };
        line("received", &|ledger| ledger.received)?;
        line("= sent", &|ledger| ledger.sent)?;
        line("+ dropped", &dropped)?;
        let mut reasons: Vec<&String> = known.iter().flat_map(|(_, ledger)| ledger.dropped.keys()).collect();
        reasons.sort();
        reasons.dedup();
        let by = |reason: &str, ledger: &Ledger| ledger.dropped.get(reason).copied().unwrap_or(0);
        for reason in reasons {
            if known.iter().any(|(_, ledger)| by(reason, ledger) > 0) {
                line(&format!("    {reason}"), &|ledger| by(reason, ledger))?;
            }
        }
        line("+ held", &|ledger| ledger.held)?;
        if known.iter().all(|(_, ledger)| ledger.balances()) {
            writeln!(f, " {good}every packet is accounted for{good:#}")
        } else {
            writeln!(f, " {bad}packets are unaccounted for{bad:#}")
        }
    }
}
