//! Floods: every copy is judged for its receiver, and one that is refused is not made.

use core::net::Ipv4Addr;

use podlane_dataplane::{
    DropReason,
    policy::Opening,
    tables::PortTable,
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{IpProtocol, MacAddr};

use crate::{
    packets::{BLUE, BROADCAST, GREEN, Host, RED, arp_request, header4, ipv4, udp4},
    policy::bed::{A, Asked, B, C, pass, policed, three},
};

#[test]
fn only_the_copies_that_are_allowed_are_made() {
    let mut bed = TestBed::new(three());
    let flooded = udp4(A, B.at(BROADCAST));
    bed.enforce(2, Asked(|opening: &Opening| opening.to.port != GREEN));
    pass(&mut bed, RED, &flooded);
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
    assert_eq!(bed.sent_by(BLUE), std::slice::from_ref(&flooded));
    bed.enforce(3, Asked(|_: &Opening| true));
    pass(&mut bed, RED, &flooded);
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
    bed.enforce(4, Asked(|_: &Opening| false));
    pass(&mut bed, RED, &flooded);
    assert_eq!(bed.moved(), [made(1), received(RED, 1), dropped(DropReason::PolicyDenied, 2)]);
    assert_eq!(bed.counters().opened, 0, "nobody in particular was spoken to");
}

#[test]
fn a_flood_is_born_closed_towards_ports_under_policy_alone() {
    let open = PortTable { policed: false, ..policed(C) };
    let plan = Plan::new(1)
        .port(RED, 0, PortTable { policed: false, ..policed(A) })
        .port(BLUE, 0, policed(B))
        .port(GREEN, 0, open);
    let mut bed = TestBed::new(plan);
    pass(&mut bed, RED, &udp4(A, B.at(BROADCAST)));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(GREEN, 1), dropped(DropReason::PolicyDenied, 1)]);
    bed.enforce(2, Asked(|_: &Opening| false));
    pass(&mut bed, RED, &arp_request(A, B.v4));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_station_that_is_not_known_yet_hears_what_it_may_and_answers() {
    let unstated = || PortTable { policed: true, ..PortTable::default() };
    let plan = Plan::new(1).port(RED, 0, unstated()).port(BLUE, 0, unstated()).port(GREEN, 0, unstated());
    let mut bed = TestBed::new(plan);
    bed.enforce(2, Asked(|opening: &Opening| opening.from.port == RED && opening.to.port == BLUE));
    pass(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), dropped(DropReason::PolicyDenied, 1)]);
    // It spoke of itself meanwhile, so the next question is its own.
    pass(&mut bed, BLUE, &arp_request(B, A.v4));
    pass(&mut bed, RED, &udp4(A, B));
    pass(&mut bed, BLUE, &super::opening::reply(B, A, false));
    assert_eq!(bed.counters().opened, 1);
    assert_eq!(
        bed.moved(),
        [made(1), received(RED, 1), received(BLUE, 2), sent(RED, 2), sent(BLUE, 1), sent(GREEN, 1)]
    );
}

#[test]
fn what_says_who_listens_is_not_held_to_policy() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| false));
    let group = MacAddr([0x01, 0, 0x5e, 0, 0, 1]);
    let report = |to| ipv4(A.mac, group, header4(A, to, IpProtocol::IGMP), &[0x16, 0, 0, 0, 224, 0, 0, 1]);
    pass(&mut bed, RED, &report(Host { v4: Ipv4Addr::new(224, 0, 0, 1), ..B }));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
    // Nobody tells that to a single station.
    pass(&mut bed, RED, &report(B));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), dropped(DropReason::PolicyDenied, 2)]);
}
