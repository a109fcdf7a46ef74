//! Access and trunk ports: the tag a frame comes with, the network it belongs to, and the tag it leaves with.

use podlane_dataplane::{
    DropReason, PortId,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{EtherType, IpProtocol, MacAddr};

use crate::packets::{BLUE, BROADCAST, Field, GREEN, Host, RED, host, tagged, transport, udp4, with_tag};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const TRUNK: PortId = PortId(4);
const OTHER_TRUNK: PortId = PortId(5);

/// Network 0: access ports RED and BLUE, VLAN 10 of TRUNK, VLAN 20 of OTHER_TRUNK. Network 1: GREEN, VLAN 11 of TRUNK.
fn plan() -> Plan {
    let open = PortTable::default;
    Plan::new(2)
        .port(RED, 0, open())
        .port(BLUE, 0, open())
        .port(GREEN, 1, open())
        .tagged(TRUNK, 10, 0)
        .tagged(OTHER_TRUNK, 20, 0)
        .tagged(TRUNK, 11, 1)
}

/// A bed that knows A behind `from` and B behind `to`, and where each of their frames carries these tags.
fn acquainted(from: (PortId, Option<u16>), to: (PortId, Option<u16>)) -> TestBed {
    let mut bed = TestBed::new(plan());
    let dressed = |vlan: Option<u16>, frame: Vec<u8>| vlan.map_or(frame.clone(), |id| tagged(id, &frame));
    let hello = |host: Host| udp4(host, Host { mac: BROADCAST, ..host });
    bed.receive(from.0, dressed(from.1, hello(A)));
    bed.receive(to.0, dressed(to.1, hello(B)));
    bed.turn();
    bed.moved();
    for port in [RED, BLUE, GREEN, TRUNK, OTHER_TRUNK] {
        let _ = bed.sent_by(port);
    }
    bed
}

/// One packet from A to B comes in by `from`; it leaves by `to` as `expected`, the first time and as a hit.
fn crosses(from: (PortId, Option<u16>), to: (PortId, Option<u16>), packet: &[u8], expected: &[u8]) {
    let mut bed = acquainted(from, to);
    for _ in 0..2 {
        bed.receive(from.0, packet);
        bed.turn();
        assert_eq!(bed.moved(), [received(from.0, 1), sent(to.0, 1)]);
        assert_eq!(bed.sent_by(to.0), [expected]);
    }
}

#[test]
fn from_access_to_access_nothing_changes() {
    crosses((RED, None), (BLUE, None), &udp4(A, B), &udp4(A, B));
}

#[test]
fn from_access_to_trunk_a_tag_is_pushed() {
    crosses((RED, None), (TRUNK, Some(10)), &udp4(A, B), &tagged(10, &udp4(A, B)));
}

#[test]
fn from_trunk_to_access_the_tag_is_popped() {
    crosses((TRUNK, Some(10)), (RED, None), &tagged(10, &udp4(A, B)), &udp4(A, B));
}

#[test]
fn from_trunk_to_trunk_the_id_is_rewritten_and_the_priority_kept() {
    let (from, to) = ((TRUNK, Some(10)), (OTHER_TRUNK, Some(20)));
    crosses(from, to, &tagged(0xb000 | 10, &udp4(A, B)), &tagged(0xb000 | 20, &udp4(A, B)));
}

#[test]
fn a_priority_tag_belongs_to_the_untagged_network_and_is_taken_off_toward_access() {
    crosses((RED, None), (BLUE, None), &tagged(0xa000, &udp4(A, B)), &udp4(A, B));
}

#[test]
fn a_priority_tag_keeps_its_priority_toward_a_trunk() {
    crosses((RED, None), (TRUNK, Some(10)), &tagged(0xa000, &udp4(A, B)), &tagged(0xa000 | 10, &udp4(A, B)));
}

#[test]
fn a_customers_tag_inside_ours_is_payload() {
    let customer = tagged(77, &udp4(A, B));
    crosses((TRUNK, Some(10)), (RED, None), &tagged(10, &customer), &customer);
    crosses((TRUNK, Some(10)), (OTHER_TRUNK, Some(20)), &tagged(10, &customer), &tagged(20, &customer));
}

#[test]
fn a_service_tag_is_a_tag() {
    let packet = with_tag(EtherType::PROVIDER_VLAN, 10, &udp4(A, B));
    crosses((TRUNK, Some(10)), (RED, None), &packet, &udp4(A, B));
}

#[test]
fn a_frame_of_a_full_mtu_passes_with_its_tag() {
    let full = transport(IpProtocol::UDP, (A, B), false, &[7; 1500 - 28], Field::Finished);
    crosses((TRUNK, Some(10)), (OTHER_TRUNK, Some(20)), &tagged(10, &full), &tagged(20, &full));
    crosses((RED, None), (TRUNK, Some(10)), &full, &tagged(10, &full));
    crosses((TRUNK, Some(10)), (RED, None), &tagged(10, &full), &full);
}

#[test]
fn a_flood_gives_each_port_the_tag_it_expects() {
    let mut bed = TestBed::new(plan());
    let hello = udp4(A, B.at(BROADCAST));
    bed.receive(RED, hello.clone());
    bed.turn();
    assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 1), sent(TRUNK, 1), sent(OTHER_TRUNK, 1)]);
    assert_eq!(bed.sent_by(BLUE), std::slice::from_ref(&hello));
    assert_eq!(bed.sent_by(TRUNK), [tagged(10, &hello)]);
    assert_eq!(bed.sent_by(OTHER_TRUNK), [tagged(20, &hello)]);
}

#[test]
fn a_flood_from_a_trunk_stays_in_the_network_of_its_tag() {
    let mut bed = TestBed::new(plan());
    let hello = udp4(A, B.at(BROADCAST));
    bed.receive(TRUNK, tagged(11, &hello));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [hello]);
}

#[test]
fn a_vlan_that_a_port_is_not_given_is_dropped_by_name() {
    let mut bed = TestBed::new(plan());
    for (port, packet) in [
        (RED, tagged(10, &udp4(A, B))),
        (TRUNK, tagged(20, &udp4(A, B))),
        (TRUNK, udp4(A, B)),
        (TRUNK, tagged(0, &udp4(A, B))),
        (OTHER_TRUNK, tagged(4095, &udp4(A, B))),
    ] {
        bed.receive(port, packet);
        bed.turn();
        assert_eq!(bed.moved(), [received(port, 1), dropped(DropReason::VlanNotAllowed, 1)]);
    }
}

#[test]
fn a_trunk_with_an_untagged_network_serves_both() {
    let mut bed = TestBed::new(
        Plan::new(2).port(RED, 0, A.stated()).port(TRUNK, 0, PortTable::default()).tagged(TRUNK, 11, 1).tagged(
            OTHER_TRUNK,
            20,
            1,
        ),
    );
    let hello = |mac: MacAddr| udp4(B.at(mac), A.at(BROADCAST));
    bed.receive(TRUNK, hello(B.mac));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(RED, 1)]);
    bed.receive(TRUNK, tagged(11, &hello(B.mac)));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 1), sent(OTHER_TRUNK, 1)]);
}

#[test]
fn one_mac_address_in_two_networks_of_one_trunk_is_two_stations() {
    let mut bed = TestBed::new(plan());
    // B lives behind BLUE in network 0 and behind GREEN in network 1; A behind the trunk in both.
    bed.receive(BLUE, udp4(B, A.at(BROADCAST)));
    bed.receive(GREEN, udp4(B, A.at(BROADCAST)));
    bed.turn();
    bed.moved();
    bed.receive(TRUNK, tagged(10, &udp4(A, B)));
    bed.receive(TRUNK, tagged(11, &udp4(A, B)));
    bed.turn();
    assert_eq!(bed.moved(), [received(TRUNK, 2), sent(BLUE, 1), sent(GREEN, 1)]);
}
