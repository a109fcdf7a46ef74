//! Silence: flows are forgotten long before the connections they are of, and those in their time.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::cluster::{Cluster, ONE_WAY, PAIR, Plan};
use crate::ground::{V4, V6};
use crate::support::{SOON, eventually};

/// Two sockets of which the first has asked the second.
fn asked(cluster: &Cluster, web: IpAddr, port: u16) -> (UdpSocket, UdpSocket, SocketAddr) {
    let client = cluster.member("client").address(if web.is_ipv4() { V4 } else { V6 });
    let asks = cluster.pod("client").run(|| UdpSocket::bind((client, 0))).unwrap().unwrap();
    let answers = cluster.pod("web").run(|| UdpSocket::bind((web, port))).unwrap().unwrap();
    for socket in [&asks, &answers] {
        socket.set_read_timeout(Some(SOON)).unwrap();
    }
    asks.send_to(b"question", (web, port)).unwrap();
    let (_, asker) = answers.recv_from(&mut [0; 16]).unwrap();
    (asks, answers, asker)
}

fn flows(cluster: &Cluster) -> u64 {
    cluster.daemon().status().flow_table.used
}

#[test]
fn the_side_that_was_asked_speaks_first_after_the_flows_are_forgotten() {
    let plan = Plan { tables: "[flows]\nidle = \"1s\"\n", ..Plan::new(&PAIR, ONE_WAY) };
    let Some(cluster) = Cluster::start("idle_flows", &plan) else { return };
    let webs = [V4, V6].map(|family| cluster.member("web").address(family));
    let streams = webs.map(|web| {
        let listener = cluster.pod("web").run(|| TcpListener::bind((web, 80))).unwrap().unwrap();
        let target = (web, 80).into();
        let mut asks = cluster.pod("client").run(|| TcpStream::connect_timeout(&target, SOON)).unwrap().unwrap();
        let (mut answers, _) = listener.accept().unwrap();
        asks.set_read_timeout(Some(SOON)).unwrap();
        for _ in 0..5 {
            asks.write_all(b"ask").unwrap();
            answers.read_exact(&mut [0; 3]).unwrap();
            answers.write_all(b"yes").unwrap();
            asks.read_exact(&mut [0; 3]).unwrap();
        }
        (asks, answers)
    });
    let datagrams = webs.map(|web| asked(&cluster, web, 53));
    for (asks, answers, asker) in &datagrams {
        answers.send_to(b"answer", asker).unwrap();
        asks.recv(&mut [0; 16]).unwrap();
    }
    for _ in 0..2 {
        eventually("the flows are forgotten", || flows(&cluster) == 0);
        for (mut asks, mut answers) in streams.iter().map(|(asks, answers)| (asks, answers)) {
            answers.write_all(b"more").unwrap();
            asks.read_exact(&mut [0; 4]).unwrap();
        }
        for (asks, answers, asker) in &datagrams {
            answers.send_to(b"more", asker).unwrap();
            asks.recv(&mut [0; 16]).unwrap();
        }
    }
    assert_eq!(cluster.denied("web") + cluster.denied("client"), 0, "{}", cluster.daemon().log());
    cluster.end();
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let keys = "[policy.timeouts]\nudp_opening = \"1s\"\n";
    let Some(cluster) = Cluster::start("too_late", &Plan { keys, ..Plan::new(&PAIR, ONE_WAY) }) else { return };
    let web = cluster.member("web").address(V4);
    let (asks, answers, asker) = asked(&cluster, web, 53);
    std::thread::sleep(Duration::from_millis(1_500));
    answers.send_to(b"late", asker).unwrap();
    eventually("the late answer is denied", || cluster.denied("web") == 1);
    // Asked again, it may be answered again.
    asks.send_to(b"question", (web, 53)).unwrap();
    answers.recv(&mut [0; 16]).unwrap();
    answers.send_to(b"in time", asker).unwrap();
    let mut heard = [0; 16];
    assert_eq!(asks.recv(&mut heard).map(|length| heard[..length].to_vec()).unwrap(), b"in time");
    cluster.end();
}
