//! What a shadow sees over rounds, of judges whose pods and policies come and go.

use podlane_dataplane::PortId;
use podlane_dataplane::policy::{End, Leasing};
use podlane_policy::yaml;

use super::*;
use crate::compile::Numbers;
use crate::config::{Machine, parse};
use crate::enforce::Places;

const CONFIG: &str = r#"
[workers]
cores = [0]
[[network]]
name = "blue"
[policy]
files = []
[[port]]
name = "web"
device = "veth-web"
network = "blue"
mac = "02:00:00:00:00:01"
addresses = ["10.1.0.2"]
pod = "blue/web"
labels = { app = "web" }
[[port]]
name = "shop"
device = "veth-shop"
network = "blue"
mac = "02:00:00:00:00:02"
addresses = ["10.1.0.3"]
pod = "blue/shop"
labels = { app = "shop" }
"#;

const SHUT: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut, namespace: blue}
spec:
  podSelector: {matchLabels: {app: web}}
";

/// A live cluster, and the numbers of its two ports.
fn live() -> (Live, [PortId; 2]) {
    let desired = parse(CONFIG, &Machine { cores: [0].into() }).unwrap();
    let numbers = Numbers::of(&desired);
    let (live, _) = Live::open(&desired, Arc::new(Places::of(&desired, &numbers))).unwrap();
    let port = |name: &str| numbers.port(desired.ports.get_key_value(name).unwrap().0);
    (live, [port("shop"), port("web")])
}

fn policies(text: &str) -> Vec<Written> {
    yaml::read([("candidate.yaml", text)]).unwrap().cluster.policies
}

/// The live verdict of a connection from shop to web, with the onlooker told.
fn ask(judge: &Judge, onlooker: &Arc<dyn Onlooker>, [shop, web]: [PortId; 2]) -> Verdict {
    let end = |address: &str, port| End { address: address.parse().unwrap(), port };
    let opening = Opening {
        from: end("10.1.0.3", shop),
        to: end("10.1.0.2", web),
        protocol: 6,
        port: 443,
        leasing: Leasing::Unrelated,
    };
    let verdict = judge.verdict(&opening);
    onlooker.saw(&opening, verdict);
    verdict
}

#[test]
fn the_live_policy_decides_and_the_candidate_is_counted_beside_it() {
    let (mut live, ports) = live();
    let shadow = Shadow::of(policies(SHUT), live.compiler().cluster());
    assert_eq!((shadow.added.len(), shadow.replaced.len()), (1, 0));
    let judge = Arc::new(live.judge());
    let onlooker = shadow.beside(&judge, &live);
    assert!(ask(&judge, &onlooker, ports).allow);
    let seen = shadow.seen(&live);
    assert_eq!((seen.judged, seen.different, seen.unlisted), (1, 1, 0));
    let ((rule, then, allows), (count, last)) = seen.differences.into_iter().next().unwrap();
    assert_eq!((rule.as_str(), allows, count), ("no policy decides: open", true, 1));
    assert_eq!(then, "NetworkPolicy blue/shut: isolated for ingress, no rule matches");
    let Named { sample, from_pod, to_pod } = last.unwrap();
    assert_eq!((from_pod.as_deref(), to_pod.as_deref()), (Some("blue/shop"), Some("blue/web")));
    assert_eq!((sample.protocol, sample.port), (6, 443));
}

#[test]
fn a_change_of_the_live_policy_reaches_the_candidate_and_no_count_is_lost() {
    let (mut live, ports) = live();
    let shadow = Shadow::of(policies(SHUT), live.compiler().cluster());
    for _ in 0..4 {
        let judge = Arc::new(live.judge());
        let onlooker = shadow.beside(&judge, &live);
        ask(&judge, &onlooker, ports);
    }
    let relabelled = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: blue, labels: {app: other}}
status: {podIPs: [{ip: 10.1.0.2}]}
";
    live.apply(yaml::read([("pod.yaml", relabelled)]).unwrap()).unwrap();
    let judge = Arc::new(live.judge());
    let onlooker = shadow.beside(&judge, &live);
    assert!(ask(&judge, &onlooker, ports).allow);
    let seen = shadow.seen(&live);
    assert_eq!((seen.judged, seen.different), (5, 4), "the candidate selects the pod no more");
    assert_eq!(seen.differences.values().map(|(count, _)| count).sum::<u64>(), 4);
}

#[test]
fn a_live_policy_of_the_same_name_is_not_the_candidates() {
    let (mut live, ports) = live();
    let shadow = Shadow::of(policies(SHUT), live.compiler().cluster());
    let open = SHUT.to_owned() + "  ingress: [{}]\n";
    live.apply(yaml::read([("open.yaml", open.as_str())]).unwrap()).unwrap();
    let judge = Arc::new(live.judge());
    let onlooker = shadow.beside(&judge, &live);
    assert!(ask(&judge, &onlooker, ports).allow);
    live.delete(yaml::read([("open.yaml", open.as_str())]).unwrap()).unwrap();
    let judge = Arc::new(live.judge());
    let onlooker = shadow.beside(&judge, &live);
    ask(&judge, &onlooker, ports);
    let seen = shadow.seen(&live);
    assert_eq!((seen.judged, seen.different, seen.differences.len()), (2, 2, 2), "{seen:?}");
}
