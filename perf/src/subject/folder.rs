//! Where other people's programs have their files: a folder of each one's own, so that those of the system are neither used nor disturbed.
//! It goes with whoever made it, and with this process, whatever that dies of.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::subject::{SubjectError, lifeline::Lifeline};

/// Between two looks at whether a file is there.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where files are on a disk, and stay through a restart.
const ON_DISK: &str = "/var/tmp";

/// A folder. Removed when dropped.
pub(crate) struct Folder {
    path: PathBuf,
    _lifeline: Lifeline,
}

impl Folder {
    /// Makes one for what is called so, where temporary files are.
    pub(crate) fn make(name: &str) -> Result<Self, SubjectError> {
        Self::make_in(&std::env::temp_dir(), name)
    }

    /// The same on a disk: what is written for ever is to cost what that costs.
    pub(crate) fn make_on_disk(name: &str) -> Result<Self, SubjectError> {
        Self::make_in(Path::new(ON_DISK), name)
    }

    fn make_in(place: &Path, name: &str) -> Result<Self, SubjectError> {
        let path = place.join(format!("podlane-perf-{name}-{}", std::process::id()));
        fs::create_dir(&path).map_err(|source| SubjectError::Folder { path: path.clone(), source })?;
        let lifeline = Lifeline::of_folder(&path).inspect_err(|_| _ = fs::remove_dir(&path))?;
        Ok(Self { path, _lifeline: lifeline })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
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
        let _ = fs::remove_dir_all(&self.path);
    }
}
