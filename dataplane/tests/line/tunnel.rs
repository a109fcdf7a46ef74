//! Overlay: two switches in memory with an underlay between them, carried by hand from wire to wire.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_dataplane::{
    DropReason, NetworkId, PortId, Vni,
    tables::{
        Network, PortTable,
        underlay::{Hop, Peer, Segment, Uplink, Vtep},
    },
    testbed::{Plan, TestBed, dropped, made, received, sent},
    tunnel::Encapsulation,
};
use podlane_wire::{MacAddr, Packet, Transport};

use crate::packets::{BLUE, Host, RED, arp_reply, host, udp4, udp6};

pub(crate) const UPLINK: PortId = PortId(9);
const A: Host = host(0, 1);
const B: Host = host(0, 2);

/// A node: its number gives its VTEP addresses and its uplink's MAC address.
#[derive(Clone, Copy)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    pub(crate) fn mac(self) -> MacAddr {
        MacAddr([2, 9, 0, 0, 0, self.0])
    }

    pub(crate) fn v4(self) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, self.0).into()
    }

    pub(crate) fn v6(self) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, self.0.into()).into()
    }
}

/// How two nodes are joined.
#[derive(Clone, Copy)]
pub(crate) struct Join {
    pub(crate) encapsulation: Encapsulation,
    pub(crate) ipv6: bool,
    pub(crate) vlan: Option<u16>,
    pub(crate) mtu: u16,
    /// Whether the host's kernel has the VTEP address too.
    pub(crate) shared: bool,
    pub(crate) clamp_mss: bool,
}

pub(crate) const VXLAN: Join =
    Join { encapsulation: Encapsulation::Vxlan, ipv6: false, vlan: None, mtu: 1550, shared: false, clamp_mss: false };

impl Join {
    /// The underlay of `here`, which has `there` as its only peer, under a plan whose network 0 is VNI 7.
    pub(crate) fn on(self, plan: Plan, here: Node, there: Node) -> Plan {
        self.by_way_of(plan, here, there, &[there])
    }

    /// The same by way of these next hops.
    pub(crate) fn by_way_of(self, plan: Plan, here: Node, there: Node, hops: &[Node]) -> Plan {
        let address = |node: Node| if self.ipv6 { node.v6() } else { node.v4() };
        let uplink = Uplink {
            port: UPLINK,
            mac: here.mac(),
            vlan: self.vlan,
            mtu: self.mtu,
            link_local: here.mac().link_local(),
        };
        let hops = hops.iter().map(|hop| Hop { uplink: 0, address: address(*hop) }).collect();
        let peer = Peer { address: address(there), vtep: address(here), hops };
        let segment =
            Segment { clamp_mss: self.clamp_mss, ..Segment::of(NetworkId(0), Vni(7), self.encapsulation, vec![0]) };
        let vtep = Vtep { address: address(here), shared: self.shared };
        plan.uplink(UPLINK, self.mtu).overlay(vec![vtep], vec![uplink], vec![peer], &[segment])
    }
}

/// A node with pod A behind RED, and B stated to be on the other.
fn near(join: Join) -> TestBed {
    let quiet = |network: &mut Network| network.flood_unknown = false;
    let plan = join.on(Plan::new(1).network(0, quiet).port(RED, 0, A.stated()), Node(1), Node(2));
    TestBed::new(plan.remote(0, 0, B.mac, &[B.v4.into(), B.v6.into()]))
}

/// The other node, with B behind RED.
fn far(join: Join) -> TestBed {
    let plan = join.on(Plan::new(1).port(RED, 0, B.stated()), Node(2), Node(1));
    TestBed::new(plan.remote(0, 0, A.mac, &[A.v4.into(), A.v6.into()]))
}

/// The bed knows its only next hop.
fn resolved(bed: TestBed, join: Join, there: Node) -> TestBed {
    let address = if join.ipv6 { there.v6() } else { there.v4() };
    bed.shared.learn_hop(UPLINK, address, there.mac(), 1);
    bed
}

#[test]
fn a_packet_crosses_between_nodes_unchanged_in_every_encapsulation_and_family() {
    for encapsulation in Encapsulation::ALL {
        for (ipv6, vlan) in [(false, None), (true, None), (false, Some(30)), (true, Some(30))] {
            let join = Join { encapsulation: *encapsulation, ipv6, vlan, ..VXLAN };
            let mut near = resolved(near(join), join, Node(2));
            let mut far = resolved(far(join), join, Node(1));
            for packet in [udp4(A, B), udp6(A, B)] {
                for _ in 0..2 {
                    near.receive(RED, packet.clone());
                    near.turn();
                    assert_eq!(near.moved(), [received(RED, 1), sent(UPLINK, 1)]);
                    let outer = near.sent_by(UPLINK).pop().unwrap();
                    let before = 14 + vlan.map_or(0, |_| 4) + if ipv6 { 40 } else { 20 } + 16;
                    assert_eq!(outer.len(), before + packet.len());
                    assert_eq!((&outer[..6], &outer[6..12]), (&Node(2).mac().0[..], &Node(1).mac().0[..]));
                    let Transport::Udp(udp) = Packet::parse(&outer).unwrap().transport else { panic!("no UDP") };
                    assert_eq!(udp.destination_port(), encapsulation.port());
                    assert!(udp.source_port() >= 0xc000);
                    far.receive(UPLINK, outer);
                    far.turn();
                    assert_eq!(far.moved(), [received(UPLINK, 1), sent(RED, 1)]);
                    assert_eq!(far.sent_by(RED), std::slice::from_ref(&packet));
                }
            }
        }
    }
}

#[test]
fn an_unknown_next_hop_is_asked_for_and_the_packet_dies_by_name() {
    let mut near = near(VXLAN);
    near.receive(RED, udp4(A, B));
    near.turn();
    assert_eq!(near.moved(), [made(1), received(RED, 1), sent(UPLINK, 1), dropped(DropReason::UnderlayUnresolved, 1)]);
    let (IpAddr::V4(ours), IpAddr::V4(theirs)) = (Node(1).v4(), Node(2).v4()) else { panic!("IPv4") };
    let [here, there] =
        [(Node(1), ours), (Node(2), theirs)].map(|(node, v4)| Host { mac: node.mac(), v4, v6: Ipv6Addr::UNSPECIFIED });
    near.receive(UPLINK, arp_reply(there, here));
    near.turn();
    near.receive(RED, udp4(A, B));
    near.turn();
    assert_eq!(near.sent_by(UPLINK).len(), 2);
    assert_eq!(
        near.moved(),
        [received(RED, 1), received(UPLINK, 1), sent(UPLINK, 1), dropped(DropReason::ForUnderlay, 1)]
    );
}

#[test]
fn a_network_that_does_not_flood_to_its_peers_learns_nothing_from_them() {
    let (stranger, join) = (host(0, 77), VXLAN);
    let mut near = resolved(near(join), join, Node(2));
    near.receive(RED, udp4(A, B));
    near.turn();
    let outer = near.sent_by(UPLINK).pop().unwrap();
    let mut forged = outer[..50].to_vec();
    forged.extend(udp4(stranger, B));
    let mut far = far(join);
    far.receive(UPLINK, forged);
    far.turn();
    assert!(far.shared.macs.entries().is_empty());
    assert_eq!(far.sent_by(RED).len(), 1, "it is delivered all the same");
}

#[test]
fn a_peer_cannot_take_a_mac_address_that_was_learned_here() {
    let plan = VXLAN.on(Plan::new(1).port(RED, 0, PortTable::default()).port(BLUE, 0, B.stated()), Node(2), Node(1));
    let mut bed = TestBed::new(plan);
    bed.receive(RED, udp4(A, B));
    bed.turn();
    bed.moved();
    let learned = bed.shared.macs.entries();
    let forged = through_the_tunnel(&udp4(A, B));
    bed.receive(UPLINK, forged);
    bed.turn();
    assert_eq!(bed.moved(), [received(UPLINK, 1), dropped(DropReason::SpoofedMac, 1)]);
    // Not by and by either, when flows are swept.
    bed.pass(11_000);
    let places =
        |entries: Vec<([u64; 1], u64, u32)>| entries.into_iter().map(|(key, at, _)| (key, at)).collect::<Vec<_>>();
    assert_eq!(places(bed.shared.macs.entries()), places(learned));
}

/// The frame as node 1 sends it to node 2 in VNI 7.
fn through_the_tunnel(inner: &[u8]) -> Vec<u8> {
    let mut near = resolved(near(VXLAN), VXLAN, Node(2));
    near.receive(RED, udp4(A, B));
    near.turn();
    let outer = near.sent_by(UPLINK).pop().expect("the packet has left");
    assert_eq!(inner.len(), udp4(A, B).len(), "the outer lengths are those of another frame");
    [&outer[..50], inner].concat()
}

#[test]
fn what_is_in_another_vlan_is_no_tunnels() {
    for (theirs, ours) in [(None, Some(30)), (Some(30), None), (Some(31), Some(30))] {
        let (sent_in, heard_in) = (Join { vlan: theirs, ..VXLAN }, Join { vlan: ours, ..VXLAN });
        let (mut near, mut far) = (resolved(near(sent_in), sent_in, Node(2)), far(heard_in));
        near.receive(RED, udp4(A, B));
        near.turn();
        far.turn();
        far.moved();
        far.receive(UPLINK, near.sent_by(UPLINK).pop().unwrap());
        far.turn();
        assert_eq!(far.moved(), [received(UPLINK, 1), dropped(DropReason::NotTunnelled, 1)], "{theirs:?} {ours:?}");
    }
}

#[test]
fn a_flood_of_news_of_the_underlay_does_not_keep_flows_from_being_hits() {
    let mut near = resolved(near(VXLAN), VXLAN, Node(2));
    near.receive(RED, udp4(A, B));
    near.turn();
    let epoch = |bed: &TestBed| bed.shared.flows.epoch(0);
    near.pass(1000);
    let before = epoch(&near);
    for mtu in (600..1500).rev() {
        near.shared.lower_path_mtu(Node(2).v4(), mtu, 1001);
    }
    assert_eq!(epoch(&near), before + 8, "900 pieces of news");
    near.pass(300);
    assert_eq!(epoch(&near), before + 9);
    assert_eq!(near.shared.path_mtu(Node(2).v4(), 1550), 600);
}
