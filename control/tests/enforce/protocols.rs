//! Protocols whose packets are written here, as no kernel has to have them: SCTP, known by its ports, and one that has none; and ICMP that
//! is long, or about a hop too many.

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::attempt::{Denied, Outcome, Ping, Tcp, Through};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{Family, V4, V6};
use crate::support::{SOON, eventually, ping, ping_sized};

const SCTP: i32 = 132;
/// One for experiments (RFC 3692).
const OTHER: i32 = 253;

const WEB: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: till}}}]
    ports: [{protocol: SCTP, port: 3868}]
  - from: [{podSelector: {matchLabels: {app: friend}}}]
";

const MEMBERS: [Member; 3] = [
    Member::new("shop/web", 2, "app: web"),
    Member::new("shop/till", 3, "app: till"),
    Member::new("shop/friend", 4, "app: friend"),
];

/// What comes of sending so many bytes under a protocol to the web.
fn sent(cluster: &Cluster, from: &str, (protocol, bytes): (i32, &[u8]), family: Family) -> Outcome {
    let domain = if family == V4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = |pod: &str| {
        let socket = cluster.pod(pod).run(|| Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))));
        let socket = socket.unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        socket
    };
    let (client, mut web, before) = (socket(from), socket("web"), cluster.denied(from));
    let to = SocketAddr::new(cluster.member("web").address(family), 0).into();
    // What was sent before may still come.
    let mut is_heard = || {
        let mut heard = [0; 256];
        std::iter::from_fn(|| web.read(&mut heard).ok().map(|length| heard[..length].ends_with(bytes))).any(|own| own)
    };
    let began = Instant::now();
    loop {
        client.send_to(bytes, &to).unwrap();
        if is_heard() {
            return Through;
        }
        if cluster.denied(from) > before {
            assert!(!is_heard(), "{from}, {protocol}, {family:?}: denied, and there");
            return Denied;
        }
        assert!(began.elapsed() < SOON, "{from}, {protocol}, {family:?}: neither through nor denied");
    }
}

/// The beginning of an SCTP packet: ports, tag and checksum, and a chunk without anything (RFC 9260, 3).
fn sctp(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![0x0f, 0xa0, high, low, 0, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 4]
}

#[test]
fn sctp_is_known_by_its_ports_and_what_has_none_by_rules_without() {
    let Some(cluster) = Cluster::start("protocols", &Plan::new(&MEMBERS, WEB)) else { return };
    for family in [V4, V6] {
        for (from, what, expected) in [
            ("till", (SCTP, &sctp(3868)[..]), Through),
            ("till", (SCTP, &sctp(3869)), Denied),
            ("till", (OTHER, b"of the till"), Denied),
            ("friend", (SCTP, &sctp(3869)), Through),
            ("friend", (OTHER, b"of a friend"), Through),
        ] {
            assert_eq!(sent(&cluster, from, what, family), expected, "{from}, {what:?}, {family:?}");
        }
    }
    cluster.assert(&[("till", "web", Tcp(3868), Denied), ("friend", "web", Ping, Through)]);
    cluster.end();
}

/// The client is reached by nobody.
const ONE_WAY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Ingress]
";

#[test]
fn a_ping_that_fits_no_link_whole_is_answered_and_not_returned() {
    let members = [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];
    let Some(cluster) = Cluster::start("long_ping", &Plan::new(&members, ONE_WAY)) else { return };
    for family in [V4, V6] {
        let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(family));
        assert!(ping_sized(cluster.pod("client"), web, 8_000, SOON), "{family:?}");
        let before = cluster.denied("web");
        assert!(!ping_sized(cluster.pod("web"), client, 8_000, Duration::from_millis(200)), "{family:?}");
        eventually("it is denied", || cluster.denied("web") > before);
    }
    cluster.end();
}

#[test]
fn an_isolated_pod_hears_its_gateway() {
    let far = Member { subnet: 2, ..Member::new("shop/far", 4, "app: far") };
    let members = [Member::new("shop/client", 2, "app: client"), far];
    let yaml = ONE_WAY.to_owned() + "---" + ONE_WAY.replace("closed", "mute").replace("Ingress", "Egress").as_str();
    let Some(cluster) = Cluster::start("gateway", &Plan::new(&members, &yaml)) else { return };
    let client = cluster.pod("client");
    // What the switch itself answers needs nobody's leave.
    assert!(ping(client, [10, 1, 0, 1], SOON));
    cluster.assert(&[("client", "far", Tcp(80), Denied)]);
    cluster.policy("delete", &ONE_WAY.replace("closed", "mute"));
    let mut icmp = client.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))).unwrap().unwrap();
    icmp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let probe = client.run(|| UdpSocket::bind("10.1.0.2:0")).unwrap().unwrap();
    probe.set_ttl(1).unwrap();
    eventually("the gateway says that the packet was too old", || {
        let _ = probe.send_to(b"how far?", (far.address(V4), 33_434));
        let mut packet = [0; 256];
        // Time exceeded, behind an IP header.
        icmp.read(&mut packet).is_ok() && packet[20] == 11 && packet[12..16] == [10, 1, 0, 1]
    });
    cluster.end();
}
