//! What became of the packets of a run: which arrived, once, in order, whole, and how late.
//!
//! Every packet has a number, and a window of bits remembers which of the last four million numbers were seen. So a duplicate is told
//! from a packet out of order however they are mixed, at the cost of one bit in a word that is in the cache. What comes later than
//! the window reaches is neither: it is *stale*, and counts as lost.

use hdrhistogram::{CreationError, Histogram};

use super::clock::Nanos;
use crate::traffic::stamp::{Finder, Found, RunId, Stamp};

/// Numbers that the window remembers.
const SPAN: u64 = 1 << 22;

/// The longest latency that is told from longer ones.
const LONGEST: u64 = 60_000_000_000;

/// Latencies are kept to this many digits.
const DIGITS: u8 = 3;

/// Counts of what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// All frames of the run, in whatever state, however often.
    pub received: u64,
    /// Packets that arrived whole, each counted once.
    pub whole: u64,
    /// Of these, packets that a later one overtook (RFC 4737, section 3).
    pub reordered: u64,
    /// Packets that arrived again.
    pub duplicated: u64,
    /// Packets whose payload was changed or cut.
    pub corrupted: u64,
    /// Packets that came too late to be told from duplicates.
    pub stale: u64,
    /// Frames that are not of the run.
    pub foreign: u64,
    /// Bytes of the frames of the run, without check sequences.
    pub bytes: u64,
    /// One more than the highest number seen.
    pub next: u64,
}

/// Looks at what arrives.
pub struct Analyser {
    finder: Finder,
    /// Of a capture nothing but the number of packets can be told.
    stamped: bool,
    counts: Arrivals,
    window: Box<[u64]>,
    /// Where sender and receiver have one clock.
    latency: Option<Histogram<u64>>,
}

impl Analyser {
    /// For the packets of a run; of the first run met without one. Latencies are collected where there is something to collect them in:
    /// sender and receiver must have one clock for that.
    #[must_use]
    pub fn new(run: Option<RunId>, latency: Option<Histogram<u64>>) -> Self {
        Self {
            finder: Finder::new(run),
            stamped: true,
            counts: Arrivals::default(),
            window: vec![0; (SPAN / 64) as usize].into_boxed_slice(),
            latency,
        }
    }

    /// For packets without stamps, of which only the number can be told.
    #[must_use]
    pub fn of_unstamped() -> Self {
        Self { stamped: false, ..Self::new(None, None) }
    }

    /// Looks at a frame that arrived at a time.
    #[inline]
    pub fn see(&mut self, frame: &[u8], now: Nanos) {
        if !self.stamped {
            self.counts.received += 1;
            self.counts.whole += 1;
            self.counts.bytes += frame.len() as u64;
            return;
        }
        match self.finder.find(frame) {
            Found::Whole(stamp) => {
                self.count(frame);
                self.note(stamp, now);
            }
            Found::Corrupted => {
                self.count(frame);
                self.counts.corrupted += 1;
            }
            Found::Foreign => self.counts.foreign += 1,
        }
    }

    #[inline]
    fn count(&mut self, frame: &[u8]) {
        self.counts.received += 1;
        self.counts.bytes += frame.len() as u64;
    }

    #[inline]
    fn note(&mut self, stamp: Stamp, now: Nanos) {
        let Stamp { number, .. } = stamp;
        if number >= self.counts.next {
            self.open(number);
            self.counts.next = number + 1;
        } else if self.counts.next - number > SPAN - 64 {
            self.counts.stale += 1;
            return;
        } else if self.window[word(number)] & bit(number) != 0 {
            self.counts.duplicated += 1;
            return;
        } else {
            self.counts.reordered += 1;
        }
        self.window[word(number)] |= bit(number);
        self.counts.whole += 1;
        if let Some(latency) = &mut self.latency {
            // What took longer than the longest is recorded as that.
            latency.saturating_record(stamp.age(now).0);
        }
    }

    /// Moves the window's upper end to a number: forgets what was remembered in the words it enters.
    #[inline]
    fn open(&mut self, number: u64) {
        let words = self.window.len() as u64;
        // The word of the highest number so far is in use; of no number none is.
        let (entered, last) = (self.counts.next.div_ceil(64), number / 64);
        if last >= entered + words {
            self.window.fill(0);
            return;
        }
        for at in entered..=last {
            self.window[(at % words) as usize] = 0;
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Arrivals {
        self.counts
    }

    /// What was counted, and the latencies of the packets that arrived whole, in nanoseconds.
    #[must_use]
    pub fn finish(self) -> (Arrivals, Option<Histogram<u64>>) {
        (self.counts, self.latency)
    }
}

/// Where latencies are collected.
///
/// # Errors
/// There is too little memory.
pub fn latencies() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS)
}

#[inline]
const fn word(number: u64) -> usize {
    (number % SPAN / 64) as usize
}

#[inline]
const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use podlane_wire::Sum;
    use proptest::prelude::*;

    use super::*;

    const RUN: RunId = RunId(3);

    fn frame(number: u64) -> Vec<u8> {
        let mut frame = vec![0; 42 + Stamp::LEN];
        let stamp = Stamp { run: RUN, number, intended: Nanos(number * 10) };
        stamp.write(Sum::ZERO, frame[42..].first_chunk_mut().unwrap());
        frame
    }

    fn seen(numbers: impl IntoIterator<Item = u64>) -> Arrivals {
        let mut analyser = Analyser::new(Some(RUN), Some(latencies().unwrap()));
        for number in numbers {
            analyser.see(&frame(number), Nanos(number * 10));
        }
        Arrivals { bytes: 0, ..analyser.finish().0 }
    }

    #[test]
    fn packets_in_order_are_all_there_is() {
        let arrivals = Arrivals { received: 1_000, whole: 1_000, next: 1_000, ..Arrivals::default() };
        assert_eq!(seen(0..1_000), arrivals);
    }

    #[test]
    fn what_is_overtaken_is_reordered_and_what_comes_again_is_a_duplicate() {
        let arrivals = Arrivals { received: 7, whole: 5, reordered: 1, duplicated: 2, next: 6, ..Arrivals::default() };
        assert_eq!(seen([0, 2, 1, 2, 3, 5, 1]), arrivals);
    }

    #[test]
    fn what_is_older_than_the_window_is_stale() {
        let last = 3 * SPAN + 5;
        let arrivals =
            Arrivals { received: 4, whole: 3, reordered: 1, stale: 1, next: last + 1, ..Arrivals::default() };
        assert_eq!(seen([0, last, last - 70, 1]), arrivals);
    }

    #[test]
    fn a_latency_is_counted_from_when_the_packet_should_have_left() {
        let mut analyser = Analyser::new(Some(RUN), Some(latencies().unwrap()));
        for number in 0..100 {
            analyser.see(&frame(number), Nanos(number * 10 + 5_000));
        }
        let latency = analyser.finish().1.unwrap();
        assert_eq!((latency.len(), latency.min(), latency.max()), (100, 5_000, 5_003), "to three digits");
    }

    #[test]
    fn frames_of_others_and_damaged_ones_are_told_apart() {
        let mut analyser = Analyser::new(Some(RUN), Some(latencies().unwrap()));
        let mut damaged = frame(1);
        damaged[59] ^= 1;
        for frame in [frame(0), damaged, vec![0; 60]] {
            analyser.see(&frame, Nanos(0));
        }
        let expected =
            Arrivals { received: 2, whole: 1, corrupted: 1, foreign: 1, bytes: 120, next: 1, ..Arrivals::default() };
        assert_eq!(analyser.counts(), expected);
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(steps in proptest::collection::vec((0_u64..2_000, any::<bool>()), 1..300)) {
            let (mut set, mut next) = (HashSet::new(), 0_u64);
            let mut expected = Arrivals::default();
            let mut numbers = Vec::new();
            for (step, ahead) in steps {
                let number = if ahead { next + step * 700 } else { next.saturating_sub(step) };
                numbers.push(number);
                expected.received += 1;
                if !set.insert(number) {
                    expected.duplicated += 1;
                    continue;
                }
                expected.whole += 1;
                expected.reordered += u64::from(number < next);
                next = next.max(number + 1);
            }
            expected.next = next;
            prop_assert_eq!(seen(numbers), expected);
        }
    }
}
