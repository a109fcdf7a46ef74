//! What a pod may open, and what comes back.

use std::net::UdpSocket;

use crate::attempt::{Denied, Ping, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, ONE_WAY, Plan};
use crate::ground::{V4, V6};
use crate::support::{SOON, eventually};

const DNS_ONLY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
";

#[test]
fn where_egress_is_denied_but_for_dns_names_are_resolved_and_nothing_else_is_opened() {
    let members = [
        Member::new("shop/client", 2, "app: client"),
        Member::new("shop/web", 3, "app: web"),
        Member::new("kube-system/dns", 4, "k8s-app: kube-dns"),
        Member::new("kube-system/proxy", 5, "k8s-app: kube-proxy"),
    ];
    let Some(cluster) = Cluster::start("dns_only", &Plan::new(&members, DNS_ONLY)) else { return };
    cluster.assert(&[
        ("client", "dns", Udp(53), Through),
        ("client", "dns", Tcp(53), Through),
        ("client", "dns", Udp(54), Denied),
        ("client", "dns", Ping, Denied),
        ("client", "proxy", Udp(53), Denied),
        ("client", "web", Tcp(80), Denied),
        ("web", "client", Udp(53), Denied),
        // They are not isolated from what comes in, and answer it.
        ("dns", "client", Tcp(80), Through),
        ("proxy", "web", Udp(80), Through),
        ("proxy", "client", Ping, Through),
    ]);
    cluster.end();
}

#[test]
fn answers_come_back_and_new_connections_the_other_way_do_not() {
    let members = [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];
    let Some(cluster) = Cluster::start("one_way", &Plan::new(&members, ONE_WAY)) else { return };
    cluster.assert(&[
        ("client", "web", Tcp(80), Through),
        ("client", "web", Udp(53), Through),
        ("client", "web", Ping, Through),
        ("web", "client", Tcp(80), Denied),
        ("web", "client", Udp(53), Denied),
        ("web", "client", Ping, Denied),
    ]);
    cluster.end();
}

#[test]
fn a_datagram_from_another_port_than_was_asked_is_no_answer() {
    let members = [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];
    let Some(cluster) = Cluster::start("other_port", &Plan::new(&members, ONE_WAY)) else { return };
    for family in [V4, V6] {
        let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(family));
        let asks = cluster.pod("client").run(|| UdpSocket::bind((client, 4_000))).unwrap().unwrap();
        let [answers, stranger] =
            [53, 54].map(|port| cluster.pod("web").run(|| UdpSocket::bind((web, port))).unwrap().unwrap());
        let mut heard = [0; 16];
        asks.send_to(b"question", (web, 53)).unwrap();
        answers.set_read_timeout(Some(SOON)).unwrap();
        let (_, asker) = answers.recv_from(&mut heard).unwrap();
        let before = cluster.denied("web");
        stranger.send_to(b"no answer", asker).unwrap();
        eventually("the stranger is denied", || cluster.denied("web") == before + 1);
        answers.send_to(b"answer", asker).unwrap();
        asks.set_read_timeout(Some(SOON)).unwrap();
        let (length, sender) = asks.recv_from(&mut heard).unwrap();
        assert_eq!((&heard[..length], sender.port()), (b"answer".as_slice(), 53), "{family:?}");
    }
    cluster.end();
}

const BOTH_ENDS: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress:
  - ports: [{port: 80}, {port: 81}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: in, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - ports: [{port: 81}, {port: 82}]
";

#[test]
fn a_connection_needs_the_leave_of_both_ends() {
    let members = [
        Member::new("shop/client", 2, "app: client"),
        Member::new("shop/web", 3, "app: web"),
        // By way of the gateway.
        Member { subnet: 2, ..Member::new("shop/far", 4, "app: web") },
    ];
    let Some(cluster) = Cluster::start("both_ends", &Plan::new(&members, BOTH_ENDS)) else { return };
    for to in ["web", "far"] {
        cluster.assert(&[
            ("client", to, Tcp(80), Denied),
            ("client", to, Tcp(81), Through),
            ("client", to, Tcp(82), Denied),
            ("client", to, Tcp(83), Denied),
        ]);
    }
    cluster.assert(&[
        ("web", "client", Tcp(80), Through),
        ("far", "web", Tcp(82), Through),
        ("web", "far", Tcp(80), Denied),
    ]);
    cluster.end();
}
