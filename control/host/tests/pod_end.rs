//! Facts about what a pod's end of a veth is given: routes as asked, and neighbours that are told of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use podlane_host::lab::skip;
use podlane_host::{Links, Netns, Route, Veth, VethPeer, sysctl};
use socket2::{Domain, Protocol, Socket, Type};

const SOON: Duration = Duration::from_secs(5);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 2));

/// A host and a pod, joined by `host` and `eth0`, of which only the latter has addresses.
fn pair() -> (Netns, Netns, Links) {
    let (host, pod) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let mut near = Links::open_in(&host).unwrap();
    let peer = VethPeer { name: "eth0", netns: Some(pod.as_fd()), mac: Some([2, 0, 0, 0, 9, 2]) };
    near.veth(&Veth { name: "host", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    near.without_link_local("host").unwrap();
    near.set_up("host").unwrap();
    let mut links = Links::open_in(&pod).unwrap();
    links.add_address("eth0", V4, 24).unwrap();
    links.add_address("eth0", V6, 64).unwrap();
    links.set_up("eth0").unwrap();
    (host, pod, links)
}

fn route(destination: IpAddr, prefix: u8) -> Route {
    Route { destination, prefix, via: None, mtu: None, on_link: false }
}

#[test]
fn routes_are_listed_as_they_were_added_beside_those_of_the_addresses() {
    if skip("routes_are_listed_as_they_were_added_beside_those_of_the_addresses") {
        return;
    }
    let (_host, _pod, mut links) = pair();
    let everywhere = Route { via: Some([10, 9, 0, 1].into()), mtu: Some(1400), ..route([0, 0, 0, 0].into(), 0) };
    // No address of the link says that this gateway is there.
    let outside = Route { via: Some([169, 254, 1, 1].into()), on_link: true, ..route([198, 18, 0, 0].into(), 15) };
    let sixth = Route { via: Some("fd00:9::1".parse().unwrap()), mtu: Some(1400), ..route("::".parse().unwrap(), 0) };
    for added in [everywhere, outside, sixth] {
        links.route(&added, "eth0").unwrap();
    }
    let found = links.routes("eth0").unwrap();
    for wanted in [everywhere, outside, sixth, route([10, 9, 0, 0].into(), 24), route("fd00:9::".parse().unwrap(), 64)]
    {
        assert!(found.contains(&wanted), "{wanted:?} is not in {found:#?}");
    }
}

#[test]
fn a_gateway_outside_the_subnet_is_refused_unless_it_is_said_to_be_on_the_link() {
    if skip("a_gateway_outside_the_subnet_is_refused_unless_it_is_said_to_be_on_the_link") {
        return;
    }
    let (_host, _pod, mut links) = pair();
    let outside = Route { via: Some([169, 254, 1, 1].into()), ..route([0, 0, 0, 0].into(), 0) };
    assert!(links.route(&outside, "eth0").is_err());
    links.route(&Route { on_link: true, ..outside }, "eth0").unwrap();
}

/// What the host end hears until both are heard: an ARP announcement of the pod's address, and an unsolicited advertisement.
fn heard(socket: &mut Socket, mac: [u8; 6]) -> (bool, bool) {
    let (IpAddr::V4(v4), IpAddr::V6(v6)) = (V4, V6) else { unreachable!() };
    let mut announcement = [0_u8; 42];
    announcement[..6].fill(0xff);
    announcement[6..12].copy_from_slice(&mac);
    announcement[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    announcement[22..28].copy_from_slice(&mac);
    announcement[28..32].copy_from_slice(&v4.octets());
    announcement[32..38].fill(0);
    announcement[38..].copy_from_slice(&v4.octets());
    let deadline = Instant::now() + SOON;
    let (mut arp, mut advertised, mut bytes) = (false, false, [0; 2048]);
    while !(arp && advertised) && Instant::now() < deadline {
        let Ok(len) = socket.read(&mut bytes) else { continue };
        let frame = &bytes[..len];
        // The target's hardware address means nothing in a request; the kernel fills it as it likes.
        arp |= len >= 42 && frame[..32] == announcement[..32] && frame[38..42] == announcement[38..42];
        advertised |= len >= 86 && frame[12..14] == [0x86, 0xdd] && frame[54] == 136 && frame[62..78] == v6.octets();
    }
    (arp, advertised)
}

#[test]
fn an_announcement_tells_the_neighbours_by_arp_and_by_an_unsolicited_advertisement() {
    if skip("an_announcement_tells_the_neighbours_by_arp_and_by_an_unsolicited_advertisement") {
        return;
    }
    let (host, pod, mut links) = pair();
    let notify = || {
        sysctl("net/ipv4/conf/eth0/arp_notify", 1).unwrap();
        sysctl("net/ipv6/conf/eth0/ndisc_notify", 1).unwrap();
    };
    pod.run(notify).unwrap();
    // ETH_P_ALL, in the order of the wire.
    let all = Protocol::from(i32::from(3_u16.to_be()));
    let mut socket = host.run(|| Socket::new(Domain::PACKET, Type::RAW, Some(all))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    links.announce("eth0").unwrap();
    assert_eq!(heard(&mut socket, [2, 0, 0, 0, 9, 2]), (true, true));
}

#[test]
fn a_host_end_without_a_link_local_address_has_no_address_at_all() {
    if skip("a_host_end_without_a_link_local_address_has_no_address_at_all") {
        return;
    }
    let (host, _pod, _links) = pair();
    let mut near = Links::open_in(&host).unwrap();
    near.wait_until("host", "has a carrier", SOON, |link| link.carrier).unwrap();
    assert_eq!(near.addresses("host").unwrap(), []);
}

#[test]
fn a_freed_link_is_in_no_bridge() {
    if skip("a_freed_link_is_in_no_bridge") {
        return;
    }
    let (host, _pod, _links) = pair();
    let mut near = Links::open_in(&host).unwrap();
    let bridge = near.bridge("br0").unwrap();
    near.enslave("host", "br0").unwrap();
    assert_eq!(near.by_name("host").unwrap().master, Some(bridge));
    near.free("host").unwrap();
    assert_eq!(near.by_name("host").unwrap().master, None);
    near.free("host").unwrap();
}

#[test]
fn a_link_that_moves_under_another_name_keeps_its_alias() {
    if skip("a_link_that_moves_under_another_name_keeps_its_alias") {
        return;
    }
    let (host, pod, mut links) = pair();
    let mut near = Links::open_in(&host).unwrap();
    near.veth(&Veth {
        name: "eth0",
        mtu: 1500,
        mac: None,
        queues: 1,
        peer: VethPeer { name: "far", netns: None, mac: None },
    })
    .unwrap();
    near.set_alias("eth0", "podlane test of c1").unwrap();
    near.move_as("eth0", pod.as_fd(), "net1").unwrap();
    assert_eq!(links.by_name("net1").unwrap().alias.as_deref(), Some("podlane test of c1"));
    assert_eq!(links.by_name("eth0").unwrap().alias, None);
    assert!(near.move_as("far", pod.as_fd(), "net1").is_err(), "the name is taken");
}
