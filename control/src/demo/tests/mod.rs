//! The demo as a whole: over a stand-in for the switch when root, its texts always.

mod golden;
mod kernel_bridge;
mod whole;

use std::io::{self, Write};

use nix::unistd::geteuid;

/// Whether a test that needs root must be skipped; if so, says which, past the harness's capture.
pub(in crate::demo) fn skipped(test: &str) -> bool {
    if geteuid().is_root() {
        return false;
    }
    let _ = writeln!(
        io::stderr(),
        "skipped: {test}: making network namespaces needs root"
    );
    true
}
