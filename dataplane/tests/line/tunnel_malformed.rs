//! What comes to a VTEP and is wrong: each wrong has its name, and no pod sees any of it.

use core::net::IpAddr;

use podlane_dataplane::{
    DropReason, NetworkId, PortId, Vni,
    tables::{
        PortTable,
        underlay::{Hop, Peer, Segment, Uplink, Vtep},
    },
    testbed::{Moved, Plan, TestBed, dropped, received, sent},
    tunnel::Encapsulation,
};
use podlane_wire::{EtherType, IpProtocol, Ipv4Header, Ipv6Header, checksum};
use proptest::prelude::*;

use crate::{
    packets::{
        Field, Host, RED, advertisement, arp_reply, arp_request, gateway, host, ipv4, ipv6, transport, udp4, udp6,
        with_tag,
    },
    tunnel::{Join, Node, VXLAN},
};

const UPLINK: PortId = PortId(9);
const HERE: Node = Node(1);
const THERE: Node = Node(2);
const A: Host = host(0, 1);
const B: Host = host(0, 2);
const STRANGER: Host = host(0, 3);

/// Both encapsulations over both families.
fn joins() -> [Join; 4] {
    [
        (Encapsulation::Vxlan, false),
        (Encapsulation::Vxlan, true),
        (Encapsulation::Geneve, false),
        (Encapsulation::Geneve, true),
    ]
    .map(|(encapsulation, ipv6)| Join { encapsulation, ipv6, ..VXLAN })
}

/// A node with pod A; B is stated to be on the other node.
fn plan(join: Join) -> Plan {
    let plan = Plan::new(1).gateway(0, gateway(0).mac, &[(gateway(0).v4.into(), 24), (gateway(0).v6.into(), 64)]);
    let plan = join.on(plan.port(RED, 0, A.stated()), HERE, THERE);
    plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()])
}

/// Puts network 0 of a plan on an underlay with two peers.
pub(crate) fn two_peers(plan: Plan, join: Join) -> Plan {
    let address = |node: Node| if join.ipv6 { node.v6() } else { node.v4() };
    let peer = |node| Peer {
        address: address(node),
        vtep: address(HERE),
        hops: vec![Hop { uplink: 0, address: address(node) }],
    };
    let uplink =
        Uplink { port: UPLINK, mac: HERE.mac(), vlan: None, mtu: join.mtu, link_local: HERE.mac().link_local() };
    let segment = Segment::of(NetworkId(0), Vni(7), join.encapsulation, vec![0, 1]);
    let vtep = Vtep { address: address(HERE), shared: false };
    plan.uplink(UPLINK, join.mtu).overlay(vec![vtep], vec![uplink], vec![peer(THERE), peer(Node(3))], &[segment])
}

/// A bed of it, which knows its next hop and need not ask.
fn bed(join: Join) -> TestBed {
    let bed = TestBed::new(plan(join));
    bed.shared.learn_hop(UPLINK, if join.ipv6 { THERE.v6() } else { THERE.v4() }, THERE.mac(), 1);
    bed
}

/// A tunnelled packet in the making.
#[derive(Clone)]
struct Outer {
    join: Join,
    from: Node,
    ecn: u8,
    /// What is added to the UDP length.
    length: i32,
    checksum: Checksum,
    header: Vec<u8>,
    inner: Vec<u8>,
}

/// The outer UDP checksum.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Checksum {
    None,
    Right,
    Wrong,
    Unfinished,
}

impl Outer {
    fn new(join: Join, inner: &[u8]) -> Self {
        let header = match join.encapsulation {
            Encapsulation::Vxlan => vec![8, 0, 0, 0, 0, 0, 7, 0],
            Encapsulation::Geneve => vec![0, 0, 0x65, 0x58, 0, 0, 7, 0],
        };
        Self { join, from: THERE, ecn: 0, length: 0, checksum: Checksum::None, header, inner: inner.to_vec() }
    }

    fn packet(&self) -> Vec<u8> {
        let mut udp = [0xc0, 1].to_vec();
        udp.extend(self.join.encapsulation.port().to_be_bytes());
        let body = [&self.header[..], &self.inner].concat();
        let length = 8 + body.len() as i32;
        udp.extend(((length + self.length) as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(body);
        let (from, to) = if self.join.ipv6 { (self.from.v6(), HERE.v6()) } else { (self.from.v4(), HERE.v4()) };
        let pseudo = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => checksum::pseudo_v4(from, to, IpProtocol::UDP, length as u16),
            (IpAddr::V6(from), IpAddr::V6(to)) => checksum::pseudo_v6(from, to, IpProtocol::UDP, length as u32),
            _ => unreachable!("one family"),
        };
        let right = pseudo.plus(checksum::sum(&udp)).finish_udp();
        let field = match self.checksum {
            Checksum::None => 0,
            Checksum::Right => right,
            Checksum::Wrong => right ^ 0x0100,
            Checksum::Unfinished => pseudo.fold(),
        };
        udp[6..8].copy_from_slice(&field.to_be_bytes());
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let header = Ipv4Header::new(from, to, IpProtocol::UDP, 0);
                let mut packet = ipv4(self.from.mac(), HERE.mac(), header, &udp);
                packet[15] |= self.ecn;
                resummed(packet)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let header = Ipv6Header::new(from, to, IpProtocol::UDP, 0);
                let mut packet = ipv6(self.from.mac(), HERE.mac(), header, &udp);
                packet[15] |= self.ecn << 4;
                packet
            }
            _ => unreachable!("one family"),
        }
    }
}

/// An untagged IPv4 frame with the checksum its header should have.
fn resummed(mut packet: Vec<u8>) -> Vec<u8> {
    packet[24..26].fill(0);
    let sum = checksum::sum(&packet[14..34]).finish();
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Puts a packet on the uplink; what moved, and what pod A got.
fn arrive(bed: &mut TestBed, packet: Vec<u8>) -> (Vec<Moved>, Vec<Vec<u8>>) {
    bed.receive(UPLINK, packet);
    bed.turn();
    (bed.moved(), bed.sent_by(RED))
}

#[track_caller]
fn dies(bed: &mut TestBed, packet: Vec<u8>, reason: DropReason) {
    assert_eq!(arrive(bed, packet), (vec![received(UPLINK, 1), dropped(reason, 1)], vec![]));
}

#[track_caller]
fn reaches(bed: &mut TestBed, packet: Vec<u8>, inner: &[u8]) {
    assert_eq!(arrive(bed, packet), (vec![received(UPLINK, 1), sent(RED, 1)], vec![inner.to_vec()]));
}

#[test]
fn what_is_right_arrives() {
    for join in joins() {
        let mut bed = bed(join);
        for inner in [udp4(B, A), udp6(B, A)] {
            reaches(&mut bed, Outer::new(join, &inner).packet(), &inner);
        }
    }
}

#[test]
fn every_reserved_bit_of_a_vxlan_header_has_a_name() {
    for ipv6 in [false, true] {
        let join = Join { ipv6, ..VXLAN };
        let mut bed = bed(join);
        for bit in (0..32).chain(56..64) {
            let mut outer = Outer::new(join, &udp4(B, A));
            outer.header[bit / 8] ^= 0x80 >> (bit % 8);
            let reason = if bit == 4 { DropReason::TunnelFlags } else { DropReason::TunnelReserved };
            dies(&mut bed, outer.packet(), reason);
        }
    }
}

#[test]
fn geneve_is_refused_for_version_control_critical_options_kind_and_length_and_its_reserved_bits_are_ignored() {
    for ipv6 in [false, true] {
        let join = Join { encapsulation: Encapsulation::Geneve, ipv6, ..VXLAN };
        let mut bed = bed(join);
        let inner = udp4(B, A);
        let bent = |at: usize, bits: u8| {
            let mut outer = Outer::new(join, &inner);
            outer.header[at] ^= bits;
            outer.packet()
        };
        for (at, bits, reason) in [
            (0, 0x40, DropReason::TunnelFlags),
            (0, 0x80, DropReason::TunnelFlags),
            (1, 0x80, DropReason::TunnelFlags),
            (1, 0x40, DropReason::TunnelOption),
            (2, 0x08, DropReason::TunnelFlags),
            (3, 0x01, DropReason::TunnelFlags),
            (0, 0x3f, DropReason::TunnelTruncated),
        ] {
            dies(&mut bed, bent(at, bits), reason);
        }
        for (at, bit) in (0..6).map(|bit| (1, 1 << bit)).chain((0..8).map(|bit| (7, 1 << bit))) {
            reaches(&mut bed, bent(at, bit), &inner);
        }
        let mut outer = Outer::new(join, &inner);
        outer.header[0] = 2;
        outer.header.extend([0x01, 0x02, 3, 1, 9, 9, 9, 9]);
        reaches(&mut bed, outer.packet(), &inner);
    }
}

#[test]
fn strangers_unknown_networks_and_loops_have_names() {
    for join in joins() {
        let mut bed = bed(join);
        let right = Outer::new(join, &udp4(B, A));
        let mut other_network = right.clone();
        other_network.header[6] = 8;
        dies(&mut bed, other_network.packet(), DropReason::UnknownVni);
        dies(&mut bed, Outer { from: Node(3), ..right.clone() }.packet(), DropReason::UnknownVtep);
        dies(&mut bed, Outer { from: HERE, ..right }.packet(), DropReason::TunnelLoop);
    }
}

#[test]
fn an_inner_runt_and_an_inner_tag_have_names() {
    for join in joins() {
        let mut bed = bed(join);
        let inner = udp4(B, A);
        for length in 0..14 {
            dies(&mut bed, Outer::new(join, &inner[..length]).packet(), DropReason::InnerRunt);
        }
        for protocol in [EtherType::VLAN, EtherType(0x88a8)] {
            dies(&mut bed, Outer::new(join, &with_tag(protocol, 7, &inner)).packet(), DropReason::InnerVlan);
        }
    }
}

#[test]
fn a_packet_cut_anywhere_dies_by_name() {
    for join in joins() {
        let mut bed = bed(join);
        let whole = Outer::new(join, &udp4(B, A)).packet();
        let known_from = if join.ipv6 { 54 } else { 34 };
        for length in 1..whole.len() {
            // Until the destination can be read, it is nobody's.
            let reason = if length < known_from { DropReason::NotTunnelled } else { DropReason::TunnelTruncated };
            dies(&mut bed, whole[..length].to_vec(), reason);
        }
    }
}

#[test]
fn outer_fragments_die_by_name() {
    for join in joins() {
        let mut bed = bed(join);
        let whole = Outer::new(join, &udp4(B, A)).packet();
        for field in [[0x20, 0], [0, 1], [0x3f, 0xff]] {
            let mut fragment = whole.clone();
            if join.ipv6 {
                fragment[20] = 44;
                fragment.splice(54..54, [17, 0, field[0], field[1], 0, 0, 0, 1]);
                let length = (fragment.len() - 54) as u16;
                fragment[18..20].copy_from_slice(&length.to_be_bytes());
            } else {
                fragment[20..22].copy_from_slice(&field);
                fragment = resummed(fragment);
            }
            dies(&mut bed, fragment, DropReason::OuterFragment);
        }
    }
}

#[test]
fn a_bent_outer_ipv4_header_dies_by_its_checksum() {
    for join in joins().into_iter().filter(|join| !join.ipv6) {
        let mut bed = bed(join);
        for at in [15, 18, 19, 22, 24, 25, 26, 27, 28, 29] {
            let mut packet = Outer::new(join, &udp4(B, A)).packet();
            packet[at] ^= 0x10;
            dies(&mut bed, packet, DropReason::OuterChecksum);
        }
    }
}

#[test]
fn an_outer_udp_checksum_is_right_or_zero_or_left_unfinished_where_ports_do_that() {
    for join in joins() {
        let inner = udp4(B, A);
        let packet = |checksum| Outer { checksum, ..Outer::new(join, &inner) }.packet();
        let mut bed = bed(join);
        reaches(&mut bed, packet(Checksum::None), &inner);
        reaches(&mut bed, packet(Checksum::Right), &inner);
        dies(&mut bed, packet(Checksum::Wrong), DropReason::OuterChecksum);
        dies(&mut bed, packet(Checksum::Unfinished), DropReason::OuterChecksum);

        let mut tables = plan(join).build();
        tables.ports[UPLINK.index()] = Some(PortTable {
            underlay: true,
            unfinished_checksums: true,
            ..tables.ports[UPLINK.index()].clone().unwrap()
        });
        bed.publish(tables);
        reaches(&mut bed, packet(Checksum::Unfinished), &inner);
        reaches(&mut bed, packet(Checksum::Right), &inner);
        dies(&mut bed, packet(Checksum::Wrong), DropReason::OuterChecksum);
    }
}

#[test]
fn an_outer_udp_checksum_may_count_the_inner_one_as_if_it_were_finished_where_ports_do_that() {
    for join in joins() {
        let (mut wire, mut veth) = (bed(join), bed(join));
        let mut tables = plan(join).build();
        let uplink = tables.ports[UPLINK.index()].clone().unwrap();
        tables.ports[UPLINK.index()] = Some(PortTable { unfinished_checksums: true, ..uplink });
        veth.publish(tables);
        for (protocol, ipv6) in
            [IpProtocol::UDP, IpProtocol::TCP].into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)])
        {
            let inner = |field| transport(protocol, (B, A), ipv6, b"hello", field);
            let finished = inner(Field::Finished);
            let mut local = Outer { checksum: Checksum::Right, ..Outer::new(join, &finished) }.packet();
            let at = local.len() - finished.len();
            local.splice(at.., inner(Field::Unfinished));
            // What only the outer checksum covers: the inner source address.
            let mut bent = local.clone();
            bent[at + 11] ^= 1;

            dies(&mut wire, local.clone(), DropReason::OuterChecksum);
            reaches(&mut veth, local, &finished);
            dies(&mut veth, bent, DropReason::OuterChecksum);
        }
    }
}

#[test]
fn a_udp_length_beyond_the_packet_or_short_of_its_headers_dies_by_name() {
    for join in joins() {
        let mut bed = bed(join);
        let right = Outer::new(join, &udp4(B, A));
        let length = 8 + 8 + right.inner.len() as i32;
        dies(&mut bed, Outer { length: 1, ..right.clone() }.packet(), DropReason::TunnelTruncated);
        for stated in 0..30 {
            let reason = if stated < 16 { DropReason::TunnelTruncated } else { DropReason::InnerRunt };
            dies(&mut bed, Outer { length: stated - length, ..right.clone() }.packet(), reason);
        }
    }
}

#[test]
fn padding_behind_the_outer_packet_is_cut_off() {
    for join in joins() {
        let mut bed = bed(join);
        let inner = udp4(B, A);
        for checksum in [Checksum::None, Checksum::Right] {
            let mut packet = Outer { checksum, ..Outer::new(join, &inner) }.packet();
            packet.extend([0xaa; 10]);
            reaches(&mut bed, packet, &inner);
        }
    }
}

#[test]
fn congestion_marks_come_out_as_rfc_6040_has_it() {
    const NOT: u8 = 0;
    const ECT_1: u8 = 1;
    const ECT_0: u8 = 2;
    const CE: u8 = 3;
    // By the inner mark; the outer ones are NOT, ECT_1, ECT_0, CE in the order of their numbers.
    let table = [
        (NOT, [Some(NOT), Some(NOT), Some(NOT), None]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (ECT_0, [Some(ECT_0), Some(ECT_1), Some(ECT_0), Some(CE)]),
        (CE, [Some(CE); 4]),
    ];
    let marked = |packet: &[u8], ecn: u8| {
        let mut packet = packet.to_vec();
        if packet[12] == 8 {
            packet[15] |= ecn;
            resummed(packet)
        } else {
            packet[15] |= ecn << 4;
            packet
        }
    };
    for join in joins() {
        let mut bed = bed(join);
        for packet in [udp4(B, A), udp6(B, A)] {
            for (inner, results) in table {
                for (ecn, result) in (0..).zip(results) {
                    let outer = Outer { ecn, ..Outer::new(join, &marked(&packet, inner)) }.packet();
                    match result {
                        Some(result) => reaches(&mut bed, outer, &marked(&packet, result)),
                        None => dies(&mut bed, outer, DropReason::CongestionMark),
                    }
                }
            }
        }
    }
}

#[test]
fn a_peer_speaks_for_no_pod_of_this_node_and_not_for_the_gateway() {
    for join in joins() {
        let mut bed = bed(join);
        let dies = |bed: &mut TestBed, inner: Vec<u8>, reason| dies(bed, Outer::new(join, &inner).packet(), reason);
        dies(&mut bed, udp4(A, A), DropReason::SpoofedMac);
        dies(&mut bed, arp_reply(A.at(B.mac), A), DropReason::SpoofedAddress);
        dies(&mut bed, arp_request(A.at(STRANGER.mac), B.v4), DropReason::SpoofedAddress);
        dies(&mut bed, advertisement(A.at(STRANGER.mac), A, A.v6), DropReason::SpoofedAddress);
        dies(&mut bed, arp_reply(gateway(0).at(B.mac), A), DropReason::SpoofedAddress);
        dies(&mut bed, advertisement(gateway(0).at(B.mac), A, gateway(0).v6), DropReason::SpoofedAddress);
        dies(&mut bed, arp_reply(B.at(gateway(0).mac), A), DropReason::SpoofedAddress);
        // In a station's name, behind another MAC address.
        let mut behind = arp_reply(STRANGER, A);
        behind[22..28].copy_from_slice(&A.mac.0);
        dies(&mut bed, behind, DropReason::SpoofedAddress);
        let honest = arp_reply(B, A);
        reaches(&mut bed, Outer::new(join, &honest).packet(), &honest);
    }
}

#[test]
fn a_peer_speaks_for_no_endpoint_of_another() {
    for join in joins() {
        let plan = two_peers(Plan::new(1).port(RED, 0, A.stated()), join);
        let mut bed = TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]));
        for there in [THERE, Node(3)] {
            bed.shared.learn_hop(UPLINK, if join.ipv6 { there.v6() } else { there.v4() }, there.mac(), 1);
        }
        for (inner, reason) in [
            (udp4(B, A), DropReason::SpoofedMac),
            (udp6(B, A), DropReason::SpoofedMac),
            (arp_request(B, B.v4), DropReason::SpoofedMac),
            (arp_reply(B.at(STRANGER.mac), A), DropReason::SpoofedAddress),
            (advertisement(B.at(STRANGER.mac), A, B.v6), DropReason::SpoofedAddress),
        ] {
            dies(&mut bed, Outer { from: Node(3), ..Outer::new(join, &inner) }.packet(), reason);
        }
        reaches(&mut bed, Outer::new(join, &udp4(B, A)).packet(), &udp4(B, A));
    }
}

#[test]
fn what_came_out_of_a_tunnel_is_bridged_into_none_but_may_be_routed_into_one() {
    let join = VXLAN;
    let plan = Plan::new(1).gateway(0, gateway(0).mac, &[(gateway(0).v4.into(), 24)]).port(RED, 0, A.stated());
    let plan =
        two_peers(plan, join).remote(0, 0, B.mac, &[B.v4.into()]).remote(0, 1, STRANGER.mac, &[STRANGER.v4.into()]);
    let mut bed = TestBed::new(plan);
    for there in [THERE, Node(3)] {
        bed.shared.learn_hop(UPLINK, there.v4(), there.mac(), 1);
    }
    dies(&mut bed, Outer::new(join, &udp4(B, STRANGER)).packet(), DropReason::SplitHorizon);
    // A node without a gateway of its own sends to the nearest, which may be any.
    let (moved, _) = arrive(&mut bed, Outer::new(join, &udp4(B, STRANGER.at(gateway(0).mac))).packet());
    assert_eq!(moved, [received(UPLINK, 1), sent(UPLINK, 1)]);
    let out = bed.sent_by(UPLINK).pop().unwrap();
    assert_eq!((&out[30..34], &out[50..56], out[50 + 22]), (&[192, 0, 2, 3][..], &STRANGER.mac.0[..], 63));
}

#[test]
fn a_pod_sends_from_no_vtep_address_but_may_speak_to_its_port() {
    let vtep = |node: Node| {
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (node.v4(), node.v6()) else { panic!("a family of each") };
        Host { v4, v6, ..B }
    };
    for join in joins() {
        let mut bed = bed(join);
        let from_vtep = vtep(HERE).at(A.mac);
        bed.receive(RED, if join.ipv6 { udp6(from_vtep, B) } else { udp4(from_vtep, B) });
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::VtepAddress, 1)]);

        for to in [vtep(HERE), vtep(THERE)] {
            let mut packet = if join.ipv6 { udp6(A, to) } else { udp4(A, to) };
            let port = if join.ipv6 { 56 } else { 36 };
            packet[port..port + 2].copy_from_slice(&join.encapsulation.port().to_be_bytes());
            bed.receive(RED, packet.clone());
            bed.turn();
            assert_eq!(bed.moved(), [received(RED, 1), sent(UPLINK, 1)]);
            assert!(bed.sent_by(UPLINK).pop().unwrap().ends_with(&packet));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever an uplink brings, every frame is accounted for: the bed's ledger panics if it is not. Noise alone is hardly ever a
    /// tunnel's, so most of it is bent out of good packets.
    #[test]
    fn any_bytes_at_an_uplink_leave_a_balanced_ledger(
        noise in prop::collection::vec(any::<u8>(), 1..200),
        bends in prop::collection::vec((0usize..4, prop::collection::vec((12usize..120, any::<u8>()), 1..4), 1usize..140, any::<bool>()), 1..40),
    ) {
        let mut beds = joins().map(bed);
        let arrived = arrive(&mut beds[0], noise);
        prop_assert!(arrived.0.contains(&received(UPLINK, 1)));
        for (which, bytes, cut, resum) in bends {
            let join = joins()[which];
            let mut packet = Outer::new(join, &udp6(B, A)).packet();
            for (at, byte) in bytes {
                if let Some(bent) = packet.get_mut(at) {
                    *bent = byte;
                }
            }
            if resum && !join.ipv6 {
                packet = resummed(packet);
            }
            packet.truncate(cut.max(20));
            let (moved, _) = arrive(&mut beds[which], packet);
            prop_assert!(moved.contains(&received(UPLINK, 1)));
        }
    }
}
