//! Packets that were recorded elsewhere and carry no stamp.

use super::*;

/// A capture of packets at these times, in microseconds, of these lengths.
fn recorded(name: &str, packets: &[(u32, usize)]) -> Traffic {
    let path = crate::traffic::tests::capture(name, packets);
    let frames = Traffic::Recorded(crate::traffic::Recording::read(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    frames
}

#[test]
fn a_gap_in_a_capture_is_no_end_of_it() {
    let frames = recorded("gap", &[(0, 60), (3_000_000, 60)]);
    let [near, far] = plain(64);
    let mut around = Loop::new(near, Some(far), Stepped::new(Nanos(10_000)), Threads::Here, &GO_ON).unwrap();
    let outcome = around.trial(Rate::Recorded, &frames, Until::Packets(3));
    assert_eq!((counts(&outcome), outcome.verdict()), ([3, 3, 0, 0, 0, 0], Verdict::Clean), "three seconds apart");
}

#[test]
fn a_capture_goes_at_its_own_times_and_its_packets_are_counted() {
    let frames = recorded("trial", &[(0, 60), (100, 1514), (400, 64)]);
    let outcome = between(plain(4096)).trial(Rate::Recorded, &frames, Until::Time(Duration::from_millis(60)));
    assert_eq!((counts(&outcome), outcome.verdict()), ([300, 300, 0, 0, 0, 0], Verdict::Clean), "three each 600 us");
    let every_third = |number: u64, packet: &[u8], out: &mut Ring| {
        if !number.is_multiple_of(3) {
            out.put(packet);
        }
    };
    let mut around = between(through(4096, Does(0, every_third)));
    let outcome = around.trial(Rate::PerSecond(1e5), &frames, Until::Packets(300));
    assert_eq!((counts(&outcome), outcome.verdict()), ([300, 200, 100, 0, 0, 0], Verdict::Losing));
}

#[test]
fn a_capture_of_no_length_is_played_once() {
    let frames = recorded("single", &[(0, 60)]);
    let outcome = between(plain(64)).trial(Rate::Recorded, &frames, Until::Time(Duration::from_millis(50)));
    assert_eq!((counts(&outcome), outcome.verdict()), ([1, 1, 0, 0, 0, 0], Verdict::Clean));
    assert_eq!(
        outcome.to_string(),
        "clean: as many packets arrived as left; they carry no stamp, so no more can be told"
    );
}

#[test]
fn of_packets_without_stamps_only_the_number_is_judged() {
    let frames = recorded("number", &[(0, 60), (100, 64)]);
    let swapped_and_changed = |number: u64, _: &[u8], out: &mut Ring| out.put(&[number as u8; 60]);
    let mut around = between(through(64, Does(0, swapped_and_changed)));
    let outcome = around.trial(Rate::PerSecond(1e5), &frames, Until::Packets(10));
    assert_eq!((outcome.verdict(), outcome.stamped), (Verdict::Clean, false));
    let twice = |_: u64, packet: &[u8], out: &mut Ring| (0..2).for_each(|_| out.put(packet));
    let outcome = between(through(64, Does(0, twice))).trial(Rate::PerSecond(1e5), &frames, Until::Packets(10));
    assert_eq!((outcome.received, outcome.verdict()), (20, Verdict::Duplicating));
    let text = "duplicates packets, or others sent some: 20 arrived where 10 left, and without a stamp they look alike";
    assert_eq!(outcome.to_string(), text);
}
