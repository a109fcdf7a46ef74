//! `perf/REPORT.md` and its pictures, made of the stored results and of nothing else.
//!
//! ```text
//!   perf/results/*.json --> catalogue: which result is shown how, and what bounds it
//!                               |-- page       the text and its tables      --> perf/REPORT.md
//!                               `-- curves, bars --- scale, svg             --> perf/pictures/*.svg
//! ```
//!
//! The same results give the same bytes, so that a test holds what is committed to what was measured: a figure in the report that no
//! run found, or a run whose report nobody made, fails it.

mod bars;
pub mod catalogue;
mod curves;
mod page;
mod scale;
mod svg;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::report::{ReadError, Report};

/// The report's name in the folder it is made for.
pub const REPORT: &str = "REPORT.md";

/// The folder of the pictures, beside it.
pub const PICTURES: &str = "pictures";

/// The folder of the stored results, beside it.
pub const RESULTS: &str = "results";

/// What the names of the load's own limit begin with: it is told with every run, and is no switch.
const LIMIT: &str = "generator";

/// Why there is no report, or why it is not the one there should be.
#[derive(Debug, Error)]
pub enum PictureError {
    /// A result cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A result is there that the catalogue does not know.
    #[error("{} is in no section of the report; give it one in perf/src/picture/catalogue.rs, or take it away", .0.display())]
    Unknown(PathBuf),
    /// A folder or a file cannot be read or written.
    #[error("cannot read or write {}: {source}; check that it is there and yours", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// What is there is not what the results make of it.
    #[error("{} is not what the stored results make of it; run `podlane-perf report`", .0.display())]
    Stale(PathBuf),
}

/// Everything the report consists of: files beside each other, by their path in the report's folder.
pub type Files = BTreeMap<PathBuf, String>;

/// Makes the report of the results in a folder's `results`.
///
/// # Errors
/// [`PictureError`], if a result is not readable or nobody's. One that is not there is named in the report.
pub fn make(folder: &Path) -> Result<Files, PictureError> {
    let results = folder.join(RESULTS);
    let mut known = BTreeMap::new();
    for path in listed(&results, "json")? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if catalogue::SECTIONS.iter().all(|section| section.result != stem) {
            return Err(PictureError::Unknown(path));
        }
        known.insert(stem, Report::read(&path)?);
    }
    Ok(page::write(&known))
}

/// Writes the report of a folder's results beside them, and takes away pictures that are no longer in it.
///
/// # Errors
/// [`PictureError`].
pub fn renew(folder: &Path) -> Result<Files, PictureError> {
    let files = make(folder)?;
    let pictures = folder.join(PICTURES);
    fs::create_dir_all(&pictures).map_err(|source| PictureError::File { path: pictures.clone(), source })?;
    for path in superfluous(folder, &files)? {
        fs::remove_file(&path).map_err(|source| PictureError::File { path, source })?;
    }
    for (name, text) in &files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|source| PictureError::File { path, source })?;
    }
    Ok(files)
}

/// Holds the report that is there to the results.
///
/// # Errors
/// [`PictureError::Stale`] names the first file that differs, is missing or is too many.
pub fn check(folder: &Path) -> Result<Files, PictureError> {
    let files = make(folder)?;
    for (name, text) in &files {
        let path = folder.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            return Err(PictureError::Stale(path));
        }
    }
    match superfluous(folder, &files)?.pop() {
        Some(path) => Err(PictureError::Stale(path)),
        None => Ok(files),
    }
}

/// Pictures that the report does not have.
fn superfluous(folder: &Path, files: &Files) -> Result<Vec<PathBuf>, PictureError> {
    let pictures = folder.join(PICTURES);
    if !pictures.exists() {
        return Ok(Vec::new());
    }
    let there = listed(&pictures, "svg")?;
    let made = |path: &PathBuf| path.strip_prefix(folder).is_ok_and(|name| files.contains_key(name));
    Ok(there.into_iter().filter(|path| !made(path)).collect())
}

/// The files of a folder whose names end so.
fn listed(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, PictureError> {
    let failed = |source| PictureError::File { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}
