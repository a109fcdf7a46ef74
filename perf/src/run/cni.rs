//! `podlane-perf cni`: what a container runtime waits for when pods come and go, ours in turns with the reference plugins.
//!
//! A round is so many ADDs and DELs of each, one of them after one of the others, and then many ADDs at once; and all of it once more in
//! memory that the machine has. It is measured on hosts that are empty, and again on hosts with many pods attached.

mod calls;
mod memory;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::{calls::Calls, memory::Memory};
use crate::{
    cores::Cores,
    load::LoadError,
    machine::Origin,
    report::Report,
    run::{RunError, Terms, allow_pods},
    series::{Check, Series, Target},
    subject::{
        SubjectError,
        cni::{
            Plugin, Pod, bridge,
            podlane::{self, Binaries},
        },
    },
};

/// Of the reference's time, what an ADD and a DEL may take.
const OF_ADD: Target = Target::AtMost(0.6);
const OF_DEL: Target = Target::AtMost(0.25);
/// How much faster many ADDs at once are to be.
const TOGETHER: Target = Target::AtLeast(1.5);
/// How much longer anything may take with many pods attached.
const BESIDE: Target = Target::AtMost(1.3);
/// What the kernel takes at most to take away one of many links or namespaces.
const TAKEN_AWAY: Duration = Duration::from_millis(5);
/// What the plugin itself may take, ms and MB.
const OWN_START: Target = Target::AtMost(2.0);
const OWN_SIZE: Target = Target::AtMost(1.0);

const NOTES: &[&str] = &[
    "Pods have no IPv6 here: what their kernels say by it when a link comes up is copied to all other pods, by the bridge as by us.",
    "Each call is timed from before the plugin's process is started until it has ended. p50 and p99 are of one round's calls.",
    "A DEL of the reference ends when its link is gone. Ours is answered when the pod can neither be heard nor reached and the journal says so; \
     the kernel takes its time to delete a link, and \"link gone\" is until then.",
    "\"Memory resident\": right before, as much memory as is needed was written to and freed. Without it, a guest whose free memory was given back to \
     its host (free page reporting) pays for getting it again, the most where the kernel allocates the most.",
    "The namespaces of pods that went are kept until their round is over: the kernel would take them away under the lock of all links, in the middle of \
     whoever's call is next.",
    "Ours writes durably before each answer, to a journal in /var/tmp; the reference's host-local writes its leases there without waiting for the disk.",
];

/// What is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// ADDs and DELs a round, one after the other.
    pub calls: u16,
    /// ADDs at once.
    pub together: u16,
    /// Pods that are attached beforehand, of the second half.
    pub attached: u16,
    /// What is executed of ours.
    pub binaries: Binaries,
}

/// Measures and compares.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, plan: &Plan) -> Result<Report, RunError> {
    let origin = Origin::here();
    let cores = Cores::of_this_process()?;
    allow_pods(2 * (plan.attached + plan.together + plan.calls))?;
    let mut ours = Entrant::new("podlane", podlane::start(&plan.binaries, cores))?;
    let mut theirs = Entrant::new("bridge + host-local", bridge::start())?;
    let mut own = vec![ours.start_time(plan.calls)?, ours.size()?];
    ours.with(podlane::wait_until_ready)?;
    for beside in [0, plan.attached] {
        for entrant in [&mut ours, &mut theirs] {
            (terms.progress)(&format!("attaching {beside} pods: {}", entrant.name));
            entrant.attach(beside, terms)?;
        }
        for round in 1..=terms.rounds {
            for memory in Memory::BOTH {
                let suffix = memory.suffix();
                (terms.progress)(&format!("round {round} of {} beside {beside} pods{suffix}", terms.rounds));
                measure([&mut ours, &mut theirs], plan, memory, terms)?;
            }
        }
        for entrant in [&mut ours, &mut theirs] {
            entrant.turn_page();
        }
    }
    for entrant in [&mut ours, &mut theirs] {
        (terms.progress)(&format!("detaching all pods: {}", entrant.name));
        entrant.detach_all()?;
    }
    let checks = checks(&ours, &theirs, plan, &own);
    let mut series: Vec<_> = [&ours, &theirs].into_iter().flat_map(|entrant| entrant.series(plan)).collect();
    series.append(&mut own);
    let title = "Pods that come and go by CNI, one interface each";
    Ok(Report { series, checks, ..Report::new(title, origin, terms.rounds) }.noted(NOTES))
}

/// What is told of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Figure {
    AddMedian,
    AddTail,
    DelMedian,
    DelTail,
    GoneMedian,
    Together,
}

impl Figure {
    const ALL: [Self; 6] =
        [Self::AddMedian, Self::AddTail, Self::DelMedian, Self::DelTail, Self::GoneMedian, Self::Together];

    fn name(self, plan: &Plan) -> String {
        match self {
            Self::AddMedian => "ADD p50".to_owned(),
            Self::AddTail => "ADD p99".to_owned(),
            Self::DelMedian => "DEL p50".to_owned(),
            Self::DelTail => "DEL p99".to_owned(),
            Self::GoneMedian => "DEL and link gone p50".to_owned(),
            Self::Together => format!("{} ADDs at once", plan.together),
        }
    }
}

/// One number a round for each of [`Figure::ALL`].
type Sheet = [Vec<f64>; Figure::ALL.len()];

/// A sheet for each of [`Memory::BOTH`].
type Sheets = [Sheet; Memory::BOTH.len()];

/// Under what circumstances something is measured.
#[derive(Clone, Copy)]
struct Case {
    /// Whether many pods are attached.
    crowded: bool,
    memory: Memory,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|crowded| Memory::BOTH.map(|memory| Self { crowded, memory }))
    }

    fn suffix(self, plan: &Plan) -> String {
        let beside = if self.crowded { format!(" beside {} pods", plan.attached) } else { String::new() };
        beside + self.memory.suffix()
    }
}

/// Somebody who is measured, as long as nothing goes wrong.
struct Entrant {
    name: &'static str,
    /// Or why it is out.
    plugin: Result<Plugin, SubjectError>,
    attached: Vec<Pod>,
    now: Sheets,
    /// Those with fewer pods attached.
    before: Vec<Sheets>,
}

impl Entrant {
    fn new(name: &'static str, started: Result<Plugin, SubjectError>) -> Result<Self, RunError> {
        let plugin = match started {
            Err(error) if !error.is_a_reason_to_skip() => return Err(error.into()),
            started => started,
        };
        Ok(Self { name, plugin, attached: Vec::new(), now: Sheets::default(), before: Vec::new() })
    }

    /// Does something with the plugin; one that cannot is out.
    fn with<T>(&mut self, work: impl FnOnce(&Plugin) -> Result<T, SubjectError>) -> Result<Option<T>, RunError> {
        let Ok(plugin) = &self.plugin else { return Ok(None) };
        match work(plugin) {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.is_a_reason_to_skip() => {
                self.plugin = Err(error);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn note(&mut self, memory: Memory, figure: Figure, milliseconds: f64) {
        self.now[memory as usize][figure as usize].push(milliseconds);
    }

    fn turn_page(&mut self) {
        self.before.push(std::mem::take(&mut self.now));
    }

    fn attach(&mut self, count: u16, terms: &Terms<'_>) -> Result<(), RunError> {
        for number in 0..count {
            let pod = Pod::new(&format!("stays-{number}"))?;
            if self.with(|plugin| plugin.call("ADD", &pod))?.is_none() {
                return Ok(());
            }
            self.attached.push(pod);
            interrupted(terms)?;
        }
        Ok(())
    }

    fn detach_all(&mut self) -> Result<(), RunError> {
        let pods = std::mem::take(&mut self.attached);
        for pod in &pods {
            self.with(|plugin| plugin.call("DEL", pod))?;
        }
        Ok(())
    }

    fn start_time(&mut self, calls: u16) -> Result<Series, RunError> {
        let name = "podlane-cni, VERSION";
        let took = self.with(|plugin| (0..calls).map(|_| Ok(ms(plugin.ask("VERSION")?.took))).collect())?;
        Ok(took.map_or_else(|| self.skipped(name, "ms"), |took| Series::new(name, "ms", took)))
    }

    fn size(&mut self) -> Result<Series, RunError> {
        let name = "podlane-cni, size";
        let bytes = self.with(Plugin::bytes)?;
        Ok(bytes.map_or_else(|| self.skipped(name, "MB"), |bytes| Series::new(name, "MB", vec![bytes as f64 / 1e6])))
    }

    fn skipped(&self, name: impl Into<String>, unit: &'static str) -> Series {
        Series::skipped(name, unit, self.plugin.as_ref().err().map(ToString::to_string).unwrap_or_default())
    }

    fn figure(&self, figure: Figure, case: Case, plan: &Plan) -> Series {
        let name = format!("{}, {}{}", self.name, figure.name(plan), case.suffix(plan));
        match &self.plugin {
            Err(_) => self.skipped(name, "ms"),
            Ok(_) => {
                let sheets = &self.before[usize::from(case.crowded)];
                Series::new(name, "ms", sheets[case.memory as usize][figure as usize].clone())
            }
        }
    }

    fn series(&self, plan: &Plan) -> Vec<Series> {
        let pages = Case::all().flat_map(|case| Figure::ALL.map(|figure| (case, figure)));
        pages.map(|(case, figure)| self.figure(figure, case, plan)).collect()
    }
}

/// One round of all.
fn measure(mut entrants: [&mut Entrant; 2], plan: &Plan, memory: Memory, terms: &Terms<'_>) -> Result<(), RunError> {
    let (mut took, mut gone) = ([Calls::default(), Calls::default()], Vec::new());
    memory.prepare(plan.together);
    for number in 0..plan.calls {
        for (entrant, calls) in entrants.iter_mut().zip(&mut took) {
            let pod = Pod::new(&format!("call-{number}"))?;
            if let Some(times) = entrant.with(|plugin| one(plugin, &pod))? {
                calls.push(times);
            }
            gone.push(pod);
            interrupted(terms)?;
        }
    }
    for (entrant, calls) in entrants.into_iter().zip(took) {
        calls.sum_up().for_each(|(figure, took)| entrant.note(memory, figure, took));
        let pods: Vec<_> =
            (0..plan.together).map(|number| Pod::new(&format!("together-{number}"))).collect::<Result<_, _>>()?;
        memory.prepare(plan.together);
        if let Some(took) = entrant.with(|plugin| plugin.call_together("ADD", &pods))? {
            entrant.note(memory, Figure::Together, ms(took));
        }
        // One after the other: what was added before one that failed goes, too.
        for pod in &pods {
            entrant.with(|plugin| plugin.call("DEL", pod))?;
        }
        settle(pods.len());
        gone.extend(pods);
        interrupted(terms)?;
    }
    let namespaces = gone.len();
    drop(gone);
    settle(namespaces);
    Ok(())
}

/// Lets the kernel take away so many links or namespaces, which it does under the lock of all links: whoever is measured next would wait for it.
fn settle(many: usize) {
    std::thread::sleep(TAKEN_AWAY * u32::try_from(many).unwrap_or(u32::MAX));
}

/// An ADD and its DEL: how long each took, and how long until the link was gone.
fn one(plugin: &Plugin, pod: &Pod) -> Result<[Duration; 3], SubjectError> {
    let added = plugin.call("ADD", pod)?;
    let began = Instant::now();
    let deleted = plugin.call("DEL", pod)?;
    if let Some(link) = added.host_link() {
        plugin.wait_until_gone(&link)?;
    }
    Ok([added.took, deleted.took, began.elapsed()])
}

fn checks(ours: &Entrant, theirs: &Entrant, plan: &Plan, own: &[Series]) -> Vec<Check> {
    let mut checks = Vec::new();
    for case in Case::all() {
        for (figure, target) in [
            (Figure::AddMedian, OF_ADD),
            (Figure::AddTail, OF_ADD),
            (Figure::DelMedian, OF_DEL),
            (Figure::DelTail, OF_DEL),
            (Figure::Together, TOGETHER),
        ] {
            let [mine, reference] = [ours, theirs].map(|entrant| entrant.figure(figure, case, plan));
            let name = format!("{}{}", figure.name(plan), case.suffix(plan));
            checks.push(match figure {
                Figure::Together => Check::ratio(&format!("bridge / podlane, {name}"), &reference, &mine, target),
                _ => Check::ratio(&format!("podlane / bridge, {name}"), &mine, &reference, target),
            });
        }
    }
    for memory in Memory::BOTH {
        for figure in Figure::ALL.into_iter().filter(|figure| *figure != Figure::GoneMedian) {
            let [alone, beside] = [false, true].map(|crowded| ours.figure(figure, Case { crowded, memory }, plan));
            let (figure, suffix) = (figure.name(plan), memory.suffix());
            let name = format!("podlane, {figure} beside {} pods / alone{suffix}", plan.attached);
            checks.push(Check::ratio(&name, &beside, &alone, BESIDE));
        }
    }
    let held = own.iter().zip([OWN_START, OWN_SIZE]);
    checks.extend(held.map(|(series, target)| Check::new(series.clone(), target)));
    checks
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn interrupted(terms: &Terms<'_>) -> Result<(), RunError> {
    if terms.stop.load(Ordering::Relaxed) { Err(LoadError::Interrupted.into()) } else { Ok(()) }
}
