//! Hand-overs that succeed.

use std::io::Write;
use std::time::Duration;

use podlane_api::PortState;

use crate::stream::Live;
use crate::support::{BLUE, Daemon, Node, SOON, ping, port};

/// Far above what a hand-over takes (it is printed), and far below what a daemon that begins anew would take on a busy machine.
const BOUND: Duration = Duration::from_millis(500);

/// Starts the next daemon, which takes over, and waits until the former has ended by itself.
fn succeed(node: &Node, former: Daemon) -> Daemon {
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
