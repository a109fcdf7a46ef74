//! An attachment's life: what a pod has, asking twice, giving back, and what fails.

use std::net::IpAddr;

use podlane::attach::{Address, Addressing, AttachError, Origin, PodRoute, Stage, Told};
use podlane_host::{Feature, Route};

use crate::bed::{Bed, eventually, key, order};

#[test]
fn a_pod_has_all_that_it_was_promised_and_reaches_another() {
    let Some(bed) = Bed::new("a_pod_has_all_that_it_was_promised_and_reaches_another") else { return };
    let running = bed.start();
    let (one, two) = (bed.pod(), bed.pod());
    let wanted = podlane::attach::Order {
        mtu: Some(1400),
        routes: vec![PodRoute { to: "198.18.0.0/15".parse().unwrap(), via: None, mtu: Some(1300) }],
        ..order("c1", &one)
    };
    let first = running.attach(&bed, wanted).unwrap();
    let second = running.attach(&bed, order("c2", &two)).unwrap();
    assert_eq!((first.stage, first.mtu, second.mtu), (Stage::Up, 1400, 1500));

    let link = one.link("eth0").unwrap();
    assert_eq!((link.mac, link.mtu, link.up), (first.pod.as_ref().map(|pod| pod.mac.0), 1400, true));
    assert_eq!(one.addresses("eth0"), first.addresses.iter().map(|own| own.address.address()).collect::<Vec<_>>());
    assert_eq!(first.addresses.len(), 2, "one of each family");
    let gateways: Vec<IpAddr> = vec!["10.1.0.1".parse().unwrap(), "fd00:1::1".parse().unwrap()];
    assert_eq!(first.addresses.iter().filter_map(|own| own.gateway).collect::<Vec<_>>(), gateways);
    let routes = one.routes("eth0");
    let route = |to: &str, prefix, via: IpAddr, mtu| Route {
        destination: to.parse().unwrap(),
        prefix,
        via: Some(via),
        mtu,
        on_link: false,
    };
    for wanted in [
        route("0.0.0.0", 0, gateways[0], None),
        route("::", 0, gateways[1], None),
        route("198.18.0.0", 15, gateways[0], Some(1300)),
    ] {
        assert!(routes.contains(&wanted), "{wanted:?} is not in {routes:#?}");
    }
    assert!(one.links().features("eth0").unwrap().is_on(Feature::Gro));
    assert!(one.link("lo").unwrap().up);
    let alias = bed.links().by_name(&first.port).unwrap().alias.unwrap();
    assert!(alias.ends_with(": eth0 of c1 in blues"), "{alias}");
    assert_eq!(bed.links().addresses(&first.port).unwrap(), [], "the host has no business there");

    for own in &second.addresses {
        assert!(one.reaches(&two, own.address.address()), "{}", own.address);
    }
    bed.within(|| running.attachments.check(&key("c1"), &Told::default())).unwrap();
    running.stop();
}

#[test]
fn a_pod_that_remembers_who_had_an_address_before_reaches_who_has_it_now() {
    let Some(bed) = Bed::new("a_pod_that_remembers_who_had_an_address_before_reaches_who_has_it_now") else { return };
    let running = bed.start();
    let (one, two, three) = (bed.pod(), bed.pod(), bed.pod());
    running.attach(&bed, order("c1", &one)).unwrap();
    let former = running.attach(&bed, order("c2", &two)).unwrap();
    running.detach(&bed, &key("c2"));
    let now = running.attach(&bed, order("c3", &three)).unwrap();
    // For ever, as the worst of caches: nothing that anybody announces or answers mends it.
    let mac = former.pod.unwrap().mac.0;
    for own in &now.addresses {
        one.links().add_neighbour("eth0", own.address.address(), mac).unwrap();
        assert!(one.reaches(&three, own.address.address()), "{}", own.address);
    }
    running.stop();
}

#[test]
fn the_same_order_twice_is_one_attachment_and_another_netns_is_an_error() {
    let Some(bed) = Bed::new("the_same_order_twice_is_one_attachment_and_another_netns_is_an_error") else { return };
    let running = bed.start();
    let (one, two) = (bed.pod(), bed.pod());
    let first = running.attach(&bed, order("c1", &one)).unwrap();
    assert_eq!(running.attach(&bed, order("c1", &one)).unwrap(), first);
    assert_eq!((running.attachments.list().len(), running.held()), (1, 2));
    let refused = running.attach(&bed, order("c1", &two)).unwrap_err();
    assert!(matches!(refused, AttachError::Attached { .. }), "{refused}");
    // What is not as promised is not answered as if it were.
    one.links().set_down("eth0").unwrap();
    let refused = running.attach(&bed, order("c1", &one)).unwrap_err();
    assert!(matches!(refused, AttachError::Differs { .. }), "{refused}");
    running.stop();
}

#[test]
fn what_is_given_back_is_gone_and_may_be_given_back_again() {
    let Some(bed) = Bed::new("what_is_given_back_is_gone_and_may_be_given_back_again") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let first = running.attach(&bed, order("c1", &pod)).unwrap();
    running.detach(&bed, &key("c1"));
    assert!(pod.link("eth0").is_none_or(|link| !link.carrier), "no packet of the pod goes anywhere at the reply");
    eventually("all of it is gone", || {
        bed.netdevs().is_empty() && running.attachments.list().is_empty() && running.held() == 0
    });
    assert!(!running.engine.desired().ports.contains_key(first.port.as_str()));
    running.detach(&bed, &key("c1"));
    running.detach(&bed, &key("never-there"));
    // The same container has its addresses again; another would not, in their quarantine.
    let again = running.attach(&bed, order("c1", &pod)).unwrap();
    assert_eq!(again.addresses, first.addresses);
    running.stop();
}

#[test]
fn a_pod_whose_namespace_is_gone_is_given_back_all_the_same() {
    let Some(bed) = Bed::new("a_pod_whose_namespace_is_gone_is_given_back_all_the_same") else { return };
    let running = bed.start();
    let pod = bed.pod();
    running.attach(&bed, order("c1", &pod)).unwrap();
    drop(pod);
    eventually("the kernel took the link along", || bed.netdevs().is_empty());
    running.detach(&bed, &key("c1"));
    eventually("nothing is held", || running.attachments.list().is_empty() && running.held() == 0);
    running.stop();
}

#[test]
fn of_an_order_that_fails_nothing_is_left() {
    let Some(bed) = Bed::new("of_an_order_that_fails_nothing_is_left") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let base = || order("c1", &pod);
    let nobody =
        PodRoute { to: "198.18.0.0/15".parse().unwrap(), via: Some("203.0.113.9".parse().unwrap()), mtu: None };
    let mixed = PodRoute { via: Some("fd00:1::1".parse().unwrap()), ..nobody };
    let orders = [
        ("no such network", podlane::attach::Order { network: "blu".to_owned(), ..base() }),
        ("no such namespace", podlane::attach::Order { netns: Some("/run/netns/nobody-made-this".into()), ..base() }),
        ("no namespace", podlane::attach::Order { netns: Some("/etc/passwd".into()), ..base() }),
        ("the daemon's own", podlane::attach::Order { netns: Some("/proc/thread-self/ns/net".into()), ..base() }),
        ("a name too long", {
            let mut order = base();
            order.key.interface = "a-name-much-too-long".to_owned();
            order
        }),
        ("a taken name", {
            let mut order = base();
            order.key.interface = "lo".to_owned();
            order
        }),
        ("a group's MAC address", podlane::attach::Order { mac: Some("01:00:00:00:00:01".parse().unwrap()), ..base() }),
        ("a route of two families", podlane::attach::Order { routes: vec![mixed], ..base() }),
        ("an MTU too small", podlane::attach::Order { mtu: Some(500), ..base() }),
        ("an address that is the gateway's", {
            let addressing = Addressing::Own { wished: vec!["10.1.0.1".parse().unwrap()] };
            podlane::attach::Order { addressing, ..base() }
        }),
    ];
    for (what, wrong) in orders {
        let refused = running.attach(&bed, wrong);
        assert!(refused.is_err(), "{what}");
        assert_eq!((running.attachments.list(), running.held()), (vec![], 0), "{what}");
        assert_eq!((bed.netdevs(), pod.link("eth0")), (vec![], None), "{what}");
        assert!(running.engine.desired().ports.is_empty(), "{what}");
    }
    let refused = running.attach(&bed, podlane::attach::Order { network: "blu".to_owned(), ..base() }).unwrap_err();
    assert!(refused.to_string().contains("did you mean \"blue\"?"), "{refused}");
    running.attach(&bed, base()).unwrap();
    running.stop();
}

#[test]
fn a_check_names_what_is_not_as_promised() {
    let Some(bed) = Bed::new("a_check_names_what_is_not_as_promised") else { return };
    let running = bed.start();
    let pod = bed.pod();
    let made = running.attach(&bed, order("c1", &pod)).unwrap();
    let check = |told: &Told| match bed.within(|| running.attachments.check(&key("c1"), told)) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(check(&Told::default()), "");
    let strange = Address { address: "10.1.0.250/24".parse().unwrap(), gateway: None };
    let told = Told { addresses: vec![strange], ..Told::default() };
    assert!(check(&told).contains("the caller does not know of its address 10.1.0."), "{}", check(&told));
    pod.links().set_mac("eth0", [2, 0, 0, 0, 0, 99]).unwrap();
    assert!(check(&Told::default()).contains("eth0 has the MAC address 02:00:00:00:00:63"));
    pod.links().set_down("eth0").unwrap();
    let found = check(&Told::default());
    assert!(found.contains("eth0 is down") && found.contains("lost its route to 0.0.0.0/0"), "{found}");
    bed.links().delete(&made.port).unwrap();
    eventually("the port is seen to be gone", || check(&Told::default()).contains("is gone"));
    let found = check(&Told::default());
    assert!(found.contains("the pod has no interface eth0"), "{found}");
    let unknown = bed.within(|| running.attachments.check(&key("c2"), &Told::default())).unwrap_err();
    assert!(matches!(unknown, AttachError::Unknown { .. }));
    running.stop();
}

#[test]
fn a_collection_takes_away_what_the_runtime_does_not_know() {
    let Some(bed) = Bed::new("a_collection_takes_away_what_the_runtime_does_not_know") else { return };
    let running = bed.start();
    let pods: Vec<_> = (0..4).map(|_| bed.pod()).collect();
    for (n, pod) in pods.iter().enumerate() {
        let mut wanted = order(&format!("c{n}"), pod);
        if n == 3 {
            wanted.key.list = "other".to_owned();
        }
        running.attach(&bed, wanted).unwrap();
    }
    // A link that looks like ours and is in no record.
    let lost = bed.links();
    let alias = lost_link(lost, &running.attachments.list()[0].port, &bed);
    let taken = bed.within(|| running.attachments.collect(Origin::Cni, "blues", &[key("c1")])).unwrap();
    assert_eq!(taken, [key("c0"), key("c2")]);
    eventually("two are left", || running.attachments.list().len() == 2 && running.held() == 4);
    eventually(&format!("the link with the alias {alias} is gone"), || bed.netdevs().len() == 2);
    running.stop();
}

fn lost_link(mut links: podlane_host::Links, like: &str, bed: &Bed) -> String {
    let alias = links.by_name(like).unwrap().alias.unwrap();
    bed.within(|| {
        let peer = podlane_host::VethPeer { name: "lost-peer", netns: None, mac: None };
        links.veth(&podlane_host::Veth { name: "lost", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
        links.set_alias("lost", &alias).unwrap();
    });
    alias
}

#[test]
fn many_threads_attach_many_pods_and_one_key_once() {
    let Some(bed) = Bed::new("many_threads_attach_many_pods_and_one_key_once") else { return };
    let running = bed.start();
    let pods: Vec<_> = (0..20).map(|_| bed.pod()).collect();
    let attachments = &running.attachments;
    bed.within(|| {
        std::thread::scope(|scope| {
            for (n, pod) in pods.iter().enumerate() {
                for _ in 0..2 {
                    scope.spawn(move || attachments.attach(order(&format!("c{n}"), pod)).unwrap());
                }
            }
        });
    });
    let all = running.attachments.list();
    let mut addresses: Vec<_> = all.iter().flat_map(|one| one.addresses.clone()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!((all.len(), addresses.len(), running.held()), (20, 40, 40));
    assert!(pods[0].reaches(&pods[19], addresses_of(&all, "c19")[0]));
    bed.within(|| {
        std::thread::scope(|scope| {
            for n in 0..20 {
                scope.spawn(move || attachments.detach(&key(&format!("c{n}"))).unwrap());
            }
        });
        attachments.close();
    });
    assert_eq!((bed.netdevs(), running.attachments.list()), (vec![], vec![]));
}

fn addresses_of(all: &[podlane::attach::Attachment], container: &str) -> Vec<IpAddr> {
    let one = all.iter().find(|one| one.order.key.container == container).unwrap();
    one.addresses.iter().map(|own| own.address.address()).collect()
}

#[test]
fn status_says_when_no_address_is_left() {
    let Some(mut bed) = Bed::new("status_says_when_no_address_is_left") else { return };
    bed.more = "[[network]]\nname = \"tiny\"\ngateways = [\"10.2.0.1/30\"]\n";
    let running = bed.start();
    let status = |network: &str| bed.within(|| running.attachments.status(network));
    status("tiny").unwrap();
    assert!(matches!(status("tin").unwrap_err(), AttachError::Network { .. }));
    let pod = bed.pod();
    running.attach(&bed, podlane::attach::Order { network: "tiny".to_owned(), ..order("c1", &pod) }).unwrap();
    assert!(matches!(status("tiny").unwrap_err(), AttachError::Lease(_)));
    status("blue").unwrap();
    running.stop();
}
