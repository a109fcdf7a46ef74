//! A pod in two networks, as Multus has them attached: one configuration after the other, each with an interface of its own.

use std::net::IpAddr;

use crate::kernel::interface;
use crate::runtime::{Container, List, attachments, ours};
use crate::support::{BLUE, Node, SOON, eventually, ping};

const GREEN: &str = "[[network]]\nname = \"green\"\ngateways = [\"10.2.0.1/24\"]\n";

#[test]
fn a_pod_in_two_networks_has_one_default_route_and_reaches_both() {
    let Some(node) = Node::new("cni_networks") else { return };
    node.configure(&format!("{BLUE}{GREEN}{}", attachments(&node)));
    let daemon = node.start();
    let first = List::new(&node, "1.0.0", vec![ours(&node)]);
    let mut second = List::new(&node, "1.0.0", vec![ours(&node)]);
    second.name = "storage";
    second.plugins[0]["network"] = "green".into();
    let pods = ["near", "far"].map(Container::new);
    let blue = pods.each_ref().map(|pod| first.add(pod, "eth0"));

    // The kernel has one default route, and it is taken.
    let refused = second.try_add(&pods[0], "net1");
    assert_eq!(refused.code(), 104);
    assert_eq!(interface(&pods[0].netns, "net1"), None, "nothing of it is left");

    second.plugins[0]["defaultRoute"] = false.into();
    let green = pods.each_ref().map(|pod| second.add(pod, "net1"));
    let [eth0, net1] = ["eth0", "net1"].map(|name| interface(&pods[0].netns, name).unwrap());
    assert!(eth0.routes.contains("default via 10.1.0.1"), "{eth0:?}");
    assert!(net1.routes.iter().all(|route| !route.starts_with("default")), "{net1:?}");
    for result in [&blue[1], &green[1]] {
        let other: IpAddr = result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap().0.parse().unwrap();
        assert!(ping(&pods[0].netns, other, SOON), "{other}");
    }
    for (pod, (blue, green)) in pods.iter().zip(blue.iter().zip(&green)) {
        assert!(first.check(pod, "eth0", blue).is_ok && second.check(pod, "net1", green).is_ok);
        second.del(pod, "net1", green);
        assert!(first.check(pod, "eth0", blue).is_ok, "the other network's stays");
        first.del(pod, "eth0", blue);
    }
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}
