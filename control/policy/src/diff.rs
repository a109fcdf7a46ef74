//! What another set of policies would decide otherwise, over the same pods.
//!
//! Pods that both compilations take for one class stay one here, so the answer is as long as there are classes that change. Only
//! pods whose own list of policies differs can decide otherwise; pairs without such an end are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::compile::{Compiled, Decision, Identity, Subject};
use crate::model::{Direction, PodName, Prefix, Protocol};

/// One end of a connection: pods of one class, or addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Party {
    /// These pods, by their addresses of one family.
    Pods(Vec<PodName>),
    /// Addresses in these prefixes and in none longer that a policy names.
    Prefixes(Vec<Prefix>),
}

/// Connections that would be decided otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Who opens.
    pub from: Party,
    /// Who is opened to.
    pub to: Party,
    /// Whether over IPv6: pods may be told apart by the addresses of one family and not by those of the other.
    pub v6: bool,
    /// The protocol.
    pub protocol: Protocol,
    /// The first destination port.
    pub first: u16,
    /// The last destination port.
    pub last: u16,
    /// What is decided now; rules are the old tables'.
    pub before: Decision,
    /// What would be; rules are the new tables'.
    pub after: Decision,
}

/// What both compilations take a party for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Kind {
    v6: bool,
    subjects: Option<(Subject, Subject)>,
    identities: (Identity, Identity),
}

struct Group {
    kind: Kind,
    party: Party,
    /// Whether its policies for ingress and egress differ.
    differs: [bool; 2],
}

/// What `new` decides otherwise than `old`. Both must be of the same pods and namespaces; a pod that only one knows is left out.
#[must_use]
pub fn diff(old: &Compiled, new: &Compiled) -> Vec<Difference> {
    let groups = groups(old, new);
    let mut found = Vec::new();
    let all: Vec<&Group> = groups.iter().collect();
    // Of the pairs of 100,000 prefixes none is concerned, so they are not even gone through.
    let at_their_own: Vec<&Group> = all.iter().copied().filter(|to| to.differs[Direction::Ingress as usize]).collect();
    for from in &groups {
        for to in if from.differs[Direction::Egress as usize] { &all } else { &at_their_own } {
            let itself = matches!(&from.party, Party::Pods(pods) if pods.len() == 1) && from.party == to.party;
            if !itself && from.kind.v6 == to.kind.v6 {
                compare([old, new], from, to, &mut found);
            }
        }
    }
    found
}

fn groups(old: &Compiled, new: &Compiled) -> Vec<Group> {
    let mut pods: BTreeMap<Kind, Vec<PodName>> = BTreeMap::new();
    let mut prefixes: BTreeMap<Kind, Vec<Prefix>> = BTreeMap::new();
    for pod in new.pods() {
        let subjects = old.subject_of_pod(&pod.name).zip(new.subject_of_pod(&pod.name));
        for (address, identity) in new.identity_of_pod(&pod.name).iter().filter(|_| subjects.is_some()) {
            let identities = (old.identity_of_address(*address), *identity);
            let kind = Kind { v6: address.is_ipv6(), subjects, identities };
            pods.entry(kind).or_default().push(pod.name.clone());
        }
    }
    let everywhere = [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|address| Prefix::new(address, 0));
    let named = [old, new].into_iter().flat_map(|tables| tables.prefixes().map(|entry| entry.0));
    for prefix in named.chain(everywhere.into_iter().flatten()).collect::<BTreeSet<Prefix>>() {
        let identities = (old.identity_of_prefix(prefix), new.identity_of_prefix(prefix));
        let kind = Kind { v6: prefix.address().is_ipv6(), subjects: None, identities };
        prefixes.entry(kind).or_default().push(prefix);
    }
    let pods = pods.into_iter().map(|(kind, pods)| (kind, Party::Pods(pods)));
    let prefixes = prefixes.into_iter().map(|(kind, prefixes)| (kind, Party::Prefixes(prefixes)));
    let group = |(kind, party): (Kind, Party)| {
        let differs = Direction::BOTH.map(|direction| differs([old, new], kind.subjects, direction));
        Group { kind, party, differs }
    };
    pods.chain(prefixes).map(group).collect()
}

fn differs([old, new]: [&Compiled; 2], subjects: Option<(Subject, Subject)>, direction: Direction) -> bool {
    let classes = subjects.and_then(|(before, after)| old.class(before).zip(new.class(after)));
    classes.is_some_and(|(before, after)| {
        let policies = |chain: &crate::compile::Chain| {
            let records = chain.tables.iter().flat_map(|table| &table.policies);
            records.map(|record| std::sync::Arc::clone(&record.policy)).collect::<Vec<_>>()
        };
        policies(&before.chains[direction as usize]) != policies(&after.chains[direction as usize])
    })
}

fn compare(tables: [&Compiled; 2], from: &Group, to: &Group, found: &mut Vec<Difference>) {
    let mut borders: BTreeSet<(Protocol, u16)> = Protocol::ALL.map(|protocol| (protocol, 0)).into();
    for (tables, new) in [(tables[0], false), (tables[1], true)] {
        let ends = [(from, Direction::Egress, to), (to, Direction::Ingress, from)];
        for (subject, direction, peer) in ends {
            let class = subject.kind.subject(new).and_then(|subject| tables.class(subject));
            let Some((class, peer)) = class.zip(tables.signature(peer.kind.identity(new))) else { continue };
            for table in &class.chains[direction as usize].tables {
                table.borders(&peer.sets, class.names(direction, peer), &mut borders);
            }
        }
    }
    let starts: Vec<(Protocol, u16)> = borders.into_iter().collect();
    let from_here = found.len();
    for (at, (protocol, first)) in starts.iter().copied().enumerate() {
        let next = starts.get(at + 1).filter(|next| next.0 == protocol);
        let last = next.map_or(u16::MAX, |next| next.1 - 1);
        let decide = |tables, new| decide(tables, new, (from.kind, to.kind), protocol, first);
        let (before, after) = (decide(tables[0], false), decide(tables[1], true));
        if before.allow() == after.allow() {
            continue;
        }
        let follows = |known: &&mut Difference| {
            known.protocol == protocol
                && known.last.checked_add(1) == Some(first)
                && (known.before, known.after) == (before, after)
        };
        match found[from_here..].last_mut().filter(follows) {
            Some(known) => known.last = last,
            None => {
                let v6 = from.kind.v6;
                let (from, to) = (from.party.clone(), to.party.clone());
                found.push(Difference { from, to, v6, protocol, first, last, before, after });
            }
        }
    }
}

fn decide(tables: &Compiled, new: bool, (from, to): (Kind, Kind), protocol: Protocol, port: u16) -> Decision {
    let at = |subject: Kind, direction, peer: Kind| {
        let subject = subject.subject(new)?;
        Some(tables.verdict(subject, direction, peer.identity(new), protocol, port))
    };
    Decision { egress: at(from, Direction::Egress, to), ingress: at(to, Direction::Ingress, from) }
}

impl Kind {
    fn subject(&self, new: bool) -> Option<Subject> {
        self.subjects.map(|(before, after)| if new { after } else { before })
    }

    fn identity(&self, new: bool) -> Identity {
        if new { self.identities.1 } else { self.identities.0 }
    }
}
