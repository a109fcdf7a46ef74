//! The NIC is the host's: its connections and its neighbours work beside tunnels, while a daemon dies, and when the NIC is another.

use std::net::IpAddr;
use std::time::Duration;

use podlane_api::PortState;
use podlane_host::Netns;

use crate::ground::{End, Family, Pair, Plan, V4, V6, cable, nodes};
use crate::support::{SOON, Stream, eventually, ping, tcp};

/// Has both hosts forget the other, as `ip neigh flush` would.
fn forget_each_other(hosts: [&Netns; 2], addresses: [IpAddr; 2]) {
    for (host, other) in [(hosts[0], addresses[1]), (hosts[1], addresses[0])] {
        // It may be forgotten already.
        let _ = End(host, "up0").links().remove_neighbour("up0", other);
    }
}

/// Pods talk over the hosts' NIC, and so do the hosts, whose addresses are `hosts` of the underlay. `keys` are more of `[underlay]`.
fn hosts_talk_beside_tunnels(test: &str, family: Family, hosts: [u8; 2], keys: &str) {
    let Some(nodes) = nodes(test) else { return };
    cable(End(nodes[0].lab.switch(), "up0"), End(nodes[1].lab.switch(), "up0"), family, 1500);
    for (node, host) in nodes.iter().zip(hosts) {
        End(node.lab.switch(), "up0").address(family, 1, host);
    }
    let keys = [keys, keys].map(str::to_owned);
    let pair = Pair::start(nodes, &Plan { keys, ..Plan::new(family, [(1, 1), (1, 2)]) });
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON), "{}", pair.daemons[0].log());
    let stream = Stream::start(pair.pod(0), pair.pod(1), [10, 1, 0, 3]);
    let (ends, addresses) = ([pair.host(0), pair.host(1)], hosts.map(|host| family.address(1, host)));
    for _ in 0..10 {
        forget_each_other(ends, addresses);
        tcp(ends[0], ends[1], addresses[1], 64 << 10);
        forget_each_other(ends, addresses);
        tcp(ends[1], ends[0], addresses[0], 64 << 10);
        assert!(ping(ends[0], addresses[1], SOON));
        stream.flows();
    }
    // One long connection, with its neighbour lost under way.
    std::thread::scope(|scope| {
        let long = scope.spawn(|| tcp(ends[1], ends[0], addresses[0], 8 << 20));
        while !long.is_finished() {
            forget_each_other(ends, addresses);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    stream.flows();
    let shared = hosts == [1, 2];
    for node in &pair.nodes {
        assert!(node.cli(&["tunnels", "--json"]).contains(&format!("\"local_vtep_shared\":{shared}")));
    }
    for daemon in &pair.daemons {
        assert!(!daemon.counters().total.dropped.contains_key("not_tunnelled"));
    }
    drop(stream);
    pair.end();
}

#[test]
fn hosts_talk_beside_tunnels_from_the_same_ipv4_address() {
    hosts_talk_beside_tunnels("hosts_v4", V4, [1, 2], "");
}

#[test]
fn hosts_talk_beside_tunnels_from_the_same_ipv6_address() {
    hosts_talk_beside_tunnels("hosts_v6", V6, [1, 2], "");
}

#[test]
fn hosts_talk_beside_tunnels_from_other_ipv4_addresses() {
    hosts_talk_beside_tunnels("hosts_own_v4", V4, [11, 12], "");
}

#[test]
fn hosts_talk_beside_tunnels_from_other_ipv6_addresses() {
    hosts_talk_beside_tunnels("hosts_own_v6", V6, [11, 12], "");
}

#[test]
fn hosts_talk_untagged_beside_tunnels_in_a_vlan() {
    hosts_talk_beside_tunnels("hosts_vlan_v4", V4, [11, 12], "vlan = 30\n");
    hosts_talk_beside_tunnels("hosts_vlan_v6", V6, [11, 12], "vlan = 30\n");
}

#[test]
fn a_killed_daemon_leaves_the_host_reachable_and_a_new_one_goes_on() {
    let Some(nodes) = nodes("hosts_killed") else { return };
    cable(End(nodes[0].lab.switch(), "up0"), End(nodes[1].lab.switch(), "up0"), V4, 1500);
    for (node, host) in nodes.iter().zip([1, 2]) {
        End(node.lab.switch(), "up0").address(V4, 1, host);
    }
    let Pair { nodes, pods, daemons: [near, far] } = Pair::start(nodes, &Plan::new(V4, [(1, 1), (1, 2)]));
    assert!(ping(&pods[0].netns, [10, 1, 0, 3], SOON), "{}", near.log());
    let stream = Stream::start(&pods[0].netns, &pods[1].netns, [10, 1, 0, 3]);
    stream.flows();
    let [here, there] = [0, 1].map(|number: usize| nodes[number].lab.switch());
    std::thread::scope(|scope| {
        // Under way when the daemon dies.
        let connection = scope.spawn(|| tcp(here, there, V4.address(1, 2), 64 << 20));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!connection.is_finished());
        far.kill();
    });
    for _ in 0..3 {
        forget_each_other([here, there], [V4.address(1, 1), V4.address(1, 2)]);
        tcp(here, there, V4.address(1, 2), 1 << 20);
        tcp(there, here, V4.address(1, 1), 1 << 20);
    }
    let lost = stream.heard();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(stream.heard(), lost, "nobody opens tunnels");
    let far = nodes[1].start();
    far.wait_all_up(SOON);
    stream.flows();
    assert!(ping(&pods[1].netns, [10, 1, 0, 2], SOON), "{}", far.log());

    End(there, "up0").links().delete("up0").unwrap();
    for daemon in [&near, &far] {
        eventually("the uplink is gone", || daemon.port("up0").state == PortState::Gone);
    }
    cable(End(here, "up0"), End(there, "up0"), V4, 1500);
    for (netns, host) in [(here, 1), (there, 2)] {
        End(netns, "up0").address(V4, 1, host);
    }
    far.wait_for("up0", PortState::Up);
    near.wait_for("up0", PortState::Up);
    stream.flows();
    assert!(ping(&pods[1].netns, [10, 1, 0, 2], SOON));
    tcp(here, there, V4.address(1, 2), 1 << 20);
    drop(stream);
    Pair { nodes, pods, daemons: [near, far] }.end();
}
