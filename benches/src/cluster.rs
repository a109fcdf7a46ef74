//! A cluster of two pods, and as many policies as are wanted, all of them about both.
//!
//! The dearest there are for a miss: each policy isolates each pod in both directions and allows somebody else, but for the last, which
//! allows what the packets of the benches open. The judge is the daemon's own.

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

fn pod(name: &str, host: Host) -> Pod {
    Pod {
        name: PodName::new(NAMESPACE, name),
        labels: Labels::default(),
        addresses: vec![host.v4.into(), host.v6.into()],
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
    use podlane_dataplane::policy::{End, Opening};

    use super::*;

    #[test]
    fn the_packets_of_the_benches_are_allowed_and_others_are_not() {
        let opening = |protocol, from: Host| Opening {
            from: End { address: from.v4.into(), port: ENTRY },
            to: End { address: host(0, 2).v4.into(), port: EXIT },
            protocol,
            port: 80,
        };
        for policies in [1, 2, 100] {
            let enforcement = enforcement(policies);
            assert!(enforcement.policy.verdict(&opening(6, host(0, 1))).allow, "{policies}");
            assert!(!enforcement.policy.verdict(&opening(17, host(0, 1))).allow, "{policies}");
            assert!(!enforcement.policy.verdict(&opening(6, host(0, 2))).allow, "{policies}");
        }
        assert!(enforcement(0).policy.verdict(&opening(17, host(0, 1))).allow, "without a policy pods are open");
    }
}
