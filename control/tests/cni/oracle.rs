//! The reference plugins as an oracle: `bridge` with `host-local` and ours with the same addresses make the same of a pod.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::kernel::{Interface, interface, links};
use crate::runtime::{Container, List, REFERENCE, attachments, ours};
use crate::support::{BLUE, Node, eventually};

/// Whether the reference plugins are there; if not, says so.
pub(crate) fn has_reference(test: &str) -> bool {
    let files = ["bridge", "host-local", "portmap"].map(|plugin| Path::new(REFERENCE).join(plugin));
    has_packages(test, &["containernetworking-plugins", "iptables"], &files)
}

/// Whether Debian's packages of these files are there, installed now perhaps; if not, says so.
pub(crate) fn has_packages(test: &str, packages: &[&str], files: &[PathBuf]) -> bool {
    if files.iter().all(|file| file.exists()) {
        return true;
    }
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runtimes/install");
    let reason = match Command::new(install).args(packages).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => error.to_string(),
    };
    // Straight to standard error, which the test harness does not capture.
    let line = format!("skipped: {test}: no {}: {}\n", packages[0], reason.trim());
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}

/// `host-local` over the network's own subnets, as `bridge` has it in the reference's examples.
fn host_local(node: &Node) -> Value {
    json!({
        "type": "host-local",
        "dataDir": node.path("ipam"),
        "ranges": [
            [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}],
            [{"subnet": "fd00:1::/64", "gateway": "fd00:1::1"}]
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    })
}

fn bridge(node: &Node) -> Value {
    json!({"type": "bridge", "bridge": "cni0", "mtu": 1400, "ipam": host_local(node)})
}

fn inside(pod: &Container) -> Interface {
    // Addresses of IPv6 are tentative for a moment behind the reference.
    eventually("both addresses", || interface(&pod.netns, "eth0").is_some_and(|inside| inside.addresses.len() == 2));
    interface(&pod.netns, "eth0").unwrap()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_pod_looks_as_the_reference_makes_it_and_its_result_has_the_same_shape() {
    let Some(node) = Node::new("cni_oracle") else { return };
    if !has_reference("cni_oracle") {
        return;
    }
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        let reference = List { name: "reference", ..List::new(&node, version, vec![bridge(&node)]) };
        let mut plugin = ours(&node);
        plugin["mtu"] = 1400.into();
        plugin["ipam"] = host_local(&node);
        let delegating = List { name: "delegating", ..List::new(&node, version, vec![plugin.clone()]) };
        plugin["ipam"] = json!({"type": "podlane"});
        let own = List::new(&node, version, vec![plugin]);
        let pod = Container::new(&format!("oracle-{}", version.replace('.', "-")));

        let expected_result = reference.add(&pod, "eth0");
        let expected = inside(&pod);
        reference.del(&pod, "eth0", &expected_result);
        assert!(links(&pod.netns).is_subset(&["lo".to_owned()].into()));

        for list in [&delegating, &own] {
            let result = list.add(&pod, "eth0");
            let made = inside(&pod);
            assert_eq!((made.mtu, made.is_up), (expected.mtu, expected.is_up), "{}", list.name);
            assert_eq!(made.routes, expected.routes, "{}", list.name);
            let subnets = |of: &Interface| -> BTreeSet<String> {
                of.addresses.iter().map(|address| address.rsplit_once('/').unwrap().1.to_owned()).collect()
            };
            assert_eq!(subnets(&made), subnets(&expected));
            for key in keys(&expected_result) {
                assert!(result.get(&key).is_some(), "{key} of {}: {result}", list.name);
            }
            let ip = &result["ips"][0];
            assert_eq!(keys(ip), keys(&expected_result["ips"][0]), "{}", list.name);
            let end = &result["interfaces"][ip["interface"].as_u64().unwrap() as usize];
            assert_eq!(keys(end), keys(expected_result["interfaces"].as_array().unwrap().last().unwrap()));
            list.del(&pod, "eth0", &result);
            eventually("the pod's end is gone", || interface(&pod.netns, "eth0").is_none());
        }
        let lo = interface(&pod.netns, "lo").unwrap();
        assert!(lo.is_up, "{lo:?}");
    }
    let leased = std::fs::read_dir(node.path("ipam/delegating")).unwrap().flatten();
    let leased: Vec<_> = leased.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(!leased.iter().any(|name| name.starts_with("10.") || name.starts_with("fd00")), "{leased:?}");
    daemon.terminate();
}
