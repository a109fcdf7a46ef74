//! `podlane policy shadow`: keeps a candidate beside the live policies for a while, then says where they differed.
//!
//! The daemon ends a shadow that nobody asks for, so a client that is killed leaves none behind for long; one that is interrupted ends it
//! itself, and prints what was seen.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podlane_api::ShadowQuery;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::files::{self, Tried};
use super::{PolicyError, connect_patiently, say, status, tell, warn, warn_of};
use crate::cli::args::Ask;

/// Between two questions: well within the lease and within a client's time to think.
const PULSE: Duration = Duration::from_secs(1);

/// How soon Ctrl-C is noticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Has a candidate judged until the time is over or somebody interrupts.
pub(super) fn judge(candidate: &Path, seconds: Option<u32>, ask: &Ask) -> Result<ExitCode, PolicyError> {
    let Tried { documents, manifest } = files::candidate(candidate)?;
    warn(&documents.warnings);
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(PolicyError::Signals)?;
    }
    let mut client = connect_patiently(ask)?;
    let begun = client.start_shadow(manifest)?;
    let query = ShadowQuery { shadow: begun.shadow };
    warn_of(&begun.warnings);
    let until =
        seconds.map_or_else(|| "until Ctrl-C".to_owned(), |seconds| format!("for {seconds} s, or until Ctrl-C"));
    say(&format!("podlane: judging beside the live policies, which alone decide, {until}"));
    let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let is_over = || interrupted.load(Ordering::Relaxed) || deadline.is_some_and(|end| Instant::now() >= end);
    let mut asked = Instant::now();
    while !is_over() {
        thread::sleep(GLANCE);
        if asked.elapsed() >= PULSE {
            client.shadow(query)?;
            asked = Instant::now();
        }
    }
    let seen = client.end_shadow(query)?;
    tell(&seen, ask.json)?;
    Ok(status(Some(seen.different == 0)))
}
