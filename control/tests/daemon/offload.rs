//! Offload as pods meet it: a flow goes over to an engine and back while it runs, and the daemon says so.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use podlane_api::{Client, Offload};

use crate::support::{BLUE, Daemon, Node, SOON, eventually, port};

fn told(node: &Node) -> Offload {
    Client::connect(&node.socket(), SOON).unwrap().offload().unwrap()
}

/// Sends a datagram and waits for it to come back; returns whether it did.
fn echoed(client: &UdpSocket, server: &UdpSocket) -> bool {
    let mut buffer = [0; 64];
    client.send(b"are you there?").unwrap();
    let Ok((length, from)) = server.recv_from(&mut buffer) else { return false };
    server.send_to(&buffer[..length], from).unwrap();
    client.recv(&mut buffer).is_ok()
}

#[test]
fn what_an_engine_carries_is_delivered_counted_and_told() {
    let Some(mut node) = Node::new("what_an_engine_carries_is_delivered_counted_and_told") else { return };
    let [red, blue] = [node.pod("red", 2), node.pod("blue", 3)];
    let network = BLUE.replace("name = \"blue\"", "name = \"blue\"\noffload = \"emulated\"");
    node.configure(&format!("{network}{}{}", port("red"), port("blue")));
    let daemon: Daemon = node.start();
    daemon.wait_all_up(SOON);
    let target = (Ipv4Addr::new(10, 1, 0, 3), 7_000);
    let server = blue.netns.run(|| UdpSocket::bind(target)).unwrap().unwrap();
    let client = red.netns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).unwrap().unwrap();
    client.connect(target).unwrap();
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    }
    eventually("both directions are carried", || {
        echoed(&client, &server);
        told(&node).engines.first().is_some_and(|engine| engine.flows >= 2 && engine.hits > 50)
    });
    let all = (0..20).filter(|_| echoed(&client, &server)).count();
    assert_eq!(all, 20, "{}", daemon.log());
    // What was carried is in the ledger, a fifth of a second later, and it balances.
    eventually("the ledger has what was carried", || {
        let (engine, ledger) = (told(&node).engines.remove(0), daemon.counters());
        engine.carried.packets == engine.hits && ledger.total.sent >= engine.hits
    });
    assert!(node.cli(&["offload"]).contains("emulated"));
    daemon.terminate();
    node.assert_clean(&["red", "blue"]);
}
