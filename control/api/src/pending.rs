//! Calls that nobody was there to take: the shim writes them down, the next daemon carries them out.
//!
//! ```text
//! shim: no daemon -> put: a file beside the journal -> ask once more, since one may have begun to listen meanwhile -> success
//! daemon: listens -> calls -> carries each out -> done -> only now answers whoever connected
//! ```
//!
//! In this order no call is lost between a shim that gives up and a daemon that starts. Only what takes away is written down, and a
//! call taken twice is taken once: the same call is the same file.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{CniCall, NetavarkCall};

/// Where the calls of the daemon without an instance name wait.
pub const DEFAULT_PENDING: &str = "/var/lib/podlane/default/pending";

/// The most calls that wait: a thousand nodes' worth of pods, and few enough for any filesystem.
pub const MAX_PENDING: usize = 10_000;

/// The longest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a runtime may ask by way of the shim: a part of [`Request`](crate::Request), and the same on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// As [`Request::Cni`](crate::Request::Cni).
    Cni(CniCall),
    /// As [`Request::Netavark`](crate::Request::Netavark).
    Netavark(NetavarkCall),
}

/// A call that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingCall {
    /// When the runtime made it, in milliseconds since 1970. What was attached later is another attachment.
    pub asked_ms: u64,
    /// The call.
    pub call: Call,
    file: PathBuf,
}

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Written<C> {
    asked_ms: u64,
    call: C,
}

/// A call could not be written down, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// The directory or a file in it.
    #[error("cannot {what} {}: {source} (make it a directory that root can write to, with room on its disk)", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// As many calls wait as may.
    #[error("{MAX_PENDING} calls wait in {} already (start the daemon, which carries them out)", directory.display())]
    Full {
        /// The directory.
        directory: PathBuf,
    },
}

/// The directory in which calls wait.
#[derive(Clone, Debug)]
pub struct Pending {
    directory: PathBuf,
}

impl Pending {
    /// Calls wait in `directory`, which is made when there is one to be written.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where that is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes `call` down; when this returns, it is on the disk.
    ///
    /// # Errors
    /// [`PendingError`] when it is not.
    pub fn put(&self, call: &Call) -> Result<PendingCall, PendingError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed("make", &self.directory))?;
        let file = self.directory.join(file_name(call));
        if !file.exists() && self.files()?.len() >= MAX_PENDING {
            return Err(PendingError::Full { directory: self.directory.clone() });
        }
        let asked_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let asked_ms = u64::try_from(asked_ms).unwrap_or(u64::MAX);
        // Under a name of this process, so that two that write the same call do not mix.
        let draft = file.with_extension(format!("{}.draft", std::process::id()));
        write_durably(&draft, &Written { asked_ms, call }).map_err(failed("write", &draft))?;
        fs::rename(&draft, &file).map_err(failed("name", &file))?;
        // The name is on the disk when its directory is.
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("write", &self.directory))?;
        Ok(PendingCall { asked_ms, call: call.clone(), file })
    }

    /// All that wait, the oldest first. What cannot be read is given the ending `.unread`, to be looked at by somebody, and left out.
    ///
    /// # Errors
    /// [`PendingError`] when the directory is there and cannot be read.
    pub fn calls(&self) -> Result<Vec<PendingCall>, PendingError> {
        let mut calls = Vec::new();
        for file in self.files()? {
            match read(&file) {
                Ok(Written { asked_ms, call }) => calls.push(PendingCall { asked_ms, call, file }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_) => {
                    let aside = file.with_extension("unread");
                    fs::rename(&file, &aside).map_err(failed("set aside", &file))?;
                }
            }
        }
        calls.sort_by_key(|call| call.asked_ms);
        Ok(calls)
    }

    /// Forgets a call that is carried out.
    ///
    /// # Errors
    /// [`PendingError`] when its file cannot be removed; one that is gone is no error.
    pub fn done(&self, call: &PendingCall) -> Result<(), PendingError> {
        match fs::remove_file(&call.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &call.file)(error)),
            _ => Ok(()),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, PendingError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.directory)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("read", &self.directory))?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                files.push(path);
            }
        }
        Ok(files)
    }
}

fn write_durably(path: &Path, written: &impl Serialize) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(written)?)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<Written<Call>> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::from(ErrorKind::InvalidData));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> PendingError {
    move |source| PendingError::Io { what, path: path.into(), source }
}

/// The same for the same attachment. Ids are the runtime's, and no part of a path: they are hashed.
fn file_name(call: &Call) -> String {
    let parts = match call {
        Call::Cni(call) => ["cni", &call.command, &call.container_id, &call.ifname, &call.config],
        Call::Netavark(call) => ["netavark", &call.verb, &call.netns, "", &call.input],
    };
    format!("{:016x}.json", fnv1a(parts))
}

/// FNV-1a of the parts, each with its end marked: spread well enough for ten thousand names, and no table to carry.
fn fnv1a(parts: [&str; 5]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test's, gone with it.
    struct Ground(PathBuf);

    impl Ground {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podlane-pending-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn del(container: &str) -> Call {
        Call::Cni(CniCall {
            command: "DEL".to_owned(),
            container_id: container.to_owned(),
            ifname: "eth0".to_owned(),
            config: "{}".to_owned(),
            ..CniCall::default()
        })
    }

    #[test]
    fn what_is_put_is_read_once_until_it_is_done() {
        let ground = Ground::new("round");
        let pending = Pending::at(ground.0.join("deep/er"));
        assert_eq!(pending.calls().unwrap(), [], "a directory that is not there holds nothing");
        pending.put(&del("a")).unwrap();
        pending.put(&del("b")).unwrap();
        let again = pending.put(&del("a")).unwrap();
        let calls = pending.calls().unwrap();
        assert_eq!(calls.len(), 2, "a call put twice waits once");
        assert!(calls.contains(&again));
        for call in &calls {
            pending.done(call).unwrap();
            pending.done(call).unwrap();
        }
        assert_eq!(fs::read_dir(pending.directory()).unwrap().count(), 0, "no draft is left");
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_stops_nothing() {
        let ground = Ground::new("damaged");
        let pending = Pending::at(&ground.0);
        let good = pending.put(&del("a")).unwrap();
        fs::write(ground.0.join("0123.json"), "{\"asked_ms\":1,\"call\":{\"fly\":{}}}").unwrap();
        fs::write(ground.0.join("4567.json"), "").unwrap();
        fs::write(ground.0.join("89ab.7.draft"), "{").unwrap();
        assert_eq!(pending.calls().unwrap(), [good]);
        assert!(ground.0.join("0123.unread").exists() && ground.0.join("4567.unread").exists());
        assert!(!ground.0.join("0123.json").exists());
    }

    #[test]
    fn no_more_wait_than_may_and_repeats_still_fit() {
        let ground = Ground::new("full");
        let pending = Pending::at(&ground.0);
        pending.put(&del("first")).unwrap();
        for number in 1..MAX_PENDING {
            File::create(ground.0.join(format!("{number}.json"))).unwrap();
        }
        let refused = pending.put(&del("another")).unwrap_err();
        assert!(refused.to_string().contains("start the daemon"), "{refused}");
        pending.put(&del("first")).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let ground = Ground::new("file");
        fs::write(&ground.0, "").unwrap();
        let refused = Pending::at(&ground.0).put(&del("a")).unwrap_err().to_string();
        let _ = fs::remove_file(&ground.0);
        assert!(refused.contains(ground.0.to_str().unwrap()), "{refused}");
    }
}
