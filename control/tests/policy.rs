//! Policy on the command line, from files as kubectl prints them: the answers, the messages and the exit statuses are the interface.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const CLUSTER: &str = include_str!("policy/cluster.yaml");

/// Runs where the files are, so that messages have their bare names.
fn podlane(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policy"));
    command.arg("policy").args(arguments.split_whitespace());
    // Without a cluster it is a daemon that is asked, and here there is none.
    command.env("PODLANE_SOCKET", "/nowhere/podlane.sock");
    command
}

fn run(arguments: &str) -> Output {
    podlane(arguments).output().expect("podlane runs")
}

/// Runs with something on standard input.
fn fed(arguments: &str, text: &str) -> Output {
    let mut command = podlane(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("podlane");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("podlane reads");
    child.wait_with_output().expect("podlane ends")
}

/// All that a user sees of it.
fn seen(arguments: &str) -> String {
    shown(arguments, &run(arguments))
}

fn shown(arguments: &str, output: &Output) -> String {
    let status = output.status.code().expect("an exit status");
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("$ podlane policy {arguments}\n{out}--- standard error\n{err}--- status {status}\n")
}

fn json(arguments: &str) -> serde_json::Value {
    let output = run(&format!("{arguments} --json"));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn check_counts_what_it_read_and_tells_every_mistake_and_doubt() {
    insta::assert_snapshot!("policy_check_good", seen("check cluster.yaml"));
    insta::assert_snapshot!("policy_check_bad", seen("check cluster.yaml bad.yaml"));
    insta::assert_snapshot!("policy_check_doubts", seen("check lost.yaml"));
    insta::assert_snapshot!("policy_check_no_pods", seen("check candidate.yaml"));
}

#[test]
fn why_prints_the_stages_the_rule_and_the_remedy() {
    insta::assert_snapshot!("policy_why_allowed", seen("why blue/shop blue/web tcp/8443 --cluster cluster.yaml"));
    insta::assert_snapshot!("policy_why_denied", seen("why red/probe blue/web tcp/443 --cluster cluster.yaml"));
    insta::assert_snapshot!("policy_why_tier", seen("why red/probe 10.1.0.3 icmp --cluster cluster.yaml guard.yaml"));
}

#[test]
fn a_remedy_put_beside_the_cluster_allows_what_was_denied() {
    let question = "why red/probe blue/web tcp/443 --cluster cluster.yaml";
    let answer = json(question);
    let remedy = answer["answers"][0]["ends"][1]["remedy"]["yaml"].as_str().expect("a remedy").to_owned();
    let after = fed(&format!("{question} -"), &remedy);
    assert_eq!(after.status.code(), Some(0), "{}", shown(question, &after));
    let tried = fed("test - --cluster cluster.yaml", &remedy);
    insta::assert_snapshot!("policy_test_remedy", shown("test - --cluster cluster.yaml", &tried));
}

#[test]
fn a_pods_own_node_is_let_in_by_whatever_name_it_is_asked_for() {
    for from in ["node", "red/exporter", "192.0.2.1"] {
        let answer = json(&format!("why {from} blue/web tcp/443 --cluster cluster.yaml"));
        assert_eq!(answer["answers"][0]["ends"][0]["rule"], "from the pod's own node", "{from}");
    }
    let elsewhere = json("why 192.0.2.1 red/probe tcp/443 --cluster cluster.yaml closed.yaml");
    assert_eq!(elsewhere["allowed"], false, "another node is an address like any other");
}

#[test]
fn test_prints_what_would_change_and_by_which_rules() {
    insta::assert_snapshot!("policy_test_replaced", seen("test candidate.yaml --cluster cluster.yaml"));
    insta::assert_snapshot!("policy_test_added", seen("test closed.yaml --cluster cluster.yaml"));
    insta::assert_snapshot!("policy_test_same", seen("test same.yaml --cluster cluster.yaml"));
}

#[test]
fn json_says_what_the_text_says() {
    let why = json("why red/probe blue/web tcp/443 --cluster cluster.yaml");
    insta::assert_snapshot!("policy_why_json", format!("{why:#}"));
    let test = json("test candidate.yaml --cluster cluster.yaml");
    insta::assert_snapshot!("policy_test_json", format!("{test:#}"));
}

#[test]
fn what_cannot_be_asked_is_refused_with_a_remedy() {
    let asked = [
        "check absent.yaml",
        "why red/web blue/web tcp/1 --cluster cluster.yaml",
        "why blue/web red/weeb tcp/1 --cluster cluster.yaml",
        "why red/late blue/web tcp/1 --cluster cluster.yaml",
        "why wbe blue/web tcp/1 --cluster cluster.yaml",
        "why blue/web blue/shop tcp/0 --cluster cluster.yaml",
        "why 192.0.2.9 fd00:1::2 tcp/1 --cluster cluster.yaml",
        "why node 192.0.2.9 tcp/1 --cluster cluster.yaml",
        "test cluster.yaml --cluster bad.yaml",
        "test lost.yaml --cluster cluster.yaml",
        "test - --cluster cluster.yaml -",
    ];
    insta::assert_snapshot!("policy_refused", asked.map(seen).join("\n"));
    let empty = fed("test - --cluster cluster.yaml", "");
    insta::assert_snapshot!("policy_test_nothing", shown("test - --cluster cluster.yaml", &empty));
}

#[test]
fn the_exit_status_is_the_answer() {
    for (arguments, status) in [
        ("check cluster.yaml", 0),
        ("check lost.yaml", 0),
        ("check bad.yaml", 2),
        ("check", 2),
        ("why blue/shop blue/web tcp/8443 --cluster cluster.yaml", 0),
        ("why blue/shop blue/web tcp/8443 --cluster cluster.yaml --json", 0),
        ("why blue/shop blue/web udp/8443 --cluster cluster.yaml", 1),
        ("why blue/shop blue/web udp/8443 --cluster cluster.yaml --json", 1),
        ("why blue/web blue/web udp/1 --cluster cluster.yaml", 0),
        ("why shop web tcp/https --cluster cluster.yaml", 0),
        ("why shop web udp/https --cluster cluster.yaml", 2),
        ("why probe web tcp/https --cluster cluster.yaml", 1),
        ("why blue/shop blue/web tcp/8443", 2),
        ("why blue/shop blue/web https --cluster cluster.yaml", 2),
        ("test same.yaml --cluster cluster.yaml", 0),
        ("test candidate.yaml --cluster cluster.yaml", 1),
        ("test bad.yaml --cluster cluster.yaml", 2),
        ("test candidate.yaml", 2),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(status), "{}", shown(arguments, &output));
        let answered = status < 2;
        assert_eq!(!output.stdout.is_empty(), answered, "an answer stands on standard output, and nothing else does");
    }
}

#[test]
fn the_answers_in_the_document_are_the_real_ones() {
    let document = include_str!("../../docs/operating.md");
    let question = "why red/probe blue/web tcp/443 --cluster cluster.yaml";
    let remedy = json(question)["answers"][0]["ends"][1]["remedy"]["yaml"].as_str().expect("a remedy").to_owned();
    for output in [run(question), fed("test - --cluster cluster.yaml", &remedy)] {
        let block = format!("```text\n{}```\n", String::from_utf8_lossy(&output.stdout));
        assert!(document.contains(&block), "docs/operating.md should show:\n{block}");
    }
}

#[test]
fn what_kubectl_prints_can_be_piped_in() {
    let output = fed("why blue/shop blue/web udp/53 --cluster -", CLUSTER);
    assert_eq!(output.status.code(), Some(1));
    let broken = fed("check -", "kind: [");
    assert!(String::from_utf8_lossy(&broken.stderr).starts_with("stdin:2: "), "{broken:?}");
}

#[test]
fn a_reader_that_has_enough_gets_the_status_still() {
    let mut command = podlane("why blue/shop blue/web udp/53 --cluster -");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("podlane");
    drop(child.stdout.take());
    child.stdin.take().expect("its input").write_all(CLUSTER.as_bytes()).expect("podlane reads");
    let output = child.wait_with_output().expect("podlane ends");
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(1), true));
}

#[test]
fn help_says_where_an_answer_comes_from() {
    let help = run("--help");
    let words = "With --cluster why and test answer from files, and no daemon is asked.";
    assert!(String::from_utf8_lossy(&help.stdout).contains(words));
}
