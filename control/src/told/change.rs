//! What a candidate changes: connections that would be decided otherwise.
//!
//! A diff has an entry for each pair of classes and each range of ports, which is right and long: a policy that closes a namespace
//! closes it against every class there is. Ranges of one pair are told together here, then all that open to one end alike.

use std::collections::{BTreeMap, BTreeSet};

use podlane_api::{PolicyChange, PolicyDecision, PolicyDifference, PolicyEnds, PortRange};
use podlane_policy::compile::{Compiled, Decision, Verdict};
use podlane_policy::diff::{Difference, Party};
use podlane_policy::model::{Direction, PodName, Policy, PolicyName, Prefix, Protocol};
use podlane_policy::{Change, Cluster, Compiler, diff};

/// How much is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Differences.
    pub(crate) differences: usize,
    /// Pods and prefixes of one end.
    pub(crate) ends: usize,
}

impl Room {
    /// Everything.
    pub(crate) const ALL: Self = Self { differences: usize::MAX, ends: usize::MAX };
}

/// Policies that are tried: added to those there are, or put in place of those of their names.
#[derive(Debug)]
pub(crate) struct Trial {
    added: Vec<PolicyName>,
    replaced: Vec<PolicyName>,
    /// The tables with them.
    after: Compiled,
}

impl Trial {
    /// Tries `policies` in a cluster.
    pub(crate) fn of(cluster: Cluster, policies: Vec<Policy>) -> Self {
        let known: BTreeSet<PolicyName> = cluster.policies.iter().map(|policy| policy.name.clone()).collect();
        Self::beside(Compiler::of(cluster), &known, policies)
    }

    /// Tries `policies` with a compiler of the cluster, whose policies are `known`.
    pub(crate) fn beside(mut compiler: Compiler, known: &BTreeSet<PolicyName>, policies: Vec<Policy>) -> Self {
        let names = policies.iter().map(|policy| policy.name.clone());
        let (replaced, added) = names.partition(|name| known.contains(name));
        policies.into_iter().for_each(|policy| compiler.apply(Change::Policy(policy)));
        Self { added, replaced, after: compiler.compile() }
    }

    /// What they change for the pods there are.
    pub(crate) fn change(&self, before: &Compiled, room: Room) -> PolicyChange {
        let all = together(diff(before, &self.after));
        let listed = all.len().min(room.differences);
        PolicyChange {
            changed: !all.is_empty(),
            added: texts(&self.added),
            replaced: texts(&self.replaced),
            differences: all[..listed].iter().map(|together| together.told((before, &self.after), room)).collect(),
            left_out: (all.len() - listed) as u64,
            warnings: Vec::new(),
        }
    }
}

/// Connections to one end that the same rules decide.
#[derive(Debug)]
struct Together {
    from: Ends,
    to: Ends,
    v6: bool,
    ports: Vec<(Protocol, u16, u16)>,
    before: Decision,
    after: Decision,
}

impl Together {
    /// Whether the same rules decide both.
    fn alike(&self, other: &Self) -> bool {
        (self.v6, self.before, self.after) == (other.v6, other.before, other.after)
    }

    fn told(&self, (before, after): (&Compiled, &Compiled), room: Room) -> PolicyDifference {
        let port = |(protocol, first, last): &(Protocol, u16, u16)| PortRange {
            protocol: protocol.name().to_owned(),
            first: *first,
            last: *last,
        };
        PolicyDifference {
            from: self.from.told(room.ends),
            to: self.to.told(room.ends),
            family: if self.v6 { "IPv6" } else { "IPv4" }.to_owned(),
            ports: self.ports.iter().map(port).collect(),
            before: decision(before, &self.before),
            after: decision(after, &self.after),
        }
    }
}

/// Pods and addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Ends {
    pods: Vec<PodName>,
    prefixes: Vec<Prefix>,
}

impl Ends {
    fn told(&self, room: usize) -> PolicyEnds {
        let Self { pods, prefixes } = self;
        let listed = (pods.len().min(room), prefixes.len().min(room));
        PolicyEnds {
            pods: texts(&pods[..listed.0]),
            prefixes: texts(&prefixes[..listed.1]),
            left_out: (pods.len() - listed.0 + prefixes.len() - listed.1) as u64,
        }
    }
}

impl From<Party> for Ends {
    fn from(party: Party) -> Self {
        match party {
            Party::Pods(pods) => Self { pods, prefixes: Vec::new() },
            Party::Prefixes(prefixes) => Self { pods: Vec::new(), prefixes },
        }
    }
}

fn together(differences: Vec<Difference>) -> Vec<Together> {
    let mut pairs: Vec<Together> = Vec::new();
    for Difference { from, to, v6, protocol, first, last, before, after } in differences {
        let (from, to) = (Ends::from(from), Ends::from(to));
        let one = Together { from, to, v6, ports: vec![(protocol, first, last)], before, after };
        // Those of one pair stand next to each other.
        let pair = |known: &&mut Together| known.from == one.from && known.to == one.to;
        match pairs.iter_mut().rev().take_while(pair).find(|known| known.alike(&one)) {
            Some(known) => known.ports.extend(one.ports),
            None => pairs.push(one),
        }
    }
    let mut all: Vec<Together> = Vec::new();
    // By the first of the end opened to: few share it, where there may be as many entries as pairs.
    let mut places: BTreeMap<(Option<PodName>, Option<Prefix>), Vec<usize>> = BTreeMap::new();
    for one in pairs {
        let here = places.entry((one.to.pods.first().cloned(), one.to.prefixes.first().copied())).or_default();
        let same = |at: &usize| all[*at].alike(&one) && all[*at].to == one.to && all[*at].ports == one.ports;
        match here.iter().copied().find(same) {
            Some(at) => {
                all[at].from.pods.extend(one.from.pods);
                all[at].from.prefixes.extend(one.from.prefixes);
            }
            None => {
                here.push(all.len());
                all.push(one);
            }
        }
    }
    for Together { from, .. } in &mut all {
        from.pods.sort_unstable();
        from.prefixes.sort_unstable();
    }
    all
}

fn decision(tables: &Compiled, decision: &Decision) -> PolicyDecision {
    let name = |verdict: Verdict| tables.rule(verdict.rule).map(|rule| rule.to_string()).unwrap_or_default();
    let ends = [(Direction::Egress, decision.egress), (Direction::Ingress, decision.ingress)];
    let denied = ends.iter().filter(|(_, verdict)| verdict.is_some_and(|verdict| !verdict.allow));
    PolicyDecision {
        allowed: decision.allow(),
        egress: decision.egress.map(name),
        ingress: decision.ingress.map(name),
        denied_at: denied.map(|(direction, _)| direction.to_string()).collect(),
    }
}

/// Names as they are answered.
pub(crate) fn texts(all: &[impl ToString]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}
