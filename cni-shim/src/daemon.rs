//! One request to the daemon, every wait bounded.
//!
//! ```text
//! connect, at most CONNECT --> send, wait for the answer, all within WHOLE --> answered
//!    | nobody listens, or the daemon ended in between: again, as long as the caller has patience
//!    v
//! unreached
//! ```
//!
//! Asking again is safe: the daemon knows an attachment by its key, and the same request twice is one.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use podlane_api::{Answered, Call, Connection, DEFAULT_PENDING, DEFAULT_SOCKET, LineError, connect};
use serde::Deserialize;
use serde_json::Value;

/// For connecting to a daemon that is there.
const CONNECT: Duration = Duration::from_secs(1);

/// For the whole call: below what runtimes wait for a plugin (the kubelet's calls end after two minutes), and above what the daemon gives an
/// IPAM plugin, so that it is the daemon that says which of them was slow.
const WHOLE: Duration = Duration::from_secs(40);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// How a call ended without a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// No daemon has taken it, as far as is known.
    Unreached(String),
    /// A daemon took it and may still be at it.
    Unanswered(String),
    /// The daemon refused, in its words.
    Refused(Refused),
}

/// A refusal, as far as this program tells them apart.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Refused {
    /// Which.
    pub(crate) kind: String,
    /// CNI's code, of the kind `cni`.
    #[serde(default)]
    pub(crate) code: u32,
    /// CNI's short text, of the kind `cni`.
    #[serde(default)]
    pub(crate) msg: String,
    /// CNI's long text, of the kind `cni`; of all others the words of the refusal.
    #[serde(default)]
    pub(crate) details: String,
}

/// What is answered to a [`Call`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Cni(Value),
    Netavark(Value),
}

/// Has the daemon at `socket` carry out `call`. Where nobody listens it is waited for one as long as `patience`: so long may a
/// daemon take that gives way to its successor.
pub(crate) fn ask(socket: &Path, call: &Call, patience: Duration) -> Result<Value, Ended> {
    let began = Instant::now();
    loop {
        let ended = match once(socket, call, WHOLE.saturating_sub(began.elapsed())) {
            Ok(result) => return Ok(result),
            Err(ended) => ended,
        };
        let patience = match &ended {
            Ended::Unreached(_) => patience,
            Ended::Refused(refused) if matches!(refused.kind.as_str(), "busy" | "handing_over") => WHOLE,
            _ => return Err(ended),
        };
        if began.elapsed() + PAUSE >= patience {
            return Err(ended);
        }
        thread::sleep(PAUSE);
    }
}

fn once(socket: &Path, call: &Call, remaining: Duration) -> Result<Value, Ended> {
    let stream = connect(socket, CONNECT).map_err(|error| {
        Ended::Unreached(format!(
            "no daemon takes calls on {}: {error} (start \"podlane run\"; the key \"socket\" of the network configuration names another)",
            socket.display()
        ))
    })?;
    let answered = Connection::new(stream, remaining).exchange::<Reply, Refused>(call);
    match answered {
        Ok(Answered::Reply(Reply::Cni(result) | Reply::Netavark(result))) => Ok(result),
        Ok(Answered::Refusal { refusal, .. }) if refusal.kind == "cni" => Err(Ended::Refused(refusal)),
        Ok(Answered::Refusal { refusal, message }) => Err(Ended::Refused(Refused { details: message, ..refusal })),
        Err(LineError::Closed) => Err(Ended::Unreached(format!(
            "the daemon on {} ended before it answered (look into its log)",
            socket.display()
        ))),
        Err(error) => Err(Ended::Unanswered(format!(
            "the daemon on {} gave no answer: {error} (look into its log; podlane status shows whether it works)",
            socket.display()
        ))),
    }
}

/// Where calls wait for a daemon, if the configuration does not say: `PODLANE_PENDING`.
pub(crate) fn default_pending() -> PathBuf {
    std::env::var_os("PODLANE_PENDING").map_or_else(|| DEFAULT_PENDING.into(), PathBuf::from)
}

/// Where the daemon listens, if the configuration does not say: `PODLANE_SOCKET`, as for the command line.
pub(crate) fn default_socket() -> PathBuf {
    std::env::var_os("PODLANE_SOCKET").map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from)
}
