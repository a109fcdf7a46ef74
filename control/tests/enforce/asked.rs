//! What operators ask a switch that is running: each answer is held to what the kernels of the pods then see.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::attempt::{Denied, Ping, Service, Tcp, Through, Udp};
use crate::cluster::{Cluster, Member, Plan};
use crate::ground::V4;
use crate::stream::TcpFlow;
use crate::support::{BLUE, Node, SOON, eventually, ping, podlane, port};
use crate::tunnel::{IN, OUT, Two};

const MEMBERS: [Member; 4] = [
    Member { ports: "{name: http, containerPort: 80}", ..Member::new("shop/web", 2, "app: web") },
    Member::new("shop/till", 3, "app: till"),
    Member::new("lab/probe", 4, "app: probe"),
    // Beyond the gateway.
    Member { subnet: 2, ..Member::new("lab/far", 5, "app: far") },
];

const WEB: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: till}}}]
    ports: [{port: http}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: far, namespace: lab}
spec:
  podSelector: {matchLabels: {app: far}}
  policyTypes: [Egress]
";

/// Closes till to everybody.
const SHUT: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: shut, namespace: shop}
spec:
  podSelector: {matchLabels: {app: till}}
";

fn command(cluster: &Cluster, arguments: &str) -> Command {
    let mut command = podlane();
    command.args(arguments.split_whitespace()).arg("--socket").arg(cluster.node.socket());
    command
}

fn ask(cluster: &Cluster, arguments: &str) -> Output {
    command(cluster, arguments).output().unwrap()
}

/// The answer of a question that has one, and its exit status.
fn json(cluster: &Cluster, arguments: &str) -> (Value, i32) {
    let output = ask(cluster, &format!("{arguments} --json"));
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (answer, output.status.code().unwrap())
}

/// A service as it is asked for.
fn spelt(service: Service) -> String {
    match service {
        Tcp(port) => format!("tcp/{port}"),
        Udp(port) => format!("udp/{port}"),
        _ => "icmp".to_owned(),
    }
}

#[test]
fn why_says_of_each_pair_what_their_kernels_see() {
    let Some(cluster) = Cluster::start("why_pairs", &Plan::new(&MEMBERS, WEB)) else { return };
    let names: Vec<&str> = MEMBERS.iter().map(|member| member.name).collect();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            for service in [Tcp(80), Udp(80), Ping] {
                let short = |name: &str| cluster.member(name.split_once('/').unwrap().1).short();
                let seen = cluster.attempt((short(from), short(to)), service, V4);
                let (answer, status) = json(&cluster, &format!("why {from} {to} {}", spelt(service)));
                let told = answer["allowed"].as_bool();
                assert_eq!((told, status), (Some(seen == Through), i32::from(seen == Denied)), "{answer:#}");
                for answer in answer["answers"].as_array().unwrap() {
                    assert_eq!(answer["way"]["open"], true, "{answer:#}");
                    assert_eq!(answer["way"]["from"]["pod"], *from);
                    assert_eq!(
                        (&answer["way"]["to"]["pod"], &answer["way"]["to"]["port"]),
                        (&(*to).into(), &short(to).into())
                    );
                    let routed = from.ends_with("far") || to.ends_with("far");
                    let action = answer["way"]["action"].as_str().unwrap();
                    assert_eq!(action.starts_with("route"), routed, "{action}");
                }
            }
        }
    }
    cluster.end();
}

#[test]
fn the_remedies_of_a_denial_are_enough_and_its_rules_are_named() {
    let Some(cluster) = Cluster::start("why_remedy", &Plan::new(&MEMBERS, WEB)) else { return };
    let question = "why far web tcp/http";
    let (answer, status) = json(&cluster, question);
    assert_eq!(status, 1);
    let ends = answer["answers"][0]["ends"].as_array().unwrap();
    let rules: Vec<&str> = ends.iter().map(|end| end["rule"].as_str().unwrap()).collect();
    let expected = [
        "NetworkPolicy lab/far: isolated for egress, no rule matches",
        "NetworkPolicy shop/web: isolated for ingress, no rule matches",
    ];
    assert_eq!(rules, expected);
    assert_eq!(answer["answers"][0]["because"], expected[0], "the end that opens is asked first");
    for end in ends {
        cluster.policy("apply", end["remedy"]["yaml"].as_str().unwrap());
    }
    assert_eq!(cluster.attempt(("far", "web"), Tcp(80), V4), Through);
    assert_eq!(json(&cluster, question).1, 0);
    cluster.end();
}

#[test]
fn what_cannot_be_told_or_asked_is_2_and_says_so() {
    let Some(cluster) = Cluster::start("why_untold", &Plan::new(&MEMBERS, WEB)) else { return };
    let (answer, status) = json(&cluster, "why 10.1.0.78 10.1.0.77 tcp/80");
    assert_eq!((&answer["allowed"], status), (&Value::Null, 2), "no end is a pod");
    let because = answer["answers"][0]["because"].as_str().unwrap();
    assert!(because.starts_with("nobody has heard of 10.1.0.78 yet"), "{because}");
    let (answer, status) = json(&cluster, "why web 10.9.0.1 tcp/80");
    assert_eq!((&answer["allowed"], status), (&false.into(), 1));
    assert!(answer["answers"][0]["because"].as_str().unwrap().starts_with("dropped as no_route"), "{answer:#}");
    for (question, words) in [
        ("why shop/wbe web tcp/80", "nothing is called \"shop/wbe\""),
        ("why wbe till tcp/80", "did you mean \"shop/web\"?"),
        ("why till web tcp/https", "web calls no TCP port \"https\""),
        ("why 10.1.0.9 fd00:1::2 tcp/80", "no addresses of one family"),
        ("why node web tcp/80", "no port has node = true"),
    ] {
        let output = ask(&cluster, question);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains(words) && output.status.code() == Some(2) && output.stdout.is_empty(),
            "{question}: {output:?}"
        );
    }
    cluster.end();
}

#[test]
fn what_policy_alone_decides_is_told_before_the_way_is_known() {
    let Some(cluster) = Cluster::start("why_unheard", &Plan::new(&MEMBERS, WEB)) else { return };
    let from_far = "NetworkPolicy lab/far: isolated for egress, no rule matches";
    let to_web = "NetworkPolicy shop/web: isolated for ingress, no rule matches";
    let allowed = "by policy; the way is not known yet: ";
    // The pod that has a say, and what it says of an address that nobody has yet.
    for (question, because, direction, denied) in [
        ("why far 10.1.0.77 tcp/80", from_far, "egress", 1),
        ("why far 10.2.0.77 tcp/80", from_far, "egress", 1),
        ("why 10.1.0.77 web tcp/80", to_web, "ingress", 1),
        ("why web 10.1.0.77 tcp/80", allowed, "egress", 0),
        ("why 10.1.0.77 till tcp/80", allowed, "ingress", 0),
    ] {
        let (answer, status) = json(&cluster, question);
        let one = &answer["answers"][0];
        assert_eq!((&answer["allowed"], status), (&(denied == 0).into(), denied), "{question}: {answer:#}");
        assert_eq!((&one["way"]["open"], &one["ends"][0]["direction"]), (&Value::Null, &direction.into()), "{one:#}");
        assert!(one["because"].as_str().unwrap().starts_with(because), "{question}: {one:#}");
    }
    cluster.end();
}

#[test]
fn a_pod_that_has_not_been_heard_is_placed_by_its_port_and_an_unknown_one_is_closed() {
    let Some(mut node) = Node::new("why_fresh") else { return };
    let pods =
        [("red", 2, "labels = { app = \"red\" }\n"), ("green", 3, "labels = { app = \"green\" }\n"), ("late", 4, "")];
    let mut text = BLUE.to_owned();
    let mut inside = Vec::new();
    for (name, host, labels) in pods {
        inside.push(node.pod(name, host));
        text += &format!("{}pod = \"shop/{name}\"\naddresses = [\"10.1.0.{host}\"]\n{labels}", port(name));
    }
    let file = node.path("shut.yaml");
    std::fs::write(&file, SHUT.replace("till", "red")).unwrap();
    node.configure(&format!("[policy]\nfiles = [\"{}\"]\n{text}", file.display()));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let ask = |question: &str| {
        let output = podlane().args(question.split(' ')).arg("--socket").arg(node.socket()).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let (said, status) = ask("why green red tcp/80");
    let denied = "denied: NetworkPolicy shop/shut: isolated for ingress, no rule matches";
    assert!(
        said.contains(denied) && said.contains("ingress     of shop/red: denied by") && status == Some(1),
        "{said}"
    );
    let (said, status) = ask("why red green tcp/80");
    assert!(said.contains("allowed: by policy; the way is not known yet: ") && status == Some(0), "{said}");
    let (said, status) = ask("why red 10.1.0.1 icmp");
    assert!(said.contains("allowed: the switch's own address, which") && status == Some(0), "{said}");
    let unknown =
        "nothing is known of pod shop/late, so it is closed (give port \"late\" its labels, or apply the Pod)";
    for (question, direction) in [("why late green tcp/80", "egress "), ("why green late tcp/80", "ingress")] {
        let (said, status) = ask(question);
        assert!(said.contains(&format!("denied: {unknown}\n")) && status == Some(1), "{said}");
        assert!(said.contains(&format!("  {direction}     of shop/late: denied: {unknown}\n")), "{said}");
        assert!(!said.contains("neither end is a pod"), "{said}");
    }
    daemon.terminate();
}

#[test]
fn policy_has_no_say_in_the_gateway_or_in_what_a_pod_says_to_itself() {
    let Some(cluster) = Cluster::start("why_beyond", &Plan::new(&MEMBERS, WEB)) else { return };
    for (question, because) in [
        ("why far 10.2.0.1 icmp", "the switch's own address, which policy has no say in"),
        ("why far far tcp/80", "a pod always reaches itself"),
    ] {
        let output = ask(&cluster, question);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("allowed: {because}\n")) && output.status.code() == Some(0), "{said}");
        assert!(said.contains(&format!("  policy      {because}\n")), "{said}");
    }
    cluster.end();
}

#[test]
fn denials_stand_under_the_rule_that_was_against_them() {
    let Some(cluster) = Cluster::start("denied", &Plan::new(&MEMBERS, WEB)) else { return };
    assert_eq!(String::from_utf8_lossy(&ask(&cluster, "policy denied").stdout), "nothing has been denied\n");
    assert_eq!(cluster.attempt(("probe", "web"), Udp(53), V4), Denied);
    let (denied, status) = json(&cluster, "policy denied");
    assert_eq!(status, 0);
    let rule = "NetworkPolicy shop/web: isolated for ingress, no rule matches";
    assert_eq!((&denied["matched"], &denied["denials"][0]["rule"]), (&1.into(), &rule.into()), "{denied:#}");
    let opening = &denied["denials"][0]["openings"][0];
    let ends = [&opening["from_pod"], &opening["to_pod"], &opening["protocol"]].map(|text| text.as_str().unwrap());
    assert_eq!((ends, &opening["port"]), (["lab/probe", "shop/web", "udp"], &53.into()));
    assert_eq!(denied["packets"], cluster.denied("probe"), "every packet that policy denied is counted");
    // Its number may be another rule's by now: it has no name, rather than a wrong one.
    cluster.policy("delete", WEB);
    let (denied, _) = json(&cluster, "policy denied");
    assert_eq!(denied["denials"][0]["rule"], Value::Null, "{denied:#}");
    cluster.end();
}

#[test]
fn connections_are_listed_with_who_opened_them_and_by_which_rule() {
    let Some(cluster) = Cluster::start("connections", &Plan::new(&MEMBERS, WEB)) else { return };
    let web = cluster.member("web").address(V4);
    let stream = TcpFlow::start(cluster.pod("till"), cluster.pod("web"), (web, 80));
    stream.flows();
    let listed = || json(&cluster, "connections --of shop/web").0;
    eventually("established", || listed()["connections"][0]["state"] == "established");
    let list = listed();
    let known = &list["connections"][0];
    let words =
        ["from_pod", "to_pod", "protocol", "rule"].map(|key| known[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(words, ["shop/till", "shop/web", "tcp", "NetworkPolicy shop/web ingress[0]"]);
    assert_eq!((&known["to_port"], &list["matched"]), (&80.into(), &1.into()), "{list:#}");
    let (why, _) = json(&cluster, "why till 10.1.0.2 tcp/80");
    assert_eq!(why["answers"][0]["connection"]["state"], "established", "{why:#}");
    assert_eq!(json(&cluster, "connections --of lab/probe").0["matched"], 0);
    let status = cluster.node.cli(&["status"]);
    assert!(status.contains("connection table: "), "{status}");
    drop(stream);
    cluster.end();
}

#[test]
fn a_table_of_connections_that_fills_up_is_told_before_it_is_full() {
    let plan = Plan { keys: "connections = 1_024\n", ..Plan::new(&MEMBERS, WEB) };
    let Some(cluster) = Cluster::start("fill", &plan) else { return };
    let warnings = || json(&cluster, "status").0["warnings"].to_string();
    assert!(!warnings().contains("connection table"), "{}", warnings());
    let till = cluster.member("till").address(V4);
    let open = || (0..100).try_for_each(|_| UdpSocket::bind("0.0.0.0:0")?.send_to(b"?", (till, 9)).map(drop));
    // A few at a time: what a burst loses in the kernel opens nothing.
    eventually("it is told", || {
        cluster.pod("probe").run(open).unwrap().unwrap();
        warnings().contains("raise `connections` under [policy]")
    });
    let table = json(&cluster, "status").0["connection_table"].take();
    assert!(table["capacity"] == 1_024 && table["used"].as_u64() > Some(768), "{table}");
    assert_eq!(table["opening"], table["used"], "nobody has answered");
    assert!(cluster.daemon().log().contains("the connection table holds"), "{}", cluster.daemon().log());
    cluster.end();
}

#[test]
fn a_test_says_what_would_change_and_changes_nothing() {
    let Some(cluster) = Cluster::start("test_live", &Plan::new(&MEMBERS, WEB)) else { return };
    let file = cluster.node.path("candidate.yaml");
    std::fs::write(&file, SHUT).unwrap();
    let (change, status) = json(&cluster, &format!("policy test {}", file.display()));
    assert_eq!((&change["changed"], status), (&true.into(), 1));
    assert_eq!(change["added"][0], "NetworkPolicy shop/shut");
    let to = change["differences"].as_array().unwrap().iter().map(|difference| &difference["to"]["pods"][0]);
    assert!(to.into_iter().all(|pod| pod == "shop/till"), "{change:#}");
    assert_eq!(cluster.attempt(("probe", "till"), Tcp(80), V4), Through);
    std::fs::write(&file, WEB).unwrap();
    assert_eq!(ask(&cluster, &format!("policy test {}", file.display())).status.code(), Some(0), "it is so already");
    cluster.end();
}

#[test]
fn both_nodes_of_a_tunnel_tell_the_way_from_their_side_and_the_verdict_of_their_own_pod() {
    let Some(two) = Two::start("why_tunnel", [OUT, IN], (V4, 1600)) else { return };
    // By who denied it: the client's node, the web's, or none.
    for service in [Tcp(80), Tcp(81), Tcp(82), Ping] {
        let (_, denied) = two.attempt("client", service, V4);
        let question = format!("why 10.1.0.2 10.1.0.3 {}", spelt(service));
        let [near, far] = [&two.0[0], &two.0[1]].map(|cluster| json(cluster, &question).0["answers"][0].take());
        assert_eq!(near["allowed"], !denied[0], "{near:#}");
        assert!(near["way"]["action"].as_str().unwrap().starts_with("encapsulate"), "{near:#}");
        assert_eq!((&near["way"]["to"]["peer"], &near["way"]["from"]["port"]), (&"other".into(), &"client".into()));
        // The web's node is asked about what the client's let through.
        if !denied[0] {
            assert_eq!(far["allowed"], !denied[1], "{far:#}");
        }
        assert_eq!(far["way"]["action"], "bridge", "{far:#}");
        assert_eq!((&far["way"]["from"]["peer"], &far["way"]["to"]["port"]), (&"other".into(), &"web".into()));
        for (answer, direction) in [(near, "egress"), (far, "ingress")] {
            let ends = answer["ends"].as_array().unwrap();
            assert!(ends.len() == 1 && ends[0]["direction"] == direction, "{answer:#}");
        }
    }
    two.end();
}

#[test]
fn without_policy_why_tells_the_way_and_the_other_questions_what_is_missing() {
    let Some(mut node) = Node::new("why_open") else { return };
    let pods = ["red", "blue"].map(|name| node.pod(name, if name == "red" { 2 } else { 3 }));
    node.configure(&(BLUE.to_owned() + &port("red") + &port("blue")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&pods[0].netns, Ipv4Addr::new(10, 1, 0, 3), SOON));
    let said = node.cli(&["why", "10.1.0.2", "10.1.0.3", "tcp/80"]);
    assert!(said.contains("allowed: no end is under policy") && said.contains("bridged out of port blue"), "{said}");
    let output = podlane().args(["policy", "denied", "--socket"]).arg(node.socket()).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("enforces no policy") && output.status.code() == Some(2), "{words}");
    daemon.terminate();
}

/// A candidate beside the live policies, once it is there.
fn shadow(cluster: &Cluster, more: &str) -> Child {
    let file = cluster.node.path("candidate.yaml");
    std::fs::write(&file, SHUT).unwrap();
    let mut shadow = command(cluster, &format!("policy shadow {} --json {more}", file.display()));
    let mut shadow = shadow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let began = BufReader::new(shadow.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(began > 0 && said.starts_with("podlane: judging beside the live policies"), "{said}");
    shadow
}

#[test]
fn a_shadow_counts_what_it_would_deny_and_denies_nothing() {
    let Some(cluster) = Cluster::start("shadow", &Plan::new(&MEMBERS, WEB)) else { return };
    // Established before the shadow begins, and seen by it all the same.
    let till = cluster.member("till").address(V4);
    let before = TcpFlow::start(cluster.pod("web"), cluster.pod("till"), (till, 81));
    before.flows();
    let shadow = shadow(&cluster, "");
    let second = ask(&cluster, &format!("policy shadow {}", cluster.node.path("candidate.yaml").display()));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another candidate is being judged already") && second.status.code() == Some(2), "{said}");
    assert_eq!(cluster.attempt(("probe", "till"), Udp(53), V4), Through);
    assert_eq!(cluster.attempt(("probe", "web"), Udp(53), V4), Denied);
    before.flows();
    kill(Pid::from_raw(shadow.id() as i32), Signal::SIGINT).unwrap();
    let output = shadow.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let differences = seen["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &seen["unlisted"]), (1, &0.into()), "{seen:#}");
    let [live, candidate] = ["live", "candidate"].map(|who| differences[0][who]["rule"].as_str().unwrap());
    assert_eq!(live, "no policy decides: open");
    assert_eq!(candidate, "NetworkPolicy shop/shut: isolated for ingress, no rule matches");
    assert!(differences[0]["count"].as_u64().unwrap() >= 2, "the one that was there, and the one that came: {seen:#}");
    assert_eq!(differences[0]["last"]["to_pod"], "shop/till");
    before.flows();
    drop(before);
    cluster.end();
}

#[test]
fn a_shadow_whose_client_is_killed_ends_by_itself() {
    let Some(cluster) = Cluster::start("shadow_lease", &Plan::new(&MEMBERS, WEB)) else { return };
    let mut left = shadow(&cluster, "");
    left.kill().unwrap();
    left.wait().unwrap();
    let file = cluster.node.path("candidate.yaml");
    let another = || ask(&cluster, &format!("policy shadow {} --seconds 1", file.display())).status.code();
    eventually("there is room for another", || another() == Some(0));
    cluster.end();
}
