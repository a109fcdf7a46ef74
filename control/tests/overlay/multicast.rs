//! Multicast from one node to another: groups joined by real kernels, whose reports the switches read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use podlane_host::Netns;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::ground::{End, Pair, Plan, V4, V6, cable, nodes};
use crate::support::{SOON, ping};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x1234);
const PORT: u16 = 5007;

/// A socket of a pod that has joined a group, and one that sends to it.
fn member(pod: &Netns, group: IpAddr) -> UdpSocket {
    let join = || {
        let index = if_nametoindex("eth0").unwrap();
        let socket = UdpSocket::bind((group, PORT)).unwrap();
        match group {
            IpAddr::V4(group) => {
                let interface = socket2::InterfaceIndexOrAddress::Index(index);
                socket2::SockRef::from(&socket).join_multicast_v4_n(&group, &interface).unwrap();
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index).unwrap(),
        }
        socket
    };
    let socket = pod.run(join).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    socket
}

fn sender(pod: &Netns, group: IpAddr) -> UdpSocket {
    let make = || {
        let index = if_nametoindex("eth0").unwrap();
        let any: IpAddr = if group.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        if group.is_ipv6() {
            socket2::SockRef::from(&socket).set_multicast_if_v6(index).unwrap();
        }
        socket
    };
    pod.run(make).unwrap()
}

/// Sends until the member hears it.
fn hears(member: &UdpSocket, sender: &UdpSocket, group: IpAddr) {
    let began = Instant::now();
    loop {
        let _ = sender.send_to(b"to all of you", (group, PORT));
        if member.recv(&mut [0; 64]).is_ok_and(|length| length == 13) {
            return;
        }
        assert!(began.elapsed() < SOON, "{group} is not heard");
    }
}

/// A general query by a pod that plays the querier (RFC 2236, 2).
fn query(pod: &Netns) {
    let socket = pod.run(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(2)))).unwrap().unwrap();
    socket.set_multicast_ttl_v4(1).unwrap();
    // Membership query, maximum response time a tenth of a second; the checksum of its two bytes that are not zero.
    let message = [0x11, 1, 0xee, 0xfe, 0, 0, 0, 0];
    let everyone = SockAddr::from(std::net::SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 1), 0));
    socket.send_to(&message, &everyone).unwrap();
}

fn flooding(test: &str, family: crate::ground::Family) -> Option<Pair> {
    let nodes = nodes(test)?;
    cable(End(nodes[0].lab.switch(), "up0"), End(nodes[1].lab.switch(), "up0"), family, 1500);
    let pair = Pair::start(nodes, &Plan { network: "flood = true\n", ..Plan::new(family, [(1, 1), (1, 2)]) });
    assert!(ping(pair.pod(0), [10, 1, 0, 3], SOON));
    Some(pair)
}

#[test]
fn a_group_joined_on_one_node_hears_a_sender_on_the_other() {
    let Some(pair) = flooding("multicast_joined", V6) else { return };
    for group in [IpAddr::V4(GROUP_V4), IpAddr::V6(GROUP_V6)] {
        for (at, from) in [(0, 1), (1, 0)] {
            let member = member(pair.pod(at), group);
            hears(&member, &sender(pair.pod(from), group), group);
        }
    }
    pair.end();
}

#[test]
fn where_a_querier_asks_nothing_goes_to_a_node_without_members() {
    let Some(pair) = flooding("multicast_querier", V4) else { return };
    let group = IpAddr::V4(GROUP_V4);
    // One that nobody joined at all would go everywhere.
    let near = Ipv4Addr::new(239, 9, 9, 9);
    let (_near, joined) = (member(pair.pod(0), near.into()), member(pair.pod(1), group));
    query(pair.pod(0));
    // The answers to a first query may take ten seconds (RFC 3376, 8.3): until then everything floods.
    let sends = sender(pair.pod(0), group);
    let began = Instant::now();
    let spared = || pair.daemons[0].port("pod").dropped.get("no_listener").copied().unwrap_or(0);
    while spared() == 0 {
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "what nobody there wants is still sent: {}",
            pair.daemons[0].log()
        );
        sends.send_to(b"to nobody else", (near, PORT)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() > Duration::from_secs(9), "{:?}", began.elapsed());
    hears(&joined, &sends, group);
    pair.end();
}
