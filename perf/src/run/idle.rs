//! `podlane-perf idle`: what a switch without traffic costs, and how late its first packet is.
//!
//! The same worker is measured sleeping and spinning, in turns; the first packet's lateness is what sleeping adds. Sleep
//! is tried for after each silence, so silences are longer than any spin. The sleeping one is measured twice: with its core
//! free to halt, and kept awake; and beside it a bare thread, whose wake-up is what no way of sleeping can avoid.

use std::{
    fs,
    num::NonZero,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use podlane_dataplane::worker::idle::Poll;
use podlane_host::{WakeLatency, WakeLatencyError, WakeLimit};

use crate::{
    bed::{Bed, Shape},
    cores::{self, Cores},
    load::{LoadError, pause, probe::Probe, traffic::Traffic},
    machine::Origin,
    report::Report,
    run::{RunError, Terms},
    series::{Check, Series, Target},
    subject::{
        Duty,
        podlane::{attach_pair, tables},
        sleeper::Sleeper,
        switch::{FRAMES, Switch},
    },
};

/// Of a core, what an idle worker is to use at most, per cent.
const CPU: Target = Target::AtMost(2.0);

/// How late the first packet may be, microseconds.
const LATE: Target = Target::AtMost(100.0);

/// The worker's thread, as the crew names it.
const WORKER: &str = "podlane-w0";

/// What is told of latencies.
const QUANTILES: [&str; 3] = [MIDDLE, RARE, "max"];

/// The one of them that noise moves least.
const MIDDLE: &str = "p50";

/// The one that takes this many packets a round: of fewer it is the maximum under another name.
const RARE: &str = "p99";
const FOR_RARE: u32 = 100;

/// The longest latency that is told apart, nanoseconds: more than the probe waits.
const LONGEST_NS: u64 = 1_000_000_000;

/// What to try.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// First packets a round.
    pub packets: u32,
    /// Silence before each.
    pub silence: Duration,
}

/// What waits for something to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiter {
    /// A worker, for a packet.
    Worker(Poll),
    /// A bare thread, for an event.
    Thread,
}

/// One thing that is measured in turns with the others.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    waiter: Waiter,
    /// Whether the switch's core is kept from halting meanwhile.
    awake: bool,
}

const ADAPTIVE: Way = Way { name: "adaptive", waiter: Waiter::Worker(Poll::Adaptive), awake: false };
const KEPT_AWAKE: Way = Way { name: "kept awake", awake: true, ..ADAPTIVE };
const BUSY: Way = Way { name: "busy", waiter: Waiter::Worker(Poll::Busy), awake: false };
const THREAD: Way = Way { name: "bare thread", waiter: Waiter::Thread, awake: false };
const THREAD_KEPT_AWAKE: Way = Way { name: "bare thread, kept awake", awake: true, ..THREAD };

/// In the order of [`Found`].
const WAYS: [Way; 5] = [ADAPTIVE, KEPT_AWAKE, BUSY, THREAD, THREAD_KEPT_AWAKE];

/// What one round found of one way.
struct Round {
    /// Per cent of a core, of a worker that sleeps.
    cpu: f64,
    /// Microseconds, of each first packet or event: half, 99 in 100, all were faster.
    latency: [f64; 3],
}

/// The rounds of one way, or why there are none.
type Rounds = Result<Vec<Round>, Arc<WakeLatencyError>>;

/// The rounds of each way.
struct Found([Rounds; 5]);

/// Measures an idle worker that sleeps, on a core that may halt and on one kept awake, and one that spins; and beside
/// them a thread that does nothing but sleep.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, plan: Plan) -> Result<Report, RunError> {
    let origin = Origin::here();
    // Whether a core can be kept awake here at all. It also lifts what a killed run may have left.
    let limit = WakeLimit::hold(Cores::of_this_process()?.switch, WakeLatency::AWAKE).and_then(WakeLimit::release);
    let unable = limit.err().map(Arc::new);
    let mut found = WAYS.map(|way| unable.clone().filter(|_| way.awake).map_or(Ok(Vec::new()), Err));
    for round in 1..=terms.rounds {
        for (way, rounds) in WAYS.iter().zip(&mut found) {
            let Ok(rounds) = rounds else { continue };
            (terms.progress)(&format!("round {round} of {}: {}", terms.rounds, way.name));
            rounds.push(measure(way, terms, plan)?);
        }
    }
    let (series, checks) = Found(found).told(plan.packets);
    let title = "an idle switch, and the first packet after silence, one way, veth to veth";
    Ok(Report { series, checks, ..Report::new(title, origin, terms.rounds) })
}

impl Found {
    /// What a round of so many packets can tell.
    fn told(&self, packets: u32) -> (Vec<Series>, Vec<Check>) {
        let Self([adaptive, kept, busy, thread, thread_kept]) = self;
        let (mut series, mut checks) = (Vec::new(), Vec::new());
        for (way, rounds) in [(ADAPTIVE, adaptive), (KEPT_AWAKE, kept)] {
            let cpu = gather(format!("CPU of an idle worker, {}", way.name), "%", rounds, |round| round.cpu);
            series.push(cpu.clone());
            checks.push(Check::new(cpu, CPU));
        }
        let tellable = |(_, quantile): &(usize, &str)| *quantile != RARE || packets >= FOR_RARE;
        for (at, quantile) in QUANTILES.into_iter().enumerate().filter(tellable) {
            let of = |what: &str, way: Way, rounds| {
                gather(format!("{what} {quantile}, {}", way.name), "us", rounds, |round| round.latency[at])
            };
            let first = [(ADAPTIVE, adaptive), (KEPT_AWAKE, kept), (BUSY, busy)]
                .map(|(way, rounds)| of("first packet", way, rounds));
            let woken =
                [(THREAD, thread), (THREAD_KEPT_AWAKE, thread_kept)].map(|(way, rounds)| of("wake-up", way, rounds));
            let late = |way: Way, asleep| later(format!("late by {quantile}, {}", way.name), asleep, &first[2]);
            let [kept_late, adaptive_late] = [late(KEPT_AWAKE, &first[1]), late(ADAPTIVE, &first[0])];
            // Where the time goes: near 1, what makes the first packet late is waking the core.
            let share = (quantile == MIDDLE).then(|| adaptive_late.over(&woken[0]));
            checks.extend([kept_late, adaptive_late].map(|late| Check::new(late, LATE)));
            series.extend(first.into_iter().chain(woken));
            series.extend(share.map(|share| Series::new("late by p50, adaptive / bare thread's wake-up", "", share)));
        }
        (series, checks)
    }
}

/// One number of each round.
fn gather(name: String, unit: &'static str, rounds: &Rounds, number: impl Fn(&Round) -> f64) -> Series {
    match rounds {
        Ok(rounds) => Series::new(name, unit, rounds.iter().map(number).collect()),
        Err(why) => Series::skipped(name, unit, why.to_string()),
    }
}

/// By how much one is later than another, round by round.
fn later(name: String, asleep: &Series, awake: &Series) -> Series {
    match &asleep.skipped {
        Some(why) => Series::skipped(name, asleep.unit.clone(), why.clone()),
        None => {
            let late = asleep.samples.iter().zip(&awake.samples).map(|(asleep, awake)| asleep - awake);
            Series::new(name, asleep.unit.clone(), late.collect())
        }
    }
}

/// One round of one way. The limit on the core ends with it, however it ends.
fn measure(way: &Way, terms: &Terms<'_>, plan: Plan) -> Result<Round, RunError> {
    let core = Cores::of_this_process()?.switch;
    let limit = way.awake.then(|| WakeLimit::hold(core, WakeLatency::AWAKE)).transpose()?;
    let round = match way.waiter {
        Waiter::Worker(poll) => first_packets(&Bed::lay(&Shape::default())?, poll, terms, plan),
        Waiter::Thread => wake_ups(terms, plan),
    }?;
    limit.map_or(Ok(()), WakeLimit::release)?;
    Ok(round)
}

/// What a worker makes of packets after silence.
fn first_packets(bed: &Bed, poll: Poll, terms: &Terms<'_>, plan: Plan) -> Result<Round, RunError> {
    let traffic = Traffic::bridged(1);
    let mut switch = Switch::start(&[bed.cores.switch], poll, NonZero::new(FRAMES).unwrap_or(NonZero::<u32>::MIN))?;
    attach_pair(&mut switch, bed)?;
    switch.publish(tables(&Duty::BRIDGED))?;
    let mut probe = Probe::open(bed)?;
    let found = on_the_loads_core(bed.cores, || {
        let packet = traffic.packet();
        // The flow is opened; what is measured afterwards is a hit.
        probe.cross(&packet)?;
        // That a spinning worker uses all of its core need not be measured.
        let cpu = if poll == Poll::Adaptive { cpu_share(terms)? } else { 100.0 };
        Ok(Round { cpu, latency: latencies(terms, plan, || Ok(probe.cross(&packet)?))? })
    });
    drop(probe);
    switch.stop()?;
    found
}

/// What a bare thread makes of events after silence.
fn wake_ups(terms: &Terms<'_>, plan: Plan) -> Result<Round, RunError> {
    let cores = Cores::of_this_process()?;
    let sleeper = Sleeper::start(cores.switch)?;
    on_the_loads_core(cores, || Ok(Round { cpu: 0.0, latency: latencies(terms, plan, || Ok(sleeper.wake()))? }))
}

/// Does this on the load's core, in a thread of its own, so that the pin ends with it.
fn on_the_loads_core<T: Send>(cores: Cores, work: impl FnOnce() -> Result<T, RunError> + Send) -> Result<T, RunError> {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            cores::pin(cores.load);
            work()
        });
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How long each first one took, by [`QUANTILES`], microseconds.
fn latencies(
    terms: &Terms<'_>,
    plan: Plan,
    mut first: impl FnMut() -> Result<Option<Duration>, RunError>,
) -> Result<[f64; 3], RunError> {
    let mut histogram = Histogram::<u64>::new_with_max(LONGEST_NS, 3)?;
    for _ in 0..plan.packets {
        pause(plan.silence, terms.stop)?;
        let took = first()?.ok_or(LoadError::Silent { patience: Duration::from_millis(500) })?;
        histogram.saturating_record(took.as_nanos() as u64);
    }
    Ok([0.5, 0.99, 1.0].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e3))
}

/// Per cent of a core the worker uses while nothing happens.
fn cpu_share(terms: &Terms<'_>) -> Result<f64, RunError> {
    let clock = worker_clock()?;
    pause(Duration::from_millis(50), terms.stop)?;
    let (before, begun) = (on_cpu(&clock)?, Instant::now());
    pause(terms.length, terms.stop)?;
    let used = on_cpu(&clock)?.saturating_sub(before);
    Ok(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

/// The file that tells how long the worker's thread has been on a core.
fn worker_clock() -> Result<PathBuf, RunError> {
    let tasks = PathBuf::from("/proc/self/task");
    let failed = |source| RunError::Clock { path: tasks.clone(), source };
    for task in fs::read_dir(&tasks).map_err(failed)? {
        let task = task.map_err(failed)?.path();
        // A thread may end while it is looked at.
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        if name.trim_end() == WORKER {
            return Ok(task.join("schedstat"));
        }
    }
    Err(failed(std::io::ErrorKind::NotFound.into()))
}

fn on_cpu(clock: &PathBuf) -> Result<Duration, RunError> {
    let failed = |source| RunError::Clock { path: clock.clone(), source };
    let text = fs::read_to_string(clock).map_err(failed)?;
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))
}

#[cfg(test)]
mod tests {
    use super::{FOR_RARE, Found, RARE};

    #[test]
    fn a_p99_is_told_of_a_hundred_packets_and_not_of_fewer() {
        let told = |packets| {
            let (series, checks) = Found([(); 5].map(|()| Ok(Vec::new()))).told(packets);
            let checks = checks.iter().filter(|check| check.series.name.contains(RARE)).count();
            (series.iter().filter(|series| series.name.contains(RARE)).count(), checks)
        };
        assert_eq!([told(FOR_RARE - 1), told(FOR_RARE)], [(0, 0), (5, 2)]);
    }
}
