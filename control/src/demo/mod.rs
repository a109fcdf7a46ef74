//! `podlane demo`: three pods, a switch, real kernel traffic, and an account of all of it.
//!
//! The demo is what a newcomer runs first, so it needs nothing but root: it makes namespaces without
//! names, connects them, starts a [`Switch`], sends TCP, UDP and ICMP through it, has it hold to a policy, and prints what came of
//! it. It promises to leave nothing behind, however it ends, and to say by its exit status whether
//! everything worked: 0 if so, 1 if something failed, 2 if it was asked for what there is not, 130 if it was interrupted.
//!
//! ```text
//!   red eth0        green eth0        blue eth0         each in a namespace of its own
//!      |                |                 |
//!   pod-red         pod-green          pod-blue         all in the switch's namespace,
//!      +----- near -----+------ far ------+             and so is the calling thread
//! ```

mod cores;
mod ground;
mod keep;
mod nodes;
mod options;
mod pods;
mod policy;
mod report;
mod stage;
mod steps;
mod switch;
mod table;
mod traffic;
mod view;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use podlane_host::HostError;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

pub use options::{Nodes, NodesError, Options, Seconds, SecondsError};
pub use switch::{Switch, SwitchError, SwitchPlan};

use cores::{Cores, CoresError};
use ground::{Folder, FolderError, Ground};
use keep::KeepError;
use policy::Scene;
use report::{Account, Done, Failure, Report};
use stage::Stage;
use steps::{STEPS, Step, Target};
use table::Table;
use traffic::{MeterError, Pair};
use view::View;

use crate::paint::Paint;

/// The exit statuses: everything worked; something failed; the arguments are wrong; Ctrl-C ended it, as a shell would tell.
const OK: u8 = 0;
const FAILED: u8 = 1;
const WRONG: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Why a demo could not begin, or not be kept.
#[derive(Debug, Error)]
enum DemoError {
    #[error("podlane demo needs root, to make network namespaces and AF_XDP sockets: run it with sudo")]
    NotRoot,
    #[error(transparent)]
    Cores(#[from] CoresError),
    #[error("cannot listen for Ctrl-C: {0}; check the limits of this process")]
    Signals(#[source] io::Error),
    #[error("cannot make the pods: {0}")]
    Pods(#[from] HostError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error("cannot keep the demo: {0}")]
    Keep(#[from] KeepError),
    #[error("the host's own connection over the underlay, before any switch: {0}")]
    Host(#[source] MeterError),
    #[error("cannot write to standard output: {0}; check where it goes")]
    Output(#[source] io::Error),
}

impl DemoError {
    /// The exit status that goes with it.
    fn status(&self) -> u8 {
        match self {
            Self::Cores(CoresError::Unusable { .. }) => WRONG,
            _ => FAILED,
        }
    }
}

/// Runs the demo from beginning to end.
///
/// `start` comes back once every port is attached and forwards; threads that it starts are born in the
/// namespace that the ports' devices are in.
///
/// Moves the calling thread, which should be the process's first, into a network namespace of its own
/// and leaves it there: call this last. A panic of the switch or of the demo unwinds through this
/// function and takes everything down on its way.
pub fn run<S>(options: &Options, start: S) -> ExitCode
where
    S: Fn(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    ExitCode::from(status(options, start))
}

/// The exit status of a demo that is run now.
fn status<S>(options: &Options, start: S) -> u8
where
    S: Fn(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    let ended = match options.nodes {
        Nodes::One => perform(options, start),
        Nodes::Two => nodes::perform(options, start),
    };
    ended.unwrap_or_else(|error| {
        if options.json {
            // Still one object: who asked for JSON reads nothing else. The error is told below.
            let _ = print_json(&Report::of_failure(&error));
        }
        tell(&error);
        error.status()
    })
}

/// Says on standard error why there is no more to see; nobody is left to tell when that is closed.
fn tell(error: &DemoError) {
    let _ = writeln!(io::stderr(), "podlane demo: {error}");
}

fn perform<S>(options: &Options, start: S) -> Result<u8, DemoError>
where
    S: Fn(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    let begun = Instant::now();
    let cores = Cores::of_this_process(options.core)?;
    if !geteuid().is_root() {
        return Err(DemoError::NotRoot);
    }
    let stop = watch_signals()?;
    let mut view = View::on_stderr();

    // What is made later goes first, also when a panic unwinds: the switch before its ground.
    let ground = Ground::lay()?;
    let folder = options.keep.then(Folder::make).transpose()?;
    view.say("three pods made, each in a network namespace of its own");
    let socket = folder.as_ref().map(Folder::socket);
    let config = pods::configuration(cores.switch, process::id(), socket.as_deref());
    let switch = start(SwitchPlan { config, socket: socket.clone() })?;
    view.say(&started(&cores));

    let mut stage = Stage { stop: &stop, view: &mut view };
    let done = play(&mut stage, &ground, &cores, options.seconds.into());
    let policy = Scene { stage: &mut stage, ground: &ground, cores: &cores, switch: switch.as_ref() }.play();
    let interrupted = stop.load(Ordering::Relaxed);
    let mut account = Account::of(switch.as_ref());
    if interrupted {
        account.failures.push(Failure::Interrupted);
    }
    let kept = if options.keep && !interrupted {
        Some(switch)
    } else {
        account.failures.extend(switch.stop().err().map(Failure::Switch));
        None
    };
    let mut report = account.report(&done, policy, cores).after(begun.elapsed());
    report.interrupted = interrupted.then_some(STEPS.len());
    let shown = print(&report, options.json).map_err(DemoError::Output).and_then(|()| match kept {
        Some(switch) => {
            keep::until_told(&ground, socket.as_deref(), options.json, &stop)?;
            Ok(switch.stop()?)
        }
        None => Ok(()),
    });
    // The one JSON object is out: what fails now is told on standard error alone.
    let shown = shown.inspect_err(tell).is_ok();
    Ok(verdict(interrupted, report.ok && shown))
}

/// The exit status of a demo that ran.
fn verdict(interrupted: bool, ok: bool) -> u8 {
    match (interrupted, ok) {
        (true, _) => INTERRUPTED,
        (false, true) => OK,
        (false, false) => FAILED,
    }
}

/// Plays every step, one after the other; a failing one is noted and the next begins.
fn play(stage: &mut Stage<'_>, ground: &Ground, cores: &Cores, group: Duration) -> Vec<Done> {
    let mut played = Vec::with_capacity(STEPS.len());
    for step in STEPS {
        if stage.is_over() {
            break;
        }
        let length = steps::share(&STEPS, step.group(), group);
        let outcome = stage.play(&step.heading(), &pair(&step, ground, cores), length);
        played.push(Done { step, outcome });
    }
    played
}

/// Where the two ends of a step run.
fn pair(step: &Step, ground: &Ground, cores: &Cores) -> Pair {
    let from = ground.place(step.from, cores);
    let to = match step.to {
        Target::Pod(pod) => ground.place(pod, cores),
        // nothing of ours runs at the gateway, so the place is never used
        Target::Gateway => from.clone(),
    };
    Pair { from, to, target: step.target() }
}

/// A flag that Ctrl-C, a termination and a closed terminal set, instead of ending the process.
fn watch_signals() -> Result<Arc<AtomicBool>, DemoError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(DemoError::Signals)?;
    }
    Ok(stop)
}

/// The line that tells where everything runs.
fn started(cores: &Cores) -> String {
    if cores.shared {
        return format!(
            "switch started on core {0}, the only one: switch and load share it, which slows both",
            cores.switch
        );
    }
    format!("switch started on core {}; load runs on {:?}", cores.switch, cores.load)
}

/// Writes the report to standard output, as one JSON object or as the table.
fn print(report: &Report, json: bool) -> io::Result<()> {
    if json {
        return print_json(report);
    }
    print_text(&Table { report, paint: Paint::of(&io::stdout()) })
}

fn print_json(report: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    writeln!(out)?;
    out.flush()
}

fn print_text(text: &impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()
}
