//! Path MTUs: what the kernel of a pod learns of a tunnel, of a narrow link behind the next hop, and of one that is wider than most.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use podlane_host::{Links, Netns};

use crate::ground::{End, Family, Pair, Plan, V4, V6, cable, counted, nodes, router};
use crate::support::{SOON, eventually, ping, tcp};

/// The MTU of what lies between the two routers.
const NARROW: u32 = 1400;

/// Two routers between the nodes, and a narrow link between them.
///
/// ```text
///   node 1 --1500-- router --1400-- router --1500-- node 2
/// ```
fn routed(ends: [&Netns; 2], family: Family) -> [Netns; 2] {
    let routers = [router(), router()];
    for (at, network) in [(0, 1), (1, 3)] {
        cable(End(ends[at], "up0"), End(&routers[at], "down"), family, 1500);
        End(&routers[at], "down").address(family, network, 254);
    }
    let [near, far] = &routers;
    cable(End(near, "across"), End(far, "across"), family, NARROW);
    for (netns, own, other, beyond) in [(near, 1, 2, 3), (far, 2, 1, 1)] {
        let across = End(netns, "across");
        across.address(family, 2, own);
        let via = Some(family.address(2, other));
        across.links().add_route(family.address(beyond, 0), family.prefix(), via, "across").unwrap();
    }
    routers
}

/// The way to the other node's network, as the configuration has it.
fn route(family: Family, own: u8, other: u8) -> String {
    let (prefix, via) = (family.address(other, 0), family.address(own, 254));
    format!("routes = [{{ prefix = \"{prefix}/{}\", via = [\"{via}\"] }}]\n", family.prefix())
}

/// A socket whose datagrams are never taken apart on the way, of which the pod's kernel knows the path MTU.
struct Probe(UdpSocket, IpAddr);

impl Probe {
    fn new(from: &Netns, to: impl Into<IpAddr>) -> Self {
        let to = to.into();
        let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = from.run(|| UdpSocket::bind((any, 0))).unwrap().unwrap();
        socket.connect((to, 9)).unwrap();
        if to.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6DontFrag, &true).unwrap();
        }
        Self(socket, to)
    }

    /// Sends a packet of this length; whether the kernel takes it.
    fn send(&self, packet: u32) -> bool {
        let headers = if self.1.is_ipv4() { 28 } else { 48 };
        match self.0.send(&vec![0; (packet - headers) as usize]) {
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => false,
            // What was learned by the last one, or nobody listening.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
            sent => {
                sent.unwrap();
                true
            }
        }
    }

    /// The path MTU as the pod's kernel knows it: the longest packet it takes.
    fn mtu(&self) -> u32 {
        if self.1.is_ipv4() {
            return getsockopt(&self.0, sockopt::IpMtu).unwrap().cast_unsigned();
        }
        (1280..=1500).rev().find(|packet| self.send(*packet)).unwrap()
    }

    /// Sends until the kernel knows a path MTU; the packets are as long as it thinks right.
    fn learns(&self, mtu: u32) {
        let began = Instant::now();
        loop {
            let known = self.mtu();
            if known == mtu {
                return;
            }
            assert!(began.elapsed() < SOON, "{} is {known} wide, and should be {mtu}", self.1);
            self.send(known);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Packets that came to a router too long for its next link.
fn too_long(router: &Netns) -> u64 {
    counted(router, "FragFails") + counted(router, "Ip6InTooBigErrors")
}

fn a_narrow_link_is_learned_from_its_router(test: &str, family: Family, hosts: bool) {
    let Some(nodes) = nodes(test) else { return };
    let routers = routed([nodes[0].lab.switch(), nodes[1].lab.switch()], family);
    if hosts {
        for (at, network) in [(0, 1), (1, 3)] {
            End(nodes[at].lab.switch(), "up0").address(family, network, 1);
        }
    }
    let plan = Plan { keys: [route(family, 1, 3), route(family, 3, 1)], ..Plan::new(family, [(1, 1), (3, 1)]) };
    let pair = Pair::start(nodes, &plan);
    let v6: IpAddr = "fd00:1::3".parse().unwrap();
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON) && ping(pair.pod(0), v6, SOON), "{}", pair.daemons[0].log());

    let narrow = NARROW - family.overhead();
    Probe::new(pair.pod(0), [10, 1, 0, 3]).learns(narrow);
    Probe::new(pair.pod(0), v6).learns(narrow);
    let (learned, told) = (too_long(&routers[0]), pair.nodes[0].cli(&["tunnels", "--json"]));
    assert!(learned > 0 && told.contains(&format!("\"inner_mtu\":{narrow}")), "{learned}: {told}");
    for (from, to, last) in [(0, 1, 3), (1, 0, 2)] {
        tcp(pair.pod(from), pair.pod(to), [10, 1, 0, last], 1 << 20);
    }
    tcp(pair.pod(0), pair.pod(1), v6, 1 << 20);
    // Once it is known, nothing longer leaves; and nothing ever was longer than the uplink takes.
    assert_eq!(too_long(&routers[0]), learned);
    for (at, router) in routers.iter().enumerate() {
        let (node, next) = (End(pair.host(at), "up0").counters(), End(router, "down").counters());
        assert_eq!((node.tx_dropped, node.tx_errors, next.rx_dropped, next.rx_errors), (0, 0, 0, 0));
    }
    pair.end();
}

#[test]
fn a_narrow_link_is_learned_from_its_router_over_ipv4() {
    a_narrow_link_is_learned_from_its_router("mtu_v4", V4, true);
}

#[test]
fn a_narrow_link_is_learned_from_its_router_over_ipv6() {
    a_narrow_link_is_learned_from_its_router("mtu_v6", V6, true);
}

#[test]
fn a_narrow_link_is_learned_where_the_address_is_the_switchs_alone() {
    a_narrow_link_is_learned_from_its_router("mtu_own_v4", V4, false);
    a_narrow_link_is_learned_from_its_router("mtu_own_v6", V6, false);
}

#[test]
fn pods_as_wide_as_the_uplink_learn_what_a_tunnel_carries() {
    let Some(nodes) = nodes("mtu_pod") else { return };
    cable(End(nodes[0].lab.switch(), "up0"), End(nodes[1].lab.switch(), "up0"), V6, 1500);
    let pair = Pair::start(nodes, &Plan::new(V6, [(1, 1), (1, 2)]));
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    Probe::new(pair.pod(0), [10, 1, 0, 3]).learns(1430);
    Probe::new(pair.pod(1), "fd00:1::2".parse::<Ipv6Addr>().unwrap()).learns(1430);
    pair.end();
}

#[test]
fn jumbo_packets_pass_whole_in_pods_as_wide_as_proposed() {
    let Some(nodes) = nodes("mtu_jumbo") else { return };
    cable(End(nodes[0].lab.switch(), "up0"), End(nodes[1].lab.switch(), "up0"), V4, 9000);
    let pair = Pair::start(nodes, &Plan { pod_mtu: 9000, ..Plan::new(V4, [(1, 1), (1, 2)]) });
    let proposed = pair.daemons[0].status().networks[0].pod_mtu.unwrap();
    assert_eq!(proposed, 8950);
    for pod in &pair.pods {
        Links::open_in(&pod.netns).unwrap().set_mtu("eth0", proposed).unwrap();
    }
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    eventually("packets of the proposed length pass", || Probe::new(pair.pod(0), [10, 1, 0, 3]).send(proposed));
    tcp(pair.pod(0), pair.pod(1), [10, 1, 0, 3], 10 << 20);
    tcp(pair.pod(1), pair.pod(0), "fd00:1::2".parse::<Ipv6Addr>().unwrap(), 10 << 20);
    let (port, uplink) = (pair.daemons[0].port("pod"), pair.daemons[0].port("up0"));
    assert!(!port.dropped.contains_key("too_big"), "{port:?}");
    assert!(uplink.sent.bytes > 8000 * 1000 && uplink.sent.bytes / uplink.sent.packets > 2000, "{uplink:?}");
    pair.end();
}
