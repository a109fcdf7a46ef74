//! Pods and the workers that join them.
//!
//! The control side in small: tables first, then each device is opened in the switch's namespace with frames the workers lent,
//! and its ends go to their workers. Pod `n` is port `n + 1`.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use podlane_dataplane::{
    DropReason, PortId, VrfId, WorkerId,
    counters::{Counters, PortCounters},
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    port::{
        Port,
        af_xdp::{Device, DeviceConfig},
    },
    stage::shared::Shared,
    tables::{PortTable, Tables},
    testbed::Plan,
    worker::{
        Crew, WorkerConfig,
        command::{Command, Event, Report},
    },
};
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_rings::{AskMode, FramePool, FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::MacAddr;

/// Slots of every ring; half a millisecond of a veth at its fastest.
const RING: u32 = 1024;
/// Frames of one worker: the fill rings of three ports twice over, and what waits in queues.
const FRAMES: u32 = 8192;
/// A worker obeys, and comes to rest, sooner than this on a loaded host.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// What to join, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// The queues of each pod's veth, and so how many pods.
    pub(crate) queues: &'static [u32],
    pub(crate) workers: usize,
    pub(crate) mtu: u16,
    /// Whether checksums may be left to the kernel by transmit metadata.
    pub(crate) metadata: bool,
    /// Whether each pod has a network of its own, joined by gateways.
    pub(crate) routed: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { queues: &[1, 1], workers: 1, mtu: 1500, metadata: true, routed: false }
    }
}

impl Setup {
    /// The network of a pod.
    fn network(&self, pod: usize) -> u8 {
        if self.routed { pod as u8 } else { 0 }
    }

    fn ipv4(&self, pod: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, self.network(pod), pod as u8 + 1)
    }

    fn ipv6(&self, pod: usize) -> Ipv6Addr {
        Ipv6Addr::new(0xfd09, 0, 0, self.network(pod).into(), 0, 0, 0, pod as u16 + 1)
    }

    fn pod(&self, pod: usize) -> PodSpec {
        let network = self.network(pod);
        PodSpec {
            ipv4: Some((self.ipv4(pod), 24)),
            ipv6: Some((self.ipv6(pod), 64)),
            gateway_v4: self.routed.then(|| gateway_v4(network)),
            gateway_v6: self.routed.then(|| gateway_v6(network)),
            mtu: self.mtu.into(),
            queues: self.queues[pod],
            ..PodSpec::named(&format!("pod{pod}"))
        }
    }

    fn tables(&self, pods: &[Pod]) -> Tables {
        let mut plan = Plan::new(if self.routed { pods.len() as u16 } else { 1 });
        if self.routed {
            for network in 0..pods.len() as u8 {
                let addresses = [(gateway_v4(network).into(), 24), (gateway_v6(network).into(), 64)];
                plan = plan
                    .network(network.into(), |network| network.vrf = VrfId(0))
                    .gateway(network.into(), MacAddr([2, 0, 0, 0, 9, network]), &addresses)
                    .network(network.into(), |network| {
                        network.gateway.as_mut().expect("it was just given one").mtu = self.mtu;
                    });
            }
        }
        for (number, pod) in pods.iter().enumerate() {
            let table = PortTable {
                mac: Some(MacAddr(pod.mac)),
                addresses: vec![self.ipv4(number).into(), self.ipv6(number).into()],
                mtu: self.mtu,
                unfinished_checksums: true,
                ..PortTable::default()
            };
            plan = plan.port(port(number), self.network(number).into(), table);
        }
        plan.build()
    }
}

fn gateway_v4(network: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, network, 254)
}

fn gateway_v6(network: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd09, 0, 0, network.into(), 0, 0, 0, 0xfe)
}

/// The port of a pod.
pub(crate) fn port(pod: usize) -> PortId {
    PortId(pod as u16 + 1)
}

/// Pods joined by running workers.
pub(crate) struct Bed {
    setup: Setup,
    crew: Crew,
    devices: BTreeMap<usize, Device>,
    pub(crate) events: Receiver<Event>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) lab: Lab,
}

impl Bed {
    /// Pods, workers, tables, and every pod attached.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut lab = Lab::new().expect("a lab, for it was tried out");
        let pods: Vec<_> =
            (0..setup.queues.len()).map(|pod| lab.pod(&setup.pod(pod)).expect("a pod of its own name")).collect();
        let table = FlowTable::new(4096, HashSeed::random()).expect("memory for a test");
        let (report, events) = unbounded();
        let config = WorkerConfig { flow_idle: 60_000, ..WorkerConfig::default() };
        let crew = (0..setup.workers).map(|_| (config, pool())).collect();
        let connections = Connections::new(1024, Settings::default(), HashSeed::random()).expect("memory for a test");
        let crew =
            Crew::start(crew, &Arc::new(Shared::new(table, connections, 1024).expect("memory for a test")), &report)
                .expect("threads for a test");
        let mut bed = Self { setup, crew, devices: BTreeMap::new(), events, pods, lab };
        let tables = Arc::new(setup.tables(&bed.pods));
        bed.ask_all(|back| Command::Tables(Arc::clone(&tables), back));
        (0..bed.pods.len()).for_each(|pod| bed.attach(pod));
        bed
    }

    /// A pod's address of one family.
    pub(crate) fn address(&self, pod: usize, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.setup.ipv4(pod).into(),
            Family::V6 => self.setup.ipv6(pod).into(),
        }
    }

    /// Opens a pod's device and gives its ends to the workers.
    pub(crate) fn attach(&mut self, pod: usize) {
        let config = self.device(pod);
        let mut pools = self.ask_all(|back| Command::Lend((RING * self.setup.queues[pod]) as usize, back));
        let opened = self.lab.switch().run(|| Device::open(&config, &mut pools));
        for (worker, pool) in pools.into_iter().enumerate() {
            self.command(worker, Command::Absorb(pool));
        }
        let (device, mut ends) = opened.expect("the switch's namespace").expect("a veth can be a port");
        self.devices.insert(pod, device);
        let first = ends[0].0;
        for worker in 0..self.setup.workers {
            let own = ends.iter().position(|(owner, _)| *owner == WorkerId(worker as u16));
            let command = match own.map(|at| ends.swap_remove(at).1) {
                Some(end) => Command::Attach(port(pod), Box::new(end)),
                None => Command::AttachRemote(port(pod), first),
            };
            self.command(worker, command);
        }
    }

    /// Takes a pod's port from the workers, closes its ends and takes the program off its device.
    pub(crate) fn detach(&mut self, pod: usize) {
        let ends: Vec<Option<Box<dyn Port>>> = self.ask_all(|back| Command::Detach(port(pod), back));
        for (worker, end) in ends.into_iter().enumerate() {
            let Some(end) = end else { continue };
            let mut lent = self.ask(worker, |back| Command::Lend(0, back));
            end.close(&mut lent);
            self.command(worker, Command::Absorb(lent));
        }
        let device = self.devices.remove(&pod).expect("it was attached");
        device.close().expect("nothing is pinned");
    }

    /// Every worker's report.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.ask_all(Command::Report)
    }

    /// Every worker's report once nothing is under way: each ledger balances with the others', and each frame is free or lent to
    /// the kernel.
    pub(crate) fn settled(&self) -> Vec<Report> {
        let until = Instant::now() + SOON;
        loop {
            let reports = self.reports();
            let total = ledger(&reports);
            let at_rest = total.waiting() == 0 && total.handed == total.taken && total.balanced();
            if at_rest && reports.iter().all(frames_are_accounted_for) {
                return reports;
            }
            assert!(Instant::now() < until, "the switch does not come to rest: {reports:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Detaches every port that is left: then all frames are home.
    pub(crate) fn close(mut self) {
        self.settled();
        let left: Vec<_> = self.devices.keys().copied().collect();
        left.into_iter().for_each(|pod| self.detach(pod));
        for report in self.settled() {
            assert_eq!(report.frames.0, report.frames.1, "frames are lost: {report:?}");
        }
    }

    fn device(&self, pod: usize) -> DeviceConfig {
        let Pod { host_ifname, host_ifindex, .. } = &self.pods[pod];
        DeviceConfig {
            name: host_ifname.clone(),
            ifindex: *host_ifindex,
            program: podlane_bpf::Program::Pod,
            pin: None,
            attach: podlane_bpf::AskMode::Native,
            mode: AskMode::Auto,
            ring: RING,
            fill: RING,
            queues: self.setup.queues[pod],
            multi_buffer: self.setup.mtu > 1500,
            checksum_offload: self.setup.metadata,
        }
    }

    fn command(&self, worker: usize, command: Command) {
        assert!(self.crew.lines[worker].send(command).is_ok(), "worker {worker} is running");
    }

    fn ask<T>(&self, worker: usize, command: impl Fn(Sender<T>) -> Command) -> T {
        let (back, answer) = unbounded();
        self.command(worker, command(back));
        answer.recv_timeout(SOON).expect("a running worker answers")
    }

    fn ask_all<T>(&self, command: impl Fn(Sender<T>) -> Command) -> Vec<T> {
        (0..self.setup.workers).map(|worker| self.ask(worker, &command)).collect()
    }
}

/// The ledger of the whole switch.
pub(crate) fn ledger(reports: &[Report]) -> Counters {
    let mut total = Counters::default();
    reports.iter().for_each(|report| total.merge(&report.counters));
    total
}

/// How many died of what. Pods join multicast groups while ports are still being attached: those to a port that is yet to come die.
pub(crate) fn deaths(reports: &[Report]) -> Vec<(DropReason, u64)> {
    ledger(reports).ports.iter().flat_map(PortCounters::reasons).collect()
}

fn frames_are_accounted_for(report: &Report) -> bool {
    let lent: u64 = report.ports.iter().map(|port| port.lent.0 + port.lent.1).sum();
    report.frames.0 as u64 == report.frames.1 as u64 + lent
}

fn pool() -> FramePool {
    let config = UmemConfig { frames: FRAMES, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    Umem::create(&config).expect("memory for a test").1
}

/// Which Internet Protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
