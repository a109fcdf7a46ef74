//! Where other people's programs have their files: a folder of each one's own, so that those of the system are neither used nor disturbed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::subject::SubjectError;

/// Between two looks at whether a file is there.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A folder. Removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one for what is called so, where temporary files are.
    pub(crate) fn make(name: &str) -> Result<Self, SubjectError> {
        let path = std::env::temp_dir().join(format!("podlane-perf-{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|source| SubjectError::Folder { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, SubjectError> {
        let path = self.file(name);
        fs::write(&path, text).map_err(|source| SubjectError::Folder { path: path.clone(), source })?;
        Ok(path)
    }

    /// Waits until somebody has made a file; `None` if nobody does.
    pub(crate) fn wait_for(&self, name: &str, patience: Duration) -> Option<()> {
        let (file, deadline) = (self.file(name), Instant::now() + patience);
        while !file.exists() {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Some(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Another may have cleared the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
