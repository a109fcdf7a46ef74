//! L2: stations are learned, followed and forgotten; what is for everyone stays in its network and under its cap.

use podlane_dataplane::{
    DropReason, PortId,
    tables::PortTable,
    testbed::{Moved, Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{EtherType, MacAddr};

use crate::packets::{BLUE, BROADCAST, GREEN, Host, RED, arp_reply, frame, host, udp4, udp6};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const C: Host = host(0, 3);

fn three_open_ports() -> Plan {
    let open = PortTable::default;
    Plan::new(1).port(RED, 0, open()).port(BLUE, 0, open()).port(GREEN, 0, open())
}

fn three_stated_ports() -> Plan {
    Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()).port(GREEN, 0, C.stated())
}

/// Sends a packet and takes a turn.
fn pass(bed: &mut TestBed, port: PortId, packet: &[u8]) {
    bed.receive(port, packet);
    bed.turn();
}

/// A bed that has learned A at RED and B at BLUE.
fn acquainted(plan: Plan) -> TestBed {
    let mut bed = TestBed::new(plan);
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &udp4(B, A));
    bed.moved();
    for port in [RED, BLUE, GREEN] {
        let _ = bed.sent_by(port);
    }
    bed
}

#[test]
fn a_packet_for_a_stated_station_goes_to_its_port_alone() {
    let mut bed = TestBed::new(three_stated_ports());
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [udp4(A, B)]);
}

#[test]
fn the_second_packet_of_a_flow_is_a_hit() {
    let mut bed = TestBed::new(three_stated_ports());
    for _ in 0..2 {
        pass(&mut bed, RED, &udp4(A, B));
    }
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits, counters.uncached), (1, 1, 0));
}

#[test]
fn packets_of_one_new_flow_in_one_burst_are_one_miss() {
    let mut bed = TestBed::new(three_stated_ports());
    for _ in 0..64 {
        bed.receive(RED, udp4(A, B));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 64)]);
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits), (1, 63));
}

#[test]
fn an_unknown_station_is_flooded_and_the_copies_are_the_switchs_own() {
    let mut bed = TestBed::new(three_open_ports());
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
    assert_eq!(bed.sent_by(BLUE), [udp4(A, B)]);
    assert_eq!(bed.sent_by(GREEN), [udp4(A, B)]);
}

#[test]
fn a_learned_station_gets_its_packets_alone() {
    let mut bed = TestBed::new(three_open_ports());
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &udp4(B, A));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(
        bed.moved(),
        [made(1), received(RED, 2), received(BLUE, 1), sent(RED, 1), sent(BLUE, 2), sent(GREEN, 1)]
    );
}

#[test]
fn a_network_that_does_not_learn_floods_for_ever() {
    let mut bed = TestBed::new(three_open_ports().network(0, |network| network.learning = false));
    for _ in 0..3 {
        pass(&mut bed, BLUE, &udp4(B, A));
        pass(&mut bed, RED, &udp4(A, B));
    }
    assert_eq!(
        bed.moved(),
        [made(6), received(RED, 3), received(BLUE, 3), sent(RED, 3), sent(BLUE, 3), sent(GREEN, 6)]
    );
}

#[test]
fn a_flow_follows_its_station_to_another_port_at_once() {
    let mut bed = acquainted(three_open_ports());
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 2)]);
    pass(&mut bed, GREEN, &udp4(B, A));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), received(GREEN, 1), sent(RED, 1), sent(GREEN, 1)]);
    // And the answer of the moved station was no reason to forget the other's place.
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
}

#[test]
fn a_station_that_comes_back_is_followed_by_its_first_announcement() {
    let mut bed = acquainted(three_open_ports());
    pass(&mut bed, GREEN, &udp4(B, A));
    pass(&mut bed, BLUE, &arp_reply(B, A));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), received(BLUE, 1), received(GREEN, 1), sent(RED, 2), sent(BLUE, 1)]);
}

#[test]
fn a_station_that_comes_back_with_a_flow_it_had_before_is_followed_within_a_round() {
    let mut bed = acquainted(three_open_ports());
    bed.pass(100);
    pass(&mut bed, GREEN, &udp4(B, A));
    bed.pass(100);
    // A hit: nothing is learned from it, but the sweep that passes the flow hears of it.
    pass(&mut bed, BLUE, &udp4(B, A));
    bed.pass(10_000);
    bed.moved();
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
}

#[test]
fn an_idle_flow_does_not_make_its_busy_station_older() {
    let mut bed = acquainted(three_open_ports().network(0, |network| network.mac_age = 5000));
    for _ in 0..60 {
        // Two flows of B: the first one fell silent long ago, the other goes on.
        pass(&mut bed, BLUE, &udp6(B, A));
        pass(&mut bed, RED, &udp4(A, B));
        bed.pass(500);
    }
    assert_eq!(bed.moved(), [received(RED, 60), received(BLUE, 60), sent(RED, 60), sent(BLUE, 60)]);
}

#[test]
fn a_silent_station_is_forgotten() {
    let mut bed = acquainted(three_open_ports().network(0, |network| network.mac_age = 1000));
    bed.pass(20_000);
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_station_whose_flows_are_all_hits_stays_known() {
    let mut bed = acquainted(three_open_ports().network(0, |network| network.mac_age = 5000));
    for _ in 0..60 {
        pass(&mut bed, RED, &udp4(A, B));
        pass(&mut bed, BLUE, &udp4(B, A));
        bed.pass(500);
    }
    assert_eq!(bed.moved(), [received(RED, 60), received(BLUE, 60), sent(RED, 60), sent(BLUE, 60)]);
    assert!(bed.counters().misses <= 4, "a hit teaches nothing, so the flows themselves kept the stations known");
}

#[test]
fn an_idle_flow_ends_and_its_entry_is_free_again() {
    let mut bed = acquainted(three_open_ports());
    assert_eq!(bed.shared.flows.used(), 1, "the flood was not worth remembering");
    bed.pass(70_000);
    assert_eq!(bed.shared.flows.used(), 0);
}

#[test]
fn a_packet_for_a_station_behind_its_own_port_goes_nowhere() {
    let mut bed = acquainted(three_open_ports());
    pass(&mut bed, RED, &udp4(C, B));
    bed.moved();
    pass(&mut bed, RED, &udp4(A, C));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::SamePort, 1)]);
}

#[test]
fn a_group_address_sends_nothing() {
    let mut bed = TestBed::new(three_open_ports());
    pass(&mut bed, RED, &udp4(A.at(MacAddr([3, 0, 0, 0, 0, 1])), B));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::SourceMulticast, 1)]);
}

#[test]
fn link_local_protocols_end_at_the_bridge_and_their_neighbours_do_not() {
    let mut bed = TestBed::new(three_open_ports());
    for last in 0..0x10 {
        let group = MacAddr([0x01, 0x80, 0xc2, 0, 0, last]);
        pass(&mut bed, RED, &frame(A.mac, group, EtherType::LLDP, &[0; 46]));
    }
    assert_eq!(bed.moved(), [received(RED, 16), dropped(DropReason::ReservedMulticast, 16)]);
    let group = MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x10]);
    pass(&mut bed, RED, &frame(A.mac, group, EtherType::LLDP, &[0; 46]));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_frame_that_is_not_ip_is_bridged_untouched() {
    let mut bed = TestBed::new(three_stated_ports());
    let packet = frame(A.mac, B.mac, EtherType(0x88b5), b"anything at all");
    pass(&mut bed, RED, &packet);
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [packet]);
}

#[test]
fn a_broadcast_in_a_network_of_one_port_has_no_destination() {
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()));
    pass(&mut bed, RED, &udp4(A, B.at(BROADCAST)));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoDestination, 1)]);
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::UnknownDestination, 1)]);
}

#[test]
fn a_network_that_does_not_flood_still_broadcasts() {
    let mut bed = TestBed::new(three_stated_ports().network(0, |network| network.flood_unknown = false));
    pass(&mut bed, RED, &udp4(A, host(0, 9)));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::UnknownDestination, 1)]);
    pass(&mut bed, RED, &udp4(A, B.at(BROADCAST)));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn floods_beyond_the_cap_die_and_time_brings_new_leave() {
    let mut bed = TestBed::new(three_stated_ports().network(0, |network| network.flood_limit = 100));
    for _ in 0..50 {
        bed.receive(RED, udp4(A, B.at(BROADCAST)));
    }
    bed.turn();
    let all = [made(10), received(RED, 50), sent(BLUE, 10), sent(GREEN, 10), dropped(DropReason::FloodLimit, 40)];
    assert_eq!(bed.moved(), all);
    bed.pass(100);
    for _ in 0..50 {
        bed.receive(RED, udp4(A, B.at(BROADCAST)));
    }
    bed.turn();
    assert_eq!(bed.moved(), all);
    // A cap on floods is none on known stations.
    for _ in 0..50 {
        bed.receive(RED, udp4(A, B));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 50), sent(BLUE, 50)]);
}

#[test]
fn a_bridged_packet_that_the_leaving_port_cannot_take_dies_by_name() {
    let large = PortTable { mtu: 9000, ..A.stated() };
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, large).port(BLUE, 0, B.stated()));
    let fits = frame(A.mac, B.mac, EtherType(0x88b5), &[1; 1500]);
    let too_big = frame(A.mac, B.mac, EtherType(0x88b5), &[1; 1501]);
    pass(&mut bed, RED, &fits);
    pass(&mut bed, RED, &too_big);
    assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 1), dropped(DropReason::TooBig, 1)]);
    assert_eq!(bed.sent_by(BLUE), [fits]);
}

#[test]
fn a_packet_for_a_port_that_was_taken_away_dies_by_name() {
    let mut bed = TestBed::new(three_stated_ports());
    pass(&mut bed, RED, &udp4(A, B));
    bed.detach(BLUE);
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 2), sent(BLUE, 1), dropped(DropReason::EgressGone, 1)]);
}

#[test]
fn a_receiver_that_does_not_keep_up_delays_its_own_packets_only() {
    let mut bed = TestBed::new(three_stated_ports());
    bed.wire(BLUE).take_at_most(10);
    for _ in 0..30 {
        bed.receive(RED, udp4(A, B));
        bed.receive(RED, udp4(A, C));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 60), sent(BLUE, 10), sent(GREEN, 30), Moved::Held(20)]);
    bed.wire(BLUE).take_at_most(1000);
    bed.turn();
    assert_eq!(bed.moved(), [sent(BLUE, 20)]);
}

#[test]
fn what_waits_for_a_port_that_is_taken_away_is_dropped_by_name() {
    let mut bed = TestBed::new(three_stated_ports());
    bed.wire(BLUE).take_at_most(0);
    for _ in 0..5 {
        bed.receive(RED, udp4(A, B));
    }
    bed.turn();
    bed.detach(BLUE);
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 5), dropped(DropReason::PortRemoved, 5)]);
}

#[test]
fn a_full_flow_table_forwards_what_it_cannot_remember_and_counts_it() {
    let mut bed = TestBed::new(three_stated_ports());
    let flows: u16 = 2000;
    for port in 0..flows {
        let mut packet = udp4(A, B);
        packet[34..36].copy_from_slice(&port.to_be_bytes());
        bed.receive(RED, packet);
        if port % 32 == 31 {
            bed.turn();
        }
    }
    bed.turn();
    let counters = bed.counters();
    assert_eq!((counters.sent(), counters.lost()), (u64::from(flows), 0));
    assert_eq!(counters.uncached, u64::from(flows) - bed.shared.flows.used() as u64);
    assert!(counters.uncached > 0, "the table is smaller than the flows");
}
