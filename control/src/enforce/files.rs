//! The files of policies: each named one, and of a directory those that end as YAML does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use podlane_policy::yaml::{self, Documents};

use super::EnforceError;

/// The longest file that is read, room for some 100,000 policies. What a device gives that never ends is none.
const MOST_BYTES: u64 = 256 << 20;

/// What the name of a file in a directory must end with to be read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads all of them as one set.
pub(super) fn read(named: &[PathBuf]) -> Result<Documents, EnforceError> {
    let mut paths = Vec::new();
    for path in named {
        let unreadable = |source| EnforceError::Unreadable { path: path.clone(), source };
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            paths.extend(within(path).map_err(unreadable)?);
        } else {
            paths.push(path.clone());
        }
    }
    let texts: Vec<(String, String)> = paths
        .into_iter()
        .map(|path| Ok((path.display().to_string(), text(path)?)))
        .collect::<Result<_, EnforceError>>()?;
    Ok(yaml::read(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())))?)
}

/// The files of a directory, sorted by name. What begins with a dot is an editor's, or the kubelet's.
fn within(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        // A link that leads nowhere is no file, and is told: the policy that was to close a pod may be behind it.
        if !hidden && is_yaml && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn text(path: PathBuf) -> Result<String, EnforceError> {
    let mut text = String::new();
    // A pipe that nobody writes to would hold the daemon up for ever.
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(EnforceError::Unreadable { path, source });
        }
        Err(source) => return Err(EnforceError::Unreadable { path, source }),
    }
    let read = File::open(&path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(read) if read as u64 > MOST_BYTES => Err(EnforceError::TooLong { path }),
        Ok(_) => Ok(text),
        Err(source) => Err(EnforceError::Unreadable { path, source }),
    }
}
