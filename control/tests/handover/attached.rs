//! Pods that a runtime had attached, over hand-overs.

use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failures::Odd;
use crate::runtime::{Container, List, attachments, ours, shim};
use crate::stream::Live;
use crate::succession::succeed;
use crate::support::{BLUE, Daemon, Node, SOON, eventually, ping};

/// The code of the specification for "try again later".
const LATER: u64 = 11;

fn address(result: &Value) -> Ipv4Addr {
    let addresses = result["ips"].as_array().unwrap().iter();
    let mut plain = addresses.map(|of| of["address"].as_str().unwrap().split('/').next().unwrap());
    plain.find_map(|address| address.parse().ok()).unwrap()
}

/// Attaches as a runtime does: again, as often as it is told to come later.
fn attached_soon(list: &List<'_>, container: &Container) -> Value {
    let mut said = list.try_add(container, "eth0");
    eventually("the pod is attached", || {
        if !said.is_ok {
            assert_eq!(said.code(), LATER, "{said:?}");
            said = list.try_add(container, "eth0");
        }
        said.is_ok
    });
    said.said
}

#[test]
fn attached_pods_go_on_and_the_next_daemon_checks_attaches_and_detaches() {
    let Some(node) = Node::new("attached_pods_go_on") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let mut daemon = node.start();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let [red, green, late] = ["hand-red", "hand-green", "hand-late"].map(Container::new);
    let [of_red, of_green] = [&red, &green].map(|container| list.add(container, "eth0"));
    let stream = Live::start(&red.netns, &green.netns, address(&of_green).octets());
    stream.flows();
    for _ in 0..2 {
        daemon = succeed(&node, daemon);
        stream.flows();
        for (container, result) in [(&red, &of_red), (&green, &of_green)] {
            let said = list.check(container, "eth0", result);
            assert!(said.is_ok, "{}\n{}", said.said, daemon.log());
        }
    }
    let of_late = list.add(&late, "eth0");
    assert!(![address(&of_red), address(&of_green)].contains(&address(&of_late)));
    assert!(ping(&red.netns, address(&of_late), SOON), "{}", daemon.log());
    stream.end();
    for (container, result) in [(&red, &of_red), (&green, &of_green), (&late, &of_late)] {
        list.del(container, "eth0", result);
    }
    eventually("all ports are gone", || daemon.ports().ports.is_empty());
    daemon.counters();
    daemon.terminate();
    node.assert_clean(&[]);
}

#[test]
fn while_another_daemon_takes_over_runtimes_are_told_to_come_again_and_can() {
    let Some(node) = Node::new("while_another_daemon_takes_over") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let daemon = node.start();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let red = Container::new("held-red");
    // Built before: a daemon that hands over does not wait for a compiler.
    shim();
    let heir = Odd::claimed(&node);
    assert_eq!(list.try_add(&red, "eth0").code(), LATER);
    drop(heir);
    let of_red = attached_soon(&list, &red);
    assert!(ping(&red.netns, [10, 1, 0, 1], SOON));
    list.del(&red, "eth0", &of_red);
    daemon.terminate();
    node.assert_clean(&[]);
}

#[test]
fn a_daemon_that_nobody_could_take_over_from_attaches_pods_as_before() {
    let Some(node) = Node::new("a_daemon_that_nobody_could_take_over_from") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let daemon = node.start();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let [red, green] = ["kept-red", "kept-green"].map(Container::new);
    let of_red = list.add(&red, "eth0");
    let config = std::fs::read_to_string(node.path("podlane.toml")).unwrap();
    let other = node.path("other.toml");
    std::fs::write(&other, config.replace("frames = 8192", "frames = 4096")).unwrap();
    // Several times, since how fast the journal is let go of differs.
    for _ in 0..3 {
        let refused = node.refused(&other);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(why.contains("has 8192 frames a worker"), "{why}");
        let of_green = attached_soon(&list, &green);
        assert!(list.check(&red, "eth0", &of_red).is_ok, "{}", daemon.log());
        assert!(ping(&red.netns, address(&of_green), SOON), "{}", daemon.log());
        list.del(&green, "eth0", &of_green);
    }
    assert!(!daemon.logged(&["no pod can be attached any more"]), "{}", daemon.log());
    list.del(&red, "eth0", &of_red);
    daemon.terminate();
    node.assert_clean(&[]);
}

/// Far above what it takes (which is printed): the test's machine may be busy.
const AFTER_A_KILL: Duration = Duration::from_secs(5);

#[test]
fn after_a_kill_attached_pods_talk_again_within_five_seconds_of_the_next_start() {
    let Some(node) = Node::alone("after_a_kill_attached_pods") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let daemon = node.start();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let [red, green] = ["killed-red", "killed-green"].map(Container::new);
    let [of_red, of_green] = [&red, &green].map(|container| list.add(container, "eth0"));
    assert!(ping(&red.netns, address(&of_green), SOON), "{}", daemon.log());
    daemon.kill();
    let began = Instant::now();
    let daemon = node.start();
    assert!(ping(&red.netns, address(&of_green), SOON), "{}", daemon.log());
    let took = began.elapsed();
    let _ = writeln!(std::io::stderr(), "after a kill: {took:?} from the start to the first answer of an attached pod");
    assert!(took < AFTER_A_KILL, "{took:?}\n{}", daemon.log());
    assert!(daemon.status().took_over.is_none());
    for (container, result) in [(&red, &of_red), (&green, &of_green)] {
        list.del(container, "eth0", result);
    }
    daemon.terminate();
    node.assert_clean(&[]);
}

/// The network namespaces that a daemon keeps: with no pod there, those whose loopbacks keep its memory registered.
fn kept_namespaces(daemon: &Daemon) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("net:[")).count()
}

#[test]
fn memory_is_kept_registered_by_the_next_daemon_too() {
    let Some(node) = Node::new("memory_is_kept_registered") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let first = node.start();
    let kept = kept_namespaces(&first);
    assert!(kept > 0, "{}", first.log());
    let next = succeed(&node, first);
    assert_eq!(kept_namespaces(&next), kept, "{}", next.log());
    next.terminate();
    node.assert_clean(&[]);
}

#[test]
fn a_call_that_takes_longer_than_the_next_daemon_bears_silence_is_waited_for() {
    let Some(node) = Node::new("a_call_that_takes_long") else { return };
    node.configure(&format!("{}{BLUE}", attachments(&node)));
    let daemon = node.start();
    // Longer than the next daemon bears silence.
    let plugin = node.path("slow-ipam");
    let answer = r#"{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.77/24","gateway":"10.1.0.1"}]}"#;
    std::fs::write(
        &plugin,
        format!(
            "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\n: > {}\n/bin/sleep 7\necho '{answer}'\n",
            node.path("asked").display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut slow = ours(&node);
    slow["ipam"] = serde_json::json!({"type": "slow-ipam"});
    let mut slow = List::new(&node, "1.1.0", vec![slow]);
    slow.path = node.path("slow-ipam").parent().unwrap().to_owned();
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let [red, green] = ["slow-red", "slow-green"].map(Container::new);
    shim();
    let (daemon, of_red, of_green) = std::thread::scope(|scope| {
        let adds = scope.spawn(|| slow.add(&red, "eth0"));
        eventually("the plugin is asked", || node.path("asked").exists());
        let over = scope.spawn(|| succeed(&node, daemon));
        // Told to come later by the one daemon, and attached by the other or before it.
        let of_green = attached_soon(&list, &green);
        (over.join().unwrap(), adds.join().unwrap(), of_green)
    });
    assert_eq!(address(&of_red), Ipv4Addr::new(10, 1, 0, 77));
    assert!(slow.check(&red, "eth0", &of_red).is_ok, "{}", daemon.log());
    assert!(ping(&red.netns, address(&of_green), SOON), "{}", daemon.log());
    slow.del(&red, "eth0", &of_red);
    list.del(&green, "eth0", &of_green);
    daemon.terminate();
    node.assert_clean(&[]);
}
