//! Many ports, and what they cost: time to come up and to go, and a core's time when nothing happens.

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use podlane_host::lab::{Pod, PodSpec};

use crate::support::{BLUE, Node, SOON, Stream, eventually, ping, port};

/// Pods of one network, by IPv4 alone.
fn crowd(node: &mut Node, count: u8) -> Vec<Pod> {
    let pod = |at: u8| PodSpec {
        ipv4: Some((Ipv4Addr::new(10, 1, 0, at + 2), 24)),
        mac: Some([2, 0, 0, 0, 1, at]),
        ..PodSpec::named(&format!("pod{at}"))
    };
    (0..count).map(|at| node.lab.pod(&pod(at)).unwrap()).collect()
}

fn ports(count: u8) -> String {
    (0..count).map(|at| port(&format!("pod{at}"))).collect()
}

fn say(what: &str, took: Duration) {
    let _ = writeln!(std::io::stderr(), "{what}: {} ms", took.as_millis());
}

#[test]
fn two_hundred_pods_come_up_talk_and_go() {
    let Some(mut node) = Node::alone("two_hundred_pods") else { return };
    let pods = crowd(&mut node, 200);
    // With the frames of the defaults.
    node.configure_with(&format!("cores = [{}]\n", Node::core()), &format!("{BLUE}{}", ports(200)));
    let daemon = node.start();
    // 1 to 2 s on an idle machine; the bound is for a busy one.
    say("200 ports up", daemon.wait_all_up(Duration::from_secs(60)));
    for (at, pod) in (2u8..).zip(&pods) {
        let neighbour = if at == 201 { 2 } else { at + 1 };
        assert!(ping(&pod.netns, [10, 1, 0, neighbour], SOON), "{at} does not reach {neighbour}");
    }
    assert_eq!(daemon.warnings(), [""; 0]);
    daemon.counters();
    let took = daemon.terminate();
    say("200 ports taken away", took);
    assert!(took < Duration::from_secs(15), "{took:?}");
    node.assert_clean(&["pod0", "pod199"]);
}

#[test]
fn an_idle_daemon_takes_two_percent_of_a_core_at_most() {
    let Some(mut node) = Node::alone("an_idle_daemon") else { return };
    let _pods = crowd(&mut node, 50);
    // Fifty ports, and fifty whose device never comes.
    let absent = (0..50).map(|at| port(&format!("absent{at}"))).collect::<String>();
    let three = ("three ports", ports(3), 0.02);
    for (what, ports, most) in [three, ("fifty ports", ports(50), 0.02), ("fifty absent devices", absent.clone(), 0.03)]
    {
        node.configure(&format!("{BLUE}{ports}"));
        let daemon = node.start();
        if ports != absent {
            daemon.wait_all_up(SOON);
        }
        daemon.assert_rests(what, most);
        daemon.terminate();
    }
}

#[test]
fn a_device_that_is_switched_off_costs_nothing() {
    let Some(mut node) = Node::alone("a_device_switched_off_costs") else { return };
    let pods = crowd(&mut node, 2);
    node.configure(&format!("{BLUE}{}", ports(2)));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let stream = Stream::start(&pods[0].netns, &pods[1].netns, [10, 1, 0, 3]);
    stream.flows();
    node.lab.links().set_down("pod1").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(stream);
    daemon.assert_rests("a device that is switched off", 0.05);
    daemon.terminate();
}

/// Takes a core's time until it is dropped.
struct Intruder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Intruder {
    fn on(core: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let spin = move || {
            core_affinity::set_for_current(core_affinity::CoreId { id: core });
            while !told.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        Self { stop, thread: Some(std::thread::spawn(spin)) }
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn a_worker_whose_core_is_taken_says_so() {
    let Some(mut node) = Node::alone("a_worker_whose_core_is_taken") else { return };
    let _red = node.pod("red", 2);
    let workers = format!("cores = [{}]\nframes = 4096\npoll = \"busy\"\n", Node::core());
    node.configure_with(&workers, &format!("{BLUE}{}", port("red")));
    let daemon = node.start();
    daemon.wait_all_up(SOON);
    let _intruder = Intruder::on(Node::core());
    eventually("the worker says so", || {
        let warnings = daemon.status().warnings;
        let words = ["of the last second for core", "keep other processes off it"];
        warnings.iter().any(|warning| words.iter().all(|word| warning.contains(word)))
    });
    assert!(daemon.status().workers[0].preempted > 0);
    daemon.terminate();
}
