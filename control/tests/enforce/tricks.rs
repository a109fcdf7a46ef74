//! What a denied pod might try: other addresses than those that policies know, its own and the other's, on both layers.

use std::net::{SocketAddr, SocketAddrV6, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use podlane_host::Links;
use podlane_host::lab::Pod;

use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{V4, V6};
use crate::support::{eventually, spec};

const TILL_ONLY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: till}}}]
";

const MEMBERS: [Member; 4] = [
    Member::new("shop/web", 2, "app: web"),
    Member::new("shop/till", 3, "app: till"),
    Member::new("shop/guest", 4, "app: guest"),
    Member::new("shop/desk", 5, "app: desk"),
];

/// A pod whose port leaves open what its addresses are.
const LOOSE: Member = Member::new("shop/loose", 6, "app: guest");

struct Ground {
    cluster: Cluster,
    loose: Pod,
    /// A host behind a port that says nothing of who is there.
    outside: Pod,
    /// Hears whatever comes to the web, at any address of it.
    web: UdpSocket,
}

impl Ground {
    fn new(test: &str) -> Option<Self> {
        let stated: Vec<String> = LOOSE.port().lines().map(str::to_owned).collect();
        let unstated = stated.iter().filter(|line| !line.starts_with("mac") && !line.starts_with("addresses"));
        let tables: String = unstated.map(|line| format!("{line}\n")).collect();
        let yaml = LOOSE.yaml() + TILL_ONLY;
        let tables = tables + "[[port]]\nname = \"outside\"\ndevice = \"outside\"\nnetwork = \"net1\"\n";
        let plan = Plan { tables: &tables, ..Plan::new(&MEMBERS, &yaml) };
        let mut cluster = Cluster::closed(test, &plan)?;
        let [loose, outside] = [("loose", LOOSE.host), ("outside", 9)]
            .map(|(name, host)| cluster.node.lab.pod(&spec(name, LOOSE.subnet, host)).unwrap());
        cluster.switch_on();
        let web = cluster.pod("web").run(|| UdpSocket::bind("[::]:53")).unwrap().unwrap();
        web.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Some(Self { cluster, loose, outside, web })
    }

    /// Sends until the switch has dropped some of it, or copies of it, as denied or as forged; nothing of it has been heard.
    fn is_lost(&self, trick: &str, from: &UdpSocket, to: impl ToSocketAddrs) {
        let lost = || {
            let dropped = self.cluster.daemon().counters().total.dropped;
            let of = |reason: &str| dropped.get(reason).copied().unwrap_or(0);
            of("policy_denied") + of("spoofed_address")
        };
        let (before, to) = (lost(), to.to_socket_addrs().unwrap().next().unwrap());
        eventually(trick, || {
            let _ = from.send_to(b"guest", to);
            lost() > before + 3
        });
        let heard = self.web.recv(&mut [0; 16]);
        assert!(heard.is_err(), "{trick}: heard\n{}", self.cluster.daemon().log());
    }

    /// Sends until it is heard.
    fn is_heard(&self, what: &str, from: &UdpSocket, to: impl ToSocketAddrs) {
        let (to, mut heard) = (to.to_socket_addrs().unwrap().next().unwrap(), [0; 16]);
        eventually(what, || {
            let _ = from.send_to(b"till", to);
            self.web.recv(&mut heard).is_ok_and(|length| &heard[..length] == b"till")
        });
        while self.web.recv(&mut heard).is_ok() {}
    }

    fn socket(&self, pod: &str, source: &str) -> UdpSocket {
        self.cluster.pod(pod).run(|| UdpSocket::bind(source)).unwrap().unwrap()
    }
}

#[test]
fn the_other_layers_addresses_are_no_way_round() {
    let Some(ground) = Ground::new("tricks_macs") else { return };
    let cluster = &ground.cluster;
    let [web, desk] = ["web", "desk"].map(|name| cluster.member(name).address(V4));
    let [web_mac, nobody, everybody] = [[2, 0, 0, 0, 1, 2], [2, 0, 0, 0, 9, 9], [0xff; 6]];
    for (trick, address, mac) in [
        ("by the MAC address of everybody", web, everybody),
        ("by one that nobody has", web, nobody),
        ("under an address that is open, by the MAC address of who is not", desk, web_mac),
        ("under an address that nobody has", [10, 1, 0, 77].into(), web_mac),
    ] {
        let neighbour =
            |pod: &str| Links::open_in(cluster.pod(pod)).unwrap().add_neighbour("eth0", address, mac).unwrap();
        neighbour("guest");
        ground.is_lost(trick, &ground.socket("guest", "0.0.0.0:0"), (address, 53));
        if mac == everybody {
            neighbour("till");
            ground.is_heard("who is allowed is heard that way", &ground.socket("till", "0.0.0.0:0"), (address, 53));
        }
    }
    ground.cluster.end();
}

#[test]
fn link_local_addresses_are_no_way_round() {
    let Some(ground) = Ground::new("tricks_link_local") else { return };
    let cluster = &ground.cluster;
    // As the kernel makes them of the pods' MAC addresses (RFC 4291, appendix A).
    let to = |cluster: &Cluster, pod: &str| {
        let index = cluster.pod(pod).run(|| nix::net::if_::if_nametoindex("eth0")).unwrap().unwrap();
        SocketAddrV6::new("fe80::ff:fe00:102".parse().unwrap(), 53, 0, index)
    };
    ground.is_lost("from one to the other", &ground.socket("guest", "[::]:0"), to(cluster, "guest"));
    let own = cluster.member("guest").address(V6);
    ground.is_lost("from its own", &ground.socket("guest", &format!("[{own}]:0")), to(cluster, "guest"));
    ground.cluster.end();
}

#[test]
fn another_pods_address_lets_nobody_through() {
    let Some(ground) = Ground::new("tricks_forged") else { return };
    let cluster = &ground.cluster;
    let [loose, outside] = [&ground.loose.netns, &ground.outside.netns];
    for (port, netns) in [("guest", cluster.pod("guest")), ("loose", loose), ("outside", outside)] {
        let mut links = Links::open_in(netns).unwrap();
        for family in [V4, V6] {
            let [till, web] = ["till", "web"].map(|name| cluster.member(name).address(family));
            links.add_address("eth0", till, if family == V4 { 24 } else { 64 }).unwrap();
            links.add_neighbour("eth0", web, [2, 0, 0, 0, 1, 2]).unwrap();
            let forged = netns.run(|| UdpSocket::bind((till, 0))).unwrap().unwrap();
            ground.is_lost(&format!("{port} as {till}"), &forged, (web, 53));
        }
    }
    for family in [V4, V6] {
        let [till, web] = ["till", "web"].map(|name| cluster.member(name).address(family));
        let own = ground.socket("till", &SocketAddr::new(till, 0).to_string());
        ground.is_heard("the one whose it is", &own, (web, 53));
    }
    ground.cluster.end();
}
