//! The specification, evaluated as it is written: no index, no class, no table. Slow, and meant to be read beside the
//! Kubernetes documents. Shares with the compiler nothing but the words of the model, and does not use the model's own
//! methods either.

use std::net::IpAddr;

use podlane_policy::Cluster;
use podlane_policy::model::{
    Action, Direction, Labels, Operator, Peer, Pod, PodsOf, Policy, PolicyName, PortMatch, Prefix, Protocol, Rule,
    Scope, Selector, Tier,
};

/// Who opens a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Opener {
    Address(IpAddr),
    OwnNode,
}

/// What decided.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Why {
    Open,
    OwnNode,
    Itself,
    Isolated(PolicyName),
    Rule(PolicyName, usize),
}

pub(crate) type Answer = Option<(bool, Why)>;

#[derive(Clone, Copy)]
struct Asked {
    protocol: Protocol,
    port: u16,
}

/// What the opener's egress and the other end's ingress say; nothing where that end is no pod with its own network.
pub(crate) fn may(cluster: &Cluster, from: Opener, to: IpAddr, protocol: Protocol, port: u16) -> (Answer, Answer) {
    let asked = Asked { protocol, port };
    let destination = pod_with(cluster, to);
    let (source, source_address) = match from {
        Opener::OwnNode => (None, None),
        Opener::Address(address) => (pod_with(cluster, address), Some(address)),
    };
    if let (Some(source), Some(destination)) = (source, destination)
        && source.name == destination.name
    {
        return (Some((true, Why::Itself)), Some((true, Why::Itself)));
    }
    let egress =
        source.map(|pod| decide(cluster, pod, Direction::Egress, (destination, Some(to)), (destination, asked)));
    let ingress = destination.map(|pod| match from {
        Opener::OwnNode => (true, Why::OwnNode),
        Opener::Address(_) => decide(cluster, pod, Direction::Ingress, (source, source_address), (destination, asked)),
    });
    (egress, ingress)
}

/// Pods on their node's network look like their node: like an address.
fn pod_with(cluster: &Cluster, address: IpAddr) -> Option<&Pod> {
    cluster.pods.iter().find(|pod| !pod.host_network && pod.addresses.contains(&address))
}

type Party<'a> = (Option<&'a Pod>, Option<IpAddr>);

fn decide(
    cluster: &Cluster,
    subject: &Pod,
    direction: Direction,
    peer: Party<'_>,
    asked: (Option<&Pod>, Asked),
) -> (bool, Why) {
    let mut selecting: Vec<&Policy> =
        cluster.policies.iter().filter(|policy| in_set(cluster, &policy.subject, subject)).collect();
    selecting.sort_by_key(|policy| (policy.priority, policy.name.clone()));
    let rules = |policy: &Policy| match direction {
        Direction::Ingress => policy.ingress.clone(),
        Direction::Egress => policy.egress.clone(),
    };
    let first = |tier: Tier| {
        for policy in selecting.iter().filter(|policy| policy.tier == tier) {
            for (index, rule) in rules(policy).iter().flat_map(|rules| rules.iter()).enumerate() {
                if matches(cluster, rule, peer, asked) {
                    return Some((rule.action, Why::Rule(policy.name.clone(), index)));
                }
            }
        }
        None
    };
    match first(Tier::Admin) {
        Some((Action::Accept, why)) => return (true, why),
        Some((Action::Deny, why)) => return (false, why),
        Some((Action::Pass, _)) | None => {}
    }
    let isolating =
        selecting.iter().find(|policy| policy.tier == Tier::NetworkPolicy && rules(policy).is_some()).copied();
    if let Some(policy) = isolating {
        return match first(Tier::NetworkPolicy) {
            Some((_, why)) => (true, why),
            None => (false, Why::Isolated(policy.name.clone())),
        };
    }
    match first(Tier::Baseline) {
        Some((Action::Accept, why)) => (true, why),
        Some((Action::Deny, why)) => (false, why),
        Some((Action::Pass, _)) | None => (true, Why::Open),
    }
}

fn matches(cluster: &Cluster, rule: &Rule, peer: Party<'_>, asked: (Option<&Pod>, Asked)) -> bool {
    let peers = rule.peers.as_ref().is_none_or(|peers| peers.iter().any(|one| is_peer(cluster, one, peer)));
    let ports = rule.ports.as_ref().is_none_or(|ports| ports.iter().any(|one| is_port(one, asked.0, asked.1)));
    peers && ports
}

fn is_peer(cluster: &Cluster, peer: &Peer, (pod, address): Party<'_>) -> bool {
    match peer {
        Peer::Pods(pods) => pod.is_some_and(|pod| in_set(cluster, pods, pod)),
        Peer::Block(block) => address.is_some_and(|address| {
            in_prefix(&block.cidr, address) && !block.except.iter().any(|except| in_prefix(except, address))
        }),
    }
}

fn is_port(port: &PortMatch, destination: Option<&Pod>, asked: Asked) -> bool {
    match port {
        PortMatch::Range { protocol, first, last } => {
            *protocol == asked.protocol && *first <= asked.port && asked.port <= *last
        }
        PortMatch::Named { name, protocol } => destination.is_some_and(|pod| {
            pod.ports.iter().any(|port| {
                port.name == *name
                    && (port.protocol, port.port) == (asked.protocol, asked.port)
                    && protocol.is_none_or(|protocol| protocol == asked.protocol)
            })
        }),
    }
}

fn in_set(cluster: &Cluster, pods: &PodsOf, pod: &Pod) -> bool {
    if pod.host_network {
        return false;
    }
    let namespace = match &pods.namespaces {
        Scope::Named(name) => *name == pod.name.namespace,
        Scope::Selected(selector) => {
            let declared = cluster.namespaces.iter().find(|namespace| namespace.name == pod.name.namespace);
            let mut labels = declared.map(|namespace| namespace.labels.clone()).unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), pod.name.namespace.clone());
            selects(selector, &labels)
        }
    };
    namespace && selects(&pods.pods, &pod.labels)
}

fn selects(selector: &Selector, labels: &Labels) -> bool {
    for (key, value) in &selector.labels {
        if labels.get(key) != Some(value) {
            return false;
        }
    }
    for expression in &selector.expressions {
        let holds = match (&expression.operator, labels.get(&expression.key)) {
            (Operator::In(values), Some(value)) => values.contains(value),
            (Operator::NotIn(values), Some(value)) => !values.contains(value),
            (Operator::Exists, Some(_)) | (Operator::NotIn(_) | Operator::DoesNotExist, None) => true,
            (Operator::DoesNotExist, Some(_)) | (Operator::In(_) | Operator::Exists, None) => false,
        };
        if !holds {
            return false;
        }
    }
    true
}

fn in_prefix(prefix: &Prefix, address: IpAddr) -> bool {
    let length = usize::from(prefix.length());
    match (prefix.address(), address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => bits(&one.octets())[..length] == bits(&other.octets())[..length],
        (IpAddr::V6(one), IpAddr::V6(other)) => bits(&one.octets())[..length] == bits(&other.octets())[..length],
        _ => false,
    }
}

fn bits(octets: &[u8]) -> Vec<bool> {
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}
