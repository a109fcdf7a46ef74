//! The gateway's own voice: it resolves, it answers a ping, on access ports and trunks, in both families.

use core::net::IpAddr;

use podlane_dataplane::{
    DropReason, PortId,
    tables::PortTable,
    testbed::{TestBed, dropped, made, received, sent},
};
use podlane_wire::{Icmpv4Type, Icmpv6Type, Network, Packet, Transport};

use crate::{
    packets::{
        BLUE, GREEN, Host, RED, advertisement, arp_reply, arp_request, checksums_are_right, echo4, echo6, gateway,
        host, solicitation, tagged, udp4,
    },
    route::{by_gateway, three_pods, two_networks},
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);
const TRUNK: PortId = PortId(4);

/// The only packet the port has sent, and what stands in its Ethernet payload besides the tag.
fn answer(bed: &mut TestBed, port: PortId, question: Vec<u8>) -> Vec<u8> {
    bed.receive(port, question);
    bed.turn();
    assert_eq!(bed.moved(), [received(port, 1), sent(port, 1)]);
    let [answer] = &bed.sent_by(port)[..] else { panic!("one answer") };
    answer.clone()
}

#[test]
fn the_gateway_says_who_has_its_address() {
    let mut bed = TestBed::new(three_pods());
    let said = answer(&mut bed, RED, arp_request(A, gateway(0).v4));
    assert_eq!(said, arp_reply(gateway(0), A));
}

#[test]
fn the_gateway_is_a_router_among_ipv6_neighbours() {
    let mut bed = TestBed::new(three_pods());
    let said = answer(&mut bed, RED, solicitation(A, gateway(0).v6));
    let mut expected = advertisement(gateway(0), A, gateway(0).v6);
    // As the test's own advertisement, with the router flag, and the checksum that goes with it.
    expected[14 + 40 + 4] |= 0x80;
    let field = u16::from_be_bytes([expected[56], expected[57]]);
    let field = podlane_wire::checksum::update16(field, 0x6000, 0xe000);
    expected[56..58].copy_from_slice(&field.to_be_bytes());
    assert_eq!(said, expected);
}

#[test]
fn the_gateway_answers_for_its_link_local_address() {
    let mut bed = TestBed::new(three_pods());
    let link_local = Host { v6: gateway(0).mac.link_local(), ..gateway(0) };
    let said = answer(&mut bed, RED, solicitation(A, link_local.v6));
    assert!(checksums_are_right(&said));
    let said = answer(&mut bed, RED, echo6(A, link_local, Icmpv6Type::ECHO_REQUEST));
    assert_eq!(said, echo6(link_local, A, Icmpv6Type::ECHO_REPLY));
}

#[test]
fn the_gateway_answers_a_ping_in_both_families() {
    let mut bed = TestBed::new(three_pods());
    let said = answer(&mut bed, RED, echo4(A, gateway(0), Icmpv4Type::ECHO_REQUEST));
    let packet = Packet::parse(&said).unwrap();
    assert_eq!((packet.ethernet.source(), packet.ethernet.destination()), (gateway(0).mac, A.mac));
    assert_eq!(packet.addresses(), Some((gateway(0).v4.into(), A.v4.into())));
    assert!(matches!(packet.transport, Transport::Icmpv4(icmp) if icmp.kind() == Icmpv4Type::ECHO_REPLY));
    assert_eq!(&said[packet.payload], b"are you there?");
    assert!(checksums_are_right(&said));
    let said = answer(&mut bed, RED, echo6(A, gateway(0), Icmpv6Type::ECHO_REQUEST));
    assert_eq!(said, echo6(gateway(0), A, Icmpv6Type::ECHO_REPLY));
}

#[test]
fn the_gateway_of_another_network_of_the_vrf_answers_a_ping_too() {
    let mut bed = TestBed::new(three_pods());
    let far = |from: IpAddr| (from, if from.is_ipv4() { IpAddr::from(A.v4) } else { A.v6.into() });
    let said = answer(&mut bed, RED, echo4(A, by_gateway(gateway(1), 0), Icmpv4Type::ECHO_REQUEST));
    assert_eq!(Packet::parse(&said).unwrap().addresses(), Some(far(gateway(1).v4.into())));
    assert!(checksums_are_right(&said));
    let said = answer(&mut bed, RED, echo6(A, by_gateway(gateway(1), 0), Icmpv6Type::ECHO_REQUEST));
    assert_eq!(Packet::parse(&said).unwrap().addresses(), Some(far(gateway(1).v6.into())));
    assert!(checksums_are_right(&said));
}

#[test]
fn a_tagged_question_gets_a_tagged_answer() {
    let mut bed = TestBed::new(two_networks().tagged(TRUNK, 10, 0).tagged(TRUNK, 20, 1));
    let said = answer(&mut bed, TRUNK, tagged(20, &arp_request(B, gateway(1).v4)));
    assert_eq!(said, tagged(20, &arp_reply(gateway(1), B)));
    let said = answer(&mut bed, TRUNK, tagged(10, &echo6(A, gateway(0), Icmpv6Type::ECHO_REQUEST)));
    assert_eq!(said, tagged(10, &echo6(gateway(0), A, Icmpv6Type::ECHO_REPLY)));
}

#[test]
fn an_error_about_a_tagged_packet_is_tagged() {
    let mut bed = TestBed::new(two_networks().tagged(TRUNK, 10, 0));
    bed.receive(TRUNK, tagged(10, &udp4(A, by_gateway(host(7, 7), 0))));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(TRUNK, 1), sent(TRUNK, 1), dropped(DropReason::NoRoute, 1)]);
    let said = bed.sent_by(TRUNK);
    let packet = Packet::parse(&said[0]).unwrap();
    assert_eq!(packet.tags.iter().map(|tag| tag.id).collect::<Vec<_>>(), [10]);
    assert!(checksums_are_right(&said[0]));
}

#[test]
fn a_question_for_another_station_is_everyones() {
    let mut bed = TestBed::new(three_pods());
    bed.receive(BLUE, arp_request(B, host(1, 2).v4));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
    bed.receive(BLUE, solicitation(B, host(1, 2).v6));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_question_is_looked_at_each_time() {
    let mut bed = TestBed::new(three_pods());
    for _ in 0..3 {
        let _ = answer(&mut bed, RED, arp_request(A, gateway(0).v4));
    }
    assert_eq!(bed.shared.flows.used(), 0);
    assert_eq!(bed.counters().misses, 3);
}

#[test]
fn a_gateway_that_is_not_there_answers_nothing() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, PortTable::default()));
    bed.receive(RED, arp_request(A, gateway(1).v4));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoDestination, 1)]);
}

#[test]
fn the_gateway_learns_from_the_question_how_to_reach_the_asker() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, A.stated()).port(GREEN, 1, PortTable::default()));
    let asker = host(1, 9);
    let _ = answer(&mut bed, GREEN, arp_request(asker, gateway(1).v4));
    bed.receive(RED, udp4(A, by_gateway(asker, 0)));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    let out = bed.sent_by(GREEN);
    let packet = Packet::parse(&out[0]).unwrap();
    assert_eq!(packet.ethernet.destination(), asker.mac);
    assert!(matches!(packet.network, Network::Ipv4(v4) if v4.ttl() == 63));
}
