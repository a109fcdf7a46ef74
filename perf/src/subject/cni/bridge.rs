//! The reference: `bridge` with `host-local`, of Debian's containernetworking-plugins.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use super::{Plugin, absent, host};
use crate::subject::{SubjectError, folder::Folder, tools::Tool};

const BRIDGE: Tool = Tool {
    program: "bridge",
    install: "apt-get install containernetworking-plugins",
    manual: "https://www.cni.dev/plugins/current/main/bridge/",
};

const PACKAGE: &str = "containernetworking-plugins";

/// Where Debian puts plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// A host with that plugin, installed if it is not there yet.
///
/// # Errors
/// [`SubjectError::Absent`] where it cannot be.
pub fn start() -> Result<Plugin, SubjectError> {
    let path = Path::new(PLUGINS);
    let there = || ["bridge", "host-local"].iter().all(|plugin| path.join(plugin).exists());
    if !there() {
        install(PACKAGE);
    }
    if !there() {
        return Err(absent(BRIDGE));
    }
    let folder = Folder::make_on_disk("bridge")?;
    let configuration = json!({
        "cniVersion": "1.0.0",
        "name": "perf",
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        "ipam": {
            "type": "host-local",
            "dataDir": folder.file("leases"),
            "ranges": [[{ "subnet": "10.88.0.0/16" }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    });
    Ok(Plugin {
        tool: BRIDGE,
        binary: path.join("bridge"),
        path: path.to_owned(),
        configuration: configuration.to_string(),
        host: host()?,
        _behind: Box::new(folder),
    })
}

/// Tries to; whether it worked is seen by what is there then.
fn install(package: &str) {
    let mut command = Command::new("apt-get");
    command.args(["install", "--yes", "--no-install-recommends", package]).env("DEBIAN_FRONTEND", "noninteractive");
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
