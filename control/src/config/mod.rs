//! The configuration file: read whole, refused whole.
//!
//! ```text
//! text -> toml (spans) -> file.rs: one struct a table -> verify/: rules across tables -> Desired
//!              \________________________\_____________________\________-> findings, all of them, by place
//! ```
//!
//! A finding does not end the reading: an operator mends a file once, not once a mistake. Nothing here looks at
//! devices or namespaces, which come and go; only the list of cores is the machine's.

pub(crate) mod defaults;
mod file;
mod mistake;
mod table;
mod value;
pub(crate) mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub(crate) use defaults::burst;
pub use mistake::{Finding, Mistake, Place};

use crate::desired::Desired;
use mistake::Findings;

/// The longest file that is read: what a device gives that never ends is none.
const MOST_BYTES: u64 = 16 << 20;

/// What the rules must know of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// The cores this process may run on.
    pub cores: BTreeSet<usize>,
}

impl Machine {
    /// The one we run on.
    #[must_use]
    pub fn this() -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        Self { cores: cores.into_iter().map(|core| core.id).collect() }
    }
}

/// A configuration that cannot be used, and every reason why.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source} (name a TOML file this user may read)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The file does not end where a configuration would.
    #[error("{}: is longer than {MOST_BYTES} bytes (name a TOML file: {MOST_BYTES} bytes are room for some 50,000 ports)", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file was read, and is wrong.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// All that is wrong with one file. Displayed, one line a finding: `FILE:LINE:COLUMN: what (remedy)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, in the order of the file; never empty.
    pub findings: Vec<Finding>,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{finding}", self.path.display())?;
        }
        Ok(())
    }
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong.
pub fn load(path: &Path, machine: &Machine) -> Result<Desired, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > MOST_BYTES {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    parse(&text, machine).map_err(|findings| Refused { path: path.to_owned(), findings }.into())
}

/// Checks the text of a file.
///
/// # Errors
/// Everything that is wrong, in the order of the text; never empty.
pub fn parse(text: &str, machine: &Machine) -> Result<Desired, Vec<Finding>> {
    let findings = Findings::new(text);
    let (document, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        let at = mistake.span().map_or(0, |span| span.start);
        findings.add_syntax(at, Mistake::Syntax { message: mistake.message().to_owned() });
    }
    // What follows a broken header would be read into the wrong table: guesses, not findings.
    if findings.has_broken_header() {
        return Err(findings.into_sorted());
    }
    let file = file::read(&document, &findings);
    let desired = verify::verify(file, machine, &findings);
    let findings = findings.into_sorted();
    if findings.is_empty() { Ok(desired) } else { Err(findings) }
}
