//! Hand-overs that succeed.

use std::io::Write;
use std::time::Duration;

use podlane_api::PortState;

use crate::stream::Live;
use crate::support::{BLUE, Daemon, Node, SOON, eventually, ping, port};

/// Far above what a hand-over takes (it is printed), and far below what a daemon that begins anew would take on a busy machine.
const BOUND: Duration = Duration::from_millis(500);

/// Starts the next daemon, which takes over, and waits until the former has ended by itself.
pub(crate) fn succeed(node: &Node, former: Daemon) -> Daemon {
    let pid = former.pid().as_raw().unsigned_abs();
    let next = node.start();
    former.ended();
    let took_over = next.status().took_over.unwrap_or_else(|| panic!("nothing was taken over: {}", next.log()));
    assert_eq!(took_over.pid, pid);
    let gap = Duration::from_micros(took_over.gap_us);
    let _ = writeln!(std::io::stderr(), "gap: {gap:?}");
    assert!(gap < BOUND, "{gap:?}\n{}", next.log());
    assert!(next.ports().ports.iter().all(|port| port.state == PortState::Up), "{}", next.log());
    next
}

#[test]
fn a_tcp_stream_survives_five_daemons_and_no_byte_is_lost() {
    let Some(mut node) = Node::new("a_tcp_stream_survives_five") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let mut daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    for _ in 0..5 {
        stream.silence();
        daemon = succeed(&node, daemon);
        stream.flows();
        let _ = writeln!(std::io::stderr(), "longest silence of the stream: {:?}", stream.silence());
    }
    stream.end();
    daemon.counters();
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn an_established_connection_outlives_a_daemon_that_picks_up_none() {
    let Some(mut node) = Node::new("an_established_connection_outlives") else { return };
    let pods = [("red", 2), ("green", 3)].map(|(name, host)| node.pod(name, host));
    let port = |(name, host): (&str, u8)| {
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.{host}\", \"fd00:1::{host}\"]\n\
             pod = \"blue/{name}\"\nlabels = {{ app = \"{name}\" }}\n"
        )
    };
    let ports = [("red", 2), ("green", 3)].map(port).concat();
    node.configure(&format!("[policy]\npick_up = false\n{BLUE}{ports}"));
    let mut daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&pods[0].netns, &pods[1].netns, [10, 1, 0, 3]);
    stream.flows();
    // Applied over the socket, and in no file: what is open may go on, what answers to it is not picked up anew.
    let closed = node.path("closed.yaml");
    std::fs::write(&closed, CLOSED).unwrap();
    node.cli(&["policy", "apply", closed.to_str().unwrap()]);
    assert!(!ping(&pods[1].netns, [10, 1, 0, 2], DENIED));
    for _ in 0..3 {
        daemon = succeed(&node, daemon);
        stream.flows();
        assert!(!ping(&pods[1].netns, [10, 1, 0, 2], DENIED), "the policy is lost: {}", daemon.log());
    }
    stream.end();
    daemon.counters();
    node.cli(&["policy", "delete", closed.to_str().unwrap()]);
    assert!(ping(&pods[1].netns, [10, 1, 0, 2], SOON));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

/// Nobody opens anything to `red`.
const CLOSED: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: red, namespace: blue}\n\
    spec:\n  podSelector: {matchLabels: {app: red}}\n  policyTypes: [Ingress]\n";

/// How long nothing may answer to be taken for denied: an answer takes a millisecond.
const DENIED: Duration = Duration::from_millis(250);

#[test]
fn a_daemon_that_wants_other_ports_keeps_those_that_stay() {
    let Some(mut node) = Node::new("a_daemon_that_wants_other_ports") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let (_gone, _come) = (node.pod("a-gone", 4), node.pod("come", 5));
    node.configure(&format!("{BLUE}{}{}{}", port("red"), port("green"), port("a-gone")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    node.configure(&format!("{BLUE}{}{}{}", port("red"), port("green"), port("come")));
    let pid = daemon.pid();
    let daemon = {
        let next = node.start();
        daemon.ended();
        next
    };
    assert_eq!(daemon.status().took_over.unwrap().pid, pid.as_raw().unsigned_abs());
    daemon.wait_all_up(SOON);
    stream.flows();
    stream.end();
    assert!(ping(&red.netns, [10, 1, 0, 5], SOON), "the port that came: {}", daemon.log());
    // Nothing holds the device of the port that went.
    eventually("the device is free", || !node.pins().join("a-gone").exists());
    drop(node.occupy("a-gone"));
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green", "come"]);
}

#[test]
fn after_a_kill_the_next_daemon_has_packets_going_soon() {
    let Some(mut node) = Node::alone("after_a_kill_soon") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    daemon.kill();
    let began = std::time::Instant::now();
    let daemon = node.start();
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
    let _ = writeln!(std::io::stderr(), "after a kill: {:?} from the start to the first answer", began.elapsed());
    assert!(daemon.status().took_over.is_none());
    stream.flows();
    stream.end();
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn two_workers_that_hand_frames_to_each_other_stand_still_together() {
    let Some(mut node) = Node::new("two_workers_stand_still_together") else { return };
    // Devices with one queue go to the workers in turn, so two pods in a row are with two of them.
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure_with("cores = [0, 1]\nframes = 4096\n", &format!("{BLUE}{}{}", port("red"), port("green")));
    let mut daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Live::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    for _ in 0..3 {
        daemon = succeed(&node, daemon);
        stream.flows();
    }
    stream.end();
    // The ledger goes on with the former ones' numbers, and balances.
    assert!(daemon.counters().total.received > 100);
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}
