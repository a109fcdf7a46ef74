//! A VLAN of the wire for the pods, the rest of it for the host. The far side is a switch of ours: not every kernel has VLANs.

use podlane_host::lab::PodSpec;

use crate::ground::{End, V6, cable};
use crate::segment::{PODS, port, v4, v6};
use crate::support::{Node, SOON, ping, spec, tcp};

/// The station in the VLAN, and the one that is untagged, in 10.2.0.0/24 with the host.
const STATION: u8 = 4;

fn pods_have_a_vlan_and_the_host_the_rest(test: &str, sharing: &str) {
    let Some(mut node) = Node::new(test) else { return };
    let mut far = node.beside(&format!("{test}-far"));
    cable(End(node.lab.switch(), "up0"), End(far.lab.switch(), "trunk"), V6, 1500);
    End(node.lab.switch(), "up0").links().add_address("up0", [10, 2, 0, 9].into(), 24).unwrap();
    let pods = [("one", PODS[0]), ("two", PODS[1])].map(|(name, host)| node.pod(name, host));
    let station = far.pod("station", STATION);
    let plain = far.lab.pod(&PodSpec { gateway_v4: None, gateway_v6: None, ..spec("plain", 2, STATION) }).unwrap();
    far.configure(
        "[[network]]\nname = \"lan\"\n[[network]]\nname = \"rest\"\n\
         [[port]]\nname = \"trunk\"\ndevice = \"trunk\"\nkind = \"uplink\"\nnetwork = \"rest\"\nvlans = { 30 = \"lan\" }\n\
         [[port]]\nname = \"station\"\ndevice = \"station\"\nnetwork = \"lan\"\n\
         [[port]]\nname = \"plain\"\ndevice = \"plain\"\nnetwork = \"rest\"\n",
    );
    node.configure(&format!(
        "[[network]]\nname = \"lan\"\n\
         [[port]]\nname = \"wire\"\ndevice = \"up0\"\nkind = \"uplink\"\nvlans = {{ 30 = \"lan\" }}\nsharing = \"{sharing}\"\n{}{}",
        port("one", PODS[0]),
        port("two", PODS[1])
    ));
    let daemons = [far.start(), node.start()];
    for daemon in &daemons {
        daemon.wait_all_up(SOON);
    }
    for family in [v4, v6] {
        for (pod, host) in pods.iter().zip(PODS) {
            // The station asks first: who it asks for hears it only if what is for everyone keeps its tag.
            assert!(ping(&station.netns, family(host), SOON), "{sharing}: {}", daemons[1].log());
            assert!(ping(&pod.netns, family(STATION), SOON), "{sharing}: {}", daemons[1].log());
            tcp(&pod.netns, &station.netns, family(STATION), 64 << 10);
            tcp(&station.netns, &pod.netns, family(host), 64 << 10);
        }
    }
    tcp(&plain.netns, node.lab.switch(), [10, 2, 0, 9], 64 << 10);
    tcp(node.lab.switch(), &plain.netns, [10, 2, 0, STATION], 64 << 10);
    let nodes = [(&far, ["trunk", "station", "plain"]), (&node, ["up0", "one", "two"])];
    for (daemon, (node, devices)) in daemons.into_iter().zip(nodes) {
        daemon.counters();
        daemon.terminate();
        node.assert_clean(&devices);
    }
}

#[test]
fn pods_with_macs_of_their_own_have_a_vlan_and_the_host_the_rest() {
    pods_have_a_vlan_and_the_host_the_rest("wire_vlan_mac", "mac");
}

#[test]
fn pods_with_the_uplinks_mac_have_a_vlan_and_the_host_the_rest() {
    pods_have_a_vlan_and_the_host_the_rest("wire_vlan_ip", "ip");
}
