//! A container runtime by hand: containers that are network namespaces, and lists of plugins run as the reference library runs them.
//!
//! Plugins run in the switch's namespace of a test's node, which is the host to them. Ours is the real binary, built when a test first
//! wants it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use podlane_host::{Netns, Pinned};
use serde_json::{Value, json};

use crate::support::Node;

/// Where Debian's containernetworking-plugins are.
pub(crate) const REFERENCE: &str = "/usr/lib/cni";

/// The plugin of this workspace, built as the tests are: asked of the workspace, it needs nothing built that they were not built with.
pub(crate) fn shim() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--workspace", "--bin", "podlane-cni"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "podlane-cni cannot be built");
        Path::new(env!("CARGO_BIN_EXE_podlane")).with_file_name("podlane-cni")
    })
}

/// A container: a network namespace with a name, as runtimes have them.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) netns: Netns,
    path: Pinned,
}

impl Container {
    /// One whose id and path no other has, of this test or of one beside it.
    pub(crate) fn new(name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let id = format!("{name}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let netns = Netns::anonymous().unwrap();
        let path = netns.pin(&format!("podlane-{id}")).unwrap();
        Self { id, netns, path }
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.path()
    }
}

/// What a plugin said: its exit status, and its standard output as JSON; null where that is empty.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Said {
    pub(crate) is_ok: bool,
    pub(crate) said: Value,
}

impl Said {
    /// What it answered, having succeeded.
    pub(crate) fn result(self) -> Value {
        assert!(self.is_ok, "{}", self.said);
        self.said
    }

    /// The code it failed with.
    pub(crate) fn code(&self) -> u64 {
        assert!(!self.is_ok && self.said["msg"].is_string() && self.said["details"].is_string(), "{self:?}");
        self.said["code"].as_u64().unwrap()
    }

    /// Its details.
    pub(crate) fn details(&self) -> &str {
        self.said["details"].as_str().unwrap()
    }
}

/// Runs a plugin on the host's side of a node, with these variables and nothing else.
pub(crate) fn run(node: &Node, plugin: &Path, variables: &[(&str, &str)], config: &str) -> Said {
    let run = || {
        let mut child = Command::new(plugin)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that wants no configuration may have ended.
        let _ = child.stdin.take().unwrap().write_all(config.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = node.lab.switch().run(run).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = if text.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    Said { is_ok: output.status.success(), said }
}

/// A network configuration list, as in `/etc/cni/net.d`.
pub(crate) struct List<'n> {
    pub(crate) node: &'n Node,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plugins: Vec<Value>,
    /// Beside what the plugins' capabilities ask for.
    pub(crate) runtime: Value,
    pub(crate) args: String,
    /// Where plugins find plugins.
    pub(crate) path: PathBuf,
}

impl<'n> List<'n> {
    /// These plugins, the first of which is asked first.
    pub(crate) fn new(node: &'n Node, version: &'static str, plugins: Vec<Value>) -> Self {
        Self { node, name: "pods", version, plugins, runtime: json!({}), args: String::new(), path: REFERENCE.into() }
    }

    /// `ADD`, plugin after plugin, each with the result of the one before; the result of the last. If one fails, its words.
    pub(crate) fn try_add(&self, container: &Container, interface: &str) -> Said {
        let mut previous = None;
        for plugin in &self.plugins {
            let said = self.call("ADD", (container, interface), plugin, previous.as_ref());
            if !said.is_ok {
                return said;
            }
            previous = Some(said.said);
        }
        Said { is_ok: true, said: previous.unwrap_or_default() }
    }

    pub(crate) fn add(&self, container: &Container, interface: &str) -> Value {
        self.try_add(container, interface).result()
    }

    /// `DEL`, the last plugin first, each with the whole result.
    pub(crate) fn del(&self, container: &Container, interface: &str, result: &Value) {
        for plugin in self.plugins.iter().rev() {
            self.call("DEL", (container, interface), plugin, Some(result)).result();
        }
    }

    /// `CHECK` of each plugin; the words of the first that is not content.
    pub(crate) fn check(&self, container: &Container, interface: &str, result: &Value) -> Said {
        let mut calls =
            self.plugins.iter().map(|plugin| self.call("CHECK", (container, interface), plugin, Some(result)));
        calls.find(|said| !said.is_ok).unwrap_or(Said { is_ok: true, said: Value::Null })
    }

    /// One call of one plugin.
    pub(crate) fn call(
        &self,
        verb: &str,
        (container, interface): (&Container, &str),
        plugin: &Value,
        previous: Option<&Value>,
    ) -> Said {
        let variables = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", &container.id),
            ("CNI_NETNS", container.path().to_str().unwrap()),
            ("CNI_IFNAME", interface),
            ("CNI_ARGS", &self.args),
            ("CNI_PATH", self.path.to_str().unwrap()),
        ];
        run(self.node, &binary(plugin), &variables, &self.config(plugin, previous).to_string())
    }

    /// What the plugin is given: the list's name and version, and of the runtime's what it can take.
    pub(crate) fn config(&self, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut config = plugin.clone();
        config["name"] = self.name.into();
        config["cniVersion"] = self.version.into();
        let mut runtime = json!({});
        for (capability, wanted) in plugin["capabilities"].as_object().into_iter().flatten() {
            if *wanted == Value::Bool(true) && self.runtime.get(capability).is_some() {
                runtime[capability] = self.runtime[capability].clone();
            }
        }
        if runtime != json!({}) {
            config["runtimeConfig"] = runtime;
        }
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        config
    }
}

/// Ours, or the reference's.
fn binary(plugin: &Value) -> PathBuf {
    match plugin["type"].as_str().unwrap() {
        "podlane-cni" => shim().to_owned(),
        reference => Path::new(REFERENCE).join(reference),
    }
}

/// Our plugin on the node's daemon and its network `blue`, with addresses of ours.
pub(crate) fn ours(node: &Node) -> Value {
    json!({
        "type": "podlane-cni",
        "network": "blue",
        "socket": node.socket(),
        "pending": node.path("pending"),
        "ipam": {"type": "podlane"},
    })
}

/// The table of a configuration whose daemon attaches pods, with all its files among the test's own.
pub(crate) fn attachments(node: &Node) -> String {
    let [journal, vhost] = ["journal.redb", "vhost"].map(|name| node.path(name));
    format!("[attachments]\njournal = \"{}\"\nvhost_sockets = \"{}\"\n", journal.display(), vhost.display())
}
