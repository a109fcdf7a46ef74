//! Blocks of addresses: who is no pod is known by the address alone.

use std::net::IpAddr;

use podlane_host::Links;

use crate::attempt::{Attempt, Denied, Outcome, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{V4, V6};
use crate::support::spec;

const BLOCKS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: blocks, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - ipBlock: {cidr: 10.1.0.128/25, except: [10.1.0.192/26]}
    - ipBlock: {cidr: 10.1.0.200/32}
    - ipBlock: {cidr: "fd00:1::80/121", except: ["fd00:1::c0/122"]}
    ports: [{port: 80}, {protocol: UDP, port: 53}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: till, namespace: shop}
spec:
  podSelector: {matchLabels: {app: till}}
  policyTypes: [Egress]
  egress:
  - to:
    - podSelector: {}
    - ipBlock: {cidr: 10.1.0.128/25, except: [10.1.0.192/26]}
    - ipBlock: {cidr: 10.1.0.200/32}
    - ipBlock: {cidr: "fd00:1::80/121", except: ["fd00:1::c0/122"]}
"#;

/// The addresses of a host that is no pod, and what comes of attempts from them, and to them.
const SOURCES: [(&str, Outcome); 7] = [
    ("10.1.0.100", Denied),
    ("10.1.0.130", Through),
    ("10.1.0.195", Denied),
    // Excepted by one item, and allowed again by another.
    ("10.1.0.200", Through),
    ("fd00:1::64", Denied),
    ("fd00:1::82", Through),
    ("fd00:1::c3", Denied),
];

#[test]
fn a_block_is_allowed_less_its_exceptions() {
    let members = [Member::new("shop/web", 2, "app: web"), Member::new("shop/till", 3, "app: till")];
    let tables = "[[port]]\nname = \"outside\"\ndevice = \"outside\"\nnetwork = \"net1\"\n";
    let plan = Plan { tables, ..Plan::new(&members, BLOCKS) };
    let Some(mut cluster) = Cluster::closed("blocks", &plan) else { return };
    let outside = cluster.node.lab.pod(&spec("outside", 1, 9)).unwrap();
    let mut links = Links::open_in(&outside.netns).unwrap();
    for (source, _) in SOURCES {
        let source: IpAddr = source.parse().unwrap();
        links.add_address("eth0", source, if source.is_ipv4() { 24 } else { 64 }).unwrap();
    }
    cluster.switch_on();
    for (source, expected) in SOURCES {
        let source: IpAddr = source.parse().unwrap();
        let family = if source.is_ipv4() { V4 } else { V6 };
        let address = cluster.member("web").address(family);
        for service in [Tcp(80), Udp(53)] {
            let attempt =
                Attempt { from: &outside.netns, source: Some(source), to: cluster.pod("web"), address, service };
            assert_eq!(attempt.outcome(&|| cluster.denied("outside")), expected, "{source}, {service:?}");
        }
    }
    // A pod whose address is in no block.
    cluster.assert(&[("till", "web", Tcp(80), Denied)]);
    // The other way, where they are what may be opened to.
    for (source, expected) in SOURCES {
        let address: IpAddr = source.parse().unwrap();
        let attempt =
            Attempt { from: cluster.pod("till"), source: None, to: &outside.netns, address, service: Tcp(80) };
        assert_eq!(attempt.outcome(&|| cluster.denied("till")), expected, "to {source}");
    }
    cluster.end();
}
