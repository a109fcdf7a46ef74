//! Opening: what no policy allows does not pass, in either family, and what one does comes back.

use core::num::NonZeroU32;

use podlane_dataplane::{
    DropReason,
    policy::Opening,
    tables::{PortTable, rates::Rate},
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{EtherType, IpProtocol};

use crate::{
    packets::{BLUE, BROADCAST, Field, GREEN, Host, RED, arp_reply, frame, host, tagged, transport, udp4, udp6},
    policy::bed::{A, ACK, AGAINST, Asked, B, C, SYN, SYN_ACK, Talk, a_may_open_to_b, a_to_b, pass, policed, three},
};

#[test]
fn what_is_allowed_passes_and_is_answered() {
    let mut bed = a_may_open_to_b();
    for (question, answer) in [(udp4(A, B), reply(B, A, false)), (udp6(A, B), reply(B, A, true))] {
        for _ in 0..3 {
            pass(&mut bed, RED, &question);
            pass(&mut bed, BLUE, &answer);
        }
        assert_eq!(bed.moved(), [received(RED, 3), received(BLUE, 3), sent(RED, 3), sent(BLUE, 3)]);
    }
    assert_eq!(bed.counters().opened, 2);
}

#[test]
fn what_is_not_allowed_does_not_pass_and_is_told_by_its_rule() {
    let mut bed = a_may_open_to_b();
    for packet in [udp4(B, A), udp6(B, A)] {
        pass(&mut bed, BLUE, &packet);
        pass(&mut bed, BLUE, &packet);
    }
    assert_eq!(bed.moved(), [received(BLUE, 4), dropped(DropReason::PolicyDenied, 4)]);
    assert_eq!((bed.counters().opened, bed.shared.flows.used()), (0, 0));
    let denials = bed.denials();
    assert_eq!(denials.len(), 2);
    assert!(denials.iter().all(|denial| (denial.rule, denial.count) == (AGAINST, 2)));
    let Opening { from, to, protocol, port, .. } = denials[0].opening;
    assert_eq!((from.port, to.port, protocol, port), (BLUE, RED, IpProtocol::UDP.0, 53));
}

#[test]
fn policy_is_asked_in_the_openers_direction_alone() {
    let mut bed = a_may_open_to_b();
    // B may not open to A; its packet to A passes where it answers.
    pass(&mut bed, BLUE, &reply(B, A, false));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &reply(B, A, false));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(BLUE, 2), sent(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn a_port_under_policy_is_born_closed() {
    let mut bed = TestBed::new(three());
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &Talk::new().answers(SYN_ACK, 0));
    pass(&mut bed, BLUE, &arp_reply(B, A));
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 2), dropped(DropReason::PolicyDenied, 3)]);
    bed.enforce(2, Asked(a_to_b));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn what_no_policy_can_speak_of_does_not_pass() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| true));
    pass(&mut bed, RED, &frame(A.mac, B.mac, EtherType(0x88b5), &[1; 46]));
    pass(&mut bed, RED, &tagged(0, &tagged(5, &udp4(A, B))));
    assert_eq!(bed.moved(), [received(RED, 2), dropped(DropReason::PolicyDenied, 2)]);
    pass(&mut bed, RED, &frame(A.mac, BROADCAST, EtherType(0x88b5), &[1; 46]));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), dropped(DropReason::PolicyDenied, 2)]);
}

#[test]
fn where_nobody_is_under_policy_none_is_asked() {
    let open = |station: Host| PortTable { policed: false, ..policed(station) };
    let plan = Plan::new(1).port(RED, 0, open(A)).port(BLUE, 0, open(B)).port(GREEN, 0, policed(C));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(|_: &Opening| false));
    for _ in 0..3 {
        pass(&mut bed, RED, &udp4(A, B));
    }
    assert_eq!(bed.moved(), [received(RED, 3), sent(BLUE, 3)]);
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits, counters.opened), (1, 2, 0));
}

#[test]
fn one_end_under_policy_is_enough_to_be_asked_about() {
    let open = |station: Host| PortTable { policed: false, ..policed(station) };
    let plan = Plan::new(1).port(RED, 0, open(A)).port(BLUE, 0, policed(B)).port(GREEN, 0, open(C));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(a_to_b));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, GREEN, &udp4(C, B));
    pass(&mut bed, BLUE, &udp4(B, C));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(BLUE, 1), received(GREEN, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 2)]
    );
}

#[test]
fn the_policy_hears_addresses_ports_and_protocol() {
    let mut bed = TestBed::new(three());
    bed.enforce(
        2,
        Asked(|opening: &Opening| {
            let ends = (opening.from.address, opening.to.address) == (A.v4.into(), B.v4.into());
            ends && (opening.protocol, opening.port) == (IpProtocol::TCP.0, 80)
        }),
    );
    pass(&mut bed, RED, &Talk::new().asks(SYN, 0));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &Talk::new().over_ipv6().asks(SYN, 0));
    let mut elsewhere = Talk::new();
    elsewhere.server.port = 81;
    pass(&mut bed, RED, &elsewhere.asks(SYN, 0));
    assert_eq!(bed.moved(), [received(RED, 3), dropped(DropReason::PolicyDenied, 3)]);
}

#[test]
fn sctp_is_known_by_its_ports() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|opening: &Opening| a_to_b(opening) && opening.port == 36412));
    let packet = |from: Host, to: Host, ports: [u16; 2]| {
        let mut body = ports.map(u16::to_be_bytes).concat();
        body.extend([0; 12]);
        crate::packets::ipv4(from.mac, to.mac, crate::packets::header4(from, to, IpProtocol::SCTP), &body)
    };
    pass(&mut bed, RED, &packet(A, B, [5000, 36412]));
    pass(&mut bed, BLUE, &packet(B, A, [36412, 5000]));
    pass(&mut bed, RED, &packet(A, B, [5000, 36413]));
    assert_eq!(
        bed.moved(),
        [received(RED, 2), received(BLUE, 1), sent(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn what_has_no_ports_is_asked_about_without() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|opening: &Opening| a_to_b(opening) && (opening.protocol, opening.port) == (47, 0)));
    let gre = |from: Host, to: Host| {
        crate::packets::ipv4(from.mac, to.mac, crate::packets::header4(from, to, IpProtocol(47)), &[1; 20])
    };
    pass(&mut bed, BLUE, &gre(B, A));
    pass(&mut bed, RED, &gre(A, B));
    pass(&mut bed, BLUE, &gre(B, A));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(BLUE, 2), sent(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn routed_packets_are_judged_by_the_stations_not_the_gateway() {
    let (near, far) = (host(0, 1), host(1, 1));
    let gates = [host(0, 254), host(1, 254)];
    let plan = Plan::new(2)
        .network(1, |network| network.vrf = podlane_dataplane::VrfId(0))
        .gateway(0, gates[0].mac, &[(gates[0].v4.into(), 24), (gates[0].v6.into(), 64)])
        .gateway(1, gates[1].mac, &[(gates[1].v4.into(), 24), (gates[1].v6.into(), 64)])
        .port(RED, 0, policed(near))
        .port(BLUE, 1, policed(far));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(a_to_b));
    let question = udp4(near, far.at(gates[0].mac));
    let answer = reply(far, near.at(gates[1].mac), false);
    pass(&mut bed, BLUE, &answer);
    for _ in 0..3 {
        pass(&mut bed, RED, &question);
        pass(&mut bed, BLUE, &answer);
    }
    assert_eq!(
        bed.moved(),
        [received(RED, 3), received(BLUE, 4), sent(RED, 3), sent(BLUE, 3), dropped(DropReason::PolicyDenied, 1)]
    );
    // The gateway itself is nobody's to allow.
    pass(&mut bed, BLUE, &crate::packets::echo4(far, gates[1], podlane_wire::Icmpv4Type::ECHO_REQUEST));
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(BLUE, 1)]);
}

#[test]
fn a_vlan_tag_is_no_way_round() {
    let plan = Plan::new(1).port(RED, 0, policed(A)).tagged(RED, 10, 0).port(BLUE, 0, policed(B));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(a_to_b));
    pass(&mut bed, RED, &tagged(10, &udp4(A, B)));
    pass(&mut bed, BLUE, &reply(B, A, false));
    pass(&mut bed, BLUE, &udp4(B, A));
    assert_eq!(
        bed.moved(),
        [received(RED, 1), received(BLUE, 2), sent(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]
    );
}

#[test]
fn a_second_flow_between_the_same_two_is_another_connection() {
    let mut bed = a_may_open_to_b();
    for port in 40_000..40_010 {
        pass(&mut bed, RED, &Talk::new().with_port(port).asks(SYN, 0));
    }
    pass(&mut bed, BLUE, &Talk::new().with_port(40_020).answers(ACK, 0));
    assert_eq!(bed.counters().opened, 11, "the last one is picked up as an answer");
}

/// A datagram from port 53 to 12345: what answers [`udp4`] or [`udp6`].
pub(super) fn reply(from: Host, to: Host, v6: bool) -> Vec<u8> {
    let mut packet = transport(IpProtocol::UDP, (from, to), v6, b"hello", Field::Finished);
    let l4 = if v6 { 54 } else { 34 };
    packet[l4..l4 + 4].rotate_left(2);
    packet
}

#[test]
fn a_pod_that_opens_too_much_is_told_by_name_and_goes_on_with_what_it_has() {
    let limited = || {
        let mut table = policed(A);
        table.rates.new_connections = Some(Rate::of_connections(NonZeroU32::new(10).expect("ten")));
        Plan::new(1).port(RED, 0, table).port(BLUE, 0, policed(B))
    };
    let mut bed = TestBed::new(limited());
    bed.enforce(2, Asked(a_to_b));
    for port in 0..100 {
        pass(&mut bed, RED, &Talk::new().with_port(port).asks(SYN, 0));
    }
    assert_eq!(bed.moved(), [received(RED, 100), sent(BLUE, 10), dropped(DropReason::ConnectionLimit, 90)]);
    // Segments from mid-stream are no way round it.
    pass(&mut bed, RED, &Talk::new().with_port(200).asks(ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::ConnectionLimit, 1)]);
    pass(&mut bed, RED, &Talk::new().with_port(0).asks(SYN, 0));
    pass(&mut bed, BLUE, &Talk::new().with_port(0).answers(SYN_ACK, 0));
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), sent(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn a_pod_reaches_itself_through_its_gateway_if_the_policy_says_so() {
    let gate = host(0, 254);
    let plan = Plan::new(1)
        .gateway(0, gate.mac, &[(gate.v4.into(), 24)])
        .port(RED, 0, PortTable { addresses: vec![A.v4.into(), C.v4.into()], ..policed(A) })
        .port(BLUE, 0, policed(B));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(|opening: &Opening| opening.from.port == opening.to.port));
    for _ in 0..3 {
        pass(&mut bed, RED, &udp4(A, C.at(gate.mac)));
        pass(&mut bed, RED, &udp4(A, A.at(gate.mac)));
        pass(&mut bed, RED, &udp4(A, B.at(gate.mac)));
    }
    assert_eq!(bed.moved(), [received(RED, 9), sent(RED, 6), dropped(DropReason::PolicyDenied, 3)]);
}

#[test]
fn a_stream_that_nobody_answers_stays_answerable() {
    let mut bed = a_may_open_to_b();
    for _ in 0..10 {
        pass(&mut bed, RED, &udp4(A, B));
        bed.pass(10_000);
    }
    pass(&mut bed, BLUE, &reply(B, A, false));
    assert_eq!(bed.moved(), [received(RED, 10), received(BLUE, 1), sent(RED, 1), sent(BLUE, 10)]);
    let counters = bed.counters();
    assert_eq!((counters.opened, counters.misses), (1, 3), "the first, the second, and the answer");
}

#[test]
fn a_flow_ends_with_its_connection_so_that_the_next_packet_opens_another() {
    let mut bed = a_may_open_to_b();
    for _ in 0..3 {
        pass(&mut bed, RED, &udp4(A, B));
    }
    // A flow may be silent for a minute here, an unanswered connection for half of one.
    bed.pass(45_000);
    assert_eq!((bed.shared.flows.used(), bed.shared.connections.fill().used), (0, 0));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &reply(B, A, false));
    assert_eq!(bed.moved(), [received(RED, 4), received(BLUE, 1), sent(RED, 1), sent(BLUE, 4)]);
}
