//! A result's ways out: a table for people or JSON on standard output, and JSON in a file.

use std::io::{self, Write};

use super::{CliError, terms::Delivery};
use crate::report::Report;

impl Delivery {
    /// Stores and prints a report, as it was asked for.
    pub(super) fn deliver(&self, report: &Report) -> Result<(), CliError> {
        if let Some(path) = &self.out {
            report.store(path).map_err(|source| CliError::Store { path: path.clone(), source })?;
        }
        print(report, self.json).map_err(CliError::Output)
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    out.flush()
}
