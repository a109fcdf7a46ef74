//! A plugin that is killed at any moment of its ADD and DEL, as runtimes do whose patience has ended: the daemon carries out what it has
//! heard, and nothing is left when the runtime repeats and collects.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kernel::{interface, links};
use crate::runtime::{Container, List, attachments, ours, run, shim};
use crate::support::{BLUE, Daemon, Node, eventually};

const KILLS: u32 = 60;

const PODS: usize = 6;

/// What the runtime knows of a pod.
#[derive(Clone, PartialEq, Debug)]
enum Belief {
    Attached(Value),
    Detached,
    /// The plugin was killed: a DEL comes next.
    Unknown,
}

struct Runtime<'n> {
    list: List<'n>,
    pods: Vec<Container>,
    beliefs: Vec<Belief>,
}

impl Runtime<'_> {
    /// Starts what comes next for a pod: ADD for what is detached, DEL for all else.
    fn start(&self, pod: usize) -> Child {
        let container = &self.pods[pod];
        let verb = if self.beliefs[pod] == Belief::Detached { "ADD" } else { "DEL" };
        let spawn = || {
            Command::new(shim())
                .env_clear()
                .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", &container.id), ("CNI_IFNAME", "eth0")])
                .env("CNI_NETNS", container.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        };
        let mut child = self.list.node.lab.switch().run(spawn).unwrap().unwrap();
        let config = self.list.config(&self.list.plugins[0], None).to_string();
        child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        child
    }

    /// Hears the plugin out; whether it ended by itself.
    fn hear(&mut self, pod: usize, child: Child) -> bool {
        let output = child.wait_with_output().unwrap();
        let is_ended = output.status.success();
        self.beliefs[pod] = match self.beliefs[pod] {
            Belief::Detached if is_ended => Belief::Attached(serde_json::from_slice(&output.stdout).unwrap()),
            _ if is_ended => Belief::Detached,
            _ => Belief::Unknown,
        };
        assert!(is_ended || output.status.code().is_none(), "{}", String::from_utf8_lossy(&output.stdout));
        is_ended
    }

    fn known(&self) -> Vec<usize> {
        (0..PODS).filter(|pod| matches!(self.beliefs[*pod], Belief::Attached(_))).collect()
    }

    /// The runtime's GC: what it knows of is valid.
    fn collect(&self) {
        let valid = self.known().into_iter().map(|pod| json!({"containerID": self.pods[pod].id, "ifname": "eth0"}));
        let mut config = self.list.config(&self.list.plugins[0], None);
        config["cni.dev/valid-attachments"] = valid.collect();
        run(self.list.node, shim(), &[("CNI_COMMAND", "GC")], &config.to_string()).result();
    }
}

/// Numbers that look random and are the same each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// The names of what is pinned for ports; what all share begins with a sign that no port's name has.
fn pinned(node: &Node) -> Vec<String> {
    let pins = fs::read_dir(node.pins()).unwrap().map(|pin| pin.unwrap().file_name().to_string_lossy().into_owned());
    pins.filter(|pin| !pin.starts_with('%')).collect()
}

#[test]
fn a_plugin_killed_sixty_times_leaks_nothing() {
    let Some(node) = Node::new("cni_killed") else { return };
    node.configure(&format!("{BLUE}{}", attachments(&node)));
    let daemon = node.start();
    let links_before = links(node.lab.switch());
    let list = List::new(&node, "1.1.0", vec![ours(&node)]);
    let pods = (0..PODS).map(|number| Container::new(&format!("killed-{number}"))).collect();
    let mut runtime = Runtime { list, pods, beliefs: vec![Belief::Detached; PODS] };

    // What a call takes here and now is how long a fuse is.
    let began = Instant::now();
    for pod in 0..PODS {
        for _ in 0..2 {
            let child = runtime.start(pod);
            assert!(runtime.hear(pod, child));
        }
    }
    let mut fuse = u64::try_from(began.elapsed().as_micros()).unwrap() / PODS as u64;
    eventually("all is taken away", || daemon.ports().ports.is_empty() && links(node.lab.switch()) == links_before);
    let descriptors_before = descriptors(&daemon);

    let mut dice = Dice(11);
    let (mut answered, mut interrupted) = (0, 0);
    while interrupted < KILLS {
        let pod = usize::try_from(dice.below(PODS as u64)).unwrap();
        let mut child = runtime.start(pod);
        std::thread::sleep(Duration::from_micros(dice.below(fuse)));
        child.kill().unwrap();
        // A machine that others are busy on grows slower and quicker: the fuse goes with it.
        if runtime.hear(pod, child) {
            answered += 1;
            fuse = (fuse - fuse / 8).max(500);
        } else {
            interrupted += 1;
            fuse += fuse / 4;
        }
        assert!(answered < 50 * KILLS, "no fuse is short enough: {interrupted} killed, {answered} answered");
    }
    println!("{KILLS} plugins were killed under way, and {answered} had answered");

    let known = runtime.known();
    eventually("only what the runtime knows is attached", || {
        // A call that the last ones had sent may be carried out after a GC: runtimes repeat it.
        runtime.collect();
        let is_there = |pod: usize| interface(&runtime.pods[pod].netns, "eth0").is_some();
        daemon.ports().ports.len() == known.len()
            && (0..PODS).all(|pod| is_there(pod) == known.contains(&pod))
            && links(node.lab.switch()).len() == links_before.len() + known.len()
    });
    assert_eq!(pinned(&node).len(), known.len(), "a pin a pod");
    for pod in known {
        let Belief::Attached(result) = &runtime.beliefs[pod] else { continue };
        let said = runtime.list.check(&runtime.pods[pod], "eth0", result);
        assert!(said.is_ok, "{said:?}");
        runtime.list.del(&runtime.pods[pod], "eth0", result);
    }
    eventually("nothing is left", || {
        let held: Value = serde_json::from_str(&node.cli(&["addresses", "--json"])).unwrap();
        let held = held["leases"].as_array().unwrap().iter().filter(|lease| lease["free_in_s"].is_null()).count();
        held == 0
            && node.cli(&["attachments"]) == "nothing is attached\n"
            && links(node.lab.switch()) == links_before
            && pinned(&node).is_empty()
            && descriptors(&daemon) <= descriptors_before
    });
    daemon.terminate();
}
