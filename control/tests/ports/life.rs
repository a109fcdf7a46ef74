//! One port: born, in use, gone, and everything that goes wrong between.

use std::net::UdpSocket;
use std::time::Duration;

use podlane::desired::{Inhabitant, MacAddr, Port};
use podlane::reconcile::ChangeError;
use podlane_api::PortState;

use crate::bed::{Bed, name, port, port_of, tape};
use crate::support::{BLUE, Node, SOON, Stream, eventually, ping, port as table};

#[test]
fn a_port_that_is_added_carries_packets_until_it_is_removed() {
    let Some(mut node) = Node::new("a_port_that_is_added") else { return };
    let [red, green, grey] = [("red", 2), ("green", 3), ("grey", 4)].map(|(name, host)| node.pod(name, host));
    let bed = Bed::start(node, &format!("{BLUE}{}{}", table("red"), table("grey")));
    bed.wait_for("red", PortState::Up);
    bed.wait_for("grey", PortState::Up);
    let kept = Stream::start(&red.netns, &grey.netns, [10, 1, 0, 4]);
    kept.flows();
    for _ in 0..3 {
        bed.add(port_of(&green)).unwrap();
        // It is up when the call returns.
        assert_eq!(bed.state("green"), Some(PortState::Up));
        assert!(ping(&green.netns, [10, 1, 0, 2], SOON) && ping(&red.netns, [10, 1, 0, 3], SOON));
        let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
        stream.flows();
        bed.remove("green").unwrap();
        let heard = bed.received("green");
        assert_eq!((bed.state("green"), heard), (None, 0), "what is not desired is not told of");
        drop(stream);
    }
    kept.flows();
    let counters = bed.counters();
    assert!(counters.gone.received > 0, "{counters:?}");
    bed.assert_left(&["red", "grey"]);
}

#[test]
fn a_port_of_the_configuration_can_be_removed_and_another_take_its_device() {
    let Some(mut node) = Node::new("a_port_of_the_configuration") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let bed = Bed::start(node, &format!("{BLUE}{}{}", table("red"), table("green")));
    bed.wait_for("red", PortState::Up);
    bed.wait_for("green", PortState::Up);
    bed.remove("green").unwrap();
    let another = Port { name: name("another"), ..port_of(&green) };
    // The device is free as soon as the former port is closed.
    eventually("the device is free", || bed.add(another.clone()).is_ok());
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
    bed.counters();
    bed.assert_left(&["red", "another"]);
}

/// More packets than a kernel sends by itself in a test.
const MANY: u64 = 100;

#[test]
fn a_number_that_is_given_again_counts_from_zero() {
    let Some(mut node) = Node::new("a_number_that_is_given_again") else { return };
    let red = node.pod("red", 2);
    let file = node.path("tape.pcap");
    let bed = Bed::start(node, &format!("{BLUE}{}", table("red")));
    bed.wait_for("red", PortState::Up);
    let sent = |at: &str| bed.counters().ports.iter().find(|each| each.name == at).map_or(0, |port| port.sent);
    let talker = red.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    talker.set_broadcast(true).unwrap();
    let mut first = None;
    // Some hundred rest before one is given again.
    for round in 0.. {
        let at = format!("tape{round}");
        bed.add(tape(&at, file.clone())).unwrap();
        let number = bed.engine().numbers().port(&name(&at));
        if first == Some(number) {
            // What red's kernel says unasked is little.
            assert!(sent(&at) < MANY, "nothing of its former bearer");
            assert!(round > 200, "{round}");
            break;
        }
        if first.is_none() {
            first = Some(number);
            eventually("it is sent a lot", || {
                // To all, and so to it.
                talker.send_to(&[7; 64], "10.1.0.255:9").unwrap();
                sent(&at) >= MANY
            });
        }
        bed.remove(&at).unwrap();
        assert!(round < 1000, "a number is given again some time");
    }
    assert!(bed.counters().gone.sent >= MANY);
}

#[test]
fn what_cannot_stand_beside_what_is_there_is_refused_by_name() {
    let Some(mut node) = Node::new("what_cannot_stand_beside") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let bed = Bed::start(node, BLUE);
    let inside = |pod: &str| {
        let (namespace, name) = pod.split_once('/').unwrap();
        Some(Inhabitant {
            name: podlane_policy::model::PodName { namespace: namespace.into(), name: name.into() },
            description: None,
            attached: false,
        })
    };
    bed.add(Port { pod: inside("shop/web"), ..port_of(&red) }).unwrap();
    let red_again = port_of(&red);
    let told = |port: Port| bed.add(port).unwrap_err().to_string();
    assert_eq!(told(red_again.clone()), "a port is named \"red\" already; give another name, or remove that one first");
    let other = Port { name: name("other"), ..port("green") };
    assert!(
        told(Port { behind: red_again.behind.clone(), ..other.clone() })
            .starts_with("device red is port \"red\"'s already")
    );
    assert!(
        told(Port { mac: red_again.mac, ..other.clone() })
            .starts_with("MAC address 02:00:00:00:01:02 is port \"red\"'s")
    );
    assert!(
        told(Port { addresses: red_again.addresses.clone(), ..other.clone() })
            .starts_with("address 10.1.0.2 is port \"red\"'s")
    );
    assert!(
        told(Port { addresses: vec![[10, 1, 0, 1].into()], ..other.clone() })
            .starts_with("10.1.0.1 is the gateway of network")
    );
    assert!(told(Port { mac: Some(MacAddr([1, 0, 0, 0, 0, 1])), ..other.clone() }).contains("no unicast MAC address"));
    let mut lost = other.clone();
    lost.membership.untagged = Some(name("bleu"));
    assert_eq!(told(lost.clone()), "there is no network named \"bleu\"; did you mean \"blue\"?");
    lost.membership.untagged = None;
    assert!(told(lost).starts_with("port \"other\" is in no network"));
    assert!(
        told(Port { name: name("absent"), ..port("absent") })
            .contains("there is no device absent in the daemon's network namespace")
    );
    assert!(bed.remove("grene").unwrap_err().to_string().starts_with("there is no port named \"grene\""));
    // None of it is left.
    assert_eq!(bed.engine().desired().ports.len(), 1);
    bed.assert_left(&["red"]);
    bed.add(port_of(&green)).unwrap();
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));
}

#[test]
fn a_device_that_vanishes_while_its_port_comes_leaves_nothing() {
    let Some(mut node) = Node::new("a_device_that_vanishes") else { return };
    let red = node.pod("red", 2);
    let mut bed = Bed::start(node, &format!("{BLUE}{}", table("red")));
    bed.wait_for("red", PortState::Up);
    let stream = Stream::start(&red.netns, bed.node.lab.switch(), [10, 1, 0, 1]);
    drop(stream);
    for round in 0..24u64 {
        let green = bed.node.pod("green", 3);
        let port = port_of(&green);
        let added = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(round * 500));
                green.remove().unwrap();
            });
            bed.add(port)
        });
        match added {
            Ok(()) => {
                bed.wait_for("green", PortState::Gone);
                bed.remove("green").unwrap();
            }
            Err(ChangeError::Open { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(bed.state("green"), None);
    }
    assert!(ping(&red.netns, [10, 1, 0, 1], SOON), "the rest goes on");
    bed.counters();
    bed.assert_left(&["red"]);
}

#[test]
fn a_port_that_is_removed_while_its_device_is_away_is_let_go() {
    let Some(mut node) = Node::new("a_port_removed_while_away") else { return };
    let green = node.pod("green", 3);
    let bed = Bed::start(node, BLUE);
    bed.add(port_of(&green)).unwrap();
    green.remove().unwrap();
    bed.wait_for("green", PortState::Gone);
    bed.remove("green").unwrap();
    assert!(bed.engine().desired().ports.is_empty());
    bed.counters();
    bed.assert_left(&[]);
}
