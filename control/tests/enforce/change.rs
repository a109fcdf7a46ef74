//! Policy changes while pods talk: what is allowed no more stops, what is denied no more goes on, and what is wrong changes nothing.

use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use podlane_api::{Client, Manifest, Manifests};

use crate::attempt::{Denied, Tcp, Through};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{V4, V6};
use crate::stream::TcpFlow;
use crate::support::{Node, SOON, Stream, eventually};

const MEMBERS: [Member; 2] = [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];

const CLOSED: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
";

#[test]
fn a_policy_stops_what_is_established_and_its_deletion_lets_it_go_on() {
    let Some(cluster) = Cluster::start("established", &Plan::new(&MEMBERS, "")) else { return };
    let [v4, v6] = [V4, V6].map(|family| cluster.member("web").address(family));
    let (client, web) = (cluster.pod("client"), cluster.pod("web"));
    let flows = [TcpFlow::start(client, web, (v4, 80)), TcpFlow::start(client, web, (v6, 80))];
    let datagrams = Stream::start(client, web, v4);
    for _ in 0..2 {
        flows.iter().for_each(TcpFlow::flows);
        datagrams.flows();
        let before = cluster.denied("client");
        cluster.policy("apply", CLOSED);
        // What was in the switch and in the pods' kernels when it was answered has arrived once later packets were denied.
        eventually("packets are denied", || cluster.denied("client") > before + 20);
        let heard = || (flows.each_ref().map(TcpFlow::heard), datagrams.heard());
        let stopped = heard();
        eventually("more are denied", || cluster.denied("client") > before + 200);
        assert_eq!(heard(), stopped, "{}", cluster.daemon().log());
        assert!(flows.iter().all(|flow| !flow.is_over()));
        cluster.policy("delete", CLOSED);
    }
    flows.iter().for_each(TcpFlow::flows);
    datagrams.flows();
    drop(datagrams);
    cluster.end();
}

const BAD: [(&str, &str); 4] = [
    (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: shop}\nspec: {podSelector: {\n",
        "change.yaml:",
    ),
    (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: shop}\n\
         spec: {podSelector: {}, ingres: []}\n",
        "change.yaml:4:",
    ),
    (
        // The first of them is good, and is not taken without the other.
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open, namespace: shop}\n\
         spec: {podSelector: {}, ingress: [{}]}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: shop}\n\
         spec: {podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}]}]}\n",
        "NetworkPolicy shop/closed",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nstatus: {podIPs: [{ip: 10.1.0.99}]}\n",
        "Pod shop/web",
    ),
];

#[test]
fn what_is_wrong_is_told_and_leaves_the_live_policy_in_force() {
    let Some(cluster) = Cluster::start("malformed", &Plan::new(&MEMBERS, CLOSED)) else { return };
    for (yaml, expected) in BAD {
        let output = cluster.try_policy("apply", yaml);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(expected) && told.contains('('), "{yaml}: {output:?}");
        cluster.assert(&[("client", "web", Tcp(80), Denied), ("web", "client", Tcp(80), Through)]);
    }
    cluster.end();
}

/// Lets in who has the label.
const FRIENDS: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {friend: 'yes'}}}]
";

/// What a change may take, from its being asked for to its being in force.
const BOUND: Duration = Duration::from_millis(20);

#[test]
fn a_label_counts_for_the_first_packet_after_the_answer_which_comes_within_20_ms() {
    let Some(node) = Node::alone("relabel") else { return };
    let mut cluster = Cluster::on(node, &Plan::new(&MEMBERS, FRIENDS));
    cluster.switch_on();
    let [client, web] = ["client", "web"].map(|name| *cluster.member(name));
    let server = cluster.pod("web").run(|| UdpSocket::bind((web.address(V4), 53))).unwrap().unwrap();
    let asks = cluster.pod("client").run(|| UdpSocket::bind((client.address(V4), 0))).unwrap().unwrap();
    asks.connect((web.address(V4), 53)).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let mut socket = Client::connect(&cluster.node.socket(), Duration::from_secs(5)).unwrap();
    let mut relabel = |labels: &'static str| {
        // Changes that come faster than ten a second are put in force together.
        std::thread::sleep(Duration::from_millis(120));
        let yaml = Member { labels, ..client }.yaml();
        let (began, files) = (Instant::now(), vec![Manifest { from: String::new(), yaml }]);
        let applied = socket.apply_policy(Manifests { files, wait: true }).unwrap();
        assert!(applied.in_force);
        began.elapsed()
    };
    let mut took = Vec::new();
    for number in 0..15u8 {
        took.push(relabel("app: client, friend: 'yes'"));
        asks.send(&[number]).unwrap();
        let mut heard = [0; 2];
        // Of those that were sent before, none comes, then or later.
        assert_eq!((server.recv(&mut heard).unwrap(), heard[0]), (1, number), "{}", cluster.daemon().log());
        took.push(relabel("app: client"));
        let before = cluster.denied("client");
        asks.send(&[0xff]).unwrap();
        eventually("the next one is denied", || cluster.denied("client") == before + 1);
    }
    took.sort_unstable();
    let _ =
        writeln!(std::io::stderr(), "relabelled within {:?}, median {:?}", took[took.len() - 1], took[took.len() / 2]);
    // The median: the test's own threads have to be scheduled, too.
    assert!(took[took.len() / 2] < BOUND, "{took:?}");
    cluster.end();
}

/// The web is reached from namespaces of the team, on the port that it calls http.
const TEAM: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: team, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: sales}}}]
    ports: [{port: http}]
";

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: lab, labels: {{{labels}}}}}\n")
}

#[test]
fn a_namespaces_labels_and_the_names_of_ports_count_as_they_are_now() {
    let http = |ports| Member { ports, ..Member::new("shop/web", 2, "app: web") };
    let members = [http("{name: http, containerPort: 80}"), Member::new("lab/probe", 3, "app: probe")];
    let Some(cluster) = Cluster::start("relabelled", &Plan::new(&members, TEAM)) else { return };
    let probe = |port, outcome| cluster.assert(&[("probe", "web", Tcp(port), outcome)]);
    probe(80, Denied);
    cluster.policy("apply", &namespace("team: sales"));
    probe(80, Through);
    probe(8080, Denied);
    cluster.policy("apply", &http("{name: http, containerPort: 8080}").yaml());
    probe(80, Denied);
    probe(8080, Through);
    cluster.policy("apply", &namespace("team: lab"));
    probe(8080, Denied);
    cluster.end();
}

#[test]
fn a_pod_that_is_deleted_is_closed_in_both_directions() {
    let Some(cluster) = Cluster::start("deleted_pod", &Plan::new(&MEMBERS, "")) else { return };
    let [client, web] = ["client", "web"].map(|name| *cluster.member(name));
    let flow = TcpFlow::start(cluster.pod("client"), cluster.pod("web"), (web.address(V4), 80));
    flow.flows();
    cluster.policy("delete", &client.yaml());
    cluster.assert(&[("client", "web", Tcp(81), Denied), ("web", "client", Tcp(81), Denied)]);
    let before = (cluster.denied("client"), flow.heard());
    eventually("the flow is denied", || cluster.denied("client") > before.0);
    assert_eq!(flow.heard(), before.1);
    cluster.policy("apply", &client.yaml());
    flow.flows();
    drop(flow);
    cluster.end();
}

/// Of three tiers: the first passes port 80 on, the last denies what nobody spoke of.
const TIERS: &str = r"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: first}
spec:
  tier: Admin
  priority: 5
  subject: {namespaces: {}}
  ingress:
  - action: Pass
    from: [{namespaces: {}}]
    protocols: [{tcp: {destinationPort: {number: 80}}}]
  - action: Accept
    from: [{namespaces: {}}]
    protocols: [{tcp: {destinationPort: {number: 81}}}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: last}
spec:
  tier: Baseline
  priority: 5
  subject: {namespaces: {}}
  ingress:
  - action: Deny
    from: [{namespaces: {}}]
";

#[test]
fn tiers_are_asked_in_their_order() {
    let Some(cluster) = Cluster::start("tiers", &Plan::new(&MEMBERS, TIERS)) else { return };
    let facts = |passed, other| {
        cluster.assert(&[
            ("client", "web", Tcp(80), passed),
            ("client", "web", Tcp(81), Through),
            ("client", "web", Tcp(82), other),
        ]);
    };
    facts(Denied, Denied);
    // A policy of the namespace's own has a say where the first tier passes on or says nothing.
    let own = |port: u16| CLOSED.to_owned() + &format!("  ingress: [{{ports: [{{port: {port}}}]}}]\n");
    cluster.policy("apply", &own(80));
    facts(Through, Denied);
    cluster.policy("apply", &own(82));
    facts(Denied, Through);
    cluster.policy("delete", CLOSED);
    facts(Denied, Denied);
    cluster.end();
}
