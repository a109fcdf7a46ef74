//! Ports come and go, asked or not, while others carry traffic.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use podlane_dataplane::{port::PortError, worker::command::Event};
use podlane_host::lab::skip;

use crate::{
    bed::{Bed, Family, SOON, Setup, port},
    talk::{connect, echo, pattern, receive_all, send_while, udp, whole},
};

const THREE_PODS: Setup = Setup { queues: &[1, 1, 1], workers: 1, mtu: 1500, metadata: true, routed: false };

#[test]
fn a_stream_goes_on_while_another_port_comes_and_goes() {
    if skip("a_stream_goes_on_while_another_port_comes_and_goes") {
        return;
    }
    let mut bed = Bed::new(THREE_PODS);
    let (near, far) = connect(&bed, (0, 1), Family::V4).unwrap();
    let over = AtomicBool::new(false);
    let until = Instant::now() + 3 * SOON;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send_while(near, |_| !over.load(Ordering::Relaxed) && Instant::now() < until));
        let receiver = scope.spawn(|| receive_all(far));
        let third = (0..5).try_for_each(|_| {
            bed.detach(2);
            bed.attach(2);
            echo(&bed, (2, 1), Family::V4, &[100])
        });
        over.store(true, Ordering::Relaxed);
        whole(sender.join().unwrap().unwrap(), receiver.join().unwrap().unwrap()).unwrap();
        third.unwrap();
    });
    assert!(Instant::now() < until, "the stream ended before the last coming");
    bed.close();
}

#[test]
fn a_device_deleted_under_traffic_is_told_and_the_others_go_on() {
    if skip("a_device_deleted_under_traffic_is_told_and_the_others_go_on") {
        return;
    }
    let mut bed = Bed::new(THREE_PODS);
    let lost = udp(&bed.pods[2], bed.address(2, Family::V4)).unwrap().local_addr().unwrap();
    let flood = udp(&bed.pods[0], bed.address(0, Family::V4)).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + 3 * SOON;
            while !over.load(Ordering::Relaxed) && Instant::now() < until {
                // A full queue is the flood's own business.
                let _ = flood.send_to(&pattern(0, 100), lost);
            }
        });
        thread::sleep(Duration::from_millis(50));
        bed.lab.links().delete("pod2").unwrap();
        let deleted = Instant::now();
        let event = bed.events.recv_timeout(SOON);
        let told = deleted.elapsed();
        // The flood is from the same pod, whose full ring may cost one of its other datagrams; not each of them.
        let mut tries = (0..5).map(|_| echo(&bed, (0, 1), Family::V4, &[100, 1400]));
        let go_on = tries.any(|tried| tried.is_ok());
        over.store(true, Ordering::Relaxed);
        match event.unwrap() {
            Event::PortDied { port: dead, error: PortError::Gone { device }, .. } => {
                assert_eq!((dead, device.as_str()), (port(2), "pod2"));
            }
            other => panic!("not what happened: {other:?}"),
        }
        assert!(told < Duration::from_secs(1), "told after {told:?}");
        assert!(go_on, "the other pods do not reach each other");
    });
    assert!(bed.settled()[0].ports.iter().any(|end| end.id == port(2) && end.dead));
    bed.detach(2);
    echo(&bed, (0, 1), Family::V6, &[100, 1400]).unwrap();
    bed.close();
}
