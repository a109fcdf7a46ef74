//! What ends it: a flow that must not be carried any more is not, from the next packet on, whatever the engine was doing.

use podlane_dataplane::{
    DropReason,
    offload::{
        Refusal,
        emulated::{Eviction, Settings},
    },
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, received, sent},
};
use podlane_wire::{MacAddr, TcpFlags};

use crate::{
    offload::bed::{A, B, ENOUGH, behind, establish, pair, pass, refused, report, settle},
    packets::{BLUE, GREEN, RED, arp_request, udp4, udp6},
    policy::bed::{ACK, Asked, FIN_ACK, RST, Talk, a_to_b, policed},
};

fn hits(bed: &TestBed) -> u64 {
    report(bed).hits
}

/// A at RED may open to B at BLUE, behind an engine.
fn policed_pair() -> TestBed {
    let mut bed = behind(Settings::default(), Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, policed(B)));
    bed.enforce(2, Asked(a_to_b));
    bed
}

/// A connection of which both directions are carried.
fn carried_talk(bed: &mut TestBed) -> Talk {
    let mut talk = Talk::new();
    talk.establish(bed);
    for _ in 0..ENOUGH {
        pass(bed, RED, &talk.asks(ACK, 0));
        pass(bed, BLUE, &talk.answers(ACK, 0));
    }
    settle(bed);
    assert_eq!(report(bed).flows, 2);
    bed.moved();
    talk
}

#[test]
fn a_policy_that_denies_holds_for_the_next_packet_before_the_offloader_has_heard_of_it() {
    let mut bed = policed_pair();
    let packet = udp4(A, B);
    establish(&mut bed, RED, &packet);
    pass(&mut bed, RED, &packet);
    let before = hits(&bed);
    assert!(before > 0);
    settle(&mut bed);
    bed.moved();
    let offloader = bed.offloader.take();
    bed.enforce(3, Asked(|_: &_| false));
    pass(&mut bed, RED, &packet);
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::PolicyDenied, 1)]);
    bed.offloader = offloader;
    settle(&mut bed);
    assert_eq!((hits(&bed), report(&bed).flows), (before, 0));
}

#[test]
fn an_offer_of_a_former_generation_is_never_carried() {
    let mut bed = policed_pair();
    let packet = udp4(A, B);
    let offloader = bed.offloader.take();
    for _ in 0..=2 * ENOUGH {
        pass(&mut bed, RED, &packet);
    }
    bed.moved();
    // It lies in the ring while the policy changes; the engine takes it out after.
    bed.enforce(3, Asked(|_: &_| false));
    bed.offloader = offloader;
    pass(&mut bed, RED, &packet);
    settle(&mut bed);
    pass(&mut bed, RED, &packet);
    assert_eq!(bed.moved(), [received(RED, 2), dropped(DropReason::PolicyDenied, 2)]);
    assert_eq!((report(&bed).offered, hits(&bed), refused(&bed, Refusal::Outdated)), (1, 0, 1));
}

#[test]
fn after_a_reset_no_data_passes_either_way() {
    for v6 in [false, true] {
        let mut bed = policed_pair();
        let talk = if v6 { carried_talk_of(Talk::new().over_ipv6(), &mut bed) } else { carried_talk(&mut bed) };
        let offloader = bed.offloader.take();
        pass(&mut bed, RED, &talk.asks(RST, 0));
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
        // The engine has not been told to take anything out.
        pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        pass(&mut bed, RED, &talk.asks(ACK, 0));
        assert_eq!(
            bed.moved(),
            [received(RED, 1), received(BLUE, 1), dropped(DropReason::NoConnection, 2)],
            "v6: {v6}"
        );
        bed.offloader = offloader;
        settle(&mut bed);
        assert_eq!((report(&bed).flows, report(&bed).aged), (0, 2));
    }
}

fn carried_talk_of(mut talk: Talk, bed: &mut TestBed) -> Talk {
    talk.establish(bed);
    for _ in 0..ENOUGH {
        pass(bed, RED, &talk.asks(ACK, 0));
        pass(bed, BLUE, &talk.answers(ACK, 0));
    }
    settle(bed);
    bed.moved();
    talk
}

#[test]
fn a_reset_is_held_against_what_the_engine_saw_acknowledged() {
    let mut bed = policed_pair();
    let mut talk = carried_talk(&mut bed);
    // So much is said and acknowledged under the engine that no window from before reaches there.
    for _ in 0..50 {
        talk.client.sequence += 100_000;
        pass(&mut bed, RED, &talk.asks(ACK, 0));
        pass(&mut bed, BLUE, &talk.answers(ACK, 0));
    }
    let offloader = bed.offloader.take();
    pass(&mut bed, RED, &talk.asks(RST, 1_000_000));
    pass(&mut bed, RED, &talk.asks(RST, 0));
    bed.offloader = offloader;
    settle(&mut bed);
    let moved = bed.moved();
    assert!(moved.contains(&dropped(DropReason::BadReset, 1)), "{moved:?}");
    assert!(moved.contains(&received(RED, 52)) && moved.contains(&sent(BLUE, 51)), "{moved:?}");
}

#[test]
fn what_opens_or_ends_a_connection_is_never_carried() {
    let mut bed = policed_pair();
    let talk = carried_talk(&mut bed);
    let before = hits(&bed);
    for flags in [TcpFlags::SYN, FIN_ACK] {
        pass(&mut bed, RED, &talk.asks(flags, 0));
    }
    assert_eq!(hits(&bed), before);
    assert_eq!(bed.sent_by(BLUE).len() as u64, bed.counters().ports[BLUE.index()].sent.packets);
}

#[test]
fn a_station_that_moved_is_not_sent_to_where_it_was() {
    let open = PortTable::default;
    let plan = Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, open()).port(GREEN, 0, open());
    let mut bed = behind(Settings::default(), plan);
    pass(&mut bed, BLUE, &arp_request(B, B.v4));
    establish(&mut bed, RED, &udp6(A, B));
    pass(&mut bed, RED, &udp6(A, B));
    assert_eq!(hits(&bed), 1);
    let _ = bed.sent_by(BLUE);
    pass(&mut bed, GREEN, &arp_request(B, B.v4));
    let _ = (bed.sent_by(BLUE), bed.sent_by(GREEN));
    pass(&mut bed, RED, &udp6(A, B));
    assert_eq!((bed.sent_by(BLUE).len(), bed.sent_by(GREEN).len()), (0, 1));
    settle(&mut bed);
    assert_eq!(report(&bed).aged, 1);
}

#[test]
fn a_forged_source_is_another_flow() {
    let mut bed = pair(Settings::default());
    establish(&mut bed, RED, &udp4(A, B));
    let forged = udp4(A.at(MacAddr([2, 0, 0, 0, 0, 77])), B);
    pass(&mut bed, RED, &forged);
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::SpoofedMac, 1)]);
    assert_eq!(hits(&bed), 0);
}

#[test]
fn a_port_that_goes_takes_what_lies_in_its_lane_with_it_and_the_ledger_balances() {
    let mut bed = pair(Settings::default());
    establish(&mut bed, RED, &udp4(A, B));
    // It takes nothing: what is carried waits in the lane, and then comes to the worker.
    bed.wire(BLUE).take_at_most(0);
    for _ in 0..20 {
        pass(&mut bed, RED, &udp4(A, B));
    }
    bed.detach(BLUE);
    pass(&mut bed, RED, &udp4(A, B));
    settle(&mut bed);
    let gone = dropped(DropReason::EgressGone, 1);
    assert!(bed.moved().contains(&gone));
    let report = bed.workers[0].report();
    assert_eq!(report.frames.0, report.frames.1, "every frame is home");
}

#[test]
fn what_the_engine_lost_is_noticed_and_offered_again() {
    let mut bed = pair(Settings { lose_every: 2, ..Settings::default() });
    establish(&mut bed, RED, &udp4(A, B));
    assert_eq!(report(&bed).flows, 1, "the first is kept");
    establish(&mut bed, BLUE, &udp4(B, A));
    settle(&mut bed);
    assert_eq!((report(&bed).flows, report(&bed).lost), (1, 1));
    // A second later it is offered again if it moves on, and kept.
    bed.pass(1_000);
    establish(&mut bed, BLUE, &udp4(B, A));
    pass(&mut bed, BLUE, &udp4(B, A));
    assert_eq!((report(&bed).flows, report(&bed).lost, report(&bed).taken), (2, 1, 3));
    assert_eq!(hits(&bed), 1);
}

#[test]
fn a_table_of_one_flow_carries_one_and_counts_what_it_puts_out() {
    let mut bed = pair(Settings { capacity: 1, eviction: Eviction::LeastRecentlyUsed, ..Settings::default() });
    establish(&mut bed, RED, &udp4(A, B));
    establish(&mut bed, BLUE, &udp4(B, A));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &udp4(B, A));
    settle(&mut bed);
    assert_eq!((report(&bed).flows, report(&bed).evicted, hits(&bed)), (1, 1, 1));
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), sent(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn a_flow_that_ended_before_its_insertion_began_to_count_is_not_carried() {
    let mut bed = behind(
        Settings { latency: 2_000, ..Settings::default() },
        Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, policed(B)),
    );
    bed.enforce(2, Asked(a_to_b));
    let talk = carried_talk(&mut bed);
    pass(&mut bed, RED, &talk.asks(RST, 0));
    bed.pass(3_000);
    bed.moved();
    pass(&mut bed, BLUE, &talk.answers(ACK, 0));
    assert_eq!(hits(&bed), 0);
    assert!(!bed.moved().contains(&sent(RED, 1)), "its connection is over");
}

#[test]
fn an_engine_that_stops_carries_nothing() {
    let mut bed = pair(Settings::default());
    establish(&mut bed, RED, &udp4(A, B));
    if let Some(offloader) = &mut bed.offloader {
        offloader.stop();
    }
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(hits(&bed), 0);
}
