//! What the tests of workers stand on: three ports, ports that wake like sockets, and workers on real threads.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use podlane_dataplane::{
    Generation, PortId, WorkerId,
    burst::{Burst, OutQueue},
    counters::Counters,
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    port::{
        Port, PortError, PortFacts,
        memory::{MemoryPort, Wire},
    },
    stage::shared::Shared,
    tables::{PortTable, Tables},
    testbed::{Plan, TestBed},
    worker::{
        Crew, WorkerConfig,
        command::{Command, Event, Report},
        idle::Poll,
    },
};
use podlane_rings::{FramePool, FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::{EtherType, EthernetHeader, MacAddr};

pub(crate) const RED: PortId = PortId(1);
pub(crate) const BLUE: PortId = PortId(2);
pub(crate) const GREEN: PortId = PortId(3);
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn mac(port: PortId) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, port.0 as u8])
}

/// A frame from the station of one port to that of another, `length` bytes behind the Ethernet header.
pub(crate) fn frame(from: PortId, to: MacAddr, length: usize) -> Vec<u8> {
    let mut frame = vec![0; 14];
    let header = EthernetHeader { destination: to, source: mac(from), ethertype: EtherType(0x88b5) };
    header.emit(&mut frame).expect("room for a header");
    frame.extend((0..length).map(|n| (n ^ n >> 8) as u8));
    frame
}

pub(crate) fn small() -> Vec<u8> {
    frame(RED, mac(BLUE), 46)
}

/// RED, BLUE and GREEN in one network; jumbo frames.
pub(crate) fn plan() -> Plan {
    let stated = |port| PortTable { mac: Some(mac(port)), mtu: 9000, ..PortTable::default() };
    Plan::new(1).port(RED, 0, stated(RED)).port(BLUE, 0, stated(BLUE)).port(GREEN, 0, stated(GREEN))
}

/// Of how many frames a worker's pool is, and how many are at home.
pub(crate) fn strays(bed: &TestBed) -> usize {
    bed.workers.iter().map(|worker| worker.report().frames).map(|(total, free)| total - free).sum()
}

/// A worker's memory.
pub(crate) fn pool(frames: u32) -> FramePool {
    let config = UmemConfig { frames, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    Umem::create(&config).expect("memory for a test").1
}

pub(crate) fn shared() -> Arc<Shared> {
    let flows = FlowTable::new(1024, HashSeed::fixed()).expect("memory for a test");
    let connections = Connections::new(1024, Settings::default(), HashSeed::fixed()).expect("memory for a test");
    Arc::new(Shared::new(flows, connections, 1024).expect("memory for a test"))
}

/// A port in memory that wakes its worker, as a socket does, and notes what the worker's thread has cost.
pub(crate) struct Socketlike {
    inner: MemoryPort,
    fd: Arc<EventFd>,
    pub(crate) costs: Arc<Mutex<Vec<(Instant, TimeVal)>>>,
}

impl Port for Socketlike {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        let _ = self.fd.read();
        self.inner.receive(pool, burst);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        self.inner.transmit(pool, queue);
    }

    fn settle(&mut self, pool: &mut FramePool) -> Result<(), PortError> {
        self.inner.settle(pool)
    }

    fn health(&mut self) -> Result<(), PortError> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("a thread knows what it cost");
        self.costs
            .lock()
            .expect("no test panics with it")
            .push((Instant::now(), usage.user_time() + usage.system_time()));
        Ok(())
    }

    fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.fd.as_fd()]
    }

    fn facts(&self) -> PortFacts {
        self.inner.facts()
    }

    fn close(self: Box<Self>, pool: &mut FramePool) {
        Box::new(self.inner).close(pool);
    }
}

/// The outside of a [`Socketlike`].
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) wire: Wire,
    fd: Arc<EventFd>,
    pub(crate) costs: Arc<Mutex<Vec<(Instant, TimeVal)>>>,
}

impl Line {
    pub(crate) fn new() -> Self {
        let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("a file descriptor for a test");
        Self { wire: Wire::default(), fd: Arc::new(fd), costs: Arc::default() }
    }

    pub(crate) fn port(&self) -> Box<dyn Port> {
        let Self { wire, fd, costs } = self.clone();
        Box::new(Socketlike { inner: MemoryPort::new(wire), fd, costs })
    }

    pub(crate) fn send(&self, packet: &[u8]) {
        self.wire.send(packet);
        self.fd.write(1).expect("an eventfd that is read");
    }
}

/// Running workers; port `n` is served by worker `n mod workers`, as in a test bed.
pub(crate) struct Running {
    pub(crate) crew: Crew,
    pub(crate) lines: BTreeMap<PortId, Line>,
    pub(crate) former: Receiver<Arc<Tables>>,
    back: Sender<Arc<Tables>>,
    pub(crate) events: Receiver<Event>,
}

impl Running {
    pub(crate) fn start(workers: usize, poll: Poll) -> Self {
        let (report, events) = unbounded();
        let config = WorkerConfig { poll, flow_idle: 60_000, ..WorkerConfig::default() };
        let setups = (0..workers).map(|_| (config, pool(2048))).collect();
        let crew = Crew::start(setups, &shared(), &report).expect("threads for a test");
        let (back, former) = unbounded();
        let mut running = Self { crew, lines: BTreeMap::new(), former, back, events };
        running.publish(1);
        for port in [RED, BLUE, GREEN] {
            running.attach(port);
        }
        running
    }

    pub(crate) fn command(&self, worker: usize, command: Command) {
        assert!(self.crew.lines[worker].send(command).is_ok(), "the worker is running");
    }

    pub(crate) fn publish(&self, generation: u32) {
        let tables = Arc::new(Tables { generation: Generation(generation), ..plan().build() });
        for worker in 0..self.crew.lines.len() {
            self.command(worker, Command::Tables(Arc::clone(&tables), self.back.clone()));
        }
    }

    pub(crate) fn owner(&self, port: PortId) -> usize {
        port.index() % self.crew.lines.len()
    }

    pub(crate) fn attach(&mut self, port: PortId) {
        let line = self.lines.entry(port).or_insert_with(Line::new).clone();
        let owner = self.owner(port);
        for worker in (0..self.crew.lines.len()).filter(|worker| *worker != owner) {
            self.command(worker, Command::AttachRemote(port, WorkerId(owner as u16)));
        }
        self.command(owner, Command::Attach(port, line.port()));
    }

    pub(crate) fn detach(&self, port: PortId) {
        let (back, ends) = unbounded();
        for worker in 0..self.crew.lines.len() {
            self.command(worker, Command::Detach(port, back.clone()));
        }
        drop(back);
        let end = ends.iter().flatten().next().expect("the owner gives the port back");
        let (lend, lent) = unbounded();
        self.command(self.owner(port), Command::Lend(8, lend));
        let mut pool = lent.recv_timeout(SOON).expect("a worker lends frames");
        end.close(&mut pool);
        self.command(self.owner(port), Command::Absorb(pool));
    }

    pub(crate) fn report(&self, worker: usize) -> Report {
        let (back, report) = unbounded();
        self.command(worker, Command::Report(back));
        report.recv_timeout(SOON).expect("a running worker reports")
    }

    /// The ledger once nothing moves any more.
    pub(crate) fn settled(&self) -> Counters {
        let look = || {
            let mut total = Counters::default();
            (0..self.crew.lines.len()).for_each(|worker| total.merge(&self.report(worker).counters));
            total
        };
        let until = Instant::now() + SOON;
        let mut before = look();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = look();
            if now == before && now.waiting() == 0 {
                assert!(now.balanced(), "received = sent + dropped + held does not hold: {now:?}");
                return now;
            }
            assert!(Instant::now() < until, "the switch does not settle: {now:?}");
            before = now;
        }
    }

    /// How long the port's next packet takes to appear.
    pub(crate) fn wait_for(&self, port: PortId) -> Duration {
        let asked = Instant::now();
        while self.lines[&port].wire.receive().is_empty() {
            assert!(asked.elapsed() < SOON, "no packet came out of port {port}");
            thread::yield_now();
        }
        asked.elapsed()
    }

    /// Sends `packets` from RED to BLUE on a thread of its own, and does something meanwhile. Returns how many came out.
    ///
    /// The sender waits while 256 are under way, but no longer than its patience: what it is told to overlook is lost.
    pub(crate) fn under_traffic(
        &mut self,
        packets: usize,
        patience: Duration,
        meanwhile: impl FnOnce(&mut Self),
    ) -> usize {
        let (from, to) = (self.lines[&RED].clone(), self.lines[&BLUE].wire.clone());
        let traffic = thread::spawn(move || {
            let (mut arrived, mut overlooked) = (0, 0);
            for sent in 1..=packets {
                from.send(&small());
                let asked = Instant::now();
                while sent > arrived + overlooked + 256 {
                    arrived += to.receive().len();
                    if asked.elapsed() > patience {
                        overlooked = sent.saturating_sub(arrived);
                    }
                    thread::yield_now();
                }
            }
            arrived
        });
        meanwhile(self);
        traffic.join().expect("a sender that only sends")
    }
}
