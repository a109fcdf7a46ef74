//! Policies of a running daemon: configured, applied, deleted, refused, and changed a thousand times a second.

use std::fs;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use podlane_api::{Client, ClientError, Manifest, Manifests, PolicyApplied, Refusal};
use podlane_host::lab::Pod;

use crate::support::{BLUE, Node, SOON, eventually, ping, podlane};

/// How long nothing may answer to be taken for denied: an answer takes a millisecond.
const DENIED: Duration = Duration::from_millis(250);

const GREEN: [u8; 4] = [10, 1, 0, 3];

/// Closes `green`, but for what is labelled `app: friend`.
const CLOSED: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: green, namespace: blue}\n\
    spec:\n  podSelector: {matchLabels: {app: green}}\n  ingress:\n  - from: [{podSelector: {matchLabels: {app: friend}}}]\n";

fn labelled(app: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: red, namespace: blue, labels: {{app: {app}}}}}\n")
}

/// Two pods under policy, `red` and `green`.
fn policed(node: &mut Node, policy: &str) -> [Pod; 2] {
    let pods = [("red", 2), ("green", 3)].map(|(name, host)| node.pod(name, host));
    let port = |(name, host): (&str, u8)| {
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.{host}\", \"fd00:1::{host}\"]\n\
             pod = \"blue/{name}\"\nlabels = {{ app = \"{name}\" }}\n"
        )
    };
    node.configure(&format!("{policy}{BLUE}{}", [("red", 2), ("green", 3)].map(port).concat()));
    pods
}

fn client(node: &Node) -> Client {
    Client::connect(&node.socket(), SOON).unwrap()
}

fn manifests(yaml: &str, wait: bool) -> Manifests {
    Manifests { files: vec![Manifest { from: "given.yaml".to_owned(), yaml: yaml.to_owned() }], wait }
}

fn apply(node: &Node, yaml: &str) -> Result<PolicyApplied, ClientError> {
    client(node).apply_policy(manifests(yaml, true))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_change_is_in_force_for_open_flows_too_when_it_is_answered() {
    let Some(mut node) = Node::new("a_policy_in_force_when_answered") else { return };
    let [red, _green] = policed(&mut node, "[policy]\n");
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, GREEN, SOON), "no policy decides, and pods are open");

    let file = node.path("closed.yaml");
    fs::write(&file, CLOSED).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(node.cli(&["policy", "apply", file]), "applied: NetworkPolicy blue/green\nin force in every worker\n");
    assert!(!ping(&red.netns, GREEN, DENIED));
    let listed = node.cli(&["policy", "list"]);
    assert!(listed.contains("blue/green") && listed.contains(&format!("{file}:1")), "{listed}");
    assert!(daemon.counters().total.dropped["policy_denied"] > 0);

    // A label is enough, and so is its end.
    assert!(apply(&node, &labelled("friend")).unwrap().in_force);
    assert!(ping(&red.netns, GREEN, SOON));
    client(&node).delete_policy(manifests(&labelled("friend"), true)).unwrap();
    assert!(!ping(&red.netns, GREEN, DENIED));

    assert_eq!(node.cli(&["policy", "delete", file]), "deleted: NetworkPolicy blue/green\nin force in every worker\n");
    assert!(ping(&red.netns, GREEN, SOON));
    assert!(node.cli(&["policy", "list"]).starts_with("no policies: every pod that is known is open\n"));
    daemon.terminate();
}

#[test]
fn files_are_in_force_from_the_first_packet_and_tell_their_mistakes_before() {
    let Some(mut node) = Node::new("files_of_policies") else { return };
    let directory = node.path("policy.d");
    fs::create_dir(&directory).unwrap();
    let [red, _green] = policed(&mut node, &format!("[policy]\nfiles = [\"{}\"]\n", directory.display()));
    let (config, bad) = (node.path("podlane.toml"), directory.join("closed.yaml"));
    let mistake = format!("{}:5: NetworkPolicy blue/green: unknown field \"podselector\"", bad.display());

    fs::write(&bad, CLOSED.replace("podSelector: {matchLabels: {app: green}}", "podselector: {}")).unwrap();
    let checked = podlane().arg("check").arg(&config).output().unwrap();
    for output in [checked, node.refused(&config)] {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains(&mistake), "{}", stderr(&output));
    }
    node.assert_clean(&["red", "green"]);

    fs::write(&bad, CLOSED).unwrap();
    let checked = podlane().arg("check").arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.ends_with("1 policy, 2 pods\n"), "{said}");
    let doubt = format!("{}:1: warning: NetworkPolicy blue/green: ingress[0] has a peer that no pod is", bad.display());
    assert!(stderr(&checked).contains(&doubt), "{}", stderr(&checked));

    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(!ping(&red.netns, GREEN, DENIED));
    assert!(daemon.logged(&["NetworkPolicy blue/green", "has a peer that no pod is"]));
    daemon.terminate();
}

#[test]
fn what_is_refused_is_told_whole_and_changes_nothing() {
    let Some(mut node) = Node::new("a_policy_refused") else { return };
    let [red, _green] = policed(&mut node, "[policy]\n");
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, GREEN, SOON));
    let generation = daemon.status().generation;

    let bad = format!("{CLOSED}---\n{}", CLOSED.replace("name: green", "name: other").replace("from", "form"));
    let Err(ClientError::Refused(Refusal::BadPolicy { findings })) = apply(&node, &bad) else { panic!("it was taken") };
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        matches!(told.as_slice(), [one] if one.starts_with("given.yaml:15: NetworkPolicy blue/other: unknown field \"form\"")),
        "{told:?}"
    );

    let file = node.path("bad.yaml");
    fs::write(&file, &bad).unwrap();
    let output = podlane().args(["policy", "apply"]).arg(&file).arg("--socket").arg(node.socket()).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    assert!(stderr(&output).starts_with(&format!("{}:15: ", file.display())), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("podlane: 1 mistake, and nothing is changed\n"), "{}", stderr(&output));

    let gone = client(&node).delete_policy(manifests(CLOSED, true));
    assert!(matches!(gone, Err(ClientError::Refused(Refusal::BadPolicy { .. }))), "{gone:?}");
    std::thread::sleep(DENIED);
    assert_eq!((daemon.status().generation, client(&node).policies().unwrap().policies.len()), (generation, 0));
    assert!(ping(&red.netns, GREEN, SOON));

    // Doubtful is not wrong.
    let lost = apply(&node, &CLOSED.replace("app: green", "app: grene")).unwrap();
    let told: Vec<&str> = lost.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert!(told[0].starts_with("selects no pod at present") && told.len() == 2, "{told:?}");
    daemon.terminate();
}

#[test]
fn a_pod_that_nobody_describes_is_closed_and_the_status_says_so() {
    let Some(mut node) = Node::new("a_pod_nobody_describes") else { return };
    let late = node.pod("late", 4);
    let port = "[[port]]\nname = \"late\"\ndevice = \"late\"\nnetwork = \"blue\"\naddresses = [\"10.1.0.4\"]\npod = \"blue/late\"\n\
        [[port]]\nname = \"green\"\ndevice = \"green\"\nnetwork = \"blue\"\n";
    let _green = node.pod("green", 3);
    node.configure(&format!("[policy]\n{BLUE}{port}"));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(!ping(&late.netns, GREEN, DENIED));
    assert!(matches!(daemon.warnings().as_slice(), [one] if one.starts_with("nothing is known of pod blue/late")));
    assert_eq!(client(&node).policies().unwrap().unknown_pods, ["blue/late"]);
    assert!(daemon.logged(&["nothing is known of pod blue/late"]));

    // An address that is not its port's is refused, and one that is left out is the port's.
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: late, namespace: blue}\n";
    let stray = apply(&node, &format!("{pod}status: {{podIP: 10.1.0.9}}\n"));
    assert!(matches!(stray, Err(ClientError::Refused(Refusal::BadPolicy { .. }))), "{stray:?}");
    apply(&node, pod).unwrap();
    assert!(ping(&late.netns, GREEN, SOON));
    assert_eq!(daemon.warnings(), [""; 0]);
    daemon.terminate();
}

#[test]
fn a_daemon_without_policy_says_so_and_its_ports_are_open() {
    let Some(mut node) = Node::new("a_daemon_without_policy") else { return };
    let [red, _green] = policed(&mut node, "");
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(ping(&red.netns, GREEN, SOON));
    assert!(matches!(apply(&node, CLOSED), Err(ClientError::Refused(Refusal::NoPolicy))));
    daemon.terminate();
}

#[test]
fn a_storm_of_labels_blocks_neither_the_workers_nor_the_socket() {
    const ROUNDS: u32 = 2_000;
    let Some(mut node) = Node::alone("a_storm_of_labels") else { return };
    let [red, _green] = policed(&mut node, "[policy]\n");
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    apply(&node, CLOSED).unwrap();
    apply(&node, &labelled("friend")).unwrap();
    assert!(ping(&red.netns, GREEN, SOON));
    let before = daemon.status();

    let over = AtomicBool::new(false);
    let began = Instant::now();
    let (answered, slowest) = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut client = client(&node);
            for round in 0..ROUNDS {
                let due = began + Duration::from_millis(1) * round;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let app = if round % 2 == 0 { "friend" } else { "stranger" };
                client.apply_policy(manifests(&labelled(app), false)).unwrap();
            }
            over.store(true, Ordering::Relaxed);
        });
        let (mut answered, mut slowest) = (0, Duration::ZERO);
        while !over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            daemon.status();
            slowest = slowest.max(asked.elapsed());
            // The gateway is no pod, and open: a worker that turns answers for it.
            answered += u32::from(ping(&red.netns, [10, 1, 0, 1], Duration::from_secs(1)));
        }
        storm.join().unwrap();
        (answered, slowest)
    });
    let (took, after) = (began.elapsed(), daemon.status());
    let publications = after.generation - before.generation;
    assert!(answered > 10 && slowest < Duration::from_secs(2), "{answered} answers, the slowest in {slowest:?}");
    let most = took.as_millis() as u64 / 100 + 3;
    assert!((1..=most).contains(&publications), "{publications} publications in {took:?}");
    assert!(after.workers[0].turns > before.workers[0].turns);

    // The last word counts.
    apply(&node, &labelled("stranger")).unwrap();
    assert!(!ping(&red.netns, GREEN, DENIED));
    apply(&node, &labelled("friend")).unwrap();
    eventually("the friend is let in", || ping(&red.netns, GREEN, DENIED));
    daemon.counters();
    daemon.terminate();
}
