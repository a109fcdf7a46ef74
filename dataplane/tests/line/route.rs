//! L3: packets cross from one network to another of their VRF, by the most special route, and count the hop.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_dataplane::{
    DropReason, NetworkId, PortId, VrfId,
    tables::{NextHop, PortTable},
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{EtherType, IpProtocol, Ipv4Header, Ipv6Header, MacAddr};

use crate::packets::{
    BLUE, Field, GREEN, Host, RED, advertisement, arp_reply, arp_request, checksums_are_right, datagram, frame,
    gateway, header4, header6, host, ipv4, ipv6, routed, solicitation, tagged, transport, udp4, udp6,
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);
const C: Host = host(1, 2);
const TRUNK: PortId = PortId(4);

/// Gateways of both families in networks 0 and 1 of one VRF.
pub(crate) fn two_networks() -> Plan {
    let addresses = |network| {
        let Host { v4, v6, .. } = gateway(network);
        [(IpAddr::from(v4), 24), (IpAddr::from(v6), 64)]
    };
    Plan::new(2).network(1, |network| network.vrf = VrfId(0)).gateway(0, gateway(0).mac, &addresses(0)).gateway(
        1,
        gateway(1).mac,
        &addresses(1),
    )
}

/// A behind RED in network 0; B behind BLUE and C behind GREEN in network 1.
pub(crate) fn three_pods() -> Plan {
    two_networks().port(RED, 0, A.stated()).port(BLUE, 1, B.stated()).port(GREEN, 1, C.stated())
}

/// The station as its own network's gateway is addressed on the way to it.
pub(crate) fn by_gateway(to: Host, network: u8) -> Host {
    to.at(gateway(network).mac)
}

/// UDP over IPv4 from A to any address, by its gateway.
fn to_address(destination: Ipv4Addr) -> Vec<u8> {
    udp4(A, Host { v4: destination, ..gateway(0) })
}

fn to_address6(destination: Ipv6Addr) -> Vec<u8> {
    udp6(A, Host { v6: destination, ..gateway(0) })
}

#[test]
fn ipv4_is_routed_with_new_macs_one_hop_less_and_a_right_checksum() {
    let mut bed = TestBed::new(three_pods());
    let packet = udp4(A, by_gateway(B, 0));
    for _ in 0..2 {
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
        let out = bed.sent_by(BLUE);
        assert_eq!(out, [routed(&packet, gateway(1).mac, B.mac)]);
        assert!(checksums_are_right(&out[0]));
    }
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits), (1, 1));
}

#[test]
fn ipv6_is_routed_with_new_macs_and_one_hop_less() {
    let mut bed = TestBed::new(three_pods());
    let packet = udp6(A, by_gateway(B, 0));
    for _ in 0..2 {
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
        assert_eq!(bed.sent_by(BLUE), [routed(&packet, gateway(1).mac, B.mac)]);
    }
}

#[test]
fn the_header_checksum_stays_right_at_every_ttl_and_sum() {
    let mut bed = TestBed::new(three_pods());
    for ttl in 2..=255 {
        for identification in [0, 1, 0x00ff, 0xfe00 + u16::from(ttl), 0xffff] {
            let header = Ipv4Header { ttl, identification, ..header4(A, B, IpProtocol::UDP) };
            let body = datagram((A.v4.into(), B.v4.into()), b"x", Field::Finished);
            let packet = ipv4(A.mac, gateway(0).mac, header, &body);
            bed.receive(RED, packet.clone());
            bed.turn();
            assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
            assert_eq!(bed.sent_by(BLUE), [routed(&packet, gateway(1).mac, B.mac)], "TTL {ttl}, id {identification}");
        }
    }
}

#[test]
fn the_longest_prefix_wins_in_both_families() {
    let via = |hop: IpAddr| NextHop::Via(NetworkId(1), hop);
    let v4 = |text: &str| -> IpAddr { text.parse().unwrap() };
    let plan = three_pods()
        .route(VrfId(0), v4("192.168.0.0"), 16, via(B.v4.into()))
        .route(VrfId(0), v4("192.168.7.0"), 24, via(C.v4.into()))
        .route(VrfId(0), v4("192.168.7.9"), 32, NextHop::Blackhole)
        .route(VrfId(0), v4("2001:db8::"), 32, via(B.v6.into()))
        .route(VrfId(0), v4("2001:db8:7::"), 48, via(C.v6.into()));
    let mut bed = TestBed::new(plan);
    let mut goes = |packet: Vec<u8>, port, to: Host| {
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(port, 1)]);
        assert_eq!(bed.sent_by(port), [routed(&packet, gateway(1).mac, to.mac)]);
    };
    goes(to_address(Ipv4Addr::new(192, 168, 6, 255)), BLUE, B);
    goes(to_address(Ipv4Addr::new(192, 168, 7, 0)), GREEN, C);
    goes(to_address(Ipv4Addr::new(192, 168, 7, 10)), GREEN, C);
    goes(to_address(Ipv4Addr::new(192, 168, 8, 0)), BLUE, B);
    goes(to_address6("2001:db8:6:ffff::1".parse().unwrap()), BLUE, B);
    goes(to_address6("2001:db8:7::1".parse().unwrap()), GREEN, C);
    bed.receive(RED, to_address(Ipv4Addr::new(192, 168, 7, 9)));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::Blackhole, 1)]);
}

#[test]
fn a_default_route_leads_to_a_pod_that_is_a_router() {
    let everything = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let mut bed = TestBed::new(three_pods().route(VrfId(0), everything, 0, NextHop::Via(NetworkId(1), C.v4.into())));
    let packet = to_address(Ipv4Addr::new(8, 8, 8, 8));
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [routed(&packet, gateway(1).mac, C.mac)]);
}

#[test]
fn routing_pushes_pops_and_rewrites_tags() {
    let plan = two_networks().port(RED, 0, A.stated()).tagged(TRUNK, 10, 0).tagged(TRUNK, 20, 1);
    let mut bed = TestBed::new(plan);
    // B is learned on VLAN 20 of the trunk, from its ARP request for the gateway.
    bed.receive(TRUNK, tagged(20, &arp_request(B, gateway(1).v4)));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(TRUNK, 1)]);
    let _ = bed.sent_by(TRUNK);
    let packet = udp4(A, by_gateway(B, 0));
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(TRUNK, 1)]);
    assert_eq!(bed.sent_by(TRUNK), [tagged(20, &routed(&packet, gateway(1).mac, B.mac))]);
    // The way back pops.
    let packet = udp4(B, by_gateway(A, 1));
    bed.receive(TRUNK, tagged(20, &packet));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(RED, 1)]);
    assert_eq!(bed.sent_by(RED), [routed(&packet, gateway(0).mac, A.mac)]);
}

#[test]
fn one_armed_routing_leaves_by_the_port_it_came_by() {
    let plan = two_networks().tagged(TRUNK, 10, 0).tagged(TRUNK, 20, 1);
    let mut bed = TestBed::new(plan);
    bed.receive(TRUNK, tagged(20, &arp_request(B, gateway(1).v4)));
    bed.turn();
    bed.moved();
    let _ = bed.sent_by(TRUNK);
    let packet = udp4(A, by_gateway(B, 0));
    bed.receive(TRUNK, tagged(10, &packet));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(TRUNK, 1)]);
    assert_eq!(bed.sent_by(TRUNK), [tagged(20, &routed(&packet, gateway(1).mac, B.mac))]);
}

#[test]
fn two_vrfs_do_not_route_to_each_other() {
    let address = |network| [(IpAddr::from(gateway(network).v4), 24)];
    let plan = Plan::new(2)
        .gateway(0, gateway(0).mac, &address(0))
        .gateway(1, gateway(1).mac, &address(1))
        .port(RED, 0, A.stated())
        .port(BLUE, 1, B.stated());
    let mut bed = TestBed::new(plan);
    bed.receive(RED, udp4(A, by_gateway(B, 0)));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::NoRoute, 1)]);
}

#[test]
fn an_unresolved_next_hop_is_asked_for_and_the_next_packet_passes() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, A.stated()).port(BLUE, 1, B.stated()).port(
        GREEN,
        1,
        PortTable::default(),
    ));
    let packet = udp4(A, by_gateway(C, 0));
    bed.receive(RED, packet.clone());
    bed.turn();
    let asked = [made(2), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1), dropped(DropReason::NeighbourUnresolved, 1)];
    assert_eq!(bed.moved(), asked);
    let question = arp_request(gateway(1), C.v4);
    assert_eq!(bed.sent_by(GREEN), std::slice::from_ref(&question));
    assert_eq!(bed.sent_by(BLUE), [question]);
    // A reply has no answer: it ends at the gateway, by name.
    bed.receive(GREEN, arp_reply(C, gateway(1)));
    bed.turn();
    assert_eq!(bed.moved(), [received(GREEN, 1), dropped(DropReason::ForGateway, 1)]);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [routed(&packet, gateway(1).mac, C.mac)]);
}

#[test]
fn an_unresolved_next_hop_is_solicited_and_believed_in_ipv6() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, A.stated()).port(GREEN, 1, PortTable::default()));
    let packet = udp6(A, by_gateway(C, 0));
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(GREEN, 1), dropped(DropReason::NeighbourUnresolved, 1)]);
    assert_eq!(bed.sent_by(GREEN), [solicitation(gateway(1), C.v6)]);
    bed.receive(GREEN, advertisement(C, gateway(1), C.v6));
    bed.turn();
    assert_eq!(bed.moved(), [received(GREEN, 1), dropped(DropReason::ForGateway, 1)]);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [routed(&packet, gateway(1).mac, C.mac)]);
}

#[test]
fn a_next_hop_is_asked_for_with_the_tag_its_port_expects() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, A.stated()).tagged(TRUNK, 20, 1));
    bed.receive(RED, udp4(A, by_gateway(C, 0)));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(TRUNK, 1), dropped(DropReason::NeighbourUnresolved, 1)]);
    assert_eq!(bed.sent_by(TRUNK), [tagged(20, &arp_request(gateway(1), C.v4))]);
}

#[test]
fn a_neighbour_that_changes_its_mac_address_is_followed() {
    let mut bed = TestBed::new(two_networks().port(RED, 0, A.stated()).port(GREEN, 1, PortTable::default()));
    let packet = udp4(A, by_gateway(C, 0));
    for mac in [C.mac, MacAddr([2, 0, 0, 9, 9, 9]), C.mac] {
        bed.receive(GREEN, arp_request(C.at(mac), gateway(1).v4));
        bed.turn();
        let _ = (bed.moved(), bed.sent_by(GREEN));
        for _ in 0..2 {
            bed.receive(RED, packet.clone());
            bed.turn();
            assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
            assert_eq!(bed.sent_by(GREEN), [routed(&packet, gateway(1).mac, mac)]);
        }
    }
}

#[test]
fn a_packet_with_a_wrong_header_checksum_is_bridged_but_not_routed() {
    let mut bed = TestBed::new(three_pods());
    let spoil = |mut packet: Vec<u8>| {
        packet[24] ^= 1;
        packet
    };
    bed.receive(RED, spoil(udp4(A, by_gateway(B, 0))));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::Ipv4Checksum, 1)]);
    let bridged = spoil(udp4(B, C));
    bed.receive(BLUE, bridged.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [bridged]);
}

#[test]
fn options_are_covered_by_the_checksum_and_carried_along() {
    let mut bed = TestBed::new(three_pods());
    let options = podlane_wire::OptionBytes::new(&[0x94, 4, 0, 0]).unwrap();
    let body = datagram((A.v4.into(), B.v4.into()), b"x", Field::Finished);
    let packet = ipv4(A.mac, gateway(0).mac, Ipv4Header { options, ..header4(A, B, IpProtocol::UDP) }, &body);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [routed(&packet, gateway(1).mac, B.mac)]);
}

#[test]
fn addresses_that_no_router_forwards_are_dropped_by_name() {
    let mut bed = TestBed::new(
        two_networks().port(RED, 0, PortTable { mac: Some(A.mac), ..PortTable::default() }).port(BLUE, 1, B.stated()),
    );
    let v4 = |source: &str, destination: &str| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        ipv4(A.mac, gateway(0).mac, Ipv4Header { source, destination, ..header4(A, B, IpProtocol(253)) }, &[])
    };
    let v6 = |source: &str, destination: &str| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        ipv6(A.mac, gateway(0).mac, Ipv6Header { source, destination, ..header6(A, B, IpProtocol(253)) }, &[])
    };
    for packet in [
        v4("10.0.0.1", "224.0.0.1"),
        v4("10.0.0.1", "255.255.255.255"),
        v4("10.0.0.1", "127.0.0.1"),
        v4("10.0.0.1", "169.254.1.1"),
        v4("10.0.0.1", "0.0.0.0"),
        v4("127.0.0.1", "10.0.1.1"),
        v4("169.254.7.7", "10.0.1.1"),
        v4("0.0.0.0", "10.0.1.1"),
        v4("224.0.0.5", "10.0.1.1"),
        v6("fd00::1", "fe80::99"),
        v6("fd00::1", "ff02::1"),
        v6("fd00::1", "::1"),
        v6("fd00::1", "::"),
        v6("fe80::5", "fd00:1::1"),
        v6("::1", "fd00:1::1"),
        v6("::", "fd00:1::1"),
    ] {
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NotRoutable, 1)], "{packet:x?}");
    }
}

#[test]
fn a_network_without_a_gateway_in_the_family_does_not_route_it() {
    let address = [(IpAddr::from(gateway(0).v4), 24)];
    let mut bed = TestBed::new(Plan::new(1).gateway(0, gateway(0).mac, &address).port(RED, 0, A.stated()));
    bed.receive(RED, udp6(A, by_gateway(B, 0)));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoGatewayInFamily, 1)]);
}

#[test]
fn what_is_not_ip_is_not_for_a_gateway() {
    let mut bed = TestBed::new(three_pods());
    bed.receive(RED, frame(A.mac, gateway(0).mac, EtherType::LLDP, &[0; 46]));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NotIp, 1)]);
}

#[test]
fn a_route_into_a_port_that_is_gone_says_so() {
    let mut bed = TestBed::new(three_pods());
    bed.detach(BLUE);
    bed.receive(RED, udp4(A, by_gateway(B, 0)));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::EgressGone, 1)]);
}

#[test]
fn every_transport_is_routed() {
    let mut bed = TestBed::new(three_pods());
    for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
        for v6 in [false, true] {
            let packet = transport(protocol, (A, by_gateway(B, 0)), v6, b"payload", Field::Finished);
            bed.receive(RED, packet.clone());
            bed.turn();
            assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
            assert_eq!(bed.sent_by(BLUE), [routed(&packet, gateway(1).mac, B.mac)]);
        }
    }
    for protocol in [IpProtocol::SCTP, IpProtocol::ESP, IpProtocol(253)] {
        let packet = ipv4(A.mac, gateway(0).mac, header4(A, B, protocol), &[7; 24]);
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
        assert_eq!(bed.sent_by(BLUE), [routed(&packet, gateway(1).mac, B.mac)]);
    }
}
