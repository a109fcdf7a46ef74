//! DHCP: a pod without an address says and hears nothing else; one that has its address is guarded like any.

use core::net::Ipv4Addr;

use podlane_dataplane::{
    DropReason,
    tables::{Dhcp, PortTable},
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::IpProtocol;

use crate::packets::{
    BLUE, BROADCAST, Field, GREEN, Host, RED, arp_request, header4, host, ipv4, solicitation, summed, udp4,
};

/// The pod that asks, at RED.
const POD: Host = host(0, 1);
/// Whoever answers, at BLUE.
const SERVER: Host = host(0, 2);
/// At GREEN.
const OTHER: Host = host(0, 3);

/// A datagram between these ports.
fn datagram(from: Host, to: Host, ports: (u16, u16)) -> Vec<u8> {
    let mut body = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), 12_u16.to_be_bytes(), [0; 2]].concat();
    body.extend(b"dhcp");
    let body = summed((from.v4.into(), to.v4.into()), IpProtocol::UDP, body, Field::Finished);
    ipv4(from.mac, to.mac, header4(from, to, IpProtocol::UDP), &body)
}

/// What a pod without an address asks everybody.
fn question() -> Vec<u8> {
    let nobody = Host { v4: Ipv4Addr::UNSPECIFIED, ..POD };
    datagram(nobody, everybody(), (68, 67))
}

fn everybody() -> Host {
    Host { v4: Ipv4Addr::BROADCAST, ..OTHER }.at(BROADCAST)
}

/// A pod at RED that is so far, a server and another station.
fn bed(dhcp: Dhcp) -> TestBed {
    let addresses = if dhcp == Dhcp::Asking { vec![] } else { vec![POD.v4.into()] };
    let pod = PortTable { dhcp, addresses, ..POD.stated() };
    TestBed::new(Plan::new(1).port(RED, 0, pod).port(BLUE, 0, SERVER.stated()).port(GREEN, 0, OTHER.stated()))
}

#[test]
fn the_question_of_a_pod_without_an_address_reaches_servers_and_their_answers_reach_it() {
    let mut bed = bed(Dhcp::Asking);
    bed.receive(RED, question());
    // To the address that the pod is to have, at the MAC address it has.
    let answer = datagram(SERVER, POD, (67, 68));
    bed.receive(BLUE, answer.clone());
    bed.receive(BLUE, datagram(SERVER, everybody(), (67, 68)));
    bed.turn();
    let moved = [made(2), received(RED, 1), received(BLUE, 2), sent(RED, 2), sent(BLUE, 1), sent(GREEN, 2)];
    assert_eq!(bed.moved(), moved);
    assert_eq!(bed.sent_by(RED)[0], answer);
}

#[test]
fn nothing_else_comes_from_a_pod_without_an_address() {
    let mut bed = bed(Dhcp::Asking);
    let nobody = Host { v4: Ipv4Addr::UNSPECIFIED, ..POD };
    let said = [
        udp4(POD, SERVER),
        arp_request(POD, SERVER.v4),
        solicitation(POD, SERVER.v6),
        datagram(nobody, everybody(), (68, 53)),
        // As if it were a server itself.
        datagram(nobody, everybody(), (67, 68)),
    ];
    let count = said.len() as u64;
    said.into_iter().for_each(|packet| bed.receive(RED, packet));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, count), dropped(DropReason::PortClosed, count)]);
}

#[test]
fn nothing_else_reaches_a_pod_without_an_address() {
    let mut bed = bed(Dhcp::Asking);
    bed.receive(BLUE, udp4(SERVER, POD));
    bed.receive(BLUE, datagram(SERVER, POD, (68, 67)));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 2), dropped(DropReason::PortClosed, 2)]);
    // Others hear what is for everybody.
    bed.receive(BLUE, arp_request(SERVER, POD.v4));
    bed.turn();
    assert_eq!(bed.moved(), [received(BLUE, 1), sent(GREEN, 1)]);
}

#[test]
fn a_pod_that_has_its_address_sends_from_it_alone_and_renews_it() {
    let mut bed = bed(Dhcp::Leased);
    bed.receive(RED, udp4(POD, SERVER));
    bed.receive(RED, datagram(POD, SERVER, (68, 67)));
    bed.receive(BLUE, udp4(SERVER, POD));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 2), received(BLUE, 1), sent(RED, 1), sent(BLUE, 2)]);
    bed.receive(RED, udp4(Host { v4: OTHER.v4, ..POD }, SERVER));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::SpoofedAddress, 1)]);
}
