//! The binary, as somebody types it: every run ends by itself, says its ratios, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compare;
mod rfc2544;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use podlane_host::lab::skip;
use serde_json::Value;

/// Whether the test must be skipped here; says so if it must.
fn impossible(test: &str) -> bool {
    let cores = core_affinity::get_core_ids().map_or(0, |cores| cores.len());
    if cores < 2 {
        let _ = writeln!(std::io::stderr(), "skipped: {test}: a measurement needs two cores, and there are {cores}");
        return true;
    }
    skip(test)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podlane-perf"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    let Output { status, stdout, stderr } = &output;
    assert!(status.success(), "{arguments:?}: {status}\n{}", String::from_utf8_lossy(stderr));
    String::from_utf8_lossy(stdout).into_owned()
}

/// The check of this name in the JSON of a run.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name} in {report}"))
}

/// Held by tests that measure: a second measurement takes the first one's cores, and may see the limits it sets on them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What each core's wake-up is limited to; 0 is unlimited.
fn limits() -> Vec<String> {
    let cores = core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id);
    let file = |core| format!("/sys/devices/system/cpu/cpu{core}/power/pm_qos_resume_latency_us");
    cores.filter_map(|core| fs::read_to_string(file(core)).ok()).collect()
}

/// What this process would see of a run that left something: links of its namespace, and pins.
fn traces() -> Vec<String> {
    let names = |path: &str| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    let mut all = names("/sys/class/net");
    all.extend(names("/sys/fs/bpf").into_iter().filter(|name| name.contains("perf")));
    all.sort();
    all
}

#[test]
fn cni_measures_the_reference_and_skips_by_name_what_was_not_built() {
    if impossible("cni_measures_the_reference_and_skips_by_name_what_was_not_built") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let text = run(&[
        "cni",
        "--rounds",
        "1",
        "--calls",
        "2",
        "--together",
        "3",
        "--attached",
        "2",
        "--plugin",
        "/nowhere",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let series =
        |name: &str| report["series"].as_array().unwrap().iter().find(|series| series["name"] == name).unwrap();
    for name in ["podlane, ADD p50", "podlane-cni, VERSION"] {
        assert!(series(name)["skipped"].as_str().unwrap().starts_with("podlane-cni is not installed"), "{report}");
    }
    assert_eq!(check(&report, "podlane / bridge, ADD p50")["met"], Value::Null);
    // Of the reference there are numbers, or the reason why there are none.
    for name in ["ADD p50", "DEL p99", "3 ADDs at once", "ADD p50 beside 2 pods", "3 ADDs at once beside 2 pods"] {
        let series = series(&format!("bridge + host-local, {name}"));
        match series["skipped"].as_str() {
            Some(why) => assert!(why.starts_with("bridge is not installed"), "{why}"),
            None => assert!(series["median"].as_f64().unwrap() > 0.0, "{series}"),
        }
    }
    assert_eq!(traces(), before);
}

/// An empty folder for a test.
fn folder_for(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Command lines that name this file.
fn processes_that_name(file: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(file.to_str().unwrap())).collect()
}

#[test]
fn silent_ports_are_attached_and_compared() {
    if impossible("silent_ports_are_attached_and_compared") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let text = run(&["idle-ports", "--seconds", "1", "--rounds", "1", "--ports", "3", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(check(&report, "beside / alone")["median"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(traces(), before);
}

#[test]
fn an_idle_switch_is_measured_asleep_and_awake() {
    if impossible("an_idle_switch_is_measured_asleep_and_awake") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = (traces(), limits());
    let text = run(&["idle", "--seconds", "0.3", "--rounds", "1", "--packets", "3", "--silence-ms", "20", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let cpu = check(&report, "CPU of an idle worker, adaptive")["median"].as_f64().unwrap();
    assert!((0.0..100.0).contains(&cpu), "{report}");
    // Of three packets the slowest is no p99.
    assert!(!text.contains("p99"), "{report}");
    for quantile in ["p50", "max"] {
        assert!(check(&report, &format!("late by {quantile}, adaptive"))["median"].is_f64(), "{report}");
        // Not every kernel can keep a core awake; it is said then.
        let kept = check(&report, &format!("late by {quantile}, kept awake"));
        assert!(kept["median"].is_f64() || kept["skipped"].is_string(), "{report}");
    }
    assert_eq!((traces(), limits()), before);
}

#[test]
fn ctrl_c_lets_a_core_that_was_kept_awake_halt_again() {
    let test = "ctrl_c_lets_a_core_that_was_kept_awake_halt_again";
    if impossible(test) {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let idles = Path::new("/sys/devices/system/cpu/cpu0/cpuidle").exists();
    if !idles || limits().is_empty() || limits().iter().any(|limit| limit.trim() != "0") {
        let _ =
            writeln!(std::io::stderr(), "skipped: {test}: cores have no wake-up latency to limit, or a limit already");
        return;
    }
    let mut child = command(&["idle", "--seconds", "0.1", "--packets", "5"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while limits().iter().all(|limit| limit.trim() == "0") {
        assert!(Instant::now() < deadline, "no core was kept awake");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(ended(&mut child).code(), Some(130));
    assert!(limits().iter().all(|limit| limit.trim() == "0"), "{:?}", limits());
}

fn ended(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "still running 20 s after Ctrl-C");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_can() {
    for (arguments, remedy) in [
        (&["compare", "--seconds", "0"][..], "between 0.1 and 60"),
        (&["compare", "--rounds", "0"], "0 is not in 1.."),
        (&["compare", "--workload", "udb"], "a similar value exists: 'udp'"),
        (&["compare", "--flows", "2000000"], "is not in 1..=1000000"),
        (&["idle-ports", "--ports", "5000"], "is not in 1..=4000"),
    ] {
        let output = command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}
