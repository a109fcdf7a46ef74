//! `NetworkPolicy` of `networking.k8s.io/v1`, with its defaults filled in.

use std::sync::Arc;

use super::object::{Fields, Notes};
use super::parts::{Metadata, port_name, prefix, selector};
use super::tree::{Node, Value};
use super::wrong::{Doubt, Wrong};
use crate::model::{
    Action, Block, Peer, PodsOf, Policy, PolicyKind, PolicyName, PortMatch, Protocol, Rule, Scope, Selector, Tier,
};

pub(super) fn policy(metadata: Metadata, mut object: Fields<'_>, notes: &mut Notes) -> Option<Policy> {
    let namespace = metadata.namespace.unwrap_or_else(|| "default".to_owned());
    object.ignore(&["status"]);
    let spec = object.must("spec", notes).and_then(|node| notes.fields("spec", node));
    object.finish(notes);
    let mut spec = spec?;
    // An absent selector is an empty one.
    let pods = spec.get("podSelector").map(|node| selector("podSelector", node, notes)).unwrap_or_default();
    let ingress = spec.get("ingress");
    let egress = spec.get("egress");
    let types = spec.get("policyTypes").map(|node| types(node, notes)).filter(Option::is_some);
    let line = spec.line;
    spec.finish(notes);
    let ingress = rules(ingress, ["ingress", "from"], &namespace, notes);
    let egress = rules(egress, ["egress", "to"], &namespace, notes);
    let (into, out) = types.flatten().unwrap_or((true, !egress.is_empty()));
    if !into && !ingress.is_empty() {
        notes.doubt(line, Doubt::IngressUnused);
    }
    if !out && !egress.is_empty() {
        notes.doubt(line, Doubt::EgressUnused);
    }
    Some(Policy {
        name: PolicyName { kind: PolicyKind::NetworkPolicy, namespace: Some(namespace.clone()), name: metadata.name },
        tier: Tier::NetworkPolicy,
        priority: 0,
        subject: PodsOf { namespaces: Scope::Named(namespace), pods },
        ingress: into.then(|| Arc::from(ingress)),
        egress: out.then(|| Arc::from(egress)),
    })
}

/// `policyTypes`: whether it is about ingress and egress; nothing if the list is empty, which is as if it were absent.
fn types(node: &Node, notes: &mut Notes) -> Option<(bool, bool)> {
    let items = notes.list("policyTypes", node);
    let mut both = (false, false);
    for item in items {
        match &item.value {
            Value::Scalar { text, .. } if text == "Ingress" => both.0 = true,
            Value::Scalar { text, .. } if text == "Egress" => both.1 = true,
            _ => notes.value("policyTypes", "Ingress or Egress", item),
        }
    }
    (!items.is_empty()).then_some(both)
}

fn rules(node: Option<&Node>, [field, side]: [&'static str; 2], namespace: &str, notes: &mut Notes) -> Vec<Rule> {
    let items = node.map(|node| notes.list(field, node)).unwrap_or_default();
    items.iter().filter_map(|item| rule(item, [field, side], namespace, notes)).collect()
}

fn rule(node: &Node, [field, side]: [&'static str; 2], namespace: &str, notes: &mut Notes) -> Option<Rule> {
    let mut fields = notes.fields(field, node)?;
    let peers = fields.get(side).map(|node| notes.list(side, node)).unwrap_or_default();
    let ports = fields.get("ports").map(|node| notes.list("ports", node)).unwrap_or_default();
    fields.finish(notes);
    // An empty list means all, as an absent one does. Peers that could not be read have been told and refuse the file.
    let read: Vec<Peer> = peers.iter().filter_map(|item| peer(item, side, namespace, notes)).collect();
    let read_ports: Vec<PortMatch> = ports.iter().filter_map(|item| port(item, notes)).collect();
    Some(Rule {
        name: None,
        action: Action::Accept,
        peers: (!peers.is_empty()).then_some(read),
        ports: (!ports.is_empty()).then_some(read_ports),
    })
}

fn peer(node: &Node, side: &'static str, namespace: &str, notes: &mut Notes) -> Option<Peer> {
    let mut fields = notes.fields(side, node)?;
    let pods = fields.get("podSelector").map(|node| selector("podSelector", node, notes));
    let namespaces = fields.get("namespaceSelector").map(|node| selector("namespaceSelector", node, notes));
    let block = fields.get("ipBlock");
    let both = block.is_some() && (pods.is_some() || namespaces.is_some());
    let none = block.is_none() && pods.is_none() && namespaces.is_none();
    if both || none && !(fields.has("podSelector") || fields.has("namespaceSelector")) {
        let of = vec!["ipBlock", "podSelector and namespaceSelector"];
        notes.refuse(node.line, Wrong::OneOf { what: "a peer", within: side.to_owned(), of });
    } else if none {
        notes.value(side, "a selector: {} selects everything", node);
    }
    fields.finish(notes);
    if let Some(node) = block {
        return self::block(node, notes).map(Peer::Block);
    }
    let namespaces = namespaces.map_or_else(|| Scope::Named(namespace.to_owned()), Scope::Selected);
    Some(Peer::Pods(PodsOf { namespaces, pods: pods.unwrap_or_else(Selector::default) }))
}

fn block(node: &Node, notes: &mut Notes) -> Option<Block> {
    let mut fields = notes.fields("ipBlock", node)?;
    let cidr = fields.must("cidr", notes).and_then(|node| prefix("cidr", node, notes));
    let items = fields.get("except").map(|node| notes.list("except", node)).unwrap_or_default();
    fields.finish(notes);
    let mut except = Vec::new();
    for item in items {
        let Some(inner) = prefix("except", item, notes) else { continue };
        if cidr.is_some_and(|cidr| !cidr.covers(&inner) || cidr == inner) {
            let cidr = cidr.map(|cidr| cidr.to_string()).unwrap_or_default();
            notes.refuse(item.line, Wrong::ExceptOutside { except: inner.to_string(), cidr });
        }
        except.push(inner);
    }
    Some(Block { cidr: cidr?, except })
}

/// TCP, UDP or SCTP; TCP if nothing is said.
pub(super) fn protocol(node: Option<&Node>, notes: &mut Notes) -> Option<Protocol> {
    let Some(node) = node else { return Some(Protocol::Tcp) };
    let known = Protocol::ALL[..3].iter().find(|protocol| match &node.value {
        Value::Scalar { text, .. } => text == protocol.name(),
        _ => false,
    });
    if known.is_none() {
        notes.value("protocol", "TCP, UDP or SCTP", node);
    }
    known.copied()
}

fn port(node: &Node, notes: &mut Notes) -> Option<PortMatch> {
    let mut fields = notes.fields("ports", node)?;
    let protocol = protocol(fields.get("protocol"), notes);
    let (port, end) = (fields.get("port"), fields.get("endPort"));
    fields.finish(notes);
    let numbered = port.is_some_and(|node| super::object::integer(node).is_some());
    if let Some(end) = end.filter(|_| !numbered) {
        notes.refuse(end.line, Wrong::EndWithoutNumber);
        return None;
    }
    let protocol = protocol?;
    let Some(node) = port else { return Some(PortMatch::Range { protocol, first: 0, last: u16::MAX }) };
    if !numbered {
        let name = port_name("port", node, notes)?;
        return Some(PortMatch::Named { name, protocol: Some(protocol) });
    }
    let first = notes.port("port", node)?;
    let last = match end {
        None => first,
        Some(node) => notes.port("endPort", node)?,
    };
    if last < first {
        notes.refuse(end.map_or(node.line, |node| node.line), Wrong::EndBelow { port: first, end: last });
        return None;
    }
    Some(PortMatch::Range { protocol, first, last })
}
