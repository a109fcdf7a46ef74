//! `send`, `receive` and `loop` over real links, as somebody types them: they say what became of the packets and end by themselves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use podlane_host::{
    Netns,
    lab::{Lab, Pod, PodSpec, skip},
};
use serde_json::Value;

/// Nothing here may take longer, on however busy a machine.
const LONGEST: Duration = Duration::from_secs(60);

/// Two pods that have nothing to do with each other, and the namespace of their links' other ends.
struct Bed {
    lab: Lab,
    one: Pod,
    other: Pod,
}

impl Bed {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let [one, other] = ["one", "other"].map(|name| lab.pod(&PodSpec::named(name)).unwrap());
        Self { lab, one, other }
    }
}

/// A namespace, as another process can open it.
fn file(netns: &Netns) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd())
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane-perf"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the first line that a process writes to standard error.
fn first_line(child: &mut Child) -> String {
    let stderr = child.stderr.as_mut().unwrap();
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// Waits for a process, within a bound, and returns its exit status, standard output and standard error.
fn end(mut child: Child) -> (i32, String, String) {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LONGEST {
            child.kill().unwrap();
            let Output { stdout, stderr, .. } = child.wait_with_output().unwrap();
            panic!("it does not end: {}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn a_loop_over_a_link_gets_every_packet_and_times_it() {
    if skip("a_loop_over_a_link_gets_every_packet_and_times_it") {
        return;
    }
    let Bed { lab, one, other: _other } = Bed::new();
    let (near, far) = (file(&one.netns), file(lab.switch()));
    let command = format!(
        "loop eth0 {} --netns {near} --far-netns {far} --rate 10k --count 5000 --sport 1024-2023 --cores 0 --json",
        one.host_ifname
    );
    let (status, stdout, stderr) = end(start(&command.split(' ').collect::<Vec<_>>()));
    let told: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    let outcome = &told["outcome"];
    let count = |name: &str| outcome[name].as_u64().unwrap();
    let counts = ["sent", "received", "lost", "reordered", "duplicated", "corrupted", "returned"].map(count);
    assert_eq!(counts, [5_000, 5_000, 0, 0, 0, 0, 0], "{told}");
    let reached = outcome["reached_pps"].as_f64().unwrap();
    // On a machine that does other work too; what the pace itself can do is tested with a clock of its own.
    assert!((500.0..=10_000.1).contains(&reached), "{told}");
    assert!(outcome["latency"]["min_ns"].as_u64().unwrap() > 0, "{told}");
    let limit = ["veth_pps", "memory_pps"].map(|name| told["limit"][name].as_f64().unwrap());
    assert!(limit[0] > 0.0 && limit[1] > limit[0] && told["origin"]["kernel"].is_string(), "{told}");
    let expected = if reached >= 9_900.0 { (0, "clean") } else { (4, "unreached") };
    assert_eq!((status, outcome["verdict"].as_str().unwrap()), expected, "{told}");
    assert!(told["wires"].as_str().unwrap().starts_with("eth0 (AF_XDP, copy) to "), "{told}");
}

#[test]
fn a_device_that_vanishes_and_one_that_forwards_nothing_end_a_loop_with_a_verdict() {
    if skip("a_device_that_vanishes_and_one_that_forwards_nothing_end_a_loop_with_a_verdict") {
        return;
    }
    let Bed { lab, one, other } = Bed::new();
    let (near, far) = (file(&one.netns), file(&other.netns));
    let command = format!("loop eth0 eth0 --netns {near} --far-netns {far} --cores 0 --rate 1k");
    let arguments: Vec<&str> = command.split(' ').collect();
    let silent = start(&[&arguments[..], &["--count", "100"]].concat());
    let (status, stdout, stderr) = end(silent);
    let expected = "forwards nothing: 100 packets left and none arrived; look at links, addresses and tables";
    assert!(stdout.contains(expected), "{stdout}{stderr}");
    assert_eq!(status, 3);

    let mut vanishing = start(&[&arguments[..], &["--seconds", "600"]].concat());
    // A second after it began.
    let line = first_line(&mut vanishing);
    assert!(line.contains("sent ") && line.contains("arrived 0.0 pps"), "{line}");
    other.remove().unwrap();
    let (status, stdout, stderr) = end(vanishing);
    assert!(stdout.contains("broken off after "), "{stdout}{stderr}");
    assert!(stdout.ends_with(": eth0 is gone: it was deleted while packets went by it\n"), "{stdout}{stderr}");
    assert_eq!(status, 1);
    drop(lab);
}

#[test]
fn a_sender_and_a_receiver_apart_agree() {
    if skip("a_sender_and_a_receiver_apart_agree") {
        return;
    }
    let Bed { lab, one, other: _other } = Bed::new();
    let (near, far) = (file(&one.netns), file(lab.switch()));
    let receiver =
        format!("receive {} --netns {far} --run 77 --same-machine --silence 1 --seconds 30 --json", one.host_ifname);
    let mut receiving = start(&receiver.split(' ').collect::<Vec<_>>());
    assert!(first_line(&mut receiving).ends_with(
        ": listening
"
    ));
    let sender = format!("send eth0 --netns {near} --run 77 --rate 1k --count 500 --template imix --json");
    let (_, sent, stderr) = end(start(&sender.split(' ').collect::<Vec<_>>()));
    let sent: Value = serde_json::from_str(&sent).unwrap_or_else(|error| panic!("{error}: {sent}{stderr}"));
    let (status, heard, _) = end(receiving);
    let heard: Value = serde_json::from_str(&heard).unwrap();
    assert_eq!((&sent["outcome"]["sent"], &sent["run"]), (&Value::from(500), &Value::from(77)), "{sent}");
    assert_eq!(heard["outcome"]["received"], 500, "{heard}");
    assert_eq!((status, heard["outcome"]["verdict"].as_str().unwrap()), (0, "clean"), "{heard}");
    assert!(heard["outcome"]["latency"]["p50_ns"].as_u64().unwrap() > 0, "{heard}");
}

#[test]
fn what_cannot_be_done_is_said_with_its_remedy() {
    let said = |command: &str| {
        let (status, _, stderr) = end(start(&command.split(' ').collect::<Vec<_>>()));
        (status, stderr)
    };
    let (status, stderr) = said("send veth0 --size 60");
    assert_eq!(status, 1);
    assert!(
        stderr.contains("frames of 60 bytes are too short: headers, stamp and check sequence of this template take 64"),
        "{stderr}"
    );
    let (status, stderr) = said("loop veth0 --rate fast");
    assert_eq!(status, 2);
    assert!(
        stderr.contains("`fast` is no rate; give packets a second, as 1000, 100k or 1.5M, from 1 to 1000M, or `max`"),
        "{stderr}"
    );
    if skip("what_cannot_be_done_is_said_with_its_remedy") {
        return;
    }
    let name = format!("no{}", std::process::id());
    let (status, stderr) = said(&format!("loop {name}"));
    assert_eq!(status, 1);
    assert!(stderr.contains(&name), "{stderr}");
    if !std::path::Path::new("/proc/net/pktgen").exists() {
        let (status, stderr) = said("send lo --engine pktgen --count 1");
        assert_eq!(status, 1);
        assert!(stderr.contains("this kernel has no pktgen: ") && stderr.contains("modprobe pktgen"), "{stderr}");
    }
}
