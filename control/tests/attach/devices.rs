//! The other kinds: a veth that another plugin made, a device of the host's, a directory for a vhost-user socket.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use podlane::attach::{Addressing, AttachError, Kind, Order, OrderError, Told};
use podlane_host::{Links, Veth, VethPeer};

use crate::bed::{Bed, PodBed, eventually, key, order};

fn given(address: &str) -> Addressing {
    let address =
        podlane::attach::Address { address: address.parse().unwrap(), gateway: Some("10.1.0.1".parse().unwrap()) };
    Addressing::Given { addresses: vec![address] }
}

/// A pod as the plugin `bridge` leaves it: the host's end in a bridge.
fn bridged(bed: &Bed, pod: &PodBed, end: &str, address: [u8; 4]) {
    let mut host = bed.links();
    let peer = VethPeer { name: "eth0", netns: Some(pod.netns.as_fd()), mac: None };
    host.veth(&Veth { name: end, mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    host.enslave(end, "br0").unwrap();
    host.set_up(end).unwrap();
    let mut inside = pod.links();
    inside.add_address("eth0", address.into(), 24).unwrap();
    inside.set_up("eth0").unwrap();
}

#[test]
fn a_veth_of_another_plugin_is_taken_over_and_given_back_to_its_bridge() {
    let Some(bed) = Bed::new("a_veth_of_another_plugin_is_taken_over_and_given_back_to_its_bridge") else { return };
    let mut host = bed.links();
    let bridge = host.bridge("br0").unwrap();
    host.set_up("br0").unwrap();
    let (one, two) = (bed.pod(), bed.pod());
    bridged(&bed, &one, "veth1", [10, 1, 0, 7]);
    let running = bed.start();
    let taken = Order {
        kind: Kind::Taken { host: "veth1".to_owned() },
        addressing: given("10.1.0.7/24"),
        default_route: false,
        ..order("c1", &one)
    };
    let made = running.attach(&bed, taken.clone()).unwrap();
    assert_eq!(made.pod.as_ref().map(|pod| pod.mac.0), one.link("eth0").unwrap().mac);
    assert_eq!(host.by_name("veth1").unwrap().master, None);
    let other = running.attach(&bed, order("c2", &two)).unwrap();
    assert!(one.reaches(&two, other.addresses[0].address.address()), "through the switch");
    bed.within(|| running.attachments.check(&key("c1"), &Told::default())).unwrap();

    let again = Order { key: key("c3"), ..taken };
    let refused = running.attach(&bed, again).unwrap_err();
    assert!(matches!(refused, AttachError::Order(OrderError::IsPort { .. })), "{refused}");

    running.detach(&bed, &key("c1"));
    assert_eq!(host.by_name("veth1").unwrap().master, Some(bridge), "before the reply, since its maker comes next");
    running.detach(&bed, &key("c1"));
    running.stop();
}

#[test]
fn a_host_device_is_the_pods_until_it_comes_back_as_it_was() {
    let Some(bed) = Bed::new("a_host_device_is_the_pods_until_it_comes_back_as_it_was") else { return };
    let mut host = bed.links();
    let peer = VethPeer { name: "wire", netns: None, mac: None };
    host.veth(&Veth { name: "nic0", mtu: 1500, mac: Some([2, 0, 0, 0, 7, 7]), queues: 1, peer }).unwrap();
    host.set_up("nic0").unwrap();
    let running = bed.start();
    let pod = bed.pod();
    let wanted = Order { kind: Kind::HostDevice { device: "nic0".to_owned() }, mtu: Some(1400), ..order("c1", &pod) };
    let made = running.attach(&bed, wanted.clone()).unwrap();
    let inside = pod.link("eth0").unwrap();
    assert_eq!((inside.mac, inside.mtu, inside.up), (Some([2, 0, 0, 0, 7, 7]), 1400, true));
    assert_eq!(pod.addresses("eth0").len(), made.addresses.len());
    assert!(host.by_name("nic0").is_err());
    bed.within(|| running.attachments.check(&key("c1"), &Told::default())).unwrap();
    running.detach(&bed, &key("c1"));
    let back = host.by_name("nic0").unwrap();
    assert_eq!((back.mac, back.mtu, back.up), (Some([2, 0, 0, 0, 7, 7]), 1500, true));
    assert_eq!((pod.link("eth0"), running.held()), (None, 0));

    host.add_address("nic0", [192, 0, 2, 1].into(), 24).unwrap();
    let refused = running.attach(&bed, wanted).unwrap_err();
    assert!(matches!(refused, AttachError::Order(OrderError::HostsOwn { .. })), "{refused}");
    assert_eq!(running.held(), 0);
    running.stop();
}

#[test]
fn a_device_that_the_host_or_the_switch_needs_is_no_pods() {
    let Some(bed) = Bed::new("a_device_that_the_host_or_the_switch_needs_is_no_pods") else { return };
    let mut host = bed.links();
    host.bridge("br0").unwrap();
    let peer = VethPeer { name: "far", netns: None, mac: None };
    host.veth(&Veth { name: "near", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    host.enslave("near", "br0").unwrap();
    let running = bed.start();
    let (one, two) = (bed.pod(), bed.pod());
    let port = running.attach(&bed, order("c1", &one)).unwrap().port;
    for device in ["lo", "near", &port, "nobody"] {
        let wanted = Order { kind: Kind::HostDevice { device: device.to_owned() }, ..order("c2", &two) };
        let refused = running.attach(&bed, wanted).unwrap_err();
        assert!(matches!(refused, AttachError::Order(_)), "{device}: {refused}");
    }
    assert_eq!(running.attachments.list().len(), 1);
    running.stop();
}

#[test]
fn a_vhost_user_pod_has_a_directory_until_it_is_given_back() {
    let Some(bed) = Bed::new("a_vhost_user_pod_has_a_directory_until_it_is_given_back") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let made = running.attach(&bed, Order { kind: Kind::VhostUser, ..order("c1", &pod) }).unwrap();
    let socket = made.socket.unwrap();
    let directory = socket.parent().unwrap();
    assert_eq!(directory, bed.path("vhost").join(&made.port));
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(made.addresses.len(), 2);
    running.detach(&bed, &key("c1"));
    assert!(!directory.exists());
    assert_eq!(running.held(), 0);
    running.stop();
}

#[test]
fn a_pod_end_without_a_namespace_waits_for_its_caller() {
    let Some(bed) = Bed::new("a_pod_end_without_a_namespace_waits_for_its_caller") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let mut wanted = Order { netns: None, ..order("c1", &pod) };
    wanted.key.origin = podlane::attach::Origin::Docker;
    let made = running.attach(&bed, wanted.clone()).unwrap();
    let waiting = made.pod.unwrap();
    assert_eq!(bed.links().by_name(&waiting.name).unwrap().mac, Some(waiting.mac.0));
    // As libnetwork fetches it.
    bed.links().move_as(&waiting.name, pod.netns.as_fd(), "eth0").unwrap();
    let mut inside: Links = pod.links();
    inside.set_up("eth0").unwrap();
    bed.within(|| running.attachments.check(&wanted.key, &Told::default())).unwrap();
    running.detach(&bed, &wanted.key);
    eventually("the pair is gone", || bed.netdevs().is_empty() && pod.link("eth0").is_none());
    running.stop();
}
