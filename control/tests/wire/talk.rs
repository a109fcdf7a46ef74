//! Who reaches whom: pods and the LAN each other, pods among themselves, the host and the LAN as before, and nobody in a false name.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use crate::segment::{HOST, LAN, PODS, Segment, known_as, mac_of, v4, v6};
use crate::support::{SOON, Stream, eventually, ping, tcp, udp};

/// Long enough to ask several times, for what should not be answered.
const IN_VAIN: Duration = Duration::from_millis(700);

/// Everybody talks to everybody, but pods and their own host by the wire: between them there is none.
fn everybody_talks(segment: &Segment, log: &dyn Fn() -> String) {
    for family in [v4, v6] {
        for (number, pod) in PODS.into_iter().enumerate() {
            let (inside, other) = (segment.pod(number), 1 - number);
            assert!(ping(inside, family(LAN), SOON), "pod {number} to {}: {}", family(LAN), log());
            assert!(ping(&segment.lan, family(pod), SOON), "to pod {number} {}: {}", family(pod), log());
            assert!(ping(inside, family(PODS[other]), SOON), "pod {number} to the other: {}", log());
            tcp(inside, &segment.lan, family(LAN), 256 << 10);
            tcp(&segment.lan, inside, family(pod), 256 << 10);
            tcp(inside, segment.pod(other), family(PODS[other]), 256 << 10);
            udp(inside, &segment.lan, family(LAN), 1400);
        }
        // While pods talk, the host does.
        let stream = Stream::start(segment.pod(0), &segment.lan, family(LAN));
        tcp(segment.host(), &segment.lan, family(LAN), 1 << 20);
        tcp(&segment.lan, segment.host(), family(HOST), 1 << 20);
        assert!(ping(segment.host(), family(LAN), SOON) && ping(&segment.lan, family(HOST), SOON));
        stream.flows();
    }
    assert!(!ping(segment.pod(0), v4(HOST), IN_VAIN), "as with the kernel's macvlan and ipvlan");
}

#[test]
fn pods_with_macs_of_their_own_talk_on_the_wire_beside_the_host() {
    let Some(segment) = Segment::new("wire_mac", "network = \"lan\"\nsharing = \"mac\"\n") else { return };
    let daemon = segment.start();
    everybody_talks(&segment, &|| daemon.log());
    for pod in PODS {
        assert_eq!(known_as(&segment.lan, pod), Some(format!("02:00:00:00:01:{pod:02x}")));
    }
    assert_eq!(known_as(&segment.lan, HOST), Some(mac_of(segment.host(), "up0")));
    let dropped = daemon.counters().total.dropped;
    assert!(!dropped.keys().any(|reason| reason.starts_with("spoofed")), "{dropped:?}");
    segment.end(daemon);
}

#[test]
fn pods_with_the_uplinks_mac_talk_on_the_wire_beside_the_host() {
    let Some(segment) = Segment::new("wire_ip", "network = \"lan\"\nsharing = \"ip\"\n") else { return };
    let daemon = segment.start();
    everybody_talks(&segment, &|| daemon.log());
    let uplink = mac_of(segment.host(), "up0");
    for station in [HOST, PODS[0], PODS[1]] {
        assert_eq!(known_as(&segment.lan, station), Some(uplink.clone()), "10.1.0.{station}");
    }
    // Among themselves they go by their own.
    assert_eq!(known_as(segment.pod(0), PODS[1]), Some(format!("02:00:00:00:01:{:02x}", PODS[1])));
    // Also by the address that a pod forms from its own MAC address: a kernel asks from it whether a router is still there.
    let link_local = "fe80::ff:fe00:102".parse::<Ipv6Addr>().unwrap();
    let scoped = segment.lan.run(|| nix::net::if_::if_nametoindex("br0").unwrap()).unwrap();
    let reached = || {
        let socket = segment.lan.run(|| UdpSocket::bind("[::]:0").unwrap()).unwrap();
        let server = segment.pod(0).run(|| UdpSocket::bind("[::]:7009").unwrap()).unwrap();
        server.set_read_timeout(Some(IN_VAIN)).unwrap();
        let _ = socket.send_to(b"hello", SocketAddrV6::new(link_local, 7009, 0, scoped));
        server.recv_from(&mut [0; 8]).is_ok()
    };
    eventually("a link-local address is reached", reached);
    segment.end(daemon);
}

#[test]
fn a_pod_takes_nobodys_name_on_the_wire() {
    for (test, sharing) in [("wire_guard_mac", "mac"), ("wire_guard_ip", "ip")] {
        let Some(segment) = Segment::new(test, &format!("network = \"lan\"\nsharing = \"{sharing}\"\n")) else {
            return;
        };
        let daemon = segment.start();
        assert!(ping(segment.pod(0), v4(LAN), SOON), "{}", daemon.log());
        let before = daemon.counters().total.dropped.get("spoofed_address").copied().unwrap_or_default();
        let mut links = segment.pods[0].links().unwrap();
        // The pod's own device, whatever the test bed calls it.
        let inside = links.list().unwrap().into_iter().find(|link| link.name != "lo").unwrap().name;
        links.add_address(inside.as_str(), v4(77), 24).unwrap();
        let forged = segment.pod(0).run(|| UdpSocket::bind((v4(77), 0)).unwrap()).unwrap();
        forged.send_to(b"from nobody", (v4(LAN), 7010)).unwrap();
        let refused = || daemon.counters().total.dropped.get("spoofed_address").copied().unwrap_or_default() > before;
        eventually("the forged datagram is refused", refused);
        assert!(!ping(&segment.lan, v4(77), IN_VAIN), "{sharing}: nobody has announced it");
        segment.end(daemon);
    }
}
