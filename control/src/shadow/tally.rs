//! Where two policies differ, counted on the workers' own time.
//!
//! ```text
//!   difference --hash of both rules--> slot: [ key | count | version, last connection ]   full: counted all the same, and listed no more
//! ```
//!
//! The slots are there from the start, and whatever changes is one atomic word or stands under an odd version: nobody allocates, locks or
//! waits. A worker that finds another one writing the last connection leaves it at that: the other's is as good.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use podlane_dataplane::policy::{Opening, Rule, Verdict};

/// Pairs of rules that are told apart.
const SLOTS: usize = 256;

/// Times that a reader looks at a sample that is being written.
const TRIES: usize = 100;

const WORDS: usize = 5;

/// Marks a slot's key as one, whatever its rules.
const TAKEN: u64 = 1 << 63;
const RULE: u64 = (1 << 31) - 1;
const LIVE_AT: u32 = 32;
const CANDIDATE_AT: u32 = 1;

/// A connection that two policies decide differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// A pair of rules that decide differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    pub(crate) live: Verdict,
    pub(crate) candidate: Verdict,
    pub(crate) count: u64,
    /// The last one; none while it is being written.
    pub(crate) last: Option<Sample>,
}

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    count: AtomicU64,
    /// Odd while the words are written, 0 before they ever were.
    version: AtomicU32,
    words: [AtomicU64; WORDS],
}

/// What was seen, and what of it differed.
#[derive(Debug)]
pub(crate) struct Tally {
    judged: AtomicU64,
    different: AtomicU64,
    unlisted: AtomicU64,
    slots: Box<[Slot]>,
}

impl Default for Tally {
    fn default() -> Self {
        let [judged, different, unlisted] = Default::default();
        Self { judged, different, unlisted, slots: (0..SLOTS).map(|_| Slot::default()).collect() }
    }
}

impl Tally {
    /// Takes in what both said of a connection.
    pub(crate) fn note(&self, opening: &Opening, live: Verdict, candidate: Verdict) {
        self.judged.fetch_add(1, Ordering::Relaxed);
        if live.allow == candidate.allow {
            return;
        }
        self.different.fetch_add(1, Ordering::Relaxed);
        match self.slot(key(live, candidate)) {
            Some(slot) => {
                slot.count.fetch_add(1, Ordering::Relaxed);
                slot.keep(opening);
            }
            None => drop(self.unlisted.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Verdicts in all, those that differed, and those of these that are in no slot.
    pub(crate) fn totals(&self) -> [u64; 3] {
        [&self.judged, &self.different, &self.unlisted].map(|count| count.load(Ordering::Relaxed))
    }

    /// The pairs of rules that differed, in no order.
    pub(crate) fn differences(&self) -> impl Iterator<Item = Difference> {
        self.slots.iter().filter_map(|slot| {
            let (live, candidate) = verdicts(slot.key.load(Ordering::Acquire))?;
            let count = slot.count.load(Ordering::Relaxed);
            (count > 0).then(|| Difference { live, candidate, count, last: slot.last() })
        })
    }

    /// The slot of a key, taken for it if none is yet.
    fn slot(&self, key: u64) -> Option<&Slot> {
        let first = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let slots = (0..SLOTS).filter_map(|step| self.slots.get((first + step) % SLOTS));
        slots.into_iter().find(|slot| {
            let known = slot.key.load(Ordering::Acquire);
            known == key
                || (known == 0
                    && match slot.key.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
                        Ok(_) => true,
                        Err(taken) => taken == key,
                    })
        })
    }
}

impl Slot {
    fn keep(&self, opening: &Opening) {
        let before = self.version.load(Ordering::Relaxed);
        let free = before & 1 == 0;
        let after = before.wrapping_add(1);
        if !free || self.version.compare_exchange(before, after, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(words(opening)) {
            word.store(value, Ordering::Relaxed);
        }
        // 0 means never: after four billion samples it is passed over.
        self.version.store(after.wrapping_add(1).max(2), Ordering::Release);
    }

    fn last(&self) -> Option<Sample> {
        for _ in 0..TRIES {
            let before = self.version.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            let mut read = [0; WORDS];
            for (value, word) in read.iter_mut().zip(&self.words) {
                *value = word.load(Ordering::Relaxed);
            }
            fence(Ordering::Acquire);
            if before & 1 == 0 && self.version.load(Ordering::Relaxed) == before {
                return Some(sample(read));
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// A rule's number has 31 bits here: more rules do not fit into memory.
fn key(live: Verdict, candidate: Verdict) -> u64 {
    TAKEN
        | (u64::from(live.rule.0) & RULE) << LIVE_AT
        | (u64::from(candidate.rule.0) & RULE) << CANDIDATE_AT
        | u64::from(live.allow)
}

fn verdicts(key: u64) -> Option<(Verdict, Verdict)> {
    let rule = |at: u32| Rule((key >> at & RULE) as u32);
    let allow = key & 1 == 1;
    let live = Verdict { allow, rule: rule(LIVE_AT) };
    (key != 0).then_some((live, Verdict { allow: !allow, rule: rule(CANDIDATE_AT) }))
}

const WIDE: u64 = 1 << 32;

fn words(opening: &Opening) -> [u64; WORDS] {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 0),
        IpAddr::V6(v6) => (v6.to_bits(), WIDE),
    };
    let ((from, wide), (to, _)) = (bits(opening.from.address), bits(opening.to.address));
    let kind = u64::from(opening.port) | u64::from(opening.protocol) << 16 | wide;
    [(from >> 64) as u64, from as u64, (to >> 64) as u64, to as u64, kind]
}

fn sample([a, b, c, d, kind]: [u64; WORDS]) -> Sample {
    let address = |high: u64, low: u64| match kind & WIDE {
        0 => IpAddr::V4(Ipv4Addr::from_bits(low as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low))),
    };
    Sample { from: address(a, b), to: address(c, d), protocol: (kind >> 16) as u8, port: kind as u16 }
}

#[cfg(test)]
mod tests {
    use podlane_dataplane::PortId;
    use podlane_dataplane::policy::End;

    use podlane_dataplane::policy::Leasing;

    use super::*;

    fn opening(from: &str, to: &str, port: u16) -> Opening {
        let end = |address: &str| End { address: address.parse().unwrap(), port: PortId(1) };
        Opening { from: end(from), to: end(to), protocol: 6, port, leasing: Leasing::Unrelated }
    }

    const fn allow(rule: u32) -> Verdict {
        Verdict { allow: true, rule: Rule(rule) }
    }

    const fn deny(rule: u32) -> Verdict {
        Verdict { allow: false, rule: Rule(rule) }
    }

    #[test]
    fn only_what_differs_is_listed_with_its_count_and_its_last_connection() {
        let tally = Tally::default();
        tally.note(&opening("10.0.0.1", "10.0.0.2", 80), allow(7), allow(9));
        for port in [80, 443] {
            tally.note(&opening("10.0.0.1", "10.0.0.2", port), allow(0), deny(4));
        }
        tally.note(&opening("fd00::1", "fd00::2", 53), deny(4), allow(0));
        assert_eq!(tally.totals(), [4, 3, 0]);
        let mut differences: Vec<Difference> = tally.differences().collect();
        differences.sort_by_key(|difference| difference.count);
        let sample = |from: &str, to: &str, port| {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            Some(Sample { from, to, protocol: 6, port })
        };
        let opened =
            Difference { live: deny(4), candidate: allow(0), count: 1, last: sample("fd00::1", "fd00::2", 53) };
        let shut =
            Difference { live: allow(0), candidate: deny(4), count: 2, last: sample("10.0.0.1", "10.0.0.2", 443) };
        assert_eq!(differences, [opened, shut]);
    }

    #[test]
    fn more_pairs_than_slots_are_counted_and_not_listed() {
        let tally = Tally::default();
        for rule in 0..300 {
            tally.note(&opening("10.0.0.1", "10.0.0.2", 80), allow(0), deny(4 + rule));
        }
        assert_eq!(tally.totals(), [300, 300, 300 - SLOTS as u64]);
        assert_eq!(tally.differences().count(), SLOTS);
        tally.note(&opening("10.0.0.1", "10.0.0.2", 80), allow(0), deny(4));
        assert_eq!(tally.totals(), [301, 301, 300 - SLOTS as u64], "a pair that has a slot keeps it");
    }

    #[test]
    fn workers_at_once_lose_no_count_and_tear_no_sample() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for worker in 0..4_u8 {
                let tally = &tally;
                scope.spawn(move || {
                    let address = format!("10.0.0.{worker}");
                    for round in 0..5_000_u32 {
                        tally.note(&opening(&address, &address, worker.into()), allow(0), deny(4 + round % 3));
                    }
                });
            }
            for _ in 0..1_000 {
                for Sample { from, to, port, .. } in tally.differences().filter_map(|difference| difference.last) {
                    let IpAddr::V4(v4) = from else { panic!("{from} is of the other family") };
                    assert_eq!((from, u16::from(v4.octets()[3])), (to, port));
                }
            }
        });
        assert_eq!(tally.totals(), [20_000, 20_000, 0]);
        assert_eq!(tally.differences().map(|difference| difference.count).sum::<u64>(), 20_000);
    }
}
