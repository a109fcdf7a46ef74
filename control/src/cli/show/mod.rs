//! The daemon's answers, for people. With `--json` none of this runs.

mod attachments;
mod change;
mod connections;
mod counters;
mod denied;
mod endpoints;
mod flows;
mod leases;
mod neighbours;
mod offload;
pub(super) mod policies;
mod ports;
mod shadow;
mod status;
mod tunnels;
mod why;

#[cfg(test)]
mod tests;

use podlane_api::Dropped;

use crate::paint::Paint;

/// An answer that people can read.
pub(crate) trait Show {
    /// Its text, with a final newline.
    fn show(&self, paint: Paint) -> String;
}

fn total(dropped: &Dropped) -> u64 {
    dropped.values().sum()
}
