//! A flow that is carried: it meets no stage, and is missing nowhere.

use podlane_dataplane::{
    offload::emulated::Settings,
    testbed::{received, sent},
};

use crate::{
    offload::bed::{A, B, ENOUGH, establish, pair, pass, report, settle},
    packets::{BLUE, RED, udp4},
};

#[test]
fn a_flow_is_carried_once_it_has_moved_enough_and_its_packets_meet_no_stage() {
    let mut bed = pair(Settings::default());
    let packet = udp4(A, B);
    for _ in 0..=ENOUGH {
        pass(&mut bed, RED, &packet);
    }
    let before = bed.counters();
    assert_eq!((before.hits + before.misses, report(&bed).flows), (ENOUGH as u64 + 1, 1));
    bed.moved();
    let _ = bed.sent_by(BLUE);
    for _ in 0..5 {
        pass(&mut bed, RED, &packet);
    }
    assert_eq!(bed.sent_by(BLUE), vec![packet; 5]);
    let after = bed.counters();
    assert_eq!((after.hits, after.misses), (before.hits, before.misses));
    // Until the engine is asked, nobody knows of them; then the ledger has both sides at once.
    assert_eq!(bed.moved(), []);
    settle(&mut bed);
    assert_eq!(bed.moved(), [received(RED, 5), sent(BLUE, 5)]);
    let report = report(&bed);
    assert_eq!((report.offered, report.taken, report.hits, report.carried.packets), (1, 1, 5, 5));
}

#[test]
fn a_carried_flow_lives_by_what_the_engine_counts_and_shows_it() {
    let mut bed = pair(Settings::default());
    let packet = udp4(A, B);
    establish(&mut bed, RED, &packet);
    // Longer than flows may be idle, and than a sweep takes.
    for _ in 0..90 {
        bed.pass(1000);
        bed.receive(RED, packet.clone());
    }
    settle(&mut bed);
    let flows = bed.shared.flows.records(9, |_| true);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].packets, ENOUGH as u64 + 1 + 90);
    assert_eq!(flows[0].bytes, flows[0].packets * packet.len() as u64);
    assert_eq!((report(&bed).hits, report(&bed).aged), (90, 0));
    assert_eq!(bed.moved(), [received(RED, 90), sent(BLUE, 90)]);
    // Nothing comes any more: it ends, here and there.
    bed.pass(80_000);
    assert_eq!((bed.shared.flows.used(), report(&bed).flows, report(&bed).aged), (0, 0, 1));
}
