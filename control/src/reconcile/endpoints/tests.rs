#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

use super::super::plan::Plan;
use super::*;
use crate::config::{Machine, parse};

/// A network with a pod of this node (0a) and one of `node2` (0b, generation 3), and a reconciler that is always done.
fn endpoints() -> Endpoints {
    let text = "[workers]\ncores = [0]\n[underlay]\nvteps = [\"192.0.2.1/24\"]\nuplinks = [\"up0\"]\n\
                [[peer]]\nname = \"node2\"\nvtep = \"192.0.2.2\"\n[[peer]]\nname = \"node3\"\nvtep = \"192.0.2.3\"\n\
                [[network]]\nname = \"blue\"\nvni = 7\ngateways = [\"10.1.0.1/24\"]\n\
                [[network]]\nname = \"wire\"\n\
                [[port]]\nname = \"up0\"\nkind = \"uplink\"\ndevice = \"eth0\"\n\
                [[port]]\nname = \"pod\"\ndevice = \"veth-pod\"\nnetwork = \"blue\"\nmac = \"02:00:00:00:00:0a\"\n\
                addresses = [\"10.1.0.10\"]\ngeneration = 1\n\
                [[endpoint]]\nnetwork = \"blue\"\nmac = \"02:00:00:00:00:0b\"\naddresses = [\"10.1.0.11\"]\n\
                peer = \"node2\"\ngeneration = 3\n";
    let desired = parse(text, &Machine { cores: [0].into() }).unwrap_or_else(|findings| panic!("{}", findings[0]));
    let (endpoints, moved) = Endpoints::new(Arc::new(Plans::new(Plan::of(desired))));
    std::thread::spawn(move || moved.iter().for_each(|done| done.send(()).unwrap()));
    endpoints
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn station(mac: u8, address: u8, peer: &str, generation: u64) -> Endpoint {
    let (network, mac) = (name("blue"), MacAddr([2, 0, 0, 0, 0, mac]));
    Endpoint { network, mac, addresses: vec![[10, 1, 0, address].into()], peer: name(peer), generation }
}

fn refusal(outcome: Result<(), EndpointError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_station_moves_with_every_higher_generation_and_with_no_other() {
    let endpoints = endpoints();
    endpoints.set(station(0x0b, 11, "node3", 4)).unwrap();
    assert_eq!(endpoints.list(), [station(0x0b, 11, "node3", 4)]);
    endpoints.set(station(0x0b, 11, "node3", 4)).unwrap();
    for generation in [3, 4] {
        assert_eq!(
            refusal(endpoints.set(station(0x0b, 11, "node2", generation))),
            format!(
                "generation {generation} of 02:00:00:00:00:0b in network \"blue\" is not above 4, which is known (set it with a \
                 higher generation if it is newer)"
            )
        );
    }
    assert_eq!(endpoints.list(), [station(0x0b, 11, "node3", 4)]);
}

#[test]
fn a_ports_station_moves_away_only_by_a_higher_generation() {
    let endpoints = endpoints();
    assert!(refusal(endpoints.set(station(0x0a, 10, "node2", 1))).contains("is not above 1"));
    endpoints.set(station(0x0a, 10, "node2", 2)).unwrap();
    assert_eq!(endpoints.list().len(), 2);
}

#[test]
fn an_address_is_taken_over_only_by_a_higher_generation() {
    let endpoints = endpoints();
    assert!(refusal(endpoints.set(station(0x0c, 11, "node2", 3))).starts_with("generation 3 of 10.1.0.11 in network"));
    assert!(refusal(endpoints.set(station(0x0c, 10, "node2", 1))).starts_with("generation 1 of 10.1.0.10 in network"));
    endpoints.set(station(0x0c, 11, "node2", 4)).unwrap();
}

#[test]
fn what_is_removed_stays_so_until_something_newer_is_said() {
    let endpoints = endpoints();
    let (blue, mac) = (name("blue"), MacAddr([2, 0, 0, 0, 0, 0x0b]));
    assert_eq!(
        refusal(endpoints.remove(&blue, mac, 2)),
        "endpoint 02:00:00:00:00:0b of network \"blue\" was stated in generation 3, and 2 is older (give 3 or a higher one)"
    );
    endpoints.remove(&blue, mac, 3).unwrap();
    assert_eq!(endpoints.list(), []);
    assert!(matches!(endpoints.remove(&blue, mac, 3), Err(EndpointError::Unknown { .. })));
    assert_eq!(
        refusal(endpoints.set(station(0x0b, 11, "node2", 3))),
        "endpoint 02:00:00:00:00:0b of network \"blue\" was removed in generation 3, and 3 is not newer (give a higher one)"
    );
    endpoints.set(station(0x0b, 11, "node2", 4)).unwrap();
    assert_eq!(endpoints.list(), [station(0x0b, 11, "node2", 4)]);
}

#[test]
fn a_port_of_this_node_is_no_endpoint_to_remove() {
    let outcome = endpoints().remove(&name("blue"), MacAddr([2, 0, 0, 0, 0, 0x0a]), 9);
    assert!(matches!(outcome, Err(EndpointError::Unknown { .. })));
}

#[test]
fn what_does_not_fit_is_refused_as_it_is_in_the_file() {
    let endpoints = endpoints();
    let refused = |endpoint| refusal(endpoints.set(endpoint));
    let good = || station(0x0c, 12, "node2", 1);
    assert!(refused(Endpoint { network: name("bleu"), ..good() }).contains("did you mean \"blue\"?"));
    assert!(refused(Endpoint { network: name("wire"), ..good() }).contains("has no VNI"));
    assert!(refused(Endpoint { peer: name("node4"), ..good() }).starts_with("no peer is named \"node4\""));
    assert!(refused(station(0x0c, 1, "node2", 1)).starts_with("10.1.0.1 is the gateway of network"));
    let vtep = vec![[192, 0, 2, 2].into()];
    assert!(refused(Endpoint { addresses: vtep, ..good() }).starts_with("192.0.2.2 is the VTEP address of peer"));
    assert!(refused(Endpoint { mac: MacAddr([1, 0, 0, 0, 0, 1]), ..good() }).contains("no unicast MAC address"));
    assert_eq!(endpoints.list().len(), 1);
}

#[test]
fn a_change_that_nobody_puts_in_force_is_told_as_late() {
    let Endpoints { plans, .. } = endpoints();
    let (endpoints, moved) = Endpoints::new(plans);
    drop(moved);
    assert!(matches!(endpoints.set(station(0x0c, 12, "node2", 1)), Err(EndpointError::Late)));
}
