//! What a packet of ours says of itself: which run, which number, when it should have left. Eighteen bytes at the payload's begin, so
//! that the smallest Ethernet frame has room for them behind IPv4 and UDP.
//!
//! ```text
//!    0       2       4       6                       12                      18
//!   | check | 504c  |  run  | number (48 bits)      | intended (48 bits, ns) | fill ...
//! ```
//!
//! *Check* makes the Internet sum of the whole payload come out as all ones, which is zero in ones' complement. So one sum over the payload
//! tells whether it arrived as it left, and the UDP or TCP checksum over it is the same for every stamp: it need not be computed per packet.
//!
//! *Intended* is when the packet should have left by its rate, not when it did. A generator that was held up would otherwise time only
//! the packets it got round to sending, and leave out the wait of those it did not (coordinated omission).

use podlane_wire::{Sum, checksum};

use crate::generator::clock::Nanos;

/// What stands before the run's number.
const MAGIC: u16 = 0x504c;

/// Where each part lies.
const TAG_AT: usize = 2;
const NUMBER_AT: usize = 6;
const INTENDED_AT: usize = 12;

/// Bits of the number and of the time.
const BITS: u32 = 48;
const MASK: u64 = (1 << BITS) - 1;

/// A payload lies behind Ethernet, IPv4 and UDP at least.
const EARLIEST: usize = 14 + 20 + 8;

/// So many of the 32 bits of magic and run may be wrong before a packet is taken to be somebody else's.
const FORGIVEN: u32 = 4;

/// Tells the packets of one run from those of another, and from everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub u16);

impl RunId {
    /// A number for runs of this process. The smallest frame has room for 16 bits, so the packets of another process, of now or of before, pass for
    /// ours once in 65,536 times; who has several senders at once tells them apart (`--run`).
    #[must_use]
    pub fn fresh(now: Nanos) -> Self {
        Self((now.0 / 1_000) as u16 ^ std::process::id() as u16)
    }
}

/// The stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run.
    pub run: RunId,
    /// The packet's number in the run, from zero; below 2^48.
    pub number: u64,
    /// When it should have left, by the clock of the machine that sent it. 48 bits are sent: 78 hours.
    pub intended: Nanos,
}

impl Stamp {
    /// Its length in bytes.
    pub const LEN: usize = 18;

    /// Writes it, in front of payload bytes of this sum.
    #[inline]
    pub fn write(&self, fill: Sum, into: &mut [u8; Self::LEN]) {
        into[TAG_AT..NUMBER_AT].copy_from_slice(&tag(self.run).to_be_bytes());
        into[NUMBER_AT..INTENDED_AT].copy_from_slice(&self.number.to_be_bytes()[2..]);
        into[INTENDED_AT..].copy_from_slice(&self.intended.0.to_be_bytes()[2..]);
        let check = checksum::sum(&into[TAG_AT..]).plus(fill).finish();
        into[..TAG_AT].copy_from_slice(&check.to_be_bytes());
    }

    /// Reads what [`Self::write`] wrote, whether it is whole or not.
    #[inline]
    fn read(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word[2..].copy_from_slice(&bytes[at..at + 6]);
            u64::from_be_bytes(word)
        };
        let run = RunId(u16::from_be_bytes([bytes[4], bytes[5]]));
        Self { run, number: word(NUMBER_AT), intended: Nanos(word(INTENDED_AT)) }
    }

    /// How long before `now` the packet should have left; zero if the clocks disagree.
    #[inline]
    #[must_use]
    pub fn age(&self, now: Nanos) -> Nanos {
        let age = now.0.wrapping_sub(self.intended.0) & MASK;
        Nanos(if age >> (BITS - 1) == 0 { age } else { 0 })
    }
}

/// Whether a payload is as it was stamped.
#[inline]
fn adds_up(payload: &[u8]) -> bool {
    podlane_rings::ones_complement_sum(payload) == 0xffff
}

/// Magic and run.
#[inline]
fn tag(run: RunId) -> u32 {
    u32::from(MAGIC) << 16 | u32::from(run.0)
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// One of the run, its payload as it left.
    Whole(Stamp),
    /// One of the run, its payload changed or cut.
    Corrupted,
    /// Somebody else's.
    Foreign,
}

/// Finds stamps. It looks where the last one was, because the frames of a run have their payload at the same place, and searches the frame
/// where that fails: what is measured may push or pop headers.
#[derive(Clone, Debug)]
pub struct Finder {
    run: Option<RunId>,
    at: usize,
}

impl Finder {
    /// Finds the stamps of one run; without one, of whichever it meets first.
    #[must_use]
    pub const fn new(run: Option<RunId>) -> Self {
        Self { run, at: EARLIEST }
    }

    /// The run, once it is known.
    #[must_use]
    pub const fn run(&self) -> Option<RunId> {
        self.run
    }

    /// Looks at a frame.
    #[inline]
    pub fn find(&mut self, frame: &[u8]) -> Found {
        match self.difference(frame, self.at) {
            Some(0) => self.judge(frame, self.at),
            _ => self.search(frame),
        }
    }

    /// How many bits of the tag are wrong at a place; `None` if the frame ends before.
    #[inline]
    fn difference(&self, frame: &[u8], at: usize) -> Option<u32> {
        let bytes: [u8; 4] = frame.get(at + TAG_AT..)?.first_chunk().copied()?;
        let found = u32::from_be_bytes(bytes);
        Some(match self.run {
            Some(run) => (found ^ tag(run)).count_ones(),
            None => (found >> 16 ^ u32::from(MAGIC)).count_ones(),
        })
    }

    #[inline]
    fn judge(&mut self, frame: &[u8], at: usize) -> Found {
        let payload = &frame[at..];
        let Some(bytes) = payload.first_chunk() else { return Found::Corrupted };
        if !adds_up(payload) {
            return Found::Corrupted;
        }
        let stamp = Stamp::read(bytes);
        self.run = Some(stamp.run);
        self.at = at;
        Found::Whole(stamp)
    }

    /// A stamp elsewhere in the frame; else a damaged one at the usual place; else none. All headers are of even length.
    #[cold]
    fn search(&mut self, frame: &[u8]) -> Found {
        for at in (EARLIEST..frame.len()).step_by(2) {
            if self.difference(frame, at) == Some(0) && matches!(self.judge(frame, at), Found::Whole(_)) {
                return self.judge(frame, at);
            }
        }
        let nearly = self.run.is_some() && self.difference(frame, self.at).is_some_and(|bits| bits <= FORGIVEN);
        // What adds up is whole, and so another run's.
        if nearly && !adds_up(&frame[self.at..]) { Found::Corrupted } else { Found::Foreign }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(0xbeef);

    /// A frame with a stamp behind `headers` bytes, and `fill` bytes behind that.
    fn frame(headers: usize, fill: usize, number: u64) -> Vec<u8> {
        let mut frame = vec![0xaa; headers + Stamp::LEN];
        frame.extend((0..fill).map(|at| (at * 37 + 11) as u8));
        let rest = checksum::sum(&frame[headers + Stamp::LEN..]);
        let stamp = Stamp { run: RUN, number, intended: Nanos(1_000_000) };
        stamp.write(rest, frame[headers..].first_chunk_mut().unwrap());
        frame
    }

    #[test]
    fn a_stamp_reads_as_written_behind_any_headers_and_before_any_fill() {
        for headers in [42, 46, 54, 62, 92, 112] {
            for fill in [0, 1, 2, 511, 1_458] {
                let number = MASK - fill as u64;
                let expected = Found::Whole(Stamp { run: RUN, number, intended: Nanos(1_000_000) });
                for run in [None, Some(RUN)] {
                    assert_eq!(Finder::new(run).find(&frame(headers, fill, number)), expected, "{headers} {fill}");
                }
            }
        }
    }

    #[test]
    fn the_payloads_sum_is_the_same_for_every_stamp() {
        let sum = |number| checksum::sum(&frame(42, 33, number)[42..]).fold();
        assert_eq!((sum(1), sum(2), sum(MASK)), (0xffff, 0xffff, 0xffff));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_corruption() {
        let whole = frame(42, 45, 7);
        let mut finder = Finder::new(Some(RUN));
        assert!(matches!(finder.find(&whole), Found::Whole(_)));
        for bit in 42 * 8..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(finder.find(&flipped), Found::Corrupted, "bit {bit}");
        }
        for len in 42 + NUMBER_AT..whole.len() {
            assert_eq!(finder.find(&whole[..len]), Found::Corrupted, "{len} bytes");
        }
    }

    #[test]
    fn a_run_that_differs_by_one_bit_is_another_run() {
        let mut finder = Finder::new(Some(RunId(RUN.0 ^ 1)));
        assert_eq!(finder.find(&frame(42, 9, 7)), Found::Foreign);
    }

    #[test]
    fn what_another_run_or_another_program_sent_is_foreign() {
        let mut finder = Finder::new(None);
        assert!(matches!(finder.find(&frame(42, 0, 7)), Found::Whole(_)));
        assert_eq!(finder.run(), Some(RUN), "the first run met is the one that counts");
        assert_eq!(Finder::new(Some(RunId(!RUN.0))).find(&frame(42, 0, 7)), Found::Foreign);
        assert_eq!(finder.find(&[0; 64]), Found::Foreign);
        assert_eq!(finder.find(&[]), Found::Foreign);
    }

    #[test]
    fn an_age_is_right_across_the_wrap_of_48_bits_and_never_negative() {
        let stamp = Stamp { run: RUN, number: 0, intended: Nanos(MASK - 10) };
        assert_eq!(stamp.age(Nanos(MASK + 1 + 20)), Nanos(31));
        assert_eq!(stamp.age(Nanos(MASK - 11)), Nanos(0));
    }
}
