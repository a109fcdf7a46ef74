//! What the command line takes.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use podlane_api::{DEFAULT_SOCKET, MAX_CONNECTIONS, MAX_FLOWS, MAX_NEIGHBOURS, MacAddr};

use super::log::LogArgs;
use crate::demo;
use crate::told::question::{Opener, Party, Service};

/// A userspace packet switch for containers
#[derive(Parser, Debug)]
#[command(name = "podlane", version, propagate_version = true, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXIT_CODES: &str = "Exit status: 0 it worked; 1 it did not; 2 the arguments or the configuration are wrong. \
    Those of why and policy are their own: see their help.";

/// What to do.
#[derive(Subcommand, Debug)]
pub(super) enum Verb {
    /// Run the switch until SIGTERM or Ctrl-C
    Run {
        /// The configuration, a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        log: LogArgs,
    },
    /// Say all that is wrong with a configuration, by line and column
    Check {
        /// The configuration, a TOML file
        file: PathBuf,
    },
    /// How the daemon, its workers and its tables are
    Status(Ask),
    /// The ports, the mode each got, and what went through them
    Ports(Ask),
    /// The flows, the busiest first
    Flows {
        #[command(flatten)]
        ask: Ask,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=MAX_FLOWS as i64))]
        limit: u16,
        /// Only those of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        /// Only those that come from or leave by this port
        #[arg(long, value_name = "NAME")]
        port: Option<String>,
    },
    /// The ledger: received, sent, held, and dropped by reason
    Counters(Ask),
    /// The tunnels to other nodes, and what carries them
    Tunnels(Ask),
    /// The offload engines: what they carry, and what they do not and why
    Offload(Ask),
    /// Who is where: stations of the networks, and next hops of the underlay
    Neighbours {
        #[command(flatten)]
        ask: Ask,
        /// At most so many stations
        #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=MAX_NEIGHBOURS as i64))]
        limit: u16,
        /// Only those of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        /// Only those behind this port
        #[arg(long, value_name = "NAME")]
        port: Option<String>,
        /// Only those on this peer, or on the way to it
        #[arg(long, value_name = "NAME")]
        peer: Option<String>,
    },
    /// State, take back or list which stations are on which peer
    #[command(subcommand)]
    Endpoint(EndpointVerb),
    /// Why a connection comes through or not: every stage that has a say, from what the running switch decides by
    #[command(after_help = WHY_STATUS)]
    Why {
        #[command(flatten)]
        question: Question,
        #[command(flatten)]
        ask: Ask,
    },
    /// The connections the switch follows, the latest heard of first
    Connections {
        #[command(flatten)]
        ask: Ask,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=MAX_CONNECTIONS as i64))]
        limit: u16,
        /// Only those of this pod or address
        #[arg(long, value_name = "POD")]
        of: Option<String>,
    },
    /// What is attached at the wish of container runtimes
    Attachments {
        #[command(flatten)]
        ask: Ask,
        /// Only those to this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        /// Only those of this pod, NAMESPACE/POD, or of the container whose id begins so
        #[arg(long, value_name = "POD")]
        of: Option<String>,
    },
    /// Which addresses pods have, and how many each network has left
    Addresses {
        #[command(flatten)]
        ask: Ask,
        /// Only those of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
    },
    /// What Kubernetes policies decide and would decide: of the running switch, or from files
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Make three pods, run real traffic between them through a switch, and account for every packet; --nodes 2: an overlay
    Demo(demo::Options),
}

/// What to do with a station on a peer.
#[derive(Subcommand, Debug)]
pub(super) enum EndpointVerb {
    /// State where a station is, until the daemon ends
    Set {
        #[command(flatten)]
        ask: Ask,
        #[command(flatten)]
        which: Which,
        /// An IP address it has; may be given several times
        #[arg(long = "address", value_name = "IP")]
        addresses: Vec<IpAddr>,
        /// The peer it is on
        #[arg(long, value_name = "NAME")]
        peer: String,
    },
    /// Take such a statement back; one of a higher generation stays
    Remove {
        #[command(flatten)]
        ask: Ask,
        #[command(flatten)]
        which: Which,
    },
    /// The statements in force
    List {
        #[command(flatten)]
        ask: Ask,
        /// Only those of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
    },
}

/// What to ask of policies.
#[derive(Subcommand, Debug)]
#[command(after_help = POLICY_HELP)]
pub(super) enum PolicyVerb {
    /// Say all that is wrong with pods, namespaces and policies, by line, and what is probably not meant
    #[command(after_help = "Exit status: 0 the files are good, with warnings or without; 2 they are not.")]
    Check {
        /// Kubernetes YAML; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Apply pods, namespaces and policies to the running switch, all of them or none, until it ends
    #[command(after_help = APPLY_STATUS)]
    Apply {
        /// Kubernetes YAML; what has the name of another takes its place; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Do not wait until they are in force
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        ask: Ask,
    },
    /// Delete pods, namespaces and policies from the running switch, all of them or none
    #[command(after_help = APPLY_STATUS)]
    Delete {
        /// Kubernetes YAML with the objects, of which the kinds and names count; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Do not wait until they are gone
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        ask: Ask,
    },
    /// The policies in force, and how many pods each selects
    #[command(after_help = "Exit status: 0 it was answered; 2 it was not.")]
    List {
        #[command(flatten)]
        ask: Ask,
    },
    /// Say which rule decides a connection and, where it is denied, the smallest rule that would allow it
    #[command(after_help = WHY_STATUS)]
    Why {
        #[command(flatten)]
        question: Question,
        #[command(flatten)]
        state: State,
    },
    /// Say which connections a candidate set of policies would decide otherwise. Nothing is applied
    #[command(
        after_help = "Exit status: 0 nothing changes; 1 something does; 2 the arguments or the files are wrong, or there is no daemon."
    )]
    Test {
        /// Kubernetes YAML with policies to be added, or put in place of those of the same kind and name; - is standard input
        candidate: PathBuf,
        #[command(flatten)]
        state: State,
    },
    /// Have a candidate set of policies judged beside the live ones, on real traffic. Only the live ones decide
    #[command(
        after_help = "Exit status: 0 no connection was decided differently; 1 some were; 2 the arguments or the files are wrong, or there is no daemon."
    )]
    Shadow {
        /// Kubernetes YAML with policies to be added, or put in place of those of the same kind and name; - is standard input
        candidate: PathBuf,
        /// End after so many seconds; else with Ctrl-C
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        seconds: Option<u32>,
        #[command(flatten)]
        ask: Ask,
    },
    /// What policies have denied, by rule
    #[command(after_help = "Exit status: 0 it was answered; 2 it was not.")]
    Denied {
        #[command(flatten)]
        ask: Ask,
        /// At most so many rules
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
        limit: u16,
    },
}

const POLICY_HELP: &str = "Files are what `kubectl get pods,namespaces,networkpolicies -A -o yaml` prints. With --cluster why and test \
    answer from files, and no daemon is asked.";

const APPLY_STATUS: &str = "Exit status: 0 it is in force; 2 nothing is changed, or there is no daemon.";

const WHY_STATUS: &str =
    "Exit status: 0 allowed; 1 denied; 2 it cannot be told, or the arguments or the files are wrong.";

/// Which connection.
#[derive(clap::Args, Debug)]
pub(super) struct Question {
    /// Who opens: NAMESPACE/POD, a pod's name if no other has it, an IP address, or node, the node that TO runs on
    pub(super) from: Opener,
    /// Who is opened to: the same, but for node
    pub(super) to: Party,
    /// tcp/PORT, udp/PORT, sctp/PORT, or icmp; PORT is a number or what TO calls it
    #[arg(value_name = "PROTOCOL/PORT")]
    pub(super) service: Service,
}

/// The pods and policies that there are, and how to answer.
#[derive(clap::Args, Debug)]
pub(super) struct State {
    /// Kubernetes YAML with the pods, namespaces and policies that there are, in place of those of the daemon; - is standard input
    #[arg(long = "cluster", num_args = 1.., value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) ask: Ask,
}

/// Which statement of a station.
#[derive(clap::Args, Debug)]
pub(super) struct Which {
    /// The network
    #[arg(long, value_name = "NAME")]
    pub(super) network: String,
    /// Its MAC address
    #[arg(long, value_name = "MAC")]
    pub(super) mac: MacAddr,
    /// Of two statements of one station the one with the higher number counts
    #[arg(long, value_name = "N")]
    pub(super) generation: u64,
}

/// What every question to the daemon takes.
#[derive(clap::Args, Debug)]
pub(super) struct Ask {
    /// The daemon's socket
    #[arg(long, env = "PODLANE_SOCKET", value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,
    /// Print the answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}
