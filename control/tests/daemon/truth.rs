//! A daemon that runs: traffic passes, and what it says of itself is true.

use podlane_api::{AttachMode, PortKind, PortState, XdpMode};
use serde_json::Value;

use crate::support::{BLUE, Node, SOON, ping, port, tcp, udp};

#[test]
fn three_pods_talk_and_every_answer_is_true() {
    let Some(mut node) = Node::new("three_pods_talk_and_every_answer_is_true") else { return };
    let [red, green, grey] = [("red", 2), ("green", 3), ("grey", 4)].map(|(name, host)| node.pod(name, host));
    let ports: String = ["red", "green", "grey"].map(port).concat();
    node.configure(&format!("{BLUE}{ports}"));
    let daemon = node.start();
    daemon.wait_all_up(SOON);

    assert!(ping(&red.netns, [10, 1, 0, 3], SOON) && ping(&red.netns, [10, 1, 0, 1], SOON));
    assert!(ping(&green.netns, [0xfd00, 1, 0, 0, 0, 0, 0, 4], SOON));
    udp(&red.netns, &green.netns, [10, 1, 0, 3], 1400);
    udp(&grey.netns, &red.netns, [0xfd00, 1, 0, 0, 0, 0, 0, 2], 1400);
    tcp(&red.netns, &grey.netns, [10, 1, 0, 4], 1 << 20);
    tcp(&green.netns, &red.netns, [0xfd00, 1, 0, 0, 0, 0, 0, 2], 1 << 20);

    let status = daemon.status();
    assert_eq!(status.pid.cast_signed(), daemon.pid().as_raw());
    assert_eq!(daemon.warnings(), [""; 0]);
    assert!(status.generation >= 2 && status.workers.len() == 1 && status.workers[0].core == Node::core());
    assert!(status.workers[0].packets > 1_000 && status.flow_table.used > 4);
    let blue = &status.networks[0];
    assert_eq!((blue.name.as_str(), blue.mtu, blue.ports, blue.macs), ("blue", 1500, 3, 3));

    for port in daemon.ports().ports {
        assert_eq!((port.kind, port.state, &port.reason), (PortKind::Pod, PortState::Up, &None));
        assert_eq!((port.mode, port.xdp), (Some(AttachMode::Copy), Some(XdpMode::Native)));
        assert_eq!((port.mtu, port.queues, port.network.as_deref()), (Some(1500), 1, Some("blue")));
        assert!(port.received.packets > 10 && port.sent.packets > 10, "{port:?}");
        assert!(port.received.bytes > port.received.packets * 42 && port.dropped.len() < 3, "{port:?}");
    }
    let counters = daemon.counters();
    assert!(counters.total.made > 0, "the gateway answered: {counters:?}");
    let by_ports: u64 = counters.ports.iter().map(|port| port.received).sum();
    assert_eq!(counters.total.received, by_ports + counters.total.made);
    assert_eq!(counters.total.sent, counters.ports.iter().map(|port| port.sent).sum::<u64>());
    daemon.terminate();
    node.assert_clean(&["red", "green", "grey"]);
}

#[test]
fn people_and_programs_are_told_the_same() {
    let Some(mut node) = Node::new("people_and_programs_are_told_the_same") else { return };
    let (red, _green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
    // A packet that dies, so that there is a reason to explain.
    assert!(!ping(&red.netns, [10, 9, 9, 9], std::time::Duration::from_millis(50)));

    let json = |verb| serde_json::from_str::<Value>(&node.cli(&[verb, "--json"])).unwrap();
    assert_eq!(json("status")["instance"], node.pins().file_name().unwrap().to_str().unwrap());
    let ports = json("ports");
    for (at, name) in ["green", "red"].into_iter().enumerate() {
        let port = &ports["ports"][at];
        assert_eq!((&port["name"], &port["state"], &port["xdp"]), (&name.into(), &"up".into(), &"native".into()));
        assert_eq!((&port["mtu"], &port["mode"]), (&1500.into(), &"copy".into()));
    }
    let flows = json("flows");
    assert!(flows["matched"].as_u64().unwrap() >= 2, "{flows}");
    let echo = flows["flows"].as_array().unwrap().iter().find(|flow| flow["protocol"] == "icmp").unwrap();
    assert_eq!((&echo["network"], &echo["ethertype"]), (&"blue".into(), &0x800.into()));
    let counters = json("counters");
    assert_eq!(counters["balanced"], true);
    assert!(counters["dropped"]["no_route"].as_u64().unwrap() > 0, "{counters}");

    assert!(node.cli(&["counters"]).contains("The VRF has no route to the destination."));
    assert!(node.cli(&["ports"]).contains("copy native"));
    assert!(node.cli(&["status"]).contains("adaptive"));
    assert!(node.cli(&["flows", "--port", "red", "--limit", "1"]).contains("--limit shows more"));
    daemon.terminate();
}
