//! How long an idle core may take to wake: the kernel's limit for each core, held while somebody needs it.
//!
//! A core with nothing to do is put into an idle state; the deeper, the longer it takes to wake. The file
//! `power/pm_qos_resume_latency_us` of a core (the kernel's Documentation/ABI/testing/sysfs-devices-power and
//! admin-guide/pm/cpuidle) bounds what the cpuidle governor may choose for it. Its words are known here only: `n/a`
//! is no time at all, so that the core polls and never halts where its driver can; `0` is no limit.
//!
//! The file has no owner and forgets nothing, so a killed process leaves its limit behind. A limit that finds itself
//! there already is taken for such a leftover: its end lifts it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where the kernel shows cores.
const CORES: &str = "/sys/devices/system/cpu";

/// A core that may sleep as deep as it likes, in the file's words.
const UNLIMITED: &str = "0";

/// The longest wake-up allowed, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WakeLatency(u32);

impl WakeLatency {
    /// The least and the most. No idle state takes longer to leave than the most.
    pub const BOUNDS: RangeInclusive<u32> = 0..=100_000;

    /// The core never halts.
    pub const AWAKE: Self = Self(0);

    /// So many microseconds, if that is within the bounds.
    #[must_use]
    pub const fn new(microseconds: u32) -> Option<Self> {
        if microseconds <= *Self::BOUNDS.end() { Some(Self(microseconds)) } else { None }
    }

    /// In microseconds.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// In the file's words.
    fn written(self) -> String {
        if self == Self::AWAKE { "n/a".to_owned() } else { self.0.to_string() }
    }
}

/// Why a core's wake-up is not limited, or still is.
#[derive(Debug, Error)]
pub enum WakeLatencyError {
    /// Nothing chooses between idle states, so that a limit would change nothing.
    #[error(
        "how long core {core} may take to wake cannot be limited: there is no {}; \
         use a kernel with a cpuidle driver for this machine", .path.display()
    )]
    NoIdleStates {
        /// The core.
        core: usize,
        /// The missing directory.
        path: PathBuf,
    },
    /// The kernel offers no limit.
    #[error(
        "how long core {core} may take to wake cannot be limited: there is no {}; \
         use a kernel built with CONFIG_PM", .path.display()
    )]
    Absent {
        /// The core.
        core: usize,
        /// The missing file.
        path: PathBuf,
    },
    /// The limit can be read or written by others only.
    #[error(
        "how long core {core} may take to wake cannot be set: {}: {source}; \
         run as root, with /sys mounted writable", .path.display()
    )]
    Refused {
        /// The core.
        core: usize,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

/// A limit on one core's wake-up. Ends with [`release`](Self::release), or when dropped.
#[derive(Debug)]
#[must_use = "a limit ends when it is dropped"]
pub struct WakeLimit {
    core: usize,
    file: PathBuf,
    latency: WakeLatency,
    /// What the file held before, and holds again afterwards.
    before: String,
    released: bool,
}

impl WakeLimit {
    /// Limits how long `core` may take to wake.
    ///
    /// # Errors
    /// [`WakeLatencyError`]; nothing has changed then.
    pub fn hold(core: usize, latency: WakeLatency) -> Result<Self, WakeLatencyError> {
        Self::hold_below(Path::new(CORES), core, latency)
    }

    /// As [`Self::hold`], with the cores' directories below another directory than the kernel's.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_below(cores: &Path, core: usize, latency: WakeLatency) -> Result<Self, WakeLatencyError> {
        let of_core = cores.join(format!("cpu{core}"));
        let (states, file) = (of_core.join("cpuidle"), of_core.join("power/pm_qos_resume_latency_us"));
        if !states.exists() {
            return Err(WakeLatencyError::NoIdleStates { core, path: states });
        }
        let found = read(core, &file)?;
        let wanted = latency.written();
        write(core, &file, &wanted)?;
        let before = if found == wanted { UNLIMITED.to_owned() } else { found };
        Ok(Self { core, file, latency, before, released: false })
    }

    /// The core.
    #[must_use]
    pub const fn core(&self) -> usize {
        self.core
    }

    /// Gives the core back the limit it had.
    ///
    /// # Errors
    /// [`WakeLatencyError`]: the limit stays.
    pub fn release(mut self) -> Result<(), WakeLatencyError> {
        self.restore()
    }

    fn restore(&mut self) -> Result<(), WakeLatencyError> {
        // Who has changed it meanwhile has meant it.
        if std::mem::replace(&mut self.released, true) || read(self.core, &self.file)? != self.latency.written() {
            return Ok(());
        }
        write(self.core, &self.file, &self.before)
    }
}

impl Drop for WakeLimit {
    fn drop(&mut self) {
        // Whoever wants to know calls `release`.
        let _ = self.restore();
    }
}

fn read(core: usize, file: &Path) -> Result<String, WakeLatencyError> {
    let text = fs::read_to_string(file).map_err(|source| failed(core, file, source))?;
    Ok(text.trim_end().to_owned())
}

fn write(core: usize, file: &Path, word: &str) -> Result<(), WakeLatencyError> {
    // The kernel makes the file; one that we would make is none.
    let opened = OpenOptions::new().write(true).truncate(true).open(file);
    opened.and_then(|mut file| file.write_all(word.as_bytes())).map_err(|source| failed(core, file, source))
}

fn failed(core: usize, file: &Path, source: io::Error) -> WakeLatencyError {
    let path = file.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => WakeLatencyError::Absent { core, path },
        _ => WakeLatencyError::Refused { core, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cores as the kernel shows them, in a directory of the test's own.
    struct Cores(PathBuf);

    impl Cores {
        fn new(test: &str) -> Self {
            let cores = Self(std::env::temp_dir().join(format!("podlane-wake-{}-{test}", std::process::id())));
            for core in 0..2 {
                fs::create_dir_all(cores.0.join(format!("cpu{core}/cpuidle"))).unwrap();
                fs::create_dir_all(cores.file(core).parent().unwrap()).unwrap();
                cores.write(core, "0\n");
            }
            cores
        }

        fn file(&self, core: usize) -> PathBuf {
            self.0.join(format!("cpu{core}/power/pm_qos_resume_latency_us"))
        }

        fn write(&self, core: usize, word: &str) {
            fs::write(self.file(core), word).unwrap();
        }

        fn words(&self) -> [String; 2] {
            [0, 1].map(|core| fs::read_to_string(self.file(core)).unwrap().trim().to_owned())
        }

        fn hold(&self, core: usize, microseconds: u32) -> Result<WakeLimit, WakeLatencyError> {
            WakeLimit::hold_below(&self.0, core, WakeLatency::new(microseconds).unwrap())
        }
    }

    impl Drop for Cores {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_limit_holds_for_its_core_and_gives_back_what_was_there() {
        let cores = Cores::new("gives-back");
        cores.write(1, "250\n");
        let limit = cores.hold(1, 20).unwrap();
        assert_eq!((limit.core(), cores.words()), (1, ["0", "20"].map(str::to_owned)));
        limit.release().unwrap();
        assert_eq!(cores.words(), ["0", "250"]);
        drop(cores.hold(0, 7).unwrap());
        assert_eq!(cores.words(), ["0", "250"]);
    }

    #[test]
    fn no_time_at_all_is_not_the_files_word_for_no_limit() {
        let cores = Cores::new("awake");
        let limit = cores.hold(0, 0).unwrap();
        assert_eq!(cores.words(), ["n/a", "0"]);
        limit.release().unwrap();
        assert_eq!(cores.words(), ["0", "0"]);
    }

    #[test]
    fn what_a_killed_process_left_is_lifted_by_the_next() {
        let cores = Cores::new("killed");
        std::mem::forget(cores.hold(1, 0).unwrap());
        assert_eq!(cores.words(), ["0", "n/a"]);
        cores.hold(1, 0).unwrap().release().unwrap();
        assert_eq!(cores.words(), ["0", "0"]);
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let cores = Cores::new("meanwhile");
        let limit = cores.hold(0, 0).unwrap();
        cores.write(0, "50\n");
        limit.release().unwrap();
        assert_eq!(cores.words(), ["50", "0"]);
    }

    #[test]
    fn a_kernel_without_idle_states_or_the_file_is_named_with_a_remedy_and_nothing_is_made() {
        let cores = Cores::new("absent");
        fs::remove_file(cores.file(0)).unwrap();
        let told = cores.hold(0, 0).unwrap_err().to_string();
        assert!(told.contains("core 0") && told.contains("pm_qos_resume_latency_us; use a kernel"), "{told}");
        assert!(!cores.file(0).exists());
        fs::remove_dir(cores.0.join("cpu1/cpuidle")).unwrap();
        let told = cores.hold(1, 0).unwrap_err().to_string();
        assert!(told.contains("core 1") && told.contains("cpuidle driver"), "{told}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_a_remedy() {
        let cores = Cores::new("refused");
        fs::remove_file(cores.file(0)).unwrap();
        fs::create_dir(cores.file(0)).unwrap();
        let told = cores.hold(0, 0).unwrap_err().to_string();
        assert!(told.contains("core 0") && told.ends_with("run as root, with /sys mounted writable"), "{told}");
    }

    #[test]
    fn a_latency_keeps_its_bounds() {
        assert_eq!(WakeLatency::new(0), Some(WakeLatency::AWAKE));
        assert_eq!(WakeLatency::new(100_000).map(WakeLatency::get), Some(100_000));
        assert_eq!(WakeLatency::new(100_001), None);
    }
}
