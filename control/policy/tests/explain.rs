//! Explanations agree with verdicts and end in a remedy that works; a diff is exactly what changes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use podlane_policy::compile::Origin;
use podlane_policy::diff::{Difference, Party, diff};
use podlane_policy::explain::{Explanation, Fit, Question, Remedy};
use podlane_policy::model::{PodName, Protocol};
use podlane_policy::{Cluster, Compiler, yaml};

const PODS: &str = r#"
apiVersion: v1
kind: PodList
items:
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: blue, labels: {app: web}}, status: {podIP: 10.0.0.1}, spec: {}}
- {apiVersion: v1, kind: Pod, metadata: {name: one, namespace: blue, labels: {app: client}}, status: {podIP: 10.0.0.2}, spec: {}}
- {apiVersion: v1, kind: Pod, metadata: {name: two, namespace: blue, labels: {app: client}}, status: {podIP: 10.0.0.3}, spec: {}}
"#;

const CLOSED: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: blue}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - ports: [{port: 443}]
  - from: [{podSelector: {matchLabels: {app: proxy}}}]
"#;

const QUESTION: Question = Question {
    from: Origin::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2))),
    to: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    protocol: Protocol::Tcp,
    port: 80,
};

fn cluster(policies: &[&str]) -> Cluster {
    let files = policies.iter().map(|text| ("policies.yaml", *text));
    yaml::read([("pods.yaml", PODS)].into_iter().chain(files)).unwrap().cluster
}

fn explain(policies: &[&str], question: &Question) -> Explanation {
    Compiler::of(cluster(policies)).compile().explain(question)
}

fn remedy(explanation: &Explanation) -> String {
    let remedies = explanation.ends.iter().filter_map(|end| end.remedy.as_ref());
    remedies.map(Remedy::yaml).collect::<Vec<_>>().join("---\n")
}

#[test]
fn a_denied_connection_names_its_policy_and_what_each_rule_missed_by() {
    let explanation = explain(&[CLOSED], &QUESTION);
    let ingress = &explanation.ends[1];
    assert_eq!(ingress.rule, "NetworkPolicy blue/web: isolated for ingress, no rule matches");
    let fits: Vec<Fit> = ingress.stages[1].policies[0].rules.iter().map(|rule| rule.1).collect();
    assert_eq!(fits, [Fit::OtherPort, Fit::OtherPeer]);
    assert_eq!(
        explanation.to_string(),
        "\
denied
egress of blue/one: allowed by no policy decides: open
  Admin: no policy selects the pod
  NetworkPolicy: no policy selects the pod
  Baseline: no policy selects the pod
ingress of blue/web: denied by NetworkPolicy blue/web: isolated for ingress, no rule matches
  Admin: no policy selects the pod
  NetworkPolicy: isolated, and no rule matches
    NetworkPolicy blue/web
      ingress[0] Accept: not this port
      ingress[1] Accept: not this peer
  the smallest policy that would allow it here:
    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: allow-ingress-web-tcp-80
      namespace: blue
    spec:
      podSelector:
        matchLabels:
          app: \"web\"
      policyTypes: [Ingress]
      ingress:
      - from:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: \"blue\"
          podSelector:
            matchLabels:
              app: \"client\"
        ports:
        - protocol: TCP
          port: 80
"
    );
}

/// Every way of being denied, each healed by what is offered, and by it for this port alone.
#[test]
fn the_remedy_lets_the_connection_through_and_not_the_next_port() {
    let cluster_policy = |tier: &str, priority: u16, rule: &str| {
        format!(
            "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: deny}}\nspec: {{tier: {tier}, priority: {priority}, subject: {{namespaces: {{}}}}, {rule}}}\n"
        )
    };
    let out = "egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]";
    let into = "ingress: [{action: Deny, from: [{namespaces: {}}]}]";
    let closed_out = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: out, namespace: blue}\nspec: {podSelector: {}, policyTypes: [Egress]}\n";
    let outside = Question { to: [192, 0, 2, 1].into(), ..QUESTION };
    let from_outside = Question { from: Origin::Address([192, 0, 2, 1].into()), ..QUESTION };
    let ping = Question { protocol: Protocol::Other, port: 0, ..QUESTION };
    let cases = [
        (CLOSED.to_owned(), QUESTION),
        (CLOSED.to_owned(), from_outside),
        (CLOSED.to_owned(), ping),
        (closed_out.to_owned(), outside),
        (format!("{CLOSED}---\n{closed_out}"), QUESTION),
        (cluster_policy("Admin", 7, out), QUESTION),
        (cluster_policy("Admin", 7, into), QUESTION),
        (cluster_policy("Baseline", 1000, out), outside),
        (cluster_policy("Baseline", 1, into), ping),
    ];
    for (policies, question) in cases {
        let before = explain(&[&policies], &question);
        assert!(!before.decision.allow(), "{policies}");
        let remedy = remedy(&before);
        let after = explain(&[&policies, &remedy], &question);
        assert!(after.decision.allow(), "{remedy}");
        if question.protocol == Protocol::Tcp {
            let other = explain(&[&policies, &remedy], &Question { port: 81, ..question });
            assert!(!other.decision.allow(), "{remedy}");
        }
    }
}

#[test]
fn before_priority_0_a_rule_is_to_be_inserted() {
    let deny = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: deny}\nspec:\n  tier: Admin\n  priority: 0\n  subject: {namespaces: {}}\n  ingress:\n  - {action: Deny, from: [{namespaces: {}}]}\n";
    let explanation = explain(&[deny], &QUESTION);
    let Some(Remedy::Insert { index: 0, yaml, .. }) = &explanation.ends[1].remedy else {
        panic!("{explanation}");
    };
    let with = deny.replace(
        "  ingress:\n",
        &format!("  ingress:\n{}", yaml.replace("- action", "  - action").replace("\n  ", "\n    ")),
    );
    assert!(explain(&[&with], &QUESTION).decision.allow(), "{with}");
}

#[test]
fn what_is_beyond_policy_says_so() {
    let itself = explain(&[CLOSED], &Question { from: Origin::Address(QUESTION.to), ..QUESTION });
    assert_eq!(itself.ends.iter().map(|end| end.rule.as_str()).collect::<Vec<_>>(), ["a pod to itself"; 2]);
    let node = explain(&[CLOSED], &Question { from: Origin::OwnNode, ..QUESTION });
    assert_eq!(node.ends[0].rule, "from the pod's own node");
}

#[test]
fn a_diff_is_what_changes_by_class_and_nothing_else() {
    let old = Compiler::of(cluster(&[CLOSED])).compile();
    let opened = CLOSED.replace("port: 443", "port: 443, endPort: 445").replace("app: proxy", "app: nobody");
    let new = Compiler::of(cluster(&[&opened])).compile();
    let found = diff(&old, &new);
    let clients = Party::Pods(vec![PodName::new("blue", "one"), PodName::new("blue", "two")]);
    let web = Party::Pods(vec![PodName::new("blue", "web")]);
    let [Difference { from, to, protocol, first, last, before, after, .. }] =
        found.iter().filter(|found| matches!(found.from, Party::Pods(_))).collect::<Vec<_>>()[..]
    else {
        panic!("{found:#?}");
    };
    assert_eq!((from, to, *protocol, *first, *last), (&clients, &web, Protocol::Tcp, 444, 445));
    assert_eq!((before.allow(), after.allow()), (false, true));
    assert!(diff(&old, &old).is_empty());
    assert!(found.iter().all(|found| found.to == web), "addresses outside change towards the same pod alone");
}

#[test]
fn a_remedy_isolates_no_pod_that_was_open() {
    let plain = PODS.replace("labels: {app: web}", "labels: {}");
    let closed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: plain, namespace: blue}\nspec:\n  podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [client, \"1\"]}]}\n";
    let tables = |policies: &[&str]| {
        let files = policies.iter().map(|text| ("policies.yaml", *text)).chain([("pods.yaml", plain.as_str())]);
        Compiler::of(yaml::read(files).unwrap().cluster).compile()
    };
    let before = tables(&[closed]);
    let remedy = remedy(&before.explain(&QUESTION));
    let changed = diff(&before, &tables(&[closed, &remedy]));
    assert!(changed.iter().all(|found| found.after.allow()), "{remedy}{changed:#?}");
    assert!(!changed.is_empty());
}
