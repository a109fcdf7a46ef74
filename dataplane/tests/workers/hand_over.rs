//! Frames for a port of another worker: handed over whole, counted at every moment, and brought home.

use std::sync::Arc;

use crossbeam::channel::unbounded;
use podlane_dataplane::{
    DropReason, WorkerId,
    counters::Counters,
    port::memory::{MemoryPort, Wire},
    stage::dispatch::QUEUE_BOUND,
    tables::PortTable,
    testbed::{Moved, Plan, TestBed, dropped, made, received, sent},
    worker::{
        Worker, WorkerConfig,
        command::{Command, Line},
        handoff::RING,
    },
};
use podlane_wire::MacAddr;

use crate::rig::{BLUE, GREEN, RED, frame, mac, plan, pool, shared, small, strays};

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
    assert_eq!(strays(&bed), 1, "the frame is on its way home");
    bed.workers[1].turn(1);
    assert_eq!(strays(&bed), 0);
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
    let ledger = |made: &[(Worker, Line)]| {
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
    for number in [0, 1, 0] {
        made[number].0.turn(1);
    }
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

#[test]
fn a_full_transmit_queue_drops_by_name_and_keeps_what_was_there_first() {
    let (events, _back) = unbounded();
    let setup = (WorkerConfig { flow_idle: 60_000, ..WorkerConfig::default() }, pool(2048));
    let made = Worker::make(vec![setup], &shared(), &events).expect("file descriptors for a test");
    let Some((mut worker, line)) = made.into_iter().next() else { panic!("one worker a setup") };
    let (red, blue) = (Wire::default(), Wire::default());
    let (back, _former) = unbounded();
    for command in [
        Command::Tables(Arc::new(plan().build()), back),
        Command::Attach(RED, Box::new(MemoryPort::new(red.clone()))),
        Command::Attach(BLUE, Box::new(MemoryPort::new(blue.clone()))),
    ] {
        assert!(line.send(command).is_ok());
    }
    worker.obey();
    blue.take_at_most(0);
    let extra = 50;
    for _ in 0..QUEUE_BOUND + extra {
        red.send(small());
    }
    for _ in 0..QUEUE_BOUND {
        worker.turn(1);
    }
    let counters = worker.report().counters;
    assert!(counters.balanced());
    assert_eq!((counters.held, counters.lost()), (QUEUE_BOUND as u64, extra as u64));
    assert_eq!(counters.ports[RED.index()].dropped[DropReason::EgressFull as usize], extra as u64);
    blue.take_at_most(usize::MAX);
    worker.turn(1);
    let report = worker.report();
    assert_eq!((report.counters.sent(), report.counters.held), (QUEUE_BOUND as u64, 0));
    assert_eq!(report.frames.0, report.frames.1);
}
