//! `podlane demo --nodes 2`: two nodes and a plain Linux kernel on one underlay, and pods on all three that reach each other.
//!
//! Each node is a namespace with a switch of its own, both in this process, as two daemons would be on two machines. The
//! third machine knows nothing of Podlane: its kernel's `vxlan` device and bridge are the proof that what the switches put on the
//! wire is VXLAN. It promises what the demo of one node promises: to leave nothing behind, and an exit status that tells.

mod cast;
mod cores;
mod ground;
mod keep;
mod report;
mod steps;
mod table;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use podlane_host::HostError;

use cast::{Node, POD_MTU, Pod, UNDERLAY_MTU};
use cores::NodeCores;
use ground::Ground;
use report::{HostReport, NodesReport, Played, TooLargeReport};
use steps::{Step, share};
use table::NodesTable;

use super::ground::Folder;
use super::pods::Family;
use super::report::{Account, Failure};
use super::stage::Stage;
use super::steps::BOTH_WAYS;
use super::traffic::{Lifeline, MeterError, Pair, TooLarge};
use super::view::View;
use super::{DemoError, Options, Switch, SwitchError, SwitchPlan};
use super::{print_json, print_text, tell, verdict, watch_signals};
use crate::paint::Paint;

/// Whom a pod sends more than the path carries, and how: within the network, to the other network, to the plain kernel.
const PROBES: [(Pod, Pod, Family); 5] = [
    (Pod::Red, Pod::Blue, Family::V4),
    (Pod::Red, Pod::Blue, Family::V6),
    (Pod::Green, Pod::Blue, Family::V4),
    (Pod::Green, Pod::Blue, Family::V6),
    (Pod::Red, Pod::Gray, Family::V4),
];

/// Runs the demo of two nodes from beginning to end, and returns its exit status.
pub(super) fn perform<S>(options: &Options, start: S) -> Result<u8, DemoError>
where
    S: Fn(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    let begun = Instant::now();
    let cores = NodeCores::of_this_process(options.core)?;
    if !geteuid().is_root() {
        return Err(DemoError::NotRoot);
    }
    let stop = watch_signals()?;
    let mut view = View::on_stderr();

    // What is made later goes first, also when a panic unwinds: the switches before their ground.
    let ground = Ground::lay()?;
    let folder = options.keep.then(Folder::make).transpose()?;
    let sockets: Vec<PathBuf> =
        folder.iter().flat_map(|folder| Node::SWITCHES.map(|node| folder.socket_of(node.name()))).collect();
    view.say("two nodes and a plain Linux kernel made, each in a network namespace of its own, with four pods");
    let lifelines = Lifelines::open(&ground).map_err(DemoError::Host)?;
    let switches = start_all(start, &ground, &cores, &sockets)?;
    view.say(&format!("started: {}", cores.words()));

    let mut played = Scene { ground: &ground, cores: &cores, stage: Stage { stop: &stop, view: &mut view } }
        .play(options.seconds.into());
    played.host = lifelines.end();
    let interrupted = stop.load(Ordering::Relaxed);
    let mut accounts: Vec<Account> = switches.iter().map(|switch| Account::of(switch.as_ref())).collect();
    let others = Vec::from_iter(interrupted.then_some(Failure::Interrupted));
    let kept = if options.keep && !interrupted {
        switches
    } else {
        stop_all(switches, &mut accounts);
        Vec::new()
    };
    let mut report = NodesReport::new(played, accounts, &others, cores).after(begun.elapsed());
    report.interrupted = interrupted.then(|| steps::steps().len());
    let shown = print(&report, options.json).map_err(DemoError::Output).and_then(|()| {
        if !kept.is_empty() {
            keep::until_told(&ground, &sockets, options.json, &stop)?;
        }
        kept.into_iter().try_for_each(Switch::stop).map_err(DemoError::Switch)
    });
    // The one JSON object is out: what fails now is told on standard error alone.
    let shown = shown.inspect_err(tell).is_ok();
    Ok(verdict(interrupted, report.ok && shown))
}

/// Starts the switch of each node, in its namespace. The calling thread stays in the last one's.
fn start_all<S>(
    start: S,
    ground: &Ground,
    cores: &NodeCores,
    sockets: &[PathBuf],
) -> Result<Vec<Box<dyn Switch>>, DemoError>
where
    S: Fn(SwitchPlan) -> Result<Box<dyn Switch>, SwitchError>,
{
    let mut switches = Vec::new();
    for (at, node) in Node::SWITCHES.into_iter().enumerate() {
        ground.machine(node).enter().map_err(HostError::from)?;
        let socket = sockets.get(at).cloned();
        let config = cast::configuration(node, cores.switches[at], process::id(), socket.as_deref());
        switches.push(start(SwitchPlan { config, socket })?);
    }
    Ok(switches)
}

/// Stops each, and notes with each what went wrong.
fn stop_all(switches: Vec<Box<dyn Switch>>, accounts: &mut [Account]) {
    for (switch, account) in switches.into_iter().zip(accounts) {
        account.failures.extend(switch.stop().err().map(Failure::Switch));
    }
}

fn print(report: &NodesReport, json: bool) -> io::Result<()> {
    if json {
        return print_json(report);
    }
    print_text(&NodesTable { report, paint: Paint::of(&io::stdout()) })
}

/// The hosts' own connections: from the plain kernel to each node with a switch, in both families.
struct Lifelines(Vec<(Node, Family, Lifeline)>);

impl Lifelines {
    fn open(ground: &Ground) -> Result<Self, MeterError> {
        let here = ground.machine(Node::Linux);
        let mut open = Vec::new();
        for node in Node::SWITCHES {
            for family in [Family::V4, Family::V6] {
                let lifeline = Lifeline::open(&here, &ground.machine(node), node.address(family))?;
                open.push((node, family, lifeline));
            }
        }
        Ok(Self(open))
    }

    fn end(self) -> Vec<HostReport> {
        self.0.into_iter().map(|(node, family, lifeline)| HostReport::of(node, family, lifeline.end())).collect()
    }
}

/// What is played, and where.
struct Scene<'a> {
    ground: &'a Ground,
    cores: &'a NodeCores,
    stage: Stage<'a>,
}

impl Scene<'_> {
    /// Plays every step, then the probes; a failing one is noted and the next begins.
    fn play(mut self, group: Duration) -> Played {
        let mut played = Played::default();
        let steps = steps::steps();
        for step in &steps {
            if self.stage.is_over() {
                return played;
            }
            let length = share(&steps, step.what.group(), group);
            let outcome = self.stage.play(&step.heading(), &self.pair(step), length);
            played.steps.push((*step, outcome));
        }
        played.too_large = self.probe();
        played
    }

    /// Has pods that were told of no MTU send what their own link takes.
    fn probe(&mut self) -> Vec<TooLargeReport> {
        let mut reports = Vec::new();
        for (from, to, family) in PROBES {
            if self.stage.is_over() {
                break;
            }
            let probe = Step { from, to, family, what: BOTH_WAYS };
            let outcome = self.too_large(&probe);
            reports.push(TooLargeReport::of(&probe, outcome));
        }
        reports
    }

    fn too_large(&self, probe: &Step) -> Result<u32, MeterError> {
        let set = |mtu| self.ground.set_mtu(probe.from, mtu).map_err(|source| MeterError::Mtu { mtu, source });
        set(UNDERLAY_MTU)?;
        let told = TooLarge { packet: UNDERLAY_MTU as usize }.measure(&self.pair(probe));
        set(POD_MTU)?;
        told
    }

    /// Where the two ends of a step run.
    fn pair(&self, step: &Step) -> Pair {
        let place = |pod| self.ground.place(pod, self.cores);
        Pair { from: place(step.from), to: place(step.to), target: step.target() }
    }
}
