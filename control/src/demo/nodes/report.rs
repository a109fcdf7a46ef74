//! What the demo of two nodes found, in the shape of its JSON: that of one node, and what only two have.

use std::time::Duration;

use podlane_api::{Ledger, Port};
use serde::Serialize;

use super::cast::{Node, POD_MTU, Pod, UNDERLAY_MTU};
use super::cores::NodeCores;
use super::steps::Step;
use crate::demo::pods::Family;
use crate::demo::report::{Account, Failure, Figures, Measured, RoundTrips, StepReport};
use crate::demo::steps::Group;
use crate::demo::traffic::{Answers, MeterError};

/// Everything the demo found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodesReport {
    /// Whether nothing failed.
    pub(crate) ok: bool,
    /// TCP between the two switches within one network.
    pub(crate) tcp_gbps: Option<f64>,
    /// UDP between the same.
    pub(crate) udp_pps: Option<f64>,
    /// Echoes between the same.
    pub(crate) rtt_us: Option<RoundTrips>,
    /// What became of every packet of both switches together.
    pub(crate) ledger: Option<Ledger>,
    /// Each switch, and the kernel that is none.
    pub(crate) nodes: Vec<NodeReport>,
    /// Each step that ran, in order.
    pub(crate) steps: Vec<StepReport>,
    /// What was told to who sent more than a path carries.
    pub(crate) too_large: Vec<TooLargeReport>,
    /// The connections of the hosts themselves, which were open all the time.
    pub(crate) host: Vec<HostReport>,
    /// What failed, in words.
    pub(crate) failures: Vec<String>,
    /// Which cores were used.
    pub(crate) cores: NodeCores,
    /// How long the whole took.
    pub(crate) seconds: f64,
    /// Of how many steps it ran only some, as it was interrupted.
    #[serde(skip)]
    pub(crate) interrupted: Option<usize>,
}

/// One machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeReport {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its address on the underlay.
    pub(crate) vtep: String,
    /// What carries its pods' packets: `podlane`, or `kernel`.
    pub(crate) switch: &'static str,
    /// Its pods.
    pub(crate) pods: Vec<&'static str>,
    /// The core of its switch.
    pub(crate) core: Option<usize>,
    /// What became of every packet of its switch.
    pub(crate) ledger: Option<Ledger>,
    /// What each port of its switch turned out to be.
    pub(crate) ports: Vec<Port>,
}

/// What was told about a packet that was too large.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TooLargeReport {
    /// Who sent it.
    pub(crate) from: &'static str,
    /// To whom.
    pub(crate) to: &'static str,
    /// `IPv4` or `IPv6`.
    pub(crate) family: &'static str,
    /// `bridged` or `routed`.
    pub(crate) path: &'static str,
    /// Bytes of the packet.
    pub(crate) packet: u32,
    /// The MTU that the sender was told.
    pub(crate) told_mtu: Option<u32>,
    /// Whether that is what the path carries.
    pub(crate) ok: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// How a connection of the hosts themselves fared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct HostReport {
    /// The machine with the server.
    pub(crate) node: &'static str,
    /// `IPv4` or `IPv6`.
    pub(crate) family: &'static str,
    /// Questions answered.
    pub(crate) answers: Option<u64>,
    /// The longest time an answer took, in milliseconds.
    pub(crate) longest_ms: Option<f64>,
    /// Why it broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// What was played, before it is judged.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// The steps.
    pub(crate) steps: Vec<(Step, Result<Measured, MeterError>)>,
    /// The probes of the path MTU.
    pub(crate) too_large: Vec<TooLargeReport>,
    /// The hosts' connections.
    pub(crate) host: Vec<HostReport>,
}

impl TooLargeReport {
    /// What came of one probe.
    pub(crate) fn of(probe: &Step, outcome: Result<u32, MeterError>) -> Self {
        let heading = probe.heading();
        let to = probe.target();
        let judged = outcome.and_then(|named| match named {
            POD_MTU => Ok(named),
            named => Err(MeterError::WrongMtu { to, carries: POD_MTU, named }),
        });
        let named = match &judged {
            Ok(named) | Err(MeterError::WrongMtu { named, .. }) => Some(*named),
            Err(_) => None,
        };
        Self {
            from: heading.from,
            to: heading.to,
            family: heading.family.name(),
            path: heading.path,
            packet: UNDERLAY_MTU,
            told_mtu: named,
            ok: judged.is_ok(),
            failure: judged.err().map(|error| error.to_string()),
        }
    }

    fn told_failure(&self) -> Option<String> {
        let why = self.failure.as_ref()?;
        Some(format!("too large {} to {} over {}: {why}", self.from, self.to, self.family))
    }
}

impl HostReport {
    /// How one connection fared.
    pub(crate) fn of(node: Node, family: Family, outcome: Result<Answers, MeterError>) -> Self {
        Self {
            node: node.name(),
            family: family.name(),
            answers: outcome.as_ref().ok().map(|told| told.answers),
            longest_ms: outcome.as_ref().ok().map(|told| told.longest.as_secs_f64() * 1e3),
            failure: outcome.err().map(|error| error.to_string()),
        }
    }

    fn told_failure(&self) -> Option<String> {
        Some(format!("host {} over {}: {}", self.node, self.family, self.failure.as_ref()?))
    }
}

impl NodesReport {
    /// The report of what was played, with each switch's own account.
    pub(crate) fn new(played: Played, accounts: Vec<Account>, others: &[Failure], cores: NodeCores) -> Self {
        let steps: Vec<StepReport> =
            played.steps.iter().map(|(step, outcome)| StepReport::of(&step.heading(), outcome)).collect();
        let mut failures: Vec<String> = steps.iter().filter_map(StepReport::told_failure).collect();
        failures.extend(played.too_large.iter().filter_map(TooLargeReport::told_failure));
        failures.extend(played.host.iter().filter_map(HostReport::told_failure));
        failures.extend(others.iter().map(ToString::to_string));
        let mut nodes = Vec::new();
        for ((node, core), account) in Node::SWITCHES.into_iter().zip(cores.switches).zip(accounts) {
            failures.extend(account.failures.iter().map(|failure| format!("{}: {failure}", node.name())));
            let Account { ledger, ports, .. } = account;
            nodes.push(NodeReport { core: Some(core), ledger, ports, ..NodeReport::bare(node) });
        }
        nodes.push(NodeReport::bare(Node::Linux));
        let headline = |group| headline(&played.steps, group);
        Self {
            ok: failures.is_empty(),
            tcp_gbps: headline(Group::Tcp).and_then(Figures::gbps),
            udp_pps: headline(Group::Udp).and_then(Figures::pps),
            rtt_us: headline(Group::Echo).and_then(Figures::round_trips),
            ledger: total(&nodes),
            nodes,
            steps,
            too_large: played.too_large,
            host: played.host,
            failures,
            cores,
            seconds: 0.0,
            interrupted: None,
        }
    }

    /// With the time it took.
    pub(crate) fn after(self, took: Duration) -> Self {
        Self { seconds: took.as_secs_f64(), ..self }
    }
}

impl NodeReport {
    /// What is known of a machine without asking it.
    fn bare(node: Node) -> Self {
        Self {
            name: node.name(),
            vtep: node.vtep().to_string(),
            switch: if Node::SWITCHES.contains(&node) { "podlane" } else { "kernel" },
            pods: node.pods().map(Pod::name).collect(),
            core: None,
            ledger: None,
            ports: Vec::new(),
        }
    }
}

/// The ledgers of all switches added up; none when one of them gave none.
fn total(nodes: &[NodeReport]) -> Option<Ledger> {
    let mut total = Ledger::default();
    for node in nodes.iter().filter(|node| node.core.is_some()) {
        let Ledger { received, made, sent, held, dropped } = node.ledger.as_ref()?;
        total.received += received;
        total.made += made;
        total.sent += sent;
        total.held += held;
        for (reason, packets) in dropped {
            *total.dropped.entry(reason.clone()).or_default() += packets;
        }
    }
    Some(total)
}

/// The numbers of a group's headline step.
fn headline(steps: &[(Step, Result<Measured, MeterError>)], of: Group) -> Option<Figures> {
    let (_, outcome) = steps.iter().find(|(step, _)| step.is_headline() && step.what.group() == of)?;
    outcome.as_ref().ok().map(Figures::of)
}
