//! Broadcast and multicast: each copy is judged for who would get it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use podlane_host::Netns;
use socket2::{InterfaceIndexOrAddress, SockRef};

use crate::cluster::{Cluster, Member, Plan};
use crate::support::{SOON, eventually};

const PORT: u16 = 5007;

const FROM_TILL: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: till}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: mute, namespace: shop}
spec:
  podSelector: {matchLabels: {app: mute}}
  policyTypes: [Egress]
";

const MEMBERS: [Member; 5] = [
    Member::new("shop/web", 2, "app: web"),
    Member::new("shop/desk", 3, "app: desk"),
    Member::new("shop/till", 4, "app: till"),
    Member::new("shop/guest", 5, "app: guest"),
    Member::new("shop/mute", 6, "app: mute"),
];

/// Everyone of a network, and two groups.
fn destinations() -> [IpAddr; 3] {
    let group = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x1234);
    [[10, 1, 0, 255].into(), Ipv4Addr::new(239, 1, 2, 3).into(), group.into()]
}

/// Hears what is sent to a destination.
fn listener(pod: &Netns, destination: IpAddr) -> UdpSocket {
    let join = || {
        let index = if_nametoindex("eth0").unwrap();
        let socket = UdpSocket::bind((destination, PORT)).unwrap();
        match destination {
            IpAddr::V4(group) if group.is_multicast() => {
                SockRef::from(&socket).join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)).unwrap();
            }
            IpAddr::V4(_) => {}
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index).unwrap(),
        }
        socket
    };
    let socket = pod.run(join).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}

fn speaker(pod: &Netns, destination: IpAddr) -> UdpSocket {
    let make = || {
        let index = if_nametoindex("eth0").unwrap();
        let any: IpAddr = if destination.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect((destination, PORT)).or_else(|_| socket.set_broadcast(true)).unwrap();
        if destination.is_ipv6() {
            SockRef::from(&socket).set_multicast_if_v6(index).unwrap();
        } else {
            socket.set_broadcast(true).unwrap();
        }
        socket
    };
    pod.run(make).unwrap()
}

/// Says a word until somebody has heard it ten times; what others heard comes with the first word.
fn say(word: &[u8], (pod, destination): (&Netns, IpAddr), until: &UdpSocket) {
    let speaker = speaker(pod, destination);
    let (began, mut times) = (Instant::now(), 0);
    while times < 10 {
        assert!(began.elapsed() < SOON, "{destination}: {word:?} is not heard");
        speaker.send_to(word, (destination, PORT)).unwrap();
        let mut heard = [0; 16];
        times += usize::from(until.recv(&mut heard).is_ok_and(|length| &heard[..length] == word));
    }
}

/// The words that were heard, each once, in the order in which they came.
fn words(listener: &UdpSocket) -> Vec<Vec<u8>> {
    let (mut words, mut heard) = (Vec::new(), [0; 16]);
    while let Ok(length) = listener.recv(&mut heard) {
        words.push(heard[..length].to_vec());
    }
    words.dedup();
    words
}

#[test]
fn what_is_sent_to_all_reaches_an_isolated_pod_only_from_whom_it_hears() {
    let Some(cluster) = Cluster::start("floods", &Plan::new(&MEMBERS, FROM_TILL)) else { return };
    for destination in destinations() {
        let [web, desk] = ["web", "desk"].map(|name| listener(cluster.pod(name), destination));
        say(b"guest", (cluster.pod("guest"), destination), &desk);
        // A copy comes before what is said later: had there been one of the guest's, it would be the first.
        say(b"till", (cluster.pod("till"), destination), &web);
        let heard = words(&web);
        assert!(heard.iter().all(|word| word == b"till"), "{destination}: {heard:?}");

        // Who may open nothing says nothing to anybody.
        let (before, mute) = (cluster.denied("mute"), speaker(cluster.pod("mute"), destination));
        eventually("the mute is denied", || {
            mute.send_to(b"mute", (destination, PORT)).unwrap();
            cluster.denied("mute") > before
        });
        say(b"till", (cluster.pod("till"), destination), &web);
        say(b"till", (cluster.pod("till"), destination), &desk);
        for listener in [&web, &desk] {
            let heard = words(listener);
            assert!(!heard.contains(&b"mute".to_vec()), "{destination}: {heard:?}");
        }
    }
    cluster.end();
}
