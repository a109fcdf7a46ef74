//! What the gateway says when a packet cannot go on, and that it says it seldom enough.

use core::net::{IpAddr, Ipv4Addr};

use podlane_dataplane::{
    DropReason, VrfId,
    tables::{NextHop, PortTable},
    testbed::{TestBed, dropped, made, received, sent},
};
use podlane_wire::{Icmpv4Type, IpProtocol, Ipv4Header, Ipv6Header, Packet};

use crate::{
    packets::{
        BLUE, Field, Host, RED, checksums_are_right, datagram, echo4, gateway, header4, header6, host, icmp_of, ipv4,
        ipv6, routed, transport, udp4, udp6,
    },
    route::{by_gateway, three_pods, two_networks},
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);

/// The error is from the gateway of network 0 to A, with right checksums and this type, code and word; it quotes.
fn is_error(error: &[u8], expected: (u8, u8, u32), offender: &[u8]) {
    let packet = Packet::parse(error).expect("an error is well formed");
    assert_eq!((packet.ethernet.source(), packet.ethernet.destination()), (gateway(0).mac, A.mac));
    let v6 = packet.addresses().expect("an error is IP").0.is_ipv6();
    let ends: (IpAddr, IpAddr) =
        if v6 { (gateway(0).v6.into(), A.v6.into()) } else { (gateway(0).v4.into(), A.v4.into()) };
    assert_eq!(packet.addresses(), Some(ends));
    assert_eq!(icmp_of(error), expected);
    assert!(checksums_are_right(error));
    let quote = &error[packet.payload.clone()];
    assert!(offender[14..].starts_with(quote), "the quotation is the offender byte by byte");
    assert!(quote.len() >= 28);
}

/// One packet in by RED that dies by `reason`, and the error its sender is told.
fn refused(bed: &mut TestBed, packet: &[u8], reason: DropReason, expected: (u8, u8, u32)) {
    bed.receive(RED, packet);
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(reason, 1)]);
    let [error] = &bed.sent_by(RED)[..] else { panic!("one error") };
    is_error(error, expected, packet);
}

#[test]
fn without_a_route_the_sender_is_told() {
    let mut bed = TestBed::new(three_pods());
    let nowhere = Host { v4: Ipv4Addr::new(8, 8, 8, 8), v6: "2001:db8::1".parse().unwrap(), ..gateway(0) };
    refused(&mut bed, &udp4(A, nowhere), DropReason::NoRoute, (3, 0, 0));
    refused(&mut bed, &udp6(A, nowhere), DropReason::NoRoute, (1, 0, 0));
}

#[test]
fn a_hop_too_many_is_told_to_the_sender() {
    let mut bed = TestBed::new(three_pods());
    for ttl in [0, 1] {
        let body = datagram((A.v4.into(), B.v4.into()), b"x", Field::Finished);
        let header = Ipv4Header { ttl, ..header4(A, B, IpProtocol::UDP) };
        refused(&mut bed, &ipv4(A.mac, gateway(0).mac, header, &body), DropReason::TtlExpired, (11, 0, 0));
        let body = datagram((A.v6.into(), B.v6.into()), b"x", Field::Finished);
        let header = Ipv6Header { hop_limit: ttl, ..header6(A, B, IpProtocol::UDP) };
        refused(&mut bed, &ipv6(A.mac, gateway(0).mac, header, &body), DropReason::TtlExpired, (3, 0, 0));
    }
}

#[test]
fn a_packet_too_big_that_must_not_be_fragmented_tells_the_mtu() {
    let large = PortTable { mtu: 9000, ..A.stated() };
    let small = PortTable { mtu: 1400, ..B.stated() };
    let mut bed = TestBed::new(two_networks().port(RED, 0, large).port(BLUE, 1, small));
    for length in [1401, 1700, 5000, 9000] {
        let v4 = transport(IpProtocol::UDP, (A, by_gateway(B, 0)), false, &vec![7; length - 28], Field::Finished);
        refused(&mut bed, &v4, DropReason::TooBig, (3, 4, 1400));
        let v6 = transport(IpProtocol::UDP, (A, by_gateway(B, 0)), true, &vec![7; length - 48], Field::Finished);
        refused(&mut bed, &v6, DropReason::TooBig, (2, 0, 1400));
    }
    for (v6, headers) in [(false, 28), (true, 48)] {
        let fits = transport(IpProtocol::UDP, (A, by_gateway(B, 0)), v6, &vec![7; 1400 - headers], Field::Finished);
        bed.receive(RED, fits.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
        assert_eq!(bed.sent_by(BLUE), [routed(&fits, gateway(1).mac, B.mac)]);
    }
}

#[test]
fn a_blackhole_is_silent() {
    let hole = IpAddr::from(Ipv4Addr::new(192, 0, 2, 0));
    let mut bed = TestBed::new(three_pods().route(VrfId(0), hole, 24, NextHop::Blackhole));
    bed.receive(RED, udp4(A, Host { v4: Ipv4Addr::new(192, 0, 2, 1), ..gateway(0) }));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::Blackhole, 1)]);
}

#[test]
fn no_error_is_sent_about_an_error() {
    let mut bed = TestBed::new(three_pods());
    let mut error = echo4(A, by_gateway(B, 0), Icmpv4Type::UNREACHABLE);
    error[22] = 1;
    // The TTL is under the header's checksum: put the sum right again by 63 hops' worth.
    let field = u16::from_be_bytes([error[24], error[25]]);
    let field = podlane_wire::checksum::update16(field, 64 << 8 | 1, 1 << 8 | 1);
    error[24..26].copy_from_slice(&field.to_be_bytes());
    bed.receive(RED, error);
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::TtlExpired, 1)]);
}

#[test]
fn udp_to_the_gateway_finds_its_port_unreachable() {
    let mut bed = TestBed::new(three_pods());
    for packet in [udp4(A, gateway(0)), udp6(A, gateway(0))] {
        let expected = if packet[12..14] == [8, 0] { (3, 3, 0) } else { (1, 4, 0) };
        bed.receive(RED, packet.clone());
        bed.turn();
        // The answer takes the packet's place: nothing died, nothing was made.
        assert_eq!(bed.moved(), [received(RED, 1), sent(RED, 1)]);
        let [error] = &bed.sent_by(RED)[..] else { panic!("one error") };
        is_error(error, expected, &packet);
    }
}

#[test]
fn tcp_to_the_gateway_ends_there_by_name() {
    let mut bed = TestBed::new(three_pods());
    bed.receive(RED, transport(IpProtocol::TCP, (A, gateway(0)), false, &[], Field::Finished));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::ForGateway, 1)]);
}

#[test]
fn errors_are_rate_limited_and_the_packets_are_still_counted_by_their_own_reason() {
    let mut bed = TestBed::new(three_pods());
    let nowhere = Host { v4: Ipv4Addr::new(8, 8, 8, 8), ..gateway(0) };
    for _ in 0..500 {
        bed.receive(RED, udp4(A, nowhere));
    }
    for _ in 0..10 {
        bed.turn();
    }
    assert_eq!(bed.moved(), [made(100), received(RED, 500), sent(RED, 100), dropped(DropReason::NoRoute, 500)]);
}

#[test]
fn replies_beyond_the_limit_die_by_name_and_time_brings_new_leave() {
    let mut bed = TestBed::new(three_pods());
    let ping = |bed: &mut TestBed| {
        for _ in 0..150 {
            bed.receive(RED, echo4(A, gateway(0), Icmpv4Type::ECHO_REQUEST));
        }
        for _ in 0..3 {
            bed.turn();
        }
    };
    ping(&mut bed);
    let limited = [received(RED, 150), sent(RED, 100), dropped(DropReason::ReplyLimit, 50)];
    assert_eq!(bed.moved(), limited);
    bed.pass(100);
    ping(&mut bed);
    assert_eq!(bed.moved(), limited);
}
