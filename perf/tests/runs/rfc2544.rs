//! `podlane-perf rfc2544`, with real kernels: what is measured is stored, and a device that is none ends the run with its verdict.

use std::{
    os::fd::{AsFd, AsRawFd},
    process::{Child, Output},
    sync::PoisonError,
    thread,
    time::{Duration, Instant},
};

use podlane_host::{LinkId, Links, Netns, Veth, VethPeer};
use podlane_perf::{
    bed::{Bed, POD_LINK},
    subject::{Duty, Subject, crossconnect::CrossConnect},
};
use serde_json::Value;

use crate::{ONE_AT_A_TIME, command, impossible, run, traces};

/// Where a child finds a namespace of this process.
fn path(netns: &Netns) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), netns.as_fd().as_raw_fd())
}

/// A run from one pod of a bed to the other.
fn between(bed: &Bed, arguments: &[&str]) -> Child {
    let (from, to) = (path(bed.from()), path(bed.to()));
    let ends = ["rfc2544", "--from", POD_LINK, "--netns", &from, "--to", POD_LINK, "--to-netns", &to];
    command(&[&ends, arguments].concat()).spawn().unwrap()
}

/// What it said on standard error, and its exit status. Fails when it goes on for longer than anybody would wait.
fn verdict(mut child: Child) -> (String, i32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("a run ends by itself");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let last = String::from_utf8_lossy(&stderr).lines().last().unwrap_or_default().to_owned();
    (last, status.code().unwrap())
}

#[test]
fn a_switch_is_set_up_measured_and_taken_away() {
    if impossible("a_switch_is_set_up_measured_and_taken_away") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = traces();
    let text = run(&[
        "rfc2544",
        "--against",
        "podlane",
        "--size",
        "64,imix",
        "--seconds",
        "0.1",
        "--measure",
        "throughput,latency",
        "--json",
    ]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let median = |name: &str, x: Option<f64>| {
        let series = report["series"].as_array().unwrap();
        let found = series.iter().find(|series| series["name"] == name && series["at"]["x"].as_f64() == x);
        found.unwrap_or_else(|| panic!("no {name} at {x:?} in {report}"))["median"].as_f64()
    };
    // A busy machine may say anything of a rate without any loss, but it delivers something.
    assert!(median("delivered at full rate", Some(64.0)).unwrap() > 0.0);
    let limit = median("generator's limit", Some(64.0)).unwrap();
    assert!(median("no-drop rate", Some(64.0)).is_none_or(|rate| rate <= limit * 1.1), "{report}");
    assert!(median("delivered at full rate, IMIX", None).unwrap() > 0.0);
    assert!(median("latency p50, 64 bytes", Some(50.0)) <= median("latency p99, 64 bytes", Some(50.0)));
    assert!(median("offered for latency, 64 bytes", Some(50.0)).unwrap() > 0.0);
    assert!(report["origin"]["command"].as_str().unwrap().starts_with("podlane-perf rfc2544 --against podlane"));
    assert_eq!(traces(), before);
}

#[test]
fn a_device_that_forwards_nothing_ends_the_run_with_that_verdict() {
    if impossible("a_device_that_forwards_nothing_ends_the_run_with_that_verdict") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bed = Bed::lay(&Duty::BRIDGED.shape()).unwrap();
    let (said, status) = verdict(between(&bed, &["--seconds", "0.1", "--patience", "0.5"]));
    assert!(said.starts_with("podlane-perf: the device forwards nothing: of 500 frames"), "{said}");
    assert_eq!(status, 3);
}

#[test]
fn a_netdev_that_goes_away_ends_the_run_with_its_name() {
    if impossible("a_netdev_that_goes_away_ends_the_run_with_its_name") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bed = Bed::lay(&Duty::BRIDGED.shape()).unwrap();
    let running = CrossConnect.start(&bed, &Duty::BRIDGED).unwrap();
    // Longer than anybody waits here.
    let child = between(&bed, &["--standard", "--size", "64"]);
    let mut links = Links::open_in(bed.to()).unwrap();
    let link = links.by_name(POD_LINK).unwrap().index;
    while links.counters(LinkId::Index(link)).unwrap().rx_packets < 1_000 {
        thread::sleep(Duration::from_millis(20));
    }
    links.delete(link).unwrap();
    let (said, status) = verdict(child);
    assert!(said.starts_with("podlane-perf: eth0 went away while it was measured"), "{said}");
    assert_eq!(status, 3);
    // Its own link is gone too.
    drop(running);
}

#[test]
fn a_loop_behind_the_device_is_found() {
    if impossible("a_loop_behind_the_device_is_found") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bed = Bed::lay(&Duty::BRIDGED.shape()).unwrap();
    let mut links = Links::open_in(bed.switch()).unwrap();
    let bridge = links.bridge("br0").unwrap();
    // A cable with both ends in one bridge.
    let near = links
        .veth(&Veth {
            name: "near",
            peer: VethPeer { name: "far", netns: None, mac: None },
            mtu: 1500,
            mac: None,
            queues: 1,
        })
        .unwrap();
    let far = links.by_name("far").unwrap().index;
    for link in [near, far].into_iter().chain(bed.host_ends().map(|end| end.ifindex)) {
        links.enslave(link, bridge).unwrap();
        links.set_up(link).unwrap();
    }
    links.set_up(bridge).unwrap();
    let (said, status) = verdict(between(&bed, &["--seconds", "0.1", "--patience", "0.5"]));
    assert!(said.starts_with("podlane-perf: the device loops"), "{said}");
    assert_eq!(status, 3);
}
