//! Workers on threads of their own: change under traffic, sleep and waking, and an end that loses no memory.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use podlane_dataplane::{DropReason, worker::idle::Poll};
use podlane_rings::leaked_bytes;

use crate::rig::{BLUE, RED, Running, SOON, small};

/// Within which time a quarter of the wake-ups came. A machine that is busy elsewhere makes the others late, but a worker that
/// is not woken at all would sleep for 100 ms, whoever asks: a quarter within 25 ms.
fn quick_ones(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 4]
}

#[test]
fn workers_on_threads_lose_no_packet_and_no_frame() {
    let mut running = Running::start(3, Poll::Adaptive);
    let arrived = running.under_traffic(5000, SOON, |_| ());
    let counters = running.settled();
    assert_eq!((counters.received(), counters.sent(), counters.lost()), (5000, 5000, 0));
    assert_eq!((counters.handed, counters.taken), (5000, 5000));
    assert_eq!(arrived + running.lines[&BLUE].wire.receive().len(), 5000);
    for worker in 0..3 {
        let (total, free) = running.report(worker).frames;
        assert_eq!(total, free);
    }
}

#[test]
fn tables_swapped_under_traffic_cost_no_packet_and_come_back() {
    let mut running = Running::start(2, Poll::Adaptive);
    running.under_traffic(10_000, SOON, |running| {
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
    let arrived = running.under_traffic(10_000, Duration::from_micros(500), |running| {
        for _ in 0..20 {
            running.detach(BLUE);
            thread::sleep(Duration::from_millis(1));
            running.attach(BLUE);
            thread::sleep(Duration::from_millis(1));
        }
    });
    let counters = running.settled();
    // While the port is away its packets die by its absence; those the sender did not wait for, by a full ring.
    let names = [DropReason::EgressGone, DropReason::PortRemoved, DropReason::HandoffFull, DropReason::EgressFull];
    let lost = |reason: DropReason| counters.ports.iter().map(|port| port.dropped[reason as usize]).sum::<u64>();
    assert_eq!(counters.received(), 10_000);
    assert_eq!(counters.sent() + names.into_iter().map(lost).sum::<u64>(), 10_000);
    assert!(lost(DropReason::EgressGone) > 0, "the port was away now and then");
    assert_eq!((arrived + running.lines[&BLUE].wire.receive().len()) as u64, counters.sent());
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
            running.under_traffic(3000, Duration::from_micros(10), |running| {
                thread::sleep(Duration::from_millis(2));
                running.crew.stop();
            });
            drop(running);
        }
    }
    // The count is the whole process's: the other tests here bring every frame home too.
    assert_eq!(leaked_bytes(), 0);
}

#[test]
fn a_sleeping_worker_is_woken_by_a_hand_over() {
    let running = Running::start(2, Poll::Adaptive);
    let times = (0..24).map(|_| {
        thread::sleep(Duration::from_millis(30));
        running.lines[&RED].send(&small());
        running.wait_for(BLUE)
    });
    let quick = quick_ones(times.collect());
    assert!(running.report(running.owner(BLUE)).pace.sleeps > 0);
    assert!(quick < Duration::from_millis(5), "{quick:?}");
}

#[test]
fn a_sleeping_worker_is_woken_by_a_port_that_was_silent_for_long() {
    let running = Running::start(1, Poll::Adaptive);
    let times = (0..8).map(|_| {
        // Longer than it takes until a port's socket is waited on in the common set.
        thread::sleep(Duration::from_millis(250));
        running.lines[&RED].send(&small());
        running.wait_for(BLUE)
    });
    let quick = quick_ones(times.collect());
    assert!(quick < Duration::from_millis(5), "{quick:?}");
    let counters = running.settled();
    assert_eq!((counters.received(), counters.sent(), counters.lost()), (8, 8, 0));
}

#[test]
fn a_silent_port_that_was_taken_away_wakes_nobody() {
    let running = Running::start(1, Poll::Adaptive);
    thread::sleep(Duration::from_millis(250));
    running.detach(RED);
    running.lines[&RED].send(&small());
    let before = running.report(0).pace.turns;
    thread::sleep(Duration::from_millis(300));
    let turns = running.report(0).pace.turns - before;
    assert!(turns < 1000, "{turns} turns, of which ten a second are due");
}

#[test]
fn a_sleeping_worker_is_woken_by_a_command() {
    let running = Running::start(1, Poll::Adaptive);
    let times = (0..24).map(|_| {
        thread::sleep(Duration::from_millis(30));
        let asked = Instant::now();
        let report = running.report(0);
        assert!(report.pace.sleeps > 0);
        asked.elapsed()
    });
    let quick = quick_ones(times.collect());
    assert!(quick < Duration::from_millis(5), "{quick:?}");
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
    let began = Instant::now();
    let pace = loop {
        // Longer than an adaptive one spins. Of a core that others have, it may get its thousand turns later.
        thread::sleep(Duration::from_millis(20));
        let pace = running.report(0).pace;
        if pace.turns > 1000 {
            break pace;
        }
        assert!(began.elapsed() < SOON, "{pace:?}");
    };
    assert_eq!(pace.sleeps, 0);
}
