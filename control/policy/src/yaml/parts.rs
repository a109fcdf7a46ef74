//! What all kinds are written with: metadata, labels, selectors, prefixes, names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::object::Notes;
use super::tree::{Node, Value};
use super::wrong::{Doubt, Wrong};
use crate::model::{
    Expression, Labels, Operator, Prefix, Selector, is_label_key, is_label_value, is_object_name, is_port_name,
};

const LABEL_NAME: &str = "at most 63 letters, digits, '-', '_' or '.', the first and last a letter or digit";
const LABEL_KEY: &str = "an optional domain of lower case and '/', then at most 63 letters, digits, '-', '_' or '.', the first and last a letter or digit";
const OBJECT_NAME: &str = "lower case letters, digits, '-' or '.', the first and last a letter or digit, at most 253";
const PORT_NAME: &str =
    "at most 15 lower case letters, digits or single '-', with a letter among them; numbers stand without quotes";

/// `metadata`, as far as policies see it.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: Labels,
}

pub(super) fn metadata(node: &Node, notes: &mut Notes) -> Option<Metadata> {
    let mut fields = notes.fields("metadata", node)?;
    let name = fields.must("name", notes).and_then(|node| object_name("name", node, notes));
    let namespace = fields.get("namespace").and_then(|node| object_name("namespace", node, notes));
    let labels = fields.get("labels").map(|node| labels("labels", node, notes)).unwrap_or_default();
    fields.ignore(&["annotations", "creationTimestamp", "uid", "resourceVersion", "generation", "managedFields"]);
    fields.ignore(&["ownerReferences", "finalizers", "generateName", "selfLink"]);
    fields.ignore(&["deletionTimestamp", "deletionGracePeriodSeconds"]);
    fields.finish(notes);
    Some(Metadata { name: name?, namespace, labels })
}

fn object_name(field: &str, node: &Node, notes: &mut Notes) -> Option<String> {
    let name = notes.word(field, node)?;
    if is_object_name(&name) {
        return Some(name);
    }
    notes.refuse(node.line, Wrong::Name { name, rule: OBJECT_NAME });
    None
}

/// `port` or a container's `name`, where it is a name.
pub(super) fn port_name(field: &str, node: &Node, notes: &mut Notes) -> Option<String> {
    let name = notes.word(field, node)?;
    if is_port_name(&name) {
        return Some(name);
    }
    notes.refuse(node.line, Wrong::Name { name, rule: PORT_NAME });
    None
}

fn check_key(key: &str, line: usize, notes: &mut Notes) {
    if !is_label_key(key) {
        notes.refuse(line, Wrong::Label { label: key.to_owned(), part: "key", rule: LABEL_KEY });
    }
}

fn check_value(value: &str, line: usize, notes: &mut Notes) {
    if !is_label_value(value) {
        notes.refuse(line, Wrong::Label { label: value.to_owned(), part: "value", rule: LABEL_NAME });
    }
}

pub(super) fn labels(field: &str, node: &Node, notes: &mut Notes) -> Labels {
    let Value::Map(entries) = &node.value else {
        notes.value(field, "a mapping of labels", node);
        return Labels::new();
    };
    let mut labels = Labels::new();
    for (line, key, value) in entries {
        check_key(key, *line, notes);
        if let Some(text) = notes.word(key, value) {
            check_value(&text, value.line, notes);
            labels.insert(key.clone(), text);
        }
    }
    labels
}

/// A label selector. One that could not be read is told, and stands here for one that matches everything.
pub(super) fn selector(within: &str, node: &Node, notes: &mut Notes) -> Selector {
    let Some(mut fields) = notes.fields(within, node) else { return Selector::default() };
    let labels = fields.get("matchLabels").map(|node| labels("matchLabels", node, notes)).unwrap_or_default();
    let mut expressions = Vec::new();
    if let Some(node) = fields.get("matchExpressions") {
        let items = notes.list("matchExpressions", node);
        expressions.extend(items.iter().filter_map(|item| expression(item, notes)));
    }
    fields.finish(notes);
    Selector { labels, expressions }
}

fn expression(node: &Node, notes: &mut Notes) -> Option<Expression> {
    let mut fields = notes.fields("matchExpressions", node)?;
    let key = fields.must("key", notes).and_then(|node| notes.word("key", node));
    let operator = fields.must("operator", notes).and_then(|node| Some((node, notes.word("operator", node)?)));
    let mut values = BTreeSet::new();
    if let Some(node) = fields.get("values") {
        for item in notes.list("values", node) {
            if let Some(value) = notes.word("values", item) {
                check_value(&value, item.line, notes);
                values.insert(value);
            }
        }
    }
    fields.finish(notes);
    let (key, (at, operator)) = (key?, operator?);
    check_key(&key, node.line, notes);
    let given = !values.is_empty();
    let (name, needed, operator) = match operator.as_str() {
        "In" => ("In", true, Operator::In(values)),
        "NotIn" => ("NotIn", true, Operator::NotIn(values)),
        "Exists" => ("Exists", false, Operator::Exists),
        "DoesNotExist" => ("DoesNotExist", false, Operator::DoesNotExist),
        _ => {
            notes.value("operator", "In, NotIn, Exists or DoesNotExist", at);
            return None;
        }
    };
    if needed != given {
        notes.refuse(at.line, Wrong::Values { operator: name, needed });
    }
    Some(Expression { key, operator })
}

pub(super) fn prefix(field: &str, node: &Node, notes: &mut Notes) -> Option<Prefix> {
    let text = notes.word(field, node)?;
    let parts = text.split_once('/').and_then(|(address, length)| {
        // "/+8" and "/08" are numbers to Rust and nothing to Kubernetes.
        let plain = length.bytes().all(|digit| digit.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
        Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok().filter(|_| plain)?))
    });
    let Some((address, prefix)) = parts.and_then(|(address, length)| Some((address, Prefix::new(address, length)?)))
    else {
        notes.value(field, "a CIDR such as 10.0.0.0/8 or fd00::/8", node);
        return None;
    };
    if prefix.address() != address {
        notes.doubt(node.line, Doubt::HostBits { given: text, taken: prefix.to_string() });
    }
    Some(prefix)
}
