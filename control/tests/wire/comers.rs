//! Pods that come and go while the switch runs: the wire reaches one as soon as its port is there, and no longer than it is.

use std::sync::Arc;
use std::time::Duration;

use podlane::desired::{Desired, Name, Port};
use podlane::reconcile::{ChangeError, Engine};

use crate::segment::{HOST, LAN, PODS, Segment, known_as, v4, v6};
use crate::support::{SOON, eventually, ping, tcp};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The segment's configuration without its pods, and those.
fn apart(segment: &Segment) -> (Desired, [Port; 2]) {
    let mut desired = segment.desired();
    let pods = ["one", "two"].map(|pod| Arc::unwrap_or_clone(desired.ports.remove(&name(pod)).unwrap()));
    (desired, pods)
}

#[test]
fn the_wire_reaches_a_pod_that_comes_and_forgets_one_that_goes() {
    for (test, sharing) in [("wire_comes_mac", "mac"), ("wire_comes_ip", "ip")] {
        let Some(segment) = Segment::new(test, &format!("network = \"lan\"\nsharing = \"{sharing}\"\n")) else {
            return;
        };
        let (desired, [one, two]) = apart(&segment);
        let engine = segment.host().run(|| Engine::start(desired).unwrap()).unwrap();
        eventually("the uplink is up", || {
            engine.facts().ports.get(&name("wire")).is_some_and(|fate| fate.mtu.is_some())
        });
        for (port, host) in [(&one, PODS[0]), (&two, PODS[1])] {
            segment.host().run(|| engine.add_port(port.clone())).unwrap().unwrap();
            for family in [v4, v6] {
                assert!(ping(&segment.lan, family(host), SOON), "{sharing}: {}", family(host));
            }
        }
        tcp(segment.pod(1), &segment.lan, v4(LAN), 64 << 10);
        let silent = Port { name: name("three"), mac: None, ..two.clone() };
        let refused = segment.host().run(|| engine.add_port(silent)).unwrap().unwrap_err();
        assert!(matches!(refused, ChangeError::Unfit(_)), "{refused}");
        assert!(refused.to_string().contains("state \"mac\""), "{refused}");

        engine.remove_port(&name("one")).unwrap();
        assert!(!ping(&segment.lan, v4(PODS[0]), Duration::from_millis(700)), "{sharing}: it is gone");
        assert!(ping(&segment.lan, v4(PODS[1]), SOON) && ping(&segment.lan, v4(HOST), SOON));
        assert!(known_as(&segment.lan, HOST).is_some());
        engine.stop();
    }
}
