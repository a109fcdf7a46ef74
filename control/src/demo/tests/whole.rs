//! The demo from beginning to end, each in a process of its own: the test binary runs itself.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, setuid};
use podlane_api::{Ledger, PolicyApplied, Port, Why, WhyQuery};
use podlane_host::{Links, Netns};
use serde_json::Value;

use super::kernel_bridge::KernelBridge;
use super::skipped;
use crate::demo::pods::Family;
use crate::demo::{Nodes, Options, Switch, SwitchError, SwitchPlan, status};

/// Tells the child which demo to be; without it the child is an ordinary ignored test.
const CHILD: &str = "PODLANE_DEMO_CHILD";

/// A switch that panics when it is asked, and says when it is dropped.
struct Panicking;

impl Switch for Panicking {
    fn ports(&self) -> Result<Vec<Port>, SwitchError> {
        panic!("asked for ports")
    }

    fn ledger(&self) -> Result<Ledger, SwitchError> {
        unreachable!("ports are asked for first")
    }

    fn apply_policy(&self, _: &str, _: &str) -> Result<PolicyApplied, SwitchError> {
        Err(SwitchError::Ask("not that either".into()))
    }

    fn why(&self, _: &WhyQuery) -> Result<Why, SwitchError> {
        unreachable!("nothing was applied")
    }

    fn stop(self: Box<Self>) -> Result<(), SwitchError> {
        Ok(())
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        eprintln!("switch let go");
    }
}

fn panicking(plan: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
    let _carries = KernelBridge::start(plan)?;
    Ok(Box::new(Panicking))
}

/// Starts the first node's switch, and panics at the second one's.
fn panicking_at_the_second(SwitchPlan { config, .. }: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
    assert!(config.contains("-node1\"\n"), "no second switch");
    Ok(Box::new(Panicking))
}

fn without_ipv6_routes(_: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
    KernelBridge::routing(&[Family::V4])
}

fn refusing(_: SwitchPlan) -> Result<Box<dyn Switch>, SwitchError> {
    Err(SwitchError::Start("no such luck".into()))
}

#[test]
#[ignore = "the other side of the tests in this file"]
fn child() {
    let Ok(kind) = env::var(CHILD) else { return };
    let seconds = if kind.contains("long") { "300" } else { "0.6" }.parse().unwrap();
    let (json, keep) = (kind.contains("json"), kind.contains("keep"));
    let nodes = if kind.contains("nodes") { Nodes::Two } else { Nodes::One };
    let options = Options { seconds, nodes, core: None, json, keep };
    if kind.contains("unprivileged") {
        setuid(Uid::from_raw(65534)).unwrap();
    }
    let status = match kind.as_str() {
        kind if kind.contains("second") => status(&options, panicking_at_the_second),
        kind if kind.contains("panicking") => status(&options, panicking),
        kind if kind.contains("unrouted") => status(&options, without_ipv6_routes),
        kind if kind.contains("lawless") => status(&options, KernelBridge::lawless),
        kind if kind.contains("refusing") => status(&options, refusing),
        _ => status(&options, KernelBridge::start),
    };
    std::process::exit(status.into());
}

/// A demo in a process of its own.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Demo {
    fn start(kind: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "demo::tests::whole::child", "--ignored", "--nocapture"])
            .env(CHILD, kind)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// What it wrote to both, and how it ended. What it writes fits the pipes.
    fn end(mut self) -> (String, String, ExitStatus) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(leftovers(self.child.id()), Vec::<PathBuf>::new(), "{stderr}");
        (stdout, stderr, status)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // a test that failed half-way leaves no demo behind; one that ended is not there to be killed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines until one contains `wanted`.
fn read_until(lines: &mut impl BufRead, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        assert_ne!(lines.read_line(&mut read).unwrap(), 0, "ended without {wanted:?}: {read}");
    }
    read
}

/// Every name a demo may give outside its own namespaces.
fn names(process: u32) -> Vec<PathBuf> {
    let pods = ["red", "green", "blue"].map(|pod| format!("/run/netns/podlane-{process}-{pod}"));
    pods.into_iter().chain([format!("/run/podlane-demo-{process}")]).map(PathBuf::from).collect()
}

fn leftovers(process: u32) -> Vec<PathBuf> {
    names(process).into_iter().filter(|path| path.exists()).collect()
}

/// The one JSON object of a child's output, among what the test harness prints.
fn object(stdout: &str) -> Value {
    let objects: Vec<_> = stdout.lines().filter_map(|line| line.find('{').map(|at| &line[at..])).collect();
    assert_eq!(objects.len(), 1, "{stdout}");
    serde_json::from_str(objects[0]).unwrap()
}

#[test]
fn every_step_passes_over_a_switch_that_carries_and_two_demos_do_not_meet() {
    if skipped("every_step_passes_over_a_switch_that_carries_and_two_demos_do_not_meet") {
        return;
    }
    let links_before = links_here();
    let demos = [Demo::start("json"), Demo::start("json")];
    for demo in demos {
        let (stdout, stderr, status) = demo.end();
        let report = object(&stdout);
        assert_eq!((status.code(), &report["ok"]), (Some(0), &Value::Bool(true)), "{stderr}");
        for figure in ["tcp_gbps", "udp_pps"] {
            assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}");
        }
        let rtt = ["p50", "p99", "p999"].map(|at| report["rtt_us"][at].as_f64().unwrap());
        assert!(0.0 < rtt[0] && rtt[0] <= rtt[1] && rtt[1] <= rtt[2], "{rtt:?}");
        let steps = report["steps"].as_array().unwrap();
        assert_eq!((steps.len(), report["ports"].as_array().unwrap().len()), (16, 3));
        let policy = &report["policy"];
        assert_eq!([&policy["ok"], &policy["allowed"]["goes_on"], &policy["denied"]["goes_on"]], [true, true, false]);
        assert!(policy["allowed"]["opened_ms"].as_f64().unwrap() < 500.0);
        assert_eq!(policy["denied"]["opened_ms"], Value::Null);
        assert_eq!(policy["denied"]["why"]["allowed"], false);
    }
    assert_eq!(links_here(), links_before);
}

fn links_here() -> Vec<String> {
    Links::open().unwrap().list().unwrap().into_iter().map(|link| link.name).collect()
}

#[test]
fn a_failing_step_is_told_with_its_reason_and_the_rest_go_on() {
    if skipped("a_failing_step_is_told_with_its_reason_and_the_rest_go_on") {
        return;
    }
    let (stdout, stderr, status) = Demo::start("json unrouted").end();
    let report = object(&stdout);
    assert_eq!((status.code(), &report["ok"]), (Some(1), &Value::Bool(false)), "{stderr}");
    let failed: Vec<_> = report["steps"].as_array().unwrap().iter().filter(|step| step["ok"] == false).collect();
    assert!(failed.iter().all(|step| step["from"] == "blue" && step["family"] == "IPv6"), "{failed:?}");
    let what: Vec<_> = failed.iter().map(|step| step["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["echo", "echo", "tcp", "udp"]);
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 4, "{failures:?}");
    let last = failures[3].as_str().unwrap();
    assert!(last.starts_with("udp blue to green over IPv6: none of "), "{last}");
    assert!(report["tcp_gbps"].as_f64().unwrap() > 0.0, "what worked is still measured");
}

#[test]
fn a_switch_that_does_not_hold_to_the_policy_is_told_and_the_pair_that_is_allowed_is_not() {
    if skipped("a_switch_that_does_not_hold_to_the_policy_is_told_and_the_pair_that_is_allowed_is_not") {
        return;
    }
    let (stdout, stderr, status) = Demo::start("json lawless").end();
    let report = object(&stdout);
    assert_eq!((status.code(), &report["policy"]["ok"]), (Some(1), &Value::Bool(false)), "{stderr}");
    assert_eq!([&report["policy"]["allowed"]["ok"], &report["policy"]["denied"]["ok"]], [true, false]);
    let failures = report["failures"].as_array().unwrap();
    let told = failures[0].as_str().unwrap();
    assert_eq!(failures.len(), 1);
    assert!(told.starts_with("policy, tcp/8080 blue to red over IPv4: the connection from before"), "{told}");
}

#[test]
fn a_switch_that_does_not_start_is_the_one_thing_told() {
    if skipped("a_switch_that_does_not_start_is_the_one_thing_told") {
        return;
    }
    let (stdout, stderr, status) = Demo::start("json refusing").end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(object(&stdout)["failures"][0], "the switch did not start: no such luck");
    assert!(stderr.contains("podlane demo: the switch did not start: no such luck"), "{stderr}");
}

#[test]
fn without_root_one_sentence_says_what_to_do() {
    if skipped("without_root_one_sentence_says_what_to_do") {
        return;
    }
    let (_, stderr, status) = Demo::start("unprivileged").end();
    assert_eq!(status.code(), Some(1));
    let sentence = "podlane demo needs root, to make network namespaces and AF_XDP sockets: run it with sudo";
    assert_eq!(stderr.trim(), format!("podlane demo: {sentence}"));
}

#[test]
fn ctrl_c_ends_a_run_soon_and_reports_what_there_is() {
    if skipped("ctrl_c_ends_a_run_soon_and_reports_what_there_is") {
        return;
    }
    let mut demo = Demo::start("json long keep");
    read_until(&mut demo.stderr, "switch started");
    let told = Instant::now();
    demo.signal(Signal::SIGINT);
    let (stdout, _, status) = demo.end();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert_eq!(status.code(), Some(130));
    let report = object(&stdout);
    assert_eq!(report["ok"], false);
    let failures = report["failures"].as_array().unwrap();
    assert!(failures.contains(&"interrupted before every step had run".into()), "{failures:?}");
}

#[test]
fn a_panic_takes_the_switch_and_every_name_with_it() {
    if skipped("a_panic_takes_the_switch_and_every_name_with_it") {
        return;
    }
    let (_, stderr, status) = Demo::start("panicking keep").end();
    assert_eq!(status.code(), Some(101), "the harness's status for a panic");
    assert!(stderr.contains("asked for ports") && stderr.contains("switch let go"), "{stderr}");
}

#[test]
fn a_panic_at_the_second_node_takes_the_first_with_it() {
    if skipped("a_panic_at_the_second_node_takes_the_first_with_it") {
        return;
    }
    let (_, stderr, status) = Demo::start("nodes second keep").end();
    assert_eq!(status.code(), Some(101), "the harness's status for a panic");
    assert!(stderr.contains("no second switch") && stderr.contains("switch let go"), "{stderr}");
}

#[test]
fn a_kept_demo_can_be_entered_by_name_until_it_is_told_to_go() {
    if skipped("a_kept_demo_can_be_entered_by_name_until_it_is_told_to_go") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut demo = Demo::start("keep");
        let process = demo.child.id();
        let stdout = read_until(&mut demo.stdout, "press Ctrl-C");
        for command in [
            format!("ip netns exec podlane-{process}-red ping 10.77.0.12"),
            format!("podlane ports --socket /run/podlane-demo-{process}/podlane.sock"),
        ] {
            assert!(stdout.contains(&command), "{stdout}");
        }
        for path in names(process) {
            assert!(path.exists(), "{}", path.display());
        }
        let red = Netns::open(Path::new("/run/netns").join(format!("podlane-{process}-red"))).unwrap();
        assert!(Links::open_in(&red).unwrap().by_name("eth0").unwrap().up);
        demo.signal(signal);
        let (_, stderr, status) = demo.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }
}

#[test]
fn sigkill_leaves_no_name_behind_when_none_was_asked_for() {
    if skipped("sigkill_leaves_no_name_behind_when_none_was_asked_for") {
        return;
    }
    let mut demo = Demo::start("long");
    read_until(&mut demo.stderr, "switch started");
    thread::sleep(Duration::from_millis(100));
    demo.signal(Signal::SIGKILL);
    demo.end();
}
