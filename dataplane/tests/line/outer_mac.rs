//! Stations that share an uplink's MAC address: the wire sees one address, they see their own, and neither can be forged.

use core::net::{IpAddr, Ipv6Addr};

use podlane_dataplane::{
    DropReason, PortId,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, received, sent},
};
use podlane_wire::{Icmpv4Type, MacAddr};

use crate::packets::{
    BLUE, GREEN, Host, RED, advertisement, arp_reply, arp_request, checksums_are_right, echo4, host, solicitation,
    tagged, udp4, udp6,
};

const OUTER: MacAddr = MacAddr([2, 0, 0, 0xff, 0, 1]);
const A: Host = host(0, 1);
const B: Host = host(0, 2);
/// On the wire, behind the uplink.
const FAR: Host = host(0, 77);
const OTHER: Host = host(0, 78);
const UPLINK: PortId = RED;

fn uplink() -> PortTable {
    PortTable { outer_mac: Some(OUTER), ..PortTable::default() }
}

/// A behind BLUE and B behind GREEN share the uplink's address.
fn shared() -> TestBed {
    TestBed::new(Plan::new(1).port(UPLINK, 0, uplink()).port(BLUE, 0, A.stated()).port(GREEN, 0, B.stated()))
}

/// The switch knows where FAR is: it has asked for somebody.
fn acquainted() -> TestBed {
    let mut bed = shared();
    bed.receive(UPLINK, arp_request(FAR, OTHER.v4));
    bed.turn();
    bed.moved();
    let _ = [UPLINK, BLUE, GREEN].map(|port| bed.sent_by(port));
    bed
}

/// What one packet becomes on its way from one port to another.
fn becomes(bed: &mut TestBed, packet: Vec<u8>, (from, to): (PortId, PortId)) -> Vec<u8> {
    bed.receive(from, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(from, 1), sent(to, 1)]);
    bed.sent_by(to).remove(0)
}

fn dies(bed: &mut TestBed, port: PortId, packet: Vec<u8>, reason: DropReason) {
    let shown = format!("{packet:x?}");
    bed.receive(port, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(port, 1), dropped(reason, 1)], "{shown}");
}

#[test]
fn what_leaves_is_from_the_uplink_and_what_comes_back_finds_its_station_hop_uncounted() {
    let mut bed = acquainted();
    // Twice: resolved, and from the flow table. Echo is not of the plainest.
    for _ in 0..2 {
        for (out, back) in [
            (udp4(A, FAR), udp4(FAR, A)),
            (udp6(A, FAR), udp6(FAR, A)),
            (echo4(A, FAR, Icmpv4Type::ECHO_REQUEST), echo4(FAR, A, Icmpv4Type::ECHO_REPLY)),
        ] {
            let seen = becomes(&mut bed, out.clone(), (BLUE, UPLINK));
            assert_eq!(seen[..6], FAR.mac.0);
            assert_eq!(seen[6..12], OUTER.0);
            assert_eq!(seen[12..], out[12..], "TTL and checksums as they were");
            let arrives = [&OUTER.0, &back[6..]].concat();
            assert_eq!(becomes(&mut bed, arrives, (UPLINK, BLUE)), back);
        }
    }
}

#[test]
fn stations_of_one_node_know_each_other_by_their_own_addresses() {
    let mut bed = acquainted();
    for packet in [udp4(A, B), udp6(A, B), arp_reply(A, B)] {
        assert_eq!(becomes(&mut bed, packet.clone(), (BLUE, GREEN)), packet);
    }
}

#[test]
fn a_question_for_a_station_is_answered_with_the_uplinks_address_and_reaches_nobody() {
    let mut bed = shared();
    for (question, unicast) in [(arp_request(FAR, A.v4), false), (arp_request(FAR, A.v4), true)] {
        let mut question = question;
        if unicast {
            question[..6].copy_from_slice(&OUTER.0);
        }
        let answer = becomes(&mut bed, question, (UPLINK, UPLINK));
        let expected = arp_reply(A.at(OUTER), FAR);
        assert_eq!(answer[..expected.len()], expected);
    }
    let answer = becomes(&mut bed, solicitation(FAR, A.v6), (UPLINK, UPLINK));
    assert_eq!((&answer[..6], &answer[6..12]), (&FAR.mac.0[..], &OUTER.0[..]));
    assert_eq!(answer[54], 136, "an advertisement");
    assert_eq!(Ipv6Addr::from(*answer[62..].first_chunk::<16>().unwrap()), A.v6);
    assert_eq!(answer[78..86], [2, 1, OUTER.0[0], OUTER.0[1], OUTER.0[2], OUTER.0[3], OUTER.0[4], OUTER.0[5]]);
    assert!(checksums_are_right(&answer));
}

#[test]
fn a_stations_question_names_the_uplink_on_the_wire_and_the_station_to_the_others() {
    let mut bed = shared();
    bed.receive(BLUE, arp_request(A, FAR.v4));
    bed.receive(BLUE, solicitation(A, FAR.v6));
    bed.turn();
    bed.moved();
    let on_the_wire = bed.sent_by(UPLINK);
    assert_eq!(on_the_wire[0], arp_request(A.at(OUTER), FAR.v4));
    assert_eq!(on_the_wire[1], solicitation(A.at(OUTER), FAR.v6), "its option, and its checksum after it");
    assert!(checksums_are_right(&on_the_wire[1]));
    assert_eq!(bed.sent_by(GREEN), [arp_request(A, FAR.v4), solicitation(A, FAR.v6)]);
}

#[test]
fn answers_cross_with_the_addresses_of_each_side() {
    let mut bed = acquainted();
    let arrives = becomes(&mut bed, arp_reply(FAR, A.at(OUTER)), (UPLINK, BLUE));
    assert_eq!(arrives, arp_reply(FAR, A));
    let leaves = becomes(&mut bed, arp_reply(A, FAR), (BLUE, UPLINK));
    assert_eq!(leaves, arp_reply(A.at(OUTER), FAR));
    let mut told = advertisement(FAR, A, FAR.v6);
    told[..6].copy_from_slice(&OUTER.0);
    assert_eq!(becomes(&mut bed, told, (UPLINK, BLUE)), advertisement(FAR, A, FAR.v6));
    let tells = becomes(&mut bed, advertisement(A, FAR, A.v6), (BLUE, UPLINK));
    assert_eq!(tells, advertisement(A.at(OUTER), FAR, A.v6));
    assert!(checksums_are_right(&tells));
}

#[test]
fn what_is_for_nobody_here_goes_nowhere() {
    let mut bed = acquainted();
    dies(&mut bed, UPLINK, udp4(FAR, host(0, 9).at(OUTER)), DropReason::UnknownDestination);
    dies(&mut bed, UPLINK, udp4(FAR, A), DropReason::UnknownDestination);
    dies(&mut bed, UPLINK, arp_reply(FAR, OTHER.at(OUTER)), DropReason::UnknownDestination);
}

#[test]
fn neither_side_takes_the_others_addresses() {
    let mut bed = acquainted();
    dies(&mut bed, UPLINK, udp4(FAR.at(OUTER), A.at(OUTER)), DropReason::SpoofedMac);
    dies(&mut bed, UPLINK, udp4(FAR.at(B.mac), A.at(OUTER)), DropReason::SpoofedMac);
    dies(&mut bed, UPLINK, udp4(B.at(FAR.mac), A.at(OUTER)), DropReason::SpoofedAddress);
    dies(&mut bed, UPLINK, arp_request(B.at(FAR.mac), A.v4), DropReason::SpoofedAddress);
    dies(&mut bed, BLUE, udp4(A.at(OUTER), FAR), DropReason::SpoofedMac);
    dies(&mut bed, BLUE, udp4(B.at(A.mac), FAR), DropReason::SpoofedAddress);
}

#[test]
fn an_address_that_is_formed_from_the_mac_is_found_where_it_is_stated() {
    let link_local = |host: Host| Host { v6: host.mac.link_local(), ..host };
    let stated = PortTable { addresses: vec![IpAddr::from(A.v4), A.mac.link_local().into()], ..A.stated() };
    let mut bed = TestBed::new(Plan::new(1).port(UPLINK, 0, uplink()).port(BLUE, 0, stated));
    let arrives = udp6(link_local(FAR), link_local(A).at(OUTER));
    assert_eq!(becomes(&mut bed, arrives, (UPLINK, BLUE)), udp6(link_local(FAR), link_local(A)));
}

#[test]
fn a_tagged_segment_is_carried_with_its_tag_on_the_wire() {
    let plan = || Plan::new(1).port(BLUE, 0, A.stated()).tagged(UPLINK, 30, 0);
    let mut tables = plan().build();
    tables.ports[UPLINK.index()].as_mut().unwrap().outer_mac = Some(OUTER);
    tables.generation.0 += 1;
    let mut bed = TestBed::new(plan());
    bed.publish(tables);
    for _ in 0..2 {
        let arrives = becomes(&mut bed, tagged(30, &udp4(FAR, A.at(OUTER))), (UPLINK, BLUE));
        assert_eq!(arrives, udp4(FAR, A));
        let leaves = becomes(&mut bed, udp4(A, FAR), (BLUE, UPLINK));
        assert_eq!(leaves, tagged(30, &udp4(A.at(OUTER), FAR)));
    }
    let answer = becomes(&mut bed, tagged(30, &arp_request(FAR, A.v4)), (UPLINK, UPLINK));
    let expected = tagged(30, &arp_reply(A.at(OUTER), FAR));
    assert_eq!(answer[..expected.len()], expected);
    let leaves = becomes(&mut bed, arp_reply(A, FAR), (BLUE, UPLINK));
    assert_eq!(leaves, tagged(30, &arp_reply(A.at(OUTER), FAR)));
}
