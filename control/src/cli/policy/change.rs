//! What a candidate changes: connections that would be decided otherwise, those of the same ends told together.

use std::collections::BTreeSet;
use std::fmt;

use podlane_policy::compile::{Compiled, Decision, RuleId, Verdict};
use podlane_policy::diff::{Difference, Party};
use podlane_policy::model::{Direction, Policy, PolicyName, Protocol};
use podlane_policy::{Change as Applied, Cluster, Compiler, diff};
use serde::Serialize;

/// How many pods or prefixes of an end are named to people. JSON has them all.
const NAMED: usize = 8;

/// What candidate policies would change.
#[derive(Debug)]
pub(super) struct Change {
    added: Vec<PolicyName>,
    replaced: Vec<PolicyName>,
    before: Compiled,
    after: Compiled,
    pub(super) differences: Vec<Together>,
}

/// Ports of the same two ends that the same rules decide.
#[derive(Debug)]
pub(super) struct Together {
    /// One of them.
    one: Difference,
    ports: Vec<(Protocol, u16, u16)>,
}

impl Change {
    /// What `policies` would change, added to those of the cluster or put in place of those of their names.
    pub(super) fn new(cluster: Cluster, policies: Vec<Policy>) -> Self {
        let known: BTreeSet<PolicyName> = cluster.policies.iter().map(|policy| policy.name.clone()).collect();
        let names = policies.iter().map(|policy| policy.name.clone());
        let (replaced, added) = names.partition(|name| known.contains(name));
        let mut compiler = Compiler::of(cluster);
        let before = compiler.compile();
        policies.into_iter().for_each(|policy| compiler.apply(Applied::Policy(policy)));
        let after = compiler.compile();
        let differences = together(diff(&before, &after));
        Self { added, replaced, before, after, differences }
    }

    pub(super) fn json(&self) -> ChangeJson {
        ChangeJson {
            changed: !self.differences.is_empty(),
            added: self.added.iter().map(ToString::to_string).collect(),
            replaced: self.replaced.iter().map(ToString::to_string).collect(),
            differences: self.differences.iter().map(|together| self.difference_json(together)).collect(),
        }
    }

    fn difference_json(&self, Together { one, ports }: &Together) -> DifferenceJson {
        let port = |(protocol, first, last): &(Protocol, u16, u16)| PortsJson {
            protocol: protocol.name(),
            first: *first,
            last: *last,
        };
        DifferenceJson {
            from: PartyJson::from(&one.from),
            to: PartyJson::from(&one.to),
            family: family(one),
            ports: ports.iter().map(port).collect(),
            before: decision_json(&self.before, &one.before),
            after: decision_json(&self.after, &one.after),
        }
    }
}

/// Differences come sorted by their ends, so that those of the same ends stand next to each other.
fn together(differences: Vec<Difference>) -> Vec<Together> {
    let mut all: Vec<Together> = Vec::new();
    for one in differences {
        let ports = (one.protocol, one.first, one.last);
        let ends =
            |known: &&mut Together| known.one.v6 == one.v6 && known.one.from == one.from && known.one.to == one.to;
        let decided = |known: &&mut Together| (known.one.before, known.one.after) == (one.before, one.after);
        match all.iter_mut().rev().take_while(ends).find(decided) {
            Some(known) => known.ports.push(ports),
            None => all.push(Together { one, ports: vec![ports] }),
        }
    }
    all
}

fn family(difference: &Difference) -> &'static str {
    if difference.v6 { "IPv6" } else { "IPv4" }
}

fn words(allow: bool) -> &'static str {
    if allow { "allowed" } else { "denied" }
}

fn named(tables: &Compiled, rule: RuleId) -> String {
    tables.rule(rule).map(|rule| rule.to_string()).unwrap_or_default()
}

fn at(decision: &Decision, direction: Direction) -> Option<Verdict> {
    if direction == Direction::Egress { decision.egress } else { decision.ingress }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, names) in [("replaced", &self.replaced), ("added", &self.added)] {
            names.iter().try_for_each(|name| writeln!(f, "{word}: {name}"))?;
        }
        if self.differences.is_empty() {
            return writeln!(f, "nothing changes");
        }
        for Together { one, ports } in &self.differences {
            let (before, after) = (words(one.before.allow()), words(one.after.allow()));
            writeln!(f, "\n{before} now, {after} then: {}, over {}", Ports(ports), family(one))?;
            writeln!(f, "  from {}", Ends(&one.from))?;
            writeln!(f, "  to   {}", Ends(&one.to))?;
            for direction in [Direction::Egress, Direction::Ingress] {
                let verdicts = at(&one.before, direction).zip(at(&one.after, direction));
                // The end that decides the same is not why.
                let Some((before, after)) = verdicts.filter(|(before, after)| before.allow != after.allow) else {
                    continue;
                };
                writeln!(f, "  {direction} now:  {}", named(&self.before, before.rule))?;
                writeln!(f, "  {direction} then: {}", named(&self.after, after.rule))?;
            }
        }
        Ok(())
    }
}

struct Ports<'a>(&'a [(Protocol, u16, u16)]);

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = (0, u16::MAX);
        if Protocol::ALL.iter().all(|protocol| self.0.contains(&(*protocol, all.0, all.1))) {
            return f.write_str("everything");
        }
        for (index, (protocol, first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match (protocol, (*first, *last)) {
                (Protocol::Other, _) => write!(f, "{comma}protocols without ports")?,
                (_, range) if range == all => write!(f, "{comma}all {protocol}")?,
                (_, (first, last)) if first == last => write!(f, "{comma}{protocol} {first}")?,
                (_, (first, last)) => write!(f, "{comma}{protocol} {first}-{last}")?,
            }
        }
        Ok(())
    }
}

struct Ends<'a>(&'a Party);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Party::Pods(pods) => listed(f, pods),
            Party::Prefixes(prefixes) => {
                f.write_str("addresses of ")?;
                listed(f, prefixes)?;
                f.write_str(" that are no pod's and in no longer prefix of a policy")
            }
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, all: &[impl fmt::Display]) -> fmt::Result {
    let (named, rest) = all.split_at(all.len().min(NAMED));
    for (index, one) in named.iter().enumerate() {
        write!(f, "{}{one}", if index == 0 { "" } else { ", " })?;
    }
    if rest.is_empty() { Ok(()) } else { write!(f, " and {} more", rest.len()) }
}

/// What `podlane policy test --json` prints.
#[derive(Serialize, Debug)]
pub(super) struct ChangeJson {
    changed: bool,
    added: Vec<String>,
    replaced: Vec<String>,
    differences: Vec<DifferenceJson>,
}

#[derive(Serialize, Debug)]
struct DifferenceJson {
    from: PartyJson,
    to: PartyJson,
    family: &'static str,
    ports: Vec<PortsJson>,
    before: DecisionJson,
    after: DecisionJson,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
enum PartyJson {
    Pods(Vec<String>),
    Prefixes(Vec<String>),
}

#[derive(Serialize, Debug)]
struct PortsJson {
    protocol: &'static str,
    first: u16,
    last: u16,
}

/// Rules by name; absent where the end is no pod that policies are about.
#[derive(Serialize, Debug)]
struct DecisionJson {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<String>,
}

impl From<&Party> for PartyJson {
    fn from(party: &Party) -> Self {
        match party {
            Party::Pods(pods) => Self::Pods(pods.iter().map(ToString::to_string).collect()),
            Party::Prefixes(prefixes) => Self::Prefixes(prefixes.iter().map(ToString::to_string).collect()),
        }
    }
}

fn decision_json(tables: &Compiled, decision: &Decision) -> DecisionJson {
    let rule = |verdict: Option<Verdict>| verdict.map(|verdict| named(tables, verdict.rule));
    DecisionJson { allowed: decision.allow(), egress: rule(decision.egress), ingress: rule(decision.ingress) }
}
