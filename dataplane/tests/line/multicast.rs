//! Broadcast and multicast within a network that spans two nodes: head-end replication, its caps, learning, and snooping.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_dataplane::{
    DropReason, PathId, PortId,
    tables::{Network, PortTable},
    testbed::{Plan, TestBed, dropped, made, received, sent},
};
use podlane_wire::{Igmp, IgmpQuery, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, Mld, MldQuery, checksum, igmp};

use crate::{
    packets::{BLUE, GREEN, Host, RED, arp_reply, arp_request, host, ipv4, ipv6, solicitation, tagged, udp4, udp6},
    tunnel::{Node, VXLAN},
    tunnel_malformed::two_peers,
};

const UPLINK: PortId = PortId(9);
const A: Host = host(0, 1);
const B: Host = host(0, 2);
const C: Host = host(0, 3);
const D: Host = host(0, 4);

const GROUP4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const GROUP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x1234));
const OTHER4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 9, 9, 9));
const OTHER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 9));
const ROUTERS: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 2));
const ALL4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1));
const ALL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

/// A node with two pods that state nothing, in a network that floods to its peer.
fn node(here: Node, there: Node, change: impl FnOnce(&mut Network)) -> TestBed {
    let floods = |network: &mut Network| {
        network.replicate_to = vec![PathId(0)];
        network.replication_limit = 1_000_000;
        change(network);
    };
    let plan = VXLAN.on(Plan::new(1).network(0, floods), here, there);
    let bed = TestBed::new(plan.port(RED, 0, PortTable::default()).port(BLUE, 0, PortTable::default()));
    bed.shared.learn_hop(UPLINK, there.v4(), there.mac(), 1);
    bed
}

fn nodes() -> (TestBed, TestBed) {
    (node(Node(1), Node(2), |_| ()), node(Node(2), Node(1), |_| ()))
}

/// Carries what one node sent to the other.
fn carry(from: &TestBed, to: &mut TestBed) -> usize {
    let packets = from.sent_by(UPLINK);
    let count = packets.len();
    for packet in packets {
        to.receive(UPLINK, packet);
    }
    to.turn();
    count
}

fn say(bed: &mut TestBed, port: PortId, packet: &[u8]) {
    bed.receive(port, packet);
    bed.turn();
}

/// A asks who has B, everyone hears it, B alone answers, A alone hears that.
fn acquaint(near: &mut TestBed, far: &mut TestBed) {
    say(near, RED, &arp_request(A, B.v4));
    assert_eq!(near.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(UPLINK, 1)]);
    assert_eq!(near.sent_by(BLUE), [arp_request(A, B.v4)]);
    assert_eq!(carry(near, far), 1);
    assert_eq!(far.moved(), [made(1), received(UPLINK, 1), sent(RED, 1), sent(BLUE, 1)]);
    for port in [RED, BLUE] {
        assert_eq!(far.sent_by(port), [arp_request(A, B.v4)]);
    }
    say(far, RED, &arp_reply(B, A));
    assert_eq!(far.moved(), [received(RED, 1), sent(UPLINK, 1)]);
    assert_eq!(carry(far, near), 1);
    assert_eq!(near.moved(), [received(UPLINK, 1), sent(RED, 1)]);
    assert_eq!(near.sent_by(RED), [arp_reply(B, A)]);
}

#[test]
fn a_question_reaches_every_node_and_what_follows_only_the_one_it_is_for() {
    let (mut near, mut far) = nodes();
    acquaint(&mut near, &mut far);
    for _ in 0..2 {
        say(&mut near, RED, &udp4(A, B));
        assert_eq!(near.moved(), [received(RED, 1), sent(UPLINK, 1)]);
        carry(&near, &mut far);
        assert_eq!(far.moved(), [received(UPLINK, 1), sent(RED, 1)]);
        assert_eq!(far.sent_by(RED), [udp4(A, B)]);
    }
}

#[test]
fn a_station_that_speaks_from_another_node_is_there_at_once() {
    let (mut near, mut far) = nodes();
    acquaint(&mut near, &mut far);
    // Flows towards where it is.
    say(&mut near, RED, &udp4(A, B));
    carry(&near, &mut far);
    say(&mut far, BLUE, &udp4(D, B));
    let _ = (near.moved(), far.moved());

    let announcement = arp_request(B, B.v4);
    say(&mut near, BLUE, &announcement);
    carry(&near, &mut far);
    assert_eq!(near.moved(), [made(1), received(BLUE, 1), sent(RED, 1), sent(UPLINK, 1)]);
    assert_eq!(far.moved(), [made(1), received(UPLINK, 1), sent(RED, 1), sent(BLUE, 1)]);
    say(&mut near, RED, &udp4(A, B));
    assert_eq!(near.moved(), [received(RED, 1), sent(BLUE, 1)]);
    say(&mut far, BLUE, &udp4(D, B));
    assert_eq!(far.moved(), [received(BLUE, 1), sent(UPLINK, 1)]);

    say(&mut far, RED, &announcement);
    assert_eq!(far.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(UPLINK, 1)]);
    say(&mut far, BLUE, &udp4(D, B));
    assert_eq!(far.moved(), [received(BLUE, 1), sent(RED, 1)]);
}

#[test]
fn a_stated_station_is_not_moved_by_what_others_say() {
    let plan = VXLAN.on(Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, PortTable::default()), Node(1), Node(2));
    let mut bed = TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into()]));
    bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
    say(&mut bed, BLUE, &arp_request(B, B.v4));
    assert_eq!(bed.moved(), [received(BLUE, 1), dropped(DropReason::SpoofedMac, 1)]);
    say(&mut bed, RED, &udp4(A, B));
    assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
}

#[test]
fn a_packet_counts_once_against_the_flood_limit_and_each_copy_against_that_of_replication() {
    // Ten a second, of which a tenth may come at once.
    let mut bed = node(Node(1), Node(2), |network| network.flood_limit = 10);
    for packet in [arp_request(A, B.v4), to_group(A, GROUP4)] {
        say(&mut bed, RED, &packet);
        assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(UPLINK, 1)]);
        say(&mut bed, RED, &packet);
        assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::FloodLimit, 1)]);
        bed.pass(200);
    }
    let mut bed = node(Node(1), Node(2), |network| network.replication_limit = 10);
    say(&mut bed, RED, &arp_request(A, B.v4));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(UPLINK, 1)]);
    say(&mut bed, RED, &arp_request(A, B.v4));
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), dropped(DropReason::ReplicationLimit, 1)]);
}

#[test]
fn every_peer_gets_a_copy_which_counts_and_what_came_from_one_goes_to_none() {
    for limit in [1_000_000, 10] {
        let change = |network: &mut Network| {
            network.replicate_to = vec![PathId(0), PathId(1)];
            network.replication_limit = limit;
        };
        let plan = two_peers(Plan::new(1).network(0, change).port(RED, 0, PortTable::default()), VXLAN);
        let mut bed = TestBed::new(plan.port(BLUE, 0, PortTable::default()));
        for there in [Node(2), Node(3)] {
            bed.shared.learn_hop(UPLINK, there.v4(), there.mac(), 1);
        }
        say(&mut bed, RED, &arp_request(A, B.v4));
        // However low the limit, one packet reaches all peers.
        assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 1), sent(UPLINK, 2)]);
        let outer = bed.sent_by(UPLINK);
        assert_eq!(outer.iter().map(|packet| packet[33]).collect::<Vec<_>>(), [2, 3]);
        if limit == 10 {
            say(&mut bed, RED, &arp_request(A, B.v4));
            let spent = dropped(DropReason::ReplicationLimit, 2);
            assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 1), spent]);
        }
        say(&mut bed, UPLINK, &from_afar(&arp_request(B, A.v4)));
        assert_eq!(bed.moved(), [made(1), received(UPLINK, 1), sent(RED, 1), sent(BLUE, 1)]);
    }
}

/// Where the group of an address is addressed.
fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(v4) => MacAddr::of_ipv4_multicast(v4),
        IpAddr::V6(v6) => MacAddr::of_ipv6_multicast(v6),
    }
}

/// A datagram to a group.
fn to_group(from: Host, group: IpAddr) -> Vec<u8> {
    let mac = group_mac(group);
    match group {
        IpAddr::V4(v4) => udp4(from, Host { mac, v4, ..from }),
        IpAddr::V6(v6) => udp6(from, Host { mac, v6, ..from }),
    }
}

fn igmp_to(from: Host, to: IpAddr, message: &Igmp<'_>) -> Vec<u8> {
    let IpAddr::V4(v4) = to else { panic!("IGMP is IPv4's") };
    let mut bytes = [0; 64];
    let length = message.emit(&mut bytes).expect("64 bytes hold a message");
    igmp::fill_checksum(&mut bytes[..length]);
    let header = Ipv4Header { ttl: 1, ..Ipv4Header::new(from.v4, v4, IpProtocol::IGMP, 0) };
    ipv4(from.mac, group_mac(to), header, &bytes[..length])
}

fn mld_to(from: Host, to: IpAddr, message: &Mld<'_>) -> Vec<u8> {
    const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];
    let IpAddr::V6(v6) = to else { panic!("MLD is IPv6's") };
    let source = from.mac.link_local();
    let mut bytes = [0; 64];
    let length = message.emit(&mut bytes).expect("64 bytes hold a message");
    let pseudo = checksum::pseudo_v6(source, v6, IpProtocol::ICMPV6, length as u32);
    let sum = pseudo.plus(checksum::sum(&bytes[..length])).finish();
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    let header = Ipv6Header { hop_limit: 1, ..Ipv6Header::new(source, v6, IpProtocol::HOP_BY_HOP, 0) };
    ipv6(from.mac, group_mac(to), header, &[&ROUTER_ALERT[..], &bytes[..length]].concat())
}

fn report(from: Host, group: IpAddr) -> Vec<u8> {
    match group {
        IpAddr::V4(v4) => igmp_to(from, group, &Igmp::ReportV2(v4)),
        IpAddr::V6(v6) => mld_to(from, group, &Mld::Report(v6)),
    }
}

fn leave(from: Host, group: IpAddr) -> Vec<u8> {
    match group {
        IpAddr::V4(v4) => igmp_to(from, ROUTERS, &Igmp::Leave(v4)),
        IpAddr::V6(v6) => mld_to(from, group, &Mld::Done(v6)),
    }
}

/// A general query of the family of `group`, to `to`.
fn query(from: Host, group: IpAddr, to: IpAddr) -> Vec<u8> {
    match group {
        IpAddr::V4(_) => {
            let query = IgmpQuery { group: Ipv4Addr::UNSPECIFIED, max_response: 100, querier: None };
            igmp_to(from, to, &Igmp::Query(query, &[]))
        }
        IpAddr::V6(_) => {
            let query = MldQuery { group: Ipv6Addr::UNSPECIFIED, max_response: 10_000, querier: None };
            mld_to(from, to, &Mld::Query(query, &[]))
        }
    }
}

fn everyone(group: IpAddr) -> IpAddr {
    if group.is_ipv4() { ALL4 } else { ALL6 }
}

/// Two nodes whose network snoops; the near one has a third pod, at GREEN.
fn snooping() -> TestBed {
    let plan = Plan::new(1).network(0, |network| {
        network.replicate_to = vec![PathId(0)];
        network.replication_limit = 1_000_000;
        network.snooping = true;
    });
    let plan = [RED, BLUE, GREEN].into_iter().fold(plan, |plan, port| plan.port(port, 0, PortTable::default()));
    let bed = TestBed::new(VXLAN.on(plan, Node(1), Node(2)));
    bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
    bed
}

/// Who gets a packet that comes in by a port. Nothing else may be on the wires.
fn who_gets(bed: &mut TestBed, port: PortId, packet: &[u8]) -> Vec<PortId> {
    for port in [RED, BLUE, GREEN, UPLINK] {
        drop(bed.sent_by(port));
    }
    say(bed, port, packet);
    let gets = |port: &PortId| bed.sent_by(*port).iter().any(|sent| sent.ends_with(packet));
    [RED, BLUE, GREEN, UPLINK].into_iter().filter(gets).collect()
}

/// The packet as it comes from the other node.
fn from_afar(packet: &[u8]) -> Vec<u8> {
    let mut far = node(Node(2), Node(1), |_| ());
    say(&mut far, RED, packet);
    far.sent_by(UPLINK).pop().expect("the node floods to its peer")
}

#[test]
fn without_a_querier_multicast_and_reports_go_everywhere() {
    for group in [GROUP4, GROUP6] {
        let mut bed = snooping();
        assert_eq!(who_gets(&mut bed, BLUE, &report(B, group)), [RED, GREEN, UPLINK]);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN, UPLINK]);
    }
}

#[test]
fn where_a_querier_asks_a_group_goes_to_its_members_and_to_the_router() {
    for (group, other) in [(GROUP4, OTHER4), (GROUP6, OTHER6)] {
        let mut bed = snooping();
        assert_eq!(who_gets(&mut bed, GREEN, &query(C, group, everyone(group))), [RED, BLUE, UPLINK]);
        assert_eq!(who_gets(&mut bed, BLUE, &report(B, group)), [GREEN, UPLINK], "no other station hears a report");
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN, UPLINK], "answers are still coming in");
        bed.pass(10_000);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN]);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, other)), [BLUE, GREEN, UPLINK], "nobody registered it");
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, everyone(group))), [BLUE, GREEN, UPLINK]);
        assert_eq!(who_gets(&mut bed, RED, &solicitation(A, C.v6)), [BLUE, GREEN, UPLINK]);

        assert_eq!(who_gets(&mut bed, BLUE, &leave(B, group)), [GREEN, UPLINK]);
        bed.pass(1_900);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN], "another there may still listen");
        bed.pass(200);
        assert_eq!(
            who_gets(&mut bed, RED, &to_group(A, group)),
            [BLUE, GREEN, UPLINK],
            "nobody is registered any more"
        );
        bed.pass(245_000);
        // Nobody here answers the questions whether it is still there.
        bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 257_000);
        who_gets(&mut bed, BLUE, &report(B, group));
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN, UPLINK], "the querier is silent");
    }
}

#[test]
fn members_and_queriers_are_known_behind_paths_too() {
    for group in [GROUP4, GROUP6] {
        let mut bed = snooping();
        let afar = |packet: Vec<u8>| from_afar(&packet);
        say(&mut bed, UPLINK, &afar(query(D, group, everyone(group))));
        say(&mut bed, BLUE, &report(B, group));
        bed.pass(10_000);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, UPLINK], "the querier's node");

        let mut bed = snooping();
        say(&mut bed, GREEN, &query(C, group, everyone(group)));
        bed.pass(10_000);
        say(&mut bed, UPLINK, &afar(report(D, group)));
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [GREEN, UPLINK], "a member's node");
        let _ = bed.moved();
        say(&mut bed, UPLINK, &afar(to_group(D, group)));
        assert_eq!(bed.moved(), [received(UPLINK, 1), sent(GREEN, 1)], "what came by a path leaves by none");
    }
}

#[test]
fn a_group_only_its_sender_listens_to_ends_by_name() {
    let mut bed = snooping();
    say(&mut bed, RED, &query(A, GROUP4, ALL4));
    bed.pass(10_000);
    let _ = bed.moved();
    say(&mut bed, RED, &report(A, GROUP4));
    assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)], "the other node's switch hears of it");
    say(&mut bed, RED, &to_group(A, GROUP4));
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::NoListener, 1)]);
}

#[test]
fn a_report_behind_a_tag_counts() {
    for group in [GROUP4, GROUP6] {
        let plan = Plan::new(1).network(0, |network| network.snooping = true).tagged(GREEN, 7, 0);
        let plan = plan.port(RED, 0, PortTable::default()).port(BLUE, 0, PortTable::default());
        let mut bed = TestBed::new(plan.port(UPLINK, 0, PortTable::default()));
        say(&mut bed, BLUE, &query(B, group, everyone(group)));
        say(&mut bed, GREEN, &tagged(7, &report(C, group)));
        bed.pass(10_000);
        let _ = bed.moved();
        say(&mut bed, RED, &to_group(A, group));
        assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
        assert_eq!(bed.sent_by(GREEN).pop(), Some(tagged(7, &to_group(A, group))));
    }
}

#[test]
fn a_query_that_not_everyone_hears_holds_nothing_back() {
    for group in [GROUP4, GROUP6] {
        let mut bed = snooping();
        say(&mut bed, GREEN, &query(C, group, group));
        say(&mut bed, BLUE, &report(B, group));
        bed.pass(10_000);
        assert_eq!(who_gets(&mut bed, RED, &to_group(A, group)), [BLUE, GREEN, UPLINK]);
    }
}

#[test]
fn a_pod_that_registers_too_much_gets_everything_and_takes_nothing_from_others() {
    let group = |number: u32| IpAddr::from(Ipv4Addr::from(0xef80_0000 | number));
    let mut bed = snooping();
    say(&mut bed, GREEN, &query(C, GROUP4, ALL4));
    for number in 0..300 {
        say(&mut bed, RED, &report(A, group(number)));
    }
    say(&mut bed, BLUE, &report(B, GROUP4));
    bed.pass(10_000);
    assert_eq!(who_gets(&mut bed, GREEN, &to_group(C, GROUP4)), [RED, BLUE]);
    assert_eq!(who_gets(&mut bed, GREEN, &to_group(C, group(0))), [RED]);
    assert_eq!(who_gets(&mut bed, GREEN, &to_group(C, group(299))), [RED, BLUE, UPLINK]);
}

#[test]
fn whoever_invents_stations_takes_an_eighth_of_the_table_and_no_more() {
    let mut bed = node(Node(1), Node(2), |_| ());
    let slots = bed.shared.macs.slots();
    let invented = |number: usize| A.at(MacAddr([2, 0x77, 0, (number >> 16) as u8, (number >> 8) as u8, number as u8]));
    for number in 0..slots {
        say(&mut bed, RED, &udp4(invented(number), B));
    }
    let known = |bed: &TestBed| bed.shared.macs.entries().len();
    assert_eq!(known(&bed), slots / 8);
    // The others go on being learned, and a station that is known moves.
    say(&mut bed, BLUE, &udp4(B, invented(0)));
    assert_eq!(known(&bed), slots / 8 + 1);
    say(&mut bed, BLUE, &udp4(invented(0), B));
    assert_eq!(known(&bed), slots / 8 + 1);
    say(&mut bed, RED, &udp4(invented(slots), B));
    assert_eq!(known(&bed), slots / 8 + 2, "one left, so there is room");
}
