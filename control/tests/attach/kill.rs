//! A daemon that is killed at any moment of attaching and detaching, three hundred times: the next one leaves no address, link, port, pin,
//! socket, entry of a map or record too many or missing.
//!
//! The daemon is the real binary, asked over its socket as the CNI plugin asks; the runtime here is one that believes what it was told,
//! repeats what was not answered, and at last collects.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use podlane_api::{Attachment, AttachmentQuery, AttachmentStage, Client, ClientError, CniCall, LeaseQuery};
use podlane_host::{Netns, Veth, VethPeer};
use serde_json::{Value, json};

use crate::bed::{Bed, PodBed, SOON};

const KILLS: u32 = 300;

/// Nodes side by side that share them: most of a daemon's start and end is waiting for the kernel.
const NODES: u32 = 5;

/// With an uplink that is shared with the host, whose program is another for each daemon to take over.
const KILLS_ON_THE_WIRE: u32 = 20;

/// That uplink, in the pods' network.
const WIRE: &str =
    "[[port]]\nname = \"wire\"\ndevice = \"up0\"\nkind = \"uplink\"\nnetwork = \"blue\"\nsharing = \"mac\"\n";

/// Pods that come and go; each has a namespace that stays.
const PODS: usize = 6;

/// A daemon, from its start until it is killed.
struct Victim {
    child: Child,
    socket: PathBuf,
}

impl Victim {
    fn start(host: &Netns, directory: &Path) -> Self {
        let (config, log) = (directory.join("podlane.toml"), fs::File::create(directory.join("log")).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_podlane"));
        command.args(["run", "--config"]).arg(config).env_remove("PODLANE_SOCKET").env_remove("PODLANE_LOG");
        command.stdout(Stdio::null()).stderr(log);
        let child = host.run(|| command.spawn()).unwrap().unwrap();
        let mut victim = Self { child, socket: directory.join("socket") };
        let began = Instant::now();
        // It listens before it answers.
        while client(&victim.socket).and_then(|mut client| client.status()).is_err() {
            let ended = victim.child.try_wait().unwrap();
            let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < SOON, "no daemon ({ended:?}): {}", log());
            std::thread::sleep(Duration::from_millis(1));
        }
        victim
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn attachments(&self) -> Vec<Attachment> {
        client(&self.socket).unwrap().attachments(AttachmentQuery::default()).unwrap().attachments
    }

    /// Whoever is attached holds the addresses it was told.
    fn assert_whole(&self) {
        // The attachments first: what is attached meanwhile has its addresses before.
        let attached = self.attachments();
        let leases = client(&self.socket).unwrap().leases(LeaseQuery::default()).unwrap().leases;
        for one in attached.iter().filter(|one| one.stage == AttachmentStage::Up) {
            let owner = format!("{}/{}", one.container, one.interface);
            let held = leases.iter().filter(|lease| lease.owner == owner && lease.free_in_s.is_none()).count();
            assert_eq!((held, one.addresses.len()), (2, 2), "{one:#?}\n{leases:#?}\n{}", self.log());
        }
    }

    /// How many descriptors it has. A socket in the map of all pods' sockets is one of them, and leaves the map with it.
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// How many it has for itself: after its start, and once that is over.
    fn own_descriptors(&self) -> usize {
        let mut before = (self.descriptors(), Instant::now());
        crate::bed::eventually("the daemon is at rest", || {
            let now = self.descriptors();
            if now != before.0 {
                before = (now, Instant::now());
            }
            before.1.elapsed() > Duration::from_millis(300)
        });
        before.0
    }

    fn log(&self) -> String {
        fs::read_to_string(self.socket.with_file_name("log")).unwrap_or_default()
    }

    /// The addresses that are held, as often as each owner has one.
    fn held(&self) -> Vec<String> {
        let leases = client(&self.socket).unwrap().leases(LeaseQuery::default()).unwrap().leases;
        let mut owners: Vec<_> =
            leases.into_iter().filter(|lease| lease.free_in_s.is_none()).map(|lease| lease.owner).collect();
        owners.sort();
        owners
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the daemon, while there is one.
fn client(socket: &Path) -> Result<Client, ClientError> {
    Client::connect(socket, SOON)
}

/// What a runtime knows of a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Belief {
    Attached,
    Detached,
    /// It asked and was not answered.
    Unknown,
}

struct Runtime {
    pods: Vec<PodBed>,
    beliefs: Vec<Belief>,
    results: Vec<Option<Value>>,
    socket: PathBuf,
}

impl Runtime {
    fn call(&self, command: &str, pod: usize, extra: &Value) -> Result<Value, ClientError> {
        let mut config = json!({ "cniVersion": "1.1.0", "name": "blues", "type": "podlane-cni", "network": "blue", "ipam": { "type": "podlane" } });
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (container_id, netns) = match self.pods.get(pod) {
            Some(bed) => (format!("c{pod}"), bed.path().to_string_lossy().into_owned()),
            None => Default::default(),
        };
        let ifname = if container_id.is_empty() { String::new() } else { "eth0".to_owned() };
        let call = CniCall {
            command: command.to_owned(),
            container_id,
            netns,
            ifname,
            config: config.to_string(),
            ..CniCall::default()
        };
        // A daemon that dies closes the connection; one that lives has no reason to refuse any of this.
        match client(&self.socket)?.cni(call) {
            Err(error @ ClientError::Refused(_)) => panic!("{command} of c{pod}: {error}"),
            outcome => outcome,
        }
    }

    /// Adds what is not attached and deletes what is. Says whether that was answered.
    fn turn(&mut self, pod: usize) -> bool {
        if self.beliefs[pod] == Belief::Attached {
            let gone = self.call("DEL", pod, &json!({}));
            self.beliefs[pod] = if gone.is_ok() { Belief::Detached } else { Belief::Unknown };
        } else {
            self.results[pod] = self.call("ADD", pod, &json!({})).ok();
            self.beliefs[pod] = if self.results[pod].is_some() { Belief::Attached } else { Belief::Unknown };
        }
        self.beliefs[pod] != Belief::Unknown
    }
}

/// Numbers that look random and are the same each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What a daemon has when nobody is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Idle {
    descriptors: usize,
    /// MAC addresses that its uplink claims; none without one.
    macs: Option<usize>,
}

fn claimed_macs(bed: &Bed) -> Option<usize> {
    podlane_bpf::claimed(&podlane_bpf::port_pin(&bed.pins(), "wire")).map(|(macs, _)| macs)
}

/// The netdevs of pods.
fn links(bed: &Bed) -> BTreeSet<String> {
    bed.netdevs().into_iter().filter(|name| name != "up0").collect()
}

#[test]
fn a_daemon_killed_three_hundred_times_leaks_nothing() {
    let name = "a_daemon_killed_three_hundred_times_leaks_nothing";
    let beds: Vec<_> = (0..NODES).map_while(|_| Bed::new(name)).collect();
    std::thread::scope(|scope| {
        for (seed, bed) in (0..).zip(&beds) {
            scope.spawn(move || endure(bed, KILLS / NODES, seed));
        }
    });
}

#[test]
fn a_daemon_killed_on_the_wire_claims_what_its_pods_have() {
    let Some(mut bed) = Bed::new("a_daemon_killed_on_the_wire_claims_what_its_pods_have") else { return };
    bed.more = WIRE;
    let lan = bed.pod();
    let peer = VethPeer { name: "lan0", netns: Some(lan.netns.as_fd()), mac: None };
    bed.links().veth(&Veth { name: "up0", mtu: 1500, mac: None, queues: 1, peer }).unwrap();
    bed.links().set_up("up0").unwrap();
    lan.links().set_up("lan0").unwrap();
    endure(&bed, KILLS_ON_THE_WIRE, 7);
}

/// So many daemons in a row, each killed at another moment, and what the last one has.
fn endure(bed: &Bed, kills: u32, seed: u64) {
    let directory = bed.path("");
    // Small, so that three hundred starts are soon made.
    let config = bed.config().replace("frames = 16384", "frames = 1024") + "[flows]\ncapacity = 1024\n";
    fs::write(bed.path("podlane.toml"), config).unwrap();
    let pods: Vec<_> = (0..PODS).map(|_| bed.pod()).collect();
    let mut runtime =
        Runtime { pods, beliefs: vec![Belief::Detached; PODS], results: vec![None; PODS], socket: bed.path("socket") };
    let first = Victim::start(&bed.host, &directory);
    let idle = Idle { descriptors: first.own_descriptors(), macs: claimed_macs(bed) };
    assert_eq!(idle.macs.is_some(), !bed.more.is_empty());
    first.kill();
    let (interrupted, answered) = kill(bed, (kills, Dice(seed)), &mut runtime);
    let told = format!("{kills} kills met {interrupted} calls under way, and {answered} had been answered");
    println!("{told}");
    assert!(interrupted > kills / 4 && answered > kills / 4, "{told}");
    settle(bed, &mut runtime, idle);
}

/// Starts and kills; how many calls that met, and how many were answered before.
fn kill(bed: &Bed, (kills, mut dice): (u32, Dice), runtime: &mut Runtime) -> (u32, u32) {
    let (mut answered, mut interrupted) = (0, 0);
    // How long the first call of a daemon's life takes, and a later one: measured, since the machine may be busy.
    let mut takes = [Duration::from_millis(20); 2];
    for _ in 0..kills {
        let victim = Victim::start(&bed.host, &bed.path(""));
        victim.assert_whole();
        let before = dice.below(3) as usize;
        for number in 0..before {
            let began = Instant::now();
            if runtime.turn(dice.below(PODS as u64) as usize) {
                takes[number.min(1)] = began.elapsed();
                answered += 1;
            }
        }
        // Somewhere in the next call, or just behind its answer, while chores are still being done.
        let most = takes[before.min(1)] * 5 / 4;
        let fuse = Duration::from_nanos(dice.below(most.as_nanos() as u64));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(fuse);
            victim.kill();
        });
        let is_answered = runtime.turn(dice.below(PODS as u64) as usize);
        *if is_answered { &mut answered } else { &mut interrupted } += 1;
        killer.join().unwrap();
    }
    (interrupted, answered)
}

/// The runtime's GC, and all there is held against what it believes.
fn settle(bed: &Bed, runtime: &mut Runtime, idle: Idle) {
    let victim = Victim::start(&bed.host, &bed.path(""));
    let known: Vec<usize> = (0..PODS).filter(|pod| runtime.beliefs[*pod] == Belief::Attached).collect();
    let valid: Vec<_> = known.iter().map(|pod| json!({ "containerID": format!("c{pod}"), "ifname": "eth0" })).collect();
    runtime.call("GC", PODS, &json!({ "cni.dev/valid-attachments": valid })).unwrap();
    crate::bed::eventually("only what the runtime knows is attached", || {
        victim.attachments().len() == known.len() && links(bed).len() == known.len()
    });
    let ports: BTreeSet<String> = victim.attachments().into_iter().map(|found| found.port).collect();
    assert_eq!(ports, links(bed), "a port a link, and no other");
    let claims = idle.macs.map(|idle| idle + known.len());
    crate::bed::eventually("the uplink claims what the pods have", || claimed_macs(bed) == claims);
    let owners: Vec<_> = known.iter().flat_map(|pod| [format!("c{pod}/eth0"), format!("c{pod}/eth0")]).collect();
    assert_eq!(victim.held(), owners, "an address of each family a pod");
    for pod in 0..PODS {
        let is_there = runtime.pods[pod].link("eth0").is_some();
        assert_eq!(is_there, known.contains(&pod), "the interface of c{pod}");
    }
    for pod in &known {
        let result = runtime.results[*pod].clone().unwrap();
        crate::bed::eventually("a CHECK finds it as promised", || {
            runtime.call("CHECK", *pod, &json!({ "prevResult": result })).is_ok()
        });
        runtime.call("DEL", *pod, &json!({})).unwrap();
    }
    crate::bed::eventually("nothing is left", || {
        victim.attachments().is_empty() && links(bed).is_empty() && victim.held().is_empty()
    });
    crate::bed::eventually("the uplink claims nothing for them", || claimed_macs(bed) == idle.macs);
    crate::bed::eventually("no socket is left", || victim.descriptors() == idle.descriptors);
    // What all pods share has a name that no port has.
    let pins = fs::read_dir(bed.pins()).unwrap().map(|pin| pin.unwrap().file_name().to_string_lossy().into_owned());
    assert_eq!(
        pins.filter(|pin| !pin.starts_with('%') && pin != "wire").collect::<Vec<_>>(),
        Vec::<String>::new(),
        "pins are left"
    );
    victim.kill();
}
