//! A subject as a device under test: on a bed of its own, with the generator in its pods.
//!
//! ```text
//!   pod "from"                    switch's namespace                 pod "to"
//!   generator ── eth0 ════════ from   (the subject)   to ════════ eth0 ── analyser
//! ```
//!
//! It forgets what it learned by being made anew, bed and all, which takes less than a second.

use std::{sync::atomic::AtomicBool, time::Duration};

use podlane_rings::AskMode;

use crate::{
    bed::{Bed, POD_LINK, station_mac},
    generator::{
        Loop, Threads,
        clock::Monotonic,
        wire::af_xdp::{self, AfXdpWire, Use},
    },
    load::traffic::{SERVICE, address},
    rfc2544::{
        device::{Ask, Device, Frames, Outcome, Pace, Size, Stations, TrialError, Until, failed},
        wires::{Ends, Wires},
    },
    subject::{Duty, Running, Subject},
    traffic::template::LONGEST,
};

/// What a reader of its numbers must know.
pub const NOTE: &str = "Generator and analyser share a core; the switch has another, on which the kernel also delivers into the receiving pod's socket: rates are below those \
                        that the kernel's own counters see of packets thrown away at the pod's door.";

/// A look at whether a subject forwards by now: so many frames, at this rate.
const LOOK: (u64, f64) = (20, 1_000.0);

/// What that takes, about, to say beforehand how long a run will be.
const MADE_ANEW: Duration = Duration::from_millis(700);

/// A subject that can be made anew.
pub struct Rig<'a> {
    subject: &'static dyn Subject,
    /// What stands for it where addresses are learned: the same switch, told of no station.
    learner: &'static dyn Subject,
    stop: &'a AtomicBool,
    laid: Option<Laid<'a>>,
    /// Whether `learner` is running, which forgetting leaves behind.
    replaced: bool,
}

/// What is running now; the generator goes first, the bed last.
struct Laid<'a> {
    wires: Wires<Loop<'a, AfXdpWire, Monotonic>>,
    _running: Box<dyn Running>,
    _bed: Bed,
}

impl<'a> Rig<'a> {
    /// Starts a subject between two pods.
    ///
    /// # Errors
    /// [`TrialError::Failed`]: there is no bed, or it is not installed.
    pub fn new(
        subject: &'static dyn Subject,
        learner: &'static dyn Subject,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrialError> {
        let laid = Some(Laid::of(subject, stop)?);
        Ok(Self { subject, learner, stop, laid, replaced: false })
    }

    /// How long it may take until it forwards.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.subject.patience()
    }

    fn laid(&mut self) -> Result<&mut Laid<'a>, TrialError> {
        if self.laid.is_none() {
            let subject = if self.replaced { self.learner } else { self.subject };
            self.laid = Some(Laid::of(subject, self.stop)?);
        }
        self.laid.as_mut().ok_or(TrialError::Interrupted)
    }

    /// Sends a little until it arrives or the patience is over; what then does not arrive is for the trial to tell.
    fn wait(&mut self) -> Result<(), TrialError> {
        let (count, rate) = LOOK;
        let frames = Frames { size: Size::Bytes(64), stations: Stations::Flows(1) };
        let ask = Ask { frames, pace: Pace::Rate(rate), until: Until::Count(count) };
        let looks = self.patience().as_secs_f64() * rate / count as f64;
        for _ in 0..looks.ceil() as u32 {
            if self.trial(&ask)?.received > 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Device for Rig<'_> {
    fn trial(&mut self, ask: &Ask) -> Result<Outcome, TrialError> {
        let laid = self.laid()?;
        let outcome = laid.wires.trial(ask)?;
        Ok(outcome)
    }

    fn forgetting(&self) -> Option<Duration> {
        Some(MADE_ANEW)
    }

    fn forget(&mut self) -> Result<bool, TrialError> {
        (self.laid, self.replaced) = (None, true);
        self.wait()?;
        Ok(true)
    }

    fn restore(&mut self) -> Result<(), TrialError> {
        if self.replaced {
            (self.laid, self.replaced) = (None, false);
            self.wait()?;
        }
        Ok(())
    }
}

impl<'a> Laid<'a> {
    fn of(subject: &'static dyn Subject, stop: &'a AtomicBool) -> Result<Self, TrialError> {
        let bed = Bed::lay(&Duty::BRIDGED.shape()).map_err(failed)?;
        let running = subject.start(&bed, &Duty::BRIDGED).map_err(failed)?;
        let wire = |netns, used| {
            let ask = af_xdp::Ask { device: POD_LINK, netns, used, longest: LONGEST, mode: AskMode::Auto };
            AfXdpWire::open(&ask).map_err(failed)
        };
        // What comes back by the near end is a loop, and only an end that receives too sees it.
        let (near, far) = (wire(bed.from(), Use::Both)?, wire(bed.to(), Use::Receive)?);
        let around = Loop::new(near, Some(far), Monotonic, Threads::One(bed.cores.load), stop).map_err(failed)?;
        let ends = Ends {
            macs: [station_mac(1), station_mac(2)],
            addresses: [address(0, 1), address(0, 2)],
            service: SERVICE,
        };
        Ok(Self { wires: Wires::new(around, ends), _running: running, _bed: bed })
    }
}
