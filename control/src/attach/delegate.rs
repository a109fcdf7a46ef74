//! IPAM plugins of others (host-local, static, dhcp), which give a pod its addresses in our place.
//!
//! The daemon runs them as the CNI specification has a plugin run another: the caller's configuration on the standard input, the caller's words in the
//! environment, a result or an error on the standard output. They come from the caller's directories and are not ours to trust with
//! time or memory: both are bounded, and who does not end is killed with all it started.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use podlane_api::{CniCall, Gateway};
use serde::Deserialize;
use thiserror::Error;

use super::{Address, Addressing, Dns, Order, PodRoute};

/// How long a plugin may take. The dhcp plugin waits 10 s for a server, by default, and asks again within that.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long plugins may take in one call to attach: to take back what a former attempt left, to give, and to take that back when it fails.
pub(crate) const LONGEST: Duration = Duration::from_secs(3 * PATIENCE.as_secs());

/// What a plugin may say. A result of a thousand addresses is 80 KiB.
const MOST_SAID: u64 = 1 << 20;

/// How often an ending plugin is looked for, once it has said all.
const LOOK: Duration = Duration::from_millis(1);

/// How long what a plugin complained of is waited for when it has ended: what it left running may keep the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a plugin gave.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Delegated {
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<PodRoute>,
    pub(super) dns: Dns,
}

/// Why a plugin did not do what it was asked to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// It is in none of the directories.
    #[error("there is no IPAM plugin {plugin} in {}; install it there, or name another in \"ipam\"", list(path))]
    Missing {
        /// Its name.
        plugin: String,
        /// Where it was looked for.
        path: Vec<PathBuf>,
    },
    /// It cannot be started.
    #[error("the IPAM plugin {} cannot be run: {source}; it must be a program that this machine can execute", file.display())]
    Unrunnable {
        /// Its file.
        file: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It did not end.
    #[error("the IPAM plugin {plugin} was killed because its {command} took more than {} s; see what it waits for", patience.as_secs())]
    Slow {
        /// Its name.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// How long it had.
        patience: Duration,
    },
    /// It said why not.
    #[error("the IPAM plugin {plugin} refused its {command}: {message}{} (its code {code})", details(said))]
    Refused {
        /// Its name.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// Its code, as the specification or the plugin has it.
        code: u32,
        /// Its message.
        message: String,
        /// Its details.
        said: String,
    },
    /// It failed and did not say why in the words of the specification.
    #[error("the IPAM plugin {plugin} failed at its {command}, {how}{}; see its own documentation", details(said))]
    Failed {
        /// Its name.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// How it ended.
        how: String,
        /// The end of what it said on its standard error.
        said: String,
    },
    /// It answered, and the answer is no result of an IPAM plugin.
    #[error("the IPAM plugin {plugin} gave no result that can be used: {why}; name an IPAM plugin in \"ipam\"")]
    Unreadable {
        /// Its name.
        plugin: String,
        /// What is wrong.
        why: String,
    },
}

impl DelegateError {
    /// Whether the plugin said that the same may well work soon.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        // "Try again later", in the specification's list of codes.
        matches!(self, Self::Refused { code: 11, .. } | Self::Slow { .. })
    }
}

/// Has the plugin give the pod addresses; none where the order names no plugin. Whatever it answers, it is to be asked to take them back
/// when the order comes to nothing.
pub(super) fn add(order: &Order) -> Result<Option<Delegated>, DelegateError> {
    let Some(call) = Call::of(order) else { return Ok(None) };
    let answer = call.make("ADD", PATIENCE)?;
    let unreadable = |why: String| DelegateError::Unreadable { plugin: call.plugin.to_owned(), why };
    let result: PluginResult = serde_json::from_slice(&answer).map_err(|error| unreadable(error.to_string()))?;
    result.delegated().map(Some).map_err(unreadable)
}

/// Has the plugin take them back; also what it never gave.
pub(super) fn del(order: &Order) -> Result<(), DelegateError> {
    let Some(call) = Call::of(order) else { return Ok(()) };
    match call.make("DEL", PATIENCE) {
        // It gave nothing, or was uninstalled since: neither may hold up a pod that is gone.
        Err(error @ DelegateError::Missing { .. }) => {
            tracing::warn!(%error, "nothing is given back to an IPAM plugin");
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

/// Has the plugin do what a runtime asked of us, of which it has its part: `CHECK`, `GC` or `STATUS`.
///
/// # Errors
/// As the plugin says.
pub(crate) fn forward(plugin: &str, command: &'static str, asked: &CniCall) -> Result<(), DelegateError> {
    let call = Call {
        plugin,
        path: asked.path.split(':').filter(|directory| !directory.is_empty()).map(PathBuf::from).collect(),
        config: &asked.config,
        args: &asked.args,
        container: &asked.container_id,
        interface: &asked.ifname,
        netns: Some(Path::new(&asked.netns)),
    };
    call.make(command, PATIENCE).map(drop)
}

/// A plugin, and what it is told.
struct Call<'a> {
    plugin: &'a str,
    path: Vec<PathBuf>,
    config: &'a str,
    args: &'a str,
    container: &'a str,
    interface: &'a str,
    netns: Option<&'a Path>,
}

impl<'a> Call<'a> {
    fn of(order: &'a Order) -> Option<Self> {
        let Addressing::Delegated { plugin, path, config, args } = &order.addressing else { return None };
        let (container, interface) = (order.key.container.as_str(), order.key.interface.as_str());
        Some(Self { plugin, path: path.clone(), config, args, container, interface, netns: order.netns.as_deref() })
    }

    /// Runs it once; what it said when it succeeded.
    fn make(&self, command: &'static str, patience: Duration) -> Result<Vec<u8>, DelegateError> {
        let file = self.find()?;
        let mut child = self.start(command, &file).map_err(|source| DelegateError::Unrunnable { file, source })?;
        let config = self.config.to_owned();
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that ends without having read is not wrong for that.
            std::thread::spawn(move || drop(stdin.write_all(config.as_bytes())));
        }
        let (answer, complaint) = (said(child.stdout.take()), said(child.stderr.take()));
        let deadline = Instant::now() + patience;
        let answer = answer.recv_timeout(patience).ok();
        let Some((answer, status)) = answer.and_then(|answer| Some((answer, ended(&mut child, deadline)?))) else {
            kill(&mut child);
            return Err(DelegateError::Slow { plugin: self.plugin.to_owned(), command, patience });
        };
        if status.success() {
            return Ok(answer);
        }
        let complaint = complaint.recv_timeout(LAST_WORDS).unwrap_or_default();
        Err(self.failure(command, status, &answer, &complaint))
    }

    /// The plugin's file. Its name is one, and no way to elsewhere.
    fn find(&self) -> Result<PathBuf, DelegateError> {
        let is_name = Path::new(self.plugin).file_name().is_some_and(|name| name == self.plugin);
        let files = self.path.iter().filter(|_| is_name).map(|directory| directory.join(self.plugin));
        let is_program =
            |file: &PathBuf| file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        files
            .into_iter()
            .find(is_program)
            .ok_or_else(|| DelegateError::Missing { plugin: self.plugin.to_owned(), path: self.path.clone() })
    }

    fn start(&self, command: &str, file: &Path) -> std::io::Result<Child> {
        // A namespace that is gone is none: a plugin may take its absence for what it is, and not its name for a mistake.
        let netns = self.netns.filter(|netns| netns.exists()).unwrap_or(Path::new(""));
        let path = std::env::join_paths(&self.path).map_err(std::io::Error::other)?;
        Command::new(file)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", self.container)
            .env("CNI_IFNAME", self.interface)
            .env("CNI_NETNS", netns)
            .env("CNI_ARGS", self.args)
            .env("CNI_PATH", path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    fn failure(&self, command: &'static str, status: ExitStatus, answer: &[u8], complaint: &[u8]) -> DelegateError {
        let plugin = self.plugin.to_owned();
        if let Ok(PluginError { code, msg, details }) = serde_json::from_slice(answer) {
            return DelegateError::Refused { plugin, command, code, message: msg, said: details };
        }
        let complaint = String::from_utf8_lossy(complaint);
        let last = complaint.trim().chars().rev().take(500).collect::<Vec<_>>();
        DelegateError::Failed { plugin, command, how: status.to_string(), said: last.into_iter().rev().collect() }
    }
}

/// All that comes out of a pipe, up to the bound, when it ends.
fn said(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (tell, told) = channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is all there is.
            drop(pipe.take(MOST_SAID).read_to_end(&mut bytes));
            drop(tell.send(bytes));
        });
    }
    told
}

/// How it ended; none if it has not by the deadline.
fn ended(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

/// Ends it and all it started.
fn kill(child: &mut Child) {
    let group = Pid::from_raw(child.id().cast_signed());
    // It may have ended by itself just now.
    let _ = killpg(group, Signal::SIGKILL);
    drop(child.wait());
}

/// An error in the words of the specification.
#[derive(Deserialize)]
struct PluginError {
    code: u32,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

/// A result, of any version: `ips` since 0.3.0, one address of each family before.
#[derive(Deserialize)]
struct PluginResult {
    #[serde(default)]
    ips: Vec<PluginAddress>,
    ip4: Option<FormerAddress>,
    ip6: Option<FormerAddress>,
    #[serde(default)]
    routes: Vec<PluginRoute>,
    dns: Option<PluginDns>,
}

/// Runtimes and plugins leave out or write as null what they have nothing to say of.
#[derive(Deserialize)]
struct PluginDns {
    nameservers: Option<Vec<String>>,
    domain: Option<String>,
    search: Option<Vec<String>>,
    options: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct PluginAddress {
    address: String,
    gateway: Option<IpAddr>,
}

/// As results were before 0.3.0.
#[derive(Deserialize)]
struct FormerAddress {
    ip: String,
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<PluginRoute>,
}

#[derive(Deserialize)]
struct PluginRoute {
    dst: String,
    gw: Option<IpAddr>,
    mtu: Option<u32>,
}

impl PluginResult {
    fn delegated(self) -> Result<Delegated, String> {
        let mut addresses = self.ips;
        let mut routes = self.routes;
        for former in self.ip4.into_iter().chain(self.ip6) {
            addresses.push(PluginAddress { address: former.ip, gateway: former.gateway });
            routes.extend(former.routes);
        }
        if addresses.is_empty() {
            return Err("it has no address".to_owned());
        }
        let addresses = addresses.into_iter().map(|PluginAddress { address, gateway }| {
            Ok(Address { address: subnet(&address)?, gateway: gateway.filter(|gateway| !gateway.is_unspecified()) })
        });
        let routes = routes.into_iter().map(|PluginRoute { dst, gw, mtu }| {
            Ok(PodRoute {
                to: subnet(&dst)?,
                via: gw.filter(|gw| !gw.is_unspecified()),
                mtu: mtu.filter(|mtu| *mtu != 0),
            })
        });
        Ok(Delegated {
            addresses: addresses.collect::<Result<_, String>>()?,
            routes: routes.collect::<Result<_, String>>()?,
            dns: self.dns.map(PluginDns::given).unwrap_or_default(),
        })
    }
}

impl PluginDns {
    fn given(self) -> Dns {
        let Self { nameservers, domain, search, options } = self;
        let [nameservers, search, options] = [nameservers, search, options].map(Option::unwrap_or_default);
        Dns { nameservers, domain: domain.filter(|domain| !domain.is_empty()), search, options }
    }
}

/// An address with its prefix length.
fn subnet(text: &str) -> Result<Gateway, String> {
    text.parse().map_err(|_| format!("{text:?} is no address with a prefix length"))
}

fn list(path: &[PathBuf]) -> String {
    let directories: Vec<_> = path.iter().map(|directory| directory.display().to_string()).collect();
    if directories.is_empty() { "CNI_PATH, which is empty".to_owned() } else { directories.join(", ") }
}

fn details(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

#[cfg(test)]
mod tests;
