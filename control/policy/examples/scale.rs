//! How long compilation takes and how much memory, at the size that is promised: 10,000 pods in 1,000 namespaces under 10,000 policies.
//!
//! `cargo run --release -p podlane-policy --example scale`. A time is no test: it prints, and whoever runs it judges.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use podlane_policy::compile::Compiled;
use podlane_policy::model::{
    Action, Block, Direction, Labels, NamedPort, Namespace, Peer, Pod, PodName, PodsOf, Policy, PolicyKind, PolicyName,
    PortMatch, Prefix, Protocol, Rule, Scope, Selector, Tier,
};
use podlane_policy::{Change, Cluster, Compiler};

const NAMESPACES: usize = 1_000;
const PODS: usize = 10;
const POLICIES: usize = 10;

fn labels(pairs: &[(&str, String)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn app(number: usize) -> Selector {
    Selector { labels: labels(&[("app", format!("app-{number}"))]), expressions: Vec::new() }
}

fn team(number: usize) -> Selector {
    Selector { labels: labels(&[("team", format!("team-{number}"))]), expressions: Vec::new() }
}

fn pod(namespace: usize, number: usize) -> Pod {
    let host = u32::try_from(namespace * PODS + number).unwrap_or(0);
    let v4 = IpAddr::from((0x0a00_0000 + host).to_be_bytes());
    let v6 = IpAddr::from((0xfd00_u128 << 112 | u128::from(host)).to_be_bytes());
    let http = NamedPort { name: "http".to_owned(), protocol: Protocol::Tcp, port: [80, 8080][number % 2] };
    Pod {
        name: PodName::new(format!("ns-{namespace}"), format!("pod-{number}")),
        labels: labels(&[
            ("app", format!("app-{number}")),
            ("tier", format!("tier-{}", number % 3)),
            ("pod-template-hash", format!("{host:08x}")),
        ]),
        addresses: vec![v4, v6],
        ports: vec![http],
        host_network: false,
        node: Some(format!("node-{}", host % 100)),
    }
}

fn tcp(port: u16) -> PortMatch {
    PortMatch::Range { protocol: Protocol::Tcp, first: port, last: port }
}

fn accept(peers: Vec<Peer>, ports: Vec<PortMatch>) -> Rule {
    Rule { name: None, action: Action::Accept, peers: Some(peers), ports: Some(ports) }
}

/// Each kind of rule that is common: within the namespace, from a team's namespaces, by named port, and to the world less a part.
fn policy(namespace: usize, number: usize) -> Policy {
    let own = Scope::Named(format!("ns-{namespace}"));
    let within = Peer::Pods(PodsOf { namespaces: own.clone(), pods: app((number + 1) % PODS) });
    let teams = Peer::Pods(PodsOf { namespaces: Scope::Selected(team((namespace + number) % 50)), pods: app(number) });
    let third = u8::try_from(namespace % 256).unwrap_or(0);
    let part = |length, address: [u8; 4]| Prefix::new(address.into(), length);
    let world = part(0, [0; 4]).zip(part(24, [198, 18, third, 0]));
    let block = world.map(|(cidr, except)| Peer::Block(Block { cidr, except: vec![except] }));
    let named = PortMatch::Named { name: "http".to_owned(), protocol: Some(Protocol::Tcp) };
    let port = u16::try_from(1000 + number).unwrap_or(1);
    let pods = if number == 0 { Selector::default() } else { app(number) };
    Policy {
        name: PolicyName {
            kind: PolicyKind::NetworkPolicy,
            namespace: Some(format!("ns-{namespace}")),
            name: format!("policy-{number}"),
        },
        tier: Tier::NetworkPolicy,
        priority: 0,
        subject: PodsOf { namespaces: own, pods },
        ingress: Some(Arc::from([accept(vec![within, teams], vec![named, tcp(port)])])),
        egress: (number < 5).then(|| Arc::from([accept(block.into_iter().collect(), vec![tcp(443)])])),
    }
}

fn everywhere(name: &str, action: Action) -> Policy {
    let all = || PodsOf { namespaces: Scope::Selected(Selector::default()), pods: Selector::default() };
    let from = Peer::Pods(PodsOf { namespaces: Scope::Selected(team(7)), pods: Selector::default() });
    let rule = Rule { name: None, action, peers: Some(vec![from]), ports: Some(vec![tcp(9)]) };
    Policy {
        name: PolicyName { kind: PolicyKind::ClusterNetworkPolicy, namespace: None, name: name.to_owned() },
        tier: Tier::Admin,
        priority: 10,
        subject: all(),
        ingress: Some(Arc::from([rule])),
        egress: Some(Arc::from([])),
    }
}

fn cluster() -> Cluster {
    let each =
        |count: usize| (0..NAMESPACES).flat_map(move |namespace| (0..count).map(move |number| (namespace, number)));
    Cluster {
        namespaces: (0..NAMESPACES)
            .map(|number| Namespace::new(format!("ns-{number}"), labels(&[("team", format!("team-{}", number % 50))])))
            .collect(),
        pods: each(PODS).map(|(namespace, number)| pod(namespace, number)).collect(),
        policies: each(POLICIES).map(|(namespace, number)| policy(namespace, number)).collect(),
    }
}

/// Kilobytes, from the kernel's own account of this process.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim_matches([':', ' ', '\t']).split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// Median and highest of some rounds of a change, each compiled.
fn changes(title: &str, compiler: &mut Compiler, mut next: impl FnMut(usize) -> Change) {
    let mut times: Vec<Duration> = (0..21)
        .map(|round| {
            let change = next(round);
            let began = Instant::now();
            compiler.apply(change);
            let compiled = compiler.compile();
            let took = began.elapsed();
            black_box(compiled);
            took
        })
        .collect();
    times.sort_unstable();
    println!("{title:<44} {:>9.3?} median {:>9.3?} highest", times[times.len() / 2], times[times.len() - 1]);
}

/// Nanoseconds a verdict, over pairs that jump about.
fn lookups(title: &str, compiled: &Compiled) {
    let pods: Vec<_> = compiled.pods().map(|pod| pod.name.clone()).collect();
    let ends: Vec<_> = pods
        .iter()
        .filter_map(|name| Some((compiled.subject_of_pod(name)?, compiled.identity_of_pod(name).first()?.1)))
        .collect();
    let rounds = 2_000_000;
    let began = Instant::now();
    let mut allowed = 0_usize;
    for round in 0..rounds {
        let (subject, (_, peer)) = (ends[round * 7919 % ends.len()].0, ends[round * 104_729 % ends.len()]);
        let verdict = compiled.verdict(subject, Direction::Ingress, peer, Protocol::Tcp, black_box(80));
        allowed += usize::from(verdict.allow);
    }
    let each = began.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(rounds).unwrap_or(1));
    println!("{title:<44} {each:>9.1} ns ({allowed} of {rounds} allowed)");
}

fn main() {
    let cluster = cluster();
    let outset = memory("VmRSS");
    let spare = cluster.clone();
    let began = Instant::now();
    let mut compiler = Compiler::of(spare);
    let compiled = compiler.compile();
    let took = began.elapsed();
    let (subjects, identities) = compiled.classes();
    println!(
        "{} pods, {} namespaces, {} policies",
        cluster.pods.len(),
        cluster.namespaces.len(),
        cluster.policies.len()
    );
    println!("{subjects} subject classes, {identities} identities, {} prefixes", compiled.prefixes().count());
    println!("{:<44} {took:>9.3?}", "compiled from nothing");
    println!("{:<44} {:>9} kB, of which input {outset} kB", "peak memory", memory("VmHWM"));
    lookups("a verdict, cold caches as they come", &compiled);

    changes("one pod relabelled", &mut compiler, |round| {
        Change::Pod(Pod { labels: labels(&[("app", format!("app-{}", round % PODS))]), ..pod(500, 3) })
    });
    changes("one namespace relabelled", &mut compiler, |round| {
        Change::Namespace(Namespace::new("ns-500", labels(&[("team", format!("team-{}", round % 50))])))
    });
    changes("one policy changed", &mut compiler, |round| {
        let mut changed = policy(500, 4);
        changed.ingress = policy(500, round % PODS).ingress;
        Change::Policy(changed)
    });
    changes("one policy over every pod changed", &mut compiler, |round| {
        Change::Policy(everywhere("everywhere", if round % 2 == 0 { Action::Deny } else { Action::Pass }))
    });
    changes("a block around every pod, come and gone", &mut compiler, |round| {
        let mut changed = policy(500, 4);
        let cidr = Prefix::new([10, 0, 0, 0].into(), if round % 2 == 0 { 8 } else { 9 });
        let block = cidr.map(|cidr| Peer::Block(Block { cidr, except: Vec::new() }));
        changed.ingress = Some(Arc::from([accept(block.into_iter().collect(), vec![tcp(22)])]));
        Change::Policy(changed)
    });
    println!("{:<44} {:>9} kB", "peak memory at the end", memory("VmHWM"));

    let mut crowded = Compiler::new();
    crowded.apply(Change::Pod(pod(0, 1)));
    crowded.apply(Change::Pod(pod(0, 2)));
    for number in 0..10_000_usize {
        let mut one = policy(0, 1);
        one.name.name = format!("policy-{number}");
        one.subject.pods = Selector::default();
        let octets = u16::try_from(number).unwrap_or(0).to_be_bytes();
        let cidr = Prefix::new([100, 64, octets[0], octets[1]].into(), 32);
        let block = cidr.map(|cidr| Peer::Block(Block { cidr, except: Vec::new() }));
        one.ingress = Some(Arc::from([accept(block.into_iter().collect(), vec![tcp(80)])]));
        crowded.apply(Change::Policy(one));
    }
    lookups("a verdict with 10,000 policies on one pod", &crowded.compile());
}
