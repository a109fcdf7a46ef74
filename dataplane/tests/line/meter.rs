//! Rates: what a pod sends and receives over them dies by name, once, wherever it comes from and whichever worker sends it.

use core::num::NonZeroU64;

use podlane_dataplane::{
    DropReason, PortId,
    tables::{
        PortTable,
        rates::{Rate, Rates},
    },
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::EtherType;

use crate::packets::{BLUE, BROADCAST, GREEN, Host, RED, arp_request, frame, gateway, host, udp4};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const C: Host = host(0, 3);

/// Bytes of the packets here.
const PACKET: u64 = 47;

/// So many packets a second, and so many at once.
fn packets(per_second: u64, burst: u64) -> Option<Rate> {
    let bits = NonZeroU64::new(per_second * PACKET * 8).expect("a rate");
    Some(Rate::of_bits(bits, burst * PACKET * 8))
}

fn sends(host: Host, egress: Option<Rate>) -> PortTable {
    PortTable { rates: Rates { egress, ..Rates::default() }, ..host.stated() }
}

fn receives(host: Host, ingress: Option<Rate>) -> PortTable {
    PortTable { rates: Rates { ingress, ..Rates::default() }, ..host.stated() }
}

fn plan(red: PortTable, blue: PortTable) -> Plan {
    Plan::new(1).port(RED, 0, red).port(BLUE, 0, blue).port(GREEN, 0, C.stated())
}

/// A packet of the flow with this number.
fn of_flow(flow: u16, from: Host, to: Host) -> Vec<u8> {
    let mut packet = udp4(from, to);
    assert_eq!(packet.len() as u64, PACKET);
    packet[34..36].copy_from_slice(&flow.to_be_bytes());
    packet
}

/// Sends so many packets of one flow in one burst.
fn offer(bed: &mut TestBed, port: PortId, count: usize, (from, to): (Host, Host)) {
    for _ in 0..count {
        bed.receive(port, udp4(from, to));
    }
    bed.turn();
}

#[test]
fn what_a_pod_sends_over_its_rate_dies_before_it_makes_a_flow() {
    let mut bed = TestBed::new(plan(sends(A, packets(100, 10)), B.stated()));
    for flow in 0..64 {
        bed.receive(RED, of_flow(flow, A, B));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 10), dropped(DropReason::EgressRate, 54)]);
    assert_eq!(bed.sent_by(BLUE), (0..10).map(|flow| of_flow(flow, A, B)).collect::<Vec<_>>());
    let counters = bed.counters();
    assert_eq!((bed.workers[0].report().flows, counters.misses, counters.hits), (10, 10, 0));
    assert_eq!(counters.ports[RED.index()].dropped[DropReason::EgressRate as usize], 54);
}

#[test]
fn what_a_pod_would_receive_over_its_rate_dies_at_its_port() {
    let mut bed = TestBed::new(plan(A.stated(), receives(B, packets(100, 10))));
    offer(&mut bed, RED, 64, (A, B));
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 10), dropped(DropReason::IngressRate, 54)]);
    offer(&mut bed, RED, 1, (A, C));
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
}

#[test]
fn a_packet_is_paid_for_once_by_each_end() {
    let mut bed = TestBed::new(plan(sends(A, packets(1, 64)), receives(B, packets(1, 64))));
    offer(&mut bed, RED, 64, (A, B));
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 64)]);
    offer(&mut bed, RED, 1, (A, B));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::EgressRate, 1)]);
    offer(&mut bed, GREEN, 1, (C, B));
    assert_eq!(bed.moved(), [received(GREEN, 1), dropped(DropReason::IngressRate, 1)]);
    // The other directions have no rates.
    offer(&mut bed, BLUE, 64, (B, A));
    assert_eq!(bed.moved(), [received(BLUE, 64), sent(RED, 64)]);
}

#[test]
fn in_ten_seconds_a_pod_sends_its_burst_and_ten_times_its_rate() {
    let mut bed = TestBed::new(plan(sends(A, packets(333, 50)), B.stated()));
    offer(&mut bed, RED, 60, (A, B));
    for _ in 0..100 {
        bed.pass(100);
        offer(&mut bed, RED, 60, (A, B));
    }
    let (all, due) = (101 * 60, 50 + 3330);
    assert_eq!(bed.moved(), [received(RED, all), sent(BLUE, due), dropped(DropReason::EgressRate, all - due)]);
}

#[test]
fn a_copy_over_its_receivers_rate_dies_and_the_others_go() {
    let mut bed = TestBed::new(plan(A.stated(), receives(B, packets(1, 1))));
    for _ in 0..3 {
        bed.receive(RED, frame(A.mac, BROADCAST, EtherType(0x88b5), &[0; 33]));
    }
    bed.turn();
    assert_eq!(
        bed.moved(),
        [made(3), received(RED, 3), sent(BLUE, 1), sent(GREEN, 3), dropped(DropReason::IngressRate, 2)]
    );
}

#[test]
fn what_another_worker_hands_over_is_paid_for_once() {
    let mut bed = TestBed::with_workers(plan(A.stated(), receives(B, packets(1, 20))), 2);
    offer(&mut bed, RED, 10, (A, B));
    assert_eq!(bed.moved(), [received(RED, 10), sent(BLUE, 10)]);
    offer(&mut bed, RED, 40, (A, B));
    assert_eq!(bed.moved(), [received(RED, 40), sent(BLUE, 10), dropped(DropReason::IngressRate, 30)]);
    let report = |worker: usize| bed.workers[worker].report().counters;
    assert_eq!((report(1).handed, report(0).taken), (50, 50));
}

#[test]
fn what_is_malformed_dies_as_that_and_takes_nothing() {
    let mut bed = TestBed::new(plan(sends(A, packets(1, 1)), B.stated()));
    bed.receive(RED, vec![0; 9]);
    bed.receive(RED, vec![0; 1600]);
    bed.receive(RED, udp4(A, B));
    bed.receive(RED, udp4(A, B));
    bed.turn();
    assert_eq!(
        bed.moved(),
        [
            received(RED, 4),
            sent(BLUE, 1),
            dropped(DropReason::Runt, 1),
            dropped(DropReason::Giant, 1),
            dropped(DropReason::EgressRate, 1)
        ]
    );
}

#[test]
fn what_the_switch_answers_is_received_like_anything_else() {
    let at = [(gateway(0).v4.into(), 24)];
    let mut bed = TestBed::new(plan(receives(A, packets(1, 1)), B.stated()).gateway(0, gateway(0).mac, &at));
    for _ in 0..2 {
        bed.receive(RED, arp_request(A, gateway(0).v4));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 2), sent(RED, 1), dropped(DropReason::IngressRate, 1)]);
}

#[test]
fn rates_of_new_tables_hold_at_once_for_ports_that_are_there() {
    let free = || plan(A.stated(), B.stated());
    let mut bed = TestBed::new(free());
    offer(&mut bed, RED, 64, (A, B));
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 64)]);
    bed.publish(plan(sends(A, packets(1, 8)), receives(B, packets(1, 3))).build());
    offer(&mut bed, RED, 64, (A, B));
    assert_eq!(
        bed.moved(),
        [received(RED, 64), sent(BLUE, 3), dropped(DropReason::EgressRate, 56), dropped(DropReason::IngressRate, 5)]
    );
    bed.publish(free().build());
    offer(&mut bed, RED, 64, (A, B));
    assert_eq!(bed.moved(), [received(RED, 64), sent(BLUE, 64)]);
}
