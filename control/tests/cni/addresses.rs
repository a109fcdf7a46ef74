//! Which address a pod gets: through SIGKILL, through a quarantine, when none is left, and from another plugin.

use serde_json::{Value, json};

use crate::oracle::has_reference;
use crate::runtime::{Container, List, attachments, ours};
use crate::support::{Node, eventually};

/// The network `blue`, which has .2 and .3 to give.
const TWO: &str = "[[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/24\"]\nranges = [\"10.1.0.2-10.1.0.3\"]\n";

fn address(result: &Value) -> &str {
    result["ips"][0]["address"].as_str().unwrap()
}

/// How many are held, in quarantine and free, as `podlane addresses` says of the first network.
fn counts(node: &Node) -> [u64; 3] {
    let told: Value = serde_json::from_str(&node.cli(&["addresses", "--json"])).unwrap();
    ["held", "quarantined", "free"].map(|count| told["pools"][0][count].as_u64().unwrap())
}

#[test]
fn a_killed_daemon_knows_whose_each_address_is_and_who_had_it() {
    let Some(node) = Node::new("cni_addresses") else { return };
    node.configure(&format!("{TWO}{}quarantine = \"1h\"\n", attachments(&node)));
    let daemon = node.start();
    let list = List::new(&node, "1.0.0", vec![ours(&node)]);
    let pods = ["red", "green", "grey"].map(Container::new);
    let red = list.add(&pods[0], "eth0");
    let green = list.add(&pods[1], "eth0");
    assert_eq!([address(&red), address(&green)], ["10.1.0.2/24", "10.1.0.3/24"]);
    list.del(&pods[1], "eth0", &green);
    daemon.kill();

    let daemon = node.start();
    eventually("what was released is so", || counts(&node) == [1, 1, 0]);
    // One address is red's, and green's rests; to green it does not.
    let full = list.try_add(&pods[2], "eth0");
    assert_eq!(full.code(), 11, "{full:?}");
    assert!(full.details().contains("no IPv4 address is free in 10.1.0.2/31: 1 held, 1 in quarantine"), "{full:?}");
    let again = list.add(&pods[1], "eth0");
    assert_eq!(address(&again), "10.1.0.3/24");
    let shown = node.cli(&["addresses"]);
    assert!(shown.contains(&format!("{}/eth0", pods[0].id)), "{shown}");
    list.del(&pods[0], "eth0", &red);
    list.del(&pods[1], "eth0", &again);
    eventually("both rest", || counts(&node) == [0, 2, 0]);
    daemon.terminate();
}

#[test]
fn another_ipam_plugin_gives_addresses_and_gets_them_back() {
    let test = "another_ipam_plugin_gives_addresses_and_gets_them_back";
    let Some(node) = Node::new("cni_delegated") else { return };
    if !has_reference(test) {
        return;
    }
    node.configure(&format!("{TWO}{}", attachments(&node)));
    let daemon = node.start();
    let mut plugin = ours(&node);
    plugin["ipam"] = json!({
        "type": "host-local",
        "dataDir": node.path("ipam"),
        "subnet": "10.1.0.0/24",
        "rangeStart": "10.1.0.2",
        "rangeEnd": "10.1.0.2",
        "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    let list = List::new(&node, "1.0.0", vec![plugin]);
    let pods = ["blue", "black"].map(Container::new);
    let blue = list.add(&pods[0], "eth0");
    assert_eq!(address(&blue), "10.1.0.2/24");
    assert!(list.check(&pods[0], "eth0", &blue).is_ok);
    // It is noted, so that ours is not the second to give it.
    assert_eq!(counts(&node), [1, 0, 1]);
    let full = list.try_add(&pods[1], "eth0");
    assert!(full.details().contains("the IPAM plugin host-local refused its ADD"), "{full:?}");
    list.del(&pods[0], "eth0", &blue);
    // Were it not given back, there were none.
    let black = list.add(&pods[1], "eth0");
    assert_eq!(address(&black), "10.1.0.2/24");
    list.del(&pods[1], "eth0", &black);
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}
