//! A flood: full rate from one pod, counted in the other.
//!
//! Delivery runs on the sender's core, which is the switch's for what it forwards, so a dear sink would be measured as a slow
//! switch. The kernel's own counter costs least: the packets are for a MAC address the pod does not have, and die at its door.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use podlane_host::{LinkId, Links, Netns};

use crate::{
    bed::{Bed, HostEnd},
    cores,
    load::{
        LoadError,
        generator::{Generator, GeneratorError},
        pause, pod_end,
        traffic::Traffic,
    },
};

/// Packets of the two calls that tell how fast the generator is.
const TRIALS: [u32; 2] = [1 << 16, 1 << 18];

/// The generator is taken to be no slower and no faster than this, packets a second.
const BELIEVABLE: (f64, f64) = (500_000.0, 20_000_000.0);

/// What one call sends beyond what the window needs.
const SURPLUS: f64 = 1.2;

/// The longest call, which is what Ctrl-C may have to wait for. A window beyond some 4 s sees the pause between two of them.
const LONGEST: Duration = Duration::from_secs(5);

/// How long a subject is under full load before it is measured, and for each flow on top: so that it has seen all of them.
const WARM_UP: Duration = Duration::from_millis(100);
const WARM_UP_A_FLOW: Duration = Duration::from_nanos(1500);

/// Between two looks at whether anything arrives yet.
const PROBE_EVERY: Duration = Duration::from_millis(5);

/// Packets that are sent one by one, and how long nothing may arrive before all of them are taken to have.
const SINGLES: u64 = 8;
const QUIET: Duration = Duration::from_millis(30);

/// How often more than were sent must arrive: a packet of before may be later than all that once, on a busy machine.
const TRIES: u32 = 3;

/// Packets of a burst while connections are opened, and the pause after it: what opens each of them slowly must keep up.
const OPENING: u32 = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// What arrived in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Packets that arrived behind the subject.
    pub arrived: u64,
    /// How long the window was.
    pub window: Duration,
}

impl Sample {
    /// Packets a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.arrived as f64 / self.window.as_secs_f64()
    }
}

/// What to measure.
pub struct Flood<'a> {
    /// Where.
    pub bed: &'a Bed,
    /// What to send.
    pub traffic: Traffic,
    /// For how long.
    pub length: Duration,
    /// How long nothing may arrive at first.
    pub patience: Duration,
    /// Counted instead of what arrives, where nothing can.
    pub taken: Option<Arc<AtomicU64>>,
    /// Bytes of a packet behind the subject.
    pub arriving: usize,
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

impl Flood<'_> {
    /// Sends until something arrives, then at full rate, and counts.
    ///
    /// # Errors
    /// [`LoadError::Silent`] when the subject does not forward.
    pub fn run(&self) -> Result<Sample, LoadError> {
        let from = self.bed.from();
        let mut generator = Generator::new(&pod_end(from)?, self.traffic.sent())?;
        let mut count = self.count(self.bed.to())?;
        let over = AtomicBool::new(false);
        let flooding = AtomicBool::new(false);
        let send = || {
            from.run(|| {
                cores::pin(self.bed.cores.load);
                self.wait_for_first(&mut generator)?;
                self.look_for_copies(&mut generator)?;
                if self.traffic.answered {
                    self.wait_for_answers(&mut generator)?;
                }
                let stride = self.stride(&mut generator)?;
                flooding.store(true, Ordering::Release);
                while !over.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
                    generator.send(stride)?;
                }
                Ok(())
            })?
        };
        std::thread::scope(|scope| {
            let sending = scope.spawn(send);
            while !flooding.load(Ordering::Acquire) && !sending.is_finished() {
                std::thread::sleep(PROBE_EVERY);
            }
            let sample = self.sample(&mut count);
            over.store(true, Ordering::Relaxed);
            let sent: Result<(), LoadError> = sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sent?;
            let sample = sample?;
            // Packets for a link that went away vanish without a word.
            pod_end(from)?;
            Ok(sample)
        })
    }

    /// Counts in the window.
    fn sample(&self, count: &mut Count) -> Result<Sample, LoadError> {
        pause(self.warm_up(), self.stop)?;
        let (before, begun) = (count.arrived()?, Instant::now());
        pause(self.length, self.stop)?;
        let (after, window) = (count.arrived()?, begun.elapsed());
        let arrived = after.packets - before.packets;
        if arrived == 0 {
            return Err(LoadError::Silent { patience: self.length });
        }
        self.check_lengths(arrived, after.bytes - before.bytes)?;
        Ok(Sample { arrived, window })
    }

    /// That what arrived is what should: a tunnel that is none forwards well too. A packet in a thousand may be another's.
    fn check_lengths(&self, packets: u64, bytes: u64) -> Result<(), LoadError> {
        let (expected, found) = (self.arriving, bytes as f64 / packets.max(1) as f64);
        if self.taken.is_some() || packets == 0 || (found / expected as f64 - 1.0).abs() < 1e-3 {
            return Ok(());
        }
        Err(LoadError::Strange { expected, found })
    }

    fn warm_up(&self) -> Duration {
        WARM_UP + WARM_UP_A_FLOW * self.traffic.flows
    }

    /// How many packets one call is to send, so that a window of up to 4 s sees no second one: between two calls the kernel takes some
    /// 20 ms, which a longer window has once in [`LONGEST`], 0.4 % of it, the same for whoever is measured.
    fn stride(&self, generator: &mut Generator) -> Result<u32, LoadError> {
        let mut took = [0.0; 2];
        for (trial, took) in TRIALS.into_iter().zip(&mut took) {
            let begun = Instant::now();
            generator.send(trial)?;
            *took = begun.elapsed().as_secs_f64();
        }
        let rate = f64::from(TRIALS[1] - TRIALS[0]) / (took[1] - took[0]).max(f64::EPSILON);
        let rate = rate.clamp(BELIEVABLE.0, BELIEVABLE.1);
        let length = ((self.warm_up() + self.length).as_secs_f64() * SURPLUS).min(LONGEST.as_secs_f64());
        Ok((rate * length) as u32)
    }

    fn wait_for_first(&self, generator: &mut Generator) -> Result<(), LoadError> {
        let mut count = self.count(self.bed.to())?;
        let deadline = Instant::now() + self.patience;
        let before = count.arrived()?.packets;
        loop {
            generator.send(1)?;
            std::thread::sleep(PROBE_EVERY);
            if count.arrived()?.packets > before {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(LoadError::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(LoadError::Silent { patience: self.patience });
            }
        }
    }

    /// Sends a few packets, one by one, and counts: under full load a switch that loops or doubles loses so much that it cannot be seen.
    fn look_for_copies(&self, generator: &mut Generator) -> Result<(), LoadError> {
        let mut count = self.count(self.bed.to())?;
        let deadline = Instant::now() + self.patience;
        let settled = |count: &mut Count| loop {
            let before = count.arrived()?.packets;
            pause(QUIET, self.stop)?;
            if count.arrived()?.packets == before {
                return Ok::<_, LoadError>(before);
            }
            // What goes on arriving is a loop.
            if Instant::now() > deadline {
                return Err(LoadError::Multiplied { sent: SINGLES, arrived: before });
            }
        };
        let mut arrived = 0;
        for _ in 0..TRIES {
            let before = settled(&mut count)?;
            for _ in 0..SINGLES {
                generator.send(1)?;
                std::thread::sleep(PAUSE);
            }
            arrived = settled(&mut count)? - before;
            if arrived <= SINGLES {
                return Ok(());
            }
        }
        Err(LoadError::Multiplied { sent: SINGLES, arrived })
    }

    /// Sends a packet of each flow and has it answered, until every answer arrives.
    fn wait_for_answers(&self, generator: &mut Generator) -> Result<(), LoadError> {
        let to = self.bed.to();
        let mut answers = Generator::new(&pod_end(to)?, self.traffic.answers())?;
        let mut count = Count { taken: None, ..self.count(self.bed.from())? };
        let (flows, deadline) = (self.traffic.flows, Instant::now() + self.patience);
        loop {
            send_slowly(generator, flows)?;
            let before = count.arrived()?.packets;
            to.run(|| {
                cores::pin(self.bed.cores.load);
                send_slowly(&mut answers, flows)
            })??;
            let arrived = count.arrived()?.packets - before;
            if arrived >= flows.into() {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(LoadError::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(LoadError::Unanswered { flows, arrived });
            }
        }
    }

    /// What a pod counts.
    fn count(&self, pod: &Netns) -> Result<Count, LoadError> {
        Ok(Count { taken: self.taken.clone(), links: Links::open_in(pod)?, link: pod_end(pod)? })
    }
}

/// Sends a packet of each flow.
fn send_slowly(generator: &mut Generator, flows: u32) -> Result<(), GeneratorError> {
    let mut left = flows;
    while left > 0 {
        let packets = left.min(OPENING);
        generator.send(packets)?;
        std::thread::sleep(PAUSE);
        left -= packets;
    }
    Ok(())
}

/// Packets that got through so far.
struct Count {
    taken: Option<Arc<AtomicU64>>,
    links: Links,
    link: HostEnd,
}

/// What the counter stands at.
struct Arrived {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn arrived(&mut self) -> Result<Arrived, LoadError> {
        if let Some(taken) = &self.taken {
            return Ok(Arrived { packets: taken.load(Ordering::Relaxed), bytes: 0 });
        }
        let counters = self.links.counters(LinkId::Index(self.link.ifindex))?;
        Ok(Arrived { packets: counters.rx_packets, bytes: counters.rx_bytes })
    }
}
