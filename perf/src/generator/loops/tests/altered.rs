//! Wires that take on less than they should, or die.

use super::*;

/// A wire in memory that is worse than one.
struct Altered {
    wire: MemoryWire,
    /// Packets that it takes on at once, at most.
    at_once: usize,
    /// Sends after which it is cut.
    lives_for: u32,
    /// The longest packet that it carries.
    longest: usize,
}

impl Altered {
    fn of(wire: MemoryWire) -> Self {
        let longest = wire.longest();
        Self { wire, at_once: usize::MAX, lives_for: u32::MAX, longest }
    }
}

impl Wire for Altered {
    fn send(&mut self, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> Result<usize, WireError> {
        self.lives_for = self.lives_for.saturating_sub(1);
        if self.lives_for == 0 {
            self.wire.cut();
        }
        let mut left = self.at_once;
        self.wire.send(|slot| {
            left = left.checked_sub(1)?;
            write(slot)
        })
    }

    fn receive(&mut self, read: impl FnMut(&[u8])) -> Result<usize, WireError> {
        self.wire.receive(read)
    }

    fn waiting(&self) -> usize {
        self.wire.waiting()
    }

    fn health(&mut self) -> Result<(), WireError> {
        self.wire.health()
    }

    fn overrun(&self) -> u64 {
        self.wire.overrun()
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn describe(&self) -> String {
        "narrow0".to_owned()
    }
}

#[test]
fn a_rate_that_cannot_be_reached_is_said_so_and_ends_in_time() {
    let [near, far] = plain(4096).map(|wire| Altered { at_once: 1, ..Altered::of(wire) });
    let mut around = Loop::new(near, Some(far), Stepped::new(Nanos(1_000)), Threads::Here, &GO_ON).unwrap();
    let outcome = around.trial(Rate::PerSecond(1e6), &traffic(), Until::Time(Duration::from_millis(100)));
    assert_eq!((outcome.verdict(), outcome.lost), (Verdict::Unreached, 0));
    assert!((4e5..6e5).contains(&outcome.reached), "{}", outcome.reached);
    assert!(outcome.late > outcome.sent * 9 / 10, "{} late of {}", outcome.late, outcome.sent);
    let text = outcome.to_string();
    assert!(text.starts_with("clean, but slower than asked; 1.000 Mpps were asked for and "), "{text}");
    let slowest = outcome.latency.unwrap().max();
    assert!(slowest > 40_000_000, "the wait of a packet that left late is its own: {slowest} ns");
}

#[test]
fn a_device_that_vanishes_ends_the_run_with_what_was_counted() {
    for threads in [Threads::Here, Threads::Two([0, 0])] {
        let [near, far] = plain(4096);
        let near = Altered { lives_for: 1_000, ..Altered::of(near) };
        let mut around = Loop::new(near, Some(Altered::of(far)), Stepped::new(LOOK), threads, &GO_ON).unwrap();
        let outcome = around.trial(Rate::PerSecond(1e5), &traffic(), Until::Time(Duration::from_secs(3600)));
        assert_eq!((outcome.verdict(), outcome.verdict().exit_status()), (Verdict::Broken, 1));
        let text = outcome.to_string();
        assert!(text.contains("the wire in memory is gone"), "{text}");
    }
}

#[test]
fn frames_that_the_wire_does_not_carry_are_refused_and_none_is_sent() {
    let [near, far] = plain(64).map(|wire| Altered { longest: 1_518, ..Altered::of(wire) });
    let mut around = Loop::new(near, Some(far), Stepped::new(LOOK), Threads::Here, &GO_ON).unwrap();
    let mut of_size = |size| {
        let frames = Traffic::of(&Template::default().of_size(size)).unwrap();
        around.trial(Rate::Maximum, &frames, Until::Packets(10))
    };
    assert_eq!(of_size(1_522).verdict(), Verdict::Clean);
    let outcome = of_size(1_523);
    assert_eq!((outcome.sent, outcome.verdict()), (0, Verdict::Broken));
    assert_eq!(
        outcome.to_string(),
        "broken off after 0 packets: narrow0 carries frames of 1522 bytes at the most (its MTU, a tagged header and the check \
         sequence), and these have 1523; ask for shorter ones (--size) or raise the MTU"
    );
}

#[test]
fn a_wire_that_takes_nothing_on_ends_the_run_as_one_that_tells_nothing() {
    let [mut near, _kept] = plain(64);
    let [_lost, far] = plain(64);
    assert_eq!(near.send(|_| Some(60)).unwrap(), 64, "it is full");
    let mut around = Loop::new(near, Some(far), Stepped::new(Nanos(10_000)), Threads::Here, &GO_ON).unwrap();
    for until in [Until::Packets(100), Until::Time(Duration::from_millis(20))] {
        let outcome = around.trial(Rate::Maximum, &traffic(), until);
        assert_eq!((counts(&outcome), outcome.verdict()), ([0; 6], Verdict::Unreached));
        let text = outcome.to_string();
        assert!(text.starts_with("tells nothing: no packet left; look at the device that sends"), "{text}");
    }
}
