//! Several next hops: flows go by all that answer, round one that fell silent, and by it again when it is back.

use std::io::Write;
use std::time::{Duration, Instant};

use podlane_host::{Links, Netns};

use crate::ground::{End, Family, Pair, Plan, V4, V6, cable, nodes, router};
use crate::support::{SOON, Stream, ping};

/// How long a router's silence may go unnoticed: nine seconds by design, the rest is for busy cores.
const NOTICED: Duration = Duration::from_secs(14);

/// Streams between the pods: as many flows that none of two routers has none of them.
const STREAMS: usize = 16;

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

/// Waits until all of these make progress.
fn all_flow(streams: &[Stream]) -> Duration {
    let began = Instant::now();
    // Eight are sent every two milliseconds: some were under way.
    let goals: Vec<u64> = streams.iter().map(|stream| stream.heard() + 50).collect();
    while streams.iter().zip(&goals).any(|(stream, goal)| stream.heard() < *goal) {
        assert!(began.elapsed() < NOTICED, "not all go on within {NOTICED:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

/// Asserts that all routers come to carry a good part of what is sent.
fn all_carry(routers: &[&Router]) {
    let before: Vec<u64> = routers.iter().map(|router| router.carried()).collect();
    let began = Instant::now();
    while routers.iter().zip(&before).any(|(router, before)| router.carried() < before + 100) {
        assert!(began.elapsed() < SOON, "a router carries nothing");
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
    let streams: Vec<_> = (0..STREAMS).map(|_| Stream::start(pair.pod(0), pair.pod(1), [10, 1, 0, 3])).collect();
    all_flow(&streams);
    all_carry(&[&first, &second]);

    middle.lose(first, 251);
    let took = all_flow(&streams);
    assert!(ping(pair.pod(1), [10, 1, 0, 2], NOTICED), "the way back, after {took:?}");
    let _ = writeln!(std::io::stderr(), "{test}: all flows round a lost router after {} ms", took.as_millis());
    all_carry(&[&second]);

    let first = middle.router(251);
    all_carry(&[&first, &second]);
    all_flow(&streams);
    drop(streams);
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
    let streams: Vec<_> = (0..STREAMS).map(|_| Stream::start(pair.pod(0), pair.pod(1), [10, 1, 0, 3])).collect();
    all_flow(&streams);
    for uplink in ["up0", "up1"] {
        assert!(pair.daemons[0].port(uplink).sent.packets > 100, "{uplink} carries nothing");
    }
    Links::open_in(pair.host(0)).unwrap().delete("up1").unwrap();
    let took = all_flow(&streams);
    assert!(took < Duration::from_secs(3), "{took:?}");

    cable(End(pair.host(0), "up1"), End(pair.host(1), "up1"), V4, 1500);
    pair.daemons[0].wait_for("up1", podlane_api::PortState::Up);
    let before = pair.daemons[0].port("up1").sent.packets;
    crate::support::eventually("the uplink that is back carries", || {
        pair.daemons[0].port("up1").sent.packets > before + 100
    });
    drop(streams);
    pair.end();
}
