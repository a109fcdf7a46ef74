//! Who may say what: no station is forged, no address claimed, and a port is born closed.

use podlane_dataplane::{
    DropReason, PortId,
    port::memory::{MemoryPort, Wire},
    tables::PortTable,
    testbed::{TestBed, dropped, received, sent},
};
use podlane_wire::MacAddr;

use crate::{
    packets::{BLUE, GREEN, Host, advertisement, arp_reply, arp_request, gateway, host, solicitation, udp4, udp6},
    route::{by_gateway, three_pods, two_networks},
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);
const C: Host = host(1, 2);
const STRANGER: Host = host(1, 77);

fn dies(bed: &mut TestBed, port: PortId, packet: Vec<u8>, reason: DropReason) {
    let shown = format!("{packet:x?}");
    bed.receive(port, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(port, 1), dropped(reason, 1)], "{shown}");
}

#[test]
fn a_forged_source_mac_is_dropped_by_name() {
    let mut bed = TestBed::new(three_pods());
    dies(&mut bed, BLUE, udp4(B.at(C.mac), C), DropReason::SpoofedMac);
    dies(&mut bed, BLUE, udp4(B.at(STRANGER.mac), C), DropReason::SpoofedMac);
    dies(&mut bed, BLUE, udp4(B.at(gateway(1).mac), C), DropReason::SpoofedMac);
}

#[test]
fn a_forged_source_address_is_dropped_by_name_bridged_or_routed() {
    let mut bed = TestBed::new(three_pods());
    let forged = STRANGER.at(B.mac);
    dies(&mut bed, BLUE, udp4(forged, C), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, udp6(forged, C), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, udp4(forged, by_gateway(A, 1)), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, udp6(forged, by_gateway(A, 1)), DropReason::SpoofedAddress);
}

#[test]
fn a_flow_that_is_allowed_opens_no_door_for_a_forged_one() {
    let mut bed = TestBed::new(three_pods());
    for _ in 0..2 {
        bed.receive(BLUE, udp4(B, C));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 2), sent(GREEN, 2)]);
    dies(&mut bed, BLUE, udp4(STRANGER.at(B.mac), C), DropReason::SpoofedAddress);
    dies(&mut bed, GREEN, udp4(B, C), DropReason::SpoofedMac);
}

#[test]
fn a_forged_arp_sender_is_dropped_by_name() {
    let mut bed = TestBed::new(three_pods());
    // Another's address, and the right address with another's MAC inside.
    dies(&mut bed, BLUE, arp_request(C.at(B.mac), gateway(1).v4), DropReason::SpoofedAddress);
    let mut lying = arp_request(B, gateway(1).v4);
    lying[14 + 8..14 + 14].copy_from_slice(&C.mac.0);
    dies(&mut bed, BLUE, lying, DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, arp_reply(C.at(B.mac), C), DropReason::SpoofedAddress);
}

#[test]
fn a_forged_advertisement_is_dropped_by_name() {
    let mut bed = TestBed::new(three_pods());
    dies(&mut bed, BLUE, advertisement(B, C, STRANGER.v6), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, advertisement(B, C, gateway(1).v6), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, solicitation(STRANGER.at(B.mac), C.v6), DropReason::SpoofedAddress);
    bed.receive(BLUE, advertisement(B, C, B.v6));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn no_port_takes_the_gateways_addresses() {
    let mut bed = TestBed::new(two_networks().port(BLUE, 1, PortTable::default()).port(GREEN, 1, C.stated()));
    let thief = gateway(1).at(STRANGER.mac);
    dies(&mut bed, BLUE, arp_request(thief, C.v4), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, arp_reply(thief, C), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, advertisement(STRANGER, C, gateway(1).v6), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, advertisement(STRANGER, C, gateway(1).mac.link_local()), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, udp4(gateway(1), C), DropReason::SpoofedMac);
}

#[test]
fn a_port_that_states_nothing_takes_no_stated_station() {
    let mut bed = TestBed::new(two_networks().port(BLUE, 1, PortTable::default()).port(GREEN, 1, C.stated()));
    dies(&mut bed, BLUE, udp4(B.at(C.mac), host(1, 9)), DropReason::SpoofedMac);
    dies(&mut bed, BLUE, arp_request(C.at(STRANGER.mac), gateway(1).v4), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, advertisement(STRANGER, C, C.v6), DropReason::SpoofedAddress);
}

#[test]
fn a_stated_port_may_look_for_an_address_of_its_own() {
    let mut bed = TestBed::new(three_pods());
    // DHCP and duplicate address detection speak from the unspecified address; link-local is the port's own.
    let nobody = Host { v4: core::net::Ipv4Addr::UNSPECIFIED, v6: core::net::Ipv6Addr::UNSPECIFIED, ..B };
    let link_local = Host { v6: B.mac.link_local(), ..B };
    for packet in [udp4(nobody, C), arp_request(nobody, C.v4), udp6(nobody, C), udp6(link_local, C)] {
        bed.receive(BLUE, packet);
        bed.turn();
        assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
    }
}

#[test]
fn a_port_without_a_table_is_closed_both_ways() {
    let mut bed = TestBed::new(three_pods());
    let unborn = PortId(9);
    let wire = Wire::default();
    bed.attach(unborn, Box::new(MemoryPort::new(wire.clone())));
    wire.send(udp4(B, C));
    wire.send(arp_request(B, gateway(1).v4));
    bed.turn();
    assert_eq!(bed.moved(), [received(unborn, 2), dropped(DropReason::PortClosed, 2)]);
    bed.receive(BLUE, udp4(B, C.at(MacAddr([0xff; 6]))));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
    assert!(wire.receive().is_empty());
}

#[test]
fn a_port_whose_table_is_taken_away_closes_at_once() {
    let mut bed = TestBed::new(three_pods());
    bed.receive(BLUE, udp4(B, C));
    bed.turn();
    bed.moved();
    let mut tables = three_pods().build();
    tables.generation.0 += 1;
    tables.ports[BLUE.index()] = None;
    bed.publish(tables);
    dies(&mut bed, BLUE, udp4(B, C), DropReason::PortClosed);
}

#[test]
fn an_unstated_port_may_not_send_from_what_another_states_nor_from_the_gateway() {
    let strange_port = PortId(9);
    let mut bed = TestBed::new(three_pods().port(strange_port, 1, PortTable::default()));
    let strange = Host { mac: STRANGER.mac, ..B };
    dies(&mut bed, strange_port, udp4(strange, C), DropReason::SpoofedAddress);
    dies(&mut bed, strange_port, udp6(strange, C), DropReason::SpoofedAddress);
    let as_gateway = Host { mac: STRANGER.mac, ..gateway(1) };
    dies(&mut bed, strange_port, udp4(as_gateway, C), DropReason::SpoofedAddress);
}

#[test]
fn a_pod_may_not_advertise_itself_as_a_router() {
    let mut bed = TestBed::new(three_pods());
    for kind in [134, 137] {
        let mut packet = solicitation(B, C.v6);
        packet[54] = kind;
        dies(&mut bed, BLUE, packet, DropReason::RogueRouter);
    }
}
