//! A pod in two networks, as Multus has them attached: one configuration after the other, each with an interface of its own.

use std::time::Duration;

use crate::kernel::interface;
use crate::runtime::{Container, List, attachments, ours};
use crate::shop::{address, list};
use crate::support::{BLUE, Node, SOON, eventually, ping, podlane};

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
        let other = address(result);
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

/// To the pod `shop/web`, whichever of its interfaces is spoken to, only `shop/friend` may open.
const FRIENDS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: friend}}
";

/// Long enough for what passes, and not waited for by what does.
const SHUT: Duration = Duration::from_millis(300);

/// The lists of a pod of `shop` in both networks. Its labels come with the first, as a runtime has them that knows of one network.
fn lists<'n>(node: &'n Node, name: &str) -> [List<'n>; 2] {
    let (first, mut second) = (list(node, name), list(node, name));
    second.name = "storage";
    second.plugins[0].as_object_mut().unwrap().remove("args");
    second.plugins[0]["network"] = "green".into();
    second.plugins[0]["defaultRoute"] = false.into();
    [first, second]
}

#[test]
fn a_policy_about_a_pod_holds_on_every_interface_of_it() {
    let Some(node) = Node::new("cni_networks_policed") else { return };
    node.configure(&format!("[policy]\n{BLUE}{GREEN}{}", attachments(&node)));
    let daemon = node.start();
    let policy = node.path("friends.yaml");
    std::fs::write(&policy, FRIENDS).unwrap();
    node.cli(&["policy", "apply", policy.to_str().unwrap()]);
    let names = ["web", "friend", "foe"];
    let pods = names.map(Container::new);
    let lists = names.map(|name| lists(&node, name));
    let attach = |number: usize| {
        let [first, second] = &lists[number];
        [first.add(&pods[number], "eth0"), second.add(&pods[number], "net1")]
    };
    let results = [0, 1, 2].map(attach);
    for at in results[0].each_ref().map(address) {
        assert!(ping(&pods[1].netns, at, SOON), "the policy lets the friend reach {at}");
        assert!(!ping(&pods[2].netns, at, SHUT), "the foe is not to reach {at}");
    }
    let denied = node.cli(&["policy", "denied"]);
    for at in results[0].each_ref().map(address) {
        assert!(denied.contains(&at.to_string()), "{at} in {denied}");
    }
    // Who is meant by a name is the pod with all its addresses.
    let mut why = podlane();
    why.args(["why", "shop/foe", &address(&results[0][1]).to_string(), "icmp", "--socket"]).arg(node.socket());
    let why = String::from_utf8(why.output().unwrap().stdout).unwrap();
    assert!(why.contains("NetworkPolicy shop/friends"), "{why}");
    // Without its first interface it is the same pod.
    lists[0][0].del(&pods[0], "eth0", &results[0][0]);
    let refused = || daemon.counters().total.dropped.get("policy_denied").copied().unwrap_or_default();
    let before = refused();
    assert!(!ping(&pods[2].netns, address(&results[0][1]), SHUT));
    eventually("it is the policy that refuses", || refused() > before);
    assert!(ping(&pods[1].netns, address(&results[0][1]), SOON));
    lists[0][1].del(&pods[0], "net1", &results[0][1]);
    for number in [1, 2] {
        let [first, second] = &lists[number];
        second.del(&pods[number], "net1", &results[number][1]);
        first.del(&pods[number], "eth0", &results[number][0]);
    }
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}
