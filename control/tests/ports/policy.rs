//! Pods that come under policy: no packet of theirs passes before it is in force, and none is held to what was another's.

use podlane::desired::{Description, Inhabitant, Port};
use podlane_api::PortState;
use podlane_host::lab::Pod;
use podlane_policy::model::PodName;

use crate::bed::{Bed, port_of};
use crate::support::{BLUE, Node, SOON, Stream, ping, port as table};

/// Only pods that are a client may open to `red/server`, and nobody at all to the others of `red`.
const POLICIES: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: server, namespace: red}\n\
    spec:\n  podSelector: {matchLabels: {app: server}}\n  ingress:\n  - from: [{podSelector: {matchLabels: {app: client}}}]\n";

fn inhabited(pod: &Pod, called: &str, app: &str) -> Port {
    let name = PodName { namespace: "red".into(), name: called.into() };
    let labels = [("app".to_owned(), app.to_owned())].into();
    let description = Some(Description { labels, ports: Vec::new() });
    Port { pod: Some(Inhabitant { name, description, attached: false }), ..port_of(pod) }
}

fn bed(test: &str) -> Option<(Bed, Pod, Pod)> {
    let mut node = Node::new(test)?;
    let (server, guest) = (node.pod("server", 2), node.pod("guest", 3));
    let file = node.path("policies.yaml");
    std::fs::write(&file, POLICIES).unwrap();
    let stated = "addresses = [\"10.1.0.2\", \"fd00:1::2\"]\npod = \"red/server\"\nlabels = { app = \"server\" }\n";
    let tables = format!("{BLUE}{}{stated}[policy]\nfiles = [\"{}\"]\n", table("server"), file.display());
    let bed = Bed::start(node, &tables);
    bed.wait_for("server", PortState::Up);
    Some((bed, server, guest))
}

#[test]
fn no_packet_of_a_pod_passes_before_its_policy_is_in_force() {
    let Some((bed, server, guest)) = bed("no_packet_before_its_policy") else { return };
    // It sends from before its birth on, and is told where to: nothing is left to ask for.
    let neighbour = server.mac;
    guest.links().unwrap().add_neighbour("eth0", [10, 1, 0, 2].into(), neighbour).unwrap();
    let stream = Stream::start(&guest.netns, &server.netns, [10, 1, 0, 2]);
    for round in 0..10 {
        bed.add(inhabited(&guest, &format!("thief{round}"), "thief")).unwrap();
        assert!(!ping(&guest.netns, [10, 1, 0, 2], std::time::Duration::from_millis(100)));
        assert_eq!(stream.heard(), 0, "round {round}");
        bed.remove("guest").unwrap();
    }
    // The same pod as a client is let in by the same policy, with its first packet.
    bed.add(inhabited(&guest, "client", "client")).unwrap();
    stream.flows();
    assert!(ping(&guest.netns, [10, 1, 0, 2], SOON));
    let denied = bed.counters().gone.dropped;
    assert!(denied.get("policy_denied").is_some_and(|count| *count > 0), "{denied:?}");
}

#[test]
fn what_documents_say_of_a_pod_counts_before_what_its_port_does() {
    let Some((bed, server, guest)) = bed("what_documents_say_of_a_pod") else { return };
    let enforcer = bed.engine().enforcer().unwrap();
    let written = "apiVersion: v1\nkind: Pod\nmetadata: {name: guest, namespace: red, labels: {app: client}}\n";
    let documents = || podlane_policy::yaml::read([("given.yaml", written)]).unwrap();
    enforcer.apply(documents(), true).unwrap();
    bed.add(inhabited(&guest, "guest", "thief")).unwrap();
    assert!(ping(&guest.netns, [10, 1, 0, 2], SOON));
    // Without them, the port's own words count.
    enforcer.delete(documents(), true).unwrap();
    assert!(!ping(&guest.netns, [10, 1, 0, 2], std::time::Duration::from_millis(200)));
    enforcer.apply(documents(), true).unwrap();
    bed.remove("guest").unwrap();
    let known =
        enforcer.look(|live| live.compiler().pod(&PodName { namespace: "red".into(), name: "guest".into() }).cloned());
    assert_eq!(
        known.map(|pod| pod.addresses.len()),
        Some(0),
        "the pod is as documents say, and its address is nobody's"
    );
    drop(server);
}
