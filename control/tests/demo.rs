//! The demo over the real switches: pods of one under a policy; two daemons in namespaces of their own with a plain Linux kernel as
//! the third; and nothing left of it in the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

fn podlane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane"));
    command.env_remove("PODLANE_SOCKET").env_remove("PODLANE_LOG");
    command
}

/// A demo, killed if the test forgets it.
struct Demo(Child);

impl Demo {
    /// Starts one that stays up, and comes back when it has played.
    fn keep(options: &[&str]) -> Self {
        let mut command = podlane();
        command.args(["demo", "--json", "--keep"]).args(options);
        let mut demo = Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("podlane runs"));
        let mut told = BufReader::new(demo.0.stderr.take().expect("its messages"));
        let mut messages = String::new();
        while !messages.contains("press Ctrl-C") {
            assert!(told.read_line(&mut messages).expect("its messages") > 0, "the demo ended: {messages}");
        }
        demo
    }

    /// Presses Ctrl-C; what a demo that went well reports.
    fn end(mut self) -> Value {
        kill(Pid::from_raw(self.0.id().try_into().expect("a pid")), Signal::SIGINT).expect("the demo is there");
        let mut stdout = String::new();
        self.0.stdout.take().expect("its answer").read_to_string(&mut stdout).expect("its answer");
        let status = self.0.wait().expect("the demo ends");
        let report: Value = serde_json::from_str(&stdout).expect("one object");
        assert_eq!((status.code(), &report["ok"]), (Some(0), &Value::Bool(true)), "{}", report["failures"]);
        report
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every name that a kept demo gives.
fn names(process: u32) -> Vec<PathBuf> {
    let inside = ["red", "green", "blue", "gray", "node1", "node2", "linux"];
    let pinned = inside.map(|name| format!("/run/netns/podlane-{process}-{name}"));
    let sockets = ["node1", "node2"].map(|node| format!("/run/podlane-demo-{process}/{node}.sock"));
    pinned.into_iter().chain(sockets).map(PathBuf::from).collect()
}

#[test]
fn a_number_of_nodes_without_a_demo_is_refused_by_name() {
    for refused in ["0", "3", "two"] {
        let output = podlane().args(["demo", "--nodes", refused]).output().expect("podlane runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(&format!("{refused:?} is not a number of nodes that there is a demo of")), "{told}");
    }
}

#[test]
fn a_core_that_is_not_there_is_a_wrong_argument() {
    for nodes in ["1", "2"] {
        let output = podlane().args(["demo", "--core", "99999", "--nodes", nodes]).output().expect("podlane runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("core 99999 is not one this process may use: choose --core from"), "{told}");
    }
}

#[test]
fn two_nodes_and_a_plain_kernel_all_reach_all_and_leave_nothing() {
    if !geteuid().is_root() {
        let test = "two_nodes_and_a_plain_kernel_all_reach_all_and_leave_nothing";
        let _ = writeln!(std::io::stderr(), "skipped: {test}: making network namespaces needs root");
        return;
    }
    let demo = Demo::keep(&["--nodes", "2", "--seconds", "1"]);
    let process = demo.0.id();
    for name in names(process) {
        assert!(name.exists(), "{}", name.display());
    }
    let socket = format!("/run/podlane-demo-{process}/node1.sock");
    let tunnels = podlane().args(["tunnels", "--json", "--socket", &socket]).output().expect("podlane runs");
    let tunnels = String::from_utf8_lossy(&tunnels.stdout).into_owned();
    assert!(tunnels.contains("192.0.2.2") && tunnels.contains("192.0.2.3"), "{tunnels}");

    let report = demo.end();
    check(&report);
    for name in names(process) {
        assert!(!name.exists(), "{}", name.display());
    }
}

/// What every good run has found.
fn check(report: &Value) {
    let all = |list: &str| report[list].as_array().expect("a list").clone();
    assert_eq!((all("steps").len(), all("too_large").len(), all("host").len()), (30, 5, 4));
    assert!(all("too_large").iter().all(|probe| probe["told_mtu"] == 1450), "{}", report["too_large"]);
    assert!(all("host").iter().all(|host| host["answers"].as_u64() > Some(20)), "{}", report["host"]);
    let nodes = all("nodes");
    let names: Vec<&str> = nodes.iter().filter_map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["node1", "node2", "linux"]);
    for node in &nodes[..2] {
        let ledger = &node["ledger"];
        let dropped: u64 = ledger["dropped"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
        let of = |what: &str| ledger[what].as_u64().expect("a count");
        assert_eq!(of("received"), of("sent") + dropped + of("held"), "{ledger}");
        assert_eq!(ledger["dropped"]["outer_checksum"].as_u64().unwrap_or(0), 0, "{ledger}");
    }
}

/// A question to the switch of a kept demo: its answer, and the exit status.
fn ask(socket: &str, question: &[&str]) -> (Value, Option<i32>) {
    let output = podlane().args(question).args(["--json", "--socket", socket]).output().expect("podlane runs");
    (serde_json::from_slice(&output.stdout).expect("one object"), output.status.code())
}

#[test]
fn pods_are_held_to_a_policy_that_is_applied_while_they_talk_and_every_question_agrees() {
    if !geteuid().is_root() {
        let test = "pods_are_held_to_a_policy_that_is_applied_while_they_talk_and_every_question_agrees";
        let _ = writeln!(std::io::stderr(), "skipped: {test}: making network namespaces needs root");
        return;
    }
    let demo = Demo::keep(&["--seconds", "0.3"]);
    let socket = format!("/run/podlane-demo-{}/podlane.sock", demo.0.id());
    let (allowed, status) = ask(&socket, &["why", "demo/green", "demo/red", "tcp/8080"]);
    assert_eq!((&allowed["allowed"], status), (&Value::Bool(true), Some(0)), "{allowed}");
    let (denied, status) = ask(&socket, &["why", "demo/blue", "demo/red", "tcp/8080"]);
    assert_eq!((&denied["allowed"], status), (&Value::Bool(false), Some(1)), "{denied}");
    let (denials, _) = ask(&socket, &["policy", "denied"]);
    let rule = "NetworkPolicy demo/red-from-green: isolated for ingress, no rule matches";
    assert_eq!(denials["denials"][0]["rule"], rule, "{denials}");

    let report = demo.end();
    let policy = &report["policy"];
    assert_eq!([&policy["ok"], &policy["allowed"]["ok"], &policy["denied"]["ok"]], [true; 3], "{policy}");
    assert_eq!(policy["denied"]["rule"], rule);
    let denied = report["ledger"]["dropped"]["policy_denied"].as_u64();
    assert_eq!((denied, denials["packets"].as_u64()), (policy["denied"]["denied"].as_u64(), denied), "{policy}");
}
