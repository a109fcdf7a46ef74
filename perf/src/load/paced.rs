//! Packets at a rate that was asked for, and how long each is on its way: the [generator](crate::generator) on both pods' ends, sender and
//! receiver in turns on the load's core, so that nobody has to be woken to see a packet arrive.
//!
//! Time counts from when a packet should have left. What the sender cannot keep up with is no measurement and is refused.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use podlane_rings::AskMode;

use crate::{
    bed::{Bed, POD_LINK, station_mac},
    generator::{
        Ended, Loop, Outcome, Rate, Threads, Trial, Until,
        clock::Monotonic,
        latency::micros,
        wire::af_xdp::{AfXdpWire, Ask, Use},
    },
    load::{LoadError, pause, traffic::address},
    traffic::{Range, Template, Traffic},
};

/// Flows of the packets.
const PORTS: Range<u16> = Range { first: 1024, last: 2023 };

/// Of the packets, so many at most may be lost: what is told of the others would be of the lucky ones.
const LOSS: f64 = 0.01;

/// How long one try takes, until packets get through.
const TRY: Duration = Duration::from_millis(50);

/// What to send.
pub struct Paced<'a> {
    /// Where.
    pub bed: &'a Bed,
    /// Packets a second.
    pub offered: u32,
    /// For how long.
    pub length: Duration,
    /// How long nothing may arrive at first.
    pub patience: Duration,
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

/// Latencies, microseconds; `None` of what so few packets do not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latencies {
    /// Half were faster.
    pub p50: Option<f64>,
    /// 99 in 100 were faster.
    pub p99: Option<f64>,
    /// 999 in 1,000 were faster.
    pub p999: Option<f64>,
}

impl Paced<'_> {
    /// Sends until something arrives, and then for as long as it was told.
    ///
    /// # Errors
    /// [`LoadError::Silent`] when nothing arrives, [`LoadError::Slow`] when the sender cannot keep to the rate, [`LoadError::Lossy`] when
    /// too much is lost to speak of the rest.
    pub fn run(&self) -> Result<Latencies, LoadError> {
        let frames = Traffic::of(&Template {
            source_mac: Range::of(station_mac(1)),
            destination_mac: Range::of(station_mac(2)),
            source: address(0, 1).into(),
            destination: address(0, 2).into(),
            source_port: PORTS,
            ..Template::default()
        })?;
        let wire = |netns, used| {
            AfXdpWire::open(&Ask { device: POD_LINK, netns, used, longest: frames.longest(), mode: AskMode::Auto })
        };
        let (near, far) = (wire(self.bed.from(), Use::Send)?, wire(self.bed.to(), Use::Both)?);
        let threads = Threads::One(self.bed.cores.load);
        let mut trials = Loop::new(near, Some(far), Monotonic, threads, self.stop).map_err(LoadError::Histogram)?;
        let rate = Rate::PerSecond(self.offered.into());
        self.wait_for_first(&mut trials, rate, &frames)?;
        self.latencies(&self.check(trials.trial(rate, &frames, Until::Time(self.length)))?)
    }

    /// Tells who learns where the stations are, and opens the flows.
    fn wait_for_first(&self, trials: &mut impl Trial, rate: Rate, frames: &Traffic) -> Result<(), LoadError> {
        let deadline = Instant::now() + self.patience;
        loop {
            trials.introduce(frames)?;
            if self.check(trials.trial(rate, frames, Until::Time(TRY)))?.received > 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LoadError::Silent { patience: self.patience });
            }
            pause(TRY, self.stop)?;
        }
    }

    fn check(&self, outcome: Outcome) -> Result<Outcome, LoadError> {
        match outcome.ended {
            Ended::Whole => Ok(outcome),
            Ended::Interrupted => Err(LoadError::Interrupted),
            Ended::Broken(why) => Err(LoadError::Wire(why)),
        }
    }

    fn latencies(&self, outcome: &Outcome) -> Result<Latencies, LoadError> {
        if !outcome.kept_up() {
            return Err(LoadError::Slow { asked: self.offered, reached: outcome.reached });
        }
        let Some(histogram) = outcome.latency.as_ref().filter(|_| outcome.received > 0) else {
            return Err(LoadError::Silent { patience: self.length });
        };
        if outcome.loss() > LOSS {
            return Err(LoadError::Lossy { share: outcome.loss() * 100.0 });
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| micros(histogram, share));
        Ok(Latencies { p50, p99, p999 })
    }
}
