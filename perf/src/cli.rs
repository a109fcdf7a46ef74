//! The command line.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use crate::{
    report::Report,
    run::{
        RunError, Terms, cni,
        idle::{self, Plan},
        idle_ports, policy,
        veth::{self, Rival},
        vxlan, vxlan_tcp,
    },
    subject::cni::podlane::Binaries,
};

/// The exit statuses beside success: something failed; Ctrl-C ended it, as a shell would tell.
const FAILED: u8 = 1;
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
    /// Packet rates from veth to veth: the bare cross-connect, Podlane, and others.
    Veth {
        #[command(flatten)]
        common: Common,
        /// Another switch to measure against; skipped by name if it is not installed.
        #[arg(long, value_enum, default_values_t = [Against::Testpmd])]
        against: Vec<Against>,
    },
    /// Packet rates into and out of VXLAN: plain routing, Podlane, and others.
    Vxlan {
        #[command(flatten)]
        common: Common,
        /// Another tunnel to measure against; skipped by name if it is not to be had.
        #[arg(long, value_enum, default_values_t = [AgainstTunnel::Ovs, AgainstTunnel::Kernel])]
        against: Vec<AgainstTunnel>,
    },
    /// Packet rates under stateful policy with 1,000 rules: Podlane, and others.
    Policy {
        #[command(flatten)]
        common: Common,
        /// Another policy to measure against; skipped by name if it is not to be had.
        #[arg(long, value_enum, default_values_t = [AgainstPolicy::Ovs, AgainstPolicy::Nftables])]
        against: Vec<AgainstPolicy>,
    },
    /// A TCP stream from node to node: through two Podlanes, and through the kernel's own overlay.
    VxlanTcp {
        #[command(flatten)]
        common: Common,
    },
    /// How long pods take to come and go by CNI: ours, and the reference's `bridge` with `host-local`.
    Cni {
        #[command(flatten)]
        rounds: Rounds,
        /// ADDs and DELs of each a round, in turns.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        calls: u16,
        /// ADDs at once.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        together: u16,
        /// Pods that are attached already, of the second half.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=4_000))]
        attached: u16,
        /// Our plugin [default: what `cargo shim` built].
        #[arg(long, value_name = "FILE")]
        plugin: Option<PathBuf>,
        /// Our daemon [default: the one beside this program].
        #[arg(long, value_name = "FILE")]
        daemon: Option<PathBuf>,
    },
    /// What silent ports cost a busy pair.
    IdlePorts {
        #[command(flatten)]
        common: Common,
        /// How many silent ports.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4000))]
        ports: u16,
    },
    /// What an idle switch costs, and how late the first packet after silence is.
    Idle {
        #[command(flatten)]
        common: Common,
        /// First packets a round.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        packets: u32,
        /// Silence before each, milliseconds.
        #[arg(long, default_value_t = 200)]
        silence_ms: u64,
    },
}

#[derive(Args, Debug)]
struct Common {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    rounds: Rounds,
}

#[derive(Args, Debug)]
struct Rounds {
    /// How often each thing is measured, in turns with the others.
    #[arg(long = "rounds", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Store the JSON object in this file too.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Against {
    /// DPDK's testpmd, `io` on `net_af_xdp`.
    Testpmd,
    /// Nothing else.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum AgainstTunnel {
    /// Open vSwitch with AF_XDP ports.
    Ovs,
    /// The kernel's `vxlan` device and bridge.
    Kernel,
    /// Nothing else.
    Nothing,
}

impl AgainstTunnel {
    const fn rival(self) -> Option<vxlan::Rival> {
        match self {
            Self::Ovs => Some(vxlan::Rival::Ovs),
            Self::Kernel => Some(vxlan::Rival::Kernel),
            Self::Nothing => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum AgainstPolicy {
    /// Open vSwitch with AF_XDP ports and connection tracking.
    Ovs,
    /// The kernel's bridge with nftables.
    Nftables,
    /// Nothing else.
    Nothing,
}

impl AgainstPolicy {
    const fn rival(self) -> Option<policy::Rival> {
        match self {
            Self::Ovs => Some(policy::Rival::Ovs),
            Self::Nftables => Some(policy::Rival::Nftables),
            Self::Nothing => None,
        }
    }
}

/// Why a length of time was refused.
#[derive(Debug, Error)]
#[error("give a number of seconds between 0.1 and 60")]
struct SecondsError;

fn seconds(text: &str) -> Result<f64, SecondsError> {
    text.parse().ok().filter(|seconds| (0.1..=60.0).contains(seconds)).ok_or(SecondsError)
}

/// Why there is no result.
#[derive(Debug, Error)]
enum CliError {
    #[error("cannot listen for Ctrl-C: {0}; check the limits of this process")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("cannot write {}: {source}; check that its folder is there and writable", .path.display())]
    Store { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output: {0}; check where it goes")]
    Output(#[source] io::Error),
}

/// Does what the command line says.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    match perform(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "podlane-perf: {error}");
            let interrupted = matches!(&error, CliError::Run(error) if error.is_interruption());
            ExitCode::from(if interrupted { INTERRUPTED } else { FAILED })
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
    let terms = |common: &Common| Terms {
        rounds: common.rounds.count,
        length: Duration::from_secs_f64(common.seconds),
        stop: &stop,
        progress: &progress,
    };
    let (report, rounds) = match &cli.command {
        Command::Veth { common, against } => {
            let rivals = against.iter().filter(|against| **against == Against::Testpmd).map(|_| Rival::Testpmd);
            (veth::run(&terms(common), &rivals.collect::<Vec<_>>())?, &common.rounds)
        }
        Command::Vxlan { common, against } => {
            let rivals: Vec<_> = against.iter().filter_map(|against| against.rival()).collect();
            (vxlan::run(&terms(common), &rivals)?, &common.rounds)
        }
        Command::Policy { common, against } => {
            let rivals: Vec<_> = against.iter().filter_map(|against| against.rival()).collect();
            (policy::run(&terms(common), &rivals)?, &common.rounds)
        }
        Command::VxlanTcp { common } => (vxlan_tcp::run(&terms(common))?, &common.rounds),
        Command::Cni { rounds, calls, together, attached, plugin, daemon } => {
            let found = Binaries::found();
            let binaries = Binaries {
                plugin: plugin.clone().unwrap_or(found.plugin),
                daemon: daemon.clone().unwrap_or(found.daemon),
            };
            let plan = cni::Plan { calls: *calls, together: *together, attached: *attached, binaries };
            // What ends by itself has no length.
            let terms = Terms { rounds: rounds.count, length: Duration::ZERO, stop: &stop, progress: &progress };
            (cni::run(&terms, &plan)?, rounds)
        }
        Command::IdlePorts { common, ports } => (idle_ports::run(&terms(common), *ports)?, &common.rounds),
        Command::Idle { common, packets, silence_ms } => {
            let plan = Plan { packets: *packets, silence: Duration::from_millis(*silence_ms) };
            (idle::run(&terms(common), plan)?, &common.rounds)
        }
    };
    if let Some(path) = &rounds.out {
        store(&report, path)?;
    }
    print(&report, rounds.json).map_err(CliError::Output)
}

fn store(report: &Report, path: &Path) -> Result<(), CliError> {
    report.store(path).map_err(|source| CliError::Store { path: path.to_owned(), source })
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    out.flush()
}
