//! The command line: reads arguments, asks the daemon, prints.
//!
//! Standard output is for answers, standard error for errors and logs. Exit statuses: 0 it worked; 1 it did not; 2 the
//! arguments or the configuration are wrong, and nothing was tried. `why` and `policy` answer questions of yes and no, and have their own.

mod args;
mod in_process;
mod log;
mod policy;
mod show;
mod table;

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use podlane_api::{
    AttachmentQuery, Client, ClientError, ConnectionQuery, Endpoint, EndpointQuery, EndpointRemoval, FlowQuery,
    LeaseQuery, NeighbourQuery, Refusal,
};
use podlane_policy::yaml::Warning;
use serde::Serialize;

use crate::compile::Numbers;
use crate::config::{self, ConfigError, Machine};
use crate::daemon::{self, DaemonError};
use crate::demo;
use crate::desired::{Desired, Network};
use crate::enforce::{Doubt, EnforceError, Live, Places};
use crate::reconcile::StartError;
use args::{Args, Ask, EndpointVerb, Verb, Which};
use log::LogError;
use policy::PolicyError;
pub(crate) use show::Show;

use crate::paint::Paint;
use crate::units;

/// How long the daemon may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Enforce(#[from] EnforceError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("cannot write to standard output: {0} (check where it goes)")]
    Output(#[from] io::Error),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            // Who closes the pipe, as head does, has read enough.
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Config(_) | Self::Log(_) | Self::Policy(_) | Self::Enforce(_) => ExitCode::from(2),
            Self::Daemon(DaemonError::Start(StartError::Policy(error))) if error.is_of_files() => ExitCode::from(2),
            Self::Client(_) | Self::Daemon(_) | Self::Output(_) => ExitCode::FAILURE,
        }
    }

    fn is_worth_saying(&self) -> bool {
        !matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }
}

/// Does what the process's arguments say, and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let Args { verb } = Args::parse();
    match perform(verb) {
        Ok(status) => status,
        Err(error) => {
            if error.is_worth_saying() {
                // Nothing is left to tell it to when standard error is gone, too.
                let _ = writeln!(io::stderr(), "{}", said(&error));
            }
            error.exit_code()
        }
    }
}

/// An error as it is printed. Findings begin with their file already, as compilers write them, for editors to jump to.
fn said(error: &CliError) -> String {
    match error {
        CliError::Config(ConfigError::Refused(refused)) => {
            let mistakes = units::some(refused.findings.len(), "mistake");
            format!("{refused}\npodlane: {}: {mistakes}", refused.path.display())
        }
        CliError::Policy(PolicyError::Refused(refused)) => {
            format!("{refused}\npodlane: {}", units::some(refused.0.len(), "mistake"))
        }
        CliError::Enforce(error) | CliError::Daemon(DaemonError::Start(StartError::Policy(error)))
            if error.mistakes() > 0 =>
        {
            format!("{error}\npodlane: {}", units::some(error.mistakes(), "mistake"))
        }
        CliError::Policy(PolicyError::Client(ClientError::Refused(Refusal::BadPolicy { findings }))) => {
            let told: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
            format!("{told}podlane: {}, and nothing is changed", units::some(findings.len(), "mistake"))
        }
        error => format!("podlane: {error}"),
    }
}

fn perform(verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Run { config, log } => {
            log.start()?;
            daemon::run(config::load(&config, &Machine::this())?)?;
        }
        Verb::Check { file } => check(&file)?,
        Verb::Status(ask) => answer(&connect(&ask)?.status()?, &ask)?,
        Verb::Ports(ask) => answer(&connect(&ask)?.ports()?, &ask)?,
        Verb::Flows { ask, limit, network, port } => {
            let query = FlowQuery { limit: limit.into(), network, port };
            answer(&connect(&ask)?.flows(query)?, &ask)?;
        }
        Verb::Counters(ask) => answer(&connect(&ask)?.counters()?, &ask)?,
        Verb::Tunnels(ask) => answer(&connect(&ask)?.tunnels()?, &ask)?,
        Verb::Offload(ask) => answer(&connect(&ask)?.offload()?, &ask)?,
        Verb::Neighbours { ask, limit, network, port, peer } => {
            let query = NeighbourQuery { limit: limit.into(), network, port, peer };
            answer(&connect(&ask)?.neighbours(query)?, &ask)?;
        }
        Verb::Endpoint(verb) => endpoint(verb)?,
        Verb::Why { question, ask } => return Ok(policy::why(&question, &ask)?),
        Verb::Connections { ask, limit, of } => {
            let query = ConnectionQuery { limit: limit.into(), of };
            answer(&connect(&ask)?.connections(query)?, &ask)?;
        }
        Verb::Attachments { ask, network, of } => {
            answer(&connect(&ask)?.attachments(AttachmentQuery { network, of })?, &ask)?;
        }
        Verb::Addresses { ask, network } => answer(&connect(&ask)?.leases(LeaseQuery { network })?, &ask)?,
        Verb::Policy(verb) => return Ok(policy::perform(verb)?),
        Verb::Demo(options) => return Ok(demo::run(&options, in_process::start)),
    }
    Ok(ExitCode::SUCCESS)
}

fn endpoint(verb: EndpointVerb) -> Result<(), CliError> {
    match verb {
        EndpointVerb::Set { ask, which: Which { network, mac, generation }, addresses, peer } => {
            let endpoint = Endpoint { network, mac, addresses, peer, generation };
            answer(&connect(&ask)?.set_endpoint(endpoint)?, &ask)
        }
        EndpointVerb::Remove { ask, which: Which { network, mac, generation } } => {
            let removal = EndpointRemoval { network, mac, generation };
            answer(&connect(&ask)?.remove_endpoint(removal)?, &ask)
        }
        EndpointVerb::List { ask, network } => answer(&connect(&ask)?.endpoints(EndpointQuery { network })?, &ask),
    }
}

fn check(file: &Path) -> Result<(), CliError> {
    let desired = config::load(file, &Machine::this())?;
    let mut parts =
        vec![("network", desired.networks.len()), ("port", desired.ports.len()), ("route", desired.routes.len())];
    if let Some(underlay) = &desired.underlay {
        let below = [("peer", desired.peers.len()), ("endpoint", desired.endpoints.len())];
        parts.extend(below.into_iter().chain([("underlay route", underlay.routes.len())]));
    }
    let mut parts: Vec<String> = parts.into_iter().map(|(noun, number)| units::some(number, noun)).collect();
    if desired.attachments.is_some() {
        let gives = |network: &&Network| !network.gateways.is_empty() || !network.supply.routers.is_empty();
        let networks = desired.networks.values().filter(gives).count();
        parts.push(format!("addresses for pods in {}", units::some(networks, "network")));
    }
    if desired.policy.is_some() {
        parts.extend(check_policy(&desired)?);
    }
    writeln!(io::stdout(), "{}: good: {}", file.display(), parts.join(", "))?;
    Ok(())
}

/// Reads the files of policies; says what they have.
fn check_policy(desired: &Desired) -> Result<[String; 2], EnforceError> {
    let places = Places::of(desired, &Numbers::of(desired));
    let (live, doubts) = Live::open(desired, places.into())?;
    for doubt in &doubts {
        let said = match doubt {
            Doubt::Object(Warning { file, line, object, doubt }) => {
                format!("{file}:{line}: warning: {object}: {doubt}")
            }
            doubt => format!("podlane: warning: {doubt}"),
        };
        // Nothing is left to tell it to when standard error is gone, too.
        let _ = writeln!(io::stderr(), "{said}");
    }
    let (pods, _) = live.compiler().population();
    let policies = live.compiler().policies().count();
    Ok([units::some(policies, "policy"), units::some(pods, "pod")])
}

fn connect(ask: &Ask) -> Result<Client, ClientError> {
    Client::connect(&ask.socket, PATIENCE)
}

/// Prints an answer: the very object with `--json`, else for people.
fn answer(answer: &(impl Show + Serialize), ask: &Ask) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if ask.json {
        serde_json::to_writer(&mut out, answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", answer.show(Paint::of(&io::stdout())))?;
    }
    out.flush()?;
    Ok(())
}
