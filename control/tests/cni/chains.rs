//! Lists of plugins: ours behind `bridge` and `ptp`, and before `portmap`, `bandwidth` and `tuning`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use podlane_api::PortState;
use podlane_host::{Links, Veth, VethPeer};
use serde_json::{Value, json};

use crate::kernel::{interface, links};
use crate::oracle::has_reference;
use crate::runtime::{Container, List, attachments, ours};
use crate::support::{BLUE, Daemon, Node, SOON, eventually, ping};

fn node(test: &str) -> Option<(Node, Daemon)> {
    let node = Node::new(test)?;
    if !has_reference(test) {
        return None;
    }
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    Some((node, daemon))
}

fn host_local(node: &Node) -> Value {
    json!({
        "type": "host-local", "dataDir": node.path("ipam"), "subnet": "10.1.0.0/24", "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0"}],
    })
}

fn address(result: &Value) -> IpAddr {
    result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap().0.parse().unwrap()
}

#[test]
fn behind_bridge_and_ptp_the_veth_becomes_a_port_and_goes_back() {
    let Some((node, daemon)) = node("cni_taken") else { return };
    let before = links(node.lab.switch());
    let mut maker = json!({"type": "bridge", "bridge": "cni0", "ipam": host_local(&node)});
    for kind in ["bridge", "ptp"] {
        maker["type"] = kind.into();
        let list = List::new(&node, "1.0.0", vec![maker.clone(), ours(&node)]);
        let pods = ["one", "two"].map(|name| Container::new(&format!("{kind}-{name}")));
        let results = pods.each_ref().map(|pod| list.add(pod, "eth0"));
        let ports = daemon.ports().ports;
        let devices: BTreeSet<_> = ports.iter().map(|port| port.device.clone().unwrap()).collect();
        let made = |result: &Value| {
            let ends = result["interfaces"].as_array().unwrap().iter();
            let mut ends = ends.filter(|end| end["sandbox"].as_str().unwrap_or_default().is_empty());
            ends.next_back().unwrap()["name"].as_str().unwrap().to_owned()
        };
        assert_eq!(devices, results.iter().map(made).collect(), "{kind}: the host ends are the ports' devices");
        assert!(ports.iter().all(|port| port.state == PortState::Up), "{ports:?}");
        if kind == "bridge" {
            let hosts = Links::open_in(node.lab.switch()).unwrap().list().unwrap();
            let members = hosts.iter().filter(|link| link.master.is_some()).count();
            assert_eq!(members, 0, "no host end is left in the bridge");
            assert!(ping(&pods[0].netns, address(&results[1]), SOON), "through the switch");
        }
        for (pod, result) in pods.iter().zip(&results) {
            // The bridge's own CHECK misses the MAC address that it had from its member.
            let said = list.call("CHECK", (pod, "eth0"), &list.plugins[1], Some(result));
            assert!(said.is_ok, "{kind}: {said:?}");
            list.del(pod, "eth0", result);
            eventually("the pod's end is gone", || interface(&pod.netns, "eth0").is_none());
        }
        eventually("no port is left", || daemon.ports().ports.is_empty());
    }
    let bridge: BTreeSet<String> = ["cni0".to_owned()].into();
    eventually("nothing but the bridge is left", || {
        links(node.lab.switch()).difference(&before).cloned().collect::<BTreeSet<_>>() == bridge
    });
    daemon.terminate();
}

#[test]
fn tuning_and_bandwidth_go_on_with_what_ours_made() {
    let Some((node, daemon)) = node("cni_behind") else { return };
    let tuning = json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "1234"}});
    let bandwidth = json!({"type": "bandwidth", "capabilities": {"bandwidth": true}});
    let mut list = List::new(&node, "1.0.0", vec![ours(&node), tuning, bandwidth]);
    list.runtime = json!({
        "bandwidth": {"ingressRate": 80_000_000, "ingressBurst": 80_000_000, "egressRate": 80_000_000, "egressBurst": 80_000_000}
    });
    let pod = Container::new("behind");
    let result = list.add(&pod, "eth0");
    let somaxconn = || std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert_eq!(pod.netns.run(somaxconn).unwrap().trim(), "1234");
    assert_eq!(result["ips"].as_array().unwrap().len(), 2, "{result}");
    list.del(&pod, "eth0", &result);
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}

#[test]
fn check_believes_what_tuning_made_of_the_interface_and_nobody_else() {
    let Some((node, daemon)) = node("cni_tuned") else { return };
    let tuning = json!({"type": "tuning", "mac": "02:00:00:00:00:77", "mtu": 1400});
    let list = List::new(&node, "1.0.0", vec![ours(&node), tuning]);
    let pod = Container::new("tuned");
    let result = list.add(&pod, "eth0");
    let inside = interface(&pod.netns, "eth0").unwrap();
    assert_eq!((inside.mac.as_str(), inside.mtu), ("02:00:00:00:00:77", 1400));
    let said = list.check(&pod, "eth0", &result);
    assert!(said.is_ok, "{said:?}");
    let mut links = Links::open_in(&pod.netns).unwrap();
    links.set_mtu("eth0", 1700).unwrap();
    links.set_mac("eth0", [2, 0, 0, 0, 0, 0x78]).unwrap();
    let said = list.call("CHECK", (&pod, "eth0"), &list.plugins[0], Some(&result));
    assert_eq!(said.code(), 101);
    assert!(said.details().contains("1700") && said.details().contains("02:00:00:00:00:77"), "{said:?}");
    list.del(&pod, "eth0", &result);
    daemon.terminate();
}

/// The way from the host to its pods: a veth whose one end is a port with `node = true`.
fn way_to_the_pods(node: &Node) {
    let mut host = Links::open_in(node.lab.switch()).unwrap();
    let peer = VethPeer { name: "pods", netns: Some(node.lab.switch().as_fd()), mac: None };
    host.veth(&Veth { name: "node", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    host.set_up("node").unwrap();
    host.set_up("pods").unwrap();
    host.add_address("pods", [10, 1, 0, 254].into(), 24).unwrap();
}

#[test]
fn a_host_port_reaches_the_pod_where_the_node_has_a_port_of_its_own() {
    let Some(node) = Node::new("cni_portmap") else { return };
    if !has_reference("cni_portmap") {
        return;
    }
    way_to_the_pods(&node);
    let own =
        "[[port]]\nname = \"node\"\ndevice = \"node\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.254\"]\nnode = true\n";
    node.configure(&format!("{BLUE}{own}{}", attachments(&node)));
    let daemon = node.start();
    daemon.wait_for("node", PortState::Up);
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true});
    let mut list = List::new(&node, "1.0.0", vec![ours(&node), portmap]);
    list.runtime = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let pod = Container::new("portmap");
    let result = list.add(&pod, "eth0");
    let server = pod.netns.run(|| TcpListener::bind((address(&result), 80))).unwrap().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(b"from the pod").unwrap();
    });
    let fetch = || {
        let mut stream = TcpStream::connect_timeout(&([10, 1, 0, 254], 8080).into(), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).map(|_| heard)
    };
    eventually("the host port answers", || {
        node.lab.switch().run(fetch).unwrap().is_ok_and(|heard| heard == "from the pod")
    });
    serving.join().unwrap();
    list.del(&pod, "eth0", &result);
    let refused = node.lab.switch().run(fetch).unwrap();
    assert!(refused.is_err(), "the mapping is gone: {refused:?}");
    daemon.terminate();
}
