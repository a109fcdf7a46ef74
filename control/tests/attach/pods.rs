//! Whose is what: which interfaces policies know a pod by, and which attachment has a container's addresses.

use podlane_policy::model::Labels;

use podlane::attach::{Address, Addressing, AttachError, Key, Order, Origin};

use crate::bed::{Bed, PodBed, Running, eventually, key, order};

/// An order of a pod of Kubernetes', for one of its interfaces.
fn of_pod(container: &str, interface: &str, pod: &PodBed) -> Order {
    let plain = order(container, pod);
    let key = Key { interface: interface.to_owned(), ..plain.key };
    Order { key, default_route: false, pod: Some(("red".to_owned(), "web".to_owned())), ..plain }
}

/// The pod that the switch has behind this interface's port, with its labels.
fn behind(running: &Running, key: &Key) -> Option<(String, Labels)> {
    let port = running.attachments.find(key).unwrap().port;
    let desired = running.engine.desired();
    let inside = desired.ports[port.as_str()].pod.as_ref()?;
    Some((inside.name.to_string(), inside.description.clone()?.labels))
}

#[test]
fn every_interface_of_a_pod_is_its_own_also_after_a_restart_and_its_labels_are_all_theirs() {
    let test = "every_interface_of_a_pod_is_its_own_also_after_a_restart_and_its_labels_are_all_theirs";
    let Some(mut bed) = Bed::new(test) else { return };
    bed.more = "[policy]\n";
    let pod = bed.pod();
    let running = bed.start();
    // The caller gives the labels with the first alone.
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let first = Order { labels: labels.clone(), ..of_pod("c1", "net9", &pod) };
    let second = of_pod("c1", "eth0", &pod);
    running.attach(&bed, first.clone()).unwrap();
    running.attach(&bed, second.clone()).unwrap();
    let web = Some(("red/web".to_owned(), labels.clone()));
    let known = |running: &Running| [&first.key, &second.key].map(|key| behind(running, key));
    assert_eq!(known(&running), [web.clone(), web.clone()]);
    running.stop();
    let running = bed.start();
    assert_eq!(known(&running), [web.clone(), web.clone()]);
    // Whichever goes first, the other is still that pod.
    running.detach(&bed, &first.key);
    assert_eq!(behind(&running, &second.key), web);
    let enforcer = running.engine.enforcer().unwrap();
    let pods = enforcer.look(|live| live.compiler().cluster().pods);
    let [left] = &pods[..] else { panic!("{pods:?}") };
    let own = running.attachments.find(&second.key).unwrap().addresses;
    let own: Vec<_> = own.iter().map(|own| own.address.address()).collect();
    assert_eq!((&left.labels, &left.addresses), (&labels, &own));
    running.stop();
}

#[test]
fn labels_that_come_with_a_later_interface_stay_when_that_one_goes_first() {
    let Some(mut bed) = Bed::new("labels_that_come_with_a_later_interface_stay_when_that_one_goes_first") else {
        return;
    };
    bed.more = "[policy]\n";
    let pod = bed.pod();
    let running = bed.start();
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let (first, third) = (of_pod("c1", "eth0", &pod), of_pod("c1", "net2", &pod));
    let second = Order { labels: labels.clone(), ..of_pod("c1", "net1", &pod) };
    for order in [&first, &second, &third] {
        running.attach(&bed, order.clone()).unwrap();
    }
    let told =
        |running: &Running| [&first, &third].map(|order| running.attachments.find(&order.key).unwrap().order.labels);
    assert_eq!(told(&running), [labels.clone(), labels.clone()]);
    running.stop();
    let running = bed.start();
    assert_eq!(told(&running), [labels.clone(), labels.clone()], "they are in the journal");
    for order in [&second, &third] {
        running.detach(&bed, &order.key);
        assert_eq!(behind(&running, &first.key), Some(("red/web".to_owned(), labels.clone())));
    }
    running.stop();
}

#[test]
fn an_interface_that_says_otherwise_of_its_pod_is_refused() {
    let Some(mut bed) = Bed::new("an_interface_that_says_otherwise_of_its_pod_is_refused") else { return };
    bed.more = "[policy]\n";
    let pod = bed.pod();
    let running = bed.start();
    let labels = |app: &str| Labels::from([("app".to_owned(), app.to_owned())]);
    let first = Order { labels: labels("web"), ..of_pod("c1", "eth0", &pod) };
    let kept = running.attach(&bed, first).unwrap();
    let refused = running.attach(&bed, Order { labels: labels("db"), ..of_pod("c1", "net1", &pod) }).unwrap_err();
    assert!(refused.to_string().contains("its labels are not those that port"), "{refused}");
    assert_eq!((running.attachments.list(), pod.link("net1")), (vec![kept], None));
    running.stop();
}

#[test]
fn a_new_sandbox_of_a_pod_is_refused_while_the_former_is_attached() {
    let Some(mut bed) = Bed::new("a_new_sandbox_of_a_pod_is_refused_while_the_former_is_attached") else { return };
    bed.more = "[policy]\n";
    let (one, two) = (bed.pod(), bed.pod());
    let running = bed.start();
    let former = running.attach(&bed, of_pod("c1", "eth0", &one)).unwrap();
    let refused = running.attach(&bed, of_pod("c2", "eth0", &two)).unwrap_err();
    assert!(matches!(&refused, AttachError::PodElsewhere { port, .. } if *port == former.port), "{refused}");
    assert!(refused.is_passing(), "the runtime is to try again");
    assert_eq!((running.attachments.list(), running.held()), (vec![former.clone()], 2));
    assert_eq!(two.link("eth0"), None);
    running.detach(&bed, &former.order.key);
    let new = running.attach(&bed, of_pod("c2", "eth0", &two)).unwrap();
    assert!(behind(&running, &new.order.key).is_some());
    running.stop();
}

#[test]
fn another_list_does_not_take_the_addresses_of_a_containers_interface() {
    let Some(bed) = Bed::new("another_list_does_not_take_the_addresses_of_a_containers_interface") else { return };
    let (one, two) = (bed.pod(), bed.pod());
    let running = bed.start();
    let first = running.attach(&bed, order("c1", &one)).unwrap();
    let other = Key { list: "others".to_owned(), ..key("c1") };
    let refused = running.attach(&bed, Order { key: other.clone(), ..order("c1", &two) }).unwrap_err();
    assert!(matches!(&refused, AttachError::Attached { key: who, .. } if *who == key("c1")), "{refused}");
    running.detach(&bed, &other);
    assert_eq!((running.attachments.list(), running.held()), (vec![first.clone()], 2));
    assert_eq!(two.link("eth0"), None);
    // Given back, they are the other's to have: what is left of the first is waited for.
    running.detach(&bed, &key("c1"));
    let second = running.attach(&bed, Order { key: other.clone(), ..order("c1", &two) }).unwrap();
    assert_eq!((second.addresses, running.held()), (first.addresses, 2));
    running.detach(&bed, &other);
    eventually("nothing is held", || running.held() == 0 && running.attachments.list().is_empty());
    running.stop();
}

#[test]
fn an_address_that_podman_gives_is_nobody_elses() {
    let Some(bed) = Bed::new("an_address_that_podman_gives_is_nobody_elses") else { return };
    let (one, two, three) = (bed.pod(), bed.pod(), bed.pod());
    let running = bed.start();
    let given = Address { address: "10.1.0.2/24".parse().unwrap(), gateway: None };
    let podman = |container: &str, pod: &PodBed| {
        let key = Key { origin: Origin::Netavark, list: "podnet".to_owned(), ..key(container) };
        let addressing = Addressing::Given { addresses: vec![given] };
        Order { key, addressing, default_route: false, ..order(container, pod) }
    };
    let first = podman("p1", &one);
    running.attach(&bed, first.clone()).unwrap();
    assert_eq!(running.held(), 1);
    let own = running.attach(&bed, order("c1", &two)).unwrap();
    assert!(own.addresses.iter().all(|own| own.address != given.address), "{:?}", own.addresses);
    let refused = running.attach(&bed, podman("p2", &three)).unwrap_err();
    assert!(matches!(refused, AttachError::Lease(_)), "{refused}");
    running.detach(&bed, &first.key);
    eventually("it is given back", || running.held() == 2);
    running.attach(&bed, podman("p2", &three)).unwrap();
    running.stop();
}
