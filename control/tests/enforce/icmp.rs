//! ICMP that no rule allows, and that belongs to what one does: errors about a flow.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use podlane_host::{Links, Netns, sysctl};
use socket2::{Domain, Protocol, Socket, Type};

use crate::attempt::{Attempt, Denied, Ping};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{End, Family, V4, V6, cable, counted};
use crate::support::{SOON, eventually, spec};

/// A client that nobody reaches, and that may open only what is no ping.
const CLOSED: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Ingress, Egress]
  egress:
  - ports:
    - {protocol: TCP, port: 1, endPort: 65535}
    - {protocol: UDP, port: 1, endPort: 65535}
";

const MEMBERS: [Member; 2] = [Member::new("shop/client", 2, "app: client"), Member::new("shop/web", 3, "app: web")];

#[test]
fn a_closed_port_is_told_to_who_may_ask_it() {
    let Some(cluster) = Cluster::start("closed_port", &Plan::new(&MEMBERS, CLOSED)) else { return };
    for family in [V4, V6] {
        let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(family));
        let asks = cluster.pod("client").run(|| UdpSocket::bind((client, 0))).unwrap().unwrap();
        asks.connect((web, 9)).unwrap();
        asks.set_nonblocking(true).unwrap();
        eventually("the port is said to be closed", || {
            let said = asks.send(b"anybody?").and_then(|_| asks.recv(&mut [0; 8]));
            said.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        let refused = cluster.pod("client").run(|| TcpStream::connect_timeout(&(web, 9).into(), SOON)).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{family:?}");
    }
    assert_eq!(cluster.denied("web"), 0);
    cluster.assert(&[("client", "web", Ping, Denied), ("web", "client", Ping, Denied)]);
    cluster.end();
}

/// "Port unreachable", about a datagram that was never sent.
fn lie((from, about): (&Netns, IpAddr), to: IpAddr) {
    let (IpAddr::V4(liar), IpAddr::V4(victim)) = (about, to) else { unreachable!("it lies over IPv4") };
    let mut message = vec![3u8, 3, 0, 0, 0, 0, 0, 0];
    // The header that is quoted: a datagram of the victim's, to the liar.
    message.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    message.extend([victim.octets(), liar.octets()].concat());
    message.extend([0x30, 0x39, 0, 9, 0, 8, 0, 0]);
    let words = message.chunks(2).map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1]));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let socket = from.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))).unwrap().unwrap();
    socket.send_to(&message, &SocketAddr::new(to, 0).into()).unwrap();
}

#[test]
fn an_error_about_what_was_never_sent_is_denied() {
    let Some(cluster) = Cluster::start("liar", &Plan::new(&MEMBERS, CLOSED)) else { return };
    let [client, web] = ["client", "web"].map(|name| cluster.member(name).address(V4));
    lie((cluster.pod("web"), web), client);
    eventually("the lie is denied", || cluster.denied("web") == 1);
    cluster.end();
}

/// The MTU behind the router.
const NARROW: u32 = 1400;

/// A router in the pods' network, a narrow link, and a server at its end, at host 9 of the network 50.
fn beyond(cluster: &mut Cluster) -> [Netns; 2] {
    let router = cluster.node.lab.pod(&spec("router", 1, 9)).unwrap().netns;
    let server = Netns::anonymous().unwrap();
    let forward = || {
        sysctl("net/ipv4/ip_forward", 1).unwrap();
        sysctl("net/ipv6/conf/all/forwarding", 1).unwrap();
    };
    router.run(forward).unwrap();
    for family in [V4, V6] {
        if family == V4 {
            cable(End(&router, "far"), End(&server, "eth0"), V6, NARROW);
            // What the server may say is as long as everywhere.
            Links::open_in(&server).unwrap().set_mtu("eth0", 1500).unwrap();
        }
        End(&router, "far").address(family, 50, 1);
        End(&server, "eth0").address(family, 50, 9);
        let any: IpAddr = if family == V4 { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        End(&server, "eth0").links().add_route(any, 0, Some(family.address(50, 1)), "eth0").unwrap();
    }
    [router, server]
}

#[test]
fn what_a_router_says_of_a_narrow_link_reaches_who_may_send_there() {
    let prefixes = [V4, V6].map(|family| format!("{}/{}", family.address(50, 0), family.prefix()));
    let tables = format!(
        "[[port]]\nname = \"router\"\ndevice = \"router\"\nnetwork = \"net1\"\n\
         [[route]]\nnetwork = \"net1\"\nprefix = \"{}\"\nvia = \"10.1.0.9\"\n\
         [[route]]\nnetwork = \"net1\"\nprefix = \"{}\"\nvia = \"fd00:1::9\"\n",
        prefixes[0], prefixes[1]
    );
    let plan = Plan { tables: &tables, ..Plan::new(&MEMBERS, CLOSED) };
    let Some(mut cluster) = Cluster::closed("narrow", &plan) else { return };
    let [router, server] = beyond(&mut cluster);
    cluster.switch_on();
    for family in [V4, V6] {
        send(cluster.pod("client"), &server, family);
        assert!(too_long(&router, family) > 0, "{family:?}: it never had to be said");
        // A question of the router's own, by the same protocol.
        let address = cluster.member("client").address(family);
        let attempt = Attempt { from: &router, source: None, to: cluster.pod("client"), address, service: Ping };
        assert_eq!(attempt.outcome(&|| cluster.denied("router")), Denied, "{family:?}");
    }
    cluster.end();
}

/// Sends a megabyte over TCP, in segments as long as the near link takes until somebody says that they are too long.
fn send(from: &Netns, to: &Netns, family: Family) {
    let address = family.address(50, 9);
    let listener = to.run(|| TcpListener::bind((address, 80))).unwrap().unwrap();
    let client = from.run(|| TcpStream::connect_timeout(&(address, 80).into(), SOON)).unwrap().unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    client.set_write_timeout(Some(SOON)).unwrap();
    std::thread::scope(|scope| {
        let heard = scope.spawn(|| std::io::copy(&mut &server, &mut std::io::sink()).unwrap());
        std::io::copy(&mut std::io::repeat(7).take(1 << 20), &mut &client).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(heard.join().unwrap(), 1 << 20, "{family:?}");
    });
}

/// Packets that came to a router too long for its next link.
fn too_long(router: &Netns, family: Family) -> u64 {
    counted(router, if family == V4 { "FragFails" } else { "Ip6InTooBigErrors" })
}
