//! A policy changes: what is no longer allowed stops with its next packet, whichever side sends it, and all else goes on.

use podlane_dataplane::{
    DropReason,
    policy::Opening,
    testbed::{TestBed, dropped, received, sent},
};

use crate::{
    packets::{BLUE, GREEN, RED, udp4},
    policy::{
        bed::{A, ACK, Asked, B, C, SYN, Talk, a_may_open_to_b, a_to_b, pass, strict, three},
        opening::reply,
    },
};

#[test]
fn what_is_no_longer_allowed_stops_whichever_side_speaks_first() {
    for answer_first in [false, true] {
        let (mut bed, mut talk) = (a_may_open_to_b(), Talk::new());
        talk.establish(&mut bed);
        bed.moved();
        // Everybody may open to A still: that lets nothing of the old connection through.
        bed.enforce(3, Asked(|opening: &Opening| opening.to.port == RED));
        for _ in 0..3 {
            if answer_first {
                pass(&mut bed, BLUE, &talk.answers(ACK, 0));
                pass(&mut bed, RED, &talk.asks(ACK, 0));
            } else {
                pass(&mut bed, RED, &talk.asks(ACK, 0));
                pass(&mut bed, BLUE, &talk.answers(ACK, 0));
            }
        }
        assert_eq!(bed.moved(), [received(RED, 3), received(BLUE, 3), dropped(DropReason::PolicyDenied, 6)]);
        let denials = bed.denials();
        assert_eq!((denials.len(), denials[0].opening.from.port, denials[0].opening.port), (1, RED, 80));
    }
}

#[test]
fn what_is_still_allowed_goes_on_without_a_new_opening() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    for generation in 3..20 {
        bed.enforce(generation, Asked(a_to_b));
        pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        pass(&mut bed, RED, &talk.asks(ACK, 0));
    }
    let counters = bed.counters();
    assert_eq!((counters.lost(), counters.opened), (0, 1));
    assert_eq!(bed.shared.connections.records(10, |_| true)[0].generation.0, 19);
}

#[test]
fn udp_stops_too_and_starts_again() {
    let mut bed = a_may_open_to_b();
    let both = |bed: &mut TestBed| {
        pass(bed, RED, &udp4(A, B));
        pass(bed, BLUE, &reply(B, A, false));
    };
    both(&mut bed);
    both(&mut bed);
    bed.moved();
    bed.enforce(3, Asked(|_: &Opening| false));
    both(&mut bed);
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), dropped(DropReason::PolicyDenied, 2)]);
    bed.enforce(4, Asked(a_to_b));
    both(&mut bed);
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), sent(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.counters().opened, 1);
}

#[test]
fn only_the_flows_a_change_is_about_stop() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| true));
    for _ in 0..3 {
        pass(&mut bed, RED, &udp4(A, B));
        pass(&mut bed, GREEN, &udp4(C, B));
    }
    bed.moved();
    bed.enforce(3, Asked(|opening: &Opening| opening.from.port == RED));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, GREEN, &udp4(C, B));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(GREEN, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn new_tables_alone_ask_again_and_change_nothing() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    bed.moved();
    let mut tables = three().build();
    tables.generation = podlane_dataplane::Generation(3);
    bed.publish(tables);
    pass(&mut bed, BLUE, &talk.answers(ACK, 0));
    pass(&mut bed, RED, &talk.asks(ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), sent(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn an_opening_that_was_refused_is_asked_about_again_each_time() {
    let mut bed = strict();
    bed.enforce(3, Asked(|_: &Opening| false));
    for _ in 0..4 {
        pass(&mut bed, RED, &Talk::new().asks(SYN, 0));
    }
    assert_eq!(bed.moved(), [received(RED, 4), dropped(DropReason::PolicyDenied, 4)]);
    bed.enforce(4, Asked(a_to_b));
    pass(&mut bed, RED, &Talk::new().asks(SYN, 0));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
}
