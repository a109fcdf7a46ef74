//! Several next hops: flows go by all that answer, round one that fell silent, and by it again when it is back.

use std::io::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use podlane_host::{Links, Netns};

use crate::ground::{End, Family, Pair, Plan, V4, V6, cable, nodes, router};
use crate::support::{SOON, eventually, ping};

/// How long a router's silence may go unnoticed: nine seconds by design, the rest is for busy cores.
const NOTICED: Duration = Duration::from_secs(14);

/// Flows between the pods: so many that none of two routers has none of them.
const FLOWS: usize = 24;

/// Two cables' networks, each a bridge, and routers between them.
///
/// ```text
///             +-- router 251 --+
///   node 1 -- a                b -- node 2
///             +-- router 252 --+
/// ```
struct Middle {
    family: Family,
    fabric: Netns,
}

impl Middle {
    fn new(ends: [&Netns; 2], family: Family) -> Self {
        let fabric = Netns::anonymous().unwrap();
        let mut links = Links::open_in(&fabric).unwrap();
        for (bridge, netns) in ["a", "b"].into_iter().zip(ends) {
            links.bridge(bridge).unwrap();
            links.set_up(bridge).unwrap();
            let name = format!("{bridge}-node");
            cable(End(netns, "up0"), End(&fabric, &name), family, 1500);
            links.enslave(name.as_str(), bridge).unwrap();
        }
        Self { family, fabric }
    }

    /// Puts a router between the bridges.
    fn router(&self, host: u8) -> Router {
        let netns = router();
        for (bridge, network) in [("a", 1), ("b", 2)] {
            let name = format!("{bridge}-{host}");
            cable(End(&self.fabric, &name), End(&netns, bridge), self.family, 1500);
            Links::open_in(&self.fabric).unwrap().enslave(name.as_str(), bridge).unwrap();
            End(&netns, bridge).address(self.family, network, host);
        }
        Router { netns }
    }

    /// Takes a router away, with its links.
    fn lose(&self, router: Router, host: u8) {
        let mut links = Links::open_in(&self.fabric).unwrap();
        for bridge in ["a", "b"] {
            links.set_down(format!("{bridge}-{host}").as_str()).unwrap();
        }
        for bridge in ["a", "b"] {
            links.delete(format!("{bridge}-{host}").as_str()).unwrap();
        }
        drop(router);
    }
}

struct Router {
    netns: Netns,
}

impl Router {
    /// Packets it took from the first node's side.
    fn carried(&self) -> u64 {
        End(&self.netns, "a").counters().rx_packets
    }
}

fn routes(family: Family, own: u8, other: u8) -> String {
    let [first, second] = [251, 252].map(|host| family.address(own, host));
    let prefix = family.address(other, 0);
    format!("routes = [{{ prefix = \"{prefix}/{}\", via = [\"{first}\", \"{second}\"] }}]\n", family.prefix())
}

/// Datagrams of many flows from one pod to the other, each some hundred a second, until it is dropped.
struct Flows {
    stop: Arc<AtomicBool>,
    heard: Arc<[AtomicU64; FLOWS]>,
    threads: Vec<JoinHandle<()>>,
}

impl Flows {
    fn start(pair: &Pair) -> Self {
        let server = pair.pod(1).run(|| UdpSocket::bind(("10.1.0.3", 0))).unwrap().unwrap();
        let open = || [(); FLOWS].map(|()| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        let clients = pair.pod(0).run(open).unwrap();
        let target = server.local_addr().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (stop, heard) = (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; FLOWS]));
        let [stop_sending, stop_hearing] = [Arc::clone(&stop), Arc::clone(&stop)];
        let sending = std::thread::spawn(move || {
            while !stop_sending.load(Ordering::Relaxed) {
                for (number, client) in clients.iter().enumerate() {
                    // While there is no way, the kernel may be told so.
                    let _ = client.send_to(&[number as u8; 64], target);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let counts = Arc::clone(&heard);
        let hearing = std::thread::spawn(move || {
            let mut room = [0; 64];
            while !stop_hearing.load(Ordering::Relaxed) {
                if server.recv(&mut room).is_ok() {
                    counts[usize::from(room[0])].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, heard, threads: vec![sending, hearing] }
    }

    fn heard(&self) -> [u64; FLOWS] {
        std::array::from_fn(|number| self.heard[number].load(Ordering::Relaxed))
    }

    /// Waits until all of them make progress; returns how long that took.
    fn all_flow(&self) -> Duration {
        let (began, before) = (Instant::now(), self.heard());
        // One or two were under way.
        while self.heard().iter().zip(&before).any(|(heard, before)| *heard < before + 10) {
            assert!(began.elapsed() < NOTICED, "not all go on within {NOTICED:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        began.elapsed()
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Asserts that all routers come to carry a good part of what is sent.
fn all_carry(routers: &[&Router], pair: &Pair) {
    let before: Vec<u64> = routers.iter().map(|router| router.carried()).collect();
    let began = Instant::now();
    while routers.iter().zip(&before).any(|(router, before)| router.carried() < before + 100) {
        assert!(began.elapsed() < SOON, "a router carries nothing: {}", pair.nodes[0].cli(&["tunnels"]));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn flows_go_round_a_lost_router(test: &str, family: Family) {
    let Some(nodes) = nodes(test) else { return };
    let middle = Middle::new([nodes[0].lab.switch(), nodes[1].lab.switch()], family);
    for (at, network) in [(0, 1), (1, 2)] {
        End(nodes[at].lab.switch(), "up0").address(family, network, 1);
    }
    let (first, second) = (middle.router(251), middle.router(252));
    let plan = Plan { keys: [routes(family, 1, 2), routes(family, 2, 1)], ..Plan::new(family, [(1, 1), (2, 1)]) };
    let pair = Pair::start(nodes, &plan);
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON), "{}", pair.daemons[0].log());
    let flows = Flows::start(&pair);
    flows.all_flow();
    all_carry(&[&first, &second], &pair);

    middle.lose(first, 251);
    let took = flows.all_flow();
    assert!(ping(pair.pod(1), [10, 1, 0, 2], NOTICED), "the way back, after {took:?}");
    let _ = writeln!(std::io::stderr(), "{test}: all flows round a lost router after {} ms", took.as_millis());
    all_carry(&[&second], &pair);

    let first = middle.router(251);
    all_carry(&[&first, &second], &pair);
    flows.all_flow();
    drop(flows);
    pair.end();
}

#[test]
fn flows_go_round_a_lost_router_over_ipv4() {
    flows_go_round_a_lost_router("hops_v4", V4);
}

#[test]
fn flows_go_round_a_lost_router_over_ipv6() {
    flows_go_round_a_lost_router("hops_v6", V6);
}

#[test]
fn flows_leave_a_lost_uplink_at_once() {
    let Some(nodes) = nodes("hops_uplinks") else { return };
    for uplink in ["up0", "up1"] {
        cable(End(nodes[0].lab.switch(), uplink), End(nodes[1].lab.switch(), uplink), V4, 1500);
    }
    let second = "[[port]]\nname = \"up1\"\ndevice = \"up1\"\nkind = \"uplink\"\n".to_owned();
    let plan = Plan { uplinks: "\"up0\", \"up1\"", keys: [second.clone(), second], ..Plan::new(V4, [(1, 1), (1, 2)]) };
    let pair = Pair::start(nodes, &plan);
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON), "{}", pair.daemons[0].log());
    let flows = Flows::start(&pair);
    flows.all_flow();
    for uplink in ["up0", "up1"] {
        eventually("both uplinks carry", || pair.daemons[0].port(uplink).sent.packets > 100);
    }
    Links::open_in(pair.host(0)).unwrap().delete("up1").unwrap();
    let took = flows.all_flow();
    assert!(took < Duration::from_secs(3), "{took:?}");

    cable(End(pair.host(0), "up1"), End(pair.host(1), "up1"), V4, 1500);
    pair.daemons[0].wait_for("up1", podlane_api::PortState::Up);
    let before = pair.daemons[0].port("up1").sent.packets;
    eventually("the uplink that is back carries", || pair.daemons[0].port("up1").sent.packets > before + 100);
    drop(flows);
    pair.end();
}
