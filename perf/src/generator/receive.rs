//! The receiving end of a run: shows the analyser what arrives, and knows when it has been silent for long enough.

use super::{
    analyse::Analyser,
    clock::{Clock, Nanos},
    wire::{Wire, WireError},
};

/// Between two looks at whether the device is still there.
const HEALTH: Nanos = Nanos(200_000_000);

/// Receives one run.
pub struct Receiver {
    analyser: Analyser,
    /// When a frame of the run last arrived, or the run began. What others send keeps nobody listening.
    heard: Nanos,
    looked: Nanos,
}

impl Receiver {
    /// A receiver that begins to listen now.
    #[must_use]
    pub fn new(analyser: Analyser, now: Nanos) -> Self {
        Self { analyser, heard: now, looked: now }
    }

    /// Looks at what has arrived, at most a burst. Returns how many packets that were, of whatever run.
    ///
    /// # Errors
    /// [`WireError`]: the wire is dead.
    #[inline]
    pub fn turn(&mut self, wire: &mut impl Wire, clock: &impl Clock) -> Result<usize, WireError> {
        let Self { analyser, heard, looked } = self;
        // One look at the clock a burst, when its first packet is there: what comes in while the burst is read seems younger than it is, by no
        // more than that takes.
        let mut now = None;
        let before = analyser.counts().received;
        let received = wire.receive(|frame| {
            let now = *now.get_or_insert_with(|| clock.now());
            analyser.see(frame, now);
        })?;
        let now = match now {
            Some(now) => {
                if analyser.counts().received > before {
                    *heard = now;
                }
                now
            }
            None => clock.now(),
        };
        if now.since(*looked) > HEALTH {
            *looked = now;
            wire.health()?;
        }
        Ok(received)
    }

    /// When a frame of the run last arrived.
    #[must_use]
    pub fn heard(&self) -> Nanos {
        self.heard
    }

    /// What has arrived.
    #[must_use]
    pub fn analyser(&self) -> &Analyser {
        &self.analyser
    }

    /// Ends it.
    #[must_use]
    pub fn finish(self) -> Analyser {
        self.analyser
    }
}
