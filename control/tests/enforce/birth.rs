//! A pod's port passes nothing before the policy is in force, however a daemon comes to be.

use std::fs;

use std::net::IpAddr;

use podlane_api::PortState;
use podlane_host::{Links, sysctl};

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

/// Waits until the switch received more of a pod's packets.
fn goes_on_being_received(cluster: &Cluster, pod: &str) {
    let received = || cluster.daemon().port(pod).received.packets;
    let before = received();
    eventually("packets are received", || received() > before + 100);
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

/// An address of the node's own, which its kernel answers for by whatever device it is asked.
const HOST: [u8; 4] = [10, 1, 0, 9];

/// Has the node's kernel be a router that would carry what pods send: it has an address, forwards, and knows the way to `probe`. The
/// pods give their packets for `probe` to it.
fn lure(cluster: &Cluster, pods: &[&podlane_host::Netns]) {
    let probe = *cluster.member("probe");
    let to = probe.address(V4);
    let host = cluster.node.lab.switch();
    host.run(|| sysctl("net/ipv4/ip_forward", 1).and_then(|()| sysctl("net/ipv4/conf/all/rp_filter", 0)))
        .unwrap()
        .unwrap();
    let mut links = Links::open_in(host).unwrap();
    links.set_up("lo").unwrap();
    links.add_address("lo", HOST.into(), 32).unwrap();
    links.add_route(to, 32, None, "probe").unwrap();
    links.add_neighbour("probe", to, [2, 0, 0, 0, 1, probe.host]).unwrap();
    for (pod, device) in pods.iter().zip(["web", "plain"]) {
        host.run(|| sysctl(&format!("net/ipv4/conf/{device}/rp_filter"), 0)).unwrap().unwrap();
        let mac = links.by_name(device).unwrap().mac.unwrap();
        let mut inside = Links::open_in(pod).unwrap();
        for address in [IpAddr::from(HOST), to] {
            inside.add_neighbour("eth0", address, mac).unwrap();
        }
    }
}

#[test]
fn over_a_killed_daemon_a_pod_under_policy_reaches_neither_the_host_nor_what_it_forwards_to() {
    let members = [MEMBERS[1], MEMBERS[2]];
    let table = crate::ground::port("plain", "net1", 1, 5);
    let Some(mut cluster) = Cluster::closed("dead_daemon", &Plan { tables: &table, ..Plan::new(&members, DENY) })
    else {
        return;
    };
    let plain = cluster.node.lab.pod(&spec("plain", 1, 5)).unwrap();
    lure(&cluster, &[cluster.pod("web"), &plain.netns]);
    cluster.switch_on();
    let (host, probe) = (cluster.node.lab.switch(), cluster.member("probe").address(V4));
    let streams = |pod| [Stream::start(pod, host, IpAddr::from(HOST)), Stream::start(pod, cluster.pod("probe"), probe)];
    let (closed, open) = (streams(cluster.pod("web")), streams(&plain.netns));
    let heard = |streams: &[Stream; 2]| streams.each_ref().map(Stream::heard);
    goes_on_being_received(&cluster, "web");
    // The switch has them, and gives what is for `probe` to `probe`, if policy lets it: that MAC address is nobody's.
    assert_eq!((heard(&closed), open[0].heard()), ([0; 2], 0));
    for _ in 0..2 {
        cluster.switch().kill();
        // Who is under no policy has the host's kernel for a switch now, so that time passes and the ground is what it seems.
        for stream in open.iter().cycle().take(40) {
            stream.flows();
        }
        assert_eq!(heard(&closed), [0; 2], "of a daemon that is dead");
        // The next one takes the programs over, and nothing comes between.
        cluster.switch_on();
        goes_on_being_received(&cluster, "web");
        assert_eq!(heard(&closed), [0; 2], "{}", cluster.daemon().log());
    }
    cluster.switch().kill();
    // It was the program that dropped them, and nothing else.
    podlane_bpf::sweep(&cluster.node.pins(), &[]).unwrap();
    closed.iter().for_each(|stream| {
        stream.flows();
    });
    cluster.switch_on();
    drop((closed, open));
    plain.remove().unwrap();
    cluster.end();
}

#[test]
fn a_port_that_cannot_be_opened_is_closed_and_left_clean() {
    let stuck = Member::new("shop/stuck", 5, "app: stuck");
    // A veth has no zero-copy: the program is attached, and the socket refused, again and again.
    let table = stuck.port() + "mode = \"zero-copy\"\n";
    let members = [MEMBERS[1], MEMBERS[2]];
    let yaml = stuck.yaml();
    let Some(mut cluster) = Cluster::closed("stuck", &Plan { tables: &table, ..Plan::new(&members, &yaml) }) else {
        return;
    };
    let pod = cluster.node.lab.pod(&spec("stuck", 1, 5)).unwrap();
    let host = cluster.node.lab.switch();
    let mut links = Links::open_in(host).unwrap();
    links.set_up("lo").unwrap();
    links.add_address("lo", HOST.into(), 32).unwrap();
    host.run(|| sysctl("net/ipv4/conf/all/rp_filter", 0).and_then(|()| sysctl("net/ipv4/conf/stuck/rp_filter", 0)))
        .unwrap()
        .unwrap();
    let mac = links.by_name("stuck").unwrap().mac.unwrap();
    Links::open_in(&pod.netns).unwrap().add_neighbour("eth0", IpAddr::from(HOST), mac).unwrap();
    let stream = Stream::start(&pod.netns, host, IpAddr::from(HOST));
    let clock = Stream::start(cluster.pod("web"), cluster.pod("probe"), cluster.member("probe").address(V4));
    stream.flows();
    cluster.start_daemon();
    cluster.daemon().wait_for("stuck", PortState::Failed);
    cluster.daemon().wait_for("web", PortState::Up);
    // What was on its way has arrived by the second.
    let heard = [(); 2].map(|()| {
        goes_on_being_received(&cluster, "web");
        stream.heard()
    });
    assert_eq!(heard[0], heard[1], "{}", cluster.daemon().log());
    drop((stream, clock));
    cluster.switch().terminate();
    cluster.node.assert_clean(&["stuck", "web", "probe"]);
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
