//! A pod's port passes nothing before the policy is in force, however a daemon comes to be.

use std::fs;

use podlane_api::PortState;
use podlane_host::Links;

use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{V4, V6};
use crate::support::{Stream, eventually, spec};

const MEMBERS: [Member; 3] = [
    Member::new("shop/eager", 2, "app: eager"),
    Member::new("shop/web", 3, "app: web"),
    Member::new("lab/probe", 4, "app: probe"),
];

const DENY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
";

/// Waits until more of a pod's packets were denied.
fn goes_on_being_denied(cluster: &Cluster, pod: &str) {
    let before = cluster.denied(pod);
    eventually("packets are denied", || cluster.denied(pod) > before + 100);
}

#[test]
fn not_one_packet_passes_before_the_policy_does_at_birth_and_after_a_kill() {
    let Some(mut cluster) = Cluster::closed("born_closed", &Plan::new(&MEMBERS, DENY)) else { return };
    let web = *cluster.member("web");
    // Nobody has to be asked for before the first packet.
    let mac = [2, 0, 0, 0, web.subnet, web.host];
    for pod in ["eager", "probe"] {
        let mut links = Links::open_in(cluster.pod(pod)).unwrap();
        for family in [V4, V6] {
            links.add_neighbour("eth0", web.address(family), mac).unwrap();
        }
    }
    // From the first moment: one who may not send, and one whom the receiver may not hear, over both families.
    let senders = [("eager", V4), ("eager", V6), ("probe", V4), ("probe", V6)];
    let streams = senders.map(|(pod, family)| Stream::start(cluster.pod(pod), cluster.pod("web"), web.address(family)));
    let heard = |streams: &[Stream; 4]| streams.each_ref().map(Stream::heard);
    for _ in 0..3 {
        cluster.switch_on();
        goes_on_being_denied(&cluster, "eager");
        goes_on_being_denied(&cluster, "probe");
        assert_eq!(heard(&streams), [0; 4], "{}", cluster.daemon().log());
        cluster.switch().kill();
    }
    assert_eq!(heard(&streams), [0; 4]);
    // They would have been heard.
    fs::remove_file(cluster.node.path("policy.d/policies.yaml")).unwrap();
    cluster.switch_on();
    streams.iter().for_each(|stream| {
        stream.flows();
    });
    drop(streams);
    cluster.end();
}

#[test]
fn a_pod_of_which_nothing_is_known_is_closed_until_it_is() {
    let stranger = Member::new("shop/stranger", 5, "app: stranger");
    let members = [MEMBERS[1], MEMBERS[2]];
    let table = stranger.port();
    let Some(mut cluster) = Cluster::closed("unknown_pod", &Plan { tables: &table, ..Plan::new(&members, "") }) else {
        return;
    };
    let pod = cluster.node.lab.pod(&spec("stranger", 1, 5)).unwrap();
    cluster.switch_on();
    let stream = Stream::start(&pod.netns, cluster.pod("web"), cluster.member("web").address(V4));
    goes_on_being_denied(&cluster, "stranger");
    assert_eq!(stream.heard(), 0);
    cluster.policy("apply", &stranger.yaml());
    stream.flows();
    drop(stream);
    cluster.end();
}

#[test]
fn a_pod_that_comes_after_the_daemon_is_born_closed_each_time() {
    let late = Member::new("shop/late", 6, "app: late");
    let (table, yaml) = (late.port(), late.yaml() + DENY);
    let members = [MEMBERS[2]];
    let Some(mut cluster) = Cluster::closed("late_pod", &Plan { tables: &table, ..Plan::new(&members, &yaml) }) else {
        return;
    };
    cluster.start_daemon();
    let probe = *cluster.member("probe");
    for _ in 0..3 {
        let pod = cluster.node.lab.pod(&spec("late", late.subnet, late.host)).unwrap();
        Links::open_in(&pod.netns).unwrap().add_neighbour("eth0", probe.address(V4), [2, 0, 0, 0, 1, 4]).unwrap();
        let out = Stream::start(&pod.netns, cluster.pod("probe"), probe.address(V4));
        let into = Stream::start(cluster.pod("probe"), &pod.netns, late.address(V4));
        cluster.daemon().wait_for("late", PortState::Up);
        goes_on_being_denied(&cluster, "late");
        goes_on_being_denied(&cluster, "probe");
        assert_eq!((out.heard(), into.heard()), (0, 0), "{}", cluster.daemon().log());
        drop((out, into));
        pod.remove().unwrap();
        cluster.daemon().wait_for("late", PortState::Gone);
    }
    cluster.end();
}
