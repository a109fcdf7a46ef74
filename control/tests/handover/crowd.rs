//! A hand-over of a node that is full: more descriptors than one message takes, and every port goes on.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use podlane_api::PortState;
use podlane_host::lab::{Pod, PodSpec};

use crate::support::{Node, SOON, ping, within};

/// A network with room for a crowd.
const WIDE: &str = "[[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/16\"]\n";

fn address(at: u16) -> Ipv4Addr {
    let [high, low] = (at + 2).to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

fn pods(node: &mut Node, count: u16) -> Vec<Pod> {
    let pod = |at: u16| PodSpec { ipv4: Some((address(at), 16)), ..PodSpec::named(&format!("pod{at}")) };
    (0..count).map(|at| node.lab.pod(&pod(at)).unwrap()).collect()
}

/// Hands a node with so many ports over; the gap.
fn hand_over(node: &mut Node, count: u16, frames: u32) -> Duration {
    let pods = pods(node, count);
    let port = |pod: &Pod| {
        let name = &pod.host_ifname;
        format!("[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"blue\"\nqueues = 1\nring = 64\n")
    };
    let ports: String = pods.iter().map(port).collect();
    node.configure_with(&format!("cores = [{}]\nframes = {frames}\n", Node::core()), &format!("{WIDE}{ports}"));
    let former = node.start();
    former.wait_all_up(18 * SOON);
    let began = Instant::now();
    let next = node.start();
    let all = began.elapsed();
    former.ended();
    let took_over = next.status().took_over.unwrap_or_else(|| panic!("nothing was taken over: {}", next.log()));
    let gap = Duration::from_micros(took_over.gap_us);
    let _ = writeln!(std::io::stderr(), "{count} ports: a gap of {gap:?}, {all:?} from start to ready");
    let up = || next.ports().ports.iter().filter(|port| port.state == PortState::Up).count();
    within(SOON, "all ports are up", || up() == usize::from(count));
    for at in [0, count / 2, count - 1] {
        let other = (at + 1) % count;
        assert!(ping(&pods[usize::from(at)].netns, address(other), SOON), "{at} to {other}: {}", next.log());
    }
    next.counters();
    next.terminate();
    gap
}

#[test]
fn more_ports_than_a_message_has_room_for_are_handed_over() {
    let Some(mut node) = Node::alone("more_ports_than_a_message") else { return };
    // Two descriptors a port, and 253 a message.
    hand_over(&mut node, 140, 32_768);
}

#[test]
#[ignore = "a measurement: cargo test --release -p podlane --test handover -- --ignored --nocapture five_hundred"]
fn five_hundred_ports_are_handed_over() {
    let Some(mut node) = Node::alone("five_hundred_ports") else { return };
    let gap = hand_over(&mut node, 500, 32_768);
    assert!(gap < Duration::from_millis(500), "{gap:?}");
}
