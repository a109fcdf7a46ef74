//! `podlane-perf compare`, with real kernels and whatever else is installed.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::PoisonError,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{ONE_AT_A_TIME, check, command, ended, folder_for, impossible, processes_that_name, run, traces};

/// The median of this series in the JSON of a run.
fn median(report: &Value, name: &str) -> f64 {
    let series = report["series"].as_array().unwrap().iter().find(|series| series["name"] == name);
    let series = series.unwrap_or_else(|| panic!("no series {name} in {report}"));
    series["median"].as_f64().unwrap_or_else(|| panic!("{series}"))
}

#[test]
fn podlane_the_bridge_and_the_bare_rings_are_compared_and_the_result_stored() {
    if impossible("podlane_the_bridge_and_the_bare_rings_are_compared_and_the_result_stored") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare.json");
    let text = run(&[
        "compare",
        "--workload=udp,routed,tcp,round-trip",
        "--against=bridge,cross-connect",
        "--seconds=0.3",
        "--rounds=1",
        "--out",
        file.to_str().unwrap(),
    ]);
    assert!(text.contains("podlane / kernel bridge, 64-byte UDP, 1 flow"), "{text}");
    let report: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    // A busy machine may say anything, but not nothing.
    for subject in ["generator's own limit", "podlane", "kernel bridge", "bare cross-connect"] {
        for flows in ["1 flow", "1,000 flows"] {
            assert!(median(&report, &format!("{subject}, 64-byte UDP, {flows}")) > 0.0, "{report}");
        }
    }
    for subject in ["bare veth, no switch", "podlane", "kernel bridge", "bare cross-connect"] {
        for figure in
            ["TCP, 1 stream, MTU 1500", "TCP, 4 streams, MTU 1500", "UDP round trip, p50", "UDP round trip, p99"]
        {
            assert!(median(&report, &format!("{subject}, {figure}")) > 0.0, "{report}");
        }
    }
    // No two wake-ups of a process take less than a microsecond.
    assert!(median(&report, "bare veth, no switch, UDP round trip, p50") > 1.0, "{report}");
    let ratio = check(&report, "podlane / bare cross-connect, 64-byte UDP, 1,000 flows");
    assert_eq!(ratio["target"]["at_least"], 0.97);
    // Who was asked for and cannot do it is told, not left out.
    let routed = report["series"].as_array().unwrap().iter();
    let skipped: Vec<&Value> = routed.filter(|series| !series["skipped"].is_null()).collect();
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["name"], "kernel bridge, 64-byte UDP routed, 1,000 flows");
    assert!(report["origin"]["command"].as_str().unwrap().starts_with("podlane-perf compare --workload"));
    assert_eq!(traces(), before);
}

#[test]
fn policies_and_tunnels_are_compared_with_what_podlane_does_without_them() {
    if impossible("policies_and_tunnels_are_compared_with_what_podlane_does_without_them") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let text = run(&[
        "compare",
        "--workload=policy,vxlan,vxlan-tcp",
        "--against=kernel-vxlan",
        "--seconds=0.2",
        "--rounds=1",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&text).unwrap();
    for way in ["encapsulation", "decapsulation"] {
        let kept = check(&report, &format!("podlane, VXLAN {way} / routed without a tunnel"));
        assert!(kept["median"].as_f64().unwrap() > 0.0, "{report}");
        assert!(median(&report, &format!("podlane / kernel vxlan, VXLAN {way}")) > 0.0);
    }
    assert!(median(&report, "podlane, answered UDP, 1,000 stateful rules / answered UDP, no policy") > 0.0);
    let stream = "TCP through VXLAN, 1 stream, node to node";
    assert!(median(&report, &format!("podlane, {stream}")) > 0.0);
    // Through a tunnel: the kernel's segments are longer than what any link there takes.
    assert!(median(&report, &format!("kernel vxlan, {stream}, packet on the underlay")) > 1500.0);
    assert_eq!(traces(), before);
}

#[test]
fn a_sweep_has_a_point_for_each_place() {
    if impossible("a_sweep_has_a_point_for_each_place") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let text = run(&["compare", "--workload=workers", "--against=nothing", "--seconds=0.2", "--rounds=1", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let ours = report["series"].as_array().unwrap().iter().filter(|series| series["name"] == "podlane");
    let places: Vec<f64> = ours
        .inspect(|series| assert!(series["median"].as_f64().unwrap() > 0.0, "{series}"))
        .map(|series| series["at"]["x"].as_f64().unwrap())
        .collect();
    assert_eq!(places, [1.0, 2.0]);
    assert_eq!(traces(), before);
}

#[test]
fn who_is_not_installed_is_skipped_by_name_and_with_what_to_install() {
    if impossible("who_is_not_installed_is_skipped_by_name_and_with_what_to_install") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let files = folder_for("absent");
    let mut compare = command(&[
        "compare",
        "--workload=udp,policy",
        "--flows=1",
        "--against=nftables,ovs-afxdp,testpmd,vpp",
        "--seconds=0.1",
        "--rounds=1",
        "--json",
    ]);
    let output = compare.env("PATH", "/nowhere").env("TMPDIR", &files).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let skipped = |name: &str| {
        let series = report["series"].as_array().unwrap().iter().find(|series| series["name"] == name).unwrap();
        series["skipped"].as_str().unwrap().to_owned()
    };
    let udp = "64-byte UDP, 1 flow";
    assert_eq!(
        skipped(&format!("OVS AF_XDP, {udp}")),
        "ovsdb-tool is not installed (apt-get install openvswitch-switch)"
    );
    assert!(
        skipped(&format!("DPDK testpmd io, net_af_xdp, {udp}")).starts_with("dpdk-testpmd is not installed (apt-get")
    );
    assert!(skipped(&format!("VPP af_xdp, {udp}")).starts_with("vpp is not installed (packages of fd.io"));
    let rules = "answered UDP, 1,000 stateful rules";
    assert_eq!(skipped(&format!("bridge + nft, linear, {rules}")), "nft is not installed (apt-get install nftables)");
    // The others went on.
    assert!(median(&report, &format!("podlane, {rules}")) > 0.0);
    let ratio = check(&report, &format!("podlane / OVS AF_XDP, {udp}"));
    assert_eq!((&ratio["met"], &ratio["median"]), (&Value::Null, &Value::Null));
    assert_eq!(traces(), before);
    assert_eq!(fs::read_dir(&files).unwrap().count(), 0);
}

#[test]
fn ctrl_c_takes_other_peoples_switches_down_too() {
    let test = "ctrl_c_takes_other_peoples_switches_down_too";
    if impossible(test) {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if Command::new("ovs-vswitchd").arg("--version").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "skipped: {test}: ovs-vswitchd is not installed");
        return;
    }
    let before = traces();
    let files = folder_for("ovs");
    let mut compare = command(&["compare", "--workload=udp", "--seconds=0.1", "--rounds=50", "--against=ovs-afxdp"]);
    let mut child = compare.env("TMPDIR", &files).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let folder = files.join(format!("podlane-perf-ovs-{}", child.id()));
    while !folder.join("control").exists() {
        assert!(Instant::now() < deadline, "Open vSwitch was not started");
        std::thread::sleep(Duration::from_millis(2));
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(ended(&mut child).code(), Some(130));
    assert!(!folder.exists());
    assert_eq!(processes_that_name(&folder), Vec::<String>::new());
    assert_eq!(traces(), before);
}

#[test]
fn ctrl_c_ends_a_run_soon_and_leaves_nothing() {
    if impossible("ctrl_c_ends_a_run_soon_and_leaves_nothing") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let mut child =
        command(&["compare", "--workload=udp", "--seconds=1", "--rounds=50", "--against=nothing"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let status = ended(&mut child);
    assert_eq!((status.code(), status.signal()), (Some(130), None));
    assert_eq!(traces(), before);
}
