//! A bad wire: around any port, it loses, doubles, spoils and delays packets on purpose, the same ones at each run.
//!
//! It does so in both directions, each with dice of its own, because a protocol that lives through lost requests may not
//! live through lost replies. The ledger stays true: what is lost on the way in was never received by the switch, and what
//! is lost on the way out has been sent. [`PortStatistics::faults`] counts both.
//!
//! ```text
//!            inner.receive -> dice -> arrived -> the switch's burst
//!   the switch's queue     -> dice -> staged  -> inner.transmit
//! ```

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use podlane_rings::{Frame, FramePool, Socket};

use crate::{
    burst::{BURST, Burst, OutQueue, length_of},
    port::{Port, PortError, PortFacts, PortStatistics},
};

/// A packet held back goes when the next one has passed, or after this many calls without a next one: some tens of
/// microseconds on a worker that turns, a tenth of a second on one that falls asleep meanwhile.
const PATIENCE: u32 = 64;

/// How bad the wire is: the odds of each fault, 0 for never and 1 for always. Odds outside of that count as the nearer end.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct FaultConfig {
    /// A packet is lost.
    pub drop: f64,
    /// A packet is held back and comes behind the next one.
    pub reorder: f64,
    /// One byte of a packet's first segment is changed.
    pub corrupt: f64,
    /// A packet comes twice; not if there is no frame for the second.
    pub duplicate: f64,
    /// The same seed and packets meet the same faults.
    pub seed: u64,
}

/// Any port behind a bad wire. With all odds at zero it is the port itself, at the cost of a copy of each burst's tokens.
///
/// Up to a burst of packets lies between the switch's queue and the inner port's ring; these count as sent, as if that
/// ring were a burst longer.
pub struct FaultPort {
    inner: Box<dyn Port>,
    inward: BadWire,
    outward: BadWire,
    burst: Burst,
    staged: OutQueue,
}

impl FaultPort {
    /// Puts a bad wire before `inner`.
    #[must_use]
    pub fn new(inner: Box<dyn Port>, config: FaultConfig) -> Self {
        Self {
            inner,
            inward: BadWire::new(config, config.seed),
            outward: BadWire::new(config, !config.seed),
            burst: Burst::new(),
            // Each packet of a burst twice, and the one that was held back.
            staged: OutQueue::new(2 * BURST + 1),
        }
    }

    /// Hands the inner port what is staged. Returns whether it took all.
    fn push_on(&mut self, pool: &mut FramePool) -> bool {
        if !self.staged.is_empty() {
            self.inner.transmit(pool, &mut self.staged);
        }
        self.staged.is_empty()
    }

    /// Stages what came through the wire. Only called when nothing is staged, so it has room.
    fn stage(&mut self, pool: &mut FramePool) {
        for frame in self.outward.passed.drain(..) {
            let length = length_of(&frame, pool.umem());
            if let Err(frame) = self.staged.push(frame, length) {
                pool.give(frame);
            }
        }
    }
}

impl Port for FaultPort {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        if self.inward.passed.is_empty() {
            self.inner.receive(pool, &mut self.burst);
            if self.burst.is_empty() {
                self.inward.wait();
            }
            for frame in self.burst.drain() {
                self.inward.pass(pool, frame);
            }
        }
        // Doubled packets may be more than there is room for; the rest comes first next time.
        while burst.room() > 0
            && let Some(frame) = self.inward.passed.pop_front()
        {
            burst.push(frame);
        }
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        if !self.push_on(pool) {
            return;
        }
        if queue.is_empty() {
            self.outward.wait();
            self.stage(pool);
            self.push_on(pool);
        }
        while !queue.is_empty() {
            let next = queue.len().min(BURST);
            for frame in queue.frames().drain(..next) {
                self.outward.pass(pool, frame);
            }
            self.stage(pool);
            if !self.push_on(pool) {
                return;
            }
        }
    }

    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError> {
        self.inner.settle(pool)
    }

    fn outstanding(&self) -> bool {
        let waiting = !self.staged.is_empty() || self.inward.holds() || self.outward.holds();
        waiting || self.inner.outstanding()
    }

    fn health(&mut self) -> Result<(), PortError> {
        self.inner.health()
    }

    fn wake_fds(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.inner.wake_fds()
    }

    fn sockets(&self) -> &[Socket] {
        self.inner.sockets()
    }

    fn can_be_handed_over(&self) -> bool {
        self.inner.can_be_handed_over()
    }

    fn pause(&mut self, pool: &mut FramePool) {
        let Self { inward, outward, staged, .. } = self;
        for frame in staged.frames().drain(..).chain(inward.give_up()).chain(outward.give_up()) {
            pool.give(frame);
        }
        self.inner.pause(pool);
    }

    fn facts(&self) -> PortFacts {
        self.inner.facts()
    }

    fn statistics(&self) -> PortStatistics {
        let mut statistics = self.inner.statistics();
        statistics.faults += self.inward.lost + self.outward.lost;
        statistics
    }

    fn close(mut self: Box<Self>, pool: &mut FramePool) {
        self.pause(pool);
        self.inner.close(pool);
    }
}

/// One direction.
struct BadWire {
    config: FaultConfig,
    dice: Dice,
    /// What came through and was not fetched yet, first to go first.
    passed: VecDeque<Frame>,
    /// A packet that waits for the next one.
    held: Option<Frame>,
    /// Calls it has waited.
    waited: u32,
    lost: u64,
}

impl BadWire {
    fn new(config: FaultConfig, seed: u64) -> Self {
        Self { config, dice: Dice(seed), passed: VecDeque::new(), held: None, waited: 0, lost: 0 }
    }

    /// Lets a packet meet its fate.
    fn pass(&mut self, pool: &mut FramePool, mut frame: Frame) {
        // All dice are thrown for each packet, so that the odds of one fault do not move the others to other packets.
        let lost = self.dice.shows(self.config.drop);
        let late = self.dice.shows(self.config.reorder);
        let spoilt = self.dice.shows(self.config.corrupt);
        let doubled = self.dice.shows(self.config.duplicate);
        let aim = self.dice.throw();
        if lost {
            self.lost += 1;
            pool.give(frame);
            return;
        }
        if spoilt {
            spoil(pool, &mut frame, aim);
        }
        let umem = pool.umem().clone();
        let second = if doubled { pool.copy_packet(&umem, &frame) } else { None };
        if late && self.held.is_none() {
            self.held = Some(frame);
            self.waited = 0;
            if second.is_none() {
                return;
            }
        } else {
            self.passed.push_back(frame);
        }
        self.passed.extend(second);
        self.passed.extend(self.held.take());
    }

    /// A call went by without a packet.
    fn wait(&mut self) {
        self.waited += 1;
        if self.waited >= PATIENCE {
            self.passed.extend(self.held.take());
        }
    }

    fn holds(&self) -> bool {
        self.held.is_some() || !self.passed.is_empty()
    }

    fn give_up(&mut self) -> impl Iterator<Item = Frame> {
        self.passed.drain(..).chain(self.held.take())
    }
}

/// Changes one byte. A checksum that was left for the device to finish is finished before, or the device would make it
/// right for the wrong bytes. On the way in nobody can tell whether a pod left one: a pod that does may see a spoilt
/// payload arrive with a right checksum.
fn spoil(pool: &FramePool, frame: &mut Frame, aim: u64) {
    pool.umem().finish_checksum(frame);
    let bytes = frame.bytes_mut();
    if bytes.is_empty() {
        return;
    }
    let at = (aim >> 8) as usize % bytes.len();
    // Never zero, which would change nothing.
    bytes[at] ^= (aim as u8).max(1);
}

/// splitmix64: one addition and three mixing steps, and every seed is a good one. A crate of better generators would be a
/// dependency for fifteen lines.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something with these odds happens this time. Of the 53 bits an `f64` tells apart, none is at or above 1.
    fn shows(&mut self, odds: f64) -> bool {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        ((self.throw() >> 11) as f64) * STEP < odds
    }
}
