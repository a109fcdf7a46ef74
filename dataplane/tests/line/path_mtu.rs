//! What the way to a peer carries: news of it, what a pod is told, and that nothing longer ever leaves an uplink.

use core::net::IpAddr;

use podlane_dataplane::{
    DropReason, PathId,
    tables::{Network, PortTable},
    testbed::{Plan, TestBed, dropped, made, received, sent},
    tunnel::Encapsulation,
};
use podlane_wire::{
    EtherType, Icmpv4Header, Icmpv6Header, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, Packet, checksum,
};
use proptest::prelude::*;

use crate::{
    fragments::reassembled,
    packets::{
        BROADCAST, Field, Host, RED, checksums_are_right, frame, gateway, header4, host, icmp_of, ipv4, ipv6, routed,
        transport,
    },
    route::{by_gateway, two_networks},
    tunnel::{Join, Node, UPLINK, VXLAN},
    underlay::{live, near, on_wire},
};

const A: Host = host(0, 1);
const B: Host = host(0, 2);
const C: Host = host(1, 1);
const HERE: Node = Node(1);
const THERE: Node = Node(2);
const ROUTER: Node = Node(7);

/// The longest inner packet where an outer one may have `outer` bytes.
fn inside(join: Join, outer: u16) -> u16 {
    outer - if join.ipv6 { 40 } else { 20 } - 8 - 8 - 14
}

/// A UDP packet from A to B of `length` bytes from the IP header on, that may not be fragmented.
fn packet(v6: bool, length: u16) -> Vec<u8> {
    datagram_of((A, B), v6, length)
}

fn datagram_of(ends: (Host, Host), v6: bool, length: u16) -> Vec<u8> {
    let headers = if v6 { 48 } else { 28 };
    let payload: Vec<u8> = (0..length - headers).map(|n| (n ^ n >> 8) as u8).collect();
    transport(IpProtocol::UDP, ends, v6, &payload, Field::Finished)
}

/// A bed that knows its next hop, which it has asked for already.
fn ready(join: Join) -> TestBed {
    let mut bed = near(join, &[THERE]);
    live(&mut bed, join, 1, &[THERE]);
    bed.moved();
    bed
}

/// What the node sends for a packet of A's.
fn outer(bed: &mut TestBed, packet: &[u8]) -> Vec<u8> {
    bed.receive(RED, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
    bed.sent_by(UPLINK).pop().expect("a packet left")
}

/// What a router says of a tunnel packet of ours that did not fit, and what may be wrong with it.
#[derive(Clone)]
struct News {
    mtu: u16,
    /// The packet it quotes, from the IP header on.
    quoted: Vec<u8>,
    to: MacAddr,
    spoilt: bool,
}

impl News {
    fn of(join: Join, outer: &[u8], mtu: u16) -> Self {
        let l3 = if join.vlan.is_some() { 18 } else { 14 };
        Self { mtu, quoted: outer[l3..l3 + 548].to_vec(), to: HERE.mac(), spoilt: false }
    }

    /// It comes to the address that the quoted packet came from.
    fn frame(&self, join: Join) -> Vec<u8> {
        let ours = if join.ipv6 { self.quoted[8..24].to_vec() } else { self.quoted[12..16].to_vec() };
        let said = match (ROUTER.v4(), ROUTER.v6()) {
            (IpAddr::V4(router), _) if !join.ipv6 => {
                let ours: [u8; 4] = ours.try_into().expect("four bytes");
                let mut message = vec![0; 8];
                Icmpv4Header::fragmentation_needed(self.mtu).emit(&mut message).expect("eight bytes");
                message.extend(&self.quoted);
                let sum = checksum::sum(&message).finish() ^ u16::from(self.spoilt);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let header = Ipv4Header::new(router, ours.into(), IpProtocol::ICMPV4, 0);
                ipv4(ROUTER.mac(), self.to, header, &message)
            }
            (_, IpAddr::V6(router)) => {
                let ours: [u8; 16] = ours.try_into().expect("sixteen bytes");
                let mut message = vec![0; 8];
                Icmpv6Header::packet_too_big(self.mtu.into()).emit(&mut message).expect("eight bytes");
                message.extend(&self.quoted);
                let pseudo = checksum::pseudo_v6(router, ours.into(), IpProtocol::ICMPV6, message.len() as u32);
                let sum = checksum::sum(&message).plus(pseudo).finish() ^ u16::from(self.spoilt);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let header = Ipv6Header::new(router, ours.into(), IpProtocol::ICMPV6, 0);
                ipv6(ROUTER.mac(), self.to, header, &message)
            }
            _ => panic!("a node has an address of each family"),
        };
        on_wire(join, &said)
    }
}

/// The bed hears the news, and it ends by this name.
fn hear(bed: &mut TestBed, join: Join, news: &News, reason: DropReason) {
    bed.receive(UPLINK, news.frame(join));
    bed.turn();
    assert_eq!(bed.moved(), [received(UPLINK, 1), dropped(reason, 1)]);
}

/// A packet of one byte more than fits is refused with the MTU told and itself quoted, and one that just fits passes.
fn carries(bed: &mut TestBed, join: Join, mtu: u16) {
    let inner = inside(join, mtu);
    for v6 in [false, true] {
        let offender = packet(v6, inner + 1);
        bed.receive(RED, offender.clone());
        bed.turn();
        assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::TooBig, 1)]);
        let error = bed.sent_by(RED).pop().expect("an error");
        let parsed = Packet::parse(&error).expect("an error is well formed");
        assert_eq!((parsed.ethernet.source(), parsed.ethernet.destination()), (B.mac, A.mac));
        let ends: (IpAddr, IpAddr) = if v6 { (B.v6.into(), A.v6.into()) } else { (B.v4.into(), A.v4.into()) };
        assert_eq!(parsed.addresses(), Some(ends), "the destination speaks");
        assert_eq!(icmp_of(&error), if v6 { (2, 0, inner.into()) } else { (3, 4, inner.into()) });
        assert!(checksums_are_right(&error));
        let longest = if v6 { 1280 - 48 } else { 576 - 28 };
        assert_eq!(error[parsed.payload.clone()], offender[14..14 + longest.min(offender.len() - 14)]);
        let fits = outer(bed, &packet(v6, inner));
        assert_eq!(fits.len(), 14 + join.vlan.map_or(0, |_| 4) + usize::from(mtu));
    }
}

fn joins() -> Vec<Join> {
    let mut joins = Vec::new();
    for encapsulation in Encapsulation::ALL {
        for (ipv6, vlan) in [(false, None), (true, None), (false, Some(30)), (true, Some(30))] {
            joins.push(Join { encapsulation: *encapsulation, ipv6, vlan, mtu: 1500, ..VXLAN });
        }
    }
    joins
}

#[test]
fn a_pod_is_told_exactly_what_the_uplink_carries() {
    for join in joins() {
        carries(&mut ready(join), join, 1500);
    }
}

#[test]
fn news_of_a_smaller_mtu_reach_the_pod_with_its_next_packet() {
    for join in joins() {
        let mut bed = ready(join);
        let full = outer(&mut bed, &packet(false, inside(join, 1500)));
        let news = News::of(join, &full, 1450);
        hear(&mut bed, join, &news, DropReason::ForUnderlay);
        carries(&mut bed, join, 1450);
        // Lower goes at once, higher and the same do not change it.
        for (said, carried) in [(1400, 1400), (1480, 1400), (1400, 1400), (1390, 1390)] {
            hear(&mut bed, join, &News { mtu: said, ..news.clone() }, DropReason::ForUnderlay);
            carries(&mut bed, join, carried);
        }
    }
}

#[test]
fn an_old_routers_news_without_a_number_mean_the_next_plateau() {
    let join = Join { mtu: 1500, ..VXLAN };
    let mut bed = ready(join);
    let full = outer(&mut bed, &packet(false, inside(join, 1500)));
    hear(&mut bed, join, &News::of(join, &full, 0), DropReason::ForUnderlay);
    carries(&mut bed, join, 1492);
}

#[test]
fn forged_news_change_nothing() {
    for join in joins() {
        let mut bed = ready(join);
        let full = outer(&mut bed, &packet(false, inside(join, 1500)));
        let good = News::of(join, &full, 1400);
        let (addresses, port) = if join.ipv6 { ([23, 39], 42) } else { ([15, 19], 22) };
        let quoting = |at: usize, byte: u8| {
            let mut news = good.clone();
            news.quoted[at] = byte;
            if !join.ipv6 {
                news.quoted[10..12].fill(0);
                let sum = checksum::sum(&news.quoted[..20]).finish();
                news.quoted[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            news
        };
        let least = if join.ipv6 { 1279 } else { 575 };
        let forged = [
            quoting(addresses[0], 9),
            quoting(addresses[1], 9),
            quoting(port, 0x99),
            News { mtu: least, ..good.clone() },
            News { mtu: 1500, ..good.clone() },
            News { mtu: 1501, ..good.clone() },
            News { spoilt: true, ..good.clone() },
            News { to: ROUTER.mac(), ..good.clone() },
        ];
        for news in &forged {
            hear(&mut bed, join, news, DropReason::NotTunnelled);
        }
        let elsewhere = Join { vlan: join.vlan.map_or(Some(31), |_| None), ..join };
        bed.receive(UPLINK, good.frame(elsewhere));
        bed.turn();
        assert_eq!(bed.moved(), [received(UPLINK, 1), dropped(DropReason::NotTunnelled, 1)]);
        assert_eq!(bed.shared.path_mtus.entries(), []);
        carries(&mut bed, join, 1500);
        hear(&mut bed, join, &News { mtu: least + 1, ..good }, DropReason::ForUnderlay);
    }
}

#[test]
fn a_path_grows_back_after_ten_minutes_and_may_shrink_again() {
    let join = Join { mtu: 1500, ..VXLAN };
    let mut bed = ready(join);
    let full = outer(&mut bed, &packet(false, inside(join, 1500)));
    for _ in 0..2 {
        hear(&mut bed, join, &News::of(join, &full, 1400), DropReason::ForUnderlay);
        carries(&mut bed, join, 1400);
        live(&mut bed, join, 599, &[THERE]);
        bed.moved();
        carries(&mut bed, join, 1400);
        // Each path is looked at every ten seconds.
        live(&mut bed, join, 12, &[THERE]);
        bed.moved();
        carries(&mut bed, join, 1500);
    }
}

#[test]
fn a_path_of_less_than_ipv6_takes_for_granted_carries_what_fits() {
    let join = Join { mtu: 1500, ..VXLAN };
    let mut bed = ready(join);
    let full = outer(&mut bed, &packet(false, inside(join, 1500)));
    hear(&mut bed, join, &News::of(join, &full, 576), DropReason::ForUnderlay);
    carries(&mut bed, join, 576);
}

/// The other node, with B behind RED, which takes all that may come.
fn far(join: Join) -> TestBed {
    let quiet = |network: &mut Network| network.flood_unknown = false;
    let plan = Plan::new(1).network(0, quiet).port(RED, 0, PortTable { mtu: 9000, ..B.stated() });
    TestBed::new(join.on(plan, THERE, HERE).remote(0, 0, A.mac, &[A.v4.into(), A.v6.into()]))
}

fn wide(join: Join) -> TestBed {
    let quiet = |network: &mut Network| network.flood_unknown = false;
    let plan = Plan::new(1).network(0, quiet).port(RED, 0, PortTable { mtu: 9000, ..A.stated() });
    resolved(join, join.on(plan, HERE, THERE))
}

/// The same with A in another network than the one that reaches B: what passes is routed.
fn router(join: Join) -> TestBed {
    resolved(join, join.on(two_networks().port(RED, 1, PortTable { mtu: 9000, ..C.stated() }), HERE, THERE))
}

fn resolved(join: Join, plan: Plan) -> TestBed {
    let bed = TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]));
    let there = if join.ipv6 { THERE.v6() } else { THERE.v4() };
    bed.shared.learn_hop(UPLINK, there, THERE.mac(), 1);
    bed
}

#[test]
fn a_routed_packet_too_big_is_refused_by_the_gateway() {
    for join in joins() {
        let (mut bed, inner) = (router(join), inside(join, 1500));
        for v6 in [false, true] {
            let of = |length| datagram_of((C, by_gateway(B, 1)), v6, length);
            bed.receive(RED, of(inner + 1));
            bed.turn();
            assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::TooBig, 1)]);
            let error = bed.sent_by(RED).pop().expect("an error");
            let parsed = Packet::parse(&error).expect("an error is well formed");
            let gateway = gateway(1);
            let ends: (IpAddr, IpAddr) =
                if v6 { (gateway.v6.into(), C.v6.into()) } else { (gateway.v4.into(), C.v4.into()) };
            assert_eq!((parsed.ethernet.source(), parsed.addresses()), (gateway.mac, Some(ends)));
            assert_eq!(icmp_of(&error), if v6 { (2, 0, inner.into()) } else { (3, 4, inner.into()) });
            assert!(of(inner + 1)[14..].starts_with(&error[parsed.payload.clone()]));
            let fits = outer(&mut bed, &of(inner));
            assert_eq!(fits.len(), 14 + join.vlan.map_or(0, |_| 4) + 1500);
        }
    }
}

#[test]
fn a_copy_for_a_peer_is_no_longer_than_its_path_carries() {
    for join in joins() {
        let flooding = |network: &mut Network| {
            network.replicate_to = vec![PathId(0)];
            network.replication_limit = 1000;
        };
        let wide = PortTable { mtu: 9000, ..A.stated() };
        let mut bed = resolved(join, join.on(Plan::new(1).network(0, flooding).port(RED, 0, wide), HERE, THERE));
        let inner = inside(join, 1500);
        let broadcast = |length: u16| frame(A.mac, BROADCAST, EtherType(0x88b5), &vec![9; length.into()]);
        assert_eq!(outer(&mut bed, &broadcast(inner)).len(), 14 + join.vlan.map_or(0, |_| 4) + 1500);
        bed.receive(RED, broadcast(inner + 1));
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::TooBig, 1)]);
    }
}

/// What A may send: UDP in both families, and what is not IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Whole4,
    Divisible4,
    Ipv6,
    Other,
}

fn of_sort(sort: Sort, (from, to): (Host, Host), length: u16) -> Vec<u8> {
    match sort {
        Sort::Whole4 => datagram_of((from, to), false, length),
        Sort::Divisible4 => {
            let body: Vec<u8> = (0..length - 20).map(|n| (n ^ n >> 8) as u8).collect();
            let header = Ipv4Header { dont_fragment: false, identification: 7, ..header4(from, to, IpProtocol(253)) };
            ipv4(from.mac, to.mac, header, &body)
        }
        Sort::Ipv6 => datagram_of((from, to), true, length),
        Sort::Other => frame(from.mac, to.mac, EtherType(0x88b5), &vec![9; length.into()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A miss and a hit, and the same after news: nothing longer than the way carries leaves, and what arrives is what was sent.
    #[test]
    fn nothing_ever_leaves_an_uplink_longer_than_its_mtu(
        (geneve, outer6, tagged, shrunk, by_router) in any::<(bool, bool, bool, bool, bool)>(),
        mtu in 1400_u16..2000,
        less in 0_u16..100,
        lengths in prop::collection::vec((48_u16..2100, 0..4_usize, -2..3_i32, any::<bool>()), 1..8),
    ) {
        let encapsulation = if geneve { Encapsulation::Geneve } else { Encapsulation::Vxlan };
        let vlan = tagged.then_some(30);
        let join = Join { encapsulation, ipv6: outer6, vlan, mtu, shared: false, clamp_mss: false };
        let (mut near, mut far) = (if by_router { router(join) } else { wide(join) }, far(join));
        let mut carried = mtu;
        if shrunk {
            carried = mtu - less;
            near.shared.lower_path_mtu(if outer6 { THERE.v6() } else { THERE.v4() }, carried, 1);
        }
        for (length, sort, off, close) in lengths {
            let sort = [Sort::Whole4, Sort::Divisible4, Sort::Ipv6, Sort::Other][sort];
            let length = if close { inside(join, carried).wrapping_add_signed(off as i16) } else { length };
            let sent = if by_router { of_sort(sort, (C, by_gateway(B, 1)), length) } else { of_sort(sort, (A, B), length) };
            let fits = length <= inside(join, carried);
            for _ in 0..2 {
                near.receive(RED, sent.clone());
                near.turn();
                let out = near.sent_by(UPLINK);
                for frame in &out {
                    prop_assert!(frame.len() <= 14 + vlan.map_or(0, |_| 4) + usize::from(carried));
                    far.receive(UPLINK, frame.clone());
                }
                far.turn();
                let arrived = far.sent_by(RED);
                match sort {
                    Sort::Other if by_router => prop_assert!(out.is_empty()),
                    // The path of this test has no gateway's MAC address to send from.
                    _ if fits && by_router => prop_assert_eq!(arrived, [routed(&sent, MacAddr::default(), B.mac)]),
                    _ if fits => prop_assert_eq!(arrived, [sent.clone()]),
                    Sort::Divisible4 => {
                        let (header, payload, more) = reassembled(&arrived);
                        prop_assert_eq!((header.fragment_offset, more), (0, false));
                        prop_assert_eq!(&payload[..], &sent[34..]);
                    }
                    _ => prop_assert!(out.is_empty()),
                }
                prop_assert!(near.counters().balanced() && far.counters().balanced());
            }
        }
    }
}
