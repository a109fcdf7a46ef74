//! The Container Network Interface: the environment and standard input into one call, and what to do while no daemon is there.
//!
//! - `VERSION` is answered here: a runtime asks for it before there need be a daemon.
//! - `DEL` succeeds, since a pod that is gone must not be held up: the call is written down for the next daemon.
//! - `ADD` and `CHECK` fail with the code for "try again later", `STATUS` with that for "not available".
//! - `GC` is to be tried again, too. Written down it would be carried out with a list of valid attachments that has grown old, and
//!   take away what was attached since; and runtimes come again with it anyway.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use podlane_api::{CNI_VERSIONS, Call, CniCall, Pending};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::daemon::{self, Ended, Refused};
use crate::failure::{DECODE, ENVIRONMENT, Failure, INPUT, NOT_AVAILABLE, REFUSED, TRY_AGAIN};

/// The version of errors about a configuration that says none.
const OWN_VERSION: &str = CNI_VERSIONS[CNI_VERSIONS.len() - 1];

/// How long an ADD or CHECK waits for a daemon to listen: one that gives way to its successor is back sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// What this program must know of a network configuration.
#[derive(Deserialize, Default)]
struct Known {
    #[serde(rename = "cniVersion")]
    version: Option<String>,
    /// Where the daemon listens.
    socket: Option<PathBuf>,
    /// Where calls wait for a daemon.
    pending: Option<PathBuf>,
}

pub(crate) fn main() -> ExitCode {
    let command = variable("CNI_COMMAND");
    let input = crate::input();
    let known = input.as_deref().map_err(|_| None).and_then(|input| known(&command, input).map_err(Some));
    let version = known.as_ref().ok().and_then(|known| known.version.clone()).unwrap_or_else(|| OWN_VERSION.to_owned());
    let outcome = match (input, known) {
        (Err(error), _) => Err(Failure::new(INPUT, "standard input cannot be read", error)),
        (_, Err(Some(error))) => Err(error),
        (Ok(_), _) if command == "VERSION" => Ok(json!({ "cniVersion": version, "supportedVersions": CNI_VERSIONS })),
        (Ok(_), _) if command.is_empty() => Err(Failure::new(
            ENVIRONMENT,
            "CNI_COMMAND is not set",
            "this program is run by container runtimes (to try it by hand, set the variables of the CNI specification)",
        )),
        (Ok(input), known) => carry_out(call(command, input), &known.unwrap_or_default()),
    };
    match outcome {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(result) => {
            crate::print(&result);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            crate::print(&failure.document(&version));
            ExitCode::FAILURE
        }
    }
}

/// `VERSION` may come with nothing on standard input.
fn known(command: &str, input: &str) -> Result<Known, Failure> {
    if command == "VERSION" && input.trim().is_empty() {
        return Ok(Known::default());
    }
    serde_json::from_str(input).map_err(|error| {
        let details = format!("standard input: {error} (write a network configuration there, a JSON object)");
        Failure::new(DECODE, "the network configuration cannot be decoded", details)
    })
}

fn call(command: String, config: String) -> CniCall {
    CniCall {
        command,
        container_id: variable("CNI_CONTAINERID"),
        netns: variable("CNI_NETNS"),
        ifname: variable("CNI_IFNAME"),
        args: variable("CNI_ARGS"),
        path: variable("CNI_PATH"),
        config,
    }
}

/// Not set and empty are one: so does the specification's reference implementation.
fn variable(name: &str) -> String {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}

fn carry_out(call: CniCall, known: &Known) -> Result<Value, Failure> {
    let socket = known.socket.clone().unwrap_or_else(daemon::default_socket);
    let command = call.command.clone();
    let call = Call::Cni(call);
    let patience = if matches!(command.as_str(), "ADD" | "CHECK") { PATIENCE } else { Duration::ZERO };
    match daemon::ask(&socket, &call, patience) {
        Err(Ended::Unreached(why)) if command == "DEL" => write_down(&socket, &call, known, &why),
        // What it is about was attached by a daemon that did.
        Err(Ended::Refused(Refused { kind, details, .. })) if command == "DEL" && kind == "no_attachments" => {
            write_down(&socket, &call, known, &details)
        }
        outcome => outcome.map_err(|ended| failure(&command, ended)),
    }
}

/// Writes a DEL down, then asks once more: a daemon that began to listen meanwhile may have looked for such calls already.
fn write_down(socket: &Path, call: &Call, known: &Known, why: &str) -> Result<Value, Failure> {
    let pending = Pending::at(known.pending.clone().unwrap_or_else(daemon::default_pending));
    let written = pending.put(call).map_err(|error| {
        Failure::new(TRY_AGAIN, "no daemon is there, and the call cannot be kept for one", format!("{why}; {error}"))
    })?;
    if let Ok(result) = daemon::ask(socket, call, Duration::ZERO) {
        // Left there it would be carried out again, and find nothing to do.
        let _ = pending.done(&written);
        return Ok(result);
    }
    Ok(Value::Null)
}

fn failure(command: &str, ended: Ended) -> Failure {
    match ended {
        Ended::Unreached(why) | Ended::Unanswered(why) if command == "STATUS" => {
            Failure::new(NOT_AVAILABLE, "no pod can be attached", why)
        }
        Ended::Unreached(why) => Failure::new(TRY_AGAIN, "the daemon is not there: try again later", why),
        Ended::Unanswered(why) => Failure::new(TRY_AGAIN, "the daemon does not answer: try again later", why),
        Ended::Refused(Refused { kind, code, msg, details }) => match kind.as_str() {
            "cni" => Failure { code, msg, details },
            "busy" | "handing_over" | "stalled" => {
                Failure::new(TRY_AGAIN, "the daemon is busy: try again later", details)
            }
            "no_attachments" if command == "STATUS" => Failure::new(NOT_AVAILABLE, "no pod can be attached", details),
            _ => Failure::new(REFUSED, "the daemon refused the call", details),
        },
    }
}
