//! A pod that floods another with SYNs, and their neighbour, who should not notice: real kernels, a policy in force, and a cap on what the
//! one may open.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use podlane_host::Netns;
use podlane_wire::{IpProtocol, TcpFlags, TcpHeader, checksum};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{BLUE, Node, SOON};

/// Connections that the flooding pod may open a second.
const CAP: u32 = 100;
/// SYNs at once, some thousand times a second: hundreds of times the cap. The pods share a core, and no more of its time is to be
/// taken in one go than an echo can miss.
const SYNS: u32 = 8;
/// Rounds of each kind, by turns: at least so many, and as many as it takes to find one of each that other work on the machine left alone.
const ROUNDS: std::ops::RangeInclusive<usize> = 6..=60;
/// How long a round lasts.
const ROUND: Duration = Duration::from_millis(150);

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: green, namespace: shop}
spec:
  podSelector: {matchLabels: {app: green}}
  ingress:
  - from:
    - podSelector: {}
";

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, host)
}

/// The port of a pod that policies know.
fn port(name: &str, host: u8, keys: &str) -> String {
    format!(
        "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"blue\"\nmac = \"02:00:00:00:01:{host:02x}\"\n\
         addresses = [\"{}\", \"fd00:1::{host:x}\"]\npod = \"shop/{name}\"\nlabels = {{ app = \"{name}\" }}\n{keys}",
        address(host)
    )
}

/// A SYN of a connection nobody has tried before.
fn syn(number: u32, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let header = TcpHeader {
        source_port: 10_000 + (number % 50_000) as u16,
        destination_port: 1_000 + (number / 50_000) as u16,
        sequence: number,
        acknowledgement: 0,
        reserved: 0,
        flags: TcpFlags::SYN,
        window: 65_535,
        checksum: 0,
        urgent: 0,
        options: Default::default(),
    };
    let mut segment = vec![0; 20];
    header.emit(&mut segment).unwrap();
    let sum = checksum::pseudo_v4(from, to, IpProtocol::TCP, 20).plus(checksum::sum(&segment)).finish();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// Floods `to` with SYNs while `flooding`, until `over`; counts them.
fn flood((from, to): (Ipv4Addr, Ipv4Addr), socket: &Socket, flooding: &AtomicBool, over: &AtomicBool) -> u32 {
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..if flooding.load(Ordering::Relaxed) { SYNS } else { 0 } {
            sent += u32::from(socket.send_to(&syn(sent, from, to), &SocketAddr::from((to, 0)).into()).is_ok());
        }
        std::thread::sleep(Duration::from_micros(150));
    }
    sent
}

/// Asks for one echo after the other for a round; the 99th percentile of their round trips.
fn echoes(client: &UdpSocket, asked: &AtomicU64) -> Duration {
    let mut trips = Vec::new();
    let began = Instant::now();
    while began.elapsed() < ROUND || trips.len() < 200 {
        assert!(began.elapsed() < SOON, "{} echoes within {SOON:?}", trips.len());
        let number = asked.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let at = Instant::now();
        client.send(&number).unwrap();
        let mut heard = [0; 8];
        // What is lost is one that took as long as the socket waits.
        while client.recv(&mut heard).is_ok() && heard != number {}
        trips.push(at.elapsed());
    }
    trips.sort_unstable();
    trips[trips.len() * 99 / 100]
}

/// Opens connections, one after the other, and closes them.
fn connects(from: &Netns, to: &Netns, target: Ipv4Addr, count: usize) {
    let server = to.run(|| TcpListener::bind((target, 0))).unwrap().unwrap();
    let at = server.local_addr().unwrap();
    for _ in 0..count {
        drop(from.run(|| TcpStream::connect_timeout(&at, SOON)).unwrap().unwrap());
        server.accept().unwrap();
    }
}

/// What [`rounds`] saw.
struct Seen {
    /// The 99th percentile of the best round without the flood, and of the best with it: what the switch does to them.
    p99: [Duration; 2],
    syns: u32,
    took: Duration,
}

/// Whether the flood makes no difference but that its sender has a part of the pods' core.
fn is_flat([quiet, loud]: [Duration; 2]) -> bool {
    loud <= quiet * 2 + Duration::from_micros(100)
}

/// `red` floods `green` in every second round, while `white` asks `green` for echoes, and opens connections in between.
fn rounds([red, green, white]: [&Netns; 3]) -> Seen {
    let server = green.run(|| UdpSocket::bind((address(3), 0))).unwrap().unwrap();
    let client = white.run(|| UdpSocket::bind((address(4), 0))).unwrap().unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    }
    let raw = red.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))).unwrap().unwrap();
    let (flooding, over, asked) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut heard = [0; 8];
            while !over.load(Ordering::Relaxed) {
                if let Ok((length, sender)) = server.recv_from(&mut heard) {
                    let _ = server.send_to(&heard[..length], sender);
                }
            }
        });
        let flooder = scope.spawn(|| flood((address(2), address(3)), &raw, &flooding, &over));
        echoes(&client, &asked);
        let began = Instant::now();
        let round = |floods| {
            flooding.store(floods, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
            echoes(&client, &asked)
        };
        let mut p99 = [Duration::MAX; 2];
        for number in 1..=*ROUNDS.end() {
            let both = [false, true].map(round);
            p99 = [p99[0].min(both[0]), p99[1].min(both[1])];
            // And what is not of the flood is opened all the same.
            connects(white, green, address(3), 5);
            if number >= *ROUNDS.start() && is_flat(p99) {
                break;
            }
        }
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        Seen { p99, syns: flooder.join().unwrap(), took }
    })
}

#[test]
fn a_flood_of_syns_in_one_pod_leaves_its_neighbours_p99_flat() {
    let Some(mut node) = Node::alone("a_flood_of_syns") else { return };
    let [red, green, white] = [("red", 2), ("green", 3), ("white", 4)].map(|(name, host)| node.pod(name, host).netns);
    let policies = node.path("policies.yaml");
    fs::write(&policies, POLICY).unwrap();
    let red_port = port("red", 2, &format!("new_connections = {CAP}\n"));
    let ports = red_port + &port("green", 3, "") + &port("white", 4, "");
    node.configure(&format!("[policy]\nfiles = [\"{}\"]\n{BLUE}{ports}", policies.display()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let Seen { p99, syns, took } = rounds([&red, &green, &white]);

    let [quiet, loud] = p99;
    let _ = writeln!(std::io::stderr(), "p99 {quiet:?} without, {loud:?} with a flood of {syns} SYNs in {took:?}");
    assert!(is_flat(p99), "p99 {quiet:?} without, {loud:?} with the flood");
    let may = u64::from(CAP) + (took.as_secs_f64() * f64::from(CAP)) as u64 + 1;
    // A burst may find the device's ring full: what counts is what the switch was given.
    let counters = daemon.counters();
    let flooder = counters.ports.iter().find(|port| port.name == "red").unwrap();
    let (arrived, limited) = (flooder.received, flooder.dropped["connection_limit"]);
    assert!(arrived * 2 > u64::from(syns), "{arrived} of {syns} SYNs arrived");
    // Beside them, what every pod says of itself.
    assert!(limited + may + 100 >= arrived, "{limited} of {arrived} were refused, {may} could be opened");
    assert!(limited * 10 > arrived * 9, "{limited} of {arrived} SYNs were refused");
    // What was refused has left nothing: the others opened a few hundred, and a connection is two flows.
    let status = daemon.status();
    let connections = status.connection_table.unwrap().used;
    assert!(connections <= may + 400, "{connections} connections, of which the flood may have {may}");
    assert!(status.flow_table.used <= 2 * (may + 400), "{} flows", status.flow_table.used);
    daemon.terminate();
}
