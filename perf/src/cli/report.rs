//! `podlane-perf report`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::CliError;
use crate::picture;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The folder that has the stored results, in `results`, and gets `REPORT.md` and `pictures`.
    #[arg(long, value_name = "FOLDER", default_value = "perf")]
    folder: PathBuf,
    /// Write nothing: fail if the report is not what the stored results make of it.
    #[arg(long)]
    check: bool,
}

impl Arguments {
    pub(super) fn perform(&self) -> Result<(), CliError> {
        let (files, word) = if self.check {
            (picture::check(&self.folder)?, "as stored")
        } else {
            (picture::renew(&self.folder)?, "written")
        };
        let mut out = io::stdout().lock();
        files
            .keys()
            .try_for_each(|name| writeln!(out, "{word}: {}", self.folder.join(name).display()))
            .map_err(CliError::Output)
    }
}
