//! Every verb with a daemon, in every version.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::kernel::{interface, links};
use crate::runtime::{Container, List, attachments, ours, run, shim};
use crate::support::{BLUE, Daemon, Node, SOON, eventually, ping};

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A node whose daemon attaches pods to the network `blue`.
fn node(test: &str) -> Option<(Node, Daemon)> {
    let node = Node::new(test)?;
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    Some((node, daemon))
}

fn texts(list: &Value, key: &str) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(|of| of[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn add_gives_what_it_says_check_agrees_and_del_takes_it_away_in_every_version() {
    let Some((node, daemon)) = node("cni_versions") else { return };
    for version in VERSIONS {
        let list = List::new(&node, version, vec![ours(&node)]);
        let pod = Container::new(&format!("v{}", version.replace('.', "-")));
        let result = list.add(&pod, "eth0");
        assert_eq!(result["cniVersion"], version);
        let inside = interface(&pod.netns, "eth0").unwrap();
        assert!(inside.is_up);
        assert_eq!(texts(&result["ips"], "address"), inside.addresses, "{result}");
        assert_eq!(inside.addresses.len(), 2, "one of each family: {inside:?}");
        let end = &result["interfaces"][1];
        assert_eq!((end["name"].as_str(), end["mac"].as_str()), (Some("eth0"), Some(inside.mac.as_str())));
        assert_eq!(end["sandbox"], pod.path().to_str().unwrap());
        assert!(inside.routes.contains("default via 10.1.0.1"), "{inside:?}");
        let host_end = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
        assert!(links(node.lab.switch()).contains(&host_end));
        if version >= "1.1.0" {
            assert_eq!(end["mtu"], inside.mtu);
        }
        if version >= "0.4.0" {
            assert!(list.check(&pod, "eth0", &result).is_ok);
        } else {
            assert_eq!(list.check(&pod, "eth0", &result).code(), 1);
        }
        list.del(&pod, "eth0", &result);
        list.del(&pod, "eth0", &result);
        eventually("the pod's end is gone", || interface(&pod.netns, "eth0").is_none());
        eventually("the host's end is gone", || !links(node.lab.switch()).contains(&host_end));
    }
    eventually("no port is left", || daemon.ports().ports.is_empty());
    daemon.terminate();
}

#[test]
fn two_pods_reach_each_other_and_the_command_line_shows_them() {
    let Some((node, daemon)) = node("cni_two") else { return };
    let mut list = List::new(&node, "1.0.0", vec![ours(&node)]);
    let pods = ["red", "green"].map(Container::new);
    let results = [0, 1].map(|number: usize| {
        list.args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=blue;K8S_POD_NAME=web-{number};K8S_POD_UID=u{number}");
        list.add(&pods[number], "eth0")
    });
    for number in [0, 1] {
        let address = results[1]["ips"][number]["address"].as_str().unwrap().split_once('/').unwrap().0;
        assert!(ping(&pods[0].netns, address.parse::<IpAddr>().unwrap(), SOON), "{address}");
    }
    let shown = node.cli(&["attachments"]);
    assert!(shown.contains("blue/web-0") && shown.contains("blue/web-1"), "{shown}");
    let told: Value = serde_json::from_str(&node.cli(&["attachments", "--json", "--of", "blue/web-1"])).unwrap();
    assert_eq!(told["attachments"].as_array().unwrap().len(), 1);
    assert_eq!(told["attachments"][0]["notes"]["K8S_POD_UID"], "u1");
    for (pod, result) in pods.iter().zip(&results) {
        list.del(pod, "eth0", result);
    }
    eventually("nothing is attached", || node.cli(&["attachments"]) == "nothing is attached\n");
    daemon.terminate();
}

#[test]
fn the_same_add_twice_is_one_attachment_and_two_interfaces_are_two() {
    let Some((node, daemon)) = node("cni_twice") else { return };
    let mut second = ours(&node);
    second["defaultRoute"] = false.into();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let other = List::new(&node, "1.1.0", vec![second]);
    let pod = Container::new("twice");
    let first = list.add(&pod, "eth0");
    assert_eq!(list.add(&pod, "eth0"), first);
    let net1 = other.add(&pod, "net1");
    assert_ne!(texts(&net1["ips"], "address"), texts(&first["ips"], "address"));
    assert_eq!(daemon.ports().ports.len(), 2);
    assert!(list.check(&pod, "eth0", &first).is_ok && other.check(&pod, "net1", &net1).is_ok);
    other.del(&pod, "net1", &net1);
    eventually("the second is gone", || interface(&pod.netns, "net1").is_none());
    assert!(interface(&pod.netns, "eth0").is_some());
    list.del(&pod, "eth0", &first);
    daemon.terminate();
}

#[test]
fn what_is_wished_for_is_given_or_refused() {
    let Some((node, daemon)) = node("cni_wishes") else { return };
    let mut plugin = ours(&node);
    plugin["capabilities"] = json!({"mac": true, "ips": true, "bandwidth": true});
    plugin["mtu"] = 1400.into();
    let mut list = List::new(&node, "1.1.0", vec![plugin]);
    list.runtime = json!({
        "mac": "02:00:00:00:00:99", "ips": ["10.1.0.77/24"],
        "bandwidth": {"ingressRate": 8_000_000, "egressRate": 4_000_000},
        "portMappings": [{"hostPort": 8080, "containerPort": 80}],
    });
    let pod = Container::new("wishes");
    let result = list.add(&pod, "eth0");
    let inside = interface(&pod.netns, "eth0").unwrap();
    assert_eq!((inside.mac.as_str(), inside.mtu), ("02:00:00:00:00:99", 1400));
    assert!(inside.addresses.contains("10.1.0.77/24"), "{inside:?}");
    let rates = daemon.ports().ports[0].rates;
    assert_eq!((rates.ingress.unwrap().rate, rates.egress.unwrap().rate), (8_000_000, 4_000_000));

    let rival = Container::new("rival");
    let refused = list.try_add(&rival, "eth0");
    assert_eq!(refused.code(), 102);
    assert!(refused.details().contains("10.1.0.77"), "{refused:?}");
    assert_eq!(interface(&rival.netns, "eth0"), None);
    list.del(&pod, "eth0", &result);
    daemon.terminate();
}

#[test]
fn check_says_what_is_no_longer_so() {
    let Some((node, daemon)) = node("cni_check") else { return };
    let list = List::new(&node, "1.0.0", vec![ours(&node)]);
    let pod = Container::new("check");
    let never = list.call("CHECK", (&pod, "eth0"), &list.plugins[0], Some(&json!({"cniVersion": "1.0.0"})));
    assert_eq!(never.code(), 3);
    let result = list.add(&pod, "eth0");
    assert_eq!(list.call("CHECK", (&pod, "eth0"), &list.plugins[0], None).code(), 7);
    let mut flush = std::process::Command::new("ip");
    flush.args(["address", "flush", "dev", "eth0"]);
    assert!(pod.netns.run(|| flush.status()).unwrap().unwrap().success());
    let said = list.check(&pod, "eth0", &result);
    assert_eq!(said.code(), 101);
    let address = result["ips"][0]["address"].as_str().unwrap();
    assert!(said.details().contains(address), "{said:?}");
    list.del(&pod, "eth0", &result);
    daemon.terminate();
}

#[test]
fn gc_keeps_what_is_valid_and_status_is_well() {
    let Some((node, daemon)) = node("cni_gc") else { return };
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let pods = ["stays", "goes"].map(Container::new);
    let results = pods.each_ref().map(|pod| list.add(pod, "eth0"));
    let mut config = list.config(&list.plugins[0], None);
    assert!(run(&node, shim(), &[("CNI_COMMAND", "STATUS")], &config.to_string()).is_ok);
    config["cni.dev/valid-attachments"] = json!([{"containerID": pods[0].id, "ifname": "eth0"}]);
    config["cni.dev/attachments"] = config["cni.dev/valid-attachments"].clone();
    assert_eq!(run(&node, shim(), &[("CNI_COMMAND", "GC")], &config.to_string()).result(), Value::Null);
    assert!(list.check(&pods[0], "eth0", &results[0]).is_ok);
    eventually("the other is gone", || interface(&pods[1].netns, "eth0").is_none());
    list.del(&pods[0], "eth0", &results[0]);
    config["network"] = "bleu".into();
    let said = run(&node, shim(), &[("CNI_COMMAND", "STATUS")], &config.to_string());
    assert_eq!(said.code(), 50);
    daemon.terminate();
}

#[test]
fn what_is_wrong_with_a_call_is_said_and_changes_nothing() {
    let Some((node, daemon)) = node("cni_wrong") else { return };
    let list = List::new(&node, "1.0.0", vec![ours(&node)]);
    let pod = Container::new("wrong");
    let before = links(node.lab.switch());
    for (more, code) in [
        (json!({"network": "bleu"}), 7),
        (json!({"kind": "macvtap"}), 7),
        (json!({"mtu": 10}), 7),
        (json!({"netwrok": "blue"}), 0),
        (json!({"ipam": {"type": "no-such-ipam"}}), 103),
    ] {
        let mut plugin = list.plugins[0].clone();
        for (key, value) in more.as_object().unwrap() {
            plugin[key] = value.clone();
        }
        let said = list.call("ADD", (&pod, "eth0"), &plugin, None);
        if code == 0 {
            // A slip in a key that is there beside it is a word of somebody else.
            list.del(&pod, "eth0", &said.result());
        } else {
            assert_eq!(said.code(), code, "{more}: {said:?}");
        }
    }
    let config = list.config(&list.plugins[0], None).to_string();
    let path = pod.path().to_str().unwrap();
    for (variables, code) in [
        (vec![("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a"), ("CNI_IFNAME", "eth0")], 4),
        (vec![("CNI_COMMAND", "ADD"), ("CNI_NETNS", path), ("CNI_IFNAME", "eth0")], 4),
        (vec![("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a"), ("CNI_NETNS", path)], 4),
        (vec![("CNI_COMMAND", "FLY"), ("CNI_CONTAINERID", "a")], 4),
        (vec![("CNI_COMMAND", "GC")], 1),
        (
            vec![
                ("CNI_COMMAND", "ADD"),
                ("CNI_CONTAINERID", "a"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_NETNS", "/run/netns/podlane-none"),
            ],
            3,
        ),
    ] {
        assert_eq!(run(&node, shim(), &variables, &config).code(), code, "{variables:?}");
    }
    eventually("no link is left", || links(node.lab.switch()).is_subset(&before));
    assert!(links(&pod.netns).is_subset(&["lo".to_owned()].into()));
    daemon.terminate();
}

#[test]
fn a_del_that_found_no_daemon_is_carried_out_by_the_next() {
    let Some((node, daemon)) = node("cni_pending") else { return };
    let list = List::new(&node, "1.0.0", vec![ours(&node)]);
    let pods = ["gone", "stays"].map(Container::new);
    let results = pods.each_ref().map(|pod| list.add(pod, "eth0"));
    daemon.kill();
    list.del(&pods[0], "eth0", &results[0]);
    let daemon = node.start();
    eventually("the pod's end is gone", || interface(&pods[0].netns, "eth0").is_none());
    assert_eq!(std::fs::read_dir(node.path("pending")).unwrap().count(), 0);
    assert!(list.check(&pods[1], "eth0", &results[1]).is_ok);
    // The same container again: the old DEL takes nothing away.
    let again = list.add(&pods[0], "eth0");
    assert!(list.check(&pods[0], "eth0", &again).is_ok);
    list.del(&pods[0], "eth0", &again);
    list.del(&pods[1], "eth0", &results[1]);
    daemon.terminate();
}
