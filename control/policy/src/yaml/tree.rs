//! YAML text into trees with lines, one tree a document.
//!
//! Kubernetes knows mappings, sequences and scalars; what else YAML has is refused where it could hide something: keys
//! twice, keys that are no words, tags. Anchors and aliases are followed, and what they may grow into is bounded.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::wrong::{Place, Wrong};

/// A value and the line it begins on.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Null,
    /// Plain scalars may be numbers and truths; quoted ones are words.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys with their own lines.
    Map(Vec<(usize, String, Node)>),
}

impl Value {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Scalar { text, .. } => format!("\"{text}\""),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// How deep values may lie in each other: Kubernetes' own go to about 12.
const MOST_DEPTH: usize = 64;
/// How many values aliases may stand for in one file.
const MOST_ALIASED: usize = 100_000;

/// Reads all documents of a file.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Place<Wrong>> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: Vec::new(), aliased: 0 };
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {
                reader.anchors.clear();
            }
            event => documents.push(reader.node(event, span, 0)?),
        }
    }
    Ok(documents)
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: Vec<(usize, Node)>,
    aliased: usize,
}

fn at(line: usize, wrong: Wrong) -> Place<Wrong> {
    Place { line, what: wrong }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Place<Wrong>> {
        let wrong = |error: ScanError| at(error.marker().line(), Wrong::Syntax(error.info().to_owned()));
        self.parser.next_event().transpose().map_err(wrong)
    }

    fn want(&mut self, line: usize) -> Result<(Event<'a>, Span), Place<Wrong>> {
        self.next()?.ok_or_else(|| at(line, Wrong::Syntax("the file ends within a value".to_owned())))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Place<Wrong>> {
        let line = span.start.line();
        if depth > MOST_DEPTH {
            return Err(at(line, Wrong::TooDeep));
        }
        let (anchor, tag, value) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar { text: text.into_owned(), plain } };
                (anchor, tag, value)
            }
            Event::SequenceStart(anchor, tag) => (anchor, tag, self.list(line, depth)?),
            Event::MappingStart(anchor, tag) => (anchor, tag, self.map(line, depth)?),
            _ => return Err(at(line, Wrong::Syntax("a value is missing".to_owned()))),
        };
        if let Some(tag) = tag {
            return Err(at(line, Wrong::Tag(tag.to_string())));
        }
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, Place<Wrong>> {
        let known = self.anchors.iter().rfind(|known| known.0 == anchor).map(|known| &known.1);
        // The parser numbers only anchors it has seen, but one may be asked for from within itself.
        let node = known.ok_or_else(|| at(line, Wrong::Syntax("an alias within its own anchor".to_owned())))?;
        self.aliased += size(node);
        if self.aliased > MOST_ALIASED { Err(at(line, Wrong::TooLarge)) } else { Ok(node.clone()) }
    }

    fn list(&mut self, line: usize, depth: usize) -> Result<Value, Place<Wrong>> {
        let mut items = Vec::new();
        loop {
            match self.want(line)? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, line: usize, depth: usize) -> Result<Value, Place<Wrong>> {
        let mut entries: Vec<(usize, String, Node)> = Vec::new();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (key, line) = match self.want(line)? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(key, ..), span) => (key.into_owned(), span.start.line()),
                (_, span) => return Err(at(span.start.line(), Wrong::KeyNoWord)),
            };
            if let Some(first) = known.insert(key.clone(), line) {
                return Err(at(line, Wrong::KeyTwice { key, first }));
            }
            let (event, span) = self.want(line)?;
            let value = self.node(event, span, depth + 1)?;
            entries.push((line, key, value));
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Scalar { .. } => 1,
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| size(&entry.2)).sum::<usize>(),
    }
}
