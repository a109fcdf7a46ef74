//! Between two nodes each applies its own pod's policies, and knows the other's pods by their addresses.

use std::net::IpAddr;

use crate::attempt::{Attempt, Denied, Outcome, Ping, Service, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{End, Family, V4, V6, cable, endpoint, peer, underlay};
use crate::support::{Node, SOON, ping, tcp};

const CLIENT: Member = Member::new("shop/client", 2, "app: client");
const WEB: Member = Member::new("shop/web", 3, "app: web");
const GUEST: Member = Member::new("lab/guest", 4, "app: client");

/// The client may open port 80 and 81.
pub(crate) const OUT: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 80}, {port: 81}]
---
";

/// The web is reached on port 81 and 82.
pub(crate) const IN: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 81}, {port: 82}]
---
";

/// The nodes of the client and the guest, and of the web.
pub(crate) struct Two(pub(crate) [Cluster; 2]);

impl Two {
    /// With what each node's daemon is told of policies; both know all pods.
    pub(crate) fn start(test: &str, policies: [&str; 2], (underlying, mtu): (Family, u32)) -> Option<Self> {
        let near = Node::new(test)?;
        let far = near.beside(&format!("{test}-far"));
        cable(End(near.lab.switch(), "up0"), End(far.lab.switch(), "up0"), underlying, mtu);
        let members: [&[Member]; 2] = [&[CLIENT, GUEST], &[WEB]];
        let mut number = 0;
        let clusters = [near, far].map(|node| {
            let (own, other) = (number, 1 - number);
            number += 1;
            let elsewhere = members[other].iter();
            let stated = elsewhere.clone().map(|member| endpoint("net1", 1, member.host, "other")).collect::<String>();
            let vtep = |number: usize| underlying.address(1, number as u8 + 1);
            let tables = underlay(vtep(own), underlying.prefix(), "") + &peer("other", vtep(other)) + &stated;
            let yaml = elsewhere.map(Member::yaml).collect::<String>() + policies[own];
            let plan = Plan { network: "vni = 7\n", tables: &tables, ..Plan::new(members[own], &yaml) };
            Cluster::on(node, &plan)
        });
        let mut two = Self(clusters);
        two.0.iter_mut().for_each(Cluster::switch_on);
        Some(two)
    }

    /// Packets that policy denied, on each node.
    fn denied(&self) -> [u64; 2] {
        let denied = |cluster: &Cluster| cluster.daemon().counters().total.dropped.get("policy_denied").copied();
        [&self.0[0], &self.0[1]].map(|cluster| denied(cluster).unwrap_or(0))
    }

    /// What came of an attempt from one node to the other, and which of them denied packets of it.
    pub(crate) fn attempt(&self, from: &str, service: Service, family: Family) -> (Outcome, [bool; 2]) {
        let (before, address) = (self.denied(), WEB.address(family));
        let attempt = Attempt { from: self.0[0].pod(from), source: None, to: self.0[1].pod("web"), address, service };
        let outcome = attempt.outcome(&|| self.denied().iter().sum());
        let after = self.denied();
        (outcome, [after[0] > before[0], after[1] > before[1]])
    }

    pub(crate) fn end(self) {
        self.0.into_iter().for_each(Cluster::end);
    }
}

#[test]
fn over_a_tunnel_each_node_applies_its_own_pods_policies() {
    let Some(two) = Two::start("tunnel_own", [OUT, IN], (V4, 1600)) else { return };
    for family in [V4, V6] {
        let of = |from: &str, service: Service| two.attempt(from, service, family);
        assert_eq!(of("client", Tcp(80)), (Denied, [false, true]), "{family:?}");
        assert_eq!(of("client", Tcp(81)), (Through, [false, false]), "{family:?}");
        assert_eq!(of("client", Tcp(82)), (Denied, [true, false]), "{family:?}");
        assert_eq!(of("client", Udp(81)), (Denied, [true, false]), "{family:?}");
        assert_eq!(of("client", Ping), (Denied, [true, false]), "{family:?}");
        // Of another namespace: its own node lets it, the other knows it by its address.
        assert_eq!(of("guest", Tcp(81)), (Denied, [false, true]), "{family:?}");
    }
    two.end();
}

#[test]
fn over_a_tunnel_no_node_applies_the_other_pods_policies() {
    // Each is told only what would concern the other.
    let Some(two) = Two::start("tunnel_other", [IN, OUT], (V6, 1600)) else { return };
    for (from, service) in [("client", Tcp(80)), ("client", Tcp(82)), ("guest", Udp(53)), ("guest", Ping)] {
        for family in [V4, V6] {
            let (outcome, by) = two.attempt(from, service, family);
            assert_eq!((outcome, by), (Through, [false, false]), "{from}, {service:?}, {family:?}");
        }
    }
    let client: IpAddr = CLIENT.address(V4);
    assert!(ping(two.0[1].pod("web"), client, SOON));
    two.end();
}

/// The client may open TCP, and is reached by nobody; the web opens nothing.
const CLOSED: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: tcp, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress: [{ports: [{port: 1, endPort: 65535}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{ports: [{port: 1, endPort: 65535}]}]
";

#[test]
fn what_the_switch_says_of_its_tunnel_reaches_a_pod_that_nobody_reaches() {
    // The pods' links are as wide as the underlay: each kernel has to be told what fits.
    let Some(two) = Two::start("tunnel_mtu", [CLOSED, CLOSED], (V4, 1500)) else { return };
    for family in [V4, V6] {
        tcp(two.0[0].pod("client"), two.0[1].pod("web"), WEB.address(family), 1 << 20);
        assert_eq!(two.attempt("client", Ping, family), (Denied, [true, false]), "{family:?}");
    }
    two.end();
}
