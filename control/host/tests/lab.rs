//! Facts about pods: they are usable when made, they are many, and they go without being removed.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use podlane_host::lab::{Lab, Pod, PodSpec, skip};
use podlane_host::{HostError, LinkEvent, LinkEvents, Links, Netns, Veth, VethPeer};

const BLUE_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const RED_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);
const BLUE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const RED_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);

fn spec(name: &str, v4: Ipv4Addr, v6: Ipv6Addr) -> PodSpec {
    PodSpec { ipv4: Some((v4, 24)), ipv6: Some((v6, 64)), ..PodSpec::named(name) }
}

/// Two pods, and a kernel bridge in place of the switch.
fn bridged() -> (Lab, Pod, Pod) {
    let mut lab = Lab::new().unwrap();
    let blue = lab.pod(&spec("blue", BLUE_V4, BLUE_V6)).unwrap();
    let red = lab.pod(&spec("red", RED_V4, RED_V6)).unwrap();
    let links = lab.links();
    let bridge = links.bridge("br0").unwrap();
    links.enslave("blue", bridge).unwrap();
    links.enslave("red", "br0").unwrap();
    links.set_up(bridge).unwrap();
    (lab, blue, red)
}

fn bind(pod: &Pod, address: IpAddr) -> UdpSocket {
    let socket = pod.run(|| UdpSocket::bind((address, 7000))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Whether a datagram crosses within five seconds; a bridge's ports take a moment to forward.
fn crosses(from: &UdpSocket, to: &UdpSocket) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    let target: SocketAddr = to.local_addr().unwrap();
    let mut room = [0; 16];
    while Instant::now() < deadline {
        from.send_to(b"hello", target).unwrap();
        match to.recv_from(&mut room) {
            Ok((length, sender)) => {
                assert_eq!(&room[..length], b"hello");
                assert_eq!(sender, from.local_addr().unwrap());
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    false
}

#[test]
fn udp_crosses_between_two_pods_over_both_families() {
    if skip("udp_crosses_between_two_pods_over_both_families") {
        return;
    }
    let (_lab, blue, red) = bridged();
    assert!(crosses(&bind(&blue, BLUE_V4.into()), &bind(&red, RED_V4.into())));
    assert!(crosses(&bind(&blue, BLUE_V6.into()), &bind(&red, RED_V6.into())));
}

#[test]
fn a_pod_is_what_its_spec_says() {
    if skip("a_pod_is_what_its_spec_says") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let asked = PodSpec {
        gateway_v4: Some(Ipv4Addr::new(10, 1, 0, 1)),
        gateway_v6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
        mtu: 9000,
        queues: 2,
        mac: Some([2, 0, 0, 0, 0, 7]),
        ..spec("blue", BLUE_V4, BLUE_V6)
    };
    let pod = lab.pod(&asked).unwrap();
    let inside = pod.links().unwrap().by_name("eth0").unwrap();
    let outside = lab.links().by_name("blue").unwrap();
    assert_eq!(pod.spec, asked);
    assert_eq!(pod.mac, [2, 0, 0, 0, 0, 7]);
    assert_eq!(inside.mac, Some(pod.mac));
    assert_eq!(outside.mac, Some(pod.host_mac));
    assert_eq!(outside.index, pod.host_ifindex);
    for end in [&inside, &outside] {
        assert_eq!((end.mtu, end.rx_queues, end.tx_queues), (9000, 2, 2), "{end:?}");
        assert_eq!(end.kind.as_deref(), Some("veth"));
        assert!(end.up && end.carrier, "{end:?}");
    }
    assert_eq!(inside.peer, Some(outside.index));
    assert!(inside.peer_netns.is_some());
    // A connected socket is refused where there is no route.
    let far: [IpAddr; 2] = [Ipv4Addr::new(192, 0, 2, 9).into(), "2001:db8::9".parse().unwrap()];
    for to in far {
        let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        pod.run(|| UdpSocket::bind(local).and_then(|socket| socket.connect((to, 9)))).unwrap().unwrap();
    }
}

#[test]
fn a_name_can_be_used_once_in_a_lab() {
    if skip("a_name_can_be_used_once_in_a_lab") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let first = lab.pod(&PodSpec::named("blue")).unwrap();
    let second = lab.pod(&PodSpec::named("blue"));
    assert!(matches!(second, Err(HostError::Exists { .. })), "{second:?}");
    first.remove().unwrap();
    lab.pod(&PodSpec::named("blue")).unwrap();
}

#[test]
fn fifty_pods_are_made_in_a_few_seconds() {
    if skip("fifty_pods_are_made_in_a_few_seconds") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let begun = Instant::now();
    let pods: Vec<Pod> = (0..50)
        .map(|n| {
            let v4 = Ipv4Addr::new(10, 1, 0, n + 2);
            let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n) + 2);
            lab.pod(&spec(&format!("pod{n}"), v4, v6)).unwrap()
        })
        .collect();
    let took = begun.elapsed();
    // 50 veths and lo.
    assert_eq!(lab.links().list().unwrap().len(), 51);
    assert!(took < Duration::from_secs(20), "{took:?}");
    for pod in pods {
        pod.remove().unwrap();
    }
    assert_eq!(lab.links().list().unwrap().len(), 1);
}

#[test]
fn a_pod_is_removed_also_when_its_link_is_gone_or_renamed() {
    if skip("a_pod_is_removed_also_when_its_link_is_gone_or_renamed") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (blue, red) = (PodSpec::named("blue"), PodSpec::named("red"));
    let (blue, red) = (lab.pod(&blue).unwrap(), lab.pod(&red).unwrap());
    lab.links().delete("blue").unwrap();
    blue.remove().unwrap();
    lab.links().rename("red", "green").unwrap();
    red.remove().unwrap();
    assert_eq!(lab.links().list().unwrap().len(), 1);
}

#[test]
fn a_panic_takes_pods_and_links_with_it() {
    if skip("a_panic_takes_pods_and_links_with_it") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let _pod = lab.pod(&PodSpec::named("blue")).unwrap();
        std::panic::panic_any("the test's own panic");
    }));
    assert!(outcome.is_err());
    // The kernel takes namespaces down on a work queue.
    let deadline = Instant::now() + Duration::from_secs(10);
    while lab.links().by_name("blue").is_ok() {
        assert!(Instant::now() < deadline, "the pod's link outlived the pod");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Set in the process that is to be killed: the namespace its pod is connected to.
const TO_BE_KILLED: &str = "PODLANE_HOST_TEST_TO_BE_KILLED";

#[test]
fn a_killed_process_leaves_neither_namespace_nor_link() {
    if let Ok(outside) = std::env::var(TO_BE_KILLED) {
        return wait_to_be_killed(&outside);
    }
    if skip("a_killed_process_leaves_neither_namespace_nor_link") {
        return;
    }
    let outside = Netns::anonymous().unwrap();
    let mut links = Links::open_in(&outside).unwrap();
    let mut events = LinkEvents::open_in(&outside).unwrap();
    let file = format!("/proc/{}/fd/{}", std::process::id(), outside.as_fd().as_raw_fd());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_neither_namespace_nor_link"])
        .env(TO_BE_KILLED, file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let made = events.next(Duration::from_secs(10)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(made, Some(LinkEvent::Changed(link)) if link.name == "near"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while links.by_name("near").is_ok() {
        assert!(Instant::now() < deadline, "the link outlived the process");
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait_to_be_killed(outside: &str) {
    let pod = Netns::anonymous().unwrap();
    let ends = Veth {
        name: "near",
        mtu: 1500,
        mac: None,
        queues: 1,
        peer: VethPeer { name: "far", netns: Some(pod.as_fd()), mac: None },
    };
    Links::open_in(&Netns::open(outside).unwrap()).unwrap().veth(&ends).unwrap();
    // Not for ever: the test that kills may itself have been killed.
    thread::sleep(Duration::from_secs(30));
}

#[test]
fn two_labs_never_meet() {
    if skip("two_labs_never_meet") {
        return;
    }
    let (mut one, mut two) = (Lab::new().unwrap(), Lab::new().unwrap());
    let first = one.pod(&PodSpec::named("blue")).unwrap();
    let second = two.pod(&PodSpec::named("blue")).unwrap();
    assert_ne!(one.switch().id().unwrap(), two.switch().id().unwrap());
    assert_ne!(first.netns.id().unwrap(), second.netns.id().unwrap());
    let here = Netns::current().unwrap().id().unwrap();
    assert_ne!(one.switch().id().unwrap(), here);
    let missing = Links::open().unwrap().by_name("blue");
    assert!(matches!(missing, Err(HostError::NoSuchLink { .. })), "{missing:?}");
}

#[test]
fn a_pod_without_ipv6_sends_nothing_unasked() {
    if skip("a_pod_without_ipv6_sends_nothing_unasked") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pod = lab.pod(&PodSpec { ipv4: Some((BLUE_V4, 24)), ..PodSpec::named("blue") }).unwrap();
    thread::sleep(Duration::from_millis(300));
    let counters = lab.links().counters(&pod.host_ifname).unwrap();
    assert_eq!((counters.rx_packets, counters.tx_packets), (0, 0));
}
