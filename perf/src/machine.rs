//! Where and of what a result is: without these a number cannot be repeated, and so not be trusted.

use std::{
    borrow::Cow,
    fs,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// The machine and the code a result was measured with. What cannot be found out is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The processor's name.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Load averages when the run began: whether the machine was quiet.
    pub load_average: String,
    /// The command line.
    pub command: String,
    /// The commit, as `git describe` names it, if the run began in the repository.
    pub commit: String,
    /// How this program was built: `release`, or `debug`, whose figures say nothing of speed.
    pub build: Cow<'static, str>,
    /// When, in seconds since 1970.
    pub unix_time: u64,
}

impl Origin {
    /// Looks now.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let named =
            |line: &str| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned());
        let load = read("/proc/loadavg");
        Self {
            processor: cpuinfo.lines().find_map(named).unwrap_or_default(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            command: command(),
            commit: commit(),
            build: Cow::Borrowed(if cfg!(debug_assertions) { "debug" } else { "release" }),
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The command line, without the directory of the program.
fn command() -> String {
    std::iter::once("podlane-perf".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

fn commit() -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    described
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
