//! The smallest rule that would have let a denied connection through, as YAML to be applied or put into a policy.
//!
//! Smallest: the two pods by all their labels, one protocol, one port; and no pod is isolated by it that was not. Pods with the same labels cannot be told apart by any
//! policy. What a NetworkPolicy denied, another allows; what a cluster policy denied has to be allowed in its tier and before it,
//! since a NetworkPolicy comes too late for Admin, and for Baseline would isolate the pod from everybody else.

use std::fmt::{self, Write as _};

use super::Question;
use crate::compile::{Compiled, Origin, PodEntry, RuleName, Verdict};
use crate::model::{
    Direction, Expression, Labels, MAX_PRIORITY, NAMESPACE_NAME_LABEL, Operator, Pod, Policy, PolicyKind, PolicyName,
    Prefix, Protocol, Tier,
};

/// What would let a denied connection through at one end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// A policy to be applied.
    Apply {
        /// The policy.
        yaml: String,
    },
    /// A rule to be put in front of another, where no priority is left that comes first.
    Insert {
        /// The policy that has the other.
        policy: PolicyName,
        /// The direction of both.
        direction: Direction,
        /// The place of the other.
        index: usize,
        /// The rule, as an item of the list.
        yaml: String,
    },
}

impl Remedy {
    /// What is to be applied or inserted.
    #[must_use]
    pub fn yaml(&self) -> &str {
        match self {
            Self::Apply { yaml } | Self::Insert { yaml, .. } => yaml,
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply { .. } => writeln!(f, "  the smallest policy that would allow it here:")?,
            Self::Insert { policy, direction, index, .. } => {
                writeln!(f, "  the smallest rule that would allow it here, before {direction}[{index}] of {policy}:")?;
            }
        }
        self.yaml().lines().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Where the remedy goes.
struct Place<'a> {
    subject: &'a Pod,
    direction: Direction,
    peer: Option<&'a Pod>,
    address: Option<std::net::IpAddr>,
    question: &'a Question,
}

pub(super) fn find(
    tables: &Compiled,
    subject: &PodEntry,
    direction: Direction,
    verdict: Verdict,
    question: &Question,
) -> Option<Remedy> {
    if verdict.allow {
        return None;
    }
    let address = match (direction, question.from) {
        (Direction::Egress, _) => Some(question.to),
        (Direction::Ingress, Origin::Address(from)) => Some(from),
        (Direction::Ingress, Origin::OwnNode) => None,
    };
    let peer = address.and_then(|address| tables.pod_at(address)).map(|entry| &*entry.pod);
    let place = Place { subject: &subject.pod, direction, peer, address, question };
    match tables.rule(verdict.rule)? {
        RuleName::Isolation { policy, .. } => {
            let isolating = tables.policy(policy)?;
            Some(Remedy::Apply { yaml: place.network_policy(tables, isolating) })
        }
        RuleName::Rule { policy, index, .. } => {
            let denying = tables.policy(policy)?;
            // A cluster policy knows no addresses for ingress.
            if direction == Direction::Ingress && peer.is_none() {
                return None;
            }
            match denying.priority.checked_sub(1) {
                Some(before) => Some(Remedy::Apply { yaml: place.cluster_policy(tables, denying.tier, before) }),
                None => Some(Remedy::Insert {
                    policy: policy.clone(),
                    direction,
                    index,
                    yaml: if policy.kind == PolicyKind::ClusterNetworkPolicy {
                        place.cluster_rule(0)
                    } else {
                        place.admin_rule()
                    },
                }),
            }
        }
        _ => None,
    }
}

impl Place<'_> {
    /// A name that no policy has yet.
    fn name(&self, tables: &Compiled, kind: PolicyKind) -> String {
        let protocol = self.question.protocol.name().to_lowercase();
        let stem = format!("allow-{}-{}-{protocol}-{}", self.direction, self.subject.name.name, self.question.port);
        let stem: String = stem.chars().take(200).collect();
        let namespace = (kind == PolicyKind::NetworkPolicy).then(|| self.subject.name.namespace.clone());
        let taken = |name: &String| {
            tables.policy(&PolicyName { kind, namespace: namespace.clone(), name: name.clone() }).is_some()
        };
        let candidates = (2..).map(|number: u32| format!("{stem}-{number}"));
        std::iter::once(stem.clone()).chain(candidates).find(|name| !taken(name)).unwrap_or(stem)
    }

    fn sides(&self) -> (&'static str, &'static str, &'static str) {
        match self.direction {
            Direction::Ingress => ("Ingress", "ingress", "from"),
            Direction::Egress => ("Egress", "egress", "to"),
        }
    }

    /// Selects no pod that `isolating` does not, since to be selected isolates.
    fn network_policy(&self, tables: &Compiled, isolating: &Policy) -> String {
        let (kind, rules, side) = self.sides();
        let mut yaml = format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n",
            self.name(tables, PolicyKind::NetworkPolicy),
            self.subject.name.namespace
        );
        selector(&mut yaml, 2, "podSelector", &self.subject.labels, &isolating.subject.pods.expressions);
        let _ = write!(yaml, "  policyTypes: [{kind}]\n  {rules}:\n  - {side}:\n");
        match (self.peer, self.address) {
            (Some(peer), _) => pods(&mut yaml, 4, "- ", peer),
            (None, Some(address)) => {
                let _ = write!(yaml, "    - ipBlock:\n        cidr: {}\n", Prefix::host(address));
            }
            (None, None) => {}
        }
        if self.question.protocol != Protocol::Other {
            let Question { protocol, port, .. } = self.question;
            let _ = write!(yaml, "    ports:\n    - protocol: {protocol}\n      port: {port}\n");
        }
        yaml
    }

    fn cluster_policy(&self, tables: &Compiled, tier: Tier, priority: u16) -> String {
        let (_, rules, _) = self.sides();
        let priority = priority.min(MAX_PRIORITY);
        let mut yaml = format!(
            "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata:\n  name: {}\nspec:\n  tier: {tier}\n  priority: {priority}\n  subject:\n    pods:\n",
            self.name(tables, PolicyKind::ClusterNetworkPolicy),
        );
        pods(&mut yaml, 6, "", self.subject);
        let _ = writeln!(yaml, "  {rules}:");
        yaml + &self.cluster_rule(2)
    }

    fn cluster_rule(&self, indent: usize) -> String {
        let mut yaml = self.rule_head(indent, "Accept");
        let Question { protocol, port, .. } = self.question;
        if *protocol != Protocol::Other {
            let pad = " ".repeat(indent);
            let word = protocol.name().to_lowercase();
            let _ = write!(
                yaml,
                "{pad}  protocols:\n{pad}  - {word}:\n{pad}      destinationPort:\n{pad}        number: {port}\n"
            );
        }
        yaml
    }

    /// As the predecessors of ClusterNetworkPolicy spell it.
    fn admin_rule(&self) -> String {
        let mut yaml = self.rule_head(0, "Allow");
        let Question { protocol, port, .. } = self.question;
        if *protocol != Protocol::Other {
            let _ = write!(yaml, "  ports:\n  - portNumber:\n      protocol: {protocol}\n      port: {port}\n");
        }
        yaml
    }

    fn rule_head(&self, indent: usize, action: &str) -> String {
        let (_, _, side) = self.sides();
        let pad = " ".repeat(indent);
        let mut yaml = format!("{pad}- action: {action}\n{pad}  {side}:\n");
        match (self.peer, self.address) {
            (Some(peer), _) => {
                let _ = writeln!(yaml, "{pad}  - pods:");
                pods(&mut yaml, indent + 6, "", peer);
            }
            (None, Some(address)) => {
                let _ = writeln!(yaml, "{pad}  - networks: [\"{}\"]", Prefix::host(address));
            }
            (None, None) => {}
        }
        yaml
    }
}

/// `namespaceSelector` and `podSelector` of one pod; `dash` begins a list's item.
fn pods(yaml: &mut String, indent: usize, dash: &str, pod: &Pod) {
    let own = Labels::from([(NAMESPACE_NAME_LABEL.to_owned(), pod.name.namespace.clone())]);
    let mut both = String::new();
    selector(&mut both, indent + dash.len(), "namespaceSelector", &own, &[]);
    selector(&mut both, indent + dash.len(), "podSelector", &pod.labels, &[]);
    if !dash.is_empty() {
        both.replace_range(indent..indent + dash.len(), dash);
    }
    yaml.push_str(&both);
}

/// Values in quotes: a label may look like a number or a truth.
fn selector(yaml: &mut String, indent: usize, key: &str, labels: &Labels, expressions: &[Expression]) {
    let pad = " ".repeat(indent);
    if labels.is_empty() && expressions.is_empty() {
        let _ = writeln!(yaml, "{pad}{key}: {{}}");
        return;
    }
    let _ = writeln!(yaml, "{pad}{key}:");
    if !labels.is_empty() {
        let _ = writeln!(yaml, "{pad}  matchLabels:");
    }
    for (label, value) in labels {
        let _ = writeln!(yaml, "{pad}    {label}: \"{value}\"");
    }
    if !expressions.is_empty() {
        let _ = writeln!(yaml, "{pad}  matchExpressions:");
    }
    for Expression { key, operator } in expressions {
        let (operator, values) = match operator {
            Operator::In(values) => ("In", Some(values)),
            Operator::NotIn(values) => ("NotIn", Some(values)),
            Operator::Exists => ("Exists", None),
            Operator::DoesNotExist => ("DoesNotExist", None),
        };
        let _ = writeln!(yaml, "{pad}  - key: {key}\n{pad}    operator: {operator}");
        if let Some(values) = values {
            let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            let _ = writeln!(yaml, "{pad}    values: [{}]", quoted.join(", "));
        }
    }
}
