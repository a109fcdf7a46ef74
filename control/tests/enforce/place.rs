//! What policy tells by the port alone: the node's own traffic, and a pod's to itself.

use std::fs;

use podlane_wire::checksum::sum;

use crate::attempt::{Attempt, Denied, Outcome, Ping, Service, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{Family, V4, V6};
use crate::support::{Node, eventually, spec};

/// Nobody reaches anybody.
const NOTHING: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
";

#[test]
fn the_node_reaches_its_isolated_pods_and_they_do_not_reach_it() {
    let members = [Member::new("shop/web", 2, "app: web"), Member::new("lab/probe", 3, "app: probe")];
    let tables = "[[port]]\nname = \"host\"\ndevice = \"host\"\nnetwork = \"net1\"\nnode = true\n";
    let Some(mut cluster) = Cluster::closed("own_node", &Plan { tables, ..Plan::new(&members, NOTHING) }) else {
        return;
    };
    // As the node's own addresses are of the pods' network here, nothing but the port tells it from a pod.
    let host = cluster.node.lab.pod(&spec("host", 1, 250)).unwrap();
    cluster.switch_on();
    let asked = |cluster: &Cluster, service: Service, family: Family| -> [Outcome; 2] {
        let web = cluster.member("web").address(family);
        let own = match family {
            V4 => host.spec.ipv4.unwrap().0.into(),
            V6 => host.spec.ipv6.unwrap().0.into(),
        };
        let there = Attempt { from: &host.netns, source: None, to: cluster.pod("web"), address: web, service };
        let back = Attempt { from: cluster.pod("web"), source: None, to: &host.netns, address: own, service };
        [there.outcome(&|| cluster.denied("host")), back.outcome(&|| cluster.denied("web"))]
    };
    for family in [V4, V6] {
        for service in [Tcp(80), Udp(53), Ping] {
            assert_eq!(asked(&cluster, service, family), [Through, Denied], "{service:?}, {family:?}");
        }
    }
    cluster.assert(&[("probe", "web", Tcp(80), Denied)]);
    cluster.end();
}

/// A capture with a datagram from 10.1.0.5 to itself, and one to 10.1.0.2, which both go by the gateway.
fn capture() -> Vec<u8> {
    // Of version 2.4, in microseconds, of Ethernet, little-endian (draft-ietf-opsawg-pcap).
    let mut file = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for to in [5, 2] {
        let mut packet = vec![0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 5, 10, 1, 0, to];
        let checksum = sum(&packet).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        // Port 53, without a checksum.
        packet.extend([0x0f, 0xa0, 0, 53, 0, 13, 0, 0]);
        packet.extend(*b"to me");
        let frame = [&GATEWAY[..], &[2, 0, 0, 0, 1, 5], &[8, 0], &packet].concat();
        file.extend([0, 0, frame.len() as u32, frame.len() as u32].map(u32::to_le_bytes).concat());
        file.extend(frame);
    }
    file
}

const GATEWAY: [u8; 6] = [2, 0, 0, 0, 1, 1];

#[test]
fn an_isolated_pod_reaches_itself_by_way_of_its_gateway() {
    // No kernel sends a packet for itself over a wire, so this pod is a capture.
    let (web, own) = (Member::new("shop/web", 2, "app: web"), Member::new("shop/own", 5, "app: own"));
    let Some(node) = Node::new("hairpin") else { return };
    let [input, output] = ["in.pcap", "out.pcap"].map(|name| node.path(name));
    fs::write(&input, capture()).unwrap();
    let files = format!("kind = \"replay\"\ninput = \"{}\"\noutput = \"{}\"\n", input.display(), output.display());
    let tables = own.port().replace("device = \"own\"\n", &files);
    let yaml = own.yaml() + NOTHING;
    let network = "gateway_mac = \"02:00:00:00:01:01\"\n";
    let mut cluster = Cluster::on(node, &Plan { network, tables: &tables, ..Plan::new(&[web], &yaml) });
    cluster.switch_on();
    eventually("what is for another is denied", || cluster.denied("own") == 1);
    let ledger = |cluster: &Cluster| {
        let port = cluster.daemon().port("own");
        (port.received.packets, port.sent.packets, port.dropped)
    };
    eventually("what is for itself comes back", || ledger(&cluster).1 >= 1);
    let (received, _, dropped) = ledger(&cluster);
    assert_eq!((received, dropped.values().sum::<u64>()), (2, 1), "{dropped:?}");
    // With its end everything is written.
    cluster.switch().terminate();
    let came = fs::read(&output).unwrap();
    assert!(came.windows(5).any(|bytes| bytes == b"to me"));
}
