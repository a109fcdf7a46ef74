//! Pods with several ports, and ports whose addresses come later.

use super::*;
use crate::desired::{Description, Dhcp, Port};

/// A second port of `web`, with an address of its own.
const SECOND: &str = "[[port]]\nname = \"f-web\"\ndevice = \"web2\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.22\"]\n\
    pod = \"blue/web\"\n";

const WEB2: PortId = PortId(6);
const WEB2_AT: (&str, PortId) = ("10.1.0.22", WEB2);
const UDP: u8 = 17;

/// A port of the configuration with the second one of `web`.
fn port(name: &str) -> Port {
    let text = format!("{PORTS}{SECOND}[policy]\n");
    let desired = parse(&text, &Machine { cores: [0].into() }).unwrap_or_else(|findings| panic!("{}", findings[0]));
    Port::clone(&desired.ports[name])
}

fn denied_by(policy: &str, direction: &str) -> (bool, String) {
    (false, format!("NetworkPolicy blue/{policy}: isolated for {direction}, no rule matches"))
}

#[test]
fn a_pod_with_two_ports_is_one_pod_at_both() {
    let mut live = live("two_ports");
    assert_eq!(live.house_port(WEB2, &port("f-web")), Ok(true));
    let judge = live.judge();
    for at in [WEB_AT, WEB2_AT] {
        assert!(allows(&judge, SHOP_AT, at, 8443), "{at:?}");
        assert_eq!(tcp(&judge, SHOP_AT, at, 80), denied_by("web", "ingress"), "{at:?}");
        assert_eq!(tcp(&judge, ("192.0.2.9", PLAIN), at, 8443), denied_by("web", "ingress"), "{at:?}");
    }
    for (from, to) in [(WEB_AT, WEB2_AT), (WEB2_AT, WEB_AT)] {
        assert_eq!(tcp(&judge, from, to, 1), (true, "a pod to itself".to_owned()));
    }
    assert!(live.unhouse_port(WEB2, &port("f-web")));
    let judge = live.judge();
    assert!(allows(&judge, SHOP_AT, WEB_AT, 8443));
    assert_eq!(live.compiler().pod_at("10.1.0.22".parse().unwrap()), None, "the address goes with its port");
}

#[test]
fn a_pod_whose_describing_port_goes_stays_what_it_is_at_the_other() {
    let mut live = live("described_by_the_other");
    live.house_port(WEB2, &port("f-web")).unwrap();
    assert!(live.unhouse_port(WEB, &port("a-web")));
    let judge = live.judge();
    assert!(allows(&judge, SHOP_AT, WEB2_AT, 8443));
    assert_eq!(tcp(&judge, SHOP_AT, WEB2_AT, 80), denied_by("web", "ingress"));
}

#[test]
fn a_port_that_goes_is_closed_until_its_number_is_anothers() {
    let mut live = live("going");
    assert!(allows(&live.judge(), SHOP_AT, WEB_AT, 8443));
    assert!(live.unhouse_port(WEB, &port("a-web")));
    let judge = live.judge();
    for (from, to) in [(SHOP_AT, WEB_AT), (WEB_AT, SHOP_AT), (WEB_AT, ("192.0.2.9", PLAIN))] {
        assert_eq!(tcp(&judge, from, to, 8443), (false, "not in the tables".to_owned()), "{from:?} {to:?}");
    }
    // A wire's, of which policy knows nothing else.
    let wire = Port { pod: None, ..port("a-web") };
    assert_eq!(live.house_port(WEB, &wire), Ok(true));
    assert_eq!(live.house_port(WEB, &wire), Ok(false), "nothing has changed");
    assert!(allows(&live.judge(), ("192.0.2.9", WEB), ("192.0.2.10", PLAIN), 8443));
}

/// The port as an attachment states it: without labels, since the caller gave none.
fn attached(name: &str) -> Port {
    let mut port = port(name);
    let pod = port.pod.as_mut().unwrap();
    (pod.description, pod.attached) = (Some(Description::default()), true);
    port
}

#[test]
fn what_files_say_of_an_attached_pod_counts_before_what_the_attachment_says() {
    let file = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: blue, labels: {app: web}}\nstatus: {podIP: 10.1.0.77}\n";
    let directory = Directory::of("attached_and_filed", &[("policies.yaml", POLICIES), ("web.yaml", file)]);
    let mut desired = desired(&[&directory.0]);
    let port = attached("a-web");
    let own = port.addresses.clone();
    desired.ports.insert(port.name.clone(), port.into());
    let (live, _) = Live::open(&desired, places(&desired)).unwrap();
    let web = live.compiler().pod_at(own[0]).unwrap();
    assert_eq!((web.labels.len(), &web.addresses), (1, &own), "its addresses are the port's");
    // A former daemon's changes are done again with the pod at another address than they knew.
    let mut live = live;
    live.apply(documents(file)).unwrap();
    assert_eq!(live.compiler().pod_at(own[0]).unwrap().addresses, own);
}

#[test]
fn a_second_port_that_describes_another_pod_is_refused_and_changes_nothing() {
    let mut live = live("contradicting");
    let before = live.compiler().cluster();
    let mut other = port("f-web");
    other.pod.as_mut().unwrap().description = port("b-shop").pod.unwrap().description;
    let refused = live.house_port(WEB2, &other).unwrap_err();
    assert!(matches!(&refused, Misfit::OtherLabels { port } if port.as_str() == "a-web"), "{refused}");
    assert_eq!(live.compiler().cluster(), before);
}

#[test]
fn a_description_may_know_of_one_interface_of_several() {
    let pod = |address: &str| {
        documents(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: blue, labels: {{app: web}}}}\n\
             status: {{podIP: {address}}}\n"
        ))
    };
    let mut live = live("one_of_two");
    assert!(live.apply(pod("10.1.0.2")).is_err(), "where there is one port, all its addresses are to be given");
    live.house_port(WEB2, &port("f-web")).unwrap();
    live.apply(pod("10.1.0.2")).unwrap();
    let web = live.compiler().pod_at("10.1.0.22".parse().unwrap()).unwrap();
    assert_eq!(web.addresses.len(), 3, "{web:?}");
    assert!(live.apply(pod("10.1.0.99")).is_err());
}

#[test]
fn a_policy_does_not_refuse_a_pod_its_lease() {
    let mut live = live("leasing");
    let asks = |judge: &Judge, from: &str, port: u16| ask(judge, end(from, SHOP), end("10.1.0.9", PLAIN), UDP, port).0;
    let answered = |judge: &Judge, port: u16| ask(judge, end("10.1.0.9", PLAIN), end("10.1.0.2", WEB), UDP, port).0;
    assert!(!asks(&live.judge(), "0.0.0.0", 67), "one with stated addresses has nothing to ask");
    assert!(!answered(&live.judge(), 68));
    for (id, name) in [(SHOP, "b-shop"), (WEB, "a-web")] {
        live.unhouse_port(id, &port(name));
        live.house_port(id, &Port { dhcp: Dhcp::Asking, addresses: Vec::new(), ..port(name) }).unwrap();
    }
    let judge = live.judge();
    assert_eq!([67, 68, 53].map(|port| asks(&judge, "0.0.0.0", port)), [true, false, false]);
    assert_eq!([68, 67, 53].map(|port| answered(&judge, port)), [true, false, false]);
    live.unhouse_port(SHOP, &port("b-shop"));
    live.house_port(SHOP, &Port { dhcp: Dhcp::Leased, ..port("b-shop") }).unwrap();
    let judge = live.judge();
    assert_eq!([67, 53].map(|port| asks(&judge, "10.1.0.3", port)), [true, false]);
    assert!(!ask(&judge, end("10.1.0.3", SHOP), end("10.1.0.9", PLAIN), 6, 67).0, "nor is TCP DHCP");
    let (from, to) = (end("10.1.0.3", SHOP), end("10.1.0.9", PLAIN));
    let leasing = Leasing::of(UDP, (5_000, 67));
    assert!(
        !judge.verdict(&Opening { from, to, protocol: UDP, port: 67, leasing }).allow,
        "nor is it, from another port"
    );
    // The server's own policy is asked all the same.
    live.unhouse_port(WEB, &port("a-web"));
    live.house_port(WEB, &port("a-web")).unwrap();
    assert!(!ask(&live.judge(), end("10.1.0.3", SHOP), end("10.1.0.2", WEB), UDP, 67).0);
}
