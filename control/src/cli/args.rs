//! What the command line takes.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use podlane_api::{DEFAULT_SOCKET, MAX_FLOWS};

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
    /// Make three pods, run real traffic between them through a switch, and account for every packet
    Demo(demo::Options),
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
