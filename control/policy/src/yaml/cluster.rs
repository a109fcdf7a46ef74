//! Cluster policies of `policy.networking.k8s.io`: `ClusterNetworkPolicy` of v1alpha2 and its two predecessors of v1alpha1.
//!
//! They mean the same in different words, which a [`Dialect`] holds: `Accept` was `Allow`, `protocols` was `ports`. Peers by
//! node or domain name are refused: a rule that was quietly skipped would be worse.

use std::sync::Arc;

use super::network::protocol;
use super::object::{Fields, Notes};
use super::parts::{Metadata, port_name, prefix, selector};
use super::tree::{Node, Value};
use super::wrong::Wrong;
use crate::model::{
    Action, Block, Direction, MAX_PRIORITY, Peer, PodsOf, Policy, PolicyKind, PolicyName, PortMatch, Protocol, Rule,
    Scope, Selector, Tier,
};

struct Dialect {
    accept: &'static str,
    actions: &'static str,
    /// Whether a rule may pass: the baseline of v1alpha1 had nothing to pass to.
    passes: bool,
    ports: &'static str,
    most_rules: usize,
    most_items: usize,
    read_port: fn(&Node, &mut Notes) -> Option<PortMatch>,
}

const CURRENT: Dialect = Dialect {
    accept: "Accept",
    actions: "Accept, Deny or Pass",
    passes: true,
    ports: "protocols",
    most_rules: 25,
    most_items: 25,
    read_port: current_port,
};

const FORMER: Dialect = Dialect {
    accept: "Allow",
    actions: "Allow, Deny or Pass",
    passes: true,
    ports: "ports",
    most_rules: 100,
    most_items: 100,
    read_port: former_port,
};

const BASELINE: Dialect = Dialect { actions: "Allow or Deny", passes: false, ..FORMER };

pub(super) fn policy(
    kind: PolicyKind,
    metadata: Metadata,
    mut object: Fields<'_>,
    notes: &mut Notes,
) -> Option<Policy> {
    object.ignore(&["status"]);
    let spec = object.must("spec", notes).and_then(|node| notes.fields("spec", node));
    object.finish(notes);
    let mut spec = spec?;
    let (tier, priority) = match kind {
        PolicyKind::ClusterNetworkPolicy => {
            let tier = spec.must("tier", notes).and_then(|node| tier(node, notes));
            (tier, priority(&mut spec, notes))
        }
        PolicyKind::AdminNetworkPolicy => (Some(Tier::Admin), priority(&mut spec, notes)),
        // The one of v1alpha1 comes after all that have a priority.
        _ => (Some(Tier::Baseline), Some(MAX_PRIORITY + 1)),
    };
    if kind == PolicyKind::BaselineAdminNetworkPolicy && metadata.name != "default" {
        notes.refuse(spec.line, Wrong::NotDefault { kind: "a BaselineAdminNetworkPolicy" });
    }
    let dialect = match kind {
        PolicyKind::ClusterNetworkPolicy => &CURRENT,
        PolicyKind::BaselineAdminNetworkPolicy => &BASELINE,
        _ => &FORMER,
    };
    let subject = spec.must("subject", notes).and_then(|node| subject(node, notes));
    let ingress = rules(spec.get("ingress"), Direction::Ingress, dialect, notes);
    let egress = rules(spec.get("egress"), Direction::Egress, dialect, notes);
    spec.finish(notes);
    Some(Policy {
        name: PolicyName { kind, namespace: None, name: metadata.name },
        tier: tier?,
        priority: priority?,
        subject: subject?,
        ingress: Some(Arc::from(ingress)),
        egress: Some(Arc::from(egress)),
    })
}

fn tier(node: &Node, notes: &mut Notes) -> Option<Tier> {
    let word = match &node.value {
        Value::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    match word {
        "Admin" => Some(Tier::Admin),
        "Baseline" => Some(Tier::Baseline),
        _ => {
            notes.value("tier", "Admin or Baseline", node);
            None
        }
    }
}

fn priority(spec: &mut Fields<'_>, notes: &mut Notes) -> Option<u16> {
    let node = spec.must("priority", notes)?;
    let priority = notes.number("priority", node)?;
    let fits = u16::try_from(priority).ok().filter(|priority| *priority <= MAX_PRIORITY);
    if fits.is_none() {
        notes.refuse(node.line, Wrong::Priority { priority });
    }
    fits
}

fn subject(node: &Node, notes: &mut Notes) -> Option<PodsOf> {
    let mut fields = notes.fields("subject", node)?;
    let one = fields.one_of("the subject", &["namespaces", "pods"], notes);
    fields.finish(notes);
    one.and_then(|(field, node)| pods_of(field, node, notes))
}

fn pods_of(field: &'static str, node: &Node, notes: &mut Notes) -> Option<PodsOf> {
    if field == "namespaces" {
        let namespaces = Scope::Selected(selector(field, node, notes));
        return Some(PodsOf { namespaces, pods: Selector::default() });
    }
    let mut fields = notes.fields(field, node)?;
    let namespaces = fields.get("namespaceSelector").map(|node| selector("namespaceSelector", node, notes));
    let pods = fields.must("podSelector", notes).map(|node| selector("podSelector", node, notes));
    fields.finish(notes);
    Some(PodsOf { namespaces: Scope::Selected(namespaces.unwrap_or_default()), pods: pods? })
}

fn rules(node: Option<&Node>, direction: Direction, dialect: &Dialect, notes: &mut Notes) -> Vec<Rule> {
    let field = if direction == Direction::Ingress { "ingress" } else { "egress" };
    let Some(node) = node else { return Vec::new() };
    let items = notes.list(field, node);
    at_most(field, items, dialect.most_rules, node, notes);
    items.iter().filter_map(|item| rule(item, direction, dialect, notes)).collect()
}

fn at_most(field: &'static str, items: &[Node], most: usize, node: &Node, notes: &mut Notes) {
    if items.len() > most {
        notes.refuse(node.line, Wrong::TooMany { field, count: items.len(), most });
    }
}

fn rule(node: &Node, direction: Direction, dialect: &Dialect, notes: &mut Notes) -> Option<Rule> {
    let (field, side) = if direction == Direction::Ingress { ("ingress", "from") } else { ("egress", "to") };
    let mut fields = notes.fields(field, node)?;
    let name = fields.get("name").and_then(|node| notes.word("name", node));
    let action = fields.must("action", notes).and_then(|node| action(node, dialect, notes));
    let peers = fields.must(side, notes).map(|node| (node, notes.list(side, node)));
    let ports = fields.get(dialect.ports).map(|node| (node, notes.list(dialect.ports, node)));
    fields.finish(notes);
    for (field, list) in [(side, peers), (dialect.ports, ports)] {
        if let Some((node, items)) = list {
            if items.is_empty() {
                notes.refuse(node.line, Wrong::Empty { field });
            }
            at_most(field, items, dialect.most_items, node, notes);
        }
    }
    let mut read_peers = Vec::new();
    for item in peers.iter().flat_map(|(_, items)| items.iter()) {
        read_peers.extend(peer(item, side, direction, notes));
    }
    let read_ports = ports
        .map(|(_, items)| -> Vec<_> { items.iter().filter_map(|item| (dialect.read_port)(item, notes)).collect() });
    let named = |port: &PortMatch| matches!(port, PortMatch::Named { .. });
    let addressed = read_peers.iter().any(|peer| matches!(peer, Peer::Block(_)));
    if addressed && read_ports.iter().flatten().any(named) {
        notes.refuse(node.line, Wrong::NamedPortAtAddress);
    }
    Some(Rule { name, action: action?, peers: Some(read_peers), ports: read_ports })
}

fn action(node: &Node, dialect: &Dialect, notes: &mut Notes) -> Option<Action> {
    let word = match &node.value {
        Value::Scalar { text, .. } => text.as_str(),
        _ => "",
    };
    match word {
        "Deny" => Some(Action::Deny),
        "Pass" if dialect.passes => Some(Action::Pass),
        word if word == dialect.accept => Some(Action::Accept),
        _ => {
            notes.value("action", dialect.actions, node);
            None
        }
    }
}

/// One item of `from` or `to`: several peers where it lists networks.
fn peer(node: &Node, side: &'static str, direction: Direction, notes: &mut Notes) -> Vec<Peer> {
    let Some(mut fields) = notes.fields(side, node) else { return Vec::new() };
    for field in ["nodes", "domainNames"] {
        if direction == Direction::Egress
            && let Some(node) = fields.get(field)
        {
            notes.refuse(node.line, Wrong::PeerNotKnown { field });
            fields.ignore(&["namespaces", "pods", "networks"]);
            fields.finish(notes);
            return Vec::new();
        }
    }
    let kinds: &[&'static str] =
        if direction == Direction::Ingress { &["namespaces", "pods"] } else { &["namespaces", "pods", "networks"] };
    let one = fields.one_of("a peer", kinds, notes);
    fields.finish(notes);
    match one {
        Some(("networks", node)) => {
            let items = notes.list("networks", node);
            if items.is_empty() {
                notes.refuse(node.line, Wrong::Empty { field: "networks" });
            }
            at_most("networks", items, 25, node, notes);
            let block = |item| Some(Peer::Block(Block { cidr: prefix("networks", item, notes)?, except: Vec::new() }));
            items.iter().filter_map(block).collect()
        }
        Some((field, node)) => pods_of(field, node, notes).map(Peer::Pods).into_iter().collect(),
        None => Vec::new(),
    }
}

fn current_port(node: &Node, notes: &mut Notes) -> Option<PortMatch> {
    let mut fields = notes.fields("protocols", node)?;
    let one = fields.one_of("a protocol", &["tcp", "udp", "sctp", "destinationNamedPort"], notes);
    fields.finish(notes);
    let (field, node) = one?;
    let protocol = match field {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Some(PortMatch::Named { name: port_name(field, node, notes)?, protocol: None }),
    };
    let mut fields = notes.fields(field, node)?;
    let port = fields.must("destinationPort", notes);
    fields.finish(notes);
    let mut fields = notes.fields("destinationPort", port?)?;
    let one = fields.one_of("the port", &["number", "range"], notes);
    fields.finish(notes);
    match one? {
        ("number", node) => {
            let first = notes.port("number", node)?;
            Some(PortMatch::Range { protocol, first, last: first })
        }
        (_, node) => {
            let mut fields = notes.fields("range", node)?;
            let range = range(protocol, &mut fields, notes);
            fields.finish(notes);
            range
        }
    }
}

fn range(protocol: Protocol, fields: &mut Fields<'_>, notes: &mut Notes) -> Option<PortMatch> {
    let line = fields.line;
    let first = fields.must("start", notes).and_then(|node| notes.port("start", node));
    let last = fields.must("end", notes).and_then(|node| notes.port("end", node));
    let (first, last) = (first?, last?);
    if last < first {
        notes.refuse(line, Wrong::EndBelow { port: first, end: last });
        return None;
    }
    Some(PortMatch::Range { protocol, first, last })
}

fn former_port(node: &Node, notes: &mut Notes) -> Option<PortMatch> {
    let mut fields = notes.fields("ports", node)?;
    let one = fields.one_of("a port", &["portNumber", "namedPort", "portRange"], notes);
    fields.finish(notes);
    let (field, node) = one?;
    if field == "namedPort" {
        return Some(PortMatch::Named { name: port_name(field, node, notes)?, protocol: None });
    }
    let mut fields = notes.fields(field, node)?;
    let protocol = protocol(fields.get("protocol"), notes);
    let read = match (field, protocol) {
        (_, None) => {
            fields.ignore(&["port", "start", "end"]);
            None
        }
        ("portNumber", Some(protocol)) => {
            let port = fields.must("port", notes).and_then(|node| notes.port("port", node));
            port.map(|first| PortMatch::Range { protocol, first, last: first })
        }
        (_, Some(protocol)) => range(protocol, &mut fields, notes),
    };
    fields.finish(notes);
    read
}
