//! No daemon: what the plugin must decide by itself.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use podlane_api::{Call, Pending};
use serde_json::{Value, json};

use crate::runtime::{List, Said, ours, run, shim};
use crate::support::Node;

const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

fn call(node: &Node, verb: &str, config: &Value) -> Said {
    let variables = [
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "4f2a"),
        ("CNI_NETNS", "/run/netns/none"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    run(node, shim(), &variables, &config.to_string())
}

fn config(node: &Node, version: &'static str) -> Value {
    let list = List::new(node, version, vec![ours(node)]);
    list.config(&list.plugins[0], None)
}

#[test]
fn version_needs_no_daemon_and_is_answered_in_kind() {
    let Some(node) = Node::new("cni_version") else { return };
    for version in VERSIONS {
        let answer = call(&node, "VERSION", &json!({"cniVersion": version})).result();
        assert_eq!(answer, json!({"cniVersion": version, "supportedVersions": VERSIONS}));
    }
    let answer = run(&node, shim(), &[("CNI_COMMAND", "VERSION")], "").result();
    assert_eq!(answer["supportedVersions"], json!(VERSIONS));
}

#[test]
fn add_and_check_are_to_be_tried_again_and_status_is_not_available() {
    let Some(node) = Node::new("cni_silence") else { return };
    for (verb, code) in [("ADD", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)] {
        let said = call(&node, verb, &config(&node, "1.1.0"));
        assert_eq!(said.code(), code, "{verb}");
        assert_eq!(said.said["cniVersion"], "1.1.0");
        assert!(said.details().contains("start \"podlane run\""), "{verb}: {said:?}");
    }
    assert!(!node.path("pending").exists(), "nothing of these is written down");
}

#[test]
fn del_succeeds_and_is_written_down_once() {
    let Some(node) = Node::new("cni_del_silence") else { return };
    let config = config(&node, "1.0.0");
    for _ in 0..3 {
        assert_eq!(call(&node, "DEL", &config), Said { is_ok: true, said: Value::Null });
    }
    let calls = Pending::at(node.path("pending")).calls().unwrap();
    let [pending] = &calls[..] else { panic!("{calls:?}") };
    let Call::Cni(written) = &pending.call else { panic!("{pending:?}") };
    assert_eq!(
        (written.command.as_str(), written.container_id.as_str(), written.ifname.as_str()),
        ("DEL", "4f2a", "eth0")
    );
    assert_eq!(serde_json::from_str::<Value>(&written.config).unwrap(), config);
    assert_eq!(fs::metadata(node.path("pending")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn del_that_cannot_be_written_down_is_to_be_tried_again() {
    let Some(node) = Node::new("cni_del_nowhere") else { return };
    fs::write(node.path("pending"), "a file").unwrap();
    let said = call(&node, "DEL", &config(&node, "1.0.0"));
    assert_eq!(said.code(), 11);
    assert!(said.details().contains("pending"), "{said:?}");
}

#[test]
fn a_socket_that_nobody_answers_is_given_up() {
    let Some(node) = Node::new("cni_hung") else { return };
    // Takes the call, and closes without an answer: a daemon that dies over it, each time.
    let listener = UnixListener::bind(node.socket()).unwrap();
    let dying = std::thread::spawn(move || {
        let mut taken = 0;
        while let Ok((mut stream, _)) = listener.accept() {
            let mut heard = [0; 4096];
            let count = stream.read(&mut heard).unwrap();
            if heard[..count].starts_with(b"end") {
                return taken;
            }
            taken += 1;
        }
        taken
    });
    let _ = shim();
    let began = Instant::now();
    assert_eq!(call(&node, "ADD", &config(&node, "1.0.0")).code(), 11);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(call(&node, "DEL", &config(&node, "1.0.0")).is_ok);
    UnixStream::connect(node.socket()).unwrap().write_all(b"end").unwrap();
    assert!(dying.join().unwrap() >= 3, "ADD asks again, and so does DEL, once");
    assert_eq!(Pending::at(node.path("pending")).calls().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_a_call_is_refused_before_anybody_is_asked() {
    let Some(node) = Node::new("cni_nonsense") else { return };
    for text in ["", "{", "[]", "\"x\"", "{\"cniVersion\": 1}"] {
        let said = run(&node, shim(), &[("CNI_COMMAND", "ADD")], text);
        assert_eq!(said.code(), 6, "{text}");
        assert_eq!(said.said["cniVersion"], "1.1.0");
    }
    let said = run(&node, shim(), &[], "{\"cniVersion\": \"0.4.0\"}");
    assert_eq!((said.code(), said.said["cniVersion"].as_str()), (4, Some("0.4.0")));
    let said = run(&node, shim(), &[("CNI_COMMAND", "ADD")], &" ".repeat(9 * 1024 * 1024));
    assert_eq!(said.code(), 5);
}

/// netavark's plugin protocol: a verb, a namespace perhaps, and standard input.
fn netavark(node: &Node, arguments: &[&str], input: &str) -> (Option<i32>, Value) {
    let run = || {
        let mut child = Command::new(shim())
            .args(arguments)
            .env("PODLANE_SOCKET", node.socket())
            .env("PODLANE_PENDING", node.path("pending"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // One that wants no input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = node.lab.switch().run(run).unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

#[test]
fn netavark_is_told_what_is_wrong_and_its_teardown_waits_for_a_daemon() {
    let Some(node) = Node::new("netavark_silence") else { return };
    let (status, info) = netavark(&node, &["info"], "");
    assert_eq!((status, info["api_version"].as_str()), (Some(0), Some("1.0.0")));
    for arguments in [vec!["create"], vec!["setup", "/run/netns/none"], vec!["setup"], vec!["teardown"], vec!["fly"]] {
        let (status, said) = netavark(&node, &arguments, "{}");
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(said["error"].as_str().is_some_and(|error| error.ends_with(')')), "{arguments:?}: {said}");
    }
    assert!(!node.path("pending").exists());
    assert_eq!(netavark(&node, &["teardown", "/run/netns/none"], "{\"a\":1}"), (Some(0), Value::Null));
    let calls = Pending::at(node.path("pending")).calls().unwrap();
    let [pending] = &calls[..] else { panic!("{calls:?}") };
    let Call::Netavark(written) = &pending.call else { panic!("{pending:?}") };
    assert_eq!((written.verb.as_str(), written.netns.as_str()), ("teardown", "/run/netns/none"));
    assert_eq!(written.input, "{\"a\":1}");
}
