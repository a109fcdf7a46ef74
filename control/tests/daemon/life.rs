//! How a daemon begins and ends, well and badly.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use podlane_api::PortState;

use crate::support::{BLUE, Daemon, Node, SOON, Stream, ping, podlane, port};

/// The exit status, and what was said on standard error.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn sigterm_leaves_nothing_behind() {
    let Some(mut node) = Node::new("sigterm_leaves_nothing_behind") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(node.has_link("red"));
    let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    let took = daemon.terminate();
    assert!(took < Duration::from_secs(2), "{took:?}");
    node.assert_clean(&["red", "green"]);
}

#[test]
fn the_workers_core_is_kept_awake_until_the_end_and_after_a_kill_until_the_next_end() {
    let test = "the_workers_core_is_kept_awake_until_the_end";
    let file = format!("/sys/devices/system/cpu/cpu{}/power/pm_qos_resume_latency_us", Node::core());
    let limit = || fs::read_to_string(&file).map(|limit| limit.trim().to_owned());
    if !matches!(limit().as_deref(), Ok("0")) || !Path::new("/sys/devices/system/cpu/cpu0/cpuidle").exists() {
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {file} is missing or has a limit already, or no cpuidle");
        return;
    }
    let Some(mut node) = Node::new(test) else { return };
    let _red = node.pod("red", 2);
    let workers = format!("cores = [{}]\nframes = 8192\nwake_latency_us = 0\n", Node::core());
    node.configure_with(&workers, &format!("{BLUE}{}", port("red")));
    let daemon = node.start();
    assert_eq!(limit().unwrap(), "n/a", "{}", daemon.log());
    daemon.terminate();
    assert_eq!(limit().unwrap(), "0");

    node.start().kill();
    assert_eq!(limit().unwrap(), "n/a");
    node.start().terminate();
    assert_eq!(limit().unwrap(), "0");
    node.assert_clean(&["red"]);
}

#[test]
fn sigterm_is_obeyed_before_the_ports_are_up() {
    let Some(mut node) = Node::new("sigterm_is_obeyed_before") else { return };
    let names: Vec<String> = (0..20).map(|at| format!("pod{at}")).collect();
    let _pods: Vec<_> = names.iter().zip(2..).map(|(name, host)| node.pod(name, host)).collect();
    node.configure(&format!("{BLUE}{}", names.iter().map(|name| port(name)).collect::<String>()));
    let took = node.start().terminate();
    assert!(took < Duration::from_secs(2), "{took:?}");
    node.assert_clean(&["pod0", "pod9", "pod19"]);
}

#[test]
fn a_closed_terminal_ends_it_as_cleanly() {
    let Some(mut node) = Node::new("a_closed_terminal_ends_it") else { return };
    let _red = node.pod("red", 2);
    node.configure(&format!("{BLUE}{}", port("red")));
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        let daemon = node.start();
        daemon.wait_all_up(SOON);
        daemon.end_by(signal);
        node.assert_clean(&["red"]);
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_end_it() {
    let Some(mut node) = Node::new("a_log_that_nobody_reads") else { return };
    let (red, _green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let mut daemon = node.start();
    daemon.wait_all_up(SOON);
    daemon.stop_reading();
    node.lab.links().delete("green").unwrap();
    daemon.wait_for("green", PortState::Gone);
    assert!(ping(&red.netns, [10, 1, 0, 1], SOON));
    daemon.terminate();
    node.assert_clean(&["red"]);
}

#[test]
fn after_a_kill_the_kernel_gets_the_packets_and_the_next_daemon_the_pins() {
    let Some(mut node) = Node::alone("after_a_kill_the_kernel_gets_the_packets") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();
    daemon.kill();

    // The pins keep XDP on the device; without a socket it passes all packets on.
    node.lab.links().add_address("red", [10, 1, 0, 254].into(), 24).unwrap();
    assert!(ping(&red.netns, [10, 1, 0, 254], SOON), "the host end does not answer");
    assert!(node.has_link("red"));

    let began = Instant::now();
    let daemon = node.start();
    stream.flows();
    let took = began.elapsed();
    let _ = writeln!(std::io::stderr(), "restart to first datagram: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(1), "{took:?}: {}", daemon.log());
    daemon.wait_all_up(SOON);
    for name in ["red", "green"] {
        assert!(daemon.logged(&["\"adopted\":true", &format!("\"port\":\"{name}\"")]), "{}", daemon.log());
    }
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn pins_of_ports_that_are_no_longer_configured_are_swept() {
    let Some(mut node) = Node::new("pins_of_ports_no_longer") else { return };
    let (_red, _green) = (node.pod("red", 2), node.pod("green", 3));
    node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    daemon.kill();
    assert!(node.has_link("green"));

    node.configure(&format!("{BLUE}{}", port("red")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    assert!(!node.pins().join("green").exists(), "{}", daemon.log());
    drop(node.occupy("green"));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn a_second_daemon_of_the_socket_or_of_the_instance_alone_is_refused_and_the_first_unharmed() {
    let Some(mut node) = Node::new("a_second_daemon_of_the_instance") else { return };
    let (red, green) = (node.pod("red", 2), node.pod("green", 3));
    let config = node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Stream::start(&red.netns, &green.netns, [10, 1, 0, 3]);
    stream.flows();

    let whole = fs::read_to_string(&config).unwrap();
    let other = node.path("other.toml");
    fs::write(&other, whole.replace("instance = \"", "instance = \"not-")).unwrap();
    let (status, why) = said(&node.refused(&other));
    assert_eq!(status, Some(1), "{why}");
    assert!(why.contains("does not hand over: it is instance") && why.contains("`socket` of its own"), "{why}");

    let text = whole.replace("podlane.sock", "other.sock");
    fs::write(&other, text).unwrap();
    let (status, why) = said(&node.refused(&other));
    assert_eq!(status, Some(1), "{why}");
    assert!(why.contains("is another running daemon's") && why.contains("set another `instance`"), "{why}");
    assert!(!node.path("other.sock").exists() && !node.path("other.sock.lock").exists());

    stream.flows();
    assert!(daemon.ports().ports.iter().all(|port| port.state == PortState::Up));
    daemon.terminate();
    node.assert_clean(&["red", "green"]);
}

#[test]
fn without_root_the_lacking_rights_are_named() {
    let Some(node) = Node::new("without_root_the_lacking_rights") else { return };
    let config = node.configure(&format!("{BLUE}{}", port("red")));
    let scratch = config.parent().unwrap();
    let nobody = 65_534;
    fs::set_permissions(scratch, fs::Permissions::from_mode(0o777)).unwrap();
    // The build's own directory may be closed to others.
    let binary = node.path("podlane");
    fs::copy(podlane().get_program(), &binary).unwrap();
    let mut command = std::process::Command::new(&binary);
    let output = command.args(["run", "--config"]).arg(&config).uid(nobody).gid(nobody).output().unwrap();
    let (status, why) = said(&output);
    assert_eq!(status, Some(1), "{why}");
    assert!(why.contains("AF_XDP and XDP need CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, which this process lacks"), "{why}");
    assert!(why.contains("run podlane as root, or grant them"), "{why}");
    assert!(!node.socket().exists());

    fs::set_permissions(&config, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = std::process::Command::new(&binary);
    let output = command.args(["run", "--config"]).arg(&config).uid(nobody).gid(nobody).output().unwrap();
    let (status, why) = said(&output);
    assert_eq!(status, Some(2), "{why}");
    assert!(why.contains("podlane.toml: cannot be read: Permission denied"), "{why}");
    assert!(why.contains("(name a TOML file this user may read)"), "{why}");
}

#[test]
fn what_is_no_configuration_is_refused_before_anything_is_touched() {
    let Some(node) = Node::new("what_is_no_configuration") else { return };
    let binary = node.path("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    let empty = node.path("empty.toml");
    fs::write(&empty, "").unwrap();
    let cases: [(&Path, &str); 5] = [
        (Path::new("/nonexistent/podlane.toml"), "cannot be read: No such file"),
        (binary.parent().unwrap(), "cannot be read: Is a directory"),
        (&binary, "cannot be read: stream did not contain valid UTF-8"),
        (&empty, "\"cores\" is missing"),
        (Path::new("/dev/zero"), "is longer than"),
    ];
    for (config, expected) in cases {
        let (status, why) = said(&node.refused(config));
        assert_eq!(status, Some(2), "{}: {why}", config.display());
        assert!(why.contains(expected) && why.contains('('), "{why}");
    }
    // A file that cannot be written is as good as any: nobody writes it.
    let config = node.configure(BLUE);
    fs::set_permissions(&config, fs::Permissions::from_mode(0o400)).unwrap();
    node.start().terminate();
}

#[test]
fn a_socket_that_cannot_be_is_refused_by_name() {
    let Some(node) = Node::new("a_socket_that_cannot_be") else { return };
    let config = node.configure(BLUE);
    let text = fs::read_to_string(&config).unwrap();
    let with = |socket: &Path| {
        fs::write(&config, text.replace(&node.socket().display().to_string(), &socket.display().to_string())).unwrap();
        said(&node.refused(&config))
    };
    let file = node.path("a-file");
    fs::write(&file, "mine").unwrap();
    let (status, why) = with(&file);
    assert_eq!((status, why.contains("exists and is no socket (remove it")), (Some(1), true), "{why}");
    let (status, why) = with(&file.join("podlane.sock"));
    assert_eq!((status, why.contains("a-file: cannot create the directory")), (Some(1), true), "{why}");
    let (status, why) = with(Path::new("/proc/podlane.sock"));
    assert_eq!((status, why.contains("/proc/podlane.sock.lock: cannot open the lock")), (Some(1), true), "{why}");
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}

#[test]
fn without_a_bpf_file_system_the_daemon_goes_on_unpinned_and_says_so() {
    let Some(mut node) = Node::new("without_a_bpf_file_system") else { return };
    let (red, _green) = (node.pod("red", 2), node.pod("green", 3));
    let config = node.configure(&format!("{BLUE}{}{}", port("red"), port("green")));
    let start = || {
        // A mount namespace of this thread's, in which there is no place for one.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("none"), "/sys/fs", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        Daemon::start(node.lab.switch(), &config, &node.socket())
    };
    let daemon = std::thread::scope(|scope| scope.spawn(start).join()).unwrap();
    daemon.wait_all_up(SOON);
    let warnings = daemon.warnings();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains("XDP programs are not pinned and end with the daemon"), "{warning}");
    assert!(warning.contains("/sys/fs/bpf"), "{warning}");
    assert!(ping(&red.netns, [10, 1, 0, 3], SOON));

    // Nothing is pinned, so a killed daemon frees its devices.
    daemon.kill();
    drop(node.occupy("red"));
    drop(node.occupy("green"));
}
