//! The command line: one file a subcommand, each with its arguments and what becomes of them.
//!
//! A subcommand is one more file here, and one line in the roster below. It is told when Ctrl-C was pressed and has to end by itself then.

mod cni;
mod compare;
mod deliver;
mod idle;
mod idle_ports;
mod looped;
mod packets;
mod receive;
mod report;
mod rfc2544;
mod send;
mod terms;
mod told;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use crate::{
    generator::Verdict,
    picture::PictureError,
    rfc2544::{device::TrialError, verdict},
    run::RunError,
};

/// The exit statuses beside success: something failed; the device under test is at fault; Ctrl-C ended it, as a shell would tell.
const FAILED: u8 = 1;
const REFUTED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// Measures Podlane, in network namespaces of its own, side by side with others.
#[derive(Parser, Debug)]
#[command(name = "podlane-perf", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The same workloads for Podlane and for other switches, side by side on the same veths.
    Compare(compare::Arguments),
    /// Sends packets out of one netdev.
    Send(send::Arguments),
    /// Receives packets of `send` on a netdev, and tells what became of them.
    Receive(receive::Arguments),
    /// Sends packets through a device under test, receives them, and tells what became of them.
    Loop(looped::Arguments),
    /// How long pods take to come and go by CNI: ours, and the reference's `bridge` with `host-local`.
    Cni(cni::Arguments),
    /// What silent ports cost a busy pair.
    IdlePorts(idle_ports::Arguments),
    /// What an idle switch costs, and how late the first packet after silence is.
    Idle(idle::Arguments),
    /// Makes the report and its pictures of the stored results.
    Report(report::Arguments),
    /// Throughput, latency, loss and bursts of any device between two netdevs, after RFC 2544; learning after RFC 2889; a ramp of flows.
    Rfc2544(Box<rfc2544::Arguments>),
}

/// What every subcommand is given beside its arguments.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    /// Set by Ctrl-C.
    stop: &'a AtomicBool,
    /// Told what is being done, for whoever waits.
    progress: &'a (dyn Fn(&str) + Sync),
}

/// Why there is no result.
#[derive(Debug, Error)]
enum CliError {
    #[error("cannot listen for Ctrl-C: {0}; check the limits of this process")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Generate(#[from] told::GenerateError),
    /// All has been told; what is left is the exit status.
    #[error("the verdict is {0:?}")]
    Verdict(Verdict),
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("podlane could not be measured: {0}; what else was found is told above")]
    Unmeasured(String),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Refuted(#[from] verdict::Verdict),
    #[error("cannot write {}: {source}; check that its folder is there and writable", .path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}; check where it goes")]
    Output(#[source] io::Error),
}

impl CliError {
    /// The exit status that tells it.
    const fn status(&self) -> u8 {
        match self {
            Self::Verdict(verdict) => verdict.exit_status(),
            Self::Run(error) if error.is_interruption() => INTERRUPTED,
            Self::Trial(TrialError::Interrupted) => INTERRUPTED,
            Self::Refuted(_) => REFUTED,
            _ => FAILED,
        }
    }
}

/// Does what the command line says.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    match perform(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Verdict(_)) {
                // Nobody is left to tell when standard error is closed.
                let _ = writeln!(io::stderr(), "podlane-perf: {error}");
            }
            ExitCode::from(error.status())
        }
    }
}

fn perform(cli: &Cli) -> Result<(), CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(CliError::Signals)?;
    }
    let progress = |line: &str| {
        let _ = writeln!(io::stderr(), "{line}");
    };
    let around = &Surroundings { stop: &stop, progress: &progress };
    match &cli.command {
        Command::Compare(arguments) => arguments.perform(around),
        Command::Send(arguments) => arguments.perform(around),
        Command::Receive(arguments) => arguments.perform(around),
        Command::Loop(arguments) => arguments.perform(around),
        Command::Cni(arguments) => arguments.perform(around),
        Command::IdlePorts(arguments) => arguments.perform(around),
        Command::Idle(arguments) => arguments.perform(around),
        Command::Report(arguments) => arguments.perform(),
        Command::Rfc2544(arguments) => arguments.perform(around),
    }
}
