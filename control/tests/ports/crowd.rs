//! Many ports at once, and what one costs among many.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use podlane_host::lab::{Pod, PodSpec};

use crate::bed::{Bed, port_of};
use crate::support::{Node, SOON, ping};

/// A network with room for a crowd.
const WIDE: &str = "[[network]]\nname = \"blue\"\ngateways = [\"10.1.0.1/16\"]\n";

fn pods(node: &mut Node, count: u16) -> Vec<Pod> {
    let pod = |at: u16| {
        let [high, low] = (at + 2).to_be_bytes();
        let spec = PodSpec::named(&format!("pod{at}"));
        PodSpec { ipv4: Some((Ipv4Addr::new(10, 1, high, low), 16)), mac: Some([2, 0, 0, 1, high, low]), ..spec }
    };
    (0..count).map(|at| node.lab.pod(&pod(at)).unwrap()).collect()
}

fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

#[test]
fn a_hundred_ports_that_are_added_at_once_come_up_together() {
    let Some(mut node) = Node::alone("a_hundred_ports_at_once") else { return };
    let pods = pods(&mut node, 100);
    let bed = Bed::start_with(node, 32_768, WIDE);
    let before = bed.engine().generation();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let adding: Vec<_> = pods.iter().map(|pod| scope.spawn(|| bed.add(port_of(pod)))).collect();
        adding.into_iter().for_each(|added| added.join().unwrap().unwrap());
    });
    let published = bed.engine().generation() - before;
    say(&format!("100 ports added at once: {} ms, {published} publications", began.elapsed().as_millis()));
    assert!(published < 100, "those that are ready go together: {published} publications");
    for (at, pod) in pods.iter().enumerate() {
        let [high, low] = ((at as u16 + 1) % 100 + 2).to_be_bytes();
        assert!(ping(&pod.netns, [10, 1, high, low], SOON), "{at}");
    }
    bed.counters();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let going: Vec<_> = pods.iter().map(|pod| scope.spawn(|| bed.remove(&pod.host_ifname))).collect();
        going.into_iter().for_each(|gone| gone.join().unwrap().unwrap());
    });
    say(&format!("100 ports removed at once: {} ms", began.elapsed().as_millis()));
    bed.assert_left(&[]);
    bed.counters();
}

/// Half of them take less.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement: cargo test --release -p podlane --test ports -- --ignored --nocapture what_one_port"]
fn what_one_port_costs_alone_and_among_five_hundred() {
    let Some(mut node) = Node::alone("what_one_port_costs") else { return };
    let pods = pods(&mut node, 520);
    let bed = Bed::start_with(node, 32_768, WIDE);
    let (probes, crowd) = pods.split_at(20);
    let probe = || {
        let (mut adds, mut removes) = (Vec::new(), Vec::new());
        for pod in probes.iter().chain(probes) {
            let port = port_of(pod);
            // Without the thread that a look into the namespace takes.
            let took = bed.node.lab.switch().run(|| {
                let began = Instant::now();
                bed.engine().add_port(port).map(|()| began.elapsed())
            });
            adds.push(took.unwrap().unwrap());
            let began = Instant::now();
            bed.remove(&pod.host_ifname).unwrap();
            removes.push(began.elapsed());
        }
        (median(adds), median(removes))
    };
    let free = || {
        std::fs::read_to_string("/proc/meminfo")
            .unwrap()
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
    };
    let (add, remove) = probe();
    say(&format!("alone: add p50 {add:?}, remove p50 {remove:?}"));
    let before = free().unwrap();
    crowd.iter().for_each(|pod| bed.add(port_of(pod)).unwrap());
    say(&format!("500 ports take {} MiB of the machine", (before - free().unwrap()) / 1024));
    let (add, remove) = probe();
    say(&format!("among 500: add p50 {add:?}, remove p50 {remove:?}"));
    for (at, pod) in crowd.iter().enumerate().step_by(50) {
        let [high, low] = (20 + (at as u16 + 1) % 500 + 2).to_be_bytes();
        assert!(ping(&pod.netns, [10, 1, high, low], SOON), "{at}");
    }
    bed.counters();
}
