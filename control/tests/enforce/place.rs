//! What policy tells by the port alone: the node's own traffic, and a pod's to itself.

use crate::attempt::{Attempt, Denied, Outcome, Ping, Service, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{Family, V4, V6};
use crate::support::spec;

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
    let Some(mut cluster) = Cluster::closed("own_node", &Plan { tables, ..Plan::new(&members, NOTHING) }) else { return };
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
