//! What can be wrong with a file of policies, where, and what to do about it.

use std::fmt;

/// Something at a line, counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place<T> {
    pub(super) line: usize,
    pub(super) what: T,
}

/// One finding. Displayed `FILE:LINE: OBJECT: what (remedy)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The object, as `Kind namespace/name`, as far as it had been read; empty outside any.
    pub object: String,
    /// What is wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, object, wrong } = self;
        write!(f, "{file}:{line}: ")?;
        if !object.is_empty() {
            write!(f, "{object}: ")?;
        }
        write!(f, "{wrong}")
    }
}

/// Everything that is wrong with a set of files, in their order. Displayed a line each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused(pub Vec<Finding>);

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, finding) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

/// What is wrong. Each sentence ends with a remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence beside each variant says what it and its fields are")]
pub enum Wrong {
    #[error("{0} (the file must be YAML)")]
    Syntax(String),
    #[error("values lie too deep in each other (no object of Kubernetes is like that: look for a wrong indentation)")]
    TooDeep,
    #[error("the file is too large with its aliases followed (split it, or write out what the aliases mean)")]
    TooLarge,
    #[error("the tag {0} means nothing here (remove it)")]
    Tag(String),
    #[error("a key must be a word (put it into quotes)")]
    KeyNoWord,
    #[error("\"{key}\" is there already, on line {first} (remove one)")]
    KeyTwice { key: String, first: usize },
    #[error("unknown field \"{field}\" in {within} (it may have {})", known.join(", "))]
    UnknownField { field: String, within: String, known: Vec<&'static str> },
    #[error("\"{field}\" is missing in {within} (add it)")]
    Missing { field: &'static str, within: String },
    #[error("\"{field}\" must be {must_be}, not {found} (correct it)")]
    Value { field: String, must_be: &'static str, found: String },
    #[error("{kind} of {version} is not known (use {})", known.join(", or "))]
    UnknownKind { kind: String, version: String, known: Vec<String> },
    #[error("{what} in {within} must be one of {} (give exactly one)", of.join(", "))]
    OneOf { what: &'static str, within: String, of: Vec<&'static str> },
    #[error("\"{field}\" must have at least one item (add one, or remove the rule)")]
    Empty { field: &'static str },
    #[error("\"{field}\" has {count} items, more than {most} (split the policy)")]
    TooMany { field: &'static str, count: usize, most: usize },
    #[error("\"{label}\" is no label {part} ({rule})")]
    Label { label: String, part: &'static str, rule: &'static str },
    #[error("\"{name}\" is no name ({rule})")]
    Name { name: String, rule: &'static str },
    #[error("endPort {end} is below port {port} (swap them)")]
    EndBelow { port: u16, end: u16 },
    #[error("endPort needs a port that is a number (give the first port of the range, or remove endPort)")]
    EndWithoutNumber,
    #[error("except {except} is not inside {cidr}, or is all of it (remove it, or correct the cidr)")]
    ExceptOutside { except: String, cidr: String },
    #[error("operator {operator} {}", if *needed { "needs values (add them)" } else { "takes no values (remove them)" })]
    Values { operator: &'static str, needed: bool },
    #[error("priority {priority} is out of range (choose one from 0 to 1000; lower comes first)")]
    Priority { priority: i64 },
    #[error("there is one already, on line {line} of {file} (give each its own name)")]
    ObjectTwice { file: String, line: usize },
    #[error("{address} is pod {pod}'s already (give each its own)")]
    AddressTwice { address: String, pod: String },
    #[error("{kind} must be named \"default\" (rename it)")]
    NotDefault { kind: &'static str },
    #[error("peers by {field} are not known to this version (use \"networks\" or \"pods\")")]
    PeerNotKnown { field: &'static str },
    #[error("a named port means nothing to addresses (give it a number, or a rule with pods alone)")]
    NamedPortAtAddress,
}

/// What is allowed and probably not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// The file, if it is about one.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The object.
    pub object: String,
    /// What may not be meant.
    pub doubt: Doubt,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, object, doubt } = self;
        write!(f, "{file}:{line}: {object}: {doubt}")
    }
}

/// What may not be meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence beside each variant says what it and its fields are")]
pub enum Doubt {
    #[error("{given} has bits past its length and is taken for {taken} (write that)")]
    HostBits { given: String, taken: String },
    #[error("egress rules mean nothing as policyTypes has no Egress (add it, or remove them)")]
    EgressUnused,
    #[error("ingress rules mean nothing as policyTypes has no Ingress (add it, or remove them)")]
    IngressUnused,
    #[error("selects no pod at present (look for a misspelt label)")]
    NoSubject,
    #[error("{direction}[{index}] has a peer that no pod is at present (look for a misspelt label)")]
    NoPeer { direction: crate::model::Direction, index: usize },
}
