//! Flows of assisted pods, carried by a real kernel between namespaces, and what goes to a worker instead.
#![allow(clippy::unwrap_used, reason = "what only tests call fails the test")]

mod node;
mod pace;
mod tunnel;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use node::{BLUE, Node, RED, Talk, connect, into, know, reversed, skip, tcp_flow, udp_flow};
use podlane_bpf::carry::{AskHook, Event, Hook, Hooked, Key, Order, Origin, Permit, Rewrite, Role, Target};
use podlane_host::lab::Pod;
use podlane_host::{Feature, Veth, VethPeer};
use podlane_rings::ZeroedSlice;

const DATAGRAM: usize = 42; // bytes of headers

/// Sends so much through a connection and checks each byte.
fn pour(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) {
    let text: Vec<u8> = (0..bytes).map(|at| (at * 7 / 3) as u8).collect();
    let mut arrived = vec![0; bytes];
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&text).unwrap());
        to.read_exact(&mut arrived).unwrap();
    });
    assert!(arrived == text, "what arrived is not what was sent");
}

/// The ports of a connection.
fn ports(near: &TcpStream) -> (u16, u16) {
    (near.local_addr().unwrap().port(), near.peer_addr().unwrap().port())
}

/// Decides a connection in both directions.
fn decide(node: &mut Node, (blue, red): (&Pod, &Pod), near: &TcpStream) {
    node.decide(&tcp_flow(blue, red, ports(near)), into(red), into(blue));
}

#[test]
fn a_decided_flow_goes_from_pod_to_pod_and_is_counted_exactly() {
    let test = "a_decided_flow_goes_from_pod_to_pod_and_is_counted_exactly";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let (talk, key) = (Talk::new(&blue, &red), udp_flow(&blue, &red));
    assert!(talk.loses(b"early"), "a pod is born closed");
    assert_eq!(node.events(Event::NoFlow), 1);
    node.decide(&key, into(&red), into(&blue));
    for _ in 0..20 {
        assert!(talk.goes_round(&[1; 100]));
    }
    let back = reversed(&key, Origin::Device(red.host_ifindex));
    for key in [key, back] {
        let counters = node.carrier().remove(&key).unwrap().unwrap();
        assert_eq!((counters.packets, counters.bytes), (20, 20 * (DATAGRAM as u64 + 100)));
    }
    assert!(talk.loses(b"late"));
    assert_eq!(node.events(Event::NoFlow), 2);
}

#[test]
fn what_is_not_decided_goes_to_the_worker_and_back_under_numbers() {
    let test = "what_is_not_decided_goes_to_the_worker_and_back_under_numbers";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[(BLUE, RED), (RED, BLUE)]);
    let talk = Talk::new(&blue, &red);
    assert!(talk.goes_round(b"hello"));
    let seen: Vec<(u16, usize)> = worker.seen().iter().map(|(number, bytes, _)| (*number, *bytes)).collect();
    assert_eq!(seen, [(BLUE, DATAGRAM + 4 + 5), (RED, DATAGRAM + 4 + 5)]);

    // What is for everybody comes to the pod as such: it asks who has an address, and is answered.
    blue.links().unwrap().remove_neighbour("eth0", node::address(2).into()).unwrap();
    assert!(talk.goes_round(b"who has"));
    assert!(worker.seen().iter().any(|(number, _, rest)| *number == BLUE && rest[..2] == [8, 6]), "it was asked");

    node.carrier().unseat(RED).unwrap();
    assert!(talk.loses(b"to nobody"));
    assert_eq!(node.events(Event::NoPort), 1);
}

#[test]
fn large_sends_cross_the_trunk_whole_and_are_whole_segments_once_decided() {
    let test = "large_sends_cross_the_trunk_whole_and_are_whole_segments_once_decided";
    if skip(test) {
        return;
    }
    const BYTES: usize = 300_000;
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[(BLUE, RED), (RED, BLUE)]);
    let (mut near, mut far) = connect(&blue, &red);
    pour(&mut near, &mut far, BYTES);
    let seen = worker.seen();
    assert!(seen.iter().all(|(_, bytes, _)| *bytes <= 1518), "each is one that fits the wire");
    assert!(seen.len() > BYTES / 1500);

    decide(&mut node, (&blue, &red), &near);
    pour(&mut near, &mut far, BYTES);
    pour(&mut far, &mut near, BYTES);
    let key = tcp_flow(&blue, &red, ports(&near));
    let counters = node.carrier().counters(&key).unwrap().unwrap();
    assert!(counters.bytes > BYTES as u64 && counters.packets > BYTES as u64 / 1500, "{counters:?}");
    assert!(counters.bytes <= counters.packets * 1514, "segments are counted as on a wire: {counters:?}");
    let before = node.not_carried();
    pour(&mut near, &mut far, BYTES);
    assert_eq!(node.not_carried(), before, "nothing of it goes to the worker");
    for pod in [&blue, &red] {
        let features = pod.links().unwrap().features("eth0").unwrap();
        assert!(features.is_on(Feature::Tso) && features.is_on(Feature::Gso), "pods keep their offloads");
    }
    let before = node.events(Event::Control);
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        far.read(&mut [0]).unwrap(),
        0,
        "the end of a connection is the worker's to see, and goes on from there"
    );
    assert!(node.events(Event::Control) > before);
}

#[test]
fn a_connection_whose_headers_are_rewritten_arrives_whole() {
    let test = "a_connection_whose_headers_are_rewritten_arrives_whole";
    if skip(test) {
        return;
    }
    const BYTES: usize = 300_000;
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let _worker = node.worker(&[(BLUE, RED), (RED, BLUE)]);
    let (mut near, mut far) = connect(&blue, &red);
    let out = tcp_flow(&blue, &red, ports(&near));
    let back = reversed(&out, Origin::Device(red.host_ifindex));
    for (key, pod) in [(&out, &red), (&back, &blue)] {
        let rewrite = Rewrite { destination_mac: pod.mac, source_mac: [2, 0, 0, 0, 9, 9], hop: true };
        let order = Order { target: into(pod), mtu: 1500, rewrite: Some(rewrite), permit: None };
        node.carrier().insert(key, &order, node::GENERATION).unwrap();
    }
    pour(&mut near, &mut far, BYTES);
    pour(&mut far, &mut near, BYTES);
    let before = node.not_carried();
    pour(&mut near, &mut far, BYTES);
    assert_eq!(node.not_carried(), before);
    for key in [out, back] {
        assert!(node.carrier().counters(&key).unwrap().unwrap().bytes > BYTES as u64);
    }
}

#[test]
fn a_new_generation_sends_the_next_packet_to_the_worker() {
    let test = "a_new_generation_sends_the_next_packet_to_the_worker";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[]);
    let talk = Talk::new(&blue, &red);
    node.decide(&udp_flow(&blue, &red), into(&red), into(&blue));
    assert!(talk.carries(b"before"));
    node.carrier().set_generation(node::GENERATION + 1).unwrap();
    assert!(talk.loses(b"after"));
    assert_eq!(worker.next().0, BLUE);
    assert_eq!(node.events(Event::Stale), 1);
}

#[test]
fn a_worker_takes_a_flow_back_by_one_store_into_memory_it_has_mapped() {
    let test = "a_worker_takes_a_flow_back_by_one_store_into_memory_it_has_mapped";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let map = || node.carrier.as_ref().unwrap().permits().try_clone_to_owned().unwrap();
    assert!(ZeroedSlice::<[AtomicU32; 4]>::of_array_map(map(), 4096).is_err(), "more than there are");
    let permits = ZeroedSlice::<[AtomicU32; 4]>::of_array_map(map(), 64).unwrap();
    let permit = Permit { entry: 9, stamp: NonZeroU32::new(1).unwrap() };
    permits[9][0].store(1, Ordering::Release);
    let order = Order { target: into(&red), mtu: 1500, rewrite: None, permit: Some(permit) };
    node.carrier().insert(&udp_flow(&blue, &red), &order, node::GENERATION).unwrap();
    let talk = Talk::new(&blue, &red);
    assert!(talk.carries(b"granted"));
    permits[9][0].store(2, Ordering::Release);
    assert!(talk.loses(b"taken back"));
    assert_eq!(node.events(Event::Revoked), 1);
}

#[test]
fn a_forged_address_and_a_forged_number_are_the_forgers_own() {
    let test = "a_forged_address_and_a_forged_number_are_the_forgers_own";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[]);
    let talk = Talk::new(&blue, &red);
    node.decide(&udp_flow(&blue, &red), into(&red), into(&blue));
    assert!(talk.carries(b"honest"));
    // Blue's flow, from a green pod that bears blue's addresses.
    let green = node.pod("green", 1, 13);
    let mut links = green.links().unwrap();
    links.set_down("eth0").unwrap();
    links.set_mac("eth0", blue.mac).unwrap();
    links.set_up("eth0").unwrap();
    know(&green, &red);
    let forger = green.run(|| UdpSocket::bind((node::address(1), node::PORT)).unwrap()).unwrap();
    forger.send_to(b"forged", talk.red.local_addr().unwrap()).unwrap();
    assert_eq!(worker.next().0, 13, "it is green's, whatever it says");
    assert!(talk.carries(b"honest still"), "and red heard nothing of it");
    node::send_raw(&green, &tagged(&blue, &red, RED));
    let (number, _, rest) = worker.next();
    assert_eq!((number, &rest[..4]), (13, &[0x88, 0xa8, 0, RED as u8][..]), "its own tag is below its number");
}

/// A frame with an 802.1ad tag of its own.
fn tagged(blue: &Pod, red: &Pod, tci: u16) -> Vec<u8> {
    let mut frame = [red.mac, blue.mac].concat();
    frame.extend([0x88, 0xa8]);
    frame.extend(tci.to_be_bytes());
    frame.extend([0x88, 0xb5]);
    frame.resize(64, 0x55);
    frame
}

#[test]
fn what_is_too_long_for_its_target_goes_to_the_worker() {
    let test = "what_is_too_long_for_its_target_goes_to_the_worker";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[]);
    let talk = Talk::new(&blue, &red);
    let order = Order { target: into(&red), mtu: 1400, rewrite: None, permit: None };
    node.carrier().insert(&udp_flow(&blue, &red), &order, node::GENERATION).unwrap();
    assert!(talk.carries(&[1; 1372]));
    assert!(talk.loses(&[2; 1373]));
    assert_eq!((worker.next().0, node.events(Event::TooLong)), (BLUE, 1));
}

#[test]
fn the_host_is_reached_by_the_pods_own_link_and_by_one_of_its_own() {
    let test = "the_host_is_reached_by_the_pods_own_link_and_by_one_of_its_own";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let blue = node.pod("blue", 1, BLUE);
    let peer = VethPeer { name: "host-far", netns: None, mac: None };
    let own_mac = [2, 0, 0, 0, 1, 1];
    let links = node.lab.links();
    let own = links.veth(&Veth { name: "host", mtu: 1500, mac: Some(own_mac), queues: 1, peer }).unwrap();
    for end in ["host", "host-far"] {
        links.set_up(end).unwrap();
    }
    let rewrite = Rewrite { destination_mac: own_mac, source_mac: blue.mac, hop: false };
    let table = [(blue.host_ifindex, 101, None), (own, 102, Some(rewrite))];
    for (ifindex, host, rewrite) in table {
        let ip = node::address(host);
        node.lab.links().add_address(ifindex, ip.into(), 24).unwrap();
        blue.links().unwrap().add_neighbour("eth0", ip.into(), blue.host_mac).unwrap();
        let open = || UdpSocket::bind((ip, node::PORT)).unwrap();
        let talk = Talk {
            red: node.lab.switch().run(open).unwrap(),
            blue: blue.run(|| UdpSocket::bind((node::address(1), node::PORT)).unwrap()).unwrap(),
        };
        assert!(talk.loses(b"undecided"));
        let key = Key { destination_mac: blue.host_mac, destination: ip.into(), ..udp_flow(&blue, &blue) };
        let order = Order { target: Target::Host { ifindex }, mtu: 1500, rewrite, permit: None };
        node.carrier().insert(&key, &order, node::GENERATION).unwrap();
        assert!(talk.carries(b"host"), "by device {ifindex}");
        assert_eq!(node.carrier().counters(&key).unwrap().unwrap().packets, 1);
    }
}

#[test]
fn with_its_process_dead_decided_flows_go_on_others_are_refused_and_the_next_process_finds_all_of_it() {
    let test = "with_its_process_dead_decided_flows_go_on";
    if skip(test) {
        return;
    }
    for hook in [AskHook::Tcx, AskHook::Clsact] {
        let mut node = Node::new(test, true);
        let (blue, red) = (node.plain_pod("blue", 1), node.plain_pod("red", 2));
        know(&blue, &red);
        for (pod, number) in [(&blue, BLUE), (&red, RED)] {
            node.attach(pod.host_ifindex, &pod.host_ifname, Role::Pod, hook);
            node.seat(pod, number);
        }
        let (talk, key) = (Talk::new(&blue, &red), udp_flow(&blue, &red));
        node.decide(&key, into(&red), into(&blue));
        assert!(talk.goes_round(b"alive"));

        node.die();
        assert!(talk.goes_round(b"dead"), "{hook:?}");
        let stranger = Talk { blue: blue.run(|| UdpSocket::bind("10.7.0.1:0").unwrap()).unwrap(), ..talk };
        assert!(stranger.loses(b"new"), "a flow that nobody decided");

        let trunk = node.start();
        assert!(trunk.adopted);
        let carrier = node.carrier();
        assert_eq!((carrier.len(), carrier.seats().count(), carrier.generation().unwrap()), (2, 2, node::GENERATION));
        assert!(carrier.flows().unwrap().iter().any(|(found, ..)| *found == key));
        assert_eq!(carrier.counters(&key).unwrap().unwrap().packets, 2, "of both processes");
        for pod in [&blue, &red] {
            let hooked = node.attach(pod.host_ifindex, &pod.host_ifname, Role::Pod, hook);
            let expected = if hook == AskHook::Tcx { Hook::Tcx } else { Hook::Clsact };
            assert_eq!(hooked, Hooked { hook: expected, adopted: true });
        }
        assert_eq!(node.events(Event::NoFlow), 1, "what was refused is counted");

        // Red is not wanted any more.
        let (lab, trunk, blue_index) = (&node.lab, node.trunk.host_ifindex, blue.host_ifindex);
        let carrier = node.carrier.as_mut().unwrap();
        let swept = lab.switch().run(|| carrier.sweep(&[trunk, blue_index], &[BLUE]).unwrap()).unwrap();
        assert_eq!((swept, carrier.len(), carrier.devices().len()), ((1, 1), 1, 2));
        node.detach(blue_index);
        assert_eq!(node.carrier().devices(), [trunk]);
    }
}

#[test]
fn other_tc_programs_on_a_device_see_what_they_saw_and_stay() {
    use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
    use aya::programs::{SchedClassifier, TcAttachType};

    let test = "other_tc_programs_on_a_device_see_what_they_saw_and_stay";
    if skip(test) {
        return;
    }
    for classic in [false, true] {
        let mut node = Node::new(test, false);
        let (blue, red) = (node.plain_pod("blue", 1), node.pod("red", 2, RED));
        know(&blue, &red);
        let mut foreign = aya::Ebpf::load(aya::include_bytes_aligned!("../foreign/foreign.o")).unwrap();
        let program: &mut SchedClassifier = foreign.program_mut("foreign").unwrap().try_into().unwrap();
        program.load().unwrap();
        let attach = || {
            if classic {
                qdisc_add_clsact("blue").unwrap();
                let place = TcAttachOptions::Netlink(NlOptions::default());
                program.attach_with_options("blue", TcAttachType::Ingress, place).unwrap();
            } else {
                program.attach("blue", TcAttachType::Ingress).unwrap();
            }
        };
        node.lab.switch().run(attach).unwrap();
        let seen: aya::maps::Array<_, u64> = foreign.map("SEEN").unwrap().try_into().unwrap();

        let hooked = node.attach(blue.host_ifindex, "blue", Role::Pod, AskHook::Auto);
        assert_eq!(hooked.hook, if classic { Hook::Clsact } else { Hook::Tcx });
        node.seat(&blue, BLUE);
        node.decide(&udp_flow(&blue, &red), into(&red), into(&blue));
        let talk = Talk::new(&blue, &red);
        let before = seen.get(&0, 0).unwrap();
        assert!(talk.goes_round(b"both"));
        assert_eq!(seen.get(&0, 0).unwrap(), before + 1, "it was there first and sees blue's packets");

        node.detach(blue.host_ifindex);
        assert!(talk.loses(b"nobody carries"));
        assert_eq!(seen.get(&0, 0).unwrap(), before + 2, "and is there last");
    }
}
