//! Trials through memory, with devices that misbehave in ways that are known, under a clock that moves by itself.

mod altered;
mod captures;

use std::collections::VecDeque;

use super::*;
use crate::{
    generator::{
        clock::{Monotonic, Stepped},
        outcome::Verdict,
        wire::memory::{Device, MemoryWire, Ring, hairpin, plain, through},
    },
    traffic::{Range, Template},
};

static GO_ON: AtomicBool = AtomicBool::new(false);

/// Each look at the clock takes so long. A turn looks up to four times.
const LOOK: Nanos = Nanos(100);

fn between([near, far]: [MemoryWire; 2]) -> Loop<'static, MemoryWire, Stepped> {
    Loop::new(near, Some(far), Stepped::new(LOOK), Threads::Here, &GO_ON).unwrap()
}

fn traffic() -> Traffic {
    Traffic::of(&Template { source_port: Range { first: 1, last: 1_000 }, ..Template::default() }).unwrap()
}

fn trial(device: impl Device + 'static, rate: f64, packets: u64) -> Outcome {
    between(through(4096, device)).trial(Rate::PerSecond(rate), &traffic(), Until::Packets(packets))
}

/// A device that does something to the n-th packet.
struct Does<F>(u64, F);

impl<F: FnMut(u64, &[u8], &mut Ring) + Send> Device for Does<F> {
    fn take(&mut self, packet: &[u8], out: &mut Ring) {
        (self.1)(self.0, packet, out);
        self.0 += 1;
    }
}

/// What a trial counted: sent, whole, lost, reordered, duplicated, corrupted.
fn counts(outcome: &Outcome) -> [u64; 6] {
    let Outcome { sent, whole, lost, reordered, duplicated, corrupted, .. } = outcome;
    [*sent, *whole, *lost, *reordered, *duplicated, *corrupted]
}

#[test]
fn a_wire_that_changes_nothing_is_clean_and_its_rate_is_kept_to_a_packet() {
    for rate in [1_000.0, 100_000.0, 1_000_000.0] {
        let outcome =
            between(plain(4096)).trial(Rate::PerSecond(rate), &traffic(), Until::Time(Duration::from_millis(100)));
        let packets = (rate / 10.0) as u64;
        assert_eq!(counts(&outcome), [packets, packets, 0, 0, 0, 0]);
        assert_eq!((outcome.verdict(), outcome.reached, outcome.late), (Verdict::Clean, rate, 0));
        assert_eq!(outcome.latency.as_ref().map(Histogram::len), Some(packets));
        assert_eq!(outcome.to_string(), "clean: every packet arrived, once, in order, as it left");
    }
}

#[test]
fn the_maximum_is_what_the_clock_leaves_time_for() {
    let outcome = between(plain(4096)).trial(Rate::Maximum, &traffic(), Until::Time(Duration::from_millis(1)));
    // A turn that sends and receives looks at the clock twice, and sends a burst of 64.
    let all = 64 * 1_000_000 / 200;
    assert!(outcome.sent.abs_diff(all) <= 64, "{} of {all}", outcome.sent);
    assert_eq!(outcome.verdict(), Verdict::Clean);
    assert!((outcome.reached / 320e6 - 1.0).abs() < 0.01, "{}", outcome.reached);
}

#[test]
fn a_device_that_drops_is_found_losing() {
    let outcome = trial(
        Does(0, |number, packet: &[u8], out: &mut Ring| {
            if number % 10 != 3 {
                out.put(packet);
            }
        }),
        1e5,
        1_000,
    );
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 900, 100, 0, 0, 0], Verdict::Losing));
    assert_eq!(outcome.to_string(), "loses packets: 100 of 1000 did not arrive (10.0000 %)");
}

#[test]
fn a_device_that_swaps_is_found_reordering() {
    let mut held = VecDeque::new();
    let swap = move |number: u64, packet: &[u8], out: &mut Ring| {
        if number % 100 == 7 {
            held.push_back(packet.to_vec());
            return;
        }
        out.put(packet);
        held.drain(..).for_each(|packet| out.put(&packet));
    };
    let outcome = trial(Does(0, swap), 1e5, 1_000);
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 1_000, 0, 10, 0, 0], Verdict::Reordering));
}

#[test]
fn a_device_that_sends_twice_is_found_duplicating() {
    let twice = |number: u64, packet: &[u8], out: &mut Ring| {
        (0..=u64::from(number.is_multiple_of(4))).for_each(|_| out.put(packet));
    };
    let outcome = trial(Does(0, twice), 1e5, 1_000);
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 1_000, 0, 0, 250, 0], Verdict::Duplicating));
}

#[test]
fn a_device_that_changes_a_bit_is_found_corrupting() {
    let flip = |number: u64, packet: &[u8], out: &mut Ring| {
        let mut packet = packet.to_vec();
        packet[59] ^= u8::from(number.is_multiple_of(5));
        out.put(&packet);
    };
    let outcome = trial(Does(0, flip), 1e5, 1_000);
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 800, 0, 0, 0, 200], Verdict::Corrupting));
}

#[test]
fn a_device_that_forwards_nothing_is_found_silent() {
    let outcome = trial(Does(0, |_, _: &[u8], _: &mut Ring| {}), 1e5, 1_000);
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 0, 1_000, 0, 0, 0], Verdict::Silent));
    assert_eq!(outcome.verdict().exit_status(), 3);
}

/// A device in which packets go around for ever.
struct Circle(VecDeque<Vec<u8>>);

impl Device for Circle {
    fn take(&mut self, packet: &[u8], _: &mut Ring) {
        self.0.push_back(packet.to_vec());
    }

    fn turn(&mut self, out: &mut Ring) {
        if let Some(packet) = self.0.pop_front() {
            out.put(&packet);
            self.0.push_back(packet);
        }
    }
}

#[test]
fn a_device_that_loops_does_not_keep_the_run_from_ending() {
    let [near, far] = through(4096, Circle(VecDeque::new()));
    let mut around = Loop::new(near, Some(far), Stepped::new(Nanos(100_000)), Threads::Here, &GO_ON).unwrap();
    let outcome = around.trial(Rate::PerSecond(1e3), &traffic(), Until::Packets(10));
    assert_eq!((outcome.verdict(), outcome.endless, outcome.lost), (Verdict::Looping, true, 0));
}

#[test]
fn what_an_earlier_trial_left_in_the_device_is_not_counted() {
    let mut held = VecDeque::new();
    let late = move |_: u64, packet: &[u8], out: &mut Ring| {
        held.push_back(packet.to_vec());
        if held.len() > 10 {
            held.drain(..1).for_each(|packet| out.put(&packet));
        }
    };
    let mut around = between(through(4096, Does(0, late)));
    let mut once = || around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(100));
    let (first, second) = (once(), once());
    assert_eq!([first.foreign, second.foreign], [0, 10]);
    assert_eq!([first.lost, second.lost], [10, 10]);
}

#[test]
fn ctrl_c_ends_a_run() {
    let stop = AtomicBool::new(true);
    let [near, far] = plain(64);
    for threads in [Threads::Here, Threads::One(0)] {
        let [near, far] = plain(64);
        let mut around = Loop::new(near, Some(far), Stepped::new(LOOK), threads, &stop).unwrap();
        let outcome = around.trial(Rate::PerSecond(1e3), &traffic(), Until::Time(Duration::from_secs(3600)));
        assert_eq!(outcome.verdict(), Verdict::Interrupted);
    }
    let mut around = Loop::new(near, Some(far), Monotonic, Threads::Two([0, 1]), &stop).unwrap();
    let outcome = around.trial(Rate::Maximum, &traffic(), Until::Time(Duration::from_secs(3600)));
    assert_eq!(outcome.verdict(), Verdict::Interrupted);
}

#[test]
fn two_threads_count_what_one_counts() {
    let [near, far] = plain(65_536);
    let mut around = Loop::new(near, Some(far), Monotonic, Threads::Two([0, 1]), &GO_ON).unwrap();
    let outcome = around.trial(Rate::Maximum, &traffic(), Until::Packets(1_000));
    assert_eq!((counts(&outcome), outcome.verdict()), ([1_000, 1_000, 0, 0, 0, 0], Verdict::Clean));
}

#[test]
fn what_comes_back_is_told_from_what_arrives() {
    let [_, far] = plain(4096);
    let mut around = Loop::new(hairpin(4096), Some(far), Stepped::new(LOOK), Threads::Here, &GO_ON).unwrap();
    let outcome = around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(100));
    assert_eq!((outcome.returned, outcome.received, outcome.verdict()), (100, 0, Verdict::Looping));
    let text = "loops: 100 packets came back to where they were sent from, and 0 arrived; look for a loop";
    assert_eq!(outcome.to_string(), text);
}

/// A device on whose far side others never stop talking.
struct Chatter;

impl Device for Chatter {
    fn take(&mut self, packet: &[u8], out: &mut Ring) {
        out.put(packet);
    }

    fn turn(&mut self, out: &mut Ring) {
        out.put(&[0; 60]);
    }
}

#[test]
fn what_others_send_is_no_part_of_the_run_and_does_not_prolong_it() {
    let [near, far] = through(4096, Chatter);
    let mut around = Loop::new(near, Some(far), Stepped::new(Nanos(10_000)), Threads::Here, &GO_ON).unwrap();
    let outcome = around.trial(Rate::PerSecond(1e3), &traffic(), Until::Packets(10));
    assert_eq!((counts(&outcome), outcome.endless), ([10, 10, 0, 0, 0, 0], false));
    assert_eq!(outcome.verdict(), Verdict::Clean);
    assert!(outcome.foreign > 1_000, "{} of others", outcome.foreign);
}

/// A clock that counts the looks of the thread that made it.
#[derive(Clone)]
struct Watched {
    maker: std::thread::ThreadId,
    looks: Arc<std::sync::atomic::AtomicU64>,
}

impl Clock for Watched {
    fn now(&self) -> Nanos {
        self.looks.fetch_add(u64::from(std::thread::current().id() == self.maker), Relaxed);
        Monotonic.now()
    }
}

#[test]
fn a_run_begins_when_its_threads_are_where_they_belong() {
    for threads in [Threads::One(0), Threads::Two([0, 0])] {
        let looks = Arc::default();
        let clock = Watched { maker: std::thread::current().id(), looks: Arc::clone(&looks) };
        let [near, far] = plain(4096);
        let mut around = Loop::new(near, Some(far), clock, threads, &GO_ON).unwrap();
        let before = looks.load(Relaxed);
        let outcome = around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(10));
        assert_eq!((outcome.sent, looks.load(Relaxed) - before), (10, 0), "{threads:?}");
    }
}

#[test]
fn one_device_can_be_both_ends() {
    let mut around = Loop::new(hairpin(4096), None, Stepped::new(LOOK), Threads::Two([0, 1]), &GO_ON).unwrap();
    assert_eq!(around.describe(), "memory and back");
    let outcome = around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(100));
    assert_eq!((counts(&outcome), outcome.returned), ([100, 100, 0, 0, 0, 0], 0));
}

#[test]
fn stations_are_introduced_from_their_own_sides() {
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = Arc::clone(&heard);
    let device = Does(0, move |_, packet: &[u8], _: &mut Ring| note.lock().unwrap().push(packet[..14].to_vec()));
    let mut around = between(through(4096, device));
    around.introduce(&Traffic::of(&Template::default()).unwrap()).unwrap();
    let hello = [[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1].as_slice(), &[0x88, 0xb5]].concat();
    assert_eq!(*heard.lock().unwrap(), [hello], "to the destination, from the source");
    let outcome = around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(10));
    assert_eq!((outcome.foreign, outcome.returned, outcome.verdict()), (0, 0, Verdict::Silent));
}

#[test]
fn a_gauge_shows_the_run() {
    let mut around = between(plain(4096));
    let gauge = around.gauge();
    around.trial(Rate::PerSecond(1e5), &traffic(), Until::Packets(100));
    let glance = gauge.glance();
    assert_eq!((glance.sent, glance.whole, glance.missing()), (100, 100, 0));
}

#[test]
fn what_the_receiver_itself_had_no_room_for_is_told_beside_the_loss() {
    let pass = |_: u64, packet: &[u8], out: &mut Ring| out.put(packet);
    let mut around = between(through(16, Does(0, pass)));
    let mut once = || around.trial(Rate::Maximum, &traffic(), Until::Packets(64));
    for outcome in [once(), once()] {
        assert_eq!((counts(&outcome), outcome.overrun), ([64, 16, 48, 0, 0, 0], 48), "each trial's own");
        let text = "loses packets: 48 of 64 did not arrive (75.0000 %); 48 found no room at the receiver: ask for a lower rate";
        assert_eq!((outcome.to_string().as_str(), outcome.overrun), (text, 48));
    }
}
