//! Who is behind a connection: whoever sends its five-tuple from elsewhere is judged as who he is. Addresses do not say it where a port states
//! none, and link-local ones and 0.0.0.0 are anybody's.

use core::net::{Ipv4Addr, Ipv6Addr};

use podlane_dataplane::{
    DropReason,
    policy::Opening,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, received, sent},
};

use crate::{
    packets::{BLUE, GREEN, Host, RED, udp4, udp6},
    policy::{
        bed::{A, ACK, Asked, B, C, RST, SYN, Talk, enforced, pass, policed, three},
        fragments::pieces,
        opening::reply,
    },
};

/// C under another's addresses.
fn as_if(other: Host) -> Host {
    Host { mac: C.mac, ..other }
}

/// A at RED, B at BLUE and C at GREEN under policy, none of which states its addresses; A may open to B.
fn anybody() -> TestBed {
    let unstated = |station: Host| PortTable { addresses: vec![], ..policed(station) };
    enforced(TestBed::new(Plan::new(1).port(RED, 0, unstated(A)).port(BLUE, 0, unstated(B)).port(
        GREEN,
        0,
        unstated(C),
    )))
}

#[test]
fn a_third_pod_does_not_go_on_with_the_connection_of_another() {
    for v6 in [false, true] {
        let mut bed = anybody();
        let question = |from| if v6 { udp6(from, B) } else { udp4(from, B) };
        for _ in 0..3 {
            pass(&mut bed, RED, &question(A));
            pass(&mut bed, GREEN, &question(as_if(A)));
        }
        let refused = dropped(DropReason::PolicyDenied, 3);
        assert_eq!(bed.moved(), [received(RED, 3), received(GREEN, 3), sent(BLUE, 3), refused]);
        assert_eq!(bed.counters().opened, 1);
    }
}

#[test]
fn a_third_pod_does_not_answer_for_another() {
    let mut bed = anybody();
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, GREEN, &reply(as_if(B), A, false));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(GREEN, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn a_third_pod_neither_sends_nor_ends_what_two_others_say_by_tcp() {
    let (mut bed, mut talk) = (anybody(), Talk::new());
    talk.establish(&mut bed);
    bed.moved();
    let mut forged = talk;
    forged.client.host = as_if(A);
    for flags in [ACK, SYN, RST] {
        pass(&mut bed, GREEN, &forged.asks(flags, 0));
    }
    assert_eq!(bed.moved(), [received(GREEN, 3), dropped(DropReason::PolicyDenied, 3)]);
    pass(&mut bed, RED, &talk.asks(ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn link_local_addresses_and_none_at_all_are_no_leave() {
    let local = |host: Host, number| Host { v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number), ..host };
    let nobody = |host: Host| Host { v4: Ipv4Addr::UNSPECIFIED, ..host };
    let mut bed = enforced(TestBed::new(three()));
    for _ in 0..2 {
        pass(&mut bed, RED, &udp6(local(A, 1), local(B, 2)));
        pass(&mut bed, RED, &udp4(nobody(A), B));
        pass(&mut bed, GREEN, &udp6(local(C, 1), local(B, 2)));
        pass(&mut bed, GREEN, &udp4(nobody(C), B));
    }
    let refused = dropped(DropReason::PolicyDenied, 4);
    assert_eq!(bed.moved(), [received(RED, 4), received(GREEN, 4), sent(BLUE, 4), refused]);
}

#[test]
fn later_fragments_follow_a_first_one_of_their_own_sender() {
    let mut bed = anybody();
    for piece in pieces(A, B, false) {
        pass(&mut bed, RED, &piece);
    }
    pass(&mut bed, GREEN, &pieces(as_if(A), B, false)[1]);
    assert_eq!(
        bed.moved(),
        [received(RED, 3), received(GREEN, 1), sent(BLUE, 3), dropped(DropReason::StrayFragment, 1)]
    );
}

#[test]
fn a_pod_that_moves_takes_its_connection_along_where_it_may() {
    for may_open in [true, false] {
        let (mut bed, mut talk) = (anybody(), Talk::new());
        talk.establish(&mut bed);
        bed.moved();
        bed.enforce(3, Asked(move |opening: &Opening| may_open && opening.from.port == GREEN));
        talk.client.host = as_if(A);
        for _ in 0..3 {
            pass(&mut bed, GREEN, &talk.asks(ACK, 0));
            pass(&mut bed, BLUE, &talk.answers(ACK, 0));
        }
        if may_open {
            assert_eq!(bed.moved(), [received(BLUE, 3), received(GREEN, 3), sent(BLUE, 3), sent(GREEN, 3)]);
            let [moved] = bed.shared.connections.records(9, |_| true)[..] else { panic!("one connection") };
            assert_eq!((moved.generation.0, bed.counters().opened), (3, 1));
        } else {
            assert_eq!(bed.moved(), [received(BLUE, 3), received(GREEN, 3), dropped(DropReason::PolicyDenied, 6)]);
        }
    }
}
