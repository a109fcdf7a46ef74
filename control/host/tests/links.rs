//! Facts about links: what is asked for is what the kernel then has, and refusals are named.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use podlane_host::lab::{Lab, PodSpec, skip};
use podlane_host::{Feature, HostError, LinkEvent, LinkEvents, Links, Netns, Veth, VethPeer};

const SOON: Duration = Duration::from_secs(5);

/// A namespace with the veth pair `near` and `far`, both down.
fn pair() -> (Netns, Links) {
    let netns = Netns::anonymous().unwrap();
    let mut links = Links::open_in(&netns).unwrap();
    links.veth(&near("near", "far")).unwrap();
    (netns, links)
}

fn near<'a>(name: &'a str, peer: &'a str) -> Veth<'a> {
    Veth { name, mtu: 1500, mac: None, queues: 1, peer: VethPeer { name: peer, netns: None, mac: None } }
}

fn is_gone(events: &mut LinkEvents, name: &str) -> bool {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match events.next(SOON).unwrap() {
            Some(LinkEvent::Gone { name: gone, .. }) if gone == name => return true,
            _ => {}
        }
    }
    false
}

#[test]
fn a_veth_across_two_namespaces_has_both_ends_as_asked() {
    if skip("a_veth_across_two_namespaces_has_both_ends_as_asked") {
        return;
    }
    let (here, there) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    let (mut near, mut far) = (Links::open_in(&here).unwrap(), Links::open_in(&there).unwrap());
    let index = near
        .veth(&Veth {
            name: "near",
            mtu: 4000,
            mac: Some([2, 0, 0, 0, 0, 1]),
            queues: 3,
            peer: VethPeer { name: "far", netns: Some(there.as_fd()), mac: Some([2, 0, 0, 0, 0, 2]) },
        })
        .unwrap();
    let (one, two) = (near.by_index(index).unwrap(), far.by_name("far").unwrap());
    assert_eq!((one.mac, two.mac), (Some([2, 0, 0, 0, 0, 1]), Some([2, 0, 0, 0, 0, 2])));
    assert_eq!((one.mtu, one.rx_queues, one.tx_queues), (4000, 3, 3));
    assert_eq!((two.mtu, two.rx_queues, two.tx_queues), (4000, 3, 3));
    assert_eq!((one.peer, two.peer), (Some(two.index), Some(one.index)));
    assert!(!one.up && !one.carrier && !two.up && !two.carrier);
    assert!(near.by_name("far").is_err());

    near.set_up(&one).unwrap();
    far.set_up("far").unwrap();
    assert!(near.by_name("near").unwrap().carrier);
    far.set_down("far").unwrap();
    let one = near.by_name("near").unwrap();
    assert!(one.up && !one.carrier);
}

#[test]
fn a_link_can_be_changed_in_every_way() {
    if skip("a_link_can_be_changed_in_every_way") {
        return;
    }
    let (_netns, mut links) = pair();
    links.set_mtu("near", 9000).unwrap();
    links.set_mac("near", [2, 0, 0, 0, 0, 9]).unwrap();
    links.rename("near", "close").unwrap();
    let link = links.by_name("close").unwrap();
    assert_eq!((link.mtu, link.mac), (9000, Some([2, 0, 0, 0, 0, 9])));

    let elsewhere = Netns::anonymous().unwrap();
    links.move_to("close", elsewhere.as_fd()).unwrap();
    assert!(matches!(links.by_name("close"), Err(HostError::NoSuchLink { .. })));
    assert!(Links::open_in(&elsewhere).unwrap().by_name("close").is_ok());

    links.delete("far").unwrap();
    assert_eq!(links.list().unwrap().len(), 1);
    assert_eq!(Links::open_in(&elsewhere).unwrap().list().unwrap().len(), 1);
}

#[test]
fn a_port_knows_its_bridge() {
    if skip("a_port_knows_its_bridge") {
        return;
    }
    let (_netns, mut links) = pair();
    let bridge = links.bridge("br0").unwrap();
    assert_eq!(links.by_name("br0").unwrap().kind.as_deref(), Some("bridge"));
    assert_eq!(links.by_name("near").unwrap().master, None);
    links.enslave("near", "br0").unwrap();
    assert_eq!(links.by_name("near").unwrap().master, Some(bridge));
    let refused = links.enslave("br0", "far");
    assert!(refused.is_err(), "a veth takes no ports");
}

#[test]
fn refusals_name_the_object_and_the_remedy() {
    if skip("refusals_name_the_object_and_the_remedy") {
        return;
    }
    let (_netns, mut links) = pair();
    let missing = links.set_up("absent").unwrap_err();
    assert!(matches!(missing, HostError::NoSuchLink { .. }), "{missing:?}");
    let said = missing.to_string();
    assert!(said.contains("set link absent up") && said.contains("check the name"), "{said}");

    for index in [0, 4711, u32::MAX] {
        let missing = links.by_index(index);
        assert!(matches!(missing, Err(HostError::NoSuchLink { .. })), "{missing:?}");
    }
    let taken = links.veth(&near("near", "other")).unwrap_err();
    assert!(matches!(taken, HostError::Exists { .. }), "{taken:?}");
    for name in ["", "sixteen-bytes-xx", "a/b", "a b", ".", "..", "a:b"] {
        let refused = links.veth(&near(name, "other"));
        assert!(matches!(refused, Err(HostError::BadName { .. })), "{name:?}: {refused:?}");
    }
    // The kernel tells in words what is wrong with an MTU, and they are passed on.
    let small = links.set_mtu("near", 10).unwrap_err().to_string();
    assert!(small.contains("the kernel says: "), "{small}");
    let list = links.list().unwrap();
    assert_eq!(list.len(), 3, "no refusal left a link: {list:?}");
}

#[test]
fn addresses_are_usable_as_soon_as_the_link_is_up() {
    if skip("addresses_are_usable_as_soon_as_the_link_is_up") {
        return;
    }
    let (_netns, mut links) = pair();
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    links.add_address("near", v4, 24).unwrap();
    links.add_address("near", v6, 64).unwrap();
    links.set_up("near").unwrap();
    links.set_up("far").unwrap();
    let listed = links.addresses("near").unwrap();
    let own = |address| listed.iter().find(|own| own.address == address).unwrap();
    assert_eq!((own(v4).prefix, own(v4).tentative), (24, false));
    assert_eq!((own(v6).prefix, own(v6).tentative), (64, false));

    let again = links.add_address("near", v4, 24);
    assert!(matches!(again, Err(HostError::Exists { .. })), "{again:?}");
    let long = links.add_address("near", v4, 33);
    assert!(matches!(long, Err(HostError::BadPrefix { most: 32, .. })), "{long:?}");
}

#[test]
fn a_route_needs_a_gateway_that_can_be_reached() {
    if skip("a_route_needs_a_gateway_that_can_be_reached") {
        return;
    }
    let (_netns, mut links) = pair();
    let far_away = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0));
    let gateway = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254));
    links.set_up("near").unwrap();
    links.set_up("far").unwrap();
    let early = links.add_route(far_away, 24, Some(gateway), "near");
    assert!(matches!(early, Err(HostError::Unreachable { .. })), "{early:?}");
    let own = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    links.add_address("near", own, 24).unwrap();
    links.add_route(far_away, 24, Some(gateway), "near").unwrap();
    let twice = links.add_route(far_away, 24, Some(gateway), "near");
    assert!(matches!(twice, Err(HostError::Exists { .. })), "{twice:?}");
    let mixed = links.add_route(far_away, 24, Some(Ipv6Addr::LOCALHOST.into()), "near");
    assert!(matches!(mixed, Err(HostError::MixedFamilies { .. })), "{mixed:?}");
    let on_link = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0));
    links.add_route(on_link, 24, None, "near").unwrap();
}

#[test]
fn a_permanent_neighbour_spares_the_question_for_it() {
    if skip("a_permanent_neighbour_spares_the_question_for_it") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pod = lab.pod(&PodSpec { ipv4: Some((Ipv4Addr::new(10, 0, 0, 2), 24)), ..PodSpec::named("blue") }).unwrap();
    let peer = Ipv4Addr::new(10, 0, 0, 3);
    let mut inside = pod.links().unwrap();
    inside.add_neighbour("eth0", peer.into(), [2, 0, 0, 0, 0, 3]).unwrap();
    inside.add_neighbour("eth0", peer.into(), [2, 0, 0, 0, 0, 4]).unwrap();
    let sent = pod.run(|| std::net::UdpSocket::bind("0.0.0.0:0").and_then(|own| own.send_to(&[0; 100], (peer, 9))));
    assert_eq!(sent.unwrap().unwrap(), 100);
    // One packet of 14 + 20 + 8 + 100 bytes; an ARP request would be another, of 42.
    let counters = lab.links().counters("blue").unwrap();
    assert_eq!((counters.rx_packets, counters.rx_bytes), (1, 142));
    assert_eq!((counters.tx_packets, counters.rx_errors, counters.tx_errors), (0, 0, 0));
}

#[test]
fn a_neighbour_that_was_removed_is_asked_for_again() {
    if skip("a_neighbour_that_was_removed_is_asked_for_again") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pod = lab.pod(&PodSpec { ipv4: Some((Ipv4Addr::new(10, 0, 0, 2), 24)), ..PodSpec::named("blue") }).unwrap();
    let peer = Ipv4Addr::new(10, 0, 0, 3);
    let mut inside = pod.links().unwrap();
    inside.add_neighbour("eth0", peer.into(), [2, 0, 0, 0, 0, 3]).unwrap();
    inside.remove_neighbour("eth0", peer.into()).unwrap();
    let twice = inside.remove_neighbour("eth0", peer.into());
    assert!(matches!(twice, Err(HostError::Refused { errno: nix::errno::Errno::ENOENT, .. })), "{twice:?}");
    let sent = pod.run(|| std::net::UdpSocket::bind("0.0.0.0:0").and_then(|own| own.send_to(&[0; 100], (peer, 9))));
    assert_eq!(sent.unwrap().unwrap(), 100);
    // The packet waits, and an ARP request goes out.
    let counters = lab.links().counters("blue").unwrap();
    assert_eq!((counters.rx_packets, counters.rx_bytes), (1, 42));
}

#[test]
fn an_offload_is_off_after_it_was_switched_off_and_on_after_it_was_switched_on() {
    if skip("an_offload_is_off_after_it_was_switched_off_and_on_after_it_was_switched_on") {
        return;
    }
    let (_netns, mut links) = pair();
    let index = links.by_name("near").unwrap().index;
    for feature in [Feature::Tso, Feature::TxChecksum, Feature::Gso, Feature::Gro] {
        for on in [false, true, true, false] {
            // Segmentation needs checksums: give it what it needs first.
            links.set_feature("near", Feature::TxChecksum, true).unwrap();
            links.set_feature("near", feature, on).unwrap();
            let features = links.features(index).unwrap();
            assert_eq!(features.is_on(feature), on, "{feature}");
            assert!(features.can_change(feature), "{feature}");
        }
    }
    // None of its names is left behind: a kernel has a new one now and then.
    links.set_feature("near", Feature::Tso, false).unwrap();
    let left = links.features("near").unwrap();
    let left = left.active().into_iter().find(|name| name.starts_with("tx-tcp"));
    assert_eq!(left, None);
    let other = links.features("far").unwrap();
    assert!(other.is_on(Feature::Tso), "the other end is left alone");
}

#[test]
fn an_offload_the_link_does_not_have_is_refused_by_name() {
    if skip("an_offload_the_link_does_not_have_is_refused_by_name") {
        return;
    }
    let (_netns, mut links) = pair();
    let refused = links.set_feature("lo", Feature::TxVlan, true).unwrap_err();
    assert!(matches!(refused, HostError::FeatureFixed { .. }), "{refused:?}");
    assert!(refused.to_string().contains("link lo keeps transmit VLAN offload off"), "{refused}");
    links.set_feature("lo", Feature::TxVlan, false).unwrap();
    let missing = links.features("absent");
    assert!(matches!(missing, Err(HostError::NoSuchLink { .. })), "{missing:?}");
}

#[test]
fn events_tell_of_links_made_changed_renamed_and_deleted() {
    if skip("events_tell_of_links_made_changed_renamed_and_deleted") {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let mut events = LinkEvents::open_in(&netns).unwrap();
    let mut links = Links::open_in(&netns).unwrap();
    assert_eq!(events.next(Duration::from_millis(20)).unwrap(), None);
    links.veth(&near("near", "far")).unwrap();
    links.set_up("near").unwrap();
    links.set_up("far").unwrap();
    let made = links.by_name("near").unwrap();
    let seen = loop {
        match events.next(SOON).unwrap() {
            Some(LinkEvent::Changed(link)) if link.name == "near" && link.carrier => break link,
            Some(_) => {}
            None => panic!("no event told of the carrier"),
        }
    };
    assert_eq!((seen.index, seen.kind.as_deref()), (made.index, Some("veth")));
    links.delete("near").unwrap();
    let gone = loop {
        match events.next(SOON).unwrap() {
            Some(LinkEvent::Gone { index, name }) if index == made.index => break name,
            Some(_) => {}
            None => panic!("no event told of the end"),
        }
    };
    assert_eq!(gone, "near");
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_gone() {
    if skip("a_port_that_leaves_its_bridge_is_not_gone") {
        return;
    }
    let (netns, mut links) = pair();
    links.bridge("br0").unwrap();
    links.enslave("near", "br0").unwrap();
    let mut events = LinkEvents::open_in(&netns).unwrap();
    links.delete("br0").unwrap();
    let mut gone = Vec::new();
    while let Some(event) = events.next(Duration::from_millis(200)).unwrap() {
        if let LinkEvent::Gone { name, .. } = event {
            gone.push(name);
        }
    }
    assert_eq!(gone, ["br0"]);
}

#[test]
fn a_link_whose_peer_namespace_is_deleted_is_announced_as_gone() {
    if skip("a_link_whose_peer_namespace_is_deleted_is_announced_as_gone") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pod = lab.pod(&PodSpec::named("blue")).unwrap();
    let mut events = LinkEvents::open_in(lab.switch()).unwrap();
    drop(pod);
    assert!(is_gone(&mut events, "blue"));
}

#[test]
fn a_link_that_moves_away_is_announced_as_gone() {
    if skip("a_link_that_moves_away_is_announced_as_gone") {
        return;
    }
    let (netns, mut links) = pair();
    let elsewhere = Netns::anonymous().unwrap();
    let mut events = LinkEvents::open_in(&netns).unwrap();
    links.move_to("near", elsewhere.as_fd()).unwrap();
    assert!(is_gone(&mut events, "near"));
}

#[test]
fn events_that_nobody_read_are_told_as_missed() {
    if skip("events_that_nobody_read_are_told_as_missed") {
        return;
    }
    let (netns, mut links) = pair();
    let mut events = LinkEvents::open_in(&netns).unwrap();
    for n in 0..4000 {
        links.set_mtu("near", 1400 + n % 2).unwrap();
    }
    // What was queued before the loss is stale, and not told.
    assert_eq!(events.next(SOON).unwrap(), Some(LinkEvent::Missed));
    assert_eq!(events.next(Duration::ZERO).unwrap(), None);
    links.delete("near").unwrap();
    assert!(is_gone(&mut events, "near"), "and what follows is told again");
}

#[test]
fn a_wait_ends_in_time_and_says_for_what() {
    if skip("a_wait_ends_in_time_and_says_for_what") {
        return;
    }
    let (_netns, mut links) = pair();
    let bound = Duration::from_millis(30);
    let begun = Instant::now();
    let late = links.wait_until("near", "to have a carrier", bound, |link| link.carrier);
    assert!(begun.elapsed() < SOON);
    let said = late.unwrap_err().to_string();
    assert!(said.contains("30ms waiting for link near to have a carrier"), "{said}");
    let gone = links.wait_until("absent", "to appear", bound, |_| true);
    assert!(matches!(gone, Err(HostError::NoSuchLink { .. })), "{gone:?}");
}
