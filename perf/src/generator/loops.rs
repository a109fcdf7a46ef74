//! Sender and receiver in one process, around a device under test.
//!
//! With two cores they are two threads, each pinned to its own. With one they take turns in one thread: two that spin on one core would
//! take it from each other for milliseconds at a time, where turns take microseconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::{CreationError, Histogram};

use super::{
    Trial,
    analyse::{Analyser, Arrivals, latencies},
    clock::{Clock, Nanos},
    gauge::Gauge,
    outcome::{Ended, Outcome},
    pace::{Pace, Rate, Until},
    receive::Receiver,
    send::{Departures, Sender, Sending},
    threads::{Threads, on_core},
    wire::{self, Wire, WireError},
};
use crate::{
    cores,
    traffic::{
        Traffic, hello,
        stamp::{Finder, Found, RunId},
    },
};

/// How long it must be silent before a run is over.
const SILENCE: Duration = Duration::from_millis(100);

/// How long a run waits for silence. A device that loops is never silent.
const PATIENCE: Nanos = Nanos(2_000_000_000);

/// The most stations that are introduced, and how often it is tried to send a frame of each.
const STATIONS: u64 = 65_536;
const PERSEVERANCE: usize = 10_000;

/// A device under test between two wires, or around one.
pub struct Loop<'a, W, C> {
    near: W,
    far: Option<W>,
    clock: C,
    threads: Threads,
    stop: &'a AtomicBool,
    gauge: Arc<Gauge>,
    silence: Nanos,
    run: RunId,
    latencies: Histogram<u64>,
}

/// What a sending and a receiving end found together.
struct Both {
    departures: Departures,
    returned: u64,
    endless: bool,
    analyser: Analyser,
    ended: Ended,
}

impl<'a, W: Wire, C: Clock + Sync> Loop<'a, W, C> {
    /// Packets go out by `near` and come in by `far`; without `far`, by `near` too, and in one thread. Ends early once `stop` is set.
    ///
    /// # Errors
    /// There is too little memory to collect latencies in.
    pub fn new(
        near: W,
        far: Option<W>,
        clock: C,
        threads: Threads,
        stop: &'a AtomicBool,
    ) -> Result<Self, CreationError> {
        let run = RunId::fresh(clock.now());
        let (gauge, silence) = (Arc::default(), SILENCE.into());
        Ok(Self { near, far, clock, threads, stop, gauge, silence, run, latencies: latencies()? })
    }

    /// The same, over after so much silence instead of 100 ms: for devices that hold packets back for longer.
    #[must_use]
    pub fn with_silence(self, silence: Duration) -> Self {
        Self { silence: silence.into(), ..self }
    }

    /// How the run stands.
    #[must_use]
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// The wires, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.far {
            Some(far) => format!("{} to {}", self.near.describe(), far.describe()),
            None => format!("{} and back", self.near.describe()),
        }
    }

    /// Looks whether the wires carry the longest of these packets; what is longer is refused by a trial, too.
    ///
    /// # Errors
    /// [`WireError::TooLong`], naming both.
    pub fn check(&self, frames: &Traffic) -> Result<(), WireError> {
        wire::check(&self.near, frames)
    }

    /// What the receiving end had no room for so far.
    fn overrun(&self) -> u64 {
        self.far.as_ref().unwrap_or(&self.near).overrun()
    }

    fn analyser(&self, frames: &Traffic) -> Analyser {
        if frames.is_stamped() {
            Analyser::new(Some(self.run), Some(self.latencies.clone()))
        } else {
            Analyser::of_unstamped()
        }
    }

    /// Sender and receiver in turns.
    fn alternate(&mut self, frames: &Traffic, pace: Pace<'_>, analyser: Analyser) -> Both {
        let mut sender = Sender::new(self.run, frames, pace, self.clock.now());
        let mut receiver = Receiver::new(analyser, self.clock.now());
        let mut returned = Returned::new(self.run);
        let mut rest = Rest::new(self.silence);
        let ended = loop {
            if self.stop.load(Relaxed) {
                break Ended::Interrupted;
            }
            let turn = self.turn(&mut sender, &mut receiver, &mut returned, &mut rest);
            self.gauge.depart(&sender.departures());
            self.gauge.arrive(&receiver.analyser().counts());
            match turn {
                Ok(Sending::More) => {}
                Ok(Sending::Over) => break Ended::Whole,
                Err(error) => break Ended::Broken(error),
            }
        };
        let (departures, endless) = (sender.departures(), rest.endless);
        Both { departures, returned: returned.count, endless, analyser: receiver.finish(), ended }
    }

    fn turn(
        &mut self,
        sender: &mut Sender<'_>,
        receiver: &mut Receiver,
        returned: &mut Returned,
        rest: &mut Rest,
    ) -> Result<Sending, WireError> {
        let Self { near, far, clock, .. } = self;
        let sending = match rest.since {
            None => sender.turn(near, clock)?,
            Some(_) => Sending::Over,
        };
        match far {
            Some(far) => {
                receiver.turn(far, clock)?;
                returned.look(near)?;
            }
            None => {
                receiver.turn(near, clock)?;
            }
        }
        if sending == Sending::Over && rest.is_over(receiver, clock.now()) {
            return Ok(Sending::Over);
        }
        Ok(Sending::More)
    }

    /// Sender and receiver at once, each on its core.
    fn side_by_side(&mut self, frames: &Traffic, pace: Pace<'_>, analyser: Analyser, at: [usize; 2]) -> Both {
        let Self { near, far: Some(far), clock, stop, gauge, run, silence, .. } = self else {
            return self.alternate(frames, pace, analyser);
        };
        let (sent, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        let send = || {
            cores::pin(at[0]);
            // Only now: what it takes to get here would be a burst of late packets.
            let mut sender = Sender::new(*run, frames, pace, clock.now());
            let mut returned = Returned::new(*run);
            let ended = loop {
                if stop.load(Relaxed) || broken.load(Relaxed) {
                    break Ended::Interrupted;
                }
                let turn = sender.turn(near, clock).and_then(|sending| returned.look(near).map(|()| sending));
                gauge.depart(&sender.departures());
                match turn {
                    Ok(Sending::More) => {}
                    Ok(Sending::Over) => break Ended::Whole,
                    Err(error) => break Ended::Broken(error),
                }
            };
            sent.store(true, Relaxed);
            (sender.departures(), returned.count, ended)
        };
        let receive = || {
            cores::pin(at[1]);
            let mut receiver = Receiver::new(analyser, clock.now());
            let mut rest = Rest::new(*silence);
            let ended = loop {
                if stop.load(Relaxed) {
                    break Ended::Interrupted;
                }
                let over = sent.load(Relaxed);
                if let Err(error) = receiver.turn(far, clock) {
                    broken.store(true, Relaxed);
                    break Ended::Broken(error);
                }
                gauge.arrive(&receiver.analyser().counts());
                if over && rest.is_over(&receiver, clock.now()) {
                    break Ended::Whole;
                }
            };
            (receiver, rest.endless, ended)
        };
        let ((departures, returned, sending), (receiver, endless, receiving)) = std::thread::scope(|scope| {
            let sending = scope.spawn(send);
            let received = scope.spawn(receive).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), received)
        });
        // The end that broke is the one to tell of.
        let ended = match (sending, receiving) {
            (broken @ Ended::Broken(_), _) | (_, broken @ Ended::Broken(_)) => broken,
            (Ended::Interrupted, _) | (_, Ended::Interrupted) => Ended::Interrupted,
            (Ended::Whole, Ended::Whole) => Ended::Whole,
        };
        Both { departures, returned, endless, analyser: receiver.finish(), ended }
    }
}

impl<W: Wire, C: Clock + Sync> Trial for Loop<'_, W, C> {
    fn trial(&mut self, offered: Rate, frames: &Traffic, until: Until) -> Outcome {
        // What an earlier trial left behind is none of this one's.
        self.run = RunId(self.run.0.wrapping_add(1));
        let analyser = self.analyser(frames);
        let pace = Pace::new(offered, frames, until);
        if let Err(error) = self.check(frames) {
            let nothing = Outcome::new(offered, None, Departures::default(), Arrivals::default());
            return Outcome { ended: Ended::Broken(error), ..nothing };
        }
        let (length, asked) = (pace.length(), pace.asked());
        let before = self.overrun();
        let both = match self.threads {
            Threads::Here => self.alternate(frames, pace, analyser),
            Threads::One(core) => on_core(core, || self.alternate(frames, pace, analyser)),
            Threads::Two(at) => self.side_by_side(frames, pace, analyser, at),
        };
        let Both { departures, returned, endless, analyser, ended } = both;
        let (arrivals, latency) = analyser.finish();
        // A run that was broken off was as long as it was.
        let length = length.filter(|_| matches!(ended, Ended::Whole));
        let (stamped, overrun) = (frames.is_stamped(), self.overrun().saturating_sub(before));
        Outcome {
            overrun,
            stamped,
            asked,
            returned,
            endless,
            latency,
            ended,
            ..Outcome::new(offered, length, departures, arrivals)
        }
    }

    fn introduce(&mut self, frames: &Traffic) -> Result<(), WireError> {
        for [source, destination] in frames.stations(STATIONS) {
            say(&mut self.near, &hello(source, destination))?;
            if let Some(far) = &mut self.far {
                say(far, &hello(destination, source))?;
                // The frames that arrive are nobody's.
                far.receive(|_| {})?;
            }
            self.near.receive(|_| {})?;
        }
        Ok(())
    }
}

/// Sends one frame. A wire that takes nothing on for this many looks does without it: the device then learns of the station by its packets.
fn say(wire: &mut impl Wire, frame: &[u8]) -> Result<(), WireError> {
    for _ in 0..PERSEVERANCE {
        let mut left = Some(frame);
        wire.send(|slot| {
            let frame = left.take()?;
            slot[..frame.len()].copy_from_slice(frame);
            Some(frame.len())
        })?;
        if left.is_none() {
            break;
        }
    }
    Ok(())
}

/// Counts what comes back to where it was sent from.
struct Returned {
    finder: Finder,
    count: u64,
}

impl Returned {
    fn new(run: RunId) -> Self {
        Self { finder: Finder::new(Some(run)), count: 0 }
    }

    #[inline]
    fn look(&mut self, near: &mut impl Wire) -> Result<(), WireError> {
        near.receive(|frame| self.count += u64::from(self.finder.find(frame) != Found::Foreign))?;
        Ok(())
    }
}

/// The wait for the last packets.
struct Rest {
    silence: Nanos,
    /// When everything had been sent.
    since: Option<Nanos>,
    endless: bool,
}

impl Rest {
    fn new(silence: Nanos) -> Self {
        Self { silence, since: None, endless: false }
    }

    /// Whether nothing more is to be waited for.
    fn is_over(&mut self, receiver: &Receiver, now: Nanos) -> bool {
        let since = *self.since.get_or_insert(now);
        let silent = now.since(since.max(receiver.heard()));
        self.endless = silent < self.silence && now.since(since) > PATIENCE.max(self.silence.plus(self.silence));
        silent >= self.silence || self.endless
    }
}

#[cfg(test)]
mod tests;
