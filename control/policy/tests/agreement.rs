//! Compiled tables against the oracle: every pair of a random cluster, every port and protocol that could matter, from
//! nothing and after each of a run of changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod oracle;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use oracle::{Answer, Opener, Why};
use podlane_policy::compile::{Compiled, Decision, Identity, Origin, RuleName, Verdict};
use podlane_policy::diff::{Party, diff};
use podlane_policy::explain::{Fit, Outcome, Question, Remedy};
use podlane_policy::model::{
    Action, Block, Direction, Expression, Labels, NamedPort, Namespace, Operator, Peer, Pod, PodName, PodsOf, Policy,
    PolicyKind, PolicyName, PortMatch, Prefix, Protocol, Rule, Scope, Selector, Tier,
};
use podlane_policy::{Change, Cluster, Compiler, yaml};
use proptest::prelude::*;
use proptest::sample::select;

const NAMESPACES: [&str; 3] = ["blue", "red", "green"];
const PORTS: [u16; 6] = [0, 79, 80, 81, 443, 65535];

fn labels() -> impl Strategy<Value = Labels> {
    let pair = (select(&["app", "tier"][..]), select(&["a", "b"][..]));
    proptest::collection::btree_map(pair.0, pair.1, 0..=2)
        .prop_map(|labels| labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = proptest::collection::btree_set(select(&["a", "b"][..]).prop_map(str::to_owned), 1..=2);
    let operator = prop_oneof![
        values.clone().prop_map(Operator::In),
        values.prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist),
    ];
    let expression = (select(&["app", "tier"][..]), operator)
        .prop_map(|(key, operator)| Expression { key: key.to_owned(), operator });
    (prop_oneof![2 => Just(Labels::new()), 1 => labels()], proptest::collection::vec(expression, 0..=1))
        .prop_map(|(labels, expressions)| Selector { labels, expressions })
}

/// Of both families, dense around pods so that blocks cut between them.
fn prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (0..16_u8, 26..=32_u8).prop_map(|(host, length)| Prefix::new([10, 0, 0, host].into(), length)),
        (0..16_u16, 122..=128_u8)
            .prop_map(|(host, length)| Prefix::new([0xfd00, 0, 0, 0, 0, 0, 0, host].into(), length)),
        select(&[0_u8, 8][..]).prop_map(|length| Prefix::new([10, 0, 0, 0].into(), length)),
        Just(Prefix::new([0; 16].into(), 0)),
    ]
    .prop_map(|prefix| prefix.unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        select(&NAMESPACES[..]).prop_map(|name| Scope::Named(name.to_owned())),
        selector().prop_map(Scope::Selected),
    ]
}

fn pods_of() -> impl Strategy<Value = PodsOf> {
    (scope(), selector()).prop_map(|(namespaces, pods)| PodsOf { namespaces, pods })
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        pods_of().prop_map(Peer::Pods),
        (prefix(), proptest::collection::vec(prefix(), 0..=2))
            .prop_map(|(cidr, except)| Peer::Block(Block { cidr, except })),
    ]
}

fn port() -> impl Strategy<Value = PortMatch> {
    let protocol = select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..]);
    prop_oneof![
        (protocol.clone(), select(&PORTS[..]), select(&PORTS[..])).prop_map(|(protocol, one, other)| {
            PortMatch::Range { protocol, first: one.min(other), last: one.max(other) }
        }),
        (select(&["http", "dns"][..]), proptest::option::of(protocol))
            .prop_map(|(name, protocol)| PortMatch::Named { name: name.to_owned(), protocol }),
    ]
}

fn rules(actions: &'static [Action]) -> impl Strategy<Value = Arc<[Rule]>> {
    let peers = proptest::option::of(proptest::collection::vec(peer(), 1..=3));
    let ports = proptest::option::of(proptest::collection::vec(port(), 1..=3));
    let rule =
        (select(actions), peers, ports).prop_map(|(action, peers, ports)| Rule { name: None, action, peers, ports });
    proptest::collection::vec(rule, 0..=3).prop_map(Arc::from)
}

fn network_policy() -> impl Strategy<Value = Policy> {
    let rules = || proptest::option::of(rules(&[Action::Accept]));
    (select(&NAMESPACES[..]), 0..4_u8, selector(), rules(), rules()).prop_map(
        |(namespace, name, pods, ingress, egress)| {
            let namespaces = Scope::Named(namespace.to_owned());
            let namespace = Some(namespace.to_owned());
            Policy {
                name: PolicyName { kind: PolicyKind::NetworkPolicy, namespace, name: format!("policy-{name}") },
                tier: Tier::NetworkPolicy,
                priority: 0,
                subject: PodsOf { namespaces, pods },
                ingress,
                egress,
            }
        },
    )
}

fn cluster_policy() -> impl Strategy<Value = Policy> {
    let rules = || rules(&[Action::Accept, Action::Deny, Action::Pass]);
    let tier = select(&[Tier::Admin, Tier::Baseline][..]);
    (tier, 0..4_u8, 0..3_u16, pods_of(), rules(), rules()).prop_map(
        |(tier, name, priority, subject, ingress, egress)| Policy {
            name: PolicyName {
                kind: PolicyKind::ClusterNetworkPolicy,
                namespace: None,
                name: format!("{tier}-{name}"),
            },
            tier,
            priority,
            subject,
            ingress: Some(ingress),
            egress: Some(egress),
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![network_policy(), cluster_policy()]
}

/// Pods take their addresses from their names, so that no two have the same.
fn pod() -> impl Strategy<Value = Pod> {
    let port = (select(&["http", "dns"][..]), select(&Protocol::ALL[..3]), select(&PORTS[..]))
        .prop_map(|(name, protocol, port)| NamedPort { name: name.to_owned(), protocol, port });
    let ports = proptest::collection::vec(port, 0..=2);
    (0..3_usize, 0..3_u8, labels(), 0..3_u8, ports, prop::bool::weighted(0.15)).prop_map(
        |(namespace, number, labels, families, ports, host_network)| {
            let host = u8::try_from(namespace).unwrap() * 4 + number;
            let v4 = IpAddr::from([10, 0, 0, host]);
            let v6 = IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)]);
            let addresses = match families {
                0 => vec![v4],
                1 => vec![v6],
                _ => vec![v4, v6],
            };
            let name = PodName::new(NAMESPACES[namespace], format!("pod-{number}"));
            Pod { name, labels, addresses, ports, host_network, node: None }
        },
    )
}

fn namespace() -> impl Strategy<Value = Namespace> {
    (select(&NAMESPACES[..]), labels()).prop_map(|(name, labels)| Namespace::new(name, labels))
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => pod().prop_map(Change::Pod),
        1 => pod().prop_map(|pod| Change::NoPod(pod.name)),
        1 => namespace().prop_map(Change::Namespace),
        1 => namespace().prop_map(|namespace| Change::NoNamespace(namespace.name)),
        3 => policy().prop_map(Change::Policy),
        2 => policy().prop_map(|policy| Change::NoPolicy(policy.name)),
    ]
}

fn cluster() -> impl Strategy<Value = Vec<Change>> {
    let pods = proptest::collection::vec(pod().prop_map(Change::Pod), 2..8);
    let namespaces = proptest::collection::vec(namespace().prop_map(Change::Namespace), 0..4);
    let policies = proptest::collection::vec(policy().prop_map(Change::Policy), 0..6);
    (pods, namespaces, policies).prop_map(|(pods, namespaces, policies)| [pods, namespaces, policies].concat())
}

/// The same changes, made to plain lists.
fn change_plainly(cluster: &mut Cluster, change: Change) {
    match change {
        Change::Pod(pod) => {
            cluster.pods.retain(|other| other.name != pod.name);
            cluster.pods.push(pod);
        }
        Change::NoPod(name) => cluster.pods.retain(|other| other.name != name),
        Change::Namespace(namespace) => {
            cluster.namespaces.retain(|other| other.name != namespace.name);
            cluster.namespaces.push(namespace);
        }
        Change::NoNamespace(name) => cluster.namespaces.retain(|other| other.name != name),
        Change::Policy(policy) => {
            cluster.policies.retain(|other| other.name != policy.name);
            cluster.policies.push(policy);
        }
        Change::NoPolicy(name) => cluster.policies.retain(|other| other.name != name),
    }
}

fn named(compiled: &Compiled, verdict: Option<Verdict>, asked: Direction) -> Answer {
    verdict.map(|verdict| {
        let why = match compiled.rule(verdict.rule).unwrap() {
            RuleName::Open => Why::Open,
            RuleName::OwnNode => Why::OwnNode,
            RuleName::Itself => Why::Itself,
            RuleName::Unknown => panic!("a verdict of nobody's"),
            RuleName::Isolation { policy, direction } => {
                assert_eq!(direction, asked);
                Why::Isolated(policy.clone())
            }
            RuleName::Rule { policy, direction, index, .. } => {
                assert_eq!(direction, asked);
                Why::Rule(policy.clone(), index)
            }
        };
        (verdict.allow, why)
    })
}

fn agree(cluster: &Cluster, compiled: &Compiled) {
    let outside =
        [[10, 0, 0, 3].into(), [10, 9, 9, 9].into(), [192, 0, 2, 1].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 15].into()];
    let pods = cluster.pods.iter().flat_map(|pod| pod.addresses.iter().copied());
    let addresses: BTreeSet<IpAddr> = pods.chain(outside).collect();
    let origins = addresses.iter().map(|address| Origin::Address(*address)).chain([Origin::OwnNode]);
    for (from, to) in origins.flat_map(|from| addresses.iter().map(move |to| (from, *to))) {
        for (protocol, port) in Protocol::ALL.into_iter().flat_map(|protocol| PORTS.map(|port| (protocol, port))) {
            let opener = match from {
                Origin::Address(address) => Opener::Address(address),
                Origin::OwnNode => Opener::OwnNode,
            };
            let (egress, ingress) = oracle::may(cluster, opener, to, protocol, port);
            let decision: Decision = compiled.decide(from, to, protocol, port);
            let asked = format!("{from:?} to {to} {protocol}/{port}");
            assert_eq!(named(compiled, decision.egress, Direction::Egress), egress, "egress, {asked}");
            assert_eq!(named(compiled, decision.ingress, Direction::Ingress), ingress, "ingress, {asked}");
        }
    }
}

/// Whoever builds a prefix table of their own from the lists gets the identities that are looked up here.
fn lists_agree_with_lookups(compiled: &Compiled) {
    let prefixes: Vec<_> = compiled.prefixes().collect();
    let pods: Vec<_> = compiled.pod_addresses().collect();
    for host in 0..64_u8 {
        for address in [IpAddr::from([10, 0, 0, host]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)])] {
            let pod = pods.iter().find(|pod| pod.0 == address).map(|pod| pod.1);
            let around = prefixes.iter().filter(|prefix| prefix.0.contains(address));
            let longest = around.max_by_key(|prefix| prefix.0.length()).map(|prefix| prefix.1);
            let expected = pod.or(longest).unwrap_or(Identity::OUTSIDE);
            assert_eq!(compiled.identity_of_address(address), expected, "{address}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn tables_decide_as_the_specification_does(changes in cluster()) {
        let mut cluster = Cluster::default();
        changes.into_iter().for_each(|change| change_plainly(&mut cluster, change));
        agree(&cluster, &Compiler::of(cluster.clone()).compile());
    }

    /// Names the same rule, its last stage is where that was decided, and what it offers heals that end.
    #[test]
    fn explanations_agree_with_verdicts_and_their_remedies_heal(changes in cluster(), from in 0..12_u8, to in 0..12_u8, port in select(&PORTS[1..])) {
        let mut cluster = Cluster::default();
        changes.into_iter().for_each(|change| change_plainly(&mut cluster, change));
        let tables = Compiler::of(cluster.clone()).compile();
        let from = Origin::Address([10, 0, 0, from].into());
        let question = Question { from, to: [10, 0, 0, to].into(), protocol: Protocol::Tcp, port };
        let explanation = tables.explain(&question);
        prop_assert_eq!(explanation.decision, tables.decide(from, question.to, Protocol::Tcp, port));
        for end in &explanation.ends {
            prop_assert_eq!(&end.rule, &tables.rule(end.verdict.rule).unwrap().to_string());
            let Some(stage) = end.stages.last() else { continue };
            let first = stage.policies.iter().flat_map(|policy| &policy.rules).find(|rule| rule.1 == Fit::Matches);
            let expected = match (stage.outcome, first) {
                (Outcome::Rule(action), Some(rule)) => action == rule.0,
                (Outcome::Isolated | Outcome::NoRule | Outcome::NoPolicy, None) => true,
                _ => false,
            };
            prop_assert!(expected, "{}", explanation);
            if let Some(Remedy::Apply { yaml }) = &end.remedy {
                let mut healed = cluster.clone();
                healed.policies.extend(yaml::read([("remedy.yaml", yaml.as_str())]).unwrap().cluster.policies);
                let healed = Compiler::of(healed).compile();
                let after = healed.explain(&question);
                let same = after.ends.iter().find(|other| other.direction == end.direction).unwrap();
                prop_assert!(same.verdict.allow, "{}{}", explanation, after);
                let changed = diff(&tables, &healed);
                prop_assert!(changed.iter().all(|found| found.after.allow()), "{}", yaml);
            }
        }
    }

    /// A difference for every pair, protocol and port that the oracle decides otherwise, and for no other.
    #[test]
    fn a_diff_is_what_the_specification_decides_otherwise(changes in cluster(), other in proptest::collection::vec(policy(), 0..4)) {
        let mut old = Cluster::default();
        changes.into_iter().for_each(|change| change_plainly(&mut old, change));
        let mut new = old.clone();
        other.into_iter().for_each(|policy| change_plainly(&mut new, Change::Policy(policy)));
        let found = diff(&Compiler::of(old.clone()).compile(), &Compiler::of(new.clone()).compile());
        let pods: Vec<_> = old.pods.iter().filter(|pod| !pod.host_network).collect();
        for (one, two) in pods.iter().flat_map(|one| pods.iter().map(move |two| (one, two))) {
            for (from, to) in one.addresses.iter().flat_map(|from| two.addresses.iter().map(move |to| (*from, *to))) {
                if from.is_ipv4() != to.is_ipv4() || one.name == two.name {
                    continue;
                }
                for (protocol, port) in Protocol::ALL.into_iter().flat_map(|protocol| PORTS.map(|port| (protocol, port))) {
                    let allowed = |cluster| {
                        let (egress, ingress) = oracle::may(cluster, Opener::Address(from), to, protocol, port);
                        [egress, ingress].iter().flatten().all(|answer| answer.0)
                    };
                    let listed = found.iter().any(|found| {
                        let is = |party: &Party, name: &PodName| matches!(party, Party::Pods(pods) if pods.contains(name));
                        let family = |decision: &Decision| (decision.allow(), found.v6) == (allowed(&new), from.is_ipv6());
                        is(&found.from, &one.name) && is(&found.to, &two.name) && found.protocol == protocol
                            && (found.first..=found.last).contains(&port) && family(&found.after)
                    });
                    prop_assert_eq!(listed, allowed(&old) != allowed(&new), "{} to {} {}/{}", from, to, protocol, port);
                }
            }
        }
    }

    #[test]
    fn after_any_change_they_still_do_and_equal_those_compiled_from_nothing(
        start in cluster(),
        changes in proptest::collection::vec(change(), 1..8),
    ) {
        let mut cluster = Cluster::default();
        let mut compiler = Compiler::new();
        for change in start {
            compiler.apply(change.clone());
            change_plainly(&mut cluster, change);
        }
        for change in changes {
            compiler.apply(change.clone());
            change_plainly(&mut cluster, change);
            let compiled = compiler.compile();
            agree(&cluster, &compiled);
            let anew = Compiler::of(cluster.clone()).compile();
            prop_assert_eq!(compiled.classes(), anew.classes(), "classes that nobody needs are kept");
            let again = Compiler::of(compiler.cluster()).compile();
            prop_assert_eq!(again.classes(), anew.classes(), "what was applied is given back");
            lists_agree_with_lookups(&compiled);
        }
    }
}
