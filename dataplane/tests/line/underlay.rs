//! The underlay's next hops: asked for early and while they are in use, given up when silent, taken back; and what is said to others.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use podlane_dataplane::{
    DropReason, NetworkId, PortId, Vni,
    stage::ways::HopState,
    tables::{
        Network,
        underlay::{Hop, Peer, Segment, Uplink, Vtep},
    },
    testbed::{Moved, Plan, TestBed, dropped, made, received, sent},
    tunnel::Encapsulation,
};
use podlane_wire::{
    ArpOperation, Icmpv4Type, Icmpv6Type, MacAddr, Network as Layer, Packet, Transport, ndp::solicited_node,
};

use crate::{
    packets::{
        BROADCAST, Host, RED, advertisement, arp_reply, arp_request, checksums_are_right, echo4, echo6, gateway, host,
        icmp_of, solicitation, tagged, udp4, udp6,
    },
    route::{by_gateway, two_networks},
    tunnel::{Join, Node, UPLINK, VXLAN},
};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const HERE: Node = Node(1);
const THERE: Node = Node(2);
/// A next hop's word was taken.
const FOUND: [Moved; 2] = [received(UPLINK, 1), dropped(DropReason::ForUnderlay, 1)];

/// A pod behind RED, B with another node, which is reached by way of these next hops.
pub(crate) fn near(join: Join, hops: &[Node]) -> TestBed {
    let quiet = |network: &mut Network| network.flood_unknown = false;
    let plan = Plan::new(1).network(0, quiet).port(RED, 0, A.stated());
    TestBed::new(join.by_way_of(plan, HERE, THERE, hops).remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]))
}

/// A node as a station of the underlay.
fn station(node: Node) -> Host {
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (node.v4(), node.v6()) else { panic!("an address of each family") };
    Host { mac: node.mac(), v4, v6 }
}

/// The frame as it stands on the join's wire.
pub(crate) fn on_wire(join: Join, frame: &[u8]) -> Vec<u8> {
    join.vlan.map_or(frame.to_vec(), |vlan| tagged(vlan, frame))
}

/// What a node answers when asked.
pub(crate) fn answer(join: Join, node: Node) -> Vec<u8> {
    let (from, us) = (station(node), station(HERE));
    let asker = Host { v6: HERE.mac().link_local(), ..us };
    on_wire(join, &if join.ipv6 { advertisement(from, asker, from.v6) } else { arp_reply(from, us) })
}

/// The question a frame is, as destination MAC address and target; `None` if it is none, or wrong.
fn question(join: Join, frame: &[u8]) -> Option<(MacAddr, IpAddr)> {
    let packet = Packet::parse(frame).ok()?;
    assert_eq!(packet.ethernet.source(), HERE.mac());
    assert_eq!(packet.tags.outer.map(|tag| tag.id), join.vlan);
    let target: IpAddr = match (packet.network, packet.transport) {
        (Layer::Arp(arp), _) if arp.operation() == ArpOperation::REQUEST => {
            let asker = if join.shared { Ipv4Addr::UNSPECIFIED.into() } else { HERE.v4() };
            assert_eq!((IpAddr::from(arp.sender_ip()), arp.sender_mac()), (asker, HERE.mac()));
            arp.target_ip().into()
        }
        (Layer::Ipv6(v6, _), Transport::Icmpv6(icmp)) if icmp.kind() == Icmpv6Type::NEIGHBOUR_SOLICITATION => {
            assert_eq!((v6.source(), v6.hop_limit()), (HERE.mac().link_local(), 255));
            assert!(checksums_are_right(frame));
            let target: [u8; 16] = *frame[packet.transport_at + 8..].first_chunk()?;
            target.into()
        }
        _ => return None,
    };
    Some((packet.ethernet.destination(), target))
}

fn questions(bed: &TestBed, join: Join) -> Vec<(MacAddr, IpAddr)> {
    bed.sent_by(UPLINK).iter().map(|frame| question(join, frame).expect("a question")).collect()
}

/// To whom a question for a node goes that nobody knows.
fn everyone(join: Join, node: Node) -> MacAddr {
    if join.ipv6 { MacAddr::of_ipv6_multicast(solicited_node(station(node).v6)) } else { BROADCAST }
}

fn address(join: Join, node: Node) -> IpAddr {
    if join.ipv6 { node.v6() } else { node.v4() }
}

/// Every kind of wire between nodes.
fn wires() -> Vec<Join> {
    let plain = [false, true].map(|ipv6| [None, Some(30)].map(|vlan| Join { ipv6, vlan, ..VXLAN }));
    plain.into_iter().flatten().chain([Join { shared: true, ..VXLAN }]).collect()
}

/// Lets seconds pass while these nodes answer what they are asked, ten times a second.
pub(crate) fn live(bed: &mut TestBed, join: Join, seconds: u32, alive: &[Node]) {
    for _ in 0..seconds * 10 {
        bed.pass(100);
        for (_, target) in questions(bed, join) {
            let asked = alive.iter().find(|node| address(join, **node) == target);
            if let Some(node) = asked {
                bed.receive(UPLINK, answer(join, *node));
            }
        }
        bed.turn();
    }
}

#[test]
fn a_next_hop_is_asked_for_before_a_packet_needs_it() {
    for join in wires() {
        let mut bed = near(join, &[THERE]);
        bed.turn();
        assert_eq!(bed.moved(), [made(1), sent(UPLINK, 1)]);
        assert_eq!(questions(&bed, join), [(everyone(join, THERE), address(join, THERE))]);
        bed.receive(UPLINK, answer(join, THERE));
        bed.turn();
        assert_eq!(bed.moved(), FOUND);
        bed.receive(RED, udp4(A, B));
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
        assert_eq!(bed.sent_by(UPLINK)[0][..6], THERE.mac().0);
    }
}

/// Network 0 as VNI 7 with these peers.
fn segment(peers: Vec<u16>) -> Segment {
    Segment::of(NetworkId(0), Vni(7), Encapsulation::Vxlan, peers)
}

#[test]
fn a_thousand_next_hops_are_not_asked_for_at_once() {
    let far = |number: u16| IpAddr::from(Ipv4Addr::new(198, 18, (number >> 8) as u8, number as u8));
    let peer =
        |number| Peer { address: far(number), vtep: HERE.v4(), hops: vec![Hop { uplink: 0, address: far(number) }] };
    let link_local = HERE.mac().link_local();
    let uplink = Uplink { port: UPLINK, mac: HERE.mac(), vlan: None, mtu: 1500, link_local };
    let vtep = Vtep { address: HERE.v4(), shared: false };
    let plan = Plan::new(1).port(RED, 0, A.stated()).uplink(UPLINK, 1500);
    let segment = segment((0..1000).collect());
    let mut bed = TestBed::new(plan.overlay(vec![vtep], vec![uplink], (1..=1000).map(peer).collect(), &[segment]));
    bed.turn();
    assert_eq!(bed.moved(), [made(16), sent(UPLINK, 16)]);
    // What was slept through is made up for within a bound.
    bed.pass(100);
    assert_eq!(bed.moved(), [made(256), sent(UPLINK, 256)]);
    bed.pass(300);
    assert_eq!(bed.moved(), [made(728), sent(UPLINK, 728)]);
    let asked: BTreeSet<_> = questions(&bed, VXLAN).into_iter().map(|(_, target)| target).collect();
    assert_eq!(asked.len(), 1000, "each once");
    bed.pass(500);
    assert_eq!(bed.moved(), [], "and none again within the second");
}

#[test]
fn a_silent_next_hop_is_asked_where_it_was_then_everywhere_then_given_up_until_it_answers() {
    for join in wires() {
        let mut bed = near(join, &[THERE]);
        let state = |bed: &TestBed| bed.shared.hop_state(UPLINK, address(join, THERE));
        bed.turn();
        bed.receive(UPLINK, answer(join, THERE));
        bed.turn();
        assert_eq!(state(&bed), HopState { mac: Some(THERE.mac()), confirmed: Some(1), unanswered: 0 });
        assert_eq!((questions(&bed, join).len(), bed.moved().len()), (1, 4));
        bed.pass(29_900);
        assert_eq!(bed.moved(), []);
        for (round, to) in [THERE.mac(), THERE.mac(), THERE.mac(), everyone(join, THERE)].into_iter().enumerate() {
            bed.pass(if round == 0 { 100 } else { 1000 });
            assert_eq!(bed.moved(), [made(1), sent(UPLINK, 1)]);
            assert_eq!(questions(&bed, join), [(to, address(join, THERE))]);
            bed.receive(RED, udp4(A, B));
            bed.turn();
            assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)], "it is not given up yet");
            assert_eq!(bed.sent_by(UPLINK).len(), 1);
        }
        for unanswered in 5..8 {
            bed.pass(1000);
            assert_eq!(bed.moved(), [made(1), sent(UPLINK, 1)]);
            assert_eq!(questions(&bed, join), [(everyone(join, THERE), address(join, THERE))]);
            assert_eq!(state(&bed), HopState { mac: None, confirmed: None, unanswered });
            bed.receive(RED, udp4(A, B));
            bed.turn();
            let told = [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::UnderlayUnresolved, 1)];
            assert_eq!(bed.moved(), told);
        }
        bed.receive(UPLINK, answer(join, THERE));
        bed.turn();
        assert_eq!(bed.moved(), FOUND);
        bed.receive(RED, udp4(A, B));
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
    }
}

#[test]
fn a_next_hop_that_answers_is_asked_every_thirty_seconds() {
    for join in wires() {
        let mut bed = near(join, &[THERE]);
        live(&mut bed, join, 120, &[THERE]);
        // The first second, then at 30, 60, 90 and 120.
        let answers = 4;
        assert_eq!(
            bed.moved(),
            [
                made(answers),
                received(UPLINK, answers),
                sent(UPLINK, answers),
                dropped(DropReason::ForUnderlay, answers)
            ]
        );
    }
}

#[test]
fn next_hops_that_no_peer_needs_are_forgotten() {
    let mut bed = near(VXLAN, &[Node(11), Node(12)]);
    bed.shared.learn_hop(UPLINK, Node(11).v4(), Node(11).mac(), 1);
    bed.shared.learn_hop(UPLINK, Node(12).v4(), Node(12).mac(), 1);
    bed.turn();
    assert_eq!(bed.shared.hops.entries().len(), 2);
    let mut tables = VXLAN.by_way_of(Plan::new(1).port(RED, 0, A.stated()), HERE, THERE, &[Node(12)]).build();
    tables.generation.0 += 1;
    bed.publish(tables);
    bed.pass(100);
    assert_eq!(bed.moved(), []);
    assert_eq!(bed.shared.hop(UPLINK, Node(11).v4()), None);
    assert_eq!(bed.shared.hop(UPLINK, Node(12).v4()), Some(Node(12).mac()));
}

#[test]
fn a_next_hop_that_moves_is_followed_at_once() {
    for join in wires() {
        let mut bed = near(join, &[THERE]);
        let moved = station(THERE).at(MacAddr([2, 9, 0, 0, 0, 99]));
        let nodes: Ipv6Addr = "ff02::1".parse().unwrap();
        let all = Host { mac: MacAddr::of_ipv6_multicast(nodes), v6: nodes, ..moved };
        let mut announced = if join.ipv6 { advertisement(moved, all, moved.v6) } else { arp_request(moved, moved.v4) };
        if join.ipv6 {
            // What goes to all was not solicited: one flag less, and the checksum with it.
            announced[14 + 40 + 4] &= !0x40;
            let sum = u16::from_be_bytes([announced[56], announced[57]]);
            announced[56..58].copy_from_slice(&(sum + 0x4000).to_be_bytes());
        }
        bed.receive(UPLINK, answer(join, THERE));
        bed.receive(RED, udp4(A, B));
        bed.turn();
        bed.receive(RED, udp4(A, B));
        bed.turn();
        bed.moved();
        let former = bed.sent_by(UPLINK).pop().unwrap();
        bed.receive(UPLINK, on_wire(join, &announced));
        bed.turn();
        assert_eq!(bed.moved(), FOUND);
        bed.receive(RED, udp4(A, B));
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
        let now = bed.sent_by(UPLINK).pop().unwrap();
        assert_eq!((&former[..6], &now[..6]), (&THERE.mac().0[..], &moved.mac.0[..]));
        assert_eq!(former[6..], now[6..]);
    }
}

#[test]
fn a_next_hop_that_asks_for_us_says_who_it_is() {
    for join in wires().into_iter().filter(|join| !join.shared) {
        let mut bed = near(join, &[THERE]);
        bed.turn();
        bed.moved();
        let (us, moved) = (station(HERE), station(THERE).at(MacAddr([2, 9, 0, 0, 0, 99])));
        for (from, known) in [(station(Node(3)), None), (station(THERE), Some(THERE.mac())), (moved, Some(moved.mac))] {
            let asked = if join.ipv6 { solicitation(from, us.v6) } else { arp_request(from, us.v4) };
            bed.receive(UPLINK, on_wire(join, &asked));
            bed.turn();
            assert_eq!(bed.moved(), [received(UPLINK, 1), sent(UPLINK, 1)]);
            assert_eq!(bed.shared.hop(UPLINK, address(join, THERE)), known);
        }
    }
}

#[test]
fn only_next_hops_are_believed_and_only_on_their_vlan() {
    for join in wires() {
        let mut bed = near(join, &[THERE]);
        bed.turn();
        assert_eq!((bed.moved().len(), bed.sent_by(UPLINK).len()), (2, 1));
        let elsewhere = Join { vlan: join.vlan.map_or(Some(31), |_| None), ..join };
        let mirrored = station(THERE).at(HERE.mac());
        let ours = Host { v6: HERE.mac().link_local(), ..station(HERE) };
        let ours =
            if join.ipv6 { advertisement(mirrored, ours, mirrored.v6) } else { arp_reply(mirrored, station(HERE)) };
        for frame in [answer(join, Node(3)), answer(elsewhere, THERE), on_wire(join, &ours)] {
            bed.receive(UPLINK, frame);
            bed.turn();
            assert_eq!(bed.moved(), [received(UPLINK, 1), dropped(DropReason::NotTunnelled, 1)]);
        }
        assert_eq!(bed.shared.hops.entries(), []);
    }
}

/// Questions of another station for what this node alone has.
fn asked_of_us(join: Join) -> Vec<Vec<u8>> {
    let (them, us) = (station(Node(3)), station(HERE));
    let local = Host { v6: HERE.mac().link_local(), ..us };
    let asked = match join.ipv6 {
        false => vec![arp_request(them, us.v4), echo4(them, us, Icmpv4Type::ECHO_REQUEST)],
        true => vec![
            solicitation(them, us.v6),
            solicitation(them, local.v6),
            echo6(them, us, Icmpv6Type::ECHO_REQUEST),
            echo6(them, local, Icmpv6Type::ECHO_REQUEST),
        ],
    };
    asked.iter().map(|frame| on_wire(join, frame)).collect()
}

#[test]
fn questions_for_addresses_that_are_ours_alone_are_answered_with_the_tag() {
    for join in wires().into_iter().filter(|join| !join.shared) {
        let mut bed = near(join, &[THERE]);
        bed.receive(UPLINK, answer(join, THERE));
        bed.turn();
        assert_eq!(bed.moved(), FOUND);
        for asked in asked_of_us(join) {
            bed.receive(UPLINK, asked);
            bed.turn();
            assert_eq!(bed.moved(), [received(UPLINK, 1), sent(UPLINK, 1)]);
            let said = bed.sent_by(UPLINK).pop().unwrap();
            let packet = Packet::parse(&said).unwrap();
            assert_eq!((packet.ethernet.source(), packet.ethernet.destination()), (HERE.mac(), Node(3).mac()));
            assert_eq!(packet.tags.outer.map(|tag| tag.id), join.vlan);
            assert!(matches!(packet.network, Layer::Arp(_)) || checksums_are_right(&said));
        }
    }
}

#[test]
fn an_address_that_the_kernel_has_too_is_the_kernels_to_answer_for() {
    let join = Join { shared: true, ..VXLAN };
    let mut bed = near(join, &[THERE]);
    bed.receive(UPLINK, answer(join, THERE));
    bed.turn();
    assert_eq!(bed.moved(), FOUND);
    for asked in asked_of_us(join) {
        bed.receive(UPLINK, asked);
        bed.turn();
        assert_eq!(bed.moved(), [received(UPLINK, 1), dropped(DropReason::NotTunnelled, 1)]);
    }
}

#[test]
fn answers_on_the_underlay_are_limited() {
    let mut bed = near(VXLAN, &[THERE]);
    bed.receive(UPLINK, answer(VXLAN, THERE));
    bed.turn();
    bed.moved();
    for _ in 0..120 {
        bed.receive(UPLINK, echo4(station(Node(3)), station(HERE), Icmpv4Type::ECHO_REQUEST));
    }
    bed.turn();
    assert_eq!(bed.moved(), [received(UPLINK, 120), sent(UPLINK, 100), dropped(DropReason::ReplyLimit, 20)]);
}

#[test]
fn a_sender_is_told_when_three_questions_had_no_answer() {
    let (there, routed) = (by_gateway(B, 1), host(1, 1));
    let plan = || VXLAN.on(two_networks().port(RED, 1, routed.stated()), HERE, THERE);
    let router = || TestBed::new(plan().remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]));
    let bridge = || near(VXLAN, &[THERE]);
    for (mut bed, from, to, speaker) in [(bridge(), A, B, B), (router(), routed, there, gateway(1))] {
        for (packet, expected) in [(udp4(from, to), (3, 1, 0)), (udp6(from, to), (1, 3, 0))] {
            bed.turn();
            bed.moved();
            // Asked at 0, 1 and 2 seconds, and told at the end of the third.
            let unheard = bed.shared.hop_state(UPLINK, THERE.v4()).unanswered;
            bed.receive(RED, packet.clone());
            bed.turn();
            if unheard < 3 {
                assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::UnderlayUnresolved, 1)]);
                bed.pass(2000);
                bed.moved();
                bed.receive(RED, packet.clone());
                bed.turn();
            }
            let told = [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::UnderlayUnresolved, 1)];
            assert_eq!(bed.moved(), told);
            let error = bed.sent_by(RED).pop().unwrap();
            let parsed = Packet::parse(&error).unwrap();
            assert_eq!((parsed.ethernet.source(), parsed.ethernet.destination()), (speaker.mac, from.mac));
            let v6 = expected.0 == 1;
            let ends: (IpAddr, IpAddr) =
                if v6 { (speaker.v6.into(), from.v6.into()) } else { (speaker.v4.into(), from.v4.into()) };
            assert_eq!(parsed.addresses(), Some(ends));
            assert_eq!(icmp_of(&error), expected);
            assert!(checksums_are_right(&error));
            assert_eq!(error[parsed.payload.clone()], packet[14..]);
        }
        bed.pass(1000);
        bed.moved();
        for _ in 0..120 {
            bed.receive(RED, udp4(from, to));
        }
        bed.turn();
        let limited = [made(100), received(RED, 120), sent(RED, 100), dropped(DropReason::UnderlayUnresolved, 120)];
        assert_eq!(bed.moved(), limited);
    }
}

/// Where each of a thousand flows goes, by its next hop's MAC address.
fn spread(bed: &mut TestBed) -> Vec<MacAddr> {
    for flow in 0..1000_u16 {
        let mut packet = udp4(A, B);
        packet[34..36].copy_from_slice(&(1024 + flow).to_be_bytes());
        bed.receive(RED, packet);
        if flow % 50 == 49 {
            bed.turn();
        }
    }
    let out = bed.sent_by(UPLINK);
    let destination = |frame: &Vec<u8>| *frame.first_chunk().expect("an Ethernet header");
    out.iter().map(|frame| MacAddr(destination(frame))).collect()
}

#[test]
fn next_hops_share_flows_and_the_flows_of_a_silent_one_go_elsewhere_until_it_is_back() {
    let all = [Node(11), Node(12), Node(13)];
    for hops in [&all[..2], &all] {
        let mut bed = near(VXLAN, hops);
        live(&mut bed, VXLAN, 1, hops);
        let before = spread(&mut bed);
        assert_eq!(before.len(), 1000);
        for hop in hops {
            let share = before.iter().filter(|mac| **mac == hop.mac()).count();
            let fair = 1000 / hops.len();
            assert!(share.abs_diff(fair) < fair / 5, "{share} of 1000 flows by one of {}", hops.len());
        }
        assert_eq!(spread(&mut bed), before, "a flow stays where it is");
        let (silent, alive) = hops.split_first().unwrap();
        live(&mut bed, VXLAN, 10, alive);
        let meanwhile = spread(&mut bed);
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert_ne!(*meanwhile, silent.mac());
            assert!(before == meanwhile || *before == silent.mac(), "a flow of a good next hop stays");
        }
        for hop in alive {
            let share = meanwhile.iter().filter(|mac| **mac == hop.mac()).count();
            let fair = 1000 / alive.len();
            assert!(share.abs_diff(fair) <= fair / 5, "{share} of 1000 flows by one of {}", alive.len());
        }
        live(&mut bed, VXLAN, 2, hops);
        assert_eq!(spread(&mut bed), before);
        assert_eq!(
            bed.counters().lost(),
            bed.counters().ports[UPLINK.index()].dropped[DropReason::ForUnderlay as usize]
        );
    }
}

#[test]
fn two_uplinks_share_flows_and_one_that_is_gone_leaves_them_to_the_other() {
    const SECOND: PortId = PortId(10);
    let uplink = |port| Uplink { port, mac: HERE.mac(), vlan: None, mtu: 1550, link_local: HERE.mac().link_local() };
    let hops = [0, 1].map(|uplink| Hop { uplink, address: THERE.v4() }).to_vec();
    let peer = Peer { address: THERE.v4(), vtep: HERE.v4(), hops };
    let plan = Plan::new(1).port(RED, 0, A.stated()).uplink(UPLINK, 1550).uplink(SECOND, 1550);
    let vtep = Vtep { address: HERE.v4(), shared: false };
    let segment = segment(vec![0]);
    let plan = plan.overlay(vec![vtep], vec![uplink(UPLINK), uplink(SECOND)], vec![peer], &[segment]);
    let mut bed = TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]));
    bed.turn();
    assert_eq!(bed.moved(), [made(2), sent(UPLINK, 1), sent(SECOND, 1)]);
    // The answer by one says nothing of the other.
    bed.receive(SECOND, answer(VXLAN, THERE));
    bed.turn();
    let by = |bed: &mut TestBed| {
        let _questions = (bed.sent_by(UPLINK), bed.sent_by(SECOND));
        let first = spread(bed).len();
        (first, bed.sent_by(SECOND).len())
    };
    assert_eq!(by(&mut bed), (0, 1000));
    bed.receive(UPLINK, answer(VXLAN, THERE));
    bed.turn();
    let (first, second) = by(&mut bed);
    assert!(first.abs_diff(second) < 100 && first + second == 1000, "{first} and {second}");
    bed.detach(SECOND);
    bed.pass(100);
    assert_eq!(by(&mut bed), (1000, 0));
    let lost = bed.counters().lost();
    assert_eq!(lost, 2, "the two answers that were read");
}

#[test]
fn with_several_workers_one_asks_and_the_uplinks_sends() {
    let quiet = |network: &mut Network| network.flood_unknown = false;
    let plan = VXLAN.on(Plan::new(1).network(0, quiet).port(PortId(2), 0, A.stated()), HERE, THERE);
    let plan = plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]);
    // The uplink is port 9: worker 1 serves it, and worker 0 asks.
    let mut bed = TestBed::with_workers(plan, 2);
    bed.turn();
    bed.turn();
    assert_eq!(questions(&bed, VXLAN), [(BROADCAST, THERE.v4())]);
    bed.receive(UPLINK, answer(VXLAN, THERE));
    bed.receive(PortId(2), udp4(A, B));
    bed.turn();
    bed.receive(PortId(2), udp4(A, B));
    bed.turn();
    bed.turn();
    assert!(bed.sent_by(UPLINK).iter().all(|frame| frame[..6] == THERE.mac().0));
    assert_eq!(bed.counters().waiting(), 0);
}
