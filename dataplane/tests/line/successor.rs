//! An address that goes to another station: who remembers the former one reaches the new one, and need not be told.

use podlane_dataplane::{
    DropReason,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, made, received, sent},
};

use podlane_wire::MacAddr;

use crate::packets::{
    BLUE, BROADCAST, GREEN, Host, RED, advertisement, arp_reply, arp_request, host, probe, udp4, udp6,
};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const C: Host = host(0, 3);
/// Who had B's addresses before, as A remembers it.
const FORMER: Host = B.at(host(0, 77).mac);

fn two_pods() -> Plan {
    Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated())
}

fn three_pods() -> Plan {
    two_pods().port(GREEN, 0, C.stated())
}

/// Behind GREEN may be anybody.
fn two_pods_and_a_wire() -> Plan {
    two_pods().port(GREEN, 0, PortTable::default())
}

#[test]
fn packets_for_the_former_owner_of_an_address_reach_the_one_that_has_it() {
    let mut bed = TestBed::new(three_pods());
    for (stale, right) in [(udp4(A, FORMER), udp4(A, B)), (udp6(A, FORMER), udp6(A, B))] {
        for _ in 0..2 {
            bed.receive(RED, stale.clone());
            bed.turn();
        }
        assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 2)]);
        assert_eq!(bed.sent_by(BLUE), [right.clone(), right]);
    }
    // The second packet of a flow is a hit, as of any other.
    assert_eq!((bed.counters().misses, bed.counters().hits), (2, 2));
}

#[test]
fn who_looks_whether_the_former_owner_is_there_is_answered_by_the_one_that_has_the_address() {
    let mut bed = TestBed::new(three_pods());
    // As Linux looks: straight to the MAC address that it knows.
    let question = |mac: MacAddr| [&mac.0[..], &arp_request(A, B.v4)[6..]].concat();
    bed.receive(RED, question(FORMER.mac));
    bed.turn();
    assert_eq!(bed.sent_by(BLUE), [question(B.mac)]);
    bed.receive(RED, probe(A, FORMER));
    bed.turn();
    assert_eq!(bed.sent_by(BLUE), [probe(A, B)]);
    assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 2)]);
}

#[test]
fn a_station_that_is_there_keeps_what_is_sent_to_it_whatever_the_address() {
    // It may be a router.
    let mut bed = TestBed::new(three_pods());
    bed.receive(RED, udp4(A, B.at(C.mac)));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    // Also one that is learned later than a flow to its MAC address was remembered.
    let mut bed = TestBed::new(two_pods_and_a_wire());
    bed.receive(RED, udp4(A, FORMER));
    bed.turn();
    bed.receive(GREEN, udp4(C.at(FORMER.mac), A));
    bed.turn();
    bed.receive(RED, udp4(A, FORMER));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 2), received(GREEN, 1), sent(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn an_address_that_nobody_states_is_flooded_as_before() {
    let mut bed = TestBed::new(three_pods());
    bed.receive(RED, udp4(A, host(0, 78)));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn what_a_stated_station_announces_goes_to_all_where_not_all_are_stated_and_to_nobody_where_they_are() {
    let everyone = Host { mac: BROADCAST, ..B };
    let all_nodes = {
        let group = "ff02::1".parse().unwrap();
        Host { mac: MacAddr::of_ipv6_multicast(group), v6: group, ..B }
    };
    let announcements = [arp_request(B, B.v4), arp_reply(B, everyone), advertisement(B, all_nodes, B.v6)];
    for announcement in &announcements {
        let mut bed = TestBed::new(three_pods());
        bed.receive(BLUE, announcement.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::NoListener, 1)], "{announcement:x?}");
        let mut bed = TestBed::new(two_pods_and_a_wire());
        bed.receive(BLUE, announcement.clone());
        bed.turn();
        // The address may have been behind the wire, where the switch would still look for its former owner.
        assert_eq!(bed.moved(), [made(1), received(BLUE, 1), sent(RED, 1), sent(GREEN, 1)], "{announcement:x?}");
    }
}

#[test]
fn what_is_asked_or_not_stated_goes_to_all() {
    let everyone = [made(1), received(BLUE, 1), sent(RED, 1), sent(GREEN, 1)];
    let mut bed = TestBed::new(three_pods());
    bed.receive(BLUE, arp_request(B, C.v4));
    bed.turn();
    assert_eq!(bed.moved(), everyone, "a question");
    let unstated = Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, PortTable::default()).port(GREEN, 0, C.stated());
    let mut bed = TestBed::new(unstated);
    bed.receive(BLUE, arp_request(B, B.v4));
    bed.turn();
    assert_eq!(bed.moved(), everyone, "an address that anybody may have had");
}
