//! Workers among each other and on real threads: hand-over, ports and tables that come and go under traffic, sleep and
//! waking, and an end that loses no memory.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crossbeam::channel::{Receiver, unbounded};
use nix::sys::{
    eventfd::EventFd,
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use podlane_dataplane::{
    DropReason, Generation, PortId, WorkerId,
    burst::{Burst, OutQueue},
    counters::Counters,
    flow::{FlowTable, HashSeed},
    port::{
        Port, PortError, PortFacts,
        memory::{MemoryPort, Wire},
    },
    stage::resolve::Shared,
    tables::{PortTable, Tables},
    testbed::{Moved, Plan, TestBed, dropped, made, received, sent},
    worker::{
        Crew, Worker, WorkerConfig,
        command::{Command, Event, Report},
        handoff::RING,
        idle::Poll,
    },
};
use podlane_rings::{FramePool, FrameSize, HugePages, Umem, UmemConfig, leaked_bytes};
use podlane_wire::{EtherType, EthernetHeader, MacAddr};

const RED: PortId = PortId(1);
const BLUE: PortId = PortId(2);
const GREEN: PortId = PortId(3);
const SOON: Duration = Duration::from_secs(5);

fn mac(port: PortId) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, port.0 as u8])
}

/// A frame from the station of one port to that of another, `length` bytes behind the Ethernet header.
fn frame(from: PortId, to: MacAddr, length: usize) -> Vec<u8> {
    let mut frame = vec![0; 14];
    let header = EthernetHeader { destination: to, source: mac(from), ethertype: EtherType(0x88b5) };
    header.emit(&mut frame).expect("room for a header");
    frame.extend((0..length).map(|n| (n ^ n >> 8) as u8));
    frame
}

fn small() -> Vec<u8> {
    frame(RED, mac(BLUE), 46)
}

/// RED, BLUE and GREEN in one network; jumbo frames.
fn plan() -> Plan {
    let stated = |port| PortTable { mac: Some(mac(port)), mtu: 9000, ..PortTable::default() };
    Plan::new(1).port(RED, 0, stated(RED)).port(BLUE, 0, stated(BLUE)).port(GREEN, 0, stated(GREEN))
}

/// Of how many frames a worker's pool is, and how many are at home.
fn strays(bed: &TestBed) -> usize {
    bed.workers.iter().map(|worker| worker.report().frames).map(|(total, free)| total - free).sum()
}

#[test]
fn a_packet_is_handed_to_the_worker_of_its_leaving_port_and_its_frame_comes_home() {
    let mut bed = TestBed::with_workers(plan(), 2);
    for _ in 0..50 {
        bed.receive(RED, small());
        bed.receive(BLUE, frame(BLUE, mac(RED), 46));
    }
    for _ in 0..3 {
        bed.turn();
    }
    assert_eq!(bed.moved(), [received(RED, 50), received(BLUE, 50), sent(RED, 50), sent(BLUE, 50)]);
    let counters = bed.counters();
    assert_eq!((counters.handed, counters.taken), (100, 100));
    assert_eq!(strays(&bed), 0);
    assert_eq!(bed.sent_by(BLUE), vec![small(); 50]);
}

#[test]
fn a_packet_between_ports_of_one_worker_is_not_handed() {
    let mut bed = TestBed::with_workers(plan(), 2);
    bed.receive(RED, frame(RED, mac(GREEN), 46));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
    assert_eq!(bed.counters().handed, 0);
}

#[test]
fn what_is_under_way_between_workers_is_held() {
    let mut bed = TestBed::with_workers(plan(), 2);
    bed.receive(RED, small());
    bed.workers[1].turn(1);
    assert_eq!(bed.moved(), [received(RED, 1), Moved::Held(1)]);
    bed.workers[0].turn(1);
    assert_eq!(bed.moved(), [sent(BLUE, 1)]);
}

#[test]
fn a_frame_of_many_slots_is_handed_over_whole() {
    let mut bed = TestBed::with_workers(plan(), 3);
    let jumbo = frame(RED, mac(BLUE), 8000);
    bed.receive(RED, jumbo.clone());
    for _ in 0..2 {
        bed.turn();
    }
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [jumbo]);
    assert_eq!(strays(&bed), 0);
}

#[test]
fn a_flood_reaches_the_ports_of_every_worker() {
    let mut bed = TestBed::with_workers(plan(), 3);
    bed.receive(RED, frame(RED, MacAddr([0xff; 6]), 46));
    for _ in 0..2 {
        bed.turn();
    }
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 1), sent(GREEN, 1)]);
    assert_eq!(strays(&bed), 0);
}

#[test]
fn what_one_worker_learns_all_know() {
    let open = PortTable::default;
    let plan = Plan::new(1).port(RED, 0, open()).port(BLUE, 0, open()).port(GREEN, 0, open());
    let mut bed = TestBed::with_workers(plan, 3);
    for packet in [frame(BLUE, mac(RED), 46), small(), small()] {
        let port = if packet[11] == 2 { BLUE } else { RED };
        bed.receive(port, packet);
        bed.turn();
        bed.turn();
    }
    assert_eq!(
        bed.moved(),
        [made(1), received(RED, 2), received(BLUE, 1), sent(RED, 1), sent(BLUE, 2), sent(GREEN, 1)]
    );
    // B moves to GREEN, which a third worker serves: RED's worker forgets its flow at once.
    bed.receive(GREEN, frame(BLUE, mac(RED), 46));
    bed.turn();
    bed.turn();
    bed.moved();
    bed.receive(RED, small());
    bed.turn();
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(GREEN, 1)]);
}

/// A worker's memory.
fn pool(frames: u32) -> FramePool {
    let config = UmemConfig { frames, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    Umem::create(&config).expect("memory for a test").1
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(FlowTable::new(1024, HashSeed::fixed()).expect("memory for a test"), 1024))
}

#[test]
fn a_full_ring_to_another_worker_drops_by_name() {
    let (events, _back) = unbounded();
    let setups = (0..2).map(|_| (WorkerConfig { flow_idle: 60_000, ..WorkerConfig::default() }, pool(2048))).collect();
    let mut made = Worker::make(setups, &shared(), &events).expect("file descriptors for a test");
    let tables = Arc::new(plan().build());
    let wires: Vec<Wire> = (0..2).map(|_| Wire::default()).collect();
    for (number, (worker, line)) in made.iter_mut().enumerate() {
        let send = |command| assert!(line.send(command).is_ok());
        let (back, _former) = unbounded();
        let (own, other) = if number == 0 { (RED, BLUE) } else { (BLUE, RED) };
        send(Command::Tables(Arc::clone(&tables), back));
        send(Command::Attach(own, Box::new(MemoryPort::new(wires[number].clone()))));
        send(Command::AttachRemote(other, WorkerId(1 - number as u16)));
        worker.obey();
    }
    let extra = 100;
    for _ in 0..RING + extra {
        wires[0].send(small());
    }
    for _ in 0..RING {
        made[0].0.turn(1);
    }
    let ledger = |made: &[(Worker, podlane_dataplane::worker::command::Line)]| {
        let mut total = Counters::default();
        made.iter().for_each(|(worker, _)| total.merge(&worker.report().counters));
        assert!(total.balanced());
        total
    };
    let total = ledger(&made);
    assert_eq!((total.received(), total.waiting(), total.lost()), ((RING + extra) as u64, RING as u64, extra as u64));
    assert_eq!(total.ports[RED.index()].dropped[DropReason::HandoffFull as usize], extra as u64);
    // The other worker wakes up: all that waited leaves, the frames come home, and the way is open again.
    for _ in 0..RING {
        made[1].0.turn(1);
        made[0].0.turn(1);
    }
    let total = ledger(&made);
    assert_eq!((total.sent(), total.waiting()), (RING as u64, 0));
    for (worker, _) in &made {
        let (total, free) = worker.report().frames;
        assert_eq!(total, free);
    }
    wires[0].send(small());
    made[0].0.turn(1);
    made[1].0.turn(1);
    assert_eq!(ledger(&made).sent(), RING as u64 + 1);
}

#[test]
fn a_port_that_goes_while_frames_are_on_their_way_drops_them_by_name() {
    let mut bed = TestBed::with_workers(plan(), 2);
    for _ in 0..10 {
        bed.receive(RED, small());
    }
    bed.workers[1].turn(1);
    bed.detach(BLUE);
    bed.turn();
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 10), dropped(DropReason::EgressGone, 10)]);
    assert_eq!(strays(&bed), 0);
}

/// A port in memory that wakes its worker, as a socket does, and notes what the worker's thread has cost.
struct Socketlike {
    inner: MemoryPort,
    fd: Arc<EventFd>,
    costs: Arc<Mutex<Vec<(Instant, TimeVal)>>>,
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
        self.costs.lock().unwrap().push((Instant::now(), usage.user_time() + usage.system_time()));
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
struct Line {
    wire: Wire,
    fd: Arc<EventFd>,
    costs: Arc<Mutex<Vec<(Instant, TimeVal)>>>,
}

impl Line {
    fn new() -> Self {
        use nix::sys::eventfd::EfdFlags;
        let fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("a file descriptor for a test");
        Self { wire: Wire::default(), fd: Arc::new(fd), costs: Arc::default() }
    }

    fn port(&self) -> Box<dyn Port> {
        let Self { wire, fd, costs } = self.clone();
        Box::new(Socketlike { inner: MemoryPort::new(wire), fd, costs })
    }

    fn send(&self, packet: &[u8]) {
        self.wire.send(packet);
        self.fd.write(1).expect("an eventfd that is read");
    }
}

/// Running workers; port `n` is served by worker `n mod workers`, as in a test bed.
struct Running {
    crew: Crew,
    lines: BTreeMap<PortId, Line>,
    former: Receiver<Arc<Tables>>,
    back: crossbeam::channel::Sender<Arc<Tables>>,
    events: Receiver<Event>,
}

impl Running {
    fn start(workers: usize, poll: Poll) -> Self {
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

    fn command(&self, worker: usize, command: Command) {
        assert!(self.crew.lines[worker].send(command).is_ok(), "the worker is running");
    }

    fn publish(&self, generation: u32) {
        let tables = Arc::new(Tables { generation: Generation(generation), ..plan().build() });
        for worker in 0..self.crew.lines.len() {
            self.command(worker, Command::Tables(Arc::clone(&tables), self.back.clone()));
        }
    }

    fn owner(&self, port: PortId) -> usize {
        port.index() % self.crew.lines.len()
    }

    fn attach(&mut self, port: PortId) {
        let line = self.lines.entry(port).or_insert_with(Line::new).clone();
        let owner = self.owner(port);
        for worker in (0..self.crew.lines.len()).filter(|worker| *worker != owner) {
            self.command(worker, Command::AttachRemote(port, WorkerId(owner as u16)));
        }
        self.command(owner, Command::Attach(port, line.port()));
    }

    fn detach(&self, port: PortId) {
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

    fn report(&self, worker: usize) -> Report {
        let (back, report) = unbounded();
        self.command(worker, Command::Report(back));
        report.recv_timeout(SOON).expect("a running worker reports")
    }

    /// The ledger once nothing moves any more.
    fn settled(&self) -> Counters {
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
    fn wait_for(&self, port: PortId) -> Duration {
        let asked = Instant::now();
        while self.lines[&port].wire.receive().is_empty() {
            assert!(asked.elapsed() < SOON, "no packet came out of port {port}");
            thread::yield_now();
        }
        asked.elapsed()
    }

    /// Sends `packets` from RED to BLUE on a thread of its own, and does something meanwhile.
    fn under_traffic(&mut self, packets: usize, meanwhile: impl FnOnce(&mut Self)) {
        let line = self.lines[&RED].clone();
        let traffic = thread::spawn(move || {
            for number in 0..packets {
                line.send(&small());
                if number % 64 == 63 {
                    // No more than the pool has frames for: this test is not about overload.
                    thread::sleep(Duration::from_micros(300));
                }
            }
        });
        meanwhile(self);
        traffic.join().expect("a sender that only sends");
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn workers_on_threads_lose_no_packet_and_no_frame() {
    let mut running = Running::start(3, Poll::Adaptive);
    running.under_traffic(5000, |_| ());
    let counters = running.settled();
    assert_eq!((counters.received(), counters.sent(), counters.lost()), (5000, 5000, 0));
    assert_eq!((counters.handed, counters.taken), (5000, 5000));
    assert_eq!(running.lines[&BLUE].wire.receive().len(), 5000);
    for worker in 0..3 {
        let (total, free) = running.report(worker).frames;
        assert_eq!(total, free);
    }
}

#[test]
fn tables_swapped_under_traffic_cost_no_packet_and_come_back() {
    let mut running = Running::start(2, Poll::Adaptive);
    running.under_traffic(10_000, |running| {
        for generation in 2..=100 {
            running.publish(generation);
            thread::sleep(Duration::from_micros(300));
        }
    });
    let counters = running.settled();
    assert_eq!((counters.received(), counters.sent(), counters.lost()), (10_000, 10_000, 0));
    // One for each worker and publication, the empty tables of the first day included.
    let former: Vec<_> = running.former.try_iter().collect();
    assert_eq!(former.len(), 2 * 100);
    // The last tables are in use, the former ones have no reader left but us.
    drop(running);
    assert!(former.iter().all(|tables| Arc::strong_count(tables) <= 2));
}

#[test]
fn a_port_that_comes_and_goes_under_traffic_drops_by_name_and_loses_nothing() {
    let mut running = Running::start(2, Poll::Adaptive);
    running.under_traffic(10_000, |running| {
        for _ in 0..20 {
            running.detach(BLUE);
            thread::sleep(Duration::from_millis(1));
            running.attach(BLUE);
            thread::sleep(Duration::from_millis(1));
        }
    });
    let counters = running.settled();
    let mut reasons = [0; 3];
    for (reason, count) in counters.ports.iter().flat_map(|port| port.reasons().collect::<Vec<_>>()) {
        match reason {
            DropReason::EgressGone => reasons[0] += count,
            DropReason::PortRemoved => reasons[1] += count,
            other => panic!("{count} packets died by {other:?}"),
        }
    }
    assert_eq!(counters.received(), 10_000);
    assert_eq!(counters.sent() + reasons[0] + reasons[1], 10_000);
    assert_eq!(running.lines[&BLUE].wire.receive().len() as u64, counters.sent());
    for worker in 0..2 {
        let (total, free) = running.report(worker).frames;
        assert_eq!(total, free, "worker {worker}");
    }
}

#[test]
fn workers_that_stop_with_frames_under_way_leak_nothing() {
    for workers in 1..=3 {
        for _ in 0..5 {
            let mut running = Running::start(workers, Poll::Adaptive);
            // BLUE does not keep up: frames wait in its queue, in rings, and on their way home.
            running.lines[&BLUE].wire.take_at_most(10);
            running.under_traffic(3000, |running| {
                thread::sleep(Duration::from_millis(2));
                running.crew.stop();
            });
            drop(running);
        }
    }
    assert_eq!(leaked_bytes(), 0);
}

#[test]
fn a_sleeping_worker_is_woken_by_a_hand_over() {
    let running = Running::start(2, Poll::Adaptive);
    let times = (0..11).map(|_| {
        thread::sleep(Duration::from_millis(30));
        running.lines[&RED].send(&small());
        running.wait_for(BLUE)
    });
    let typical = median(times.collect());
    assert!(running.report(running.owner(BLUE)).pace.sleeps > 0);
    assert!(typical < Duration::from_millis(5), "a sleep ends by itself only after 100 ms, but this took {typical:?}");
}

#[test]
fn a_sleeping_worker_is_woken_by_a_command() {
    let running = Running::start(1, Poll::Adaptive);
    let times = (0..11).map(|_| {
        thread::sleep(Duration::from_millis(30));
        let asked = Instant::now();
        let report = running.report(0);
        assert!(report.pace.sleeps > 0);
        asked.elapsed()
    });
    let typical = median(times.collect());
    assert!(typical < Duration::from_millis(5), "a sleep ends by itself only after 100 ms, but this took {typical:?}");
}

#[test]
fn an_idle_adaptive_worker_costs_little() {
    let running = Running::start(1, Poll::Adaptive);
    thread::sleep(Duration::from_millis(1300));
    let costs = running.lines[&RED].costs.lock().unwrap().clone();
    let [first, .., last] = &costs[..] else { panic!("health is looked after several times a second") };
    let cost = last.1 - first.1;
    let cost = Duration::from_micros(cost.tv_sec() as u64 * 1_000_000 + cost.tv_usec() as u64);
    let passed = last.0 - first.0;
    assert!(passed > Duration::from_millis(800));
    assert!(cost * 20 < passed, "{cost:?} of {passed:?}");
}

#[test]
fn a_busy_worker_never_sleeps() {
    let running = Running::start(1, Poll::Busy);
    thread::sleep(Duration::from_millis(20));
    let pace = running.report(0).pace;
    assert_eq!(pace.sleeps, 0);
    assert!(pace.turns > 1000);
}

/// A port whose device vanishes when it is told to.
struct Mortal {
    inner: MemoryPort,
    dead: Arc<std::sync::atomic::AtomicBool>,
}

impl Port for Mortal {
    fn receive(&mut self, pool: &mut FramePool, burst: &mut Burst) {
        self.inner.receive(pool, burst);
    }

    fn transmit(&mut self, pool: &mut FramePool, queue: &mut OutQueue) {
        self.inner.transmit(pool, queue);
    }

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        let dead = self.dead.load(std::sync::atomic::Ordering::Relaxed);
        if dead { Err(PortError::Gone { device: "veth-test".into() }) } else { Ok(()) }
    }

    fn facts(&self) -> PortFacts {
        self.inner.facts()
    }

    fn close(self: Box<Self>, pool: &mut FramePool) {
        Box::new(self.inner).close(pool);
    }
}

#[test]
fn a_port_that_dies_is_reported_once_and_its_packets_have_a_name() {
    let mut bed = TestBed::new(plan());
    bed.detach(BLUE);
    let (wire, dead) = (Wire::default(), Arc::default());
    bed.attach(BLUE, Box::new(Mortal { inner: MemoryPort::new(wire.clone()), dead: Arc::clone(&dead) }));
    bed.receive(RED, small());
    bed.turn();
    wire.take_at_most(0);
    for _ in 0..3 {
        bed.receive(RED, small());
    }
    bed.turn();
    dead.store(true, std::sync::atomic::Ordering::Relaxed);
    bed.turn();
    bed.receive(RED, small());
    bed.turn();
    assert_eq!(
        bed.moved(),
        [received(RED, 5), sent(BLUE, 1), dropped(DropReason::EgressGone, 1), dropped(DropReason::PortRemoved, 3)]
    );
    let events = bed.events();
    assert!(matches!(&events[..], [Event::PortDied { port: BLUE, error: PortError::Gone { .. }, .. }]), "{events:?}");
    assert_eq!(strays(&bed), 0);
}

/// A port whose driver has a fault.
struct Panicking;

impl Port for Panicking {
    fn receive(&mut self, _pool: &mut FramePool, _burst: &mut Burst) {
        panic!("a fault of the driver, on purpose");
    }

    fn transmit(&mut self, _pool: &mut FramePool, _queue: &mut OutQueue) {}

    fn settle(&mut self, _pool: &mut FramePool) -> Result<(), PortError> {
        Ok(())
    }

    fn facts(&self) -> PortFacts {
        PortFacts::default()
    }

    fn close(self: Box<Self>, _pool: &mut FramePool) {}
}

#[test]
fn a_worker_that_ends_by_a_fault_is_reported_and_the_others_go_on() {
    let running = Running::start(2, Poll::Adaptive);
    running.command(0, Command::Attach(PortId(10), Box::new(Panicking)));
    let event = running.events.recv_timeout(SOON).expect("the end of a worker is an event");
    assert!(matches!(event, Event::WorkerEnded { worker: WorkerId(0) }), "{event:?}");
    running.lines[&RED].send(&frame(RED, mac(GREEN), 46));
    running.wait_for(GREEN);
}
