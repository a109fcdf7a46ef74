#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod pace;
mod ports;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use podlane_dataplane::PortId;
use podlane_dataplane::ids::PathId;
use podlane_dataplane::policy::{End, Leasing};
use podlane_policy::compile::{Origin, RuleId};
use podlane_policy::yaml;

use super::*;
use crate::compile::Numbers;
use crate::config::{Machine, parse};
use crate::desired::Desired;

/// `web` and `shop` are described by their ports, `late` by nobody; the node has a port; `plain` has no pod.
const PORTS: &str = "[workers]\ncores = [0]\n[[network]]\nname = \"blue\"\n\
    [[port]]\nname = \"a-web\"\ndevice = \"web\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.2\", \"fd00:1::2\"]\n\
    pod = \"blue/web\"\nlabels = { app = \"web\" }\nports = { https = \"tcp/8443\" }\n\
    [[port]]\nname = \"b-shop\"\ndevice = \"shop\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.3\"]\n\
    pod = \"blue/shop\"\nlabels = { app = \"shop\" }\n\
    [[port]]\nname = \"c-late\"\ndevice = \"late\"\nnetwork = \"blue\"\npod = \"blue/late\"\n\
    [[port]]\nname = \"d-node\"\ndevice = \"node\"\nnetwork = \"blue\"\nnode = true\n\
    [[port]]\nname = \"e-plain\"\ndevice = \"plain\"\nnetwork = \"blue\"\n";

const WEB: PortId = PortId(1);
const SHOP: PortId = PortId(2);
const LATE: PortId = PortId(3);
const NODE: PortId = PortId(4);
const PLAIN: PortId = PortId(5);

/// Only `shop` may open to `web`, by the name of its port; `shop` may open to nothing else.
const POLICIES: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
    metadata: {name: web, namespace: blue}\nspec:\n  podSelector: {matchLabels: {app: web}}\n  ingress:\n  \
    - from: [{podSelector: {matchLabels: {app: shop}}}]\n    ports: [{port: https}]\n---\n\
    apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: shop, namespace: blue}\nspec:\n  \
    podSelector: {matchLabels: {app: shop}}\n  policyTypes: [Egress]\n  egress:\n  \
    - to: [{podSelector: {matchLabels: {app: web}}}]\n";

/// A directory of files, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn of(test: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("podlane-enforce-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        files.iter().for_each(|(name, text)| fs::write(path.join(name), text).unwrap());
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn desired(files: &[&Path]) -> Desired {
    let files: Vec<String> = files.iter().map(|file| format!("\"{}\"", file.display())).collect();
    let text = format!("{PORTS}[policy]\nfiles = [{}]\n", files.join(", "));
    parse(&text, &Machine { cores: [0].into() }).unwrap_or_else(|findings| panic!("{}", findings[0]))
}

fn places(desired: &Desired) -> Arc<Places> {
    Arc::new(Places::of(desired, &Numbers::of(desired)))
}

fn opened(test: &str, files: &[(&str, &str)]) -> Result<(Live, Vec<Doubt>), EnforceError> {
    let directory = Directory::of(test, files);
    let desired = desired(&[&directory.0]);
    Live::open(&desired, places(&desired))
}

fn live(test: &str) -> Live {
    opened(test, &[("policies.yaml", POLICIES)]).unwrap().0
}

fn documents(text: &str) -> Documents {
    yaml::read([("given.yaml", text)]).unwrap()
}

fn end(address: &str, port: PortId) -> End {
    End { address: address.parse().unwrap(), port }
}

fn ask(judge: &Judge, from: End, to: End, protocol: u8, port: u16) -> (bool, RuleId) {
    let Verdict { allow, rule } =
        judge.verdict(&Opening { from, to, protocol, port, leasing: Leasing::toward(protocol, port) });
    (allow, RuleId(rule.0))
}

fn tcp(judge: &Judge, from: (&str, PortId), to: (&str, PortId), port: u16) -> (bool, String) {
    let (allow, rule) = ask(judge, end(from.0, from.1), end(to.0, to.1), 6, port);
    (allow, judge.compiled().rule(rule).unwrap().to_string())
}

fn allows(judge: &Judge, from: (&str, PortId), to: (&str, PortId), port: u16) -> bool {
    tcp(judge, from, to, port).0
}

const WEB_AT: (&str, PortId) = ("10.1.0.2", WEB);
const SHOP_AT: (&str, PortId) = ("10.1.0.3", SHOP);

#[test]
fn both_ends_decide_and_the_rule_that_did_is_named() {
    let judge = live("both_ends").judge();
    assert_eq!(tcp(&judge, SHOP_AT, WEB_AT, 8443), (true, "NetworkPolicy blue/web ingress[0]".to_owned()));
    let denied = (false, "NetworkPolicy blue/web: isolated for ingress, no rule matches".to_owned());
    assert_eq!(tcp(&judge, SHOP_AT, WEB_AT, 80), denied);
    let denied = (false, "NetworkPolicy blue/shop: isolated for egress, no rule matches".to_owned());
    assert_eq!(tcp(&judge, SHOP_AT, ("192.0.2.9", PLAIN), 80), denied);
    assert_eq!(tcp(&judge, WEB_AT, SHOP_AT, 80), (true, "no policy decides: open".to_owned()));
    assert_eq!(tcp(&judge, WEB_AT, ("192.0.2.9", PLAIN), 80), (true, "no policy decides: open".to_owned()));
}

#[test]
fn protocols_are_known_by_their_numbers_and_those_without_ports_match_only_rules_without() {
    let judge = live("protocols").judge();
    let [web, shop] = [WEB_AT, SHOP_AT].map(|(address, port)| end(address, port));
    let allowed = [6, 17, 132, 1, 58].map(|protocol| ask(&judge, shop, web, protocol, 8443).0);
    assert_eq!(allowed, [true, false, false, false, false]);
}

#[test]
fn a_pod_is_known_by_its_port_and_speaks_as_no_other() {
    let judge = live("known_by_port").judge();
    // What `shop` may do, `late` or anybody behind the port of `web` may not by writing its address.
    assert_eq!(tcp(&judge, ("10.1.0.3", WEB), ("10.1.0.2", SHOP), 8443), (false, "not in the tables".to_owned()));
    // Nor does an address that is nobody's make it somebody else, an `ipBlock` perhaps.
    assert_eq!(tcp(&judge, ("10.1.0.130", SHOP), WEB_AT, 8443), (false, "not in the tables".to_owned()));
    // With an address of the link it is itself, and a group it sends to is whoever that is, and `shop` still to its own policy.
    assert!(allows(&judge, ("fe80::3", SHOP), ("fe80::2", WEB), 8443));
    assert!(!allows(&judge, ("fe80::9", PLAIN), ("fe80::2", WEB), 8443));
    let denied = (false, "NetworkPolicy blue/shop: isolated for egress, no rule matches".to_owned());
    assert_eq!(tcp(&judge, ("fe80::3", SHOP), ("ff02::5", PLAIN), 80), denied);
    // A pod that comes by a port without one, or out of a tunnel, is known by its address.
    for port in [PLAIN, PathId(3).port()] {
        assert!(allows(&judge, ("10.1.0.3", port), WEB_AT, 8443));
        assert!(!allows(&judge, ("10.1.0.9", port), WEB_AT, 8443));
    }
}

#[test]
fn a_pod_to_itself_and_the_node_to_its_pods_are_beyond_policy() {
    let judge = live("beyond").judge();
    assert_eq!(tcp(&judge, WEB_AT, ("fd00:1::2", WEB), 1), (true, "a pod to itself".to_owned()));
    assert_eq!(tcp(&judge, ("10.1.0.1", NODE), WEB_AT, 1), (true, "from the pod's own node".to_owned()));
    // Known by the port, never by the address; and what a pod opens to its node is judged.
    assert!(!allows(&judge, ("10.1.0.1", PLAIN), WEB_AT, 1));
    assert!(!allows(&judge, SHOP_AT, ("10.1.0.1", NODE), 1));
}

#[test]
fn a_pods_address_is_that_pod_also_by_the_nodes_port() {
    let judge = live("reflected").judge();
    // A node that forwards gives back a packet of a pod's: the pod is denied as it is on the way there.
    for denied in ["10.1.0.2", "fd00:1::2", "10.1.0.3"] {
        let to = if denied.contains(':') { ("fd00:1::2", WEB) } else { WEB_AT };
        assert!(!allows(&judge, (denied, NODE), to, 1), "{denied}");
    }
    // What policies let it open it may, by whatever way; and all else that the node forwards is the node's.
    assert!(allows(&judge, ("10.1.0.3", NODE), WEB_AT, 8443));
    for node in ["10.1.0.1", "192.0.2.9", "169.254.1.1", "10.1.0.9"] {
        assert_eq!(tcp(&judge, (node, NODE), WEB_AT, 1), (true, "from the pod's own node".to_owned()), "{node}");
    }
}

#[test]
fn a_pod_on_the_nodes_network_is_the_node_by_the_nodes_port() {
    let mut live = live("host_network");
    let agent = "apiVersion: v1\nkind: Pod\nmetadata: {name: agent, namespace: red}\n\
        spec: {hostNetwork: true}\nstatus: {podIP: 192.0.2.1}\n";
    live.apply(documents(agent)).unwrap();
    assert!(allows(&live.judge(), ("192.0.2.1", NODE), WEB_AT, 1));
}

#[test]
fn a_port_whose_pod_nobody_knows_is_closed_until_it_is_described() {
    let (mut live, doubts) = opened("unknown", &[("policies.yaml", POLICIES)]).unwrap();
    let [Doubt::UnknownPod { pod, port }] = doubts.as_slice() else { panic!("{doubts:?}") };
    assert_eq!((pod.to_string(), port.as_str()), ("blue/late".to_owned(), "c-late"));
    let judge = live.judge();
    assert_eq!(judge.unknown().map(ToString::to_string).collect::<Vec<_>>(), ["blue/late"]);
    for (from, to) in [(("10.1.0.4", LATE), ("192.0.2.9", PLAIN)), (("10.1.0.1", NODE), ("10.1.0.4", LATE))] {
        assert_eq!(tcp(&judge, from, to, 80), (false, "not in the tables".to_owned()));
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: late, namespace: blue}\nstatus: {podIP: 10.1.0.4}\n";
    let changed = live.apply(documents(pod)).unwrap();
    assert_eq!((changed.objects.as_slice(), changed.doubts.len()), (["Pod blue/late".to_owned()].as_slice(), 0));
    let judge = live.judge();
    assert_eq!((judge.unknown().count(), tcp(&judge, ("10.1.0.4", LATE), ("192.0.2.9", PLAIN), 80).0), (0, true));
    live.delete(documents(pod)).unwrap();
    assert_eq!(live.judge().unknown().count(), 1);
}

#[test]
fn the_judge_says_of_pods_what_the_tables_say_of_their_addresses() {
    let judge = live("same").judge();
    let ends = [WEB_AT, SHOP_AT, ("fd00:1::2", WEB), ("10.9.0.1", PLAIN), ("fd00:9::1", PathId(0).port())];
    for from in ends {
        for to in ends.iter().filter(|to| to.0.contains(':') == from.0.contains(':')) {
            for port in [80, 8443] {
                let address = |end: (&str, PortId)| end.0.parse::<IpAddr>().unwrap();
                let origin = Origin::Address(address(from));
                let decided = judge.compiled().decide(origin, address(*to), podlane_policy::model::Protocol::Tcp, port);
                assert_eq!(tcp(&judge, from, *to, port).0, decided.allow(), "{from:?} to {to:?}, {port}");
            }
        }
    }
}

#[test]
fn what_contradicts_the_ports_is_refused_by_name_with_a_remedy() {
    let pod = |labels: &str, rest: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: blue, labels: {labels}}}\n{rest}")
    };
    let ports = "spec: {containers: [{ports: [{name: https, containerPort: 8443}]}]}\n";
    let good = pod("{app: web}", &format!("{ports}status: {{podIP: 10.1.0.2, podIPs: [{{ip: 'fd00:1::2'}}]}}\n"));
    assert!(opened("same_twice", &[("pods.yaml", &good)]).is_ok());
    for (text, told) in [
        (pod("{app: wbe}", ports), "its labels are not those that port \"a-web\" states (remove"),
        (pod("{app: web}", ""), "its named ports are not those that port \"a-web\" states (remove"),
        (
            pod("{app: web}", &format!("{ports}status: {{podIP: 10.1.0.9}}\n")),
            "its addresses 10.1.0.9 are not those of port \"a-web\", 10.1.0.2, fd00:1::2 (mend",
        ),
        (
            pod(
                "{app: web}",
                "spec: {hostNetwork: true, containers: [{ports: [{name: https, containerPort: 8443}]}]}\n",
            ),
            "it is on its node's network, and port \"a-web\" is said to be its own (remove",
        ),
    ] {
        let error = opened("contradiction", &[("pods.yaml", &text)]).unwrap_err().to_string();
        assert!(error.contains(&format!("pods.yaml:1: Pod blue/web: {told}")), "{error}");
    }
}

#[test]
fn a_change_is_taken_whole_or_not_at_all() {
    let mut live = live("whole");
    let before = live.compiler().cluster();
    let closed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: blue}\n\
        spec: {podSelector: {}}\n---\n";
    let taken = "apiVersion: v1\nkind: Pod\nmetadata: {name: thief, namespace: red}\nstatus: {podIP: 10.1.0.3}\n";
    let misfits = live.apply(documents(&format!("{closed}{taken}"))).unwrap_err();
    let told: Vec<String> = misfits.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["given.yaml:6: Pod red/thief: its address 10.1.0.3 is pod blue/shop's (delete that one first)"]);
    assert_eq!(live.compiler().cluster(), before);

    let misfits = live.delete(documents(&format!("{POLICIES}---\n{closed}{taken}"))).unwrap_err();
    let told: Vec<String> = misfits.iter().map(|unfit| unfit.object.clone()).collect();
    assert_eq!(told, ["NetworkPolicy blue/closed", "Pod red/thief"]);
    assert_eq!(live.compiler().cluster(), before);
    live.delete(documents(POLICIES)).unwrap();
    assert_eq!(live.compiler().policies().count(), 0);
}

#[test]
fn the_address_of_a_port_is_its_pods_before_anybody_describes_it() {
    let ports = PORTS.replace("device = \"late\"\n", "device = \"late\"\naddresses = [\"10.1.0.4\"]\n");
    let desired = parse(&format!("{ports}[policy]\n"), &Machine { cores: [0].into() }).unwrap();
    let (mut live, _) = Live::open(&desired, places(&desired)).unwrap();
    let pod = |name: &str, address: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: blue}}\nstatus: {{podIP: {address}}}\n"
        )
    };
    let told = |misfits: Vec<Unfit>| misfits.iter().map(ToString::to_string).collect::<Vec<_>>();
    let before = live.compiler().cluster();
    assert_eq!(
        told(live.apply(documents(&pod("thief", "10.1.0.4"))).unwrap_err()),
        ["given.yaml:1: Pod blue/thief: its address 10.1.0.4 is stated by port \"c-late\", for pod blue/late \
             (mend podIPs, or \"addresses\" of the port)"]
    );
    // Beside the pod itself too, which keeps the address though it does not say so.
    for (name, address) in [("late", "10.1.0.4"), ("shop", "10.1.0.3")] {
        let silent = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: blue}}\n");
        let both = format!("{}---\n{silent}", pod("thief", address));
        let [told] = &told(live.apply(documents(&both)).unwrap_err())[..] else { panic!("{both}") };
        assert!(told.contains(&format!("Pod blue/thief: its address {address} is stated by port")), "{told}");
    }
    assert_eq!(live.compiler().cluster(), before);
    live.apply(documents(&pod("late", "10.1.0.4"))).unwrap();
    live.apply(documents(&pod("other", "10.1.0.5"))).unwrap();
}

#[test]
fn labels_that_are_applied_later_count_until_they_are_deleted() {
    let mut live = live("later");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: blue, labels: {app: probe}}\n";
    live.apply(documents(pod)).unwrap();
    assert!(!allows(&live.judge(), SHOP_AT, WEB_AT, 8443));
    live.delete(documents(pod)).unwrap();
    assert!(allows(&live.judge(), SHOP_AT, WEB_AT, 8443));
    let misfits = live.delete(documents(pod)).unwrap_err();
    assert!(matches!(misfits[0].misfit, Misfit::OfThePort { .. }), "{misfits:?}");
}

#[test]
fn a_selector_that_matches_nothing_is_a_doubt_with_its_place() {
    let lost = POLICIES.replace("app: web}}\n  ingress", "app: wbe}}\n  ingress");
    let (_, doubts) = opened("doubt", &[("policies.yaml", &lost)]).unwrap();
    let told: Vec<String> = doubts.iter().skip(1).map(ToString::to_string).collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(
        told.ends_with(
            "policies.yaml:1: NetworkPolicy blue/web: selects no pod at present (look for a misspelt label)"
        )
    );
}

#[test]
fn a_directory_is_read_by_its_yaml_and_a_file_whatever_it_is_called() {
    let policy = |name: &str| POLICIES.split("---\n").next().unwrap().replace("name: web", &format!("name: {name}"));
    let [b, a, other] = ["b", "a", "other"].map(policy);
    let hidden = "kind: [";
    let files =
        [("b.yaml", b.as_str()), ("a.yml", &a), ("notes.txt", hidden), (".hidden.yaml", hidden), ("named", &other)];
    let directory = Directory::of("directory", &files);
    fs::create_dir(directory.0.join("below.yaml")).unwrap();
    let desired = desired(&[&directory.0, Path::new(&directory.file("named"))]);
    let (live, _) = Live::open(&desired, places(&desired)).unwrap();
    let names: Vec<&str> = live.compiler().policies().map(|(policy, _)| policy.name.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "other"]);
    let absent = super::tests::desired(&[Path::new("/nonexistent/x")]);
    let error = Live::open(&absent, places(&absent)).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/x: cannot be read: "), "{error}");
}
