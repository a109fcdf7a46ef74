//! Devices that are not there, go, come back, change, or are somebody else's.

use std::time::Duration;

use podlane_api::PortState;
use podlane_host::{HostError, Netns};

use crate::support::{BLUE, Node, SOON, Stream, eventually, ping, ping_sized, port, udp};

/// How long what changes is given to show that it does not disturb the rest.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn a_port_waits_for_its_device_and_comes_up_by_itself() {
    let Some(mut node) = Node::new("a_port_waits_for_its_device") else { return };
    let red = node.pod("red", 2);
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    let waiting = daemon.wait_for("green", PortState::Waiting);
    eventually("the reason is told", || {
        daemon.port("green").reason.is_some_and(|why| why.contains("there is no device green"))
    });
    assert_eq!((waiting.mode, waiting.mtu, waiting.queues), (None, None, 0));

    let green = node.pod("green", 3);
    daemon.wait_for("green", PortState::Up);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON) && ping(&green.netns, [10, 1, 0, 2], SOON));
    daemon.terminate();
}

#[test]
fn a_device_deleted_under_traffic_is_gone_until_it_is_back() {
    let Some(mut node) = Node::new("a_device_deleted_under_traffic") else { return };
    let [red, green, grey] = [("red", 2), ("green", 3), ("grey", 4)].map(|(name, host)| node.pod(name, host));
    node.configure(&format!("{BLUE}{}", ["red", "green", "grey"].map(port).concat()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let (lost, kept) =
        (Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]), Stream::start(&red.netns, &grey.netns, [10, 1, 0, 4]));
    lost.flows();

    green.remove().unwrap();
    let gone = daemon.wait_for("green", PortState::Gone);
    assert!(gone.reason.is_some_and(|why| why.contains("green")), "{}", daemon.log());
    kept.flows();
    std::thread::sleep(A_WHILE);
    assert_eq!(daemon.port("green").state, PortState::Gone, "it stays gone, and does not begin to wait");
    assert_eq!(daemon.port("red").state, PortState::Up);
    assert!(!daemon.counters().total.dropped.is_empty());

    let green = node.pod("green", 3);
    daemon.wait_for("green", PortState::Up);
    udp(&red.netns, &green.netns, [10, 1, 0, 3], 100);
    drop((lost, kept));
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green", "grey"]);
}

#[test]
fn a_device_that_flaps_costs_no_frame() {
    let Some(mut node) = Node::new("a_device_that_flaps") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    green.remove().unwrap();
    for _ in 0..5 {
        daemon.wait_for("green", PortState::Gone);
        let green = node.pod("green", 3);
        daemon.wait_for("green", PortState::Up);
        green.remove().unwrap();
    }
    daemon.wait_for("green", PortState::Gone);
    drop(stream);
    eventually("every frame is where it should be", || {
        let frames = daemon.status().workers[0].frames;
        let out = frames.receiving + frames.sending + frames.held;
        frames.sending + frames.held == 0 && frames.free + out == frames.total
    });
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red"]);
}

#[test]
fn a_namespace_deleted_under_its_port_is_let_go() {
    let Some(mut node) = Node::new("a_namespace_deleted_under_its_port") else { return };
    let [red, green, grey] = [("red", 2), ("green", 3), ("grey", 4)].map(|(name, host)| node.pod(name, host));
    let name = format!("podlane-test-{}-deleted", std::process::id());
    let away = Netns::anonymous().unwrap();
    let pinned = away.pin(&name).unwrap();
    node.lab.links().move_to("green", std::os::fd::AsFd::as_fd(&away)).unwrap();
    podlane_host::Links::open_in(&away).unwrap().set_up("green").unwrap();
    let green_port = format!("{}netns = \"{}\"\n", port("green"), pinned.path().display());
    node.configure(&format!("{BLUE}{}{}{green_port}", port("red"), port("grey")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let (lost, kept) =
        (Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]), Stream::start(&red.netns, &grey.netns, [10, 1, 0, 4]));
    lost.flows();

    pinned.remove().unwrap();
    drop(away);
    let gone = daemon.wait_for("green", PortState::Gone);
    assert!(gone.reason.is_some_and(|why| why.contains("there is no network namespace /run/netns/")));
    eventually("the namespace dies, and the pod's link with it", || {
        matches!(green.links().unwrap().by_name("eth0"), Err(HostError::NoSuchLink { .. }))
    });
    kept.flows();
    drop((lost, kept));
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "grey"]);
}

#[test]
fn a_renamed_device_is_another_one() {
    let Some(mut node) = Node::new("a_renamed_device_is_another_one") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));

    node.lab.links().rename("green", "purple").unwrap();
    daemon.wait_for("green", PortState::Gone);
    drop(node.occupy("purple"));
    node.lab.links().rename("purple", "green").unwrap();
    daemon.wait_for("green", PortState::Up);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));

    // Two that change places are each other's from then on.
    for (from, to) in [("green", "purple"), ("red", "green"), ("purple", "red")] {
        node.lab.links().rename(from, to).unwrap();
    }
    eventually("both are attached where their names are now", || {
        let attached = |name| daemon.log().matches(&format!("\"port\":\"{name}\",\"mtu\":1500")).count();
        attached("red") >= 2 && attached("green") >= 3
    });
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON) && ping(&green.netns, [10, 1, 0, 2], SOON));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn a_changed_mtu_is_followed() {
    let Some(mut node) = Node::new("a_changed_mtu_is_followed") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let network = BLUE.replace("gateways", "mtu = 9000\ngateways");
    node.configure(&format!("{network}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let mut set = |mtu| {
        for (pod, name) in [(&red, "red"), (&green, "green")] {
            node.lab.links().set_mtu(name, mtu).unwrap();
            pod.links().unwrap().set_mtu("eth0", mtu).unwrap();
            eventually("the MTU is taken over", || {
                let port = daemon.port(name);
                port.state == PortState::Up && port.mtu == Some(mtu)
            });
        }
    };
    let echo = |bytes| ping_sized(&red.netns, [10, 1, 0, 3].into(), bytes, Duration::from_secs(2));
    assert!(echo(1400));
    set(1280);
    assert!(echo(1200));
    // Longer than a frame: the sockets are opened anew.
    set(9000);
    assert!(echo(8900));
    set(1500);
    assert!(echo(1400));
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn a_device_that_is_switched_off_is_waited_for() {
    let Some(mut node) = Node::new("a_device_that_is_switched_off") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    node.lab.links().set_down("green").unwrap();
    std::thread::sleep(A_WHILE);
    assert!(ping(&red.netns, [10, 1, 0, 1], SOON), "the rest goes on");
    node.lab.links().set_up("green").unwrap();
    stream.flows();
    drop(stream);
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn a_device_with_another_program_fails_by_name_until_it_is_free() {
    let Some(mut node) = Node::new("a_device_with_another_program") else { return };
    let (red, _green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let occupied = node.occupy("green");
    let daemon = node.start();
    let failed = daemon.wait_for("green", PortState::Failed);
    let why = failed.reason.unwrap();
    assert!(why.contains("green already has an XDP program (native program "), "{why}");
    assert!(why.contains("ip link set dev green xdp off"), "{why}");
    assert!(daemon.log().matches("already has an XDP program").count() == 1, "it is told once");
    daemon.wait_for("red", PortState::Up);
    drop(occupied);
    daemon.wait_for("green", PortState::Up);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn one_device_that_cannot_serve_does_not_hold_the_others_up() {
    let Some(mut node) = Node::new("one_device_that_cannot_serve") else { return };
    let (red, _green) = (node.pod("red", 2), node.pod("green", 3));
    let file = node.path("a-file");
    std::fs::write(&file, "no namespace").unwrap();
    let not_netns = format!("{}netns = \"{}\"\n", port("grey"), file.display());
    let zero_copy = format!("{}mode = \"zero-copy\"\n", port("green"));
    let absent = format!("{}netns = \"/run/netns/no-such-namespace\"\n", port("purple"));
    node.configure(&format!("{BLUE}{}{zero_copy}{not_netns}{absent}", port("red")));
    let daemon = node.start();
    daemon.wait_for("red", PortState::Up);
    assert!(ping(&red.netns, [10, 1, 0, 1], SOON));
    let reason = |name, state| daemon.wait_for(name, state).reason.unwrap();
    let why = reason("green", PortState::Failed);
    assert!(why.contains("green") && why.contains("zero-copy"), "{why}");
    let why = reason("grey", PortState::Failed);
    assert!(why.contains("a-file is not a network namespace: give a path such as /proc/PID/ns/net"), "{why}");
    eventually("the namespace is missed", || {
        reason("purple", PortState::Waiting).contains("there is no network namespace /run/netns/no-such-namespace")
    });
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn the_device_the_host_lives_on_is_refused() {
    let Some(mut node) = Node::new("the_device_the_host_lives_on") else { return };
    let _red = node.pod("red", 2);
    node.lab.links().set_up("lo").unwrap();
    node.configure(&format!("{BLUE}{}{}kind = \"uplink\"\n", port("red"), port("lo")));
    let daemon = node.start();
    daemon.wait_for("red", PortState::Up);
    let why = daemon.wait_for("lo", PortState::Failed).reason.unwrap();
    assert!(why.starts_with("lo has addresses of this host (127.0.0.1): as a port, "), "{why}");
    assert!(ping(node.lab.switch(), [127, 0, 0, 1], SOON), "the host goes on");
    daemon.terminate();
}

#[test]
fn a_pod_that_says_it_is_another_is_not_heard() {
    let Some(mut node) = Node::new("a_pod_that_says_it_is_another") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let stated = "mac = \"02:00:00:00:01:02\"\naddresses = [\"10.1.0.2\", \"fd00:1::2\"]\n";
    node.configure(&format!("{BLUE}{}{stated}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON) && ping(&green.netns, [10, 1, 0, 2], SOON));
    assert_eq!(daemon.port("red").dropped.get("spoofed_address"), None);

    red.links().unwrap().add_address("eth0", [10, 1, 0, 77].into(), 24).unwrap();
    assert!(!ping(&green.netns, [10, 1, 0, 77], A_WHILE));
    assert!(daemon.port("red").dropped["spoofed_address"] > 0);
    red.links().unwrap().set_mac("eth0", [2, 0, 0, 0, 1, 3]).unwrap();
    assert!(!ping(&red.netns, [10, 1, 0, 1], A_WHILE));
    assert!(daemon.port("red").dropped["spoofed_mac"] > 0);
    daemon.counters();
    daemon.terminate();
}

#[test]
fn a_capture_is_played_once_it_is_there_and_what_it_meets_is_recorded() {
    let Some(mut node) = Node::new("a_capture_is_played") else { return };
    let red = node.pod("red", 2);
    let (input, output) = (node.path("in.pcap"), node.path("out.pcap"));
    let tape = format!(
        "[[port]]\nname = \"tape\"\nkind = \"replay\"\nnetwork = \"blue\"\ninput = \"{}\"\noutput = \"{}\"\n",
        input.display(),
        output.display()
    );
    node.configure(&format!("{BLUE}{}{tape}fault = {{ drop = 0.0, seed = 3 }}\n", port("red")));
    let daemon = node.start();
    daemon.wait_for("red", PortState::Up);
    let why = daemon.wait_for("tape", PortState::Failed).reason.unwrap();
    assert!(why.contains("in.pcap") && why.contains("give a pcap file"), "{why}");

    // Another station asks for red (RFC 826): red's answer is what is recorded.
    let mut question = vec![0xff; 6];
    question.extend([2, 0, 0, 0, 9, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 9, 9, 10, 1, 0, 99]);
    question.extend([0, 0, 0, 0, 0, 0, 10, 1, 0, 2]);
    let mut capture: Vec<u8> =
        [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].into_iter().flat_map(u32::to_le_bytes).collect();
    capture.extend([0, 0, 42, 42_u32].into_iter().flat_map(u32::to_le_bytes));
    capture.extend(&question);
    std::fs::write(&input, capture).unwrap();
    daemon.wait_for("tape", PortState::Up);
    eventually("red answers", || daemon.port("tape").sent.packets > 0);
    drop(red);
    assert_eq!(daemon.port("tape").received.packets, 1);
    assert_eq!((daemon.port("tape").mode, daemon.port("tape").xdp), (None, None));
    daemon.counters();
    daemon.terminate();
    let answer = std::fs::read(output).unwrap();
    assert!(answer.windows(8).any(|bytes| bytes == [8, 6, 0, 1, 8, 0, 6, 4]), "an ARP packet is recorded");
}
