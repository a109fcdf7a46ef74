//! What a candidate changes: connections that would be decided otherwise.
//!
//! A diff has an entry for each pair of classes and each range of ports, which is right and long: a policy that closes a namespace
//! closes it against every class there is. Ranges of one pair are told together here, then all that open to one end alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use podlane_policy::compile::{Compiled, Decision, RuleId, Verdict};
use podlane_policy::diff::{Difference, Party};
use podlane_policy::model::{Direction, PodName, Policy, PolicyName, Prefix, Protocol};
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

/// Connections to one end that the same rules decide.
#[derive(Debug)]
pub(super) struct Together {
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
}

/// Pods and addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Ends {
    pods: Vec<PodName>,
    prefixes: Vec<Prefix>,
}

impl From<Party> for Ends {
    fn from(party: Party) -> Self {
        match party {
            Party::Pods(pods) => Self { pods, prefixes: Vec::new() },
            Party::Prefixes(prefixes) => Self { pods: Vec::new(), prefixes },
        }
    }
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
            added: texts(&self.added),
            replaced: texts(&self.replaced),
            differences: self.differences.iter().map(|together| self.difference_json(together)).collect(),
        }
    }

    fn difference_json(&self, together: &Together) -> DifferenceJson {
        let Together { from, to, v6, ports, before, after } = together;
        let port = |(protocol, first, last): &(Protocol, u16, u16)| PortsJson {
            protocol: protocol.name(),
            first: *first,
            last: *last,
        };
        DifferenceJson {
            from: EndsJson::from(from),
            to: EndsJson::from(to),
            family: family(*v6),
            ports: ports.iter().map(port).collect(),
            before: decision_json(&self.before, before),
            after: decision_json(&self.after, after),
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

fn family(v6: bool) -> &'static str {
    if v6 { "IPv6" } else { "IPv4" }
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
        for Together { from, to, v6, ports, before, after } in &self.differences {
            let now = (words(before.allow()), words(after.allow()));
            writeln!(f, "\n{} now, {} then: {}, over {}", now.0, now.1, Ports(ports), family(*v6))?;
            from.write(f, "from")?;
            to.write(f, "to  ")?;
            for direction in [Direction::Egress, Direction::Ingress] {
                let verdicts = at(before, direction).zip(at(after, direction));
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

impl Ends {
    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        if !self.pods.is_empty() {
            write!(f, "  {word} ")?;
            listed(f, &self.pods)?;
            writeln!(f)?;
        }
        if !self.prefixes.is_empty() {
            write!(f, "  {word} addresses of ")?;
            listed(f, &self.prefixes)?;
            writeln!(f, " that are no pod's and in no longer prefix of a policy")?;
        }
        Ok(())
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
    from: EndsJson,
    to: EndsJson,
    family: &'static str,
    ports: Vec<PortsJson>,
    before: DecisionJson,
    after: DecisionJson,
}

#[derive(Serialize, Debug)]
struct EndsJson {
    pods: Vec<String>,
    prefixes: Vec<String>,
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

impl From<&Ends> for EndsJson {
    fn from(Ends { pods, prefixes }: &Ends) -> Self {
        Self { pods: texts(pods), prefixes: texts(prefixes) }
    }
}

fn texts(all: &[impl ToString]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn decision_json(tables: &Compiled, decision: &Decision) -> DecisionJson {
    let rule = |verdict: Option<Verdict>| verdict.map(|verdict| named(tables, verdict.rule));
    DecisionJson { allowed: decision.allow(), egress: rule(decision.egress), ingress: rule(decision.ingress) }
}
