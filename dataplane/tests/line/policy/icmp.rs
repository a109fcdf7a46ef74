//! ICMP: who may ping whom, and errors that belong to what somebody sent.

use core::net::IpAddr;

use podlane_dataplane::{
    DropReason, VrfId,
    policy::Opening,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, received, sent},
};
use podlane_wire::{Icmpv4Type, Icmpv6Type, IpProtocol, Ipv6Header};

use crate::{
    packets::{BLUE, Field, GREEN, Host, RED, echo4, echo6, header4, header6, host, ipv4, ipv6, summed, udp4, udp6},
    policy::bed::{
        A, ACK, AGAINST, Asked, B, C, Talk, a_may_open_to_b, a_to_b, enforced, pass, policed, strict, three,
    },
};

#[test]
fn a_ping_is_answered_and_not_returned() {
    let mut bed = a_may_open_to_b();
    let pings = [
        (echo4(A, B, Icmpv4Type::ECHO_REQUEST), echo4(B, A, Icmpv4Type::ECHO_REPLY)),
        (echo6(A, B, Icmpv6Type::ECHO_REQUEST), echo6(B, A, Icmpv6Type::ECHO_REPLY)),
    ];
    for (ping, answer) in pings {
        pass(&mut bed, BLUE, &answer);
        assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
        for _ in 0..4 {
            pass(&mut bed, RED, &ping);
            pass(&mut bed, BLUE, &answer);
        }
        assert_eq!(bed.moved(), [received(RED, 4), received(BLUE, 4), sent(RED, 4), sent(BLUE, 4)]);
    }
    assert_eq!(bed.counters().opened, 2);
    // That A pings B is no leave for B to ping A.
    pass(&mut bed, BLUE, &echo4(B, A, Icmpv4Type::ECHO_REQUEST));
    pass(&mut bed, BLUE, &echo6(B, A, Icmpv6Type::ECHO_REQUEST));
    assert_eq!(bed.moved(), [received(BLUE, 2), dropped(DropReason::PolicyDenied, 2)]);
}

#[test]
fn icmp_is_asked_about_without_ports() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|opening: &Opening| opening.protocol == IpProtocol::ICMPV4.0 && opening.port == 0));
    pass(&mut bed, RED, &echo4(A, B, Icmpv4Type::ECHO_REQUEST));
    pass(&mut bed, RED, &echo6(A, B, Icmpv6Type::ECHO_REQUEST));
    assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
}

#[test]
fn errors_about_a_connection_pass_from_either_end_of_it() {
    let (mut bed, mut talk) = (strict(), Talk::new());
    talk.establish(&mut bed);
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &udp6(A, B));
    bed.moved();
    for quoted in [udp4(A, B), talk.asks(ACK, 0)] {
        for kind in [3, 11, 12] {
            pass(&mut bed, BLUE, &error4(B, A, kind, &quoted));
        }
    }
    for kind in 1..=4 {
        pass(&mut bed, BLUE, &error6(B, A, kind, &udp6(A, B)));
    }
    assert_eq!(bed.moved(), [received(BLUE, 10), sent(RED, 10)]);
    // The server is told about its answers, too.
    pass(&mut bed, RED, &error4(A, B, 3, &talk.answers(ACK, 0)));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn errors_about_nothing_anybody_sent_are_held_to_policy_as_icmp() {
    let mut bed = a_may_open_to_b();
    pass(&mut bed, RED, &udp4(A, B));
    bed.moved();
    let mut other_port = udp4(A, B);
    other_port[37] ^= 1;
    let forged = [
        error4(B, A, 3, &other_port),
        // What A did not send, and what it sent to someone else.
        error4(B, A, 3, &udp4(B, A)),
        error4(B, A, 3, &udp4(A, C)),
        error4(B, A, 3, &[]),
        error4(B, A, 3, &udp4(A, B)[..36]),
        error6(B, A, 1, &udp6(A, B)),
    ];
    for error in &forged {
        pass(&mut bed, BLUE, error);
    }
    // An error for somebody else than who sent what it quotes.
    pass(&mut bed, BLUE, &error4(B, C, 3, &udp4(A, B)));
    assert_eq!(bed.moved(), [received(BLUE, 7), dropped(DropReason::PolicyDenied, 7)]);
    assert!(bed.denials().iter().all(|denial| denial.rule == AGAINST));
    bed.enforce(3, Asked(|opening: &Opening| a_to_b(opening) || opening.protocol == IpProtocol::ICMPV4.0));
    pass(&mut bed, BLUE, &error4(B, A, 3, &other_port));
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(RED, 1)]);
}

#[test]
fn errors_of_a_router_pass_and_those_of_a_third_pod_are_held_to_policy() {
    let router = PortTable { policed: false, ..policed(C) };
    for (third, may_say) in [(router, true), (policed(C), false)] {
        let plan = Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, policed(B)).port(GREEN, 0, third);
        let mut bed = enforced(TestBed::new(plan));
        for piece in super::fragments::pieces(A, B, false).iter().chain([&udp4(A, B), &udp6(A, B)]) {
            pass(&mut bed, RED, piece);
        }
        bed.moved();
        pass(&mut bed, GREEN, &error4(C, A, 3, &udp4(A, B)));
        pass(&mut bed, GREEN, &error4(C, A, 11, &super::fragments::pieces(A, B, false)[1]));
        pass(&mut bed, GREEN, &error6(C, A, 2, &udp6(A, B)));
        let fate = if may_say { sent(RED, 3) } else { dropped(DropReason::PolicyDenied, 3) };
        assert_eq!(bed.moved(), [received(GREEN, 3), fate]);
    }
}

#[test]
fn a_third_pod_under_the_address_of_an_end_reports_nothing() {
    let unstated = |station: Host| PortTable { addresses: vec![], ..policed(station) };
    let plan = Plan::new(1).port(RED, 0, policed(A)).port(BLUE, 0, unstated(B)).port(GREEN, 0, unstated(C));
    let mut bed = enforced(TestBed::new(plan));
    pass(&mut bed, RED, &udp4(A, B));
    bed.moved();
    pass(&mut bed, GREEN, &error4(Host { mac: C.mac, ..B }, A, 3, &udp4(A, B)));
    assert_eq!(bed.moved(), [received(GREEN, 1), dropped(DropReason::PolicyDenied, 1)]);
}

#[test]
fn an_error_is_asked_about_each_time() {
    let mut bed = a_may_open_to_b();
    pass(&mut bed, RED, &udp4(A, B));
    for _ in 0..3 {
        pass(&mut bed, BLUE, &error4(B, A, 3, &udp4(A, B)));
    }
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits, counters.lost()), (4, 0, 0));
}

#[test]
fn neighbour_discovery_and_arp_are_not_held_to_policy() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| false));
    pass(&mut bed, RED, &crate::packets::arp_request(A, B.v4));
    pass(&mut bed, BLUE, &crate::packets::arp_reply(B, A));
    pass(&mut bed, RED, &crate::packets::solicitation(A, B.v6));
    pass(&mut bed, BLUE, &crate::packets::advertisement(B, A, B.v6));
    assert_eq!(bed.counters().lost(), 0);
}

#[test]
fn neighbour_discovery_is_not_routed() {
    let (near, far) = (host(0, 1), host(1, 1));
    let gates = [host(0, 254), host(1, 254)];
    let plan = Plan::new(2)
        .network(1, |network| network.vrf = VrfId(0))
        .gateway(0, gates[0].mac, &[(gates[0].v6.into(), 64)])
        .gateway(1, gates[1].mac, &[(gates[1].v6.into(), 64)])
        .port(RED, 0, policed(near))
        .port(BLUE, 1, policed(far));
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(|_: &Opening| true));
    for kind in 133..=137 {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend(near.v6.octets());
        message.extend([0x41; 200]);
        let body = summed((near.v6.into(), far.v6.into()), IpProtocol::ICMPV6, message, Field::Finished);
        let header = Ipv6Header { hop_limit: 255, ..header6(near, far, IpProtocol::ICMPV6) };
        pass(&mut bed, RED, &ipv6(near.mac, gates[0].mac, header, &body));
    }
    let counters = bed.counters();
    assert_eq!((counters.sent(), counters.lost()), (0, 5));
}

/// An ICMP error that quotes a frame's packet.
pub(super) fn error4(from: Host, to: Host, kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 1, 0, 0, 0, 0, 0, 0];
    message.extend(quoted.get(14..).unwrap_or_default());
    ipv4(from.mac, to.mac, header4(from, to, IpProtocol::ICMPV4), &message)
}

/// The same over IPv6.
fn error6(from: Host, to: Host, kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(quoted.get(14..).unwrap_or_default());
    let ends: (IpAddr, IpAddr) = (from.v6.into(), to.v6.into());
    let message = summed(ends, IpProtocol::ICMPV6, message, Field::Finished);
    ipv6(from.mac, to.mac, header6(from, to, IpProtocol::ICMPV6), &message)
}
