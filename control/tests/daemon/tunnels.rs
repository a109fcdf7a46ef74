//! What an operator sees of the overlay, and moves: a real daemon, and beyond its cable a kernel's own `vxlan` device.

use std::net::Ipv4Addr;

use podlane_api::{MacAddr, NextHopState, Origin};
use podlane_host::lab::{Pod, PodSpec};
use podlane_host::{Feature, Vxlan, sysctl};
use serde::de::DeserializeOwned;

use crate::support::{Node, SOON, eventually, ping, podlane, spec};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);

/// A node with the pod `red` at 10.2.0.2, and the node `node2` at the other end of `up0`, whose host is at 10.2.0.9.
struct Ground {
    node: Node,
    red: Pod,
    /// What is kept so that it stays.
    _node2: Pod,
    /// The MAC address of the host on `node2`.
    mac: String,
}

impl Ground {
    fn new(test: &str) -> Option<Self> {
        let mut node = Node::new(test)?;
        let node2 = node.lab.pod(&PodSpec { ipv6: None, gateway_v6: None, ..spec("up0", 1, 9) }).unwrap();
        node2.run(|| sysctl("net/ipv6/conf/all/disable_ipv6", 1)).unwrap().unwrap();
        let mut links = node2.links().unwrap();
        let below = links.list().unwrap().into_iter().find(|link| link.name != "lo").unwrap().index;
        let vxlan = Vxlan { name: "vx7", vni: 7, local: THEIRS.into(), below: below.into(), udp_port: 4789, mtu: 1450 };
        let tunnel = links.vxlan(&vxlan).unwrap();
        links.add_flood_vtep(tunnel, OURS.into()).unwrap();
        links.add_address(tunnel, [10, 2, 0, 9].into(), 24).unwrap();
        links.set_up(tunnel).unwrap();
        let mac = MacAddr(links.by_index(tunnel).unwrap().mac.unwrap()).to_string();
        let red = node.lab.pod(&PodSpec { ipv6: None, gateway_v6: None, ..spec("red", 2, 2) }).unwrap();
        node.configure(
            "[underlay]\nvteps = [\"10.1.0.1/24\"]\nuplinks = [\"up0\"]\n\
             [[peer]]\nname = \"node2\"\nvtep = \"10.1.0.9\"\n[[peer]]\nname = \"node3\"\nvtep = \"10.1.0.33\"\n\
             [[network]]\nname = \"blue\"\nvni = 7\ngateways = [\"10.2.0.1/24\"]\n\
             [[port]]\nname = \"up0\"\ndevice = \"up0\"\nkind = \"uplink\"\n\
             [[port]]\nname = \"red\"\ndevice = \"red\"\nnetwork = \"blue\"\nmac = \"02:00:00:00:02:02\"\n\
             addresses = [\"10.2.0.2\"]\n",
        );
        Some(Self { node, red, _node2: node2, mac })
    }

    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        serde_json::from_str(&self.node.cli(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn endpoint(&self, verb: &str, generation: &str, rest: &[&str]) -> std::process::Output {
        let which = ["endpoint", verb, "--network", "blue", "--mac", &self.mac, "--generation", generation, "--socket"];
        podlane().args(which).arg(self.node.socket()).args(rest).output().unwrap()
    }

    fn next_hop(&self, peer: &str) -> Option<NextHopState> {
        let tunnels: podlane_api::Tunnels = self.json(&["tunnels"]);
        let tunnel = tunnels.tunnels.into_iter().find(|tunnel| tunnel.peer == peer)?;
        tunnel.next_hops.first().map(|hop| hop.state)
    }
}

#[test]
fn an_endpoint_is_set_seen_and_removed_while_packets_pass() {
    let Some(ground) = Ground::new("an_endpoint_is_set_seen") else { return };
    let daemon = ground.node.start();
    daemon.wait_all_up(SOON);
    let at_node2 = ["--peer", "node2", "--address", "10.2.0.9"];
    let set = ground.endpoint("set", "3", &at_node2);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    assert!(ping(&ground.red.netns, [10, 2, 0, 9], SOON), "{}\n{}", ground.node.cli(&["tunnels"]), daemon.log());
    assert_tunnels(&ground);
    assert_neighbours(&ground);
    let flows: podlane_api::Flows = ground.json(&["flows"]);
    let into = |flow: &podlane_api::Flow| {
        flow.out_tunnel.as_ref().is_some_and(|into| (into.peer.as_str(), into.vni) == ("node2", 7))
    };
    assert!(flows.flows.iter().any(|flow| into(flow) && flow.out_port.as_deref() == Some("up0")), "{flows:?}");
    assert!(flows.flows.iter().any(|flow| flow.in_tunnel.is_some() && flow.network == "blue"), "{flows:?}");
    assert_eq!(daemon.ports().underlay, ["up0"]);
    let status = daemon.status();
    assert_eq!(
        (status.networks[0].vni, status.networks[0].pod_mtu, status.networks[0].mtu),
        (Some(7), Some(1450), 1450)
    );

    let older = ground.endpoint("set", "2", &at_node2);
    assert_eq!(older.status.code(), Some(1));
    let told = String::from_utf8_lossy(&older.stderr).into_owned();
    assert!(told.contains("generation 2") && told.contains("is not newer than 3"), "{told}");
    assert_eq!(ground.endpoint("remove", "2", &[]).status.code(), Some(1));
    assert_eq!(ground.json::<podlane_api::Endpoints>(&["endpoint", "list"]).endpoints.len(), 1);
    assert!(ground.endpoint("remove", "3", &[]).status.success());
    assert!(ground.json::<podlane_api::Endpoints>(&["endpoint", "list"]).endpoints.is_empty());
    assert_eq!(ground.json::<podlane_api::Tunnels>(&["tunnels"]).tunnels[0].stated, 0);
    daemon.counters();
    daemon.terminate();
    ground.node.assert_clean(&["red", "up0"]);
}

#[test]
fn an_uplink_of_tagged_tunnels_leaves_the_tags_in() {
    let Some(mut node) = Node::new("an_uplink_of_tagged_tunnels") else { return };
    let _node2 = node.lab.pod(&PodSpec { ipv6: None, gateway_v6: None, ..spec("up0", 1, 9) }).unwrap();
    assert!(node.lab.links().features("up0").unwrap().is_on(Feature::RxVlan));
    node.configure(
        "[underlay]\nvteps = [\"10.1.0.1/24\"]\nuplinks = [\"up0\"]\nvlan = 30\n\
         [[port]]\nname = \"up0\"\ndevice = \"up0\"\nkind = \"uplink\"\n",
    );
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(!node.lab.links().features("up0").unwrap().is_on(Feature::RxVlan), "{}", daemon.log());
    assert!(daemon.status().warnings.is_empty(), "{:?}", daemon.status().warnings);
    daemon.terminate();
    node.assert_clean(&["up0"]);
}

fn assert_tunnels(ground: &Ground) {
    let claimed =
        || ground.json::<podlane_api::Tunnels>(&["tunnels"]).uplinks[0].judged.is_some_and(|of| of.claimed > 0);
    eventually("it shows what the uplink's program claimed", claimed);
    let silent = || ground.next_hop("node3") == Some(NextHopState::Silent);
    eventually("node3 is silent", silent);
    assert_eq!(ground.next_hop("node2"), Some(NextHopState::Reachable));
    let tunnels: podlane_api::Tunnels = ground.json(&["tunnels"]);
    let node2 = &tunnels.tunnels[0];
    assert_eq!((node2.peer.as_str(), node2.network.as_str(), node2.vni), ("node2", "blue", 7));
    assert_eq!((node2.mtu, node2.inner_mtu, node2.local_vtep_shared), (Some(1500), Some(1450), false));
    assert_eq!((node2.stated, tunnels.tunnels[1].stated), (1, 0));
    assert!(node2.received.packets > 0 && node2.sent.packets > 0, "{node2:?}");
    assert_eq!((tunnels.received, tunnels.sent), (node2.received, node2.sent));
    assert_eq!(tunnels.uplinks.len(), 1);
    assert!(tunnels.uplinks[0].mac.is_some() && tunnels.uplinks[0].sent.packets > node2.sent.packets, "{tunnels:?}");
}

fn assert_neighbours(ground: &Ground) {
    let all: podlane_api::Neighbours = ground.json(&["neighbours"]);
    assert_eq!(all.next_hops.len(), 2, "{all:?}");
    let on_node2: podlane_api::Neighbours = ground.json(&["neighbours", "--peer", "node2"]);
    let [station] = on_node2.stations.as_slice() else { panic!("{on_node2:?}") };
    assert_eq!(
        (station.mac.to_string(), station.generation, station.origin),
        (ground.mac.clone(), Some(3), Origin::Stated)
    );
    assert_eq!(on_node2.next_hops.len(), 1);
    let here: podlane_api::Neighbours = ground.json(&["neighbours", "--port", "red", "--network", "blue"]);
    assert_eq!((here.matched, here.next_hops.len()), (1, 0), "{here:?}");
}
