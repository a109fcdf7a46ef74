//! What is read, what is refused and in which words, what is doubted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use podlane_policy::model::{PodName, PolicyKind, PolicyName};
use podlane_policy::yaml::{self, Documents};
use proptest::prelude::*;

fn read(text: &str) -> Result<Documents, String> {
    yaml::read([("p.yaml", text)]).map_err(|refused| refused.to_string())
}

/// A NetworkPolicy whose spec begins on line 4.
fn network(spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: blue}}\nspec:\n{spec}"
    )
}

/// A ClusterNetworkPolicy whose further fields begin on line 6.
fn cluster(fields: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: c}}\nspec:\n  subject: {{namespaces: {{}}}}\n{fields}"
    )
}

#[track_caller]
fn refused(text: &str, says: &str) {
    assert_eq!(read(text).unwrap_err(), says, "{text}");
}

#[test]
fn documents_lists_and_other_kinds_are_told_apart() {
    let documents = read(
        r#"
# A comment, and an empty document before the first.
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
anything: {at: [all]}
---
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata:
    name: p
    annotations: {some: text}
    creationTimestamp: "2026-11-21T00:00:00Z"
  spec: {podSelector: {}}
- apiVersion: v1
  kind: Pod
  metadata: {name: ended}
  spec: {}
  status: {phase: Succeeded, podIP: 10.0.0.1}
- apiVersion: v1
  kind: Pod
  metadata: {name: a, labels: {app: web}}
  spec:
    nodeName: n1
    terminationGracePeriodSeconds: 30
    containers: [{name: c, image: i, ports: [{containerPort: 1}, {name: dns, containerPort: 53, protocol: UDP}]}]
  status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
"#,
    )
    .unwrap();
    assert_eq!((documents.others, documents.warnings.len()), (1, 0));
    let name = PolicyName { kind: PolicyKind::NetworkPolicy, namespace: Some("default".into()), name: "p".into() };
    assert_eq!(documents.sources[&name].line, 13);
    let [pod] = &documents.cluster.pods[..] else { panic!("{:?}", documents.cluster.pods) };
    assert_eq!(pod.name, PodName::new("default", "a"));
    assert_eq!((pod.addresses.len(), pod.ports.len(), pod.node.as_deref()), (2, 1, Some("n1")));
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    refused(
        &network("  podSelector: {}\n  ingres: []"),
        "p.yaml:6: NetworkPolicy blue/p: unknown field \"ingres\" in spec (it may have podSelector, ingress, egress, policyTypes)",
    );
    refused(
        &network("  podSelector: {matchLabel: {a: b}}"),
        "p.yaml:5: NetworkPolicy blue/p: unknown field \"matchLabel\" in podSelector (it may have matchLabels, matchExpressions)",
    );
    refused(
        &network("  podSelector: {}\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/8, excepts: []}"),
        "p.yaml:8: NetworkPolicy blue/p: unknown field \"excepts\" in ipBlock (it may have cidr, except)",
    );
    refused(
        &cluster("  tier: Admin\n  priority: 1\n  ingress:\n  - action: Deny\n    from: [{namespace: {}}]"),
        "p.yaml:10: ClusterNetworkPolicy c: unknown field \"namespace\" in from (it may have namespaces, pods)",
    );
}

#[test]
fn contradictions_are_refused_with_the_place_and_the_remedy() {
    let port = |port: &str| network(&format!("  podSelector: {{}}\n  ingress:\n  - ports:\n    - {port}"));
    let says = |what: &str| format!("p.yaml:8: NetworkPolicy blue/p: {what}");
    refused(&port("{port: 90, endPort: 80}"), &says("endPort 80 is below port 90 (swap them)"));
    let end = "endPort needs a port that is a number (give the first port of the range, or remove endPort)";
    refused(&port("{port: http, endPort: 80}"), &says(end));
    refused(&port("{endPort: 80}"), &says(end));
    refused(&port("{port: 65536}"), &says("\"port\" must be a port from 1 to 65535, not \"65536\" (correct it)"));
    refused(&port("{protocol: ICMP}"), &says("\"protocol\" must be TCP, UDP or SCTP, not \"ICMP\" (correct it)"));
    refused(
        &port("{port: \"80\"}"),
        &says(
            "\"80\" is no name (at most 15 lower case letters, digits or single '-', with a letter among them; numbers stand without quotes)",
        ),
    );
    let peer = |peer: &str| network(&format!("  podSelector: {{}}\n  ingress:\n  - from:\n    - {peer}"));
    refused(
        &peer("ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}"),
        &says("except 11.0.0.0/16 is not inside 10.0.0.0/8, or is all of it (remove it, or correct the cidr)"),
    );
    refused(
        &peer("ipBlock: {cidr: 10.0.0.256/8}"),
        &says("\"cidr\" must be a CIDR such as 10.0.0.0/8 or fd00::/8, not \"10.0.0.256/8\" (correct it)"),
    );
    let one = "a peer in from must be one of ipBlock, podSelector and namespaceSelector (give exactly one)";
    refused(&peer("{}"), &says(one));
    refused(&peer("{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}"), &says(one));
    refused(
        &peer("podSelector: {matchExpressions: [{key: a, operator: In}]}"),
        &says("operator In needs values (add them)"),
    );
    refused(
        &peer("podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
        &says("operator Exists takes no values (remove them)"),
    );
    refused(
        &peer("podSelector: {matchLabels: {app: -web}}"),
        &says(
            "\"-web\" is no label value (at most 63 letters, digits, '-', '_' or '.', the first and last a letter or digit)",
        ),
    );
    refused(
        &peer("podSelector: {matchLabels: {live: true}}"),
        &says("\"live\" must be a string, not \"true\" (correct it)"),
    );
}

#[test]
fn cluster_policies_are_held_to_their_own_rules() {
    let says = |line: usize, what: &str| format!("p.yaml:{line}: ClusterNetworkPolicy c: {what}");
    refused(
        &cluster("  tier: Admin\n  priority: 1001"),
        &says(7, "priority 1001 is out of range (choose one from 0 to 1000; lower comes first)"),
    );
    refused(
        &cluster("  tier: NetworkPolicy\n  priority: 1"),
        &says(6, "\"tier\" must be Admin or Baseline, not \"NetworkPolicy\" (correct it)"),
    );
    let rule = |rule: &str| cluster(&format!("  tier: Admin\n  priority: 1\n  egress:\n  - {rule}"));
    refused(
        &rule("{action: Allow, to: [{namespaces: {}}]}"),
        &says(9, "\"action\" must be Accept, Deny or Pass, not \"Allow\" (correct it)"),
    );
    refused(&rule("{action: Deny}"), &says(9, "\"to\" is missing in egress (add it)"));
    refused(
        &rule("{action: Deny, to: []}"),
        &says(9, "\"to\" must have at least one item (add one, or remove the rule)"),
    );
    refused(
        &rule("{action: Accept, to: [{domainNames: [example.org]}]}"),
        &says(9, "peers by domainNames are not known to this version (use \"networks\" or \"pods\")"),
    );
    refused(
        &rule("{action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}"),
        &says(9, "a named port means nothing to addresses (give it a number, or a rule with pods alone)"),
    );
    let baseline = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {name: b}\nspec: {subject: {namespaces: {}}}\n";
    refused(
        baseline,
        "p.yaml:4: BaselineAdminNetworkPolicy b: a BaselineAdminNetworkPolicy must be named \"default\" (rename it)",
    );
}

#[test]
fn a_file_is_told_all_its_mistakes_at_once() {
    let text = "---\napiVersion: networking.k8s.io/v1beta1\nkind: NetworkPolicy\nmetadata: {name: old}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: P}\nspec: {podSelector: [], egress: {}}\n";
    refused(
        text,
        "\
p.yaml:2: NetworkPolicy: NetworkPolicy of networking.k8s.io/v1beta1 is not known (use NetworkPolicy of networking.k8s.io/v1, or ClusterNetworkPolicy of policy.networking.k8s.io/v1alpha2)
p.yaml:8: NetworkPolicy default/P: \"P\" is no name (lower case letters, digits, '-' or '.', the first and last a letter or digit, at most 253)",
    );
    refused(
        &network("  podSelector: []\n  egress: {}\n  policyTypes: [Both]"),
        "\
p.yaml:5: NetworkPolicy blue/p: \"podSelector\" must be a mapping, not a list (correct it)
p.yaml:7: NetworkPolicy blue/p: \"policyTypes\" must be Ingress or Egress, not \"Both\" (correct it)
p.yaml:6: NetworkPolicy blue/p: \"egress\" must be a list, not a mapping (correct it)",
    );
}

#[test]
fn names_and_addresses_are_one_objects_each() {
    let policy = network("  podSelector: {}\n");
    refused(
        &format!("{policy}---\n{policy}"),
        "p.yaml:7: NetworkPolicy blue/p: there is one already, on line 1 of p.yaml (give each its own name)",
    );
    let pod = |name: &str| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nstatus: {{podIP: 10.0.0.1}}\n")
    };
    refused(
        &(pod("a") + &pod("b")),
        "p.yaml:7: Pod default/b: 10.0.0.1 is pod default/a's already (give each its own)",
    );
}

#[test]
fn what_yaml_can_hide_is_refused() {
    refused(
        &network("  podSelector: {}\n  ingress: []\n  ingress: [{}]"),
        "p.yaml:7: \"ingress\" is there already, on line 6 (remove one)",
    );
    refused("a: !secret b", "p.yaml:1: the tag !secret means nothing here (remove it)");
    assert!(read("kind: [").unwrap_err().ends_with("(the file must be YAML)"));
    let nested = "[".repeat(100_000);
    assert!(read(&nested).is_err(), "depth is bounded");
    let bomb: String = (1..30).map(|at| format!("a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1)).collect();
    let says = read(&format!("a0: &a0 [x]\n{bomb}")).unwrap_err();
    assert!(says.contains("too large with its aliases followed"), "{says}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = network(
        "  podSelector: {matchLabels: {app: wbe}}\n  policyTypes: [Ingress]\n  egress: [{}]\n  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}, {podSelector: {}}]}]",
    );
    let documents = read(&text).unwrap();
    let warnings = documents
        .warnings
        .iter()
        .chain(&yaml::unmatched(&documents.cluster, &documents.sources))
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    assert_eq!(
        warnings,
        [
            "p.yaml:8: NetworkPolicy blue/p: 10.0.0.1/8 has bits past its length and is taken for 10.0.0.0/8 (write that)",
            "p.yaml:5: NetworkPolicy blue/p: egress rules mean nothing as policyTypes has no Egress (add it, or remove them)",
            "p.yaml:1: NetworkPolicy blue/p: selects no pod at present (look for a misspelt label)",
            "p.yaml:1: NetworkPolicy blue/p: ingress[0] has a peer that no pod is at present (look for a misspelt label)",
        ]
    );
}

#[test]
fn anchors_are_followed() {
    let documents =
        read(&network("  podSelector: &web {matchLabels: {app: web}}\n  ingress: [{from: [{podSelector: *web}]}]"))
            .unwrap();
    let policy = &documents.cluster.policies[0];
    assert_eq!(policy.subject.pods.labels["app"], "web");
}

proptest! {
    /// Whatever is written, reading ends with objects or with findings.
    #[test]
    fn nothing_that_can_be_written_ends_the_reader(text in "[a-z&*!|>{}\\[\\],:#?\"' \n\t-]{0,200}") {
        let _ = read(&text);
    }

    /// A policy with a piece of it gone or doubled is a policy or is refused, at a line of the file.
    #[test]
    fn a_damaged_policy_is_read_or_refused_by_place(from in 0..400_usize, length in 0..60_usize, doubled: bool) {
        let whole = network("  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Ingress, Egress]\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n    - namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}\n    ports:\n    - {port: 80, endPort: 90}\n");
        let (from, to) = (from.min(whole.len()), (from + length).min(whole.len()));
        let text = if doubled { [&whole[..to], &whole[from..]] } else { [&whole[..from], &whole[to..]] }.concat();
        if let Err(refused) = yaml::read([("p.yaml", text.as_str())]) {
            let lines = text.lines().count() + 1;
            prop_assert!(!refused.0.is_empty());
            prop_assert!(refused.0.iter().all(|finding| (1..=lines).contains(&finding.line)), "{}", refused);
        }
    }
}
