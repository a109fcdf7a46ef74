//! Facts about the kernel's own tunnels: two namespaces with a `vxlan` device each reach each other as soon as each floods to the
//! other, with MAC addresses learned on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use podlane_host::lab::skip;
use podlane_host::{HostError, Links, Netns, Veth, VethPeer, Vxlan};

const VTEPS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
const INNER: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 1, 0, 2)];

fn device(local: Ipv4Addr) -> Vxlan<'static> {
    Vxlan { name: "tunnel", vni: 7, local: local.into(), below: "under".into(), udp_port: 4789, mtu: 1450 }
}

/// Two namespaces on one underlay, each with a tunnel device that floods to the other.
fn tunnelled() -> [(Netns, Links); 2] {
    let mut nodes = [(); 2].map(|()| {
        let netns = Netns::anonymous().unwrap();
        let links = Links::open_in(&netns).unwrap();
        (netns, links)
    });
    let [(_, near), (there, _)] = &mut nodes;
    let peer = VethPeer { name: "under", netns: Some(there.as_fd()), mac: None };
    near.veth(&Veth { name: "under", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    for (at, (_, links)) in nodes.iter_mut().enumerate() {
        links.add_address("under", VTEPS[at].into(), 24).unwrap();
        links.set_up("under").unwrap();
        let tunnel = links.vxlan(&device(VTEPS[at])).unwrap();
        links.add_flood_vtep(tunnel, VTEPS[1 - at].into()).unwrap();
        links.add_address(tunnel, INNER[at].into(), 24).unwrap();
        links.set_up(tunnel).unwrap();
    }
    nodes
}

#[test]
fn udp_crosses_between_two_tunnel_devices() {
    if skip("udp_crosses_between_two_tunnel_devices") {
        return;
    }
    let nodes = tunnelled();
    let sockets = [0, 1].map(|at| {
        let socket = nodes[at].0.run(|| UdpSocket::bind((INNER[at], 7000))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    });
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut room = [0; 16];
    loop {
        sockets[0].send_to(b"hello", (INNER[1], 7000)).unwrap();
        match sockets[1].recv_from(&mut room) {
            Ok((length, from)) => {
                assert_eq!((&room[..length], from.ip()), (&b"hello"[..], IpAddr::from(INNER[0])));
                return;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "nothing crossed");
    }
}

#[test]
fn a_tunnel_device_is_what_was_asked_for_and_its_vni_is_taken() {
    if skip("a_tunnel_device_is_what_was_asked_for_and_its_vni_is_taken") {
        return;
    }
    let [(_netns, mut links), _] = tunnelled();
    let made = links.by_name("tunnel").unwrap();
    assert_eq!((made.kind.as_deref(), made.mtu, made.up), (Some("vxlan"), 1450, true));
    let again = links.vxlan(&Vxlan { name: "second", ..device(VTEPS[0]) });
    assert!(matches!(again, Err(HostError::Exists { .. })), "{again:?}");
    let nowhere = links.vxlan(&Vxlan { name: "third", vni: 8, below: "absent".into(), ..device(VTEPS[0]) });
    assert!(matches!(nowhere, Err(HostError::NoSuchLink { .. })), "{nowhere:?}");
    // A VTEP that is flooded to already stays so.
    for _ in 0..2 {
        links.add_flood_vtep("tunnel", Ipv4Addr::new(192, 0, 2, 3).into()).unwrap();
    }
}
