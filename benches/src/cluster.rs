//! Clusters: one of two pods and as many policies as are wanted, all of them about both, for misses; and one of many pods, for the compiler.
//!
//! The first is the dearest there is for a miss: each policy isolates each pod in both directions and allows somebody else, but for the last, which
//! allows what the packets of the benches open. The judge is the daemon's own. The second is as clusters are: applications of some pods each,
//! each with a policy that lets one other application in.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use podlane::enforce::{Judge, Place, Places};
use podlane_dataplane::{Generation, policy::Enforcement};
use podlane_policy::{
    Cluster, Compiler,
    model::{
        Action, Block, Labels, Namespace, Peer, Pod, PodName, PodsOf, Policy, PolicyKind, PolicyName, PortMatch,
        Prefix, Protocol, Rule, Scope, Selector, Tier,
    },
};

use crate::packets::{ENTRY, EXIT, Host, host};

/// Where the pods are.
const NAMESPACE: &str = "bench";

/// So many policies in force for stations 1 and 2 of network 0.
#[must_use]
pub fn enforcement(policies: usize) -> Enforcement {
    let behind = |port, name| (port, Place::Pod(PodName::new(NAMESPACE, name)));
    let places: Places = [behind(ENTRY, "entry"), behind(EXIT, "exit")].into_iter().collect();
    let cluster = Cluster {
        namespaces: vec![Namespace::new(NAMESPACE, Labels::default())],
        pods: vec![pod("entry", host(0, 1)), pod("exit", host(0, 2))],
        policies: (1..=policies).map(|number| policy(number, number == policies)).collect(),
    };
    let judge = Judge::new(Compiler::of(cluster).compile(), Arc::new(places));
    // Past the tables' own, which came first.
    Enforcement { generation: Generation(2), policy: Box::new(judge) }
}

/// So many applications of so many pods, in a row: each lets in the one before it, on one port.
#[must_use]
pub fn applications(count: usize, pods: usize) -> Cluster {
    Cluster {
        namespaces: vec![Namespace::new(NAMESPACE, Labels::default())],
        pods: (0..count * pods).map(|number| member(number / pods, number)).collect(),
        policies: (0..count).map(|number| lets_in(number, (number + count - 1) % count)).collect(),
    }
}

/// A pod of an application; the number is its own.
#[must_use]
pub fn member(application: usize, number: usize) -> Pod {
    let address = Ipv4Addr::from_bits((10 << 24) | (number as u32 + 1));
    Pod { labels: label(application), ..pod_at(&format!("pod-{number}"), vec![address.into()]) }
}

fn label(application: usize) -> Labels {
    [("app".to_owned(), format!("app-{application}"))].into()
}

fn lets_in(application: usize, other: usize) -> Policy {
    let of = |application| Selector { labels: label(application), ..Selector::default() };
    let pods = |application| PodsOf { namespaces: Scope::Named(NAMESPACE.to_owned()), pods: of(application) };
    let ports = vec![PortMatch::Range { protocol: Protocol::Tcp, first: 80, last: 80 }];
    let rule =
        Rule { name: None, action: Action::Accept, peers: Some(vec![Peer::Pods(pods(other))]), ports: Some(ports) };
    Policy {
        name: PolicyName {
            kind: PolicyKind::NetworkPolicy,
            namespace: Some(NAMESPACE.to_owned()),
            name: format!("app-{application}"),
        },
        tier: Tier::NetworkPolicy,
        priority: 0,
        subject: pods(application),
        ingress: Some(Arc::from([rule])),
        egress: None,
    }
}

fn pod(name: &str, host: Host) -> Pod {
    pod_at(name, vec![host.v4.into(), host.v6.into()])
}

fn pod_at(name: &str, addresses: Vec<IpAddr>) -> Pod {
    Pod {
        name: PodName::new(NAMESPACE, name),
        labels: Labels::default(),
        addresses,
        ports: Vec::new(),
        host_network: false,
        node: None,
    }
}

/// One that allows TCP: between all pods, or to and from one address that nobody has.
fn policy(number: usize, between_pods: bool) -> Policy {
    let everybody = || PodsOf { namespaces: Scope::Named(NAMESPACE.to_owned()), pods: Selector::default() };
    let peer = if between_pods { Peer::Pods(everybody()) } else { stranger(number) };
    let ports = vec![PortMatch::Range { protocol: Protocol::Tcp, first: 1, last: u16::MAX }];
    let rule = Rule { name: None, action: Action::Accept, peers: Some(vec![peer]), ports: Some(ports) };
    let rules: Arc<[Rule]> = Arc::from([rule]);
    Policy {
        name: PolicyName {
            kind: PolicyKind::NetworkPolicy,
            namespace: Some(NAMESPACE.to_owned()),
            name: format!("policy-{number}"),
        },
        tier: Tier::NetworkPolicy,
        priority: 0,
        subject: everybody(),
        ingress: Some(Arc::clone(&rules)),
        egress: Some(rules),
    }
}

fn stranger(number: usize) -> Peer {
    let address = IpAddr::from(Ipv4Addr::from_bits(100 << 24 | 64 << 16 | number as u32));
    Peer::Block(Block { cidr: Prefix::host(address), except: Vec::new() })
}

#[cfg(test)]
mod tests {
    use podlane_dataplane::{
        PortId,
        policy::{End, Leasing, Opening, Policy as _},
    };

    use super::*;

    #[test]
    fn the_packets_of_the_benches_are_allowed_and_others_are_not() {
        let opening = |protocol, from: Host| Opening {
            from: End { address: from.v4.into(), port: ENTRY },
            to: End { address: host(0, 2).v4.into(), port: EXIT },
            protocol,
            port: 80,
            leasing: Leasing::Unrelated,
        };
        for policies in [1, 2, 100] {
            let enforcement = enforcement(policies);
            assert!(enforcement.policy.verdict(&opening(6, host(0, 1))).allow, "{policies}");
            assert!(!enforcement.policy.verdict(&opening(17, host(0, 1))).allow, "{policies}");
            assert!(!enforcement.policy.verdict(&opening(6, host(0, 2))).allow, "{policies}");
        }
        assert!(enforcement(0).policy.verdict(&opening(17, host(0, 1))).allow, "without a policy pods are open");
    }

    #[test]
    fn an_application_lets_in_the_one_before_it_and_no_other() {
        let cluster = applications(4, 3);
        let places = |number: usize| (PortId(1 + number as u16), Place::Pod(cluster.pods[number].name.clone()));
        let places: Places = (0..12).map(places).collect();
        let end = |number: usize| End { address: cluster.pods[number].addresses[0], port: PortId(1 + number as u16) };
        let judge = Judge::new(Compiler::of(cluster.clone()).compile(), Arc::new(places));
        let opens = |from, to, port| {
            judge
                .verdict(&Opening { from: end(from), to: end(to), protocol: 6, port, leasing: Leasing::Unrelated })
                .allow
        };
        assert_eq!([opens(0, 3, 80), opens(11, 2, 80)], [true; 2], "by the policy of the application");
        assert_eq!([opens(0, 6, 80), opens(3, 0, 80), opens(0, 3, 81), opens(0, 1, 80)], [false; 4]);
    }
}
