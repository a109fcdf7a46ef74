//! Rates as pods' kernels meet them: UDP that does not care, TCP that does, and a pod that floods its neighbours' switch with SYNs.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use podlane_host::Netns;
use podlane_host::lab::Pod;

use crate::support::{BLUE, Daemon, Node, SOON, port};

/// The rate of a limited pod, bits a second: what a core that others use has left all the time.
const RATE: u64 = 20_000_000;
/// How long what arrives is counted.
const WINDOW: Duration = Duration::from_secs(3);
/// How long it takes at most until a burst is used up.
const SETTLED: Duration = Duration::from_millis(700);
/// Between two looks.
const A_WHILE: Duration = Duration::from_millis(20);

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, host)
}

/// What `counted` grows by in a second, measured over the window once the burst is used up.
fn a_second(counted: &AtomicU64) -> f64 {
    std::thread::sleep(SETTLED);
    let (began, before) = (Instant::now(), counted.load(Ordering::Relaxed));
    std::thread::sleep(WINDOW);
    (counted.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64()
}

/// Datagrams of 1400 bytes, three times [`RATE`]; how many bits arrive a second, Ethernet headers included.
fn offered_by_udp(from: &Netns, to: &Netns, target: Ipv4Addr) -> f64 {
    const FRAME_BITS: u64 = (14 + 20 + 8 + 1400) * 8;
    let server = to.run(|| UdpSocket::bind((target, 0))).unwrap().unwrap();
    let client = from.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).unwrap().unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    server.set_read_timeout(Some(A_WHILE)).unwrap();
    let (stop, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (began, mut sent) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * 3.0 * RATE as f64) as u64 / FRAME_BITS;
                // After a pause, no more at once than a socket takes.
                for _ in sent..due.min(sent + 128) {
                    let _ = client.send(&[7; 1400]);
                }
                sent = due;
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if server.recv(&mut [0; 1500]).is_ok() {
                    heard.fetch_add(FRAME_BITS, Ordering::Relaxed);
                }
            }
        });
        let rate = a_second(&heard);
        stop.store(true, Ordering::Relaxed);
        rate
    })
}

/// As much as TCP gets through; how many bits of data arrive a second.
fn offered_by_tcp(from: &Netns, to: &Netns, target: Ipv4Addr) -> f64 {
    let server = to.run(|| TcpListener::bind((target, 0))).unwrap().unwrap();
    let at = server.local_addr().unwrap();
    let mut client = from.run(|| TcpStream::connect_timeout(&at, SOON)).unwrap().unwrap();
    let (mut other, _) = server.accept().unwrap();
    client.set_write_timeout(Some(A_WHILE)).unwrap();
    other.set_read_timeout(Some(A_WHILE)).unwrap();
    let (stop, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                went(client.write(&[7; 16_384]));
            }
        });
        scope.spawn(|| {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Ordering::Relaxed) {
                heard.fetch_add(went(other.read(&mut buffer)) as u64 * 8, Ordering::Relaxed);
            }
        });
        let rate = a_second(&heard);
        stop.store(true, Ordering::Relaxed);
        rate
    })
}

/// How many bytes went within the time a socket waits.
fn went(result: std::io::Result<usize>) -> usize {
    match result {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
        Err(error) => panic!("{error}"),
    }
}

fn dropped(daemon: &Daemon, port: &str, reason: &str) -> u64 {
    let counters = daemon.counters();
    let ledger = counters.ports.iter().find(|ledger| ledger.name == port).unwrap();
    ledger.dropped.get(reason).copied().unwrap_or(0)
}

fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Asserts a share of [`RATE`], in percent.
fn assert_share(what: &str, bits: f64, bounds: std::ops::RangeInclusive<f64>) {
    let share = bits * 100.0 / RATE as f64;
    say(&format!("{what}: {share:.1} % of the rate"));
    assert!(bounds.contains(&share), "{what}: {share:.1} % of the rate");
}

/// `red`, which may send so much, `green`, which may receive so much, and `white`, which may do as it likes.
fn limited(test: &str) -> Option<(Node, [Pod; 3], Daemon)> {
    let mut node = Node::alone(test)?;
    let pods = [("red", 2), ("green", 3), ("white", 4)].map(|(name, host)| node.pod(name, host));
    let red = port("red") + "egress_rate = \"20M\"\n";
    let green = port("green") + "ingress_rate = 20_000_000\n";
    node.configure(&format!("{BLUE}{red}{green}{}", port("white")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    Some((node, pods, daemon))
}

#[test]
fn udp_arrives_at_the_rate_whichever_end_has_it() {
    let Some((node, [red, green, white], daemon)) = limited("udp_arrives_at_the_rate") else { return };
    // In the time of one: at what they are offered, there is room for both.
    let [from, to] = std::thread::scope(|scope| {
        let from = scope.spawn(|| offered_by_udp(&red.netns, &white.netns, address(4)));
        let to = offered_by_udp(&white.netns, &green.netns, address(3));
        [from.join().unwrap(), to]
    });
    assert_share("UDP from a limited pod", from, 90.0..=110.0);
    assert!(dropped(&daemon, "red", "egress_rate") > 0);
    assert_share("UDP to a limited pod", to, 90.0..=110.0);
    assert!(dropped(&daemon, "white", "ingress_rate") > 0);
    // What nobody limits: three times as much, and more where the test caught up after a pause.
    assert_share("UDP back", offered_by_udp(&white.netns, &red.netns, address(2)), 200.0..=f64::INFINITY);
    assert_eq!(dropped(&daemon, "white", "egress_rate"), 0);
    let shown: serde_json::Value = serde_json::from_str(&node.cli(&["ports", "--json"])).unwrap();
    let rates = |name| &shown["ports"].as_array().unwrap().iter().find(|port| port["name"] == name).unwrap()["rates"];
    let bandwidth = serde_json::json!({ "rate": RATE, "burst": RATE / 4 });
    assert_eq!(rates("red")["egress"], bandwidth);
    assert_eq!(rates("green")["ingress"], bandwidth);
    assert!(rates("white").as_object().unwrap().values().all(serde_json::Value::is_null));
    daemon.terminate();
}

#[test]
fn tcp_makes_use_of_the_rate() {
    let Some((_node, [red, green, white], daemon)) = limited("tcp_makes_use_of_the_rate") else { return };
    assert_share("TCP from a limited pod", offered_by_tcp(&red.netns, &white.netns, address(4)), 70.0..=105.0);
    assert_share("TCP to a limited pod", offered_by_tcp(&white.netns, &green.netns, address(3)), 70.0..=105.0);
    daemon.terminate();
}
