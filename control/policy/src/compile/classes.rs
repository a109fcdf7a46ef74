//! Classes and the tables they share.
//!
//! A table belongs to a list of policies, a subject class to its tables, an identity to what it is in: whoever asks with the same key shares
//! the same one, so 10,000 pods of one deployment hold one class and one identity between them.

use std::sync::Arc;

use super::compiled::{Chain, Signature, SubjectClass};
use super::interned::Interned;
use super::pages::Pages;
use super::record::{PortName, Record};
use super::rules::Rules;
use super::table::Table;
use super::{Identity, RuleId, Subject};
use crate::model::{Direction, Tier};

/// The policies a table is made of, in the order in which they are tried, and the direction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct TableKey {
    direction: Direction,
    policies: Vec<u32>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct SubjectKey {
    tables: [[u32; 3]; 2],
    isolation: [Option<RuleId>; 2],
    names: Vec<PortName>,
}

#[derive(Debug, Default)]
pub(super) struct Classes {
    keys: Interned<TableKey>,
    tables: Vec<Option<Arc<Table>>>,
    subjects: Interned<SubjectKey>,
    classes: Pages<Option<Arc<SubjectClass>>>,
    identities: Interned<Signature>,
    signatures: Pages<Option<Arc<Signature>>>,
}

impl Classes {
    pub(super) fn new() -> Self {
        let mut classes = Self::default();
        // Held for good, and therefore number 0.
        classes.identity(Signature { sets: vec![0], names: Vec::new() });
        classes
    }

    pub(super) fn identity(&mut self, signature: Signature) -> Identity {
        let (number, new) = self.identities.hold(signature);
        if new {
            self.signatures.set(number, self.identities.get(number).cloned());
        }
        Identity(number)
    }

    pub(super) fn release_identity(&mut self, identity: Identity) {
        if self.identities.release(identity.0).is_some() {
            self.signatures.set(identity.0, None);
        }
    }

    /// The class of pods that these policies select and that have these names for their ports.
    pub(super) fn subject(&mut self, policies: &[u32], names: Vec<PortName>, rules: &Rules) -> Subject {
        let mut records: Vec<(u32, &Arc<Record>)> =
            policies.iter().filter_map(|at| Some((*at, rules.get(*at)?))).collect();
        records.sort_unstable_by(|one, other| one.1.policy.rank().cmp(&other.1.policy.rank()));
        let isolation = Direction::BOTH.map(|direction| {
            let isolating = records.iter().find(|(_, record)| record.policy.isolates(direction));
            isolating.map(|(_, record)| record.isolation(direction))
        });
        let tables = Direction::BOTH.map(|direction| {
            Tier::ALL.map(|tier| {
                let says = |record: &Record| {
                    let policy = &record.policy;
                    policy.tier == tier && (policy.isolates(direction) || !policy.rules(direction).is_empty())
                };
                let of_tier = records.iter().filter(|(_, record)| says(record));
                self.table(TableKey { direction, policies: of_tier.map(|(at, _)| *at).collect() }, rules)
            })
        });
        self.class(SubjectKey { tables, isolation, names })
    }

    fn table(&mut self, key: TableKey, rules: &Rules) -> u32 {
        let direction = key.direction;
        let (number, new) = self.keys.hold(key);
        if new {
            let key = self.keys.get(number);
            let policies = key.into_iter().flat_map(|key| &key.policies);
            let records = policies.filter_map(|at| rules.get(*at)).map(Arc::clone).collect();
            let at = number as usize;
            self.tables.resize_with(self.tables.len().max(at + 1), || None);
            self.tables[at] = Some(Arc::new(Table::new(records, direction)));
        }
        number
    }

    fn class(&mut self, key: SubjectKey) -> Subject {
        let (tables, isolation, names) = (key.tables, key.isolation, key.names.clone());
        let (number, new) = self.subjects.hold(key);
        if !new {
            self.release_tables(&tables);
            return Subject(number);
        }
        let table = |number: u32| {
            let built = self.tables.get(number as usize).and_then(Option::as_ref);
            Arc::clone(built.expect("a table that is held has been built"))
        };
        let chains = Direction::BOTH.map(|direction| Chain {
            tables: tables[direction as usize].map(table),
            isolation: isolation[direction as usize],
        });
        self.classes.set(number, Some(Arc::new(SubjectClass { chains, names })));
        Subject(number)
    }

    fn release_tables(&mut self, tables: &[[u32; 3]; 2]) {
        for number in tables.iter().flatten() {
            if self.keys.release(*number).is_some() {
                self.tables[*number as usize] = None;
            }
        }
    }

    pub(super) fn release_subject(&mut self, subject: Subject) {
        if let Some(key) = self.subjects.release(subject.0) {
            self.classes.set(subject.0, None);
            self.release_tables(&key.tables);
        }
    }

    pub(super) fn subjects(&self) -> Pages<Option<Arc<SubjectClass>>> {
        self.classes.clone()
    }

    pub(super) fn identities(&self) -> Pages<Option<Arc<Signature>>> {
        self.signatures.clone()
    }
}
