//! What is for everyone reaches the pods and the host alike: DHCP, neighbour discovery and routers' advertisements rest on it.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use podlane_host::Netns;

use crate::segment::{LAN, PODS, Segment, v4};
use crate::support::{SOON, eventually, ping};

/// A socket at `port` that hears broadcasts, and may send them out of `device`.
fn open(netns: &Netns, device: &str, port: u16) -> UdpSocket {
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.bind_device(Some(device.as_bytes())).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
        UdpSocket::from(socket)
    };
    let socket = netns.run(open).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn hears(socket: &UdpSocket, said: &[u8]) -> bool {
    let mut heard = [0; 64];
    socket.recv_from(&mut heard).is_ok_and(|(length, _)| &heard[..length] == said)
}

fn inside(segment: &Segment, number: usize) -> String {
    let links = segment.pods[number].links().unwrap().list().unwrap();
    links.into_iter().find(|link| link.name != "lo").unwrap().name
}

#[test]
fn what_the_lan_says_to_everyone_reaches_each_pod_and_the_host() {
    for (test, sharing) in [("wire_all_mac", "mac"), ("wire_all_ip", "ip")] {
        let Some(segment) = Segment::new(test, &format!("network = \"lan\"\nsharing = \"{sharing}\"\n")) else {
            return;
        };
        let daemon = segment.start();
        let lan = open(&segment.lan, "br0", 0);
        let pods = [0, 1].map(|number| open(segment.pod(number), &inside(&segment, number), 7020));
        let host = open(segment.host(), "up0", 7020);
        for (number, to) in [Ipv4Addr::BROADCAST, [10, 1, 0, 255].into(), [224, 0, 0, 1].into()].into_iter().enumerate()
        {
            let said = format!("{sharing} {number}");
            let all_hear = || {
                lan.send_to(said.as_bytes(), SocketAddrV4::new(to, 7020)).unwrap();
                // What was said before was heard already, and is not this.
                [&pods[0], &pods[1], &host].into_iter().all(|socket| (0..64).any(|_| hears(socket, said.as_bytes())))
            };
            eventually("all three hear it", all_hear);
        }
        segment.end(daemon);
    }
}

/// As a client without an address asks, and a server answers the one it cannot reach yet (RFC 2131, 4.1).
#[test]
fn a_client_and_a_server_of_dhcp_hear_each_other_over_a_wire_shared_by_mac() {
    let Some(segment) = Segment::new("wire_dhcp", "network = \"lan\"\nsharing = \"mac\"\n") else { return };
    let daemon = segment.start();
    let device = inside(&segment, 0);
    segment.pods[0].links().unwrap().remove_address(device.as_str(), v4(PODS[0]), 24).unwrap();
    let (client, server) = (open(segment.pod(0), &device, 68), open(&segment.lan, "br0", 67));
    let discovered = || {
        client.send_to(b"discover", (Ipv4Addr::BROADCAST, 67)).unwrap();
        hears(&server, b"discover")
    };
    eventually("the server hears the client", discovered);
    let offered = || {
        server.send_to(b"offer", (Ipv4Addr::BROADCAST, 68)).unwrap();
        hears(&client, b"offer")
    };
    eventually("the client hears the server", offered);
    // Now it has its address, and talks.
    segment.pods[0].links().unwrap().add_address(device.as_str(), v4(PODS[0]), 24).unwrap();
    assert!(ping(segment.pod(0), v4(LAN), SOON), "{}", daemon.log());
    segment.end(daemon);
}
