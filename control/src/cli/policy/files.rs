//! Files by name, and standard input as `-`, so that what kubectl prints needs no file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use podlane_api::Manifest;
use podlane_policy::yaml::{self, Documents};

use super::{PolicyError, say};

/// The longest file that is read, room for some 100,000 pods as kubectl prints them. What a device gives that never ends is none.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// What names standard input, and what it is called in messages.
const STDIN: (&str, &str) = ("-", "stdin");

/// Policies that are to be tried.
#[derive(Debug)]
pub(super) struct Tried {
    /// What the file says.
    pub(super) documents: Documents,
    /// As a daemon takes it.
    pub(super) manifest: Manifest,
}

/// Reads all of them as one set.
pub(super) fn read(paths: &[PathBuf]) -> Result<Documents, PolicyError> {
    stdin_once(paths.iter().map(PathBuf::as_path))?;
    let texts: Vec<String> = paths.iter().map(|path| text(path)).collect::<Result<_, _>>()?;
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    Ok(yaml::read(names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)))?)
}

/// Reads policies that are to be tried. Mistakes are told before anybody is asked.
pub(super) fn candidate(path: &Path) -> Result<Tried, PolicyError> {
    let (from, yaml) = (name(path), text(path)?);
    let documents = yaml::read([(from.as_str(), yaml.as_str())])?;
    if documents.cluster.policies.is_empty() {
        return Err(PolicyError::NoPolicies { path: from.into() });
    }
    if !(documents.cluster.pods.is_empty() && documents.cluster.namespaces.is_empty()) {
        say(&format!("{from}: warning: its pods and namespaces are left out (--cluster states them)"));
    }
    Ok(Tried { documents, manifest: Manifest { from, yaml } })
}

/// Refuses standard input where it is named a second time.
pub(super) fn stdin_once<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<(), PolicyError> {
    let times = paths.into_iter().filter(|path| path.as_os_str() == STDIN.0).count();
    if times > 1 { Err(PolicyError::StdinTwice) } else { Ok(()) }
}

/// What a file is called in messages.
pub(super) fn name(path: &Path) -> String {
    if path.as_os_str() == STDIN.0 { STDIN.1.to_owned() } else { path.display().to_string() }
}

pub(super) fn text(path: &Path) -> Result<String, PolicyError> {
    let unreadable = |source| PolicyError::Unreadable { path: name(path).into(), source };
    let mut text = String::new();
    let read = if path.as_os_str() == STDIN.0 {
        io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
    };
    if read.map_err(unreadable)? as u64 > MOST_BYTES {
        return Err(PolicyError::TooLong { path: name(path).into() });
    }
    Ok(text)
}
