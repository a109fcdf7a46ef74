//! TCP: from the first SYN to the last segment, what belongs to a connection passes and what does not is told from it.

use podlane_dataplane::{
    DropReason,
    flow::connections::{Phase, Settings},
    policy::Opening,
    testbed::{TestBed, dropped, received, sent},
};
use podlane_wire::TcpFlags;

use crate::{
    packets::{BLUE, RED},
    policy::bed::{
        A, ACK, Asked, FIN_ACK, RST, SYN, SYN_ACK, Talk, a_may_open_to_b, a_to_b, enforced, pass, strict, three,
    },
};

/// The phase of the one connection there is.
fn phase(bed: &TestBed) -> Phase {
    let records = bed.shared.connections.records(10, |_| true);
    assert_eq!(records.len(), 1, "one connection, not {records:?}");
    records[0].phase
}

#[test]
fn a_connection_is_followed_from_syn_to_established() {
    for talk in [Talk::new(), Talk::new().over_ipv6()] {
        let (mut bed, mut talk) = (strict(), talk);
        pass(&mut bed, RED, &talk.asks(SYN, 0));
        assert_eq!(phase(&bed), Phase::Opening);
        talk.client.sequence += 1;
        pass(&mut bed, BLUE, &talk.answers(SYN_ACK, 0));
        assert_eq!(phase(&bed), Phase::Answered);
        talk.server.sequence += 1;
        pass(&mut bed, RED, &talk.asks(ACK, 0));
        assert_eq!(phase(&bed), Phase::Established);
        assert_eq!(bed.moved(), [received(RED, 2), received(BLUE, 1), sent(RED, 1), sent(BLUE, 2)]);
    }
}

#[test]
fn segments_of_an_established_connection_are_hits_in_both_directions() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    let before = bed.counters();
    for ahead in 0..20 {
        pass(&mut bed, RED, &talk.asks(ACK, ahead));
        pass(&mut bed, BLUE, &talk.answers(ACK, ahead));
    }
    let after = bed.counters();
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (40, 0));
    assert_eq!((bed.shared.flows.used(), after.opened), (2, 1));
}

#[test]
fn a_whole_connection_in_one_burst_is_followed_too() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    bed.receive(RED, talk.asks(SYN, 0));
    bed.receive(RED, talk.asks(SYN, 0));
    talk.client.sequence += 1;
    bed.receive(BLUE, talk.answers(SYN_ACK, 0));
    talk.server.sequence += 1;
    bed.turn();
    for ahead in 1..50 {
        bed.receive(RED, talk.asks(ACK, ahead));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 51), received(BLUE, 1), sent(RED, 1), sent(BLUE, 51)]);
}

#[test]
fn a_segment_of_no_connection_is_dropped_where_none_is_picked_up() {
    let (mut bed, talk) = (strict(), Talk::new());
    for flags in [ACK, SYN_ACK, FIN_ACK, RST, TcpFlags(0)] {
        pass(&mut bed, RED, &talk.asks(flags, 0));
        pass(&mut bed, BLUE, &talk.answers(flags, 0));
    }
    assert_eq!(bed.moved(), [received(RED, 5), received(BLUE, 5), dropped(DropReason::NoConnection, 10)]);
    assert_eq!(bed.counters().opened, 0);
}

#[test]
fn a_connection_is_picked_up_in_mid_stream_whoever_speaks_first() {
    for answer_first in [false, true] {
        let (mut bed, talk) = (a_may_open_to_b(), Talk::new());
        if answer_first {
            pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        }
        pass(&mut bed, RED, &talk.asks(ACK, 0));
        pass(&mut bed, BLUE, &talk.answers(ACK, 10));
        let answers = 1 + u64::from(answer_first);
        assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, answers), sent(RED, answers), sent(BLUE, 1)]);
        let opener = bed.shared.connections.records(10, |_| true)[0];
        assert_eq!(opener.key.end(opener.opener).0, A.v4);
    }
}

#[test]
fn where_either_may_have_opened_it_was_the_one_with_the_higher_port() {
    for answer_first in [false, true] {
        let (mut bed, talk) = (TestBed::new(three()), Talk::new());
        bed.enforce(2, Asked(|_: &Opening| true));
        let (port, segment) = if answer_first { (BLUE, talk.answers(ACK, 0)) } else { (RED, talk.asks(ACK, 0)) };
        pass(&mut bed, port, &segment);
        let known = bed.shared.connections.records(10, |_| true)[0];
        assert_eq!(known.key.end(known.opener), (A.v4.into(), 40_000));
    }
}

#[test]
fn a_reset_alone_picks_nothing_up() {
    let (mut bed, talk) = (a_may_open_to_b(), Talk::new());
    pass(&mut bed, RED, &talk.asks(RST, 0));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoConnection, 1)]);
}

#[test]
fn what_nobody_may_open_is_not_picked_up_and_is_refused_as_what_it_looked_like() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| false));
    pass(&mut bed, RED, &Talk::new().asks(ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::PolicyDenied, 1)]);
    let denials = bed.denials();
    assert_eq!((denials.len(), denials[0].opening.from.port, denials[0].opening.port), (1, RED, 80));
}

#[test]
fn a_reset_within_the_window_ends_a_connection_and_one_outside_is_dropped() {
    for talk in [Talk::new(), Talk::new().over_ipv6()] {
        let (mut bed, mut talk) = (strict(), talk);
        talk.establish(&mut bed);
        for ahead in 0..5 {
            pass(&mut bed, RED, &talk.asks(ACK, ahead));
        }
        bed.moved();
        // A acknowledged 9001 and takes 500 bytes more.
        for ahead in [1_000_000, 501, u32::MAX] {
            pass(&mut bed, BLUE, &talk.answers(RST, ahead));
            pass(&mut bed, RED, &talk.asks(RST, ahead));
        }
        assert_eq!(bed.moved(), [received(RED, 3), received(BLUE, 3), dropped(DropReason::BadReset, 6)]);
        assert_eq!(phase(&bed), Phase::Established);
        pass(&mut bed, BLUE, &talk.answers(RST, 0));
        assert_eq!(bed.moved(), [received(BLUE, 1), sent(RED, 1)]);
        assert_eq!(phase(&bed), Phase::Closed);
    }
}

#[test]
fn a_reset_is_held_against_the_latest_acknowledgement_though_that_was_a_hit() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    // 100 kB on, acknowledged by hits alone.
    for _ in 0..1000 {
        pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        talk.server.sequence += 100;
        pass(&mut bed, RED, &talk.asks(ACK, 0));
    }
    bed.moved();
    pass(&mut bed, BLUE, &talk.answers(RST, 0u32.wrapping_sub(100_000)));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::BadReset, 1)]);
    pass(&mut bed, BLUE, &talk.answers(RST, 0));
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(RED, 1)]);
}

#[test]
fn both_sides_end_a_connection_and_its_ports_open_another() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    pass(&mut bed, RED, &talk.asks(FIN_ACK, 0));
    talk.client.sequence += 1;
    assert_eq!(phase(&bed), Phase::Closing);
    pass(&mut bed, BLUE, &talk.answers(FIN_ACK, 0));
    talk.server.sequence += 1;
    pass(&mut bed, RED, &talk.asks(ACK, 0));
    assert_eq!(phase(&bed), Phase::Closed);
    bed.moved();
    pass(&mut bed, RED, &talk.asks(SYN, 5000));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!((phase(&bed), bed.counters().opened), (Phase::Opening, 2));
    // The other end may not open, though its flow was remembered.
    bed.pass(25_000);
    pass(&mut bed, BLUE, &talk.answers(SYN, 5000));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
}

#[test]
fn a_syn_of_the_other_end_does_not_turn_a_connection_round() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    bed.moved();
    pass(&mut bed, BLUE, &talk.answers(SYN, 0));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::UnexpectedSyn, 1)]);
    assert_eq!(phase(&bed), Phase::Established);
}

#[test]
fn an_answer_that_was_picked_up_is_no_leave_for_a_syn() {
    for talk in [Talk::new(), Talk::new().over_ipv6()] {
        for numbers_agree in [false, true] {
            let (mut bed, talk) = (a_may_open_to_b(), talk);
            pass(&mut bed, BLUE, &talk.answers(SYN_ACK, 0));
            pass(&mut bed, BLUE, &talk.answers(SYN, u32::from(!numbers_agree)));
            assert_eq!(bed.moved(), [received(BLUE, 2), sent(RED, 1), dropped(DropReason::UnexpectedSyn, 1)]);
        }
    }
}

#[test]
fn after_a_reset_the_other_end_sends_no_more_data() {
    for talk in [Talk::new(), Talk::new().over_ipv6()] {
        let (mut bed, mut talk) = (strict(), talk);
        talk.establish(&mut bed);
        for _ in 0..3 {
            pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        }
        pass(&mut bed, RED, &talk.asks(RST, 0));
        bed.moved();
        for _ in 0..30 {
            pass(&mut bed, BLUE, &talk.answers(ACK, 0));
            pass(&mut bed, RED, &talk.asks(ACK, 0));
            bed.pass(1000);
        }
        assert_eq!(bed.moved(), [received(RED, 30), received(BLUE, 30), dropped(DropReason::NoConnection, 60)]);
    }
}

#[test]
fn a_syn_that_is_refused_leaves_the_former_connection_known() {
    let (mut bed, mut talk) = (a_may_open_to_b(), Talk::new());
    talk.establish(&mut bed);
    pass(&mut bed, RED, &talk.asks(RST, 0));
    bed.moved();
    pass(&mut bed, BLUE, &talk.answers(SYN, 5000));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
    assert_eq!(phase(&bed), Phase::Closed);
    // Were it forgotten, this would be picked up as an answer to A.
    pass(&mut bed, BLUE, &talk.answers(ACK, 5000));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::NoConnection, 1)]);
}

#[test]
fn a_connection_lives_as_long_as_its_flows_and_not_for_ever() {
    let settings = Settings { pick_up: false, tcp_established: 20_000, ..Settings::default() };
    let (mut bed, mut talk) = (enforced(TestBed::following(three(), 1, settings)), Talk::new());
    talk.establish(&mut bed);
    bed.moved();
    // Hits alone, for longer than a connection may be silent.
    for _ in 0..6 {
        bed.pass(10_000);
        pass(&mut bed, RED, &talk.asks(ACK, 0));
    }
    assert_eq!(bed.moved(), [received(RED, 6), sent(BLUE, 6)]);
    assert_eq!(bed.counters().misses, 3, "SYN, SYN-ACK, and the answer to that");
    bed.pass(70_000);
    pass(&mut bed, RED, &talk.asks(ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoConnection, 1)]);
    assert_eq!(bed.shared.connections.fill().used, 0);
}

#[test]
fn two_workers_follow_one_connection() {
    let settings = Settings { pick_up: false, ..Settings::default() };
    let (mut bed, mut talk) = (TestBed::following(three(), 2, settings), Talk::new());
    bed.enforce(2, Asked(a_to_b));
    talk.establish(&mut bed);
    for ahead in 0..10 {
        pass(&mut bed, RED, &talk.asks(ACK, ahead));
        pass(&mut bed, BLUE, &talk.answers(ACK, ahead));
    }
    assert_eq!(bed.moved(), [received(RED, 13), received(BLUE, 12), sent(RED, 12), sent(BLUE, 13)]);
    pass(&mut bed, BLUE, &talk.answers(RST, 1_000_000));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::BadReset, 1)]);
    assert_eq!((phase(&bed), bed.counters().opened), (Phase::Established, 1));
}
