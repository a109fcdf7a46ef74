//! Where the steps are played: one after the other, each measured on threads of its own while this one draws how far it got.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::report::{Measured, StepReport};
use super::steps::{Heading, What};
use super::traffic::{Bounds, Echo, MeterError, Pair, Tcp, Udp, panic_message};
use super::view::View;

/// Between two looks at how far a step got.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What every step is played on.
pub(crate) struct Stage<'a> {
    /// Set when everything should end early.
    pub(crate) stop: &'a AtomicBool,
    /// Where it is shown.
    pub(crate) view: &'a mut View,
}

impl Stage<'_> {
    /// Whether no further step should begin.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Plays one step, shows how it goes, and tells what came of it.
    pub(crate) fn play(&mut self, step: &Heading, pair: &Pair, length: Duration) -> Result<Measured, MeterError> {
        let outcome = self.measure(step, pair, length);
        self.view.ended(&StepReport::of(step, &outcome));
        outcome
    }

    fn measure(&mut self, step: &Heading, pair: &Pair, length: Duration) -> Result<Measured, MeterError> {
        let arrived = AtomicU64::new(0);
        let bounds = Bounds { length, stop: self.stop, arrived: &arrived };
        let begun = Instant::now();
        thread::scope(|scope| {
            let waiting = thread::current();
            let measuring = scope.spawn(move || {
                let outcome = measure(step.what, pair, bounds);
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
