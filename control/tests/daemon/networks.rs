//! Networks as an operator plans them: trunks, routes, tenants that do not meet, tenants that do, jumbo frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use podlane_host::lab::{Pod, PodSpec};
use podlane_host::{Veth, VethPeer};

use crate::support::{Node, SOON, ping, ping_sized, spec, tcp, udp};

/// How long a ping that should fail is given.
const NEVER: Duration = Duration::from_millis(300);

fn v4(network: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(10, network, 0, host).into()
}

fn v6(network: u8, host: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, network.into(), 0, 0, 0, 0, 0, host.into()).into()
}

fn port(name: &str, network: &str) -> String {
    format!("[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"{network}\"\n")
}

/// A network with the gateways of 10.`subnet`.0.0/24 and fd00:`subnet`::/64.
fn network(name: &str, subnet: u8, keys: &str) -> String {
    format!("[[network]]\nname = \"{name}\"\ngateways = [\"10.{subnet}.0.1/24\", \"fd00:{subnet}::1/64\"]\n{keys}")
}

/// Everything that pods say to each other, over IPv4 and IPv6.
fn assert_talk(from: &Pod, to: &Pod, subnet: u8, host: u8) {
    for address in [v4(subnet, host), v6(subnet, host)] {
        assert!(ping(&from.netns, address, SOON), "{} to {address}", from.spec.name);
        udp(&from.netns, &to.netns, address, 1200);
        tcp(&from.netns, &to.netns, address, 300_000);
    }
}

#[test]
fn two_networks_cross_one_trunk_and_do_not_meet() {
    let Some(mut node) = Node::new("two_networks_cross_one_trunk") else { return };
    // Two switches in one: what leaves by the trunk `near` comes in by the trunk `far`, with the tags on the wire.
    let wire =
        Veth { name: "near", mtu: 1500, mac: None, queues: 1, peer: VethPeer { name: "far", netns: None, mac: None } };
    node.lab.links().veth(&wire).unwrap();
    for end in ["near", "far"] {
        node.lab.links().set_up(end).unwrap();
    }
    // The same addresses in both VLANs.
    let pods = [("red", 2), ("red2", 3), ("green", 2), ("green2", 3)];
    let [red, red2, green, green2] = pods.map(|(name, host)| node.lab.pod(&spec(name, 1, host)).unwrap());
    let names = ["blue", "blue-far", "grey", "grey-far"];
    let networks: String = names.map(|name| format!("[[network]]\nname = \"{name}\"\n")).concat();
    let access = [("red", "blue"), ("red2", "blue-far"), ("green", "grey"), ("green2", "grey-far")];
    let access: String = access.map(|(name, network)| port(name, network)).concat();
    let trunk = |name, [ten, twenty]: [&str; 2]| {
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nkind = \"uplink\"\nvlans = {{ 10 = \"{ten}\", 20 = \"{twenty}\" }}\n"
        )
    };
    let (near, far) = (trunk("near", ["blue", "grey"]), trunk("far", ["blue-far", "grey-far"]));
    node.configure(&format!("{networks}{access}{near}{far}"));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert_talk(&red, &red2, 1, 3);
    assert_talk(&green2, &green, 1, 2);

    // Were the two VLANs one, the other pod of that address would answer.
    red2.remove().unwrap();
    assert!(!ping(&red.netns, v4(1, 3), NEVER));
    assert!(ping(&green.netns, v4(1, 3), SOON));
    let counters = daemon.counters();
    assert!(!counters.total.dropped.contains_key("vlan_not_allowed"), "{counters:?}");
    drop(green2);
    daemon.terminate();
    node.assert_clean(&["red", "green", "near", "far"]);
}

#[test]
fn the_same_subnet_twice_is_two_worlds() {
    let Some(mut node) = Node::new("the_same_subnet_twice") else { return };
    let pods = [("red", 2), ("red2", 3), ("green", 2), ("green2", 3)];
    let [red, red2, green, green2] = pods.map(|(name, host)| node.lab.pod(&spec(name, 1, host)).unwrap());
    let networks = network("blue", 1, "") + &network("grey", 1, "");
    let ports = [("red", "blue"), ("red2", "blue"), ("green", "grey"), ("green2", "grey")];
    node.configure(&format!("{networks}{}", ports.map(|(name, network)| port(name, network)).concat()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert_talk(&red, &red2, 1, 3);
    assert_talk(&green, &green2, 1, 3);
    red2.remove().unwrap();
    assert!(!ping(&red.netns, v4(1, 3), NEVER) && !ping(&red.netns, v6(1, 3), NEVER));
    assert_talk(&green, &green2, 1, 3);
    daemon.counters();
    daemon.terminate();
}

#[test]
fn networks_of_one_vrf_are_routed_and_of_two_are_not() {
    let Some(mut node) = Node::new("networks_of_one_vrf_are_routed") else { return };
    let pods = [("red", 1), ("green", 2), ("grey", 3)];
    let [red, green, grey] = pods.map(|(name, subnet)| node.lab.pod(&spec(name, subnet, 2)).unwrap());
    let tenant = "vrf = \"tenant\"\n";
    let networks = network("one", 1, tenant) + &network("two", 2, tenant) + &network("three", 3, "");
    let ports = [("red", "one"), ("green", "two"), ("grey", "three")];
    node.configure(&format!("{networks}{}", ports.map(|(name, network)| port(name, network)).concat()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert_talk(&red, &green, 2, 2);
    assert_talk(&green, &red, 1, 2);
    assert!(ping(&grey.netns, v4(3, 1), SOON), "its own gateway answers");
    assert!(!ping(&red.netns, v4(3, 2), NEVER) && !ping(&red.netns, v6(3, 2), NEVER));
    assert!(daemon.counters().total.dropped["no_route"] > 0);
    daemon.terminate();
}

#[test]
fn two_workers_share_ports_and_queues() {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [first, second, ..] = cores.as_slice() else { return };
    let Some(mut node) = Node::new("two_workers_share_ports") else { return };
    let pods = [("red", 2, 1), ("green", 3, 1), ("grey", 4, 2), ("white", 5, 2)];
    let mut pod = |(name, host, queues)| node.lab.pod(&PodSpec { queues, ..spec(name, 1, host) }).unwrap();
    let [red, green, grey, white] = pods.map(&mut pod);
    let ports: String = pods.map(|(name, ..)| port(name, "blue")).concat();
    let workers = format!("cores = [{}, {}]\nframes = 8192\n", first.id, second.id);
    node.configure_with(&workers, &format!("{}{ports}", network("blue", 1, "")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert_eq!((daemon.port("red").queues, daemon.port("white").queues), (1, 2));
    assert_talk(&red, &green, 1, 3);
    assert_talk(&green, &grey, 1, 4);
    assert_talk(&grey, &white, 1, 5);
    assert_talk(&white, &red, 1, 2);
    assert!(daemon.status().workers.iter().all(|worker| worker.packets > 0), "{:?}", daemon.status().workers);
    grey.remove().unwrap();
    daemon.wait_for("grey", podlane_api::PortState::Gone);
    assert_talk(&green, &white, 1, 5);
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green", "white"]);
}

#[test]
fn a_route_leads_through_a_pod() {
    let Some(mut node) = Node::new("a_route_leads_through_a_pod") else { return };
    let (red, router) = (node.pod("red", 2), node.pod("router", 9));
    for beyond in [v4(50, 7), v6(0x50, 7)] {
        let prefix = if beyond.is_ipv4() { 32 } else { 128 };
        router.links().unwrap().add_address("lo", beyond, prefix).unwrap();
    }
    let routes = "[[route]]\nnetwork = \"blue\"\nprefix = \"10.50.0.0/16\"\nvia = \"10.1.0.9\"\n\
                  [[route]]\nnetwork = \"blue\"\nprefix = \"fd00:50::/48\"\nvia = \"fd00:1::9\"\n\
                  [[route]]\nvrf = \"blue\"\nprefix = \"10.51.0.0/16\"\ndiscard = true\n";
    node.configure(&format!("{}{}{}{routes}", network("blue", 1, ""), port("red", "blue"), port("router", "blue")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    for beyond in [v4(50, 7), v6(0x50, 7)] {
        assert!(ping(&red.netns, beyond, SOON), "{beyond}");
        tcp(&red.netns, &router.netns, beyond, 300_000);
    }
    assert!(!ping(&red.netns, v4(51, 1), NEVER));
    assert!(daemon.counters().total.dropped["blackhole"] > 0);
    daemon.terminate();
}

fn jumbo(test: &str, frame_bytes: u32) {
    let Some(mut node) = Node::new(test) else { return };
    let mut pod = |name, subnet, mtu| node.lab.pod(&PodSpec { mtu, ..spec(name, subnet, 2) }).unwrap();
    let (red, plain) = (pod("red", 1, 9000), pod("plain", 2, 1500));
    let green = node.lab.pod(&PodSpec { mtu: 9000, ..spec("green", 1, 3) }).unwrap();
    let networks = network("one", 1, "vrf = \"t\"\nmtu = 9000\n") + &network("two", 2, "vrf = \"t\"\n");
    let ports = [("red", "one"), ("green", "one"), ("plain", "two")];
    let workers = format!("cores = [{}]\nframes = 16384\nframe_bytes = {frame_bytes}\n", Node::core());
    node.configure_with(&workers, &format!("{networks}{}", ports.map(|(name, network)| port(name, network)).concat()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert_eq!(daemon.port("red").mtu, Some(9000));
    for address in [v4(1, 3), v6(1, 3)] {
        assert!(ping_sized(&red.netns, address, 8900, SOON), "{address}");
        udp(&red.netns, &green.netns, address, 8900);
        tcp(&red.netns, &green.netns, address, 4 << 20);
    }
    // To a network of smaller packets, TCP finds its size.
    for address in [v4(2, 2), v6(2, 2)] {
        tcp(&red.netns, &plain.netns, address, 1 << 20);
    }
    daemon.counters();
    daemon.terminate();
}

#[test]
fn jumbo_packets_span_small_frames() {
    jumbo("jumbo_packets_span_small_frames", 2048);
}

#[test]
fn jumbo_packets_span_large_frames() {
    jumbo("jumbo_packets_span_large_frames", 4096);
}
