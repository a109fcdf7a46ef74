//! Real container runtimes, attached by Podlane: containers of containerd, Podman and Docker that reach each other, and leave nothing.
//!
//! Each test is a script beside this file, which stands in a bed of its own (`bed` says what that is). The runtimes are Debian's; what is
//! missing is installed, and where it cannot be had the test is skipped by name with the reason.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use podlane_host::lab;

/// What a script and its runtimes may take; each takes a few seconds.
const PATIENCE: &str = "100";

/// What `install` and `unpack` end with where a package is not to be had.
const NOT_TO_BE_HAD: i32 = 77;

/// One runtime at a time: several together take the processors from the daemons' workers, and prove nothing more.
static TURN: Mutex<()> = Mutex::new(());

/// What every bed needs.
const EVERYWHERE: [&str; 3] = ["busybox-static", "iproute2", "python3"];

/// A newer Debian, for runtimes whose protocols this one's are too old for.
struct Newer {
    suite: &'static str,
    packages: &'static [&'static str],
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes").join(name)
}

/// Says that a test is skipped, straight to standard error as [`lab::skip`] does.
fn skipped(test: &str, reason: &str) {
    let line = format!("skipped: {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs one of the scripts that fetch packages; the reason where they are not to be had.
fn fetched(name: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(script(name)).args(arguments).output().unwrap();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(NOT_TO_BE_HAD) => Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => panic!("{name} {arguments:?}: {}", said(&output)),
    }
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

/// The plugin, beside the daemon; built where only the daemon's tests were.
fn plugin() -> PathBuf {
    let plugin = Path::new(env!("CARGO_BIN_EXE_podlane")).with_file_name("podlane-cni");
    if !plugin.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "podlane-cni", "--locked", "--target-dir"]);
        build.arg(plugin.parent().and_then(Path::parent).unwrap());
        let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success() && plugin.exists(), "the plugin cannot be built: {}", said(&output));
    }
    plugin
}

/// Runs the script of that name in its bed, with these packages.
fn passes(name: &str, packages: &[&str], newer: Option<&Newer>) {
    if lab::skip(name) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(reason) = fetched("install", &[&EVERYWHERE[..], packages].concat()) {
        return skipped(name, &reason);
    }
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", PATIENCE, "bash"]).arg(script(name));
    if let Some(Newer { suite, packages }) = newer {
        let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{suite}-{name}"));
        if let Err(reason) = fetched("unpack", &[&[suite, tree.to_str().unwrap()], *packages].concat()) {
            return skipped(name, &reason);
        }
        command.env("TREE", tree);
    }
    let core = core_affinity::get_core_ids().unwrap().last().unwrap().id;
    command.env("PODLANE", env!("CARGO_BIN_EXE_podlane")).env("PLUGIN", plugin()).env("CORE", core.to_string());
    let output = command.env_remove("BED").output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{name}: {}", said(&output));
}

#[test]
fn containers_of_containerd_meet() {
    passes("containerd", &["containerd", "runc"], None);
}

#[test]
fn pods_of_the_container_runtime_interface_meet_behind_a_whole_chain_of_plugins() {
    let packages = ["containerd", "runc", "containernetworking-plugins", "iptables", "python3-grpcio"];
    passes("cri", &packages, None);
}

#[test]
fn containers_of_podman_meet_by_cni() {
    passes("podman", &["podman", "conmon", "runc"], None);
}

#[test]
fn containers_of_podman_meet_by_netavark() {
    let packages = &["podman", "conmon", "runc", "netavark", "aardvark-dns"];
    passes("netavark", &[], Some(&Newer { suite: "trixie", packages }));
}

#[test]
fn containers_of_docker_meet_and_outlive_the_daemon() {
    passes("docker", &["docker.io", "runc"], None);
}
