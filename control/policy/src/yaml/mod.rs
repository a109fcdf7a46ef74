//! Kubernetes YAML as users have it: several documents in a file, lists of objects, policies among deployments.
//!
//! ```text
//! text -> tree.rs: values with lines -> one reader for each kind -> Cluster
//!             \____________________________\______-> findings, all of them, by place
//! ```
//!
//! Strict where a mistake would open or close something: an unknown field of a policy refuses the whole set of files,
//! and so does a kind that calls itself a network policy and is not known. Objects of other kinds are left out.

mod cluster;
mod doubts;
mod network;
mod object;
mod parts;
mod pods;
mod tree;
mod wrong;

use std::collections::BTreeMap;

pub use doubts::{unmatched, unmatched_among};
pub use wrong::{Doubt, Finding, Refused, Warning, Wrong};

use crate::Cluster;
use crate::model::{PolicyKind, PolicyName};
use object::Notes;
use tree::{Node, Value};

const CORE: &str = "v1";
const NETWORKING: &str = "networking.k8s.io/v1";
const CURRENT: &str = "policy.networking.k8s.io/v1alpha2";
const FORMER: &str = "policy.networking.k8s.io/v1alpha1";

/// Where an object was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// What a set of files says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Documents {
    /// The objects, in the order of the files.
    pub cluster: Cluster,
    /// Where each policy stands.
    pub sources: BTreeMap<PolicyName, Source>,
    /// Where every object stands, by what messages call it: `Kind namespace/name`, or `Kind name`.
    pub places: BTreeMap<String, Source>,
    /// What is allowed and probably not meant. Whether selectors match is another question: [`unmatched`].
    pub warnings: Vec<Warning>,
    /// How many objects of other kinds were left out.
    pub others: usize,
}

/// Reads files, each a name for messages and its text.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Documents, Refused> {
    let mut reader = Reader::default();
    for (file, text) in files {
        file.clone_into(&mut reader.notes.file);
        match tree::read(text) {
            Ok(documents) => documents.iter().for_each(|document| reader.document(document)),
            Err(place) => {
                reader.notes.object.clear();
                reader.notes.refuse(place.line, place.what);
            }
        }
    }
    let Reader { notes, mut documents, .. } = reader;
    documents.warnings = notes.warnings;
    if notes.findings.is_empty() { Ok(documents) } else { Err(Refused(notes.findings)) }
}

#[derive(Default)]
struct Reader {
    notes: Notes,
    documents: Documents,
    addresses: BTreeMap<std::net::IpAddr, String>,
}

enum Kind {
    List,
    Namespace,
    Pod,
    Policy(PolicyKind),
}

/// What a kind of a version is; an error if it is a network policy that is not known, nothing if it is something else.
fn kind_of(version: &str, kind: &str) -> Result<Option<Kind>, Wrong> {
    let known = match (version, kind) {
        (CORE, "Namespace") => Kind::Namespace,
        (CORE, "Pod") => Kind::Pod,
        (CORE, "List" | "NamespaceList" | "PodList")
        | (NETWORKING, "NetworkPolicyList")
        | (CURRENT, "ClusterNetworkPolicyList")
        | (FORMER, "AdminNetworkPolicyList" | "BaselineAdminNetworkPolicyList") => Kind::List,
        (NETWORKING, "NetworkPolicy") => Kind::Policy(PolicyKind::NetworkPolicy),
        (CURRENT, "ClusterNetworkPolicy") => Kind::Policy(PolicyKind::ClusterNetworkPolicy),
        (FORMER, "AdminNetworkPolicy") => Kind::Policy(PolicyKind::AdminNetworkPolicy),
        (FORMER, "BaselineAdminNetworkPolicy") => Kind::Policy(PolicyKind::BaselineAdminNetworkPolicy),
        _ => {
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let policy = kind.to_ascii_lowercase().contains("networkpolicy") || group == "policy.networking.k8s.io";
            let ours = policy || matches!(kind, "Pod" | "Namespace" | "PodList" | "NamespaceList");
            let known = [(NETWORKING, "NetworkPolicy"), (CURRENT, "ClusterNetworkPolicy")];
            let known = known.map(|(version, kind)| format!("{kind} of {version}")).to_vec();
            let (kind, version) = (kind.to_owned(), version.to_owned());
            return if ours { Err(Wrong::UnknownKind { kind, version, known }) } else { Ok(None) };
        }
    };
    Ok(Some(known))
}

impl Reader {
    fn document(&mut self, node: &Node) {
        self.notes.object.clear();
        if node.value == Value::Null {
            return;
        }
        let Some(mut fields) = self.notes.fields("an object", node) else { return };
        let version = fields.must("apiVersion", &mut self.notes);
        let version = version.and_then(|node| self.notes.word("apiVersion", node));
        let kind = fields.must("kind", &mut self.notes).and_then(|node| self.notes.word("kind", node));
        let (Some(version), Some(kind)) = (version, kind) else { return };
        self.notes.object.clone_from(&kind);
        match kind_of(&version, &kind) {
            Err(wrong) => self.notes.refuse(node.line, wrong),
            Ok(None) => self.documents.others += 1,
            Ok(Some(Kind::List)) => {
                fields.ignore(&["metadata"]);
                let items = fields.must("items", &mut self.notes);
                fields.finish(&mut self.notes);
                let items = items.map(|node| self.notes.list("items", node)).unwrap_or_default();
                items.iter().for_each(|item| self.document(item));
            }
            Ok(Some(known)) => self.object(&known, &kind, fields, node),
        }
    }

    fn object(&mut self, known: &Kind, kind: &str, mut fields: object::Fields<'_>, node: &Node) {
        // The name first, so that whatever is wrong with the rest is told of the object by name.
        let metadata = fields.must("metadata", &mut self.notes);
        if let Some(name) = metadata.and_then(|node| named(node, known)) {
            self.notes.object = format!("{kind} {name}");
        }
        let metadata = metadata.and_then(|node| parts::metadata(node, &mut self.notes));
        let Some(metadata) = metadata else { return };
        let source = Source { file: self.notes.file.clone(), line: node.line };
        if let Some(first) = self.documents.places.get(&self.notes.object) {
            let (file, line) = (first.file.clone(), first.line);
            self.notes.refuse(node.line, Wrong::ObjectTwice { file, line });
        } else {
            self.documents.places.insert(self.notes.object.clone(), source.clone());
        }
        let cluster = &mut self.documents.cluster;
        let policy = match known {
            Kind::List => None,
            Kind::Namespace => {
                cluster.namespaces.push(pods::namespace(metadata));
                None
            }
            Kind::Pod => {
                self.pod(metadata, node);
                None
            }
            Kind::Policy(PolicyKind::NetworkPolicy) => network::policy(metadata, fields, &mut self.notes),
            Kind::Policy(kind) => cluster::policy(*kind, metadata, fields, &mut self.notes),
        };
        if let Some(policy) = policy {
            self.documents.sources.insert(policy.name.clone(), source);
            self.documents.cluster.policies.push(policy);
        }
    }

    fn pod(&mut self, metadata: parts::Metadata, node: &Node) {
        let Some(pod) = pods::pod(metadata, node, &mut self.notes) else { return };
        for address in pod.addresses.iter().filter(|_| !pod.host_network) {
            if let Some(other) = self.addresses.insert(*address, pod.name.to_string()) {
                let address = address.to_string();
                self.notes.refuse(node.line, Wrong::AddressTwice { address, pod: other });
            }
        }
        self.documents.cluster.pods.push(pod);
    }
}

/// What an object calls itself, before anything of it is checked.
fn named(metadata: &Node, known: &Kind) -> Option<String> {
    let Value::Map(entries) = &metadata.value else { return None };
    let word = |key: &str| {
        entries.iter().find_map(|(_, name, node)| match &node.value {
            Value::Scalar { text, .. } if name == key => Some(text.as_str()),
            _ => None,
        })
    };
    let name = word("name")?;
    let namespaced = matches!(known, Kind::Pod | Kind::Policy(PolicyKind::NetworkPolicy));
    Some(if namespaced { format!("{}/{name}", word("namespace").unwrap_or("default")) } else { name.to_owned() })
}
