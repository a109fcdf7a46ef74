//! What policy says of a connection whose ends have a place, whether or not its way is known: who has an address that nobody has asked
//! for yet does not matter to a pod that may not send there.

use podlane_api::WhyEnd;
use podlane_dataplane::PortId;
use podlane_dataplane::policy::{End, Leasing, Opening, Policy, Verdict};
use podlane_policy::compile::{Origin, RuleId};
use podlane_policy::explain;
use podlane_policy::model::{Direction, PodName};

use super::First;
use crate::compile::Numbers;
use crate::enforce::{Judge, Place as Stand};
use crate::told::explained;

/// The port of an end that is nowhere known: no port has this number, so that to the judge it is elsewhere.
const NOWHERE: PortId = PortId(0);

/// The ports that two ends are behind, as far as they are known.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) from: Option<PortId>,
    pub(super) to: Option<PortId>,
    /// The node's own, which an opener that is nowhere known may turn out to be behind.
    pub(super) node: Option<PortId>,
}

/// What the judge in force says.
pub(super) struct Judged {
    pub(super) allow: bool,
    /// The rule that decided, or what else did.
    pub(super) rule: String,
    /// The pods that have a say.
    pub(super) ends: Vec<WhyEnd>,
}

impl Judged {
    /// None where no end is a pod of this node, or where it depends on whether an opener that is nowhere known is the node.
    pub(super) fn of(judge: &Judge, placed: Placed, first: &First, numbers: &Numbers) -> Option<Self> {
        let [from, to] = [placed.from, placed.to].map(|port| port.unwrap_or(NOWHERE));
        let opening = Opening {
            from: End { address: first.from, port: from },
            to: End { address: first.to, port: to },
            protocol: first.number(),
            port: first.port,
            leasing: Leasing::toward(first.number(), first.port),
        };
        let stand = |port| judge.places().at(port);
        if ![from, to].into_iter().any(|port| matches!(stand(port), Stand::Pod(_))) {
            return None;
        }
        let verdict = judge.verdict(&opening);
        let from_node =
            |node: &PortId| judge.verdict(&Opening { from: End { port: *node, ..opening.from }, ..opening });
        let node = placed.node.filter(|_| placed.from.is_none());
        if node.as_ref().is_some_and(|node| from_node(node).allow != verdict.allow) {
            return None;
        }
        let mut ends = closed(judge, &opening, numbers);
        let rule = rule(judge, &opening, verdict, &ends, numbers);
        ends.extend(explain(judge, &opening, first));
        // Egress first, as the end that opens is asked first.
        ends.sort_by(|one, other| one.direction.cmp(&other.direction));
        Some(Self { allow: verdict.allow, rule, ends })
    }
}

/// What decided, in one sentence.
fn rule(judge: &Judge, opening: &Opening, verdict: Verdict, closed: &[WhyEnd], numbers: &Numbers) -> String {
    let unknown = || closed.first().map(|end| end.rule.clone()).or_else(|| not_its_own(judge, opening, numbers));
    let said = if RuleId(verdict.rule.0) == RuleId::UNKNOWN { unknown() } else { None };
    said.or_else(|| judge.rule_name(verdict.rule)).unwrap_or_default()
}

/// The ends at which nothing passes, as nothing is known of the pod.
fn closed(judge: &Judge, opening: &Opening, numbers: &Numbers) -> Vec<WhyEnd> {
    let ends = [(Direction::Egress, opening.from), (Direction::Ingress, opening.to)];
    let unknown = ends.into_iter().filter_map(|(direction, end)| {
        let Stand::Pod(pod) = judge.places().at(end.port) else { return None };
        judge.unknown().any(|unknown| unknown == pod).then(|| WhyEnd {
            pod: pod.to_string(),
            direction: direction.to_string(),
            allowed: false,
            rule: nothing_known(judge, pod, end.port, numbers),
            stages: Vec::new(),
            remedy: None,
        })
    });
    unknown.collect()
}

fn nothing_known(judge: &Judge, pod: &PodName, port: PortId, numbers: &Numbers) -> String {
    if judge.compiled().pod_number(pod).is_some() {
        return format!("pod {pod} is on its node's network, so that its port is closed (apply the Pod as it is)");
    }
    let port = numbers.port_name(port).map(|port| format!("give port \"{port}\" its labels, or ")).unwrap_or_default();
    format!("nothing is known of pod {pod}, so it is closed ({port}apply the Pod)")
}

/// The end that is a pod's, but not with that address.
fn not_its_own(judge: &Judge, opening: &Opening, numbers: &Numbers) -> Option<String> {
    [(opening.from, "opens nothing with it"), (opening.to, "takes nothing for it")].into_iter().find_map(|(end, so)| {
        let Stand::Pod(name) = judge.places().at(end.port) else { return None };
        let has = judge.compiled().pods().any(|pod| pod.name == *name && pod.addresses.contains(&end.address));
        let port = numbers.port_name(end.port).filter(|_| !has)?;
        Some(format!("{} is no address of pod {name}, which is behind port {port} and {so}", end.address))
    })
}

/// The tiers at each end that is a pod of this node: another node asks its own.
fn explain(judge: &Judge, opening: &Opening, first: &First) -> Vec<WhyEnd> {
    let stand = |port| judge.places().at(port);
    let origin = match stand(opening.from.port) {
        Stand::OwnNode if judge.compiled().owner(first.from).is_none() => Origin::OwnNode,
        _ => Origin::Address(first.from),
    };
    let question = explain::Question { from: origin, to: first.to, protocol: first.protocol, port: first.port };
    let explanation = judge.compiled().explain(&question);
    let here = |direction: &str| {
        let port = if direction == Direction::Egress.to_string() { opening.from.port } else { opening.to.port };
        matches!(stand(port), Stand::Pod(_))
    };
    explained::ends(&explanation).into_iter().filter(|end| here(&end.direction)).collect()
}
