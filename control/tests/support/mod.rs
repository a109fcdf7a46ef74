//! A node to test on: a network namespace with pods around it, and the real binary running inside.
//!
//! Everything a test makes ends with its [`Node`]: namespaces have no name unless a test gives one, the daemon is killed if it
//! still runs, and the pins it then leaves are removed.

mod daemon;
mod traffic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use podlane_host::lab::{Lab, Pod, PodSpec, skip};

pub(crate) use daemon::Daemon;
pub(crate) use traffic::{Stream, ping, ping_sized, tcp, udp};

/// Held by tests that measure time against others that take it.
static QUIET: RwLock<()> = RwLock::new(());

/// How long anything that should happen may take: generous, because both cores may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Who else may run meanwhile.
enum Company {
    Any {
        _guard: RwLockReadGuard<'static, ()>,
    },
    None {
        _guard: RwLockWriteGuard<'static, ()>,
    },
    /// Beside another node of the same test, which holds the guard.
    Same,
}

/// A switch's namespace, pods connected to it, and a place for files.
pub(crate) struct Node {
    pub(crate) lab: Lab,
    scratch: PathBuf,
    instance: String,
    _company: Company,
}

impl Node {
    /// A node without pods; none where the host cannot have one, which is then said on standard error.
    pub(crate) fn new(test: &str) -> Option<Self> {
        Self::in_company(test, || Company::Any { _guard: QUIET.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// As [`Self::new`], with no other node beside it.
    pub(crate) fn alone(test: &str) -> Option<Self> {
        Self::in_company(test, || Company::None { _guard: QUIET.write().unwrap_or_else(PoisonError::into_inner) })
    }

    fn in_company(test: &str, company: impl FnOnce() -> Company) -> Option<Self> {
        if skip(test) {
            return None;
        }
        Some(Self::made(test, company()))
    }

    /// Another node of the same test.
    pub(crate) fn beside(&self, test: &str) -> Self {
        Self::made(test, Company::Same)
    }

    fn made(test: &str, company: Company) -> Self {
        let instance = format!("test-{}-{test}", std::process::id()).chars().take(60).collect::<String>();
        let scratch = std::env::temp_dir().join(&instance);
        fs::create_dir_all(&scratch).unwrap();
        Self { lab: Lab::new().unwrap(), scratch, instance: instance.replace('_', "-"), _company: company }
    }

    /// A pod at 10.1.0.`host` and fd00:1::`host`, of the network whose gateways are 10.1.0.1 and fd00:1::1.
    pub(crate) fn pod(&mut self, name: &str, host: u8) -> Pod {
        self.lab.pod(&spec(name, 1, host)).unwrap()
    }

    /// The core the switch gets: the last one, since the first has the interrupts.
    pub(crate) fn core() -> usize {
        core_affinity::get_core_ids().unwrap().last().unwrap().id
    }

    /// Writes a configuration with one worker: networks, ports and routes are the test's.
    pub(crate) fn configure(&self, rest: &str) -> PathBuf {
        self.configure_with(&format!("cores = [{}]\nframes = 8192\n", Self::core()), rest)
    }

    /// Writes a configuration with these keys under `[workers]`.
    pub(crate) fn configure_with(&self, workers: &str, rest: &str) -> PathBuf {
        let Self { instance, .. } = self;
        let socket = self.socket();
        let text = format!(
            "[daemon]\nsocket = \"{}\"\ninstance = \"{instance}\"\n[workers]\n{workers}{rest}",
            socket.display()
        );
        let path = self.path("podlane.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// A file of this test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("podlane.sock")
    }

    /// Where the daemon's pins are.
    pub(crate) fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/podlane").join(&self.instance)
    }

    /// Whether a port's XDP link is pinned.
    pub(crate) fn has_link(&self, port: &str) -> bool {
        let pins = fs::read_dir(self.pins().join(port)).into_iter().flatten();
        pins.flatten().any(|pin| pin.file_name().to_string_lossy().starts_with("link"))
    }

    /// Starts the daemon inside, on what was configured, and waits until it is ready.
    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.lab.switch(), &self.path("podlane.toml"), &self.socket())
    }

    /// Runs a daemon that should end by itself, at once.
    pub(crate) fn refused(&self, config: &Path) -> Output {
        self.lab.switch().run(|| podlane().args(["run", "--config"]).arg(config).output()).unwrap().unwrap()
    }

    /// Asks the daemon by the command line, as an operator would.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = podlane().args(arguments).arg("--socket").arg(self.socket()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asserts that a daemon left nothing behind: no pin, no socket, no lock, and devices that another program can have.
    pub(crate) fn assert_clean(&self, devices: &[&str]) {
        assert!(!self.pins().exists(), "pins are left: {}", self.pins().display());
        for file in ["podlane.sock", "podlane.sock.lock"] {
            assert!(!self.path(file).exists(), "{file} is left");
        }
        for device in devices {
            drop(self.occupy(device));
        }
    }

    /// Puts an XDP program of the test's own on a device, until the return is dropped.
    pub(crate) fn occupy(&self, device: &str) -> podlane_bpf::Attachment {
        let occupy = || {
            let ifindex = nix::net::if_::if_nametoindex(device).unwrap();
            let (program, mode) = (podlane_bpf::Program::Pod, podlane_bpf::AskMode::Native);
            podlane_bpf::Attachment::attach(&podlane_bpf::Request {
                ifindex,
                name: device,
                program,
                queues: 1,
                pin: None,
                mode,
            })
        };
        self.lab.switch().run(occupy).unwrap().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch);
        // A killed daemon's.
        if podlane_bpf::sweep(&self.pins(), &[]).and_then(|_| podlane_bpf::vacate(&self.pins())).is_ok() {
            let _ = fs::remove_dir("/sys/fs/bpf/podlane");
        }
    }
}

/// A pod of the network 10.`network`.0.0/24 and fd00:`network`::/64, whose first host is the gateway.
pub(crate) fn spec(name: &str, network: u8, host: u8) -> PodSpec {
    PodSpec {
        ipv4: Some(([10, network, 0, host].into(), 24)),
        ipv6: Some(([0xfd00, network.into(), 0, 0, 0, 0, 0, host.into()].into(), 64)),
        gateway_v4: Some([10, network, 0, 1].into()),
        gateway_v6: Some([0xfd00, network.into(), 0, 0, 0, 0, 0, 1].into()),
        // The same when it comes back, so that its neighbours need not forget.
        mac: Some([2, 0, 0, 0, network, host]),
        ..PodSpec::named(name)
    }
}

/// The network that [`Node::pod`]s are in.
pub(crate) const BLUE: &str = "[[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/24\", \"fd00:1::1/64\"]\n";

/// A port of a pod, in the network `blue`.
pub(crate) fn port(name: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"blue\"\n")
}

/// The binary, without what the test's own environment might tell it.
pub(crate) fn podlane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane"));
    command.env_remove("PODLANE_SOCKET").env_remove("PODLANE_LOG");
    command
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, holds: impl FnMut() -> bool) -> Duration {
    within(SOON, what, holds)
}

/// Waits until something holds that may take longer than most.
pub(crate) fn within(bound: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < bound, "{what}: not within {bound:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    began.elapsed()
}
