//! Taking away what no record promises.

use std::collections::HashSet;
use std::time::Duration;

use podlane_host::{HostError, Links};

use super::inner::Inner;
use super::record::Record;
use super::{Key, Stage};

impl Inner {
    /// Takes away what was half made or half taken away and is nobody's work now, and links of this instance's that nobody knows.
    pub(super) fn sweep(&self) {
        let keys = self.book.keys(|_| true);
        keys.iter().for_each(|key| self.sweep_key(key));
        if let Err(error) = self.sweep_links() {
            tracing::warn!(%error, "links that no pod has were not looked for");
        }
    }

    fn sweep_key(&self, key: &Key) {
        // Who holds it is at work on it.
        let Some(held) = self.book.hold(key, Duration::ZERO) else { return };
        let Some(record) = held.record().filter(|record| record.attachment.stage != Stage::Up) else { return };
        let taken_away = self.close(&record).and_then(|()| self.clear(&held, &record));
        let Record { attachment, .. } = &*record;
        match taken_away {
            Ok(()) => tracing::info!(port = attachment.port, "took away what was left of a pod"),
            Err(error) => {
                tracing::warn!(port = attachment.port, %error, "something is left of a pod; a GC tries again");
            }
        }
    }

    /// A link is made only when its record is written, so that one without is of a journal that was lost.
    fn sweep_links(&self) -> Result<(), HostError> {
        let mut host = Links::open()?;
        let prefix = self.alias_prefix();
        let is_ours = |alias: &String| alias.starts_with(&prefix);
        let found = host.list()?.into_iter().filter(|link| link.alias.as_ref().is_some_and(is_ours));
        // The links first, so that one which is made meanwhile has its record in the book.
        let found: Vec<_> = found.collect();
        let known: HashSet<String> = self.book.all().iter().map(|record| record.attachment.port.clone()).collect();
        for link in found.iter().filter(|link| !known.contains(&link.name)) {
            tracing::warn!(link = link.name, "took away a link that no pod has");
            super::ending::absent_is_well(host.delete(link))?;
        }
        Ok(())
    }
}
