//! The uplink is the host's: a dead daemon, a claimed address and a changed uplink leave it reachable.

use crate::ground::End;
use crate::segment::{HOST, LAN, PODS, Segment, known_as, v4, v6};
use crate::support::{SOON, Stream, eventually, ping, tcp};

#[test]
fn a_killed_daemon_leaves_the_host_on_the_wire_and_a_new_one_brings_the_pods_back() {
    for (test, sharing) in [("wire_kill_mac", "mac"), ("wire_kill_ip", "ip")] {
        let Some(segment) = Segment::new(test, &format!("network = \"lan\"\nsharing = \"{sharing}\"\n")) else {
            return;
        };
        let daemon = segment.start();
        let stream = Stream::start(segment.pod(0), &segment.lan, v4(LAN));
        stream.flows();
        daemon.kill();
        for family in [v4, v6] {
            End(&segment.lan, "br0").links().remove_neighbour("br0", family(HOST)).ok();
            tcp(&segment.lan, segment.host(), family(HOST), 256 << 10);
            tcp(segment.host(), &segment.lan, family(LAN), 256 << 10);
        }
        let daemon = segment.start();
        stream.flows();
        for family in [v4, v6] {
            assert!(ping(&segment.lan, family(PODS[1]), SOON), "{sharing}: {}", daemon.log());
        }
        drop(stream);
        segment.end(daemon);
    }
}

#[test]
fn an_address_that_the_host_has_too_stays_the_hosts_and_is_warned_of() {
    let Some(segment) = Segment::new("wire_taken", "network = \"lan\"\nsharing = \"ip\"\n") else { return };
    let daemon = segment.start();
    assert!(ping(&segment.lan, v4(PODS[0]), SOON), "{}", daemon.log());
    assert_eq!(daemon.warnings(), [""; 0]);
    End(segment.host(), "up0").links().add_address("up0", v4(PODS[0]), 24).unwrap();
    let warned = || daemon.warnings().iter().any(|warning| warning.contains("the host has 10.1.0.2 as well"));
    eventually("it is warned of", warned);
    tcp(&segment.lan, segment.host(), v4(PODS[0]), 64 << 10);
    assert!(ping(&segment.lan, v4(PODS[1]), SOON), "the other pod keeps its own");
    End(segment.host(), "up0").links().remove_address("up0", v4(PODS[0]), 24).unwrap();
    eventually("the warning ends", || daemon.warnings().is_empty());
    tcp(&segment.lan, segment.pod(0), v4(PODS[0]), 64 << 10);
    segment.end(daemon);
}

#[test]
fn an_uplink_whose_own_address_changes_is_shared_by_the_new_one() {
    let Some(segment) = Segment::new("wire_mac_changes", "network = \"lan\"\nsharing = \"ip\"\n") else { return };
    let daemon = segment.start();
    assert!(ping(segment.pod(0), v4(LAN), SOON), "{}", daemon.log());
    End(segment.host(), "up0").links().set_mac("up0", [2, 0, 0, 0, 0xaa, 1]).unwrap();
    let known = || {
        // What a LAN does when it is asked: who speaks, is believed.
        let talks = ping(segment.pod(0), v4(LAN), SOON) && ping(&segment.lan, v4(PODS[0]), SOON);
        talks && known_as(&segment.lan, PODS[0]).as_deref() == Some("02:00:00:00:aa:01")
    };
    eventually("the LAN knows the pod by the new address", known);
    for family in [v4, v6] {
        tcp(segment.pod(0), &segment.lan, family(LAN), 64 << 10);
        tcp(&segment.lan, segment.host(), family(HOST), 64 << 10);
    }
    segment.end(daemon);
}

#[test]
fn a_successor_goes_on_with_the_uplink_and_hears_what_is_for_everyone() {
    for (test, sharing) in [("wire_next_mac", "mac"), ("wire_next_ip", "ip")] {
        let Some(segment) = Segment::new(test, &format!("network = \"lan\"\nsharing = \"{sharing}\"\n")) else {
            return;
        };
        let former = segment.start();
        let stream = Stream::start(segment.pod(0), &segment.lan, v4(LAN));
        stream.flows();
        let next = segment.start();
        former.ended();
        assert!(next.status().took_over.is_some(), "{}", next.log());
        stream.flows();
        // The LAN has never spoken to it, and asks everyone.
        for family in [v4, v6] {
            assert!(ping(&segment.lan, family(PODS[1]), SOON), "{sharing}: {}", next.log());
        }
        tcp(&segment.lan, segment.host(), v4(HOST), 256 << 10);
        drop(stream);
        segment.end(next);
    }
}

#[test]
fn a_gateway_on_the_wire_is_reached_by_its_mac_beside_the_host() {
    let Some(segment) = Segment::new("wire_gateway", "network = \"lan\"\nsharing = \"mac\"\n") else { return };
    let path = segment.node.path("podlane.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let gateways =
        "name = \"lan\"\ngateways = [\"10.1.0.254/24\", \"fd00:1::fe/64\"]\ngateway_mac = \"02:00:00:00:fe:fe\"\n";
    std::fs::write(&path, text.replacen("name = \"lan\"\n", gateways, 1)).unwrap();
    let daemon = segment.start();
    for family in [v4, v6] {
        assert!(ping(&segment.lan, family(254), SOON), "{}", daemon.log());
        assert!(ping(segment.pod(0), family(254), SOON) && ping(segment.pod(0), family(LAN), SOON));
        tcp(&segment.lan, segment.host(), family(HOST), 64 << 10);
    }
    assert_eq!(known_as(&segment.lan, 254).as_deref(), Some("02:00:00:00:fe:fe"));
    segment.end(daemon);
}
