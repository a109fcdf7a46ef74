//! Two nodes and a cable: pods of one network on both, and hosts that go on using the cable as if Podlane were not there.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use podlane_host::lab::Pod;
use podlane_host::{Netns, Veth, VethPeer, sysctl};

use crate::support::{Daemon, Node, SOON, Stream, eventually, ping, tcp, udp};

/// What an underlay is made of.
#[derive(Clone, Copy)]
struct Cable {
    /// The nodes' addresses.
    vteps: [&'static str; 2],
    prefix: u8,
    /// Whether the hosts have them too.
    hosts: bool,
    /// Whether the pod of the second node is on the first one as well, and there the newer.
    guest: bool,
    /// More keys under `[underlay]`.
    keys: &'static str,
}

const IPV4: Cable = Cable { vteps: ["192.0.2.1", "192.0.2.2"], prefix: 24, hosts: true, guest: false, keys: "" };
const IPV6: Cable =
    Cable { vteps: ["2001:db8::1", "2001:db8::2"], prefix: 64, keys: "encapsulation = \"geneve\"\n", ..IPV4 };

impl Cable {
    fn vtep(&self, node: usize) -> IpAddr {
        self.vteps[node].parse().unwrap()
    }
}

/// Two nodes, a pod on each, and the cable between them.
struct Pair {
    nodes: [Node; 2],
    pods: [Pod; 2],
    guest: Option<Pod>,
    daemons: [Daemon; 2],
}

/// The last octets of the pods' addresses.
const HOSTS: [u8; 2] = [2, 3];

impl Pair {
    /// None where the host cannot have one, which is then said on standard error.
    fn new(test: &str, cable: &Cable) -> Option<Self> {
        let mut near = Node::new(&format!("{test}-1"))?;
        let mut far = near.beside(&format!("{test}-2"));
        connect(&mut near, &mut far);
        let mut nodes = [near, far];
        for (number, node) in nodes.iter_mut().enumerate() {
            let ipv6_off = u8::from(!cable.vtep(0).is_ipv6());
            let settle = || {
                sysctl("net/ipv6/conf/up0/accept_dad", 0).unwrap();
                sysctl("net/ipv6/conf/up0/disable_ipv6", ipv6_off).unwrap();
            };
            node.lab.switch().run(settle).unwrap();
            if cable.hosts {
                node.lab.links().add_address("up0", cable.vtep(number), cable.prefix).unwrap();
            }
        }
        let pods = [0, 1].map(|number| nodes[number].pod("pod", HOSTS[number]));
        let guest = cable.guest.then(|| nodes[0].pod("guest", HOSTS[1]));
        for (number, node) in nodes.iter().enumerate() {
            node.configure(&configuration(cable, number));
        }
        let daemons = [0, 1].map(|number: usize| nodes[number].start());
        for daemon in &daemons {
            daemon.wait_all_up(SOON);
        }
        Some(Self { nodes, pods, guest, daemons })
    }

    fn pod(&self, number: usize) -> &Netns {
        &self.pods[number].netns
    }

    /// Ends all, and looks whether anything is left.
    fn end(self) {
        for daemon in &self.daemons {
            daemon.counters();
        }
        for (daemon, node) in self.daemons.into_iter().zip(&self.nodes) {
            daemon.terminate();
            node.assert_clean(&["pod", "up0"]);
        }
    }
}

/// A veth between two nodes, `up0` on both.
fn connect(near: &mut Node, far: &mut Node) {
    let peer = VethPeer { name: "up0", netns: Some(far.lab.switch().as_fd()), mac: None };
    near.lab.links().veth(&Veth { name: "up0", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    near.lab.links().set_up("up0").unwrap();
    far.lab.links().set_up("up0").unwrap();
}

fn configuration(cable: &Cable, number: usize) -> String {
    let (own, other) = (HOSTS[number], HOSTS[1 - number]);
    let Cable { vteps, prefix, keys, .. } = cable;
    let guest = match cable.guest && number == 0 {
        true => format!(
            "[[port]]\nname = \"guest\"\ndevice = \"guest\"\nnetwork = \"blue\"\nmac = \"02:00:00:00:01:0{other}\"\n\
             addresses = [\"10.1.0.{other}\", \"fd00:1::{other}\"]\ngeneration = 5\n"
        ),
        false => String::new(),
    };
    format!(
        "[underlay]\nvteps = [\"{}/{prefix}\"]\nuplinks = [\"up0\"]\n{keys}\
         [[peer]]\nname = \"other\"\nvtep = \"{}\"\n\
         [[network]]\nname = \"blue\"\nvni = 7\ngateways = [\"10.1.0.1/24\", \"fd00:1::1/64\"]\n\
         [[port]]\nname = \"up0\"\ndevice = \"up0\"\nkind = \"uplink\"\n\
         [[port]]\nname = \"pod\"\ndevice = \"pod\"\nnetwork = \"blue\"\nmac = \"02:00:00:00:01:0{own}\"\n\
         addresses = [\"10.1.0.{own}\", \"fd00:1::{own}\"]\n\
         [[endpoint]]\nnetwork = \"blue\"\nmac = \"02:00:00:00:01:0{other}\"\n\
         addresses = [\"10.1.0.{other}\", \"fd00:1::{other}\"]\npeer = \"other\"\n{guest}",
        vteps[number],
        vteps[1 - number],
    )
}

fn pods_and_hosts_reach_each_other(test: &str, cable: &Cable) {
    let Some(pair) = Pair::new(test, cable) else { return };
    let ipv6: IpAddr = "fd00:1::3".parse().unwrap();
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON), "{}", pair.daemons[0].log());
    assert!(ping(pair.pod(1), [10, 1, 0, 2], SOON) && ping(pair.pod(0), ipv6, SOON));
    udp(pair.pod(0), pair.pod(1), [10, 1, 0, 3], 1_000);
    // What the pods say is too long for the cable at first: they are told, and go on.
    std::thread::scope(|scope| {
        scope.spawn(|| tcp(pair.pod(0), pair.pod(1), [10, 1, 0, 3], 4 << 20));
        scope.spawn(|| tcp(pair.pod(0), pair.pod(1), ipv6, 4 << 20));
        if cable.hosts {
            let (near, far) = (pair.nodes[0].lab.switch(), pair.nodes[1].lab.switch());
            scope.spawn(|| tcp(far, near, cable.vtep(0), 4 << 20));
        }
    });
    assert!(pair.daemons[0].port("up0").sent.packets > 0);
    pair.end();
}

#[test]
fn two_nodes_share_a_network_over_ipv4_and_the_hosts_keep_their_cable() {
    pods_and_hosts_reach_each_other("overlay_ipv4", &IPV4);
}

#[test]
fn two_nodes_share_a_network_over_ipv6_in_geneve_and_the_hosts_keep_their_cable() {
    pods_and_hosts_reach_each_other("overlay_ipv6", &IPV6);
}

#[test]
fn two_nodes_share_a_network_where_the_addresses_are_the_switches_alone() {
    pods_and_hosts_reach_each_other("overlay_own", &Cable { hosts: false, ..IPV4 });
}

#[test]
fn an_address_that_becomes_the_hosts_too_is_shared_from_then_on() {
    let cable = Cable { hosts: false, ..IPV4 };
    let Some(mut pair) = Pair::new("overlay_shared", &cable) else { return };
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    for (number, node) in pair.nodes.iter_mut().enumerate() {
        node.lab.links().add_address("up0", cable.vtep(number), cable.prefix).unwrap();
    }
    for daemon in &pair.daemons {
        eventually("the address is noticed", || {
            daemon.logged(&["addresses of ours that the host has too", "192.0.2."])
        });
    }
    let (near, far) = (pair.nodes[0].lab.switch(), pair.nodes[1].lab.switch());
    tcp(far, near, cable.vtep(0), 1 << 20);
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    pair.end();
}

#[test]
fn a_smaller_cable_is_followed_and_a_lost_one_is_told() {
    let Some(mut pair) = Pair::new("overlay_mtu", &IPV4) else { return };
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    let blue = |pair: &Pair| pair.daemons[0].status().networks.into_iter().find(|network| network.name == "blue");
    assert_eq!(blue(&pair).unwrap().mtu, 1_450);
    for node in &mut pair.nodes {
        node.lab.links().set_mtu("up0", 1_400).unwrap();
    }
    eventually("the MTU is taken over", || blue(&pair).unwrap().mtu == 1_350);
    tcp(pair.pod(0), pair.pod(1), [10, 1, 0, 3], 1 << 20);

    pair.nodes[0].lab.links().delete("up0").unwrap();
    eventually("the uplink is gone", || pair.daemons[0].port("up0").state == podlane_api::PortState::Gone);
    assert!(!ping(pair.pod(0), [10, 1, 0, 3], Duration::from_millis(300)));
    assert!(pair.daemons[0].port("pod").dropped.contains_key("underlay_unresolved"));
    let [near, far] = &mut pair.nodes;
    connect(near, far);
    for (number, node) in pair.nodes.iter_mut().enumerate() {
        node.lab.links().add_address("up0", IPV4.vtep(number), IPV4.prefix).unwrap();
    }
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON), "{}", pair.daemons[0].log());
    pair.end();
}

#[test]
fn a_pod_that_moved_is_reached_at_its_new_place_and_no_more_at_its_old_one() {
    let Some(pair) = Pair::new("overlay_move", &Cable { guest: true, ..IPV4 }) else { return };
    let (pod, old, new) = (pair.pod(0), &pair.guest.as_ref().unwrap().netns, pair.pod(1));
    udp(pod, old, [10, 1, 0, 3], 100);
    let endpoint = |verb: &str, generation: &str| {
        let mut arguments = vec!["endpoint", verb, "--network", "blue", "--mac", "02:00:00:00:01:03"];
        if verb == "set" {
            arguments.extend(["--address", "10.1.0.3", "--peer", "other"]);
        }
        arguments.extend(["--generation", generation]);
        pair.nodes[0].cli(&arguments);
    };
    let stream = Stream::start(pod, old, [10, 1, 0, 3]);
    stream.flows();
    endpoint("set", "6");
    // What was under way when the change was asked for has arrived.
    std::thread::sleep(Duration::from_millis(100));
    let heard = stream.heard();
    udp(pod, new, [10, 1, 0, 3], 100);
    assert_eq!(stream.heard(), heard, "the old place hears nothing");
    endpoint("remove", "7");
    stream.flows();
    drop(stream);
    pair.end();
}
