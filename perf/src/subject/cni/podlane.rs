//! Ours: `podlane-cni`, and a `podlane run` that it asks.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Plugin, absent, host};
use crate::{
    cores::Cores,
    subject::{
        SubjectError,
        folder::Folder,
        tools::{Service, Tool},
    },
};

const PLUGIN: Tool =
    Tool { program: "podlane-cni", install: "cargo shim, or --plugin FILE", manual: "docs/operating.md of Podlane" };

const DAEMON: Tool = Tool {
    program: "podlane",
    install: "cargo build --release -p podlane, or --daemon FILE",
    manual: "docs/operating.md of Podlane",
};

/// How long a daemon may take until it attaches pods.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The plugin.
    pub plugin: PathBuf,
    /// The daemon.
    pub daemon: PathBuf,
}

impl Binaries {
    /// Where cargo puts them when it has built this program: the daemon beside it, the plugin in the folder of its target and profile.
    #[must_use]
    pub fn found() -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        let beside = own.parent().unwrap_or(Path::new("."));
        let target = beside.parent().unwrap_or(beside);
        Self { plugin: target.join("x86_64-unknown-linux-musl/shim/podlane-cni"), daemon: beside.join("podlane") }
    }
}

/// What is behind the plugin. It ends in this order.
struct Behind {
    _daemon: Service,
    _pins: Pins,
    _folder: Folder,
}

/// What a daemon may leave in the BPF file system, if it does not end as it should.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        // What a daemon has removed itself is not there.
        let _ = podlane_bpf::sweep(&self.0, &[]).and_then(|_| podlane_bpf::vacate(&self.0));
    }
}

/// A host with a daemon that will attach pods, its journal on a disk and a worker on each of the cores.
///
/// # Errors
/// [`SubjectError::Absent`] where it was not built.
pub fn start(binaries: &Binaries, cores: Cores) -> Result<Plugin, SubjectError> {
    for (binary, tool) in [(&binaries.plugin, PLUGIN), (&binaries.daemon, DAEMON)] {
        if !binary.exists() {
            return Err(absent(tool));
        }
    }
    let folder = Folder::make_on_disk("cni")?;
    let (host, socket) = (host()?, folder.file("podlane.sock"));
    let instance = format!("perf-{}", std::process::id());
    let configuration = folder.write("podlane.toml", &configuration(&instance, cores, &folder))?;
    let mut run = Command::new(&binaries.daemon);
    run.args(["run", "--config"]).arg(configuration);
    let daemon = DAEMON.serve(&host, run)?;
    let pins = Pins(Path::new("/sys/fs/bpf/podlane").join(&instance));
    let call = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "podlane-cni",
        "socket": socket,
        "pending": folder.file("pending"),
        "ipam": { "type": "podlane" },
    });
    Ok(Plugin {
        tool: PLUGIN,
        binary: binaries.plugin.clone(),
        path: binaries.plugin.parent().unwrap_or(Path::new("/")).to_owned(),
        configuration: call.to_string(),
        host,
        _behind: Box::new(Behind { _daemon: daemon, _pins: pins, _folder: folder }),
    })
}

/// One network, whose gateway is the switch's. Two workers, since the default number of frames is too small for 600 pods of one.
fn configuration(instance: &str, cores: Cores, folder: &Folder) -> String {
    format!(
        "[daemon]\nsocket = \"{}\"\ninstance = \"{instance}\"\n\
         [workers]\ncores = [{}, {}]\n\
         [attachments]\njournal = \"{}\"\n\
         [[network]]\nname = \"pods\"\ngateways = [\"10.89.0.1/16\"]\n",
        folder.file("podlane.sock").display(),
        cores.load,
        cores.switch,
        folder.file("journal.redb").display()
    )
}

/// Waits until the daemon attaches pods.
///
/// # Errors
/// [`SubjectError::Unable`] with what it says, if it does not.
pub fn wait_until_ready(plugin: &Plugin) -> Result<(), SubjectError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match plugin.ask("STATUS") {
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
            answer => return answer.map(drop),
        }
    }
}
