//! How fast carried flows are beside a bare veth and a kernel bridge, in turns. Not a check: run it on a quiet machine.
//!
//! `cargo test --release -p podlane-bpf --test carry -- --ignored --nocapture pace`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use podlane_bpf::carry::Key;
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_host::{Netns, Veth, VethPeer};

use crate::node::{BLUE, Node, RED, Talk, connect, into, know, skip, tcp_flow, udp_flow};
use crate::ports;

const ROUNDS: usize = 5;
const TRIAL: Duration = Duration::from_millis(700);
const PINGS: usize = 20_000;

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).unwrap();
}

/// Gigabits a second through so many connections at once, senders on one core, receivers on another.
fn stream(connections: Vec<(TcpStream, TcpStream)>) -> f64 {
    let begin = Instant::now();
    let bytes: u64 = std::thread::scope(|scope| {
        let receivers: Vec<_> = connections
            .into_iter()
            .map(|(mut near, mut far)| {
                scope.spawn(move || {
                    pin(0);
                    let text = vec![0x5a; 128 * 1024];
                    while begin.elapsed() < TRIAL {
                        near.write_all(&text).unwrap();
                    }
                });
                scope.spawn(move || {
                    pin(1);
                    let (mut buffer, mut bytes) = (vec![0; 256 * 1024], 0);
                    loop {
                        match far.read(&mut buffer).unwrap() {
                            0 => return bytes,
                            length => bytes += length as u64,
                        }
                    }
                })
            })
            .collect();
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum()
    });
    bytes as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9
}

/// The median and the 99th of a hundred round trips, in microseconds, both ends on one core.
fn ping(talk: &Talk) -> (f64, f64) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            talk.red.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut buffer = [0; 64];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok((length, from)) = talk.red.recv_from(&mut buffer) {
                    talk.red.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        pin(0);
        let to = talk.red.local_addr().unwrap();
        let mut trips: Vec<f64> = (0..PINGS)
            .map(|_| {
                let begin = Instant::now();
                talk.blue.send_to(&[1; 18], to).unwrap();
                talk.blue.recv(&mut [0; 64]).unwrap();
                begin.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        trips.sort_by(f64::total_cmp);
        (trips[PINGS / 2], trips[PINGS * 99 / 100])
    })
}

/// Two pods, and what is to be done about a flow between them before it is fast.
trait Way {
    fn pods(&self) -> (&Pod, &Pod);
    fn decide(&mut self, _key: &Key) {}
}

struct Plain {
    _lab: Lab,
    blue: Pod,
    red: Pod,
}

impl Way for Plain {
    fn pods(&self) -> (&Pod, &Pod) {
        (&self.blue, &self.red)
    }
}

struct Carried {
    node: Node,
    blue: Pod,
    red: Pod,
}

impl Way for Carried {
    fn pods(&self) -> (&Pod, &Pod) {
        (&self.blue, &self.red)
    }

    fn decide(&mut self, key: &Key) {
        let (there, back) = (into(&self.red), into(&self.blue));
        self.node.decide(key, there, back);
    }
}

fn spec(name: &str, host: u8) -> PodSpec {
    PodSpec { ipv4: Some((crate::node::address(host), 24)), mac: Some([2, 0, 0, 0, 0, host]), ..PodSpec::named(name) }
}

fn bridge() -> Plain {
    let mut lab = Lab::new().unwrap();
    let (blue, red) = (lab.pod(&spec("blue", 1)).unwrap(), lab.pod(&spec("red", 2)).unwrap());
    let bridge = lab.links().bridge("bridge").unwrap();
    lab.links().set_up(bridge).unwrap();
    for pod in [&blue, &red] {
        lab.links().enslave(pod.host_ifindex, bridge).unwrap();
    }
    know(&blue, &red);
    Plain { _lab: lab, blue, red }
}

/// Two pods whose `eth0` are the ends of one veth: taken from pods of a lab, for what else a pod has.
fn bare() -> Plain {
    let mut lab = Lab::new().unwrap();
    let mut pods = [("blue", 1), ("red", 2)].map(|(name, host)| lab.pod(&spec(name, host)).unwrap());
    for pod in &pods {
        pod.links().unwrap().delete("eth0").unwrap();
    }
    let [blue, red] = &mut pods;
    let netns: &Netns = &red.netns;
    let peer = VethPeer { name: "eth0", netns: Some(std::os::fd::AsFd::as_fd(netns)), mac: Some(red.mac) };
    blue.links().unwrap().veth(&Veth { name: "eth0", mtu: 1500, mac: Some(blue.mac), queues: 1, peer }).unwrap();
    for pod in [&*blue, &*red] {
        let mut links = pod.links().unwrap();
        links.add_address("eth0", pod.spec.ipv4.unwrap().0.into(), 24).unwrap();
        links.set_up("eth0").unwrap();
    }
    know(blue, red);
    let [blue, red] = pods;
    Plain { _lab: lab, blue, red }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement, which wants the machine for itself"]
fn pace_beside_a_bare_veth_and_a_bridge() {
    let test = "pace_beside_a_bare_veth_and_a_bridge";
    if skip(test) {
        return;
    }
    let mut node = Node::new(test, false);
    let (blue, red) = node.blue_and_red();
    let worker = node.worker(&[(BLUE, RED), (RED, BLUE)]);
    let mut ways: [(&str, Box<dyn Way>); 3] = [
        ("carried", Box::new(Carried { node, blue, red })),
        ("bare veth", Box::new(bare())),
        ("bridge", Box::new(bridge())),
    ];
    let mut talks = Vec::new();
    for (_, way) in &mut ways {
        let (blue, red) = way.pods();
        let (talk, key) = (Talk::new(blue, red), udp_flow(blue, red));
        way.decide(&key);
        talks.push(talk);
    }
    let mut figures: [[Vec<f64>; 4]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (at, (_, way)) in ways.iter_mut().enumerate() {
            for (column, streams) in [(0, 1), (1, 4)] {
                let made: Vec<_> = (0..streams).map(|_| connect(way.pods().0, way.pods().1)).collect();
                let flows: Vec<Key> =
                    made.iter().map(|(near, _)| tcp_flow(way.pods().0, way.pods().1, ports(near))).collect();
                for flow in &flows {
                    way.decide(flow);
                }
                figures[at][column].push(stream(made));
            }
            let (p50, p99) = ping(&talks[at]);
            figures[at][2].push(p50);
            figures[at][3].push(p99);
        }
    }
    println!("{:10} {:>10} {:>10} {:>9} {:>9}", "", "TCP 1 Gb/s", "TCP 4 Gb/s", "p50 us", "p99 us");
    for ((name, _), columns) in ways.iter().zip(figures) {
        let [one, four, p50, p99] = columns.map(median);
        println!("{name:10} {one:10.2} {four:10.2} {p50:9.2} {p99:9.2}");
    }
    drop(worker);
}
