//! Pods attached to the physical network behind an uplink that the host has too: addresses beside those of the wire, and the wire's router.

use std::net::IpAddr;
use std::os::fd::AsFd;

use podlane_host::{Netns, Veth, VethPeer};

use crate::bed::{Bed, PodBed, eventually, key, order};

const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 7, 1));

/// A network that gives out four addresses of the wire's, behind an uplink that is shared like this.
fn lan(sharing: &str) -> String {
    format!(
        "[[network]]\nname = \"lan\"\nranges = [\"192.168.7.100-192.168.7.103\"]\nrouters = [\"192.168.7.1/24\"]\n\
         [[port]]\nname = \"wire\"\ndevice = \"up0\"\nkind = \"uplink\"\nnetwork = \"lan\"\nsharing = \"{sharing}\"\n"
    )
}

/// The wire: its router is a namespace, the host has an address beside it.
fn wire(bed: &Bed) -> PodBed {
    let router = bed.pod();
    let peer = VethPeer { name: "lan0", netns: Some(router.netns.as_fd()), mac: None };
    let up = |netns: &Netns, name: &str, address: IpAddr| {
        let mut links = podlane_host::Links::open_in(netns).unwrap();
        links.set_up(name).unwrap();
        links.add_address(name, address, 24).unwrap();
    };
    bed.links().veth(&Veth { name: "up0", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    up(&bed.host, "up0", [192, 168, 7, 2].into());
    up(&router.netns, "lan0", ROUTER);
    router
}

#[test]
fn a_pod_attached_to_a_shared_wire_is_a_station_of_it() {
    for sharing in ["mac", "ip"] {
        let Some(mut bed) = Bed::new("a_pod_attached_to_a_shared_wire_is_a_station_of_it") else { return };
        bed.more = Box::leak(lan(sharing).into_boxed_str());
        let router = wire(&bed);
        let running = bed.start();
        let pods = ["one", "two"].map(|name| (name, bed.pod()));
        for (name, pod) in &pods {
            let mut order = order(name, pod);
            order.network = "lan".to_owned();
            order.default_route = true;
            running.attach(&bed, order).unwrap();
            let address = pod.addresses("eth0")[0];
            assert!(matches!(address, IpAddr::V4(v4) if (100..=103).contains(&v4.octets()[3])), "{address}");
            assert!(pod.routes("eth0").iter().any(|route| route.via == Some(ROUTER)), "{:?}", pod.routes("eth0"));
            assert!(pod.reaches(&router, ROUTER), "{sharing}: {name} reaches the router");
            assert!(router.reaches(pod, address), "{sharing}: the router reaches {name}");
        }
        let [(_, one), (_, two)] = &pods;
        assert!(one.reaches(two, two.addresses("eth0")[0]), "{sharing}: each other");
        for (name, _) in &pods {
            running.detach(&bed, &key(name));
        }
        eventually("nothing is held", || running.held() == 0);
        running.stop();
    }
}
