//! The daemon as the demo's switch, in the demo's own process.

use std::thread;
use std::time::{Duration, Instant};

use podlane_api::{Ledger, Manifest, Manifests, PolicyApplied, Port, PortState, Why, WhyQuery};

use crate::config::{self, ConfigError, Machine, Refused};
use crate::daemon::Daemon;
use crate::demo::{Switch, SwitchError, SwitchPlan};

/// How long the ports may take to come up. Attaching XDP takes up to 20 ms a port, and a queue that was bound before
/// as long again.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port does not carry frames.
#[derive(Debug, thiserror::Error)]
#[error("port {name} is {state} after {waited_s} s: {reason} (podlane run says more, with --log debug)")]
struct NotUp {
    name: String,
    state: PortState,
    waited_s: u64,
    reason: String,
}

/// Starts a daemon and waits until all its ports are up.
pub(super) fn start(plan: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
    let SwitchPlan { config, socket } = plan;
    let refused = |findings| ConfigError::from(Refused { path: "the demo's configuration".into(), findings });
    let desired = config::parse(&config, &Machine::this()).map_err(refused).map_err(start_error)?;
    let daemon = Daemon::start(desired, socket.as_deref()).map_err(start_error)?;
    let began = Instant::now();
    while let Some(port) = not_up(&daemon)? {
        let hopeless = matches!(port.state, PortState::Failed | PortState::Gone);
        if hopeless || began.elapsed() > PATIENCE {
            let Port { name, state, reason, .. } = port;
            let waited_s = began.elapsed().as_secs();
            return Err(start_error(NotUp { name, state, waited_s, reason: reason.unwrap_or_default() }));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Box::new(daemon))
}

fn not_up(daemon: &Daemon) -> Result<Option<Port>, SwitchError> {
    let ports = daemon.ports().map_err(start_error)?.ports;
    Ok(ports.into_iter().find(|port| port.state != PortState::Up))
}

fn start_error(error: impl std::error::Error + Send + Sync + 'static) -> SwitchError {
    SwitchError::Start(Box::new(error))
}

impl Switch for Daemon {
    fn ports(&self) -> Result<Vec<Port>, SwitchError> {
        self.ports().map(|ports| ports.ports).map_err(|error| SwitchError::Ask(Box::new(error)))
    }

    fn ledger(&self) -> Result<Ledger, SwitchError> {
        self.counters().map(|counters| counters.total).map_err(|error| SwitchError::Ask(Box::new(error)))
    }

    fn apply_policy(&self, file: &str, yaml: &str) -> Result<PolicyApplied, SwitchError> {
        let manifest = Manifest { from: file.to_owned(), yaml: yaml.to_owned() };
        let manifests = Manifests { files: vec![manifest], wait: true };
        self.apply_policy(&manifests).map_err(|error| SwitchError::Ask(Box::new(error)))
    }

    fn why(&self, query: &WhyQuery) -> Result<Why, SwitchError> {
        self.why(query).map_err(|error| SwitchError::Ask(Box::new(error)))
    }

    fn stop(self: Box<Self>) -> Result<(), SwitchError> {
        Self::stop(*self).map_err(|error| SwitchError::Stop(Box::new(error)))
    }
}
