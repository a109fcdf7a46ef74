//! Pods and namespaces, for deciding without a cluster at hand. They are read as `kubectl get -o yaml` writes them, and only where
//! policies look: the rest of a pod is long, differs by version, and changes no verdict, so it is not held to be known.

use std::net::IpAddr;

use super::network::protocol;
use super::object::Notes;
use super::parts::{Metadata, port_name};
use super::tree::{Node, Value};
use crate::model::{NamedPort, Namespace, Pod, PodName};

fn field<'n>(node: Option<&'n Node>, name: &str) -> Option<&'n Node> {
    match &node?.value {
        Value::Map(entries) => {
            entries.iter().find(|entry| entry.1 == name).map(|entry| &entry.2).filter(|node| node.value != Value::Null)
        }
        _ => None,
    }
}

fn items<'n>(node: Option<&'n Node>, name: &str) -> &'n [Node] {
    match field(node, name).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn is(node: Option<&Node>, name: &str, words: &[&str]) -> bool {
    matches!(field(node, name).map(|node| &node.value), Some(Value::Scalar { text, .. }) if words.contains(&text.as_str()))
}

pub(super) fn namespace(metadata: Metadata) -> Namespace {
    Namespace::new(metadata.name, metadata.labels)
}

/// [`None`] for a pod that has ended: its addresses may be another's.
pub(super) fn pod(metadata: Metadata, object: &Node, notes: &mut Notes) -> Option<Pod> {
    let (spec, status) = (field(Some(object), "spec"), field(Some(object), "status"));
    if is(status, "phase", &["Succeeded", "Failed"]) {
        return None;
    }
    let mut addresses = Vec::new();
    let listed = items(status, "podIPs").iter().filter_map(|item| field(Some(item), "ip"));
    for node in listed.chain(field(status, "podIP")) {
        let Some(text) = notes.word("podIP", node) else { continue };
        match text.parse::<IpAddr>() {
            Ok(address) if addresses.contains(&address) => {}
            Ok(address) => addresses.push(address),
            Err(_) => notes.value("podIP", "an IP address", node),
        }
    }
    // Containers that run beside the others, which an init container does if it is restarted always.
    let beside = items(spec, "initContainers").iter().filter(|item| is(Some(item), "restartPolicy", &["Always"]));
    let mut ports = Vec::new();
    for container in items(spec, "containers").iter().chain(beside) {
        for item in items(Some(container), "ports") {
            ports.extend(named_port(item, notes));
        }
    }
    Some(Pod {
        name: PodName::new(metadata.namespace.unwrap_or_else(|| "default".to_owned()), metadata.name),
        labels: metadata.labels,
        addresses,
        ports,
        host_network: is(spec, "hostNetwork", &["true"]),
        node: field(spec, "nodeName").and_then(|node| notes.word("nodeName", node)),
    })
}

fn named_port(node: &Node, notes: &mut Notes) -> Option<NamedPort> {
    let name = port_name("name", field(Some(node), "name")?, notes)?;
    let protocol = protocol(field(Some(node), "protocol"), notes)?;
    let port = notes.port("containerPort", field(Some(node), "containerPort")?)?;
    Some(NamedPort { name, protocol, port })
}
