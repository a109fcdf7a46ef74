//! `[attachments]`, and the keys of a network that say which addresses pods get.

use std::path::PathBuf;
use std::time::Duration;

use podlane_ipam::Span;

use super::super::defaults;
use super::super::table::{At, Entry, Table};
use super::super::value::{DirectoryPath, FilePath, SocketPath};
use crate::desired::{Attachments, Gateway, Name};

/// `[attachments]`
pub(in crate::config) struct AttachmentsTable {
    journal: Option<PathBuf>,
    quarantine: Duration,
    docker: Option<PathBuf>,
    vhost_sockets: Option<PathBuf>,
}

impl AttachmentsTable {
    pub(super) fn of(table: Table<'_>) -> Self {
        let attachments = Self {
            journal: table.get::<FilePath>("journal").into_value().map(|path| path.0),
            quarantine: table.get_or("quarantine", defaults::QUARANTINE).value,
            docker: table.get::<SocketPath>("docker").into_value().map(|path| path.0),
            vhost_sockets: table.get::<DirectoryPath>("vhost_sockets").into_value().map(|path| path.0),
        };
        table.end();
        attachments
    }

    /// What is desired of the daemon that is called so.
    pub(in crate::config) fn of_instance(self, instance: &Name) -> Attachments {
        let below = |directory: &str, file: &str| [directory, "podlane", instance.as_str(), file].iter().collect();
        Attachments {
            journal: self.journal.unwrap_or_else(|| below("/var/lib", defaults::JOURNAL)),
            quarantine: self.quarantine,
            docker: self.docker,
            vhost_sockets: self.vhost_sockets.unwrap_or_else(|| below("/run", defaults::VHOST_SOCKETS)),
        }
    }
}

/// The keys of a network with pods that are attached.
pub(in crate::config) struct SupplyKeys {
    pub(in crate::config) ranges: Entry<Vec<At<Span>>>,
    pub(in crate::config) reserved: Entry<Vec<At<Span>>>,
    pub(in crate::config) routers: Entry<Vec<At<Gateway>>>,
}

impl SupplyKeys {
    pub(super) fn of(table: &Table<'_>) -> Self {
        Self { ranges: table.list("ranges"), reserved: table.list("reserved"), routers: table.list("routers") }
    }

    /// Each key that is written, and where.
    pub(in crate::config) fn written(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let keys = [("ranges", self.ranges.at()), ("reserved", self.reserved.at()), ("routers", self.routers.at())];
        keys.into_iter().filter_map(|(key, at)| Some((key, at?)))
    }
}
