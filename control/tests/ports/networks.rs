//! Networks that are made while the switch runs.

use podlane::desired::{FloodLimit, Mtu, Network, Port};
use podlane::reconcile::ChangeError;

use crate::bed::{Bed, name, port_of};
use crate::support::{BLUE, Node, SOON, ping, spec};

fn network(called: &str, number: u8) -> Network {
    Network {
        name: name(called),
        gateways: vec![format!("10.{number}.0.1/24").parse().unwrap(), format!("fd00:{number}::1/64").parse().unwrap()],
        gateway_mac: Network::derived_mac(&name(called)),
        vrf: name(called),
        mtu: Mtu::new(1500),
        learning: true,
        mac_age: std::time::Duration::from_secs(300),
        flood_limit: FloodLimit(1000),
        vni: None,
        peers: Vec::new(),
        flood: false,
        replication_limit: FloodLimit(1000),
        supply: Default::default(),
        offload: Default::default(),
    }
}

#[test]
fn a_network_that_is_made_has_pods_until_they_are_gone() {
    let Some(mut node) = Node::new("a_network_that_is_made") else { return };
    let [near, far] = [2, 3].map(|host| node.lab.pod(&spec(&format!("pod{host}"), 7, host)).unwrap());
    let bed = Bed::start(node, BLUE);
    for _ in 0..3 {
        bed.engine().add_network(network("seven", 7)).unwrap();
        for pod in [&near, &far] {
            let mut port = port_of(pod);
            port.membership.untagged = Some(name("seven"));
            // What says nothing of itself is learned.
            bed.add(Port { mac: None, addresses: Vec::new(), ..port }).unwrap();
        }
        assert!(ping(&near.netns, [10, 7, 0, 3], SOON) && ping(&far.netns, [10, 7, 0, 1], SOON));
        let number = bed.engine().numbers().network(&name("seven"));
        let learned = || {
            bed.engine().shared().macs.entries().iter().filter(|([key], ..)| key >> 48 == u64::from(number.0)).count()
        };
        assert!(learned() > 0);
        let in_use = bed.engine().remove_network(&name("seven")).unwrap_err();
        assert_eq!(in_use.to_string(), "network \"seven\" is still needed by port \"pod2\"; remove that first");
        bed.remove("pod2").unwrap();
        bed.remove("pod3").unwrap();
        bed.engine().remove_network(&name("seven")).unwrap();
        assert_eq!((learned(), bed.engine().desired().networks.len()), (0, 1));
        assert_ne!(bed.engine().numbers().network_name(number), Some(&name("seven")));
    }
    bed.counters();
    bed.assert_left(&[]);
}

#[test]
fn a_network_that_cannot_stand_beside_the_others_is_refused() {
    let Some(node) = Node::new("a_network_that_cannot_stand") else { return };
    let bed = Bed::start(node, BLUE);
    let told = |network| bed.engine().add_network(network).unwrap_err();
    assert!(matches!(told(network("blue", 7)), ChangeError::Taken { what: "network", .. }));
    assert!(matches!(
        told(Network { vrf: name("blue"), ..network("seven", 7) }),
        ChangeError::Taken { what: "vrf", .. }
    ));
    let shared = |called, number| Network { vrf: name("shared"), ..network(called, number) };
    bed.engine().add_network(shared("seven", 7)).unwrap();
    let overlap = told(shared("eight", 7)).to_string();
    assert!(overlap.starts_with("subnet 10.7.0.0/24 overlaps 10.7.0.0/24 of network \"seven\""), "{overlap}");
    bed.engine().add_network(shared("eight", 8)).unwrap();
    let vni = podlane::desired::Vni::new(7);
    assert!(matches!(told(Network { vni, ..network("nine", 9) }), ChangeError::Overlay { .. }));
    assert!(matches!(bed.engine().remove_network(&name("nine")), Err(ChangeError::Unknown { .. })));
}
