//! What the command line takes.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use podlane_api::{DEFAULT_SOCKET, MAX_FLOWS, MAX_NEIGHBOURS, MacAddr};

use super::log::LogArgs;
use crate::demo;

/// A userspace packet switch for containers
#[derive(Parser, Debug)]
#[command(name = "podlane", version, propagate_version = true, after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

const EXIT_CODES: &str = "Exit status: 0 it worked; 1 it did not; 2 the arguments or the configuration are wrong.";

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
    /// Make three pods, run real traffic between them through a switch, and account for every packet
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
    /// Print the daemon's answer as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}
