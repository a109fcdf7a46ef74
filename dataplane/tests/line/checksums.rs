//! Checksums a pod's kernel left unfinished are right on the far side, whatever way they went; others are not touched.

use podlane_dataplane::{
    PortId,
    tables::PortTable,
    testbed::{Plan, TestBed, made, received, sent},
};
use podlane_wire::{IpProtocol, Packet, Transport};

use crate::{
    packets::{
        BLUE, BROADCAST, Field, GREEN, Host, RED, checksums_are_right, gateway, host, routed, tagged, transport,
    },
    route::{by_gateway, two_networks},
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);
const NEAR: Host = host(0, 2);
const TRUNK: PortId = PortId(4);
const OTHER_TRUNK: PortId = PortId(5);

/// Network 0: RED, GREEN, VLAN 10 of TRUNK and VLAN 30 of OTHER_TRUNK. Network 1: BLUE. All take jumbo frames and leave
/// checksums unfinished.
fn plan() -> Plan {
    let veth = |host: Host| PortTable { mtu: 9000, unfinished_checksums: true, ..host.stated() };
    let trunk = || PortTable { mtu: 9000, unfinished_checksums: true, ..PortTable::default() };
    let mut plan = two_networks().port(RED, 0, veth(A)).port(GREEN, 0, veth(NEAR)).port(BLUE, 1, veth(B));
    for (port, vlan) in [(TRUNK, 10), (OTHER_TRUNK, 30)] {
        // Untagged frames of the trunks belong to network 1, where nobody floods in these tests.
        plan = plan.port(port, 1, trunk()).tagged(port, vlan, 0);
    }
    plan
}

/// Every transport in every family, short, odd, of a full MTU and in several slots of packet memory; finished and not.
fn each(ends: (Host, Host), mut check: impl FnMut(Vec<u8>, Vec<u8>)) {
    for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
        for v6 in [false, true] {
            for length in [0, 1, 2, 17, 64, 1440, 1750, 4001, 8900] {
                let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
                let packet = |field| transport(protocol, ends, v6, &payload, field);
                check(packet(Field::Unfinished), packet(Field::Finished));
            }
        }
    }
}

/// A packet comes in by RED; what leaves by `port` is `expected`.
fn crosses(bed: &mut TestBed, port: PortId, packet: &[u8], expected: &[u8]) {
    bed.receive(RED, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(port, 1)]);
    let out = bed.sent_by(port);
    assert!(out == [expected], "{} bytes in, differently out", packet.len());
    assert!(checksums_are_right(&out[0]));
}

/// A bed where `station` was seen behind VLAN 10 of TRUNK.
fn with_trunk(station: Host) -> TestBed {
    let mut bed = TestBed::new(plan());
    let hello = transport(IpProtocol::UDP, (station, station.at(BROADCAST)), false, b"", Field::Finished);
    bed.receive(TRUNK, tagged(10, &hello));
    bed.turn();
    bed.moved();
    for port in [RED, GREEN, OTHER_TRUNK] {
        let _ = bed.sent_by(port);
    }
    bed
}

#[test]
fn bridged_packets_are_finished() {
    let mut bed = TestBed::new(plan());
    each((A, NEAR), |unfinished, finished| crosses(&mut bed, GREEN, &unfinished, &finished));
}

#[test]
fn routed_packets_are_finished() {
    let mut bed = TestBed::new(plan());
    each((A, by_gateway(B, 0)), |unfinished, finished| {
        crosses(&mut bed, BLUE, &unfinished, &routed(&finished, gateway(1).mac, B.mac));
    });
}

#[test]
fn flooded_packets_are_finished_in_every_copy() {
    let mut bed = TestBed::new(plan());
    each((A, host(0, 99)), |unfinished, finished| {
        bed.receive(RED, unfinished);
        bed.turn();
        assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(GREEN, 1), sent(TRUNK, 1), sent(OTHER_TRUNK, 1)]);
        assert!(bed.sent_by(GREEN) == [&finished[..]]);
        assert!(bed.sent_by(TRUNK) == [tagged(10, &finished)]);
        assert!(bed.sent_by(OTHER_TRUNK) == [tagged(30, &finished)]);
        assert!(checksums_are_right(&finished));
    });
}

#[test]
fn a_tag_that_is_pushed_does_not_move_the_field() {
    let far = host(0, 50);
    let mut bed = with_trunk(far);
    each((A, far), |unfinished, finished| crosses(&mut bed, TRUNK, &unfinished, &tagged(10, &finished)));
}

#[test]
fn a_tag_that_is_popped_or_rewritten_does_not_move_the_field() {
    let far = host(0, 50);
    let mut bed = with_trunk(far);
    each((far, NEAR), |unfinished, finished| {
        bed.receive(TRUNK, tagged(10, &unfinished));
        bed.turn();
        assert_eq!(bed.moved(), [received(TRUNK, 1), sent(GREEN, 1)]);
        assert!(bed.sent_by(GREEN) == [&finished[..]]);
        bed.receive(
            OTHER_TRUNK,
            tagged(30, &transport(IpProtocol::UDP, (host(0, 60), far), false, b"", Field::Finished)),
        );
        bed.turn();
        let _ = (bed.moved(), bed.sent_by(TRUNK));
        let other = host(0, 60).at(host(0, 60).mac);
        let back = transport(IpProtocol::TCP, (far, other), false, b"back", Field::Unfinished);
        bed.receive(TRUNK, tagged(10, &back));
        bed.turn();
        assert_eq!(bed.moved(), [received(TRUNK, 1), sent(OTHER_TRUNK, 1)]);
        let back = transport(IpProtocol::TCP, (far, other), false, b"back", Field::Finished);
        assert!(bed.sent_by(OTHER_TRUNK) == [tagged(30, &back)]);
    });
}

#[test]
fn finished_packets_are_not_touched() {
    let mut bed = TestBed::new(plan());
    each((A, NEAR), |_, finished| crosses(&mut bed, GREEN, &finished, &finished));
    each((A, by_gateway(B, 0)), |_, finished| {
        crosses(&mut bed, BLUE, &finished, &routed(&finished, gateway(1).mac, B.mac));
    });
}

#[test]
fn wrong_checksums_stay_wrong() {
    let mut bed = TestBed::new(plan());
    each((A, NEAR), |_, mut wrong| {
        // The payload's end, or the source port where there is none.
        let at = Packet::parse(&wrong).map(|packet| packet.transport_at).unwrap();
        wrong[at] ^= 0x40;
        bed.receive(RED, wrong.clone());
        bed.turn();
        assert!(bed.sent_by(GREEN) == [&wrong[..]]);
    });
}

#[test]
fn a_port_that_finishes_its_own_checksums_is_believed() {
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()).port(GREEN, 0, NEAR.stated()));
    let packet = transport(IpProtocol::UDP, (A, NEAR), false, b"hello", Field::Unfinished);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [packet]);
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
    let mut bed = TestBed::new(plan());
    for v6 in [false, true] {
        // Two bytes of payload that bring the sum to zero: found by trying all.
        let zero = (0..=u16::MAX).find(|word| {
            let packet = transport(IpProtocol::UDP, (A, NEAR), v6, &word.to_be_bytes(), Field::Finished);
            let Transport::Udp(udp) = Packet::parse(&packet).unwrap().transport else { panic!("UDP") };
            udp.checksum() == 0xffff
        });
        let payload = zero.expect("one of all words").to_be_bytes();
        let packet = |field| transport(IpProtocol::UDP, (A, NEAR), v6, &payload, field);
        crosses(&mut bed, GREEN, &packet(Field::Unfinished), &packet(Field::Finished));
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut bed = TestBed::new(plan());
    let mut packet = transport(IpProtocol::UDP, (A, NEAR), false, b"no sum", Field::Finished);
    packet[40..42].fill(0);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(GREEN), [packet]);
}

#[test]
fn a_finished_checksum_that_looks_unfinished_is_still_right() {
    let mut bed = TestBed::new(plan());
    let pseudo = {
        let packet = transport(IpProtocol::TCP, (A, NEAR), false, &[0; 2], Field::Unfinished);
        u16::from_be_bytes([packet[50], packet[51]])
    };
    let twin = (0..=u16::MAX).find_map(|word| {
        let packet = transport(IpProtocol::TCP, (A, NEAR), false, &word.to_be_bytes(), Field::Finished);
        (u16::from_be_bytes([packet[50], packet[51]]) == pseudo).then_some(packet)
    });
    let twin = twin.expect("one of all words");
    assert!(checksums_are_right(&twin));
    crosses(&mut bed, GREEN, &twin, &twin);
}
