//! Packets out of the common: in fragments, longer than a frame of the switch, and behind headers of IPv6 that hide the transport's.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use podlane_wire::IpProtocol;
use podlane_wire::checksum::{pseudo_v6, sum};
use socket2::{Domain, Protocol, Socket, Type};

use crate::attempt::{Denied, LongUdp, Tcp, Through};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::{V4, V6};
use crate::support::{eventually, tcp};

const MEMBERS: [Member; 2] = [Member::new("shop/web", 2, "app: web"), Member::new("lab/probe", 3, "app: probe")];

const DNS: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - ports: [{protocol: UDP, port: 53}]
";

#[test]
fn a_datagram_in_fragments_arrives_where_it_may_and_nothing_of_it_where_not() {
    let Some(cluster) = Cluster::start("fragments", &Plan::new(&MEMBERS, DNS)) else { return };
    cluster.assert(&[
        ("probe", "web", LongUdp(54), Denied),
        ("probe", "web", LongUdp(53), Through),
        ("probe", "web", LongUdp(54), Denied),
        ("web", "probe", LongUdp(54), Through),
    ]);
    cluster.end();
}

#[test]
fn packets_of_several_frames_are_judged_as_others_are() {
    let yaml = DNS.to_owned() + "  - ports: [{port: 1024, endPort: 65535}]\n";
    let Some(cluster) = Cluster::start("jumbo", &Plan { mtu: 9_000, ..Plan::new(&MEMBERS, &yaml) }) else { return };
    cluster.assert(&[
        ("probe", "web", LongUdp(54), Denied),
        ("probe", "web", LongUdp(53), Through),
        ("probe", "web", Tcp(80), Denied),
        ("web", "probe", LongUdp(54), Through),
    ]);
    let (probe, web) = (cluster.pod("probe"), cluster.pod("web"));
    for family in [V4, V6] {
        // Ports that kernels choose are high.
        tcp(probe, web, cluster.member("web").address(family), 4 << 20);
        tcp(web, probe, cluster.member("probe").address(family), 4 << 20);
    }
    let came = cluster.daemon().port("probe").received;
    assert!(came.bytes / came.packets > 2_048, "{came:?}");
    cluster.end();
}

/// A datagram behind a header of options for the destination, which are padding (RFC 8200, 4.6).
fn hidden(from: IpAddr, to: IpAddr, port: u16) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else { unreachable!("IPv4 has no such headers") };
    let [high, low] = port.to_be_bytes();
    let mut datagram = vec![0x0f, 0xa0, high, low, 0, 14, 0, 0];
    datagram.extend(b"hidden");
    let pseudo = pseudo_v6(from, to, IpProtocol::UDP, datagram.len() as u32);
    let checksum = pseudo.plus(sum(&datagram)).finish_udp();
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    [vec![17, 0, 1, 4, 0, 0, 0, 0], datagram].concat()
}

#[test]
fn headers_of_ipv6_in_between_hide_no_port() {
    let Some(cluster) = Cluster::start("hidden_port", &Plan::new(&MEMBERS, DNS)) else { return };
    let [web, probe] = ["web", "probe"].map(|name| cluster.member(name).address(V6));
    let ears = [53, 54].map(|port| cluster.pod("web").run(|| UdpSocket::bind((web, port))).unwrap().unwrap());
    ears.iter().for_each(|ear| ear.set_read_timeout(Some(Duration::from_millis(10))).unwrap());
    let options = Some(Protocol::from(60));
    let socket = cluster.pod("probe").run(|| Socket::new(Domain::IPV6, Type::RAW, options)).unwrap().unwrap();
    let send = |port| socket.send_to(&hidden(probe, web, port), &SocketAddr::new(web, 0).into());
    eventually("the allowed one is heard", || {
        let _ = send(53);
        ears[0].recv(&mut [0; 16]).is_ok()
    });
    eventually("the other is denied", || {
        let _ = send(54);
        cluster.denied("probe") > 3
    });
    assert!(ears[1].recv(&mut [0; 16]).is_err());
    cluster.end();
}
