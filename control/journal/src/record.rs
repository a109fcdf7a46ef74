//! What is written: bytes under a name, in one of a few tables.

use std::collections::BTreeMap;

use redb::TableDefinition;

/// What a record is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// An attachment, by its key.
    Attachments,
    /// An address and who holds it.
    Leases,
    /// A network that was made at run time.
    Networks,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Attachments, Self::Leases, Self::Networks];

    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Attachments => "attachments",
            Self::Leases => "leases",
            Self::Networks => "networks",
        })
    }
}

/// One record put or deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub(crate) table: Table,
    pub(crate) key: String,
    /// None deletes.
    pub(crate) value: Option<Vec<u8>>,
}

impl Change {
    /// The record under this key is this.
    #[must_use]
    pub fn put(table: Table, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    /// There is no record under this key.
    #[must_use]
    pub fn delete(table: Table, key: impl Into<String>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// All that was in a journal when it was opened.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Records {
    /// The attachments, by key.
    pub attachments: BTreeMap<String, Vec<u8>>,
    /// The leases, by network and address.
    pub leases: BTreeMap<String, Vec<u8>>,
    /// The networks made at run time, by name.
    pub networks: BTreeMap<String, Vec<u8>>,
    /// Whether the machine has been started anew since the journal was last opened: then no network namespace, no link and no
    /// pod of these records is left.
    pub is_rebooted: bool,
}

impl Records {
    pub(crate) fn of_mut(&mut self, table: Table) -> &mut BTreeMap<String, Vec<u8>> {
        match table {
            Table::Attachments => &mut self.attachments,
            Table::Leases => &mut self.leases,
            Table::Networks => &mut self.networks,
        }
    }
}
