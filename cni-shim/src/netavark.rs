//! netavark's plugin protocol: a verb as the first argument, JSON in and out, `{"error": ...}` where it failed.
//!
//! `info` needs no daemon. `teardown` succeeds without one, as DEL of CNI does, and is written down.

use std::process::ExitCode;
use std::time::Duration;

use podlane_api::{Call, NetavarkCall, Pending};
use serde_json::{Value, json};

use crate::daemon::{self, Ended};

/// The version of netavark's plugin protocol that is spoken.
const API_VERSION: &str = "1.0.0";

/// How long `setup` waits for a daemon to listen.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn main(verb: &str, netns: Option<String>) -> ExitCode {
    match carry_out(verb, netns) {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(result) => {
            crate::print(&result);
            ExitCode::SUCCESS
        }
        Err(error) => {
            crate::print(&json!({ "error": error }));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(verb: &str, netns: Option<String>) -> Result<Value, String> {
    let netns = match (verb, netns) {
        ("info", _) => return Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": API_VERSION })),
        ("create", _) => String::new(),
        ("setup" | "teardown", Some(netns)) => netns,
        ("setup" | "teardown", None) => {
            return Err(format!("{verb} needs the path of a network namespace (write it behind the verb)"));
        }
        _ => {
            return Err(format!(
                "no verb is named \"{verb}\" (there are create, setup, teardown and info; CNI's commands come by CNI_COMMAND)"
            ));
        }
    };
    let call = NetavarkCall { verb: verb.to_owned(), netns, input: crate::input()? };
    let call = Call::Netavark(call);
    let socket = daemon::default_socket();
    let patience = if verb == "teardown" { Duration::ZERO } else { PATIENCE };
    match daemon::ask(&socket, &call, patience) {
        Ok(result) => Ok(result),
        Err(Ended::Unreached(why)) if verb == "teardown" => {
            let pending = Pending::at(daemon::default_pending());
            let written = pending.put(&call).map_err(|error| format!("{why}; {error}"))?;
            if daemon::ask(&socket, &call, Duration::ZERO).is_ok() {
                // Left there it would be carried out again, and find nothing to do.
                let _ = pending.done(&written);
            }
            Ok(Value::Null)
        }
        Err(Ended::Unreached(why) | Ended::Unanswered(why)) => Err(why),
        Err(Ended::Refused(refused)) => Err(refused.details),
    }
}
