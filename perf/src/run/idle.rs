//! `podlane-perf idle`: what a switch without traffic costs, and how late its first packet is.
//!
//! The same worker is measured sleeping and spinning, in turns; the first packet's lateness is what sleeping adds. Sleep
//! is tried for after each silence, so silences are longer than any spin.

use std::{
    fs,
    num::NonZero,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use podlane_dataplane::worker::idle::Poll;

use crate::{
    bed::Bed,
    cores,
    load::{LoadError, probe::Probe, traffic::Traffic},
    machine::Origin,
    report::Report,
    run::{RunError, Terms},
    series::{Check, Series, Target},
    subject::{
        podlane::{attach_pair, tables},
        switch::{FRAMES, Switch},
    },
};

/// Of a core, what an idle worker is to use at most, per cent.
const CPU: Target = Target::AtMost(2.0);

/// How late the first packet may be, microseconds.
const LATE: Target = Target::AtMost(100.0);

/// The worker's thread, as the crew names it.
const THREAD: &str = "podlane-w0";

/// The longest latency that is told apart, nanoseconds: more than the probe waits.
const LONGEST_NS: u64 = 1_000_000_000;

/// Between two looks at whether Ctrl-C was pressed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What to try.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// First packets a round.
    pub packets: u32,
    /// Silence before each.
    pub silence: Duration,
}

/// What one round found of one way to poll.
struct Round {
    /// Per cent of a core.
    cpu: f64,
    /// Microseconds, of each first packet: half, 99 in 100, all were faster.
    latency: [f64; 3],
}

/// Measures an idle worker that sleeps, and one that spins.
///
/// # Errors
/// [`RunError`]; nothing is left behind.
pub fn run(terms: &Terms<'_>, plan: Plan) -> Result<Report, RunError> {
    let origin = Origin::here();
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 1..=terms.rounds {
        for (found, (poll, name)) in rounds.iter_mut().zip([(Poll::Adaptive, "adaptive"), (Poll::Busy, "busy")]) {
            (terms.progress)(&format!("round {round} of {}: {name} polling", terms.rounds));
            found.push(measure(&Bed::lay()?, poll, terms, plan)?);
        }
    }
    let [adaptive, busy] = &rounds;
    let cpu = Series::new("CPU of an idle worker, adaptive", "%", adaptive.iter().map(|round| round.cpu).collect());
    let mut series = vec![cpu.clone()];
    let mut checks = vec![Check::new(cpu, CPU)];
    for (at, quantile) in ["p50", "p99", "max"].into_iter().enumerate() {
        let of = |rounds: &[Round]| rounds.iter().map(|round| round.latency[at]).collect::<Vec<_>>();
        let (asleep, awake) = (of(adaptive), of(busy));
        let late = asleep.iter().zip(&awake).map(|(asleep, awake)| asleep - awake).collect();
        series.push(Series::new(format!("first packet {quantile}, adaptive"), "us", asleep));
        series.push(Series::new(format!("first packet {quantile}, busy"), "us", awake));
        checks.push(Check::new(Series::new(format!("late by {quantile}"), "us", late), LATE));
    }
    let title = "an idle switch, and the first packet after silence, one way, veth to veth";
    Ok(Report { title, origin, rounds: terms.rounds, series, checks })
}

fn measure(bed: &Bed, poll: Poll, terms: &Terms<'_>, plan: Plan) -> Result<Round, RunError> {
    let traffic = Traffic::bridged(1);
    let mut switch = Switch::start(bed.cores.switch, poll, NonZero::new(FRAMES).unwrap_or(NonZero::<u32>::MIN))?;
    attach_pair(&mut switch, bed)?;
    switch.publish(tables(traffic))?;
    let mut probe = Probe::open(bed)?;
    // A thread of its own, so that the pin ends with it.
    let found = std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            cores::pin(bed.cores.load);
            let packet = traffic.packet();
            // The flow is opened; what is measured afterwards is a hit.
            probe.cross(&packet)?;
            let cpu = cpu_share(terms)?;
            let mut histogram = Histogram::<u64>::new_with_max(LONGEST_NS, 3)?;
            for _ in 0..plan.packets {
                pause(plan.silence, terms)?;
                let took = probe.cross(&packet)?.ok_or(LoadError::Silent { patience: Duration::from_millis(500) })?;
                histogram.saturating_record(took.as_nanos() as u64);
            }
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
            Ok(Round { cpu, latency: [at(0.5), at(0.99), at(1.0)] })
        });
        probing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    drop(probe);
    switch.stop()?;
    found
}

/// Per cent of a core the worker uses while nothing happens.
fn cpu_share(terms: &Terms<'_>) -> Result<f64, RunError> {
    let clock = worker_clock()?;
    pause(Duration::from_millis(50), terms)?;
    let (before, begun) = (on_cpu(&clock)?, Instant::now());
    pause(terms.length, terms)?;
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
        if name.trim_end() == THREAD {
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

fn pause(length: Duration, terms: &Terms<'_>) -> Result<(), RunError> {
    let until = Instant::now() + length;
    loop {
        if terms.stop.load(Ordering::Relaxed) {
            return Err(LoadError::Interrupted.into());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
}
