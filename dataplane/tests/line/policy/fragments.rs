//! Fragments: the first one is held to policy by its ports, and the others follow it or go nowhere.

use podlane_dataplane::{
    DropReason,
    policy::Opening,
    testbed::{TestBed, dropped, received, sent},
};
use podlane_wire::{Icmpv4Type, IpProtocol, Ipv4Header, Ipv6Header, ipv6::Ipv6Fragment};

use crate::{
    packets::{BLUE, Field, Host, RED, datagram, echo4, header4, header6, ipv4, ipv6, udp4, udp6},
    policy::bed::{A, Asked, B, a_to_b, pass, three},
};

/// A to B may open UDP to port 53.
fn to_port_53() -> TestBed {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|opening: &Opening| a_to_b(opening) && (opening.protocol, opening.port) == (17, 53)));
    bed
}

/// The pieces of a datagram of 64 bytes to port 53, 24 bytes each.
pub(super) fn pieces(from: Host, to: Host, v6: bool) -> [Vec<u8>; 3] {
    let ends = if v6 { (from.v6.into(), to.v6.into()) } else { (from.v4.into(), to.v4.into()) };
    let whole = datagram(ends, &[9; 56], Field::Finished);
    [0, 24, 48].map(|at| {
        let more = at < 48;
        let piece = &whole[at..(at + 24).min(64)];
        if v6 { fragment6(from, to, (at, more), piece) } else { fragment4((from, to), 17, (at, more), piece) }
    })
}

fn fragment4((from, to): (Host, Host), protocol: u8, (at, more): (usize, bool), piece: &[u8]) -> Vec<u8> {
    let header = Ipv4Header {
        more_fragments: more,
        fragment_offset: at as u16,
        dont_fragment: false,
        ..header4(from, to, IpProtocol(protocol))
    };
    ipv4(from.mac, to.mac, header, piece)
}

fn fragment6(from: Host, to: Host, (at, more): (usize, bool), piece: &[u8]) -> Vec<u8> {
    let fragment = Ipv6Fragment { next_header: IpProtocol::UDP, offset: at as u16, more, identification: 7 };
    let mut body = vec![0; 8];
    fragment.emit(&mut body).expect("room for a fragment header");
    body.extend(piece);
    ipv6(from.mac, to.mac, Ipv6Header { ..header6(from, to, IpProtocol::FRAGMENT) }, &body)
}

#[test]
fn fragments_follow_the_first_one() {
    for v6 in [false, true] {
        let mut bed = to_port_53();
        for _ in 0..2 {
            for piece in pieces(A, B, v6) {
                pass(&mut bed, RED, &piece);
            }
        }
        assert_eq!(bed.moved(), [received(RED, 6), sent(BLUE, 6)]);
        assert_eq!((bed.shared.flows.used(), bed.counters().opened), (0, 2));
    }
}

#[test]
fn fragments_without_a_first_one_go_nowhere() {
    for v6 in [false, true] {
        let mut bed = to_port_53();
        let [_, second, third] = pieces(A, B, v6);
        pass(&mut bed, RED, &second);
        pass(&mut bed, RED, &third);
        assert_eq!(bed.moved(), [received(RED, 2), dropped(DropReason::StrayFragment, 2)]);
    }
}

#[test]
fn a_first_fragment_that_is_refused_lets_none_follow() {
    for v6 in [false, true] {
        let mut bed = to_port_53();
        let [first, second, third] = pieces(B, A, v6);
        pass(&mut bed, BLUE, &first);
        pass(&mut bed, BLUE, &second);
        pass(&mut bed, BLUE, &third);
        assert_eq!(
            bed.moved(),
            [received(BLUE, 3), dropped(DropReason::PolicyDenied, 1), dropped(DropReason::StrayFragment, 2)]
        );
    }
}

#[test]
fn what_a_first_fragment_opened_is_one_way_for_half_a_minute() {
    let mut bed = to_port_53();
    let [first, second, _] = pieces(A, B, false);
    pass(&mut bed, RED, &first);
    pass(&mut bed, BLUE, &pieces(B, A, false)[1]);
    bed.pass(25_000);
    pass(&mut bed, RED, &second);
    assert_eq!(
        bed.moved(),
        [received(RED, 2), received(BLUE, 1), sent(BLUE, 2), dropped(DropReason::StrayFragment, 1)]
    );
    bed.pass(10_000);
    pass(&mut bed, RED, &second);
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::StrayFragment, 1)]);
}

#[test]
fn answers_in_fragments_come_back() {
    let mut bed = to_port_53();
    for piece in pieces(A, B, false) {
        pass(&mut bed, RED, &piece);
    }
    let mut answer = pieces(B, A, false);
    answer[0][34..38].rotate_left(2);
    for piece in answer {
        pass(&mut bed, BLUE, &piece);
    }
    assert_eq!(bed.moved(), [received(RED, 3), received(BLUE, 3), sent(RED, 3), sent(BLUE, 3)]);
}

#[test]
fn under_another_policy_the_first_one_is_asked_about_again() {
    let mut bed = to_port_53();
    let [first, second, _] = pieces(A, B, false);
    pass(&mut bed, RED, &first);
    bed.moved();
    bed.enforce(3, Asked(|_: &Opening| false));
    pass(&mut bed, RED, &second);
    pass(&mut bed, RED, &first);
    assert_eq!(
        bed.moved(),
        [received(RED, 2), dropped(DropReason::PolicyDenied, 1), dropped(DropReason::StrayFragment, 1)]
    );
}

#[test]
fn a_fragment_that_hides_its_ports_or_writes_over_flags_does_not_pass() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| true));
    pass(&mut bed, RED, &fragment4((A, B), 6, (0, true), &[0; 8]));
    pass(&mut bed, RED, &fragment4((A, B), 6, (8, true), &[0; 24]));
    assert_eq!(
        bed.moved(),
        [received(RED, 2), dropped(DropReason::L4Truncated, 1), dropped(DropReason::StrayFragment, 1)]
    );
}

/// A datagram to port 53 or 54 with nothing but its first fragment, behind destination options that the fragment header leads to.
fn behind_options(from: Host, to: Host, port: u8) -> Vec<u8> {
    let fragment = Ipv6Fragment { next_header: IpProtocol(60), offset: 0, more: false, identification: 7 };
    let mut body = vec![0; 8];
    fragment.emit(&mut body).expect("room for a fragment header");
    body.extend([IpProtocol::UDP.0, 0, 1, 4, 0, 0, 0, 0]);
    body.extend(datagram((from.v6.into(), to.v6.into()), &[9; 24], Field::Finished));
    body[19] = port;
    ipv6(from.mac, to.mac, Ipv6Header { ..header6(from, to, IpProtocol::FRAGMENT) }, &body)
}

#[test]
fn options_behind_a_fragment_header_hide_no_protocol() {
    let mut bed = to_port_53();
    pass(&mut bed, RED, &behind_options(A, B, 53));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    pass(&mut bed, RED, &behind_options(A, B, 54));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::PolicyDenied, 1)]);
    // All but UDP: that is what it is.
    bed.enforce(3, Asked(|opening: &Opening| opening.protocol != IpProtocol::UDP.0));
    pass(&mut bed, RED, &behind_options(A, B, 53));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::PolicyDenied, 1)]);
}

#[test]
fn a_flow_between_two_ports_0_is_no_leave_for_fragments() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|opening: &Opening| opening.port != 53));
    for v6 in [false, true] {
        let l4 = if v6 { 54 } else { 34 };
        let mut zero = if v6 { udp6(A, B) } else { udp4(A, B) };
        zero[l4..l4 + 4].fill(0);
        // No checksum in IPv4; the switch verifies none.
        zero[l4 + 6..l4 + 8].fill(0);
        for _ in 0..3 {
            pass(&mut bed, RED, &zero);
        }
        assert_eq!(bed.moved(), [received(RED, 3), sent(BLUE, 3)]);
        for piece in pieces(A, B, v6) {
            pass(&mut bed, RED, &piece);
        }
        let [refused, strays] = [(DropReason::PolicyDenied, 1), (DropReason::StrayFragment, 2)];
        assert_eq!(bed.moved(), [received(RED, 3), dropped(refused.0, refused.1), dropped(strays.0, strays.1)]);
    }
}

#[test]
fn an_answered_ping_is_no_leave_for_a_fragmented_one() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(a_to_b));
    for _ in 0..3 {
        pass(&mut bed, RED, &echo4(A, B, Icmpv4Type::ECHO_REQUEST));
        pass(&mut bed, BLUE, &echo4(B, A, Icmpv4Type::ECHO_REPLY));
    }
    bed.moved();
    let mut question = [0; 16];
    question[0] = Icmpv4Type::ECHO_REQUEST.0;
    pass(&mut bed, BLUE, &fragment4((B, A), IpProtocol::ICMPV4.0, (0, true), &question));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
    // The answers are hits still.
    let before = bed.counters().misses;
    pass(&mut bed, BLUE, &echo4(B, A, Icmpv4Type::ECHO_REPLY));
    assert_eq!(bed.counters().misses, before);
}
