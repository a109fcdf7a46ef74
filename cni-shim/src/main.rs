//! The CNI plugin, as far as it goes: it refuses every request, in the form that the CNI specification gives errors.
//!
//! A plugin that exits with 0 tells the container runtime that the pod has its network. Until this one can ask the daemon for
//! ports it has to say that it cannot, also when it is asked for the versions it supports: there are none.

use std::io::Write;
use std::process::ExitCode;

use serde_json::json;

/// Of the specification that gives the form of errors.
const CNI_VERSION: &str = "1.1.0";

/// The first code that the specification leaves to plugins.
const UNSUPPORTED: u32 = 100;

fn main() -> ExitCode {
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    let details = match command.as_str() {
        "" => "CNI_COMMAND is not set: this program is for container runtimes to run, with the name of a command there",
        "VERSION" => "it supports no version of CNI yet; state the ports of pods in the daemon's configuration instead",
        _ => "state the port of this pod in the daemon's configuration, and take podlane out of the CNI configuration",
    };
    let msg = format!("podlane cannot carry out CNI_COMMAND={command}: it makes no ports for container runtimes yet");
    let error = json!({ "cniVersion": CNI_VERSION, "code": UNSUPPORTED, "msg": msg, "details": details });
    // Without a reader the exit code still tells.
    let _ = writeln!(std::io::stdout(), "{error}");
    ExitCode::FAILURE
}
