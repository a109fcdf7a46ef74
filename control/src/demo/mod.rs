//! `podlane demo`: three pods, a switch, real kernel traffic, and an account of all of it.
//!
//! The demo is what a newcomer runs first, so it needs nothing but root: it makes namespaces without
//! names, connects them, starts a [`Switch`], sends TCP, UDP and ICMP through it, and prints what came of
//! it. It promises to leave nothing behind, however it ends, and to say by its exit status whether
//! everything worked: 0 if so, 1 if something failed, 130 if it was interrupted.
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
mod options;
mod pods;
mod report;
mod steps;
mod switch;
mod table;
mod traffic;
mod view;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use podlane_host::HostError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

pub use options::{Options, Seconds, SecondsError};
pub use switch::{Switch, SwitchError, SwitchPlan};

use cores::{Cores, CoresError};
use ground::{Folder, FolderError, Ground};
use keep::KeepError;
use report::{Account, Done, Failure, Measured, Report, StepReport};
use steps::{STEPS, Step, Target, What};
use table::Table;
use traffic::{Bounds, Echo, MeterError, Pair, Tcp, Udp, panic_message};
use view::View;

use crate::paint::Paint;

/// Between two looks at how far a step got.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The exit statuses: everything worked; something failed; Ctrl-C ended it, as a shell would tell.
const OK: u8 = 0;
const FAILED: u8 = 1;
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
    #[error("cannot write to standard output: {0}; check where it goes")]
    Output(#[source] io::Error),
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
    S: FnOnce(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    ExitCode::from(status(options, start))
}

/// The exit status of a demo that is run now.
fn status<S>(options: &Options, start: S) -> u8
where
    S: FnOnce(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    perform(options, start).unwrap_or_else(|error| {
        if options.json {
            // Still one object: who asked for JSON reads nothing else. The error is told below.
            let _ = print(&Report::of_failure(&error), true);
        }
        tell(&error);
        FAILED
    })
}

/// Says on standard error why there is no more to see; nobody is left to tell when that is closed.
fn tell(error: &DemoError) {
    let _ = writeln!(io::stderr(), "podlane demo: {error}");
}

fn perform<S>(options: &Options, start: S) -> Result<u8, DemoError>
where
    S: FnOnce(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    let begun = Instant::now();
    if !geteuid().is_root() {
        return Err(DemoError::NotRoot);
    }
    let cores = Cores::of_this_process(options.core)?;
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

    let mut stage = Stage { ground: &ground, cores: &cores, stop: &stop, view: &mut view };
    let done = stage.play(&STEPS, options.seconds.into());
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
    let report = account.report(&done, cores, begun.elapsed());
    let shown = print(&report, options.json).map_err(DemoError::Output).and_then(|()| match kept {
        Some(switch) => {
            keep::until_told(&ground, socket.as_deref(), options.json, &stop)?;
            Ok(switch.stop()?)
        }
        None => Ok(()),
    });
    // The one JSON object is out: what fails now is told on standard error alone.
    let shown = shown.inspect_err(tell).is_ok();
    Ok(match (interrupted, report.ok && shown) {
        (true, _) => INTERRUPTED,
        (false, true) => OK,
        (false, false) => FAILED,
    })
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
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        let paint = Paint::of(&io::stdout());
        write!(out, "{}", Table { report, paint })?;
    }
    out.flush()
}

/// Where the steps are played.
struct Stage<'a> {
    ground: &'a Ground,
    cores: &'a Cores,
    stop: &'a AtomicBool,
    view: &'a mut View,
}

impl Stage<'_> {
    /// Plays every step, one after the other; a failing one is noted and the next begins.
    fn play(&mut self, steps: &[Step], group: Duration) -> Vec<Done> {
        let mut played = Vec::with_capacity(steps.len());
        for step in steps {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let length = steps::share(steps, step.group(), group);
            let done = Done { step: *step, outcome: self.step(step, length) };
            self.view.ended(&StepReport::of(&done));
            played.push(done);
        }
        played
    }

    /// Plays one step and shows how it goes.
    fn step(&mut self, step: &Step, length: Duration) -> Result<Measured, MeterError> {
        let from = self.ground.place(step.from, self.cores);
        let to = match step.to {
            Target::Pod(pod) => self.ground.place(pod, self.cores),
            // nothing of ours runs at the gateway, so the place is never used
            Target::Gateway => from.clone(),
        };
        let pair = Pair { from, to, target: step.target() };
        let arrived = AtomicU64::new(0);
        let bounds = Bounds { length, stop: self.stop, arrived: &arrived };
        let begun = Instant::now();
        thread::scope(|scope| {
            let waiting = thread::current();
            let measuring = scope.spawn(move || {
                let outcome = measure(step.what, &pair, bounds);
                waiting.unpark();
                outcome
            });
            while !measuring.is_finished() {
                thread::park_timeout(LOOK_EVERY);
                // what is still on its way when the time is over does not lower the rate
                let elapsed = begun.elapsed().min(length).as_secs_f64();
                let rate = arrived.load(Ordering::Relaxed) as f64 / elapsed;
                self.view.moving(step, elapsed / length.as_secs_f64(), rate);
            }
            measuring.join().unwrap_or_else(|panic| {
                Err(MeterError::Panicked { thread: "meter", message: panic_message(panic.as_ref()) })
            })
        })
    }
}

/// Runs the meter of a step.
fn measure(what: What, pair: &Pair, bounds: Bounds<'_>) -> Result<Measured, MeterError> {
    match what {
        What::Echo { pause } => Echo { pause }.measure(pair, bounds).map(Measured::Echo),
        What::Tcp { streams, both } => Tcp { streams, both }.measure(pair, bounds).map(Measured::Tcp),
        What::Udp { payload } => Udp { payload }.measure(pair, bounds).map(Measured::Udp),
    }
}
