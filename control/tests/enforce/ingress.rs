//! Who reaches an isolated pod.

use crate::attempt::{Denied, Ping, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};

const TILL: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: till}}
    ports:
    - port: 80
    - {protocol: UDP, port: 53}
";

#[test]
fn an_isolated_pod_is_reached_by_nobody_but_whom_a_rule_allows() {
    let members = [
        Member::new("shop/web", 2, "app: web"),
        Member::new("shop/till", 3, "app: till"),
        Member::new("shop/guest", 4, "app: guest"),
        // The label that is asked for, and another namespace.
        Member::new("lab/probe", 5, "app: till"),
    ];
    let Some(cluster) = Cluster::start("isolated_pod", &Plan::new(&members, TILL)) else { return };
    cluster.assert(&[
        ("till", "web", Tcp(80), Through),
        ("till", "web", Udp(53), Through),
        ("till", "web", Tcp(53), Denied),
        ("till", "web", Udp(80), Denied),
        ("till", "web", Ping, Denied),
        ("guest", "web", Tcp(80), Denied),
        ("guest", "web", Udp(53), Denied),
        ("guest", "web", Ping, Denied),
        ("probe", "web", Tcp(80), Denied),
        // Isolated is who is selected, and in the direction of the rules.
        ("web", "guest", Tcp(80), Through),
        ("web", "till", Udp(53), Through),
        ("web", "guest", Ping, Through),
        ("guest", "till", Tcp(80), Through),
        ("probe", "guest", Ping, Through),
    ]);
    cluster.end();
}

const NAMED: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: by-name, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - ports:
    - port: http
    - {protocol: UDP, port: 30000, endPort: 30010}
";

#[test]
fn a_name_is_each_pods_own_port_and_a_range_ends_where_it_says() {
    let members = [
        Member { ports: "{name: http, containerPort: 8080}", ..Member::new("shop/web", 2, "app: web") },
        Member { ports: "{name: http, containerPort: 9090}", ..Member::new("shop/till", 3, "app: till") },
        Member::new("lab/probe", 4, "app: probe"),
    ];
    let Some(cluster) = Cluster::start("named_ports", &Plan::new(&members, NAMED)) else { return };
    cluster.assert(&[
        ("probe", "web", Tcp(8080), Through),
        ("probe", "web", Tcp(9090), Denied),
        ("probe", "till", Tcp(9090), Through),
        ("probe", "till", Tcp(8080), Denied),
        ("probe", "web", Udp(30_000), Through),
        ("probe", "web", Udp(30_010), Through),
        ("probe", "web", Udp(29_999), Denied),
        ("probe", "web", Udp(30_011), Denied),
        ("probe", "web", Tcp(30_000), Denied),
    ]);
    cluster.end();
}

const SELECTORS: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: sales, labels: {team: sales}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lab, labels: {team: lab}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: both, namespace: shop}
spec:
  podSelector: {matchLabels: {app: both}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: sales}}
      podSelector: {matchLabels: {app: client}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: either, namespace: shop}
spec:
  podSelector: {matchLabels: {app: either}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: sales}}
    - podSelector: {matchLabels: {app: client}}
";

#[test]
fn selectors_in_one_item_are_both_asked_for_and_in_two_items_either() {
    let members = [
        Member::new("shop/both", 2, "app: both"),
        Member::new("shop/either", 3, "app: either"),
        Member::new("shop/neighbour", 4, "app: client"),
        Member::new("sales/buyer", 5, "app: client"),
        Member::new("sales/clerk", 6, "app: clerk"),
        Member::new("lab/probe", 7, "app: client"),
    ];
    let Some(cluster) = Cluster::start("selectors", &Plan::new(&members, SELECTORS)) else { return };
    cluster.assert(&[
        ("buyer", "both", Tcp(80), Through),
        ("clerk", "both", Tcp(80), Denied),
        ("neighbour", "both", Tcp(80), Denied),
        ("probe", "both", Tcp(80), Denied),
        ("buyer", "either", Tcp(80), Through),
        ("clerk", "either", Tcp(80), Through),
        ("neighbour", "either", Tcp(80), Through),
        // A pod selector alone is of the policy's own namespace.
        ("probe", "either", Tcp(80), Denied),
        // A rule without ports lets pings in.
        ("clerk", "either", Ping, Through),
        ("clerk", "both", Ping, Denied),
    ]);
    cluster.end();
}

const ADMIN: &str = r"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: keep-out}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  ingress:
  - name: no-guests
    action: Deny
    from:
    - pods:
        namespaceSelector: {}
        podSelector: {matchLabels: {app: guest}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: shop}
spec:
  podSelector: {}
  ingress: [{}]
";

#[test]
fn a_cluster_policy_denies_what_a_namespaces_own_would_allow() {
    let members = [
        Member::new("shop/web", 2, "app: web"),
        Member::new("shop/guest", 3, "app: guest"),
        Member::new("lab/probe", 4, "app: probe"),
    ];
    let Some(cluster) = Cluster::start("cluster_policy", &Plan::new(&members, ADMIN)) else { return };
    cluster.assert(&[
        ("probe", "web", Tcp(80), Through),
        ("guest", "web", Tcp(80), Denied),
        ("guest", "web", Ping, Denied),
        ("web", "guest", Tcp(80), Through),
    ]);
    cluster.end();
}
