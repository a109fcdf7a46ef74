//! The cases that implementations get wrong, each as its own statement, written as users write them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::IpAddr;

use podlane_policy::compile::Origin;
use podlane_policy::model::{Pod, PodName, Protocol};
use podlane_policy::{Compiled, Compiler, yaml};

/// Two namespaces, four pods; `red/host` is on its node's network.
const PODS: &str = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {team: sky}}}
- {apiVersion: v1, kind: Namespace, metadata: {name: red, labels: {team: fire}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: blue, labels: {app: web}}, status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]},
   spec: {containers: [{name: a, ports: [{name: http, containerPort: 80}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: blue, labels: {app: client}}, status: {podIP: 10.0.0.2}, spec: {}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: red, labels: {app: web}}, status: {podIP: 10.0.0.3},
   spec: {containers: [{name: a, ports: [{name: http, containerPort: 8080}]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: red, labels: {app: client}}, status: {podIP: 10.0.0.4}, spec: {}}
- {apiVersion: v1, kind: Pod, metadata: {name: host, namespace: red, labels: {app: client}}, status: {podIP: 172.16.0.9},
   spec: {hostNetwork: true}}
"#;

const BLUE_WEB: [u8; 4] = [10, 0, 0, 1];
const BLUE_CLIENT: [u8; 4] = [10, 0, 0, 2];
const RED_WEB: [u8; 4] = [10, 0, 0, 3];
const RED_CLIENT: [u8; 4] = [10, 0, 0, 4];
const NODE: [u8; 4] = [172, 16, 0, 9];

fn compiled(policies: &str) -> Compiled {
    let documents = yaml::read([("pods.yaml", PODS), ("policies.yaml", policies)]).unwrap();
    Compiler::of(documents.cluster).compile()
}

fn tcp(tables: &Compiled, from: [u8; 4], to: [u8; 4], port: u16) -> bool {
    tables.decide(Origin::Address(from.into()), to.into(), Protocol::Tcp, port).allow()
}

/// A NetworkPolicy of blue about `app: web`, or about all pods.
fn blue(subject: &str, rest: &str) -> String {
    let spec = rest.replace('\n', "\n  ");
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: blue}}\nspec:\n  podSelector: {subject}\n  {spec}\n"
    )
}

const WEB: &str = "{matchLabels: {app: web}}";

fn cluster(name: &str, tier: &str, priority: u16, rules: &str) -> String {
    let rules = rules.replace('\n', "\n  ");
    format!(
        "---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\nspec:\n  tier: {tier}\n  priority: {priority}\n  subject: {{namespaces: {{}}}}\n  {rules}\n"
    )
}

#[test]
fn a_pod_that_no_policy_selects_is_open() {
    let tables = compiled(&blue(WEB, "ingress: []"));
    assert!(tcp(&tables, RED_CLIENT, BLUE_CLIENT, 80));
    assert!(!tcp(&tables, RED_CLIENT, BLUE_WEB, 80));
}

#[test]
fn selectors_in_one_item_must_both_hold_and_in_two_items_one_will_do() {
    let both = compiled(&blue(
        WEB,
        "ingress:\n- from:\n  - namespaceSelector: {matchLabels: {team: fire}}\n    podSelector: {matchLabels: {app: client}}",
    ));
    assert_eq!([RED_CLIENT, RED_WEB, BLUE_CLIENT].map(|from| tcp(&both, from, BLUE_WEB, 80)), [true, false, false]);
    let either = compiled(&blue(
        WEB,
        "ingress:\n- from:\n  - namespaceSelector: {matchLabels: {team: fire}}\n  - podSelector: {matchLabels: {app: client}}",
    ));
    assert_eq!([RED_CLIENT, RED_WEB, BLUE_CLIENT].map(|from| tcp(&either, from, BLUE_WEB, 80)), [true, true, true]);
}

#[test]
fn a_pod_selector_alone_means_the_policys_own_namespace() {
    let tables = compiled(&blue(WEB, "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]"));
    assert!(tcp(&tables, BLUE_CLIENT, BLUE_WEB, 80));
    assert!(!tcp(&tables, RED_CLIENT, BLUE_WEB, 80));
}

#[test]
fn an_empty_namespace_selector_means_all_pods_and_no_address_outside() {
    let tables = compiled(&blue(WEB, "ingress: [{from: [{namespaceSelector: {}}]}]"));
    assert!(tcp(&tables, RED_CLIENT, BLUE_WEB, 80));
    assert!(!tcp(&tables, [192, 0, 2, 1], BLUE_WEB, 80));
    assert!(!tcp(&tables, NODE, BLUE_WEB, 80), "a pod on its node's network is a node, not a pod");
}

#[test]
fn what_one_item_excepts_another_may_allow() {
    let block = "- from:\n  - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/30]}";
    let tables = compiled(&blue(WEB, &format!("ingress:\n{block}")));
    assert_eq!([BLUE_CLIENT, RED_CLIENT].map(|from| tcp(&tables, from, BLUE_WEB, 80)), [false, true]);
    let tables = compiled(&blue(WEB, &format!("ingress:\n{block}\n  - ipBlock: {{cidr: 10.0.0.2/32}}")));
    assert_eq!([BLUE_CLIENT, RED_WEB].map(|from| tcp(&tables, from, BLUE_WEB, 80)), [true, false]);
}

#[test]
fn a_block_of_one_family_says_nothing_of_the_other() {
    let tables = compiled(&blue(WEB, "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]\npolicyTypes: [Egress]"));
    let from = |address: IpAddr, to: &str| {
        tables.decide(Origin::Address(address), to.parse().unwrap(), Protocol::Tcp, 80).allow()
    };
    assert!(from(BLUE_WEB.into(), "192.0.2.1"));
    assert!(!from("fd00::1".parse().unwrap(), "2001:db8::1"));
}

#[test]
fn a_named_port_is_a_number_of_each_destinations_own() {
    let tables = compiled(&blue(
        "{}",
        "policyTypes: [Egress]\negress: [{ports: [{port: http}], to: [{namespaceSelector: {}}]}]",
    ));
    let open = |to, port| tcp(&tables, BLUE_CLIENT, to, port);
    assert_eq!([open(BLUE_WEB, 80), open(BLUE_WEB, 8080)], [true, false]);
    assert_eq!([open(RED_WEB, 80), open(RED_WEB, 8080)], [false, true]);
    assert!(!open(RED_CLIENT, 80), "it has no port of that name");
}

#[test]
fn the_protocol_of_a_named_port_must_be_the_rules() {
    let tables = compiled(&blue(WEB, "ingress: [{ports: [{port: http, protocol: UDP}]}]"));
    assert!(!tcp(&tables, RED_CLIENT, BLUE_WEB, 80));
}

#[test]
fn without_policy_types_ingress_is_meant_always_and_egress_where_it_has_rules() {
    let closed_in = |tables: &Compiled| !tcp(tables, RED_CLIENT, BLUE_WEB, 80);
    let closed_out = |tables: &Compiled| !tcp(tables, BLUE_WEB, RED_CLIENT, 80);
    let tables = compiled(&blue(WEB, ""));
    assert_eq!((closed_in(&tables), closed_out(&tables)), (true, false));
    let tables = compiled(&blue(WEB, "egress: []"));
    assert_eq!((closed_in(&tables), closed_out(&tables)), (true, false));
    let tables = compiled(&blue(WEB, "egress: [{ports: [{port: 1}]}]"));
    assert_eq!((closed_in(&tables), closed_out(&tables)), (true, true));
    let tables = compiled(&blue(WEB, "policyTypes: [Egress]"));
    assert_eq!((closed_in(&tables), closed_out(&tables)), (false, true));
}

#[test]
fn absent_and_empty_peers_and_ports_mean_all() {
    for rule in ["{}", "{from: []}", "{ports: []}", "{from: [], ports: []}"] {
        let tables = compiled(&blue(WEB, &format!("ingress: [{rule}]")));
        assert!(tcp(&tables, [192, 0, 2, 1], BLUE_WEB, 1), "{rule}");
        let ping = tables.decide(Origin::Address(RED_CLIENT.into()), BLUE_WEB.into(), Protocol::Other, 0);
        assert!(ping.allow(), "{rule}");
    }
}

#[test]
fn a_rule_with_ports_lets_no_icmp_through() {
    let tables = compiled(&blue(WEB, "ingress: [{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}]"));
    let open = |protocol| tables.decide(Origin::Address(RED_CLIENT.into()), BLUE_WEB.into(), protocol, 0).allow();
    assert_eq!(Protocol::ALL.map(open), [true, true, true, false]);
}

#[test]
fn end_port_is_included() {
    let tables = compiled(&blue(WEB, "ingress: [{ports: [{port: 80, endPort: 90}]}]"));
    assert_eq!([79, 80, 90, 91].map(|port| tcp(&tables, RED_CLIENT, BLUE_WEB, port)), [false, true, true, false]);
}

#[test]
fn both_ends_must_give_leave() {
    let tables = compiled(&blue("{}", "policyTypes: [Ingress, Egress]\ningress: [{}]"));
    assert!(tcp(&tables, RED_CLIENT, BLUE_WEB, 80));
    assert!(!tcp(&tables, BLUE_CLIENT, BLUE_WEB, 80), "nothing lets the client out");
}

#[test]
fn its_own_node_reaches_a_pod_and_nobody_can_pretend_to_be_it() {
    let tables = compiled(&blue("{}", "policyTypes: [Ingress, Egress]"));
    assert!(tables.decide(Origin::OwnNode, BLUE_WEB.into(), Protocol::Tcp, 80).allow());
    assert!(!tcp(&tables, NODE, BLUE_WEB, 80), "the node's address says nothing");
    assert!(!tcp(&tables, BLUE_WEB, NODE, 80), "nor does it open the way there");
}

#[test]
fn a_pod_reaches_itself_also_by_its_other_address() {
    let tables = compiled(&blue("{}", "policyTypes: [Ingress, Egress]"));
    assert!(tcp(&tables, BLUE_WEB, BLUE_WEB, 80));
    assert!(!tcp(&tables, BLUE_WEB, BLUE_CLIENT, 80));
}

#[test]
fn not_in_holds_where_the_label_is_absent() {
    let expression = "{matchExpressions: [{key: tier, operator: NotIn, values: [db]}]}";
    let tables = compiled(&blue(WEB, &format!("ingress: [{{from: [{{podSelector: {expression}}}]}}]")));
    assert!(tcp(&tables, BLUE_CLIENT, BLUE_WEB, 80));
}

#[test]
fn tiers_decide_in_order_and_pass_leaves_a_tier() {
    let from = "from: [{namespaces: {matchLabels: {team: fire}}}]";
    let deny = cluster("a", "Admin", 5, &format!("ingress: [{{action: Deny, {from}}}]"));
    let open = blue(WEB, "ingress: [{}]");
    assert!(!tcp(&compiled(&format!("{open}{deny}")), RED_CLIENT, BLUE_WEB, 80), "Admin comes before NetworkPolicy");
    let pass = cluster("b", "Admin", 4, &format!("ingress: [{{action: Pass, {from}}}]"));
    assert!(tcp(&compiled(&format!("{open}{deny}{pass}")), RED_CLIENT, BLUE_WEB, 80), "the lower priority first");
    let baseline = cluster("c", "Baseline", 0, &format!("ingress: [{{action: Deny, {from}}}]"));
    let tables = compiled(&format!("{open}{baseline}"));
    assert!(tcp(&tables, RED_CLIENT, BLUE_WEB, 80), "NetworkPolicy comes before Baseline");
    assert!(!tcp(&tables, RED_CLIENT, BLUE_CLIENT, 80), "which is for pods that none isolates");
    assert!(tcp(&tables, BLUE_WEB, BLUE_CLIENT, 80), "and isolates nobody itself");
}

#[test]
fn the_predecessors_of_cluster_policies_mean_the_same() {
    let admin = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\nspec:\n  priority: 5\n  subject: {namespaces: {}}\n  ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: fire}}}], ports: [{portNumber: {protocol: TCP, port: 80}}, {namedPort: http}, {portRange: {start: 90, end: 91}}]}]\n";
    let tables = compiled(admin);
    let open = |to, port| tcp(&tables, RED_CLIENT, to, port);
    assert_eq!([79, 80, 90, 91, 92].map(|port| open(BLUE_CLIENT, port)), [true, false, false, false, true]);
    assert!(!open(RED_WEB, 8080), "the name is a port of red's");
    let baseline = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: default}\nspec:\n  subject: {namespaces: {}}\n  egress: [{action: Deny, to: [{networks: [192.0.2.0/24]}]}]\n";
    assert!(!tcp(&compiled(baseline), RED_CLIENT, [192, 0, 2, 1], 80));
    let accept = cluster("x", "Baseline", 1000, "egress: [{action: Accept, to: [{networks: [192.0.2.1/32]}]}]");
    assert!(tcp(&compiled(&format!("{baseline}{accept}")), RED_CLIENT, [192, 0, 2, 1], 80), "it comes last");
}

#[test]
fn pods_of_one_deployment_share_one_class_and_one_identity() {
    let mut documents =
        yaml::read([("policies.yaml", blue(WEB, "ingress: [{from: [{podSelector: {}}]}]").as_str())]).unwrap();
    let web = yaml::read([("pods.yaml", PODS)]).unwrap().cluster.pods.remove(0);
    documents.cluster.pods = (0..1000_u16)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            let labels = [("app", "web".to_owned()), ("hash", format!("h{number}"))];
            Pod {
                name: PodName::new("blue", format!("web-{number}")),
                labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                addresses: vec![[10, 1, high, low].into()],
                ..web.clone()
            }
        })
        .collect();
    let tables = Compiler::of(documents.cluster).compile();
    assert_eq!(tables.classes(), (1, 2), "the second identity is everybody outside");
}
