//! Policies of the running switch: applied, deleted, listed.

use std::path::PathBuf;
use std::process::ExitCode;

use podlane_api::{Manifest, Manifests, PolicyApplied};

use super::{PolicyError, connect_patiently, files, tell, warn_of};
use crate::cli::args::Ask;
use crate::cli::connect;
use crate::cli::show::policies::Done;

/// Applies files, all of them as one change.
pub(super) fn apply(paths: &[PathBuf], wait: bool, ask: &Ask) -> Result<ExitCode, PolicyError> {
    let manifests = manifests(paths, wait)?;
    told(&connect_patiently(ask)?.apply_policy(manifests)?, Done::Applied, ask)
}

/// Deletes what files have, all of it as one change.
pub(super) fn delete(paths: &[PathBuf], wait: bool, ask: &Ask) -> Result<ExitCode, PolicyError> {
    let manifests = manifests(paths, wait)?;
    told(&connect_patiently(ask)?.delete_policy(manifests)?, Done::Deleted, ask)
}

/// Lists what is in force.
pub(super) fn list(ask: &Ask) -> Result<ExitCode, PolicyError> {
    tell(&connect(ask)?.policies()?, ask.json)?;
    Ok(ExitCode::SUCCESS)
}

fn manifests(paths: &[PathBuf], wait: bool) -> Result<Manifests, PolicyError> {
    files::stdin_once(paths.iter().map(PathBuf::as_path))?;
    let manifest = |path: &PathBuf| Ok(Manifest { from: files::name(path), yaml: files::text(path)? });
    Ok(Manifests { files: paths.iter().map(manifest).collect::<Result<_, PolicyError>>()?, wait })
}

fn told(applied: &PolicyApplied, done: Done, ask: &Ask) -> Result<ExitCode, PolicyError> {
    warn_of(&applied.warnings);
    tell(&done.of(applied), ask.json)?;
    Ok(ExitCode::SUCCESS)
}
