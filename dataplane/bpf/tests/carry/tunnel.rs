//! Two nodes and the kernel's own VXLAN between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use podlane_bpf::carry::{AskHook, Event, Key, Order, Origin, Role, Seat, Target};
use podlane_host::lab::Pod;
use podlane_host::{Veth, VethPeer, sysctl};

use crate::node::{BLUE, GENERATION, Node, RED, Talk, connect, into, know, reversed, skip, tcp_flow, udp_flow};
use crate::{ports, pour};

const VNI: u32 = 4242;
/// The number of the other node, in this network.
const OTHER: u16 = 900;
const MTU: u16 = 1500;

/// The endpoints, over IPv4 or IPv6.
fn vtep(ipv6: bool, host: u8) -> IpAddr {
    if ipv6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, host).into()
    }
}

/// A node, and what is its side of the tunnel.
struct Side {
    node: Node,
    pod: Pod,
    number: u16,
    tunnel: u32,
    /// The other side's endpoint.
    peer: IpAddr,
}

impl Side {
    /// Gives a node its endpoint, its tunnel and the number of the other node. The underlay has room for outer headers.
    fn new(mut node: Node, pod: Pod, number: u16, (host, peer): (IpAddr, IpAddr)) -> Self {
        // A lab has IPv6 switched off.
        let ipv6 = || sysctl("net/ipv6/conf/underlay/disable_ipv6", 0).unwrap();
        node.lab.switch().run(ipv6).unwrap();
        let links = node.lab.links();
        links.add_address("underlay", host, 24).unwrap();
        links.set_up("underlay").unwrap();
        let tunnel = links.external_vxlan("tunnel", 4789, MTU.into()).unwrap();
        links.set_up(tunnel).unwrap();
        node.attach(tunnel, "tunnel", Role::Tunnel, AskHook::Auto);
        let mut side = Self { node, pod, number, tunnel, peer };
        let (origin, trunk, target) = (side.origin(), side.node.trunk.host_ifindex, side.remote());
        side.node.carrier().seat(OTHER, &Seat { origin, trunk, target }).unwrap();
        side
    }

    fn origin(&self) -> Origin {
        Origin::Tunnel { vni: VNI, peer: self.peer }
    }

    fn remote(&self) -> Target {
        Target::Remote { ifindex: self.tunnel, vni: VNI, peer: self.peer }
    }

    /// Has the kernel carry what this side's pod sends, and what comes back.
    fn decide(&mut self, out: &Key) {
        let (there, here, back) = (self.remote(), into(&self.pod), reversed(out, self.origin()));
        for (key, target) in [(out, there), (&back, here)] {
            self.node
                .carrier()
                .insert(key, &Order { target, mtu: MTU, rewrite: None, permit: None }, GENERATION)
                .unwrap();
        }
    }
}

/// Blue on one node, red on another.
fn two_nodes(test: &str, ipv6: bool) -> (Side, Side) {
    let (mut one, mut two) = (Node::new(test, false), Node::new(test, false));
    let peer = VethPeer { name: "underlay", netns: Some(two.lab.switch().as_fd()), mac: None };
    one.lab.links().veth(&Veth { name: "underlay", mtu: 1600, mac: None, queues: 1, peer }).unwrap();
    let (blue, red) = (one.pod("blue", 1, BLUE), two.pod("red", 2, RED));
    know(&blue, &red);
    let (here, there) = (vtep(ipv6, 1), vtep(ipv6, 2));
    (Side::new(one, blue, BLUE, (here, there)), Side::new(two, red, RED, (there, here)))
}

#[test]
fn flows_go_through_the_kernels_tunnel_in_and_out_decided_or_not() {
    let test = "flows_go_through_the_kernels_tunnel_in_and_out_decided_or_not";
    if skip(test) {
        return;
    }
    for ipv6 in [false, true] {
        through_the_tunnel(two_nodes(test, ipv6));
    }
}

fn through_the_tunnel((mut one, mut two): (Side, Side)) {
    const BYTES: usize = 300_000;
    let workers = [&one, &two].map(|side| side.node.worker(&[(side.number, OTHER), (OTHER, side.number)]));
    let (mut near, mut far) = connect(&one.pod, &two.pod);
    pour(&mut near, &mut far, BYTES);
    for (worker, side) in workers.iter().zip([&one, &two]) {
        let numbers: std::collections::BTreeSet<u16> = worker.seen().iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, [side.number, OTHER].into());
    }

    let key = tcp_flow(&one.pod, &two.pod, ports(&near));
    one.decide(&key);
    two.decide(&reversed(&key, Origin::Device(two.pod.host_ifindex)));
    pour(&mut far, &mut near, BYTES);
    pour(&mut near, &mut far, BYTES);
    let before = [&mut one, &mut two].map(|side| side.node.not_carried());
    pour(&mut near, &mut far, BYTES);
    assert_eq!([&mut one, &mut two].map(|side| side.node.not_carried()), before, "nothing of it goes to the workers");
    let carried = one.node.carrier().counters(&key).unwrap().unwrap();
    assert!(carried.bytes > 2 * BYTES as u64, "{carried:?}");

    let key = udp_flow(&one.pod, &two.pod);
    one.decide(&key);
    two.decide(&reversed(&key, Origin::Device(two.pod.host_ifindex)));
    let talk = Talk::new(&one.pod, &two.pod);
    for _ in 0..10 {
        assert!(talk.goes_round(&[3; 1000]));
    }
    let arrives = Key { from: two.origin(), ..key };
    for (side, key) in [(&mut one, key), (&mut two, arrives)] {
        let counters = side.node.carrier().remove(&key).unwrap().unwrap();
        assert_eq!((counters.packets, counters.bytes), (10, 10 * 1042), "both ends count the inner frames");
    }
}

#[test]
fn what_comes_from_another_endpoint_or_network_is_not_the_flow() {
    let test = "what_comes_from_another_endpoint_or_network_is_not_the_flow";
    if skip(test) {
        return;
    }
    let (mut one, mut two) = two_nodes(test, false);
    let key = udp_flow(&one.pod, &two.pod);
    one.decide(&key);
    let talk = Talk::new(&one.pod, &two.pod);
    let worker = two.node.worker(&[]);
    assert!(talk.loses(b"undecided there"));
    assert_eq!((worker.next().0, two.node.events(Event::NoFlow)), (OTHER, 1));

    // Decided for a third node.
    let arrives = Key { from: Origin::Tunnel { vni: VNI, peer: vtep(false, 3) }, ..key };
    let order = Order { target: into(&two.pod), mtu: MTU, rewrite: None, permit: None };
    two.node.carrier().insert(&arrives, &order, GENERATION).unwrap();
    assert!(talk.loses(b"not that one's"));
    assert_eq!((worker.next().0, two.node.events(Event::OtherPeer)), (OTHER, 1));

    // In a network that nobody here has.
    one.node.carrier().remove(&key).unwrap().unwrap();
    let strange = Target::Remote { ifindex: one.tunnel, vni: VNI + 1, peer: one.peer };
    one.node.carrier().insert(&key, &Order { target: strange, ..order }, GENERATION).unwrap();
    assert!(talk.loses(b"nobody's"));
    assert_eq!((worker.seen().len(), two.node.events(Event::NoOrigin)), (0, 1));
}
