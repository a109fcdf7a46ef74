//! Two workers: with a queue each nothing is handed between them, with fewer queues what must be is, and none is lost.

use std::{collections::BTreeSet, net::UdpSocket};

use podlane_host::lab::skip;

use crate::{
    bed::{Bed, Family, Setup, deaths, ledger, port},
    talk::{receive, udp},
};

/// Source ports each way: so many that the kernel's hash sends some to either queue (never all to one, but once in 2^63 runs).
const FLOWS: usize = 64;
/// Datagrams of each flow.
const ROUNDS: u8 = 8;

/// Every flow's datagrams to pod `to`; one of each flow at a time, which a receive buffer holds.
fn all_arrive(bed: &Bed, from: usize, to: usize) {
    let receiver = udp(&bed.pods[to], bed.address(to, Family::V4)).unwrap();
    let place = receiver.local_addr().unwrap();
    let open = || udp(&bed.pods[from], bed.address(from, Family::V4)).unwrap();
    let senders: Vec<UdpSocket> = (0..FLOWS).map(|_| open()).collect();
    for round in 0..ROUNDS {
        let mut missing: BTreeSet<_> = senders.iter().map(|sender| sender.local_addr().unwrap()).collect();
        for sender in &senders {
            sender.send_to(&[round], place).unwrap();
        }
        while !missing.is_empty() {
            let (bytes, from) =
                receive(&receiver).unwrap_or_else(|error| panic!("{} are missing: {error}", missing.len()));
            assert_eq!(bytes, [round]);
            assert!(missing.remove(&from), "{from} twice");
        }
    }
}

#[test]
fn each_worker_serves_its_own_queue_of_every_port() {
    if skip("each_worker_serves_its_own_queue_of_every_port") {
        return;
    }
    let bed = Bed::new(Setup { queues: &[2, 2], workers: 2, ..Setup::default() });
    let before = deaths(&bed.reports());
    all_arrive(&bed, 0, 1);
    all_arrive(&bed, 1, 0);
    let reports = bed.settled();
    for report in &reports {
        for pod in [0, 1] {
            let counters = &report.counters.ports[port(pod).index()];
            assert!(counters.received.packets > 0, "worker {} got none of pod {pod}'s flows", report.worker);
            assert!(counters.sent.packets > 0, "worker {} sent none to pod {pod}", report.worker);
        }
        let queues: Vec<_> = report.ports.iter().map(|port| port.facts.queues).collect();
        assert_eq!(queues, [1, 1], "worker {}", report.worker);
    }
    assert_eq!((ledger(&reports).handed, deaths(&reports)), (0, before));
    bed.close();
}

#[test]
fn a_port_with_one_queue_is_reached_from_both_workers() {
    if skip("a_port_with_one_queue_is_reached_from_both_workers") {
        return;
    }
    // Pod 1's flows come in by both workers; one of them has no way to pod 0 but the other.
    let bed = Bed::new(Setup { queues: &[1, 2], workers: 2, ..Setup::default() });
    let before = deaths(&bed.reports());
    all_arrive(&bed, 0, 1);
    all_arrive(&bed, 1, 0);
    let reports = bed.settled();
    let total = ledger(&reports);
    assert!(total.handed > 0, "no flow came in by the worker without the queue");
    assert_eq!((total.handed, deaths(&reports)), (total.taken, before));
    bed.close();
}
