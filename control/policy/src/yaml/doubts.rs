//! Selectors that match nothing. Allowed, since pods come and go, and most often a misspelt label.

use std::collections::BTreeMap;

use super::Source;
use super::wrong::{Doubt, Warning};
use crate::model::{Direction, Labels, Namespace, Peer, Pod, PodsOf, Policy, PolicyName, Scope};
use crate::{Cluster, Compiler};

/// The policies of a cluster that select no pod, or name a peer that none is, with where they stand.
#[must_use]
pub fn unmatched(cluster: &Cluster, sources: &BTreeMap<PolicyName, Source>) -> Vec<Warning> {
    let roster = Roster::new(cluster);
    doubts(&cluster.policies, sources, |pods| roster.has(pods))
}

/// As [`unmatched`], of these policies over the pods that a compiler has: a change costs no look at all the others.
#[must_use]
pub fn unmatched_among<'p>(
    compiler: &Compiler,
    policies: impl IntoIterator<Item = &'p Policy>,
    sources: &BTreeMap<PolicyName, Source>,
) -> Vec<Warning> {
    doubts(policies, sources, |pods| compiler.has_member(pods))
}

fn doubts<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    sources: &BTreeMap<PolicyName, Source>,
    has: impl Fn(&PodsOf) -> bool,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for policy in policies {
        let source = sources.get(&policy.name).cloned().unwrap_or_default();
        let mut doubt = |doubt| {
            let object = policy.name.to_string();
            warnings.push(Warning { file: source.file.clone(), line: source.line, object, doubt });
        };
        if !has(&policy.subject) {
            doubt(Doubt::NoSubject);
        }
        for direction in Direction::BOTH {
            for (index, rule) in policy.rules(direction).iter().enumerate() {
                let nobody = |peer: &Peer| matches!(peer, Peer::Pods(pods) if !has(pods));
                if rule.peers.iter().flatten().any(nobody) {
                    doubt(Doubt::NoPeer { direction, index });
                }
            }
        }
    }
    warnings
}

/// Pods by namespace, with the namespaces' labels.
struct Roster<'a>(BTreeMap<&'a str, (Labels, Vec<&'a Pod>)>);

impl<'a> Roster<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let mut all: BTreeMap<&str, (Labels, Vec<&Pod>)> = BTreeMap::new();
        for namespace in &cluster.namespaces {
            all.insert(&namespace.name, (namespace.labels.clone(), Vec::new()));
        }
        for pod in cluster.pods.iter().filter(|pod| !pod.host_network) {
            let name = pod.name.namespace.as_str();
            let implied = || (Namespace::new(name, Labels::new()).labels, Vec::new());
            all.entry(name).or_insert_with(implied).1.push(pod);
        }
        Self(all)
    }

    fn has(&self, pods: &PodsOf) -> bool {
        let within = |(_, here): &(Labels, Vec<&Pod>)| here.iter().any(|pod| pods.pods.matches(&pod.labels));
        match &pods.namespaces {
            Scope::Named(name) => self.0.get(name.as_str()).is_some_and(within),
            Scope::Selected(selector) => self.0.values().any(|here| selector.matches(&here.0) && within(here)),
        }
    }
}
