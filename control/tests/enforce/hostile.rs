//! What an attacker does to connections of others: resets, and SYNs in numbers.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use podlane_host::Links;
use podlane_wire::TcpFlags;

use crate::attempt::{Tcp, Through};
use crate::cluster::{Cluster, Member, Plan};
use crate::forged::{Forger, Sight};
use crate::ground::V4;
use crate::stream::TcpFlow;
use crate::support::{SOON, eventually};

const MEMBERS: [Member; 3] = [
    Member::new("shop/client", 2, "app: client"),
    Member::new("shop/web", 3, "app: web"),
    Member::new("lab/flooder", 4, "app: flooder"),
];

const OPEN: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{}]
";

#[test]
fn a_reset_ends_a_connection_only_where_its_number_is_the_next() {
    let Some(cluster) = Cluster::start("reset", &Plan::new(&MEMBERS, OPEN)) else { return };
    let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(V4));
    let listener = cluster.pod("web").run(|| TcpListener::bind((web, 80))).unwrap().unwrap();
    let mut sight = Sight::new(cluster.pod("web"));
    let target = (web, 80).into();
    let mut asks = cluster.pod("client").run(|| TcpStream::connect_timeout(&target, SOON)).unwrap().unwrap();
    let (mut answers, _) = listener.accept().unwrap();
    answers.set_read_timeout(Some(SOON)).unwrap();
    asks.set_read_timeout(Some(SOON)).unwrap();
    let port = asks.local_addr().unwrap().port();
    let forger = Forger::new(cluster.pod("client"), client, web);
    let mut talk = || {
        let mut heard = [0; 5];
        asks.write_all(b"hello").unwrap();
        answers.read_exact(&mut heard)?;
        answers.write_all(b"world").unwrap();
        asks.read_exact(&mut heard)?;
        Ok::<(), std::io::Error>(())
    };
    for _ in 0..3 {
        talk().unwrap();
        sight.next_after(port, 5);
    }
    talk().unwrap();
    let next = sight.next_after(port, 5);
    let refused = || cluster.dropped("client", "bad_reset");
    for (number, distance) in [(1, 1 << 29), (2, u32::MAX - (1 << 20)), (3, 1 << 31)] {
        forger.send((port, 80), next.wrapping_add(distance), TcpFlags::RST);
        eventually("a reset out of the window is refused", || refused() == number);
    }
    talk().unwrap();
    // Within the window and not the next: who is opened to asks back, and the connection goes on (RFC 5961, 3.2).
    let next = sight.next_after(port, 5);
    forger.send((port, 80), next.wrapping_add(100), TcpFlags::RST);
    talk().unwrap();
    let next = sight.next_after(port, 5);
    forger.send((port, 80), next, TcpFlags::RST);
    let ended = answers.read(&mut [0; 8]).map_err(|error| error.kind());
    assert_eq!((ended, refused()), (Err(ErrorKind::ConnectionReset), 3), "{}", cluster.daemon().log());
    cluster.end();
}

/// How many connections the table holds: the fewest that may be configured.
const CAPACITY: u16 = 1_024;

/// A connection from the client to the web that flows all the while, and ten times the table in SYNs from the flooder to the web.
fn flooded(test: &str, yaml: &str) -> Option<(Cluster, TcpFlow)> {
    let keys = format!("connections = {CAPACITY}\n");
    let cluster = Cluster::start(test, &Plan { keys: &keys, ..Plan::new(&MEMBERS, yaml) })?;
    let [web, flooder] = ["web", "flooder"].map(|name| cluster.member(name).address(V4));
    let flow = TcpFlow::start(cluster.pod("client"), cluster.pod("web"), (web, 80));
    flow.flows();
    // Answers to the flood are lost on their way: its connections stay half open.
    Links::open_in(cluster.pod("web")).unwrap().add_route(flooder, 32, None, "lo").unwrap();
    let mac = [2, 0, 0, 0, 1, 3];
    Links::open_in(cluster.pod("flooder")).unwrap().add_neighbour("eth0", web, mac).unwrap();
    let forger = Forger::new(cluster.pod("flooder"), flooder, web);
    let came = |cluster: &Cluster| cluster.daemon().port("flooder").received.packets;
    let before = came(&cluster);
    let mut port = 1_024..;
    while came(&cluster) < before + 10 * u64::from(CAPACITY) {
        for port in port.by_ref().take(256) {
            forger.send((port, 81), 7, TcpFlags::SYN);
        }
        flow.flows();
    }
    Some((cluster, flow))
}

#[test]
fn a_flood_that_policy_denies_takes_no_room_at_all() {
    let policy = OPEN.replace("[{}]", "[{from: [{podSelector: {}}]}]");
    let Some((cluster, flow)) = flooded("denied_flood", &policy) else { return };
    assert!(cluster.denied("flooder") >= 10 * u64::from(CAPACITY));
    let table = cluster.daemon().status().connection_table.unwrap();
    assert_eq!((table.used, table.opening), (1, 0), "{table:?}");
    cluster.assert(&[("client", "web", Tcp(82), Through)]);
    drop(flow);
    cluster.end();
}

#[test]
fn ten_times_the_table_in_syns_leave_what_is_established_flowing() {
    let Some((cluster, flow)) = flooded("syn_flood", OPEN) else { return };
    let full = cluster.dropped("flooder", "connections_full");
    assert!(full > 0, "{}", cluster.daemon().log());
    let table = cluster.daemon().status().connection_table.unwrap();
    assert!(table.used <= table.capacity && table.opening > table.capacity / 2, "{table:?}");
    assert_eq!(cluster.dropped("client", "connections_full") + cluster.denied("client"), 0);
    let warned =
        || cluster.daemon().logged(&["\"level\":\"WARN\"", "the connection table holds", "of 1024 connections"]);
    eventually("who runs it is warned", warned);
    flow.flows();
    // What is half open goes early where there is no room: soon there is some again.
    cluster.assert(&[("client", "web", Tcp(82), Through)]);
    flow.flows();
    drop(flow);
    cluster.end();
}
