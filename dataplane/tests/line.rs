//! A packet's line, packet by packet: what goes in, what comes out, and the whole ledger between.

use podlane_dataplane::{
    DropReason, PortId,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::MacAddr;

const RED: PortId = PortId(1);
const BLUE: PortId = PortId(2);
const GREEN: PortId = PortId(3);

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

/// A minimal IPv4 UDP packet between two stations.
fn udp(from: u8, to: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(mac(to).0);
    packet.extend(mac(from).0);
    packet.extend([8, 0]);
    packet.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    packet.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    packet
}

fn three_stated_ports() -> Plan {
    let port = |last| PortTable { mac: Some(mac(last)), ..PortTable::default() };
    Plan::new(1).port(RED, 0, port(1)).port(BLUE, 0, port(2)).port(GREEN, 0, port(3))
}

#[test]
fn a_packet_for_a_stated_station_goes_to_its_port_alone() {
    let mut bed = TestBed::new(three_stated_ports());
    bed.receive(RED, udp(1, 2));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [udp(1, 2)]);
}

#[test]
fn the_second_packet_of_a_flow_is_a_hit() {
    let mut bed = TestBed::new(three_stated_ports());
    for _ in 0..2 {
        bed.receive(RED, udp(1, 2));
        bed.turn();
    }
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits), (1, 1));
}

#[test]
fn an_unknown_station_is_flooded_and_the_copies_are_the_switchs_own() {
    let mut bed = TestBed::new(three_stated_ports());
    bed.receive(RED, udp(1, 9));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_forged_source_is_dropped_by_name() {
    let mut bed = TestBed::new(three_stated_ports());
    bed.receive(RED, udp(2, 3));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::SpoofedMac, 1)]);
}
