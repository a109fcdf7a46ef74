//! Podlane under policy: as without it, and both pods are behind ports of a policed kind. What judges is what judges in its daemon, by one
//! NetworkPolicy of [`rules`] about the receiver.

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

use crate::{
    bed::Bed,
    load::traffic::address,
    subject::{
        Duty, SubjectError,
        podlane::{PORTS, switch_pair, tables},
        rules::{Allowed, rules},
        switch::Switch,
    },
};

/// Where the pods are, and what the receiver's only policy is called.
const NAMESPACE: &str = "bed";

/// The pods, in the order of their ports.
const PODS: [&str; 2] = ["from", "to"];

/// After the generation of the tables.
const GENERATION: Generation = Generation(2);

/// Starts it, with so many rules.
pub(super) fn start(bed: &Bed, duty: &Duty, rules: u16) -> Result<Switch, SubjectError> {
    let mut tables = tables(duty);
    for port in PORTS {
        if let Some(Some(port)) = tables.ports.get_mut(port.index()) {
            port.policed = true;
        }
    }
    let switch = switch_pair(bed, duty, tables)?;
    switch.enforce(Enforcement { generation: GENERATION, policy: Box::new(judge(rules)) })?;
    Ok(switch)
}

fn judge(rules: u16) -> Judge {
    let behind = |(port, name)| (port, Place::Pod(PodName::new(NAMESPACE, name)));
    let places: Places = PORTS.into_iter().zip(PODS).map(behind).collect();
    let cluster = Cluster {
        namespaces: vec![Namespace::new(NAMESPACE, Labels::default())],
        pods: (1..).zip(PODS).map(|(station, name)| pod(station, name)).collect(),
        policies: vec![policy(rules)],
    };
    Judge::new(Compiler::of(cluster).compile(), Arc::new(places))
}

fn pod(station: u8, name: &str) -> Pod {
    Pod {
        name: PodName::new(NAMESPACE, name),
        labels: Labels::from([("name".to_owned(), name.to_owned())]),
        addresses: vec![address(0, station).into()],
        ports: Vec::new(),
        host_network: false,
        node: None,
    }
}

/// All the rules, for connections to the receiver.
fn policy(number: u16) -> Policy {
    let [_, receiver] = PODS;
    let labels = Labels::from([("name".to_owned(), receiver.to_owned())]);
    Policy {
        name: PolicyName {
            kind: PolicyKind::NetworkPolicy,
            namespace: Some(NAMESPACE.to_owned()),
            name: "rules".to_owned(),
        },
        tier: Tier::NetworkPolicy,
        priority: 0,
        subject: PodsOf {
            namespaces: Scope::Named(NAMESPACE.to_owned()),
            pods: Selector { labels, expressions: Vec::new() },
        },
        ingress: Some(rules(number).map(rule).collect()),
        egress: None,
    }
}

fn rule(Allowed { from, port }: Allowed) -> Rule {
    let sender = Peer::Block(Block { cidr: Prefix::host(from.into()), except: Vec::new() });
    let service = PortMatch::Range { protocol: Protocol::Udp, first: port, last: port };
    Rule { name: None, action: Action::Accept, peers: Some(vec![sender]), ports: Some(vec![service]) }
}

#[cfg(test)]
mod tests {
    use podlane_dataplane::policy::{End, Leasing, Opening, Policy as _};

    use super::*;
    use crate::load::traffic::SERVICE;

    #[test]
    fn the_judge_allows_what_the_rules_do_and_nothing_else() {
        let judge = judge(1000);
        let opening = |from: u8, to: u8, port| Opening {
            from: End { address: address(0, from).into(), port: PORTS[usize::from(from - 1)] },
            to: End { address: address(0, to).into(), port: PORTS[usize::from(to - 1)] },
            protocol: 17,
            port,
            leasing: Leasing::Unrelated,
        };
        assert!(judge.verdict(&opening(1, 2, SERVICE)).allow);
        assert!(!judge.verdict(&opening(1, 2, SERVICE + 1)).allow);
        // The sender is under no policy: what answers it needs no rule, and neither does what opens to it.
        assert!(judge.verdict(&opening(2, 1, SERVICE)).allow);
    }
}
