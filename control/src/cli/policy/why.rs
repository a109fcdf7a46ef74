//! One connection explained from files, over each address family that both ends have.

use std::net::IpAddr;

use podlane_api::{Why, WhyAnswer};
use podlane_policy::compile::Origin;
use podlane_policy::explain;
use podlane_policy::model::Pod;
use podlane_policy::{Cluster, Compiled, Compiler};

use super::PolicyError;
use crate::cli::args::Question;
use crate::told::explained::{because, ends};
use crate::told::question::{Opener, Party, Unmeant, addresses, pod_meant, service};

/// Explains a connection between two ends of a cluster.
pub(super) fn answer(cluster: Cluster, question: &Question) -> Result<Why, PolicyError> {
    let questions = questions(&cluster, question)?;
    let compiled = Compiler::of(cluster).compile();
    let answers: Vec<WhyAnswer> = questions.iter().map(|question| explained(&compiled, question)).collect();
    let allowed = answers.iter().all(|answer| answer.allowed == Some(true));
    Ok(Why { allowed: Some(allowed), generation: None, answers })
}

fn explained(compiled: &Compiled, question: &explain::Question) -> WhyAnswer {
    let explanation = compiled.explain(question);
    WhyAnswer {
        from: match question.from {
            Origin::Address(address) => address.to_string(),
            Origin::OwnNode => "node".to_owned(),
        },
        to: question.to,
        service: service(question.protocol, question.port),
        allowed: Some(explanation.decision.allow()),
        because: Some(because(&explanation)),
        way: None,
        ends: ends(&explanation),
        connection: None,
    }
}

fn questions(cluster: &Cluster, asked: &Question) -> Result<Vec<explain::Question>, PolicyError> {
    let Question { from, to, service } = asked;
    let pods: Vec<&Pod> = cluster.pods.iter().collect();
    let opened = pod_meant(to, &pods)?;
    let destinations = addresses(to, opened)?;
    let pairs = pairs(from, (to, &destinations), cluster, &pods)?;
    let protocol = service.protocol;
    let ports = service.ports(to, opened)?;
    let question = |(from, to): (Origin, IpAddr)| {
        ports.iter().map(move |port| explain::Question { from, to, protocol, port: *port })
    };
    Ok(pairs.into_iter().flat_map(question).collect())
}

/// Each two ends of one family.
fn pairs(
    from: &Opener,
    (to, destinations): (&Party, &[IpAddr]),
    cluster: &Cluster,
    pods: &[&Pod],
) -> Result<Vec<(Origin, IpAddr)>, PolicyError> {
    let opener = match from {
        Opener::Node => {
            if let Some(to) = destinations.iter().find(|to| pod_at(**to, cluster).is_none()) {
                return Err(PolicyError::NoNode { to: *to });
            }
            return Ok(destinations.iter().map(|to| (Origin::OwnNode, *to)).collect());
        }
        Opener::Party(opener) => opener,
    };
    let sources = addresses(opener, pod_meant(opener, pods)?)?;
    let all = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
    let of_one_family = all.filter(|(from, to)| from.is_ipv4() == to.is_ipv4());
    let pairs: Vec<(Origin, IpAddr)> = of_one_family.map(|(from, to)| (origin(from, to, cluster), to)).collect();
    if pairs.is_empty() {
        return Err(Unmeant::NoFamily { from: opener.to_string(), to: to.to_string() }.into());
    }
    Ok(pairs)
}

/// A node's address is the node, to the pods that run there: their packets come in by the node's own port.
fn origin(from: IpAddr, to: IpAddr, cluster: &Cluster) -> Origin {
    let node = pod_at(to, cluster).and_then(|pod| pod.node.as_deref());
    let own = node.is_some() && node_at(from, cluster) == node;
    if own { Origin::OwnNode } else { Origin::Address(from) }
}

/// The node that an address belongs to: that of pods on their node's network.
fn node_at(address: IpAddr, cluster: &Cluster) -> Option<&str> {
    let host = cluster.pods.iter().find(|pod| pod.host_network && pod.addresses.contains(&address));
    host.and_then(|pod| pod.node.as_deref())
}

/// The pod with a network of its own at an address.
fn pod_at(address: IpAddr, cluster: &Cluster) -> Option<&Pod> {
    cluster.pods.iter().find(|pod| !pod.host_network && pod.addresses.contains(&address))
}
