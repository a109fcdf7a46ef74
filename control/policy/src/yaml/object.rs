//! One object being read: its fields taken by name, what is left over refused, and all findings gathered.

use super::tree::{Node, Value};
use super::wrong::{Doubt, Finding, Warning, Wrong};

/// What was found so far, and in which object we are.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) file: String,
    pub(super) object: String,
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<Warning>,
}

impl Notes {
    pub(super) fn refuse(&mut self, line: usize, wrong: Wrong) {
        let (file, object) = (self.file.clone(), self.object.clone());
        self.findings.push(Finding { file, line, object, wrong });
    }

    pub(super) fn doubt(&mut self, line: usize, doubt: Doubt) {
        let (file, object) = (self.file.clone(), self.object.clone());
        self.warnings.push(Warning { file, line, object, doubt });
    }

    /// Refuses what is not what it must be.
    pub(super) fn value(&mut self, field: &str, must_be: &'static str, node: &Node) {
        let found = node.value.kind();
        self.refuse(node.line, Wrong::Value { field: field.to_owned(), must_be, found });
    }

    pub(super) fn word(&mut self, field: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Scalar { text, plain } if !(*plain && is_other(text)) => Some(text.clone()),
            _ => {
                self.value(field, "a string", node);
                None
            }
        }
    }

    pub(super) fn list<'n>(&mut self, field: &str, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                self.value(field, "a list", node);
                &[]
            }
        }
    }

    pub(super) fn number(&mut self, field: &str, node: &Node) -> Option<i64> {
        let number = integer(node);
        if number.is_none() {
            self.value(field, "a whole number", node);
        }
        number
    }

    /// A port number, 1 to 65535.
    pub(super) fn port(&mut self, field: &str, node: &Node) -> Option<u16> {
        let port = integer(node).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
        if port.is_none() {
            self.value(field, "a port from 1 to 65535", node);
        }
        port
    }

    /// The fields of a mapping; none, and a finding, if it is something else.
    pub(super) fn fields<'n>(&mut self, within: &str, node: &'n Node) -> Option<Fields<'n>> {
        match &node.value {
            Value::Map(entries) => {
                Some(Fields { within: within.to_owned(), line: node.line, entries, known: Vec::new() })
            }
            _ => {
                self.value(within, "a mapping", node);
                None
            }
        }
    }
}

pub(super) fn integer(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Scalar { text, plain: true } => text.parse().ok(),
        _ => None,
    }
}

/// Whether a plain scalar is no string to Kubernetes, whose YAML still has the old truths.
fn is_other(text: &str) -> bool {
    let truths = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    truths.contains(&text.to_ascii_lowercase().as_str()) || text.parse::<f64>().is_ok()
}

/// The fields of one mapping. What nobody asks for before [`finish`](Self::finish) is unknown.
pub(super) struct Fields<'n> {
    within: String,
    pub(super) line: usize,
    entries: &'n [(usize, String, Node)],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A field that may be absent; one that says `null` is.
    pub(super) fn get(&mut self, field: &'static str) -> Option<&'n Node> {
        self.known.push(field);
        let found = self.entries.iter().find(|entry| entry.1 == field).map(|entry| &entry.2);
        found.filter(|node| node.value != Value::Null)
    }

    /// A field that must be there.
    pub(super) fn must(&mut self, field: &'static str, notes: &mut Notes) -> Option<&'n Node> {
        let found = self.get(field);
        if found.is_none() {
            notes.refuse(self.line, Wrong::Missing { field, within: self.within.clone() });
        }
        found
    }

    /// Exactly one of these fields must be there.
    pub(super) fn one_of(
        &mut self,
        what: &'static str,
        of: &[&'static str],
        notes: &mut Notes,
    ) -> Option<(&'static str, &'n Node)> {
        let found: Vec<_> = of.iter().filter_map(|field| Some((*field, self.get(field)?))).collect();
        let unknown = self.entries.iter().any(|entry| !self.known.contains(&entry.1.as_str()));
        match found[..] {
            [one] => Some(one),
            // The unknown field is told on its own and is probably the one.
            [] if unknown => None,
            _ => {
                notes.refuse(self.line, Wrong::OneOf { what, within: self.within.clone(), of: of.to_vec() });
                None
            }
        }
    }

    /// Fields that may be there and say nothing to policies.
    pub(super) fn ignore(&mut self, fields: &[&'static str]) {
        self.known.extend(fields);
    }

    /// Whether the field is written at all.
    pub(super) fn has(&self, field: &str) -> bool {
        self.entries.iter().any(|entry| entry.1 == field)
    }

    pub(super) fn finish(self, notes: &mut Notes) {
        for (line, field, _) in self.entries {
            if !self.known.contains(&field.as_str()) {
                let (field, within, known) = (field.clone(), self.within.clone(), self.known.clone());
                notes.refuse(*line, Wrong::UnknownField { field, within, known });
            }
        }
    }
}
