//! Sockets that open, fail to open, lose their device and close: what they say, and that every slot comes home.
#![allow(clippy::unwrap_used)]

mod bed;

use std::time::{Duration, Instant};

use bed::{PATIENCE, PORT, Port, address, cross, finish_udp, memory, pod, skip, small, udp};
use podlane_host::lab::{Lab, Pod};
use podlane_rings::{BusyPoll, FramePool, FrameSize, Ring, Socket, SocketConfig, SocketError};

fn open(lab: &Lab, pool: &mut FramePool, config: &SocketConfig) -> Result<Socket, SocketError> {
    lab.switch().run(|| Socket::open(pool, config)).unwrap()
}

fn lab_with(name: &str) -> (Lab, Pod) {
    let mut lab = Lab::new().unwrap();
    let pod = pod(&mut lab, name, 1, |_| ());
    (lab, pod)
}

/// Waits until the socket's health is an error, and returns it.
fn ill(socket: &Socket) -> SocketError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match socket.health() {
            Err(error) => return error,
            Ok(()) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Ok(()) => panic!("the socket stayed healthy"),
        }
    }
}

#[test]
fn a_device_deleted_under_a_socket_is_told_by_its_health_and_the_slots_come_home() {
    if skip("a_device_deleted_under_a_socket_is_told_by_its_health_and_the_slots_come_home") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let mut socket = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap();
    assert!(socket.health().is_ok());
    lab.links().delete(blue.host_ifindex).unwrap();
    assert!(matches!(ill(&socket), SocketError::DeviceGone { .. }));
    assert!(matches!(socket.health(), Err(SocketError::DeviceGone { .. })), "once gone, gone for good");
    let mut queue = [pool.write_packet(&[1; 60]).unwrap()].into();
    socket.transmit(&mut pool, &mut queue);
    assert!(matches!(socket.settle(&mut pool), Err(SocketError::DeviceGone { .. })));
    socket.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_network_namespace_deleted_under_a_socket_is_told_too() {
    if skip("a_network_namespace_deleted_under_a_socket_is_told_too") {
        return;
    }
    let (lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let socket = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap();
    // The pod's end goes with its namespace, and takes the switch's end along.
    drop(blue);
    assert!(matches!(ill(&socket), SocketError::DeviceGone { .. }));
    socket.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_queue_just_closed_is_opened_again_within_the_bound() {
    if skip("a_queue_just_closed_is_opened_again_within_the_bound") {
        return;
    }
    let (lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    for _ in 0..5 {
        let socket = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap();
        assert_eq!(pool.free(), 1024 - 256);
        socket.close(&mut pool);
        assert_eq!(pool.free(), 1024);
    }
}

#[test]
fn a_queue_somebody_keeps_is_busy_after_the_bound_and_the_pool_as_before() {
    if skip("a_queue_somebody_keeps_is_busy_after_the_bound_and_the_pool_as_before") {
        return;
    }
    let (lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let (_umem, mut other) = memory(1024, FrameSize::Bytes2048);
    let keeper = open(&lab, &mut other, &small(blue.host_ifindex, 0)).unwrap();
    let began = Instant::now();
    let error = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap_err();
    assert!(matches!(error, SocketError::Busy { waited_ms: 500, .. }), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(500) && began.elapsed() < PATIENCE);
    assert_eq!(pool.free(), pool.total());
    keeper.close(&mut other);
    open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap().close(&mut pool);
}

#[test]
fn a_memory_outlives_the_socket_it_was_registered_through() {
    if skip("a_memory_outlives_the_socket_it_was_registered_through") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let pods = ["a", "b", "c"].map(|name| pod(&mut lab, name, 1, |_| ()));
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let [a, b, c] = pods.map(|pod| (small(pod.host_ifindex, 0), pod));
    let first = open(&lab, &mut pool, &a.0).unwrap();
    let second = open(&lab, &mut pool, &b.0).unwrap();
    first.close(&mut pool);
    let third = open(&lab, &mut pool, &c.0).unwrap();
    second.close(&mut pool);
    third.close(&mut pool);
    // All are gone: the next one registers the memory anew.
    open(&lab, &mut pool, &a.0).unwrap().close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_sibling_whose_device_is_gone_does_not_stop_the_next_socket() {
    if skip("a_sibling_whose_device_is_gone_does_not_stop_the_next_socket") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let red = pod(&mut lab, "red", 2, |_| ());
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let orphan = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap();
    lab.links().delete(blue.host_ifindex).unwrap();
    ill(&orphan);
    let socket = open(&lab, &mut pool, &small(red.host_ifindex, 0)).unwrap();
    assert!(socket.health().is_ok());
    socket.close(&mut pool);
    orphan.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn sockets_with_and_without_multi_buffer_share_one_memory() {
    if skip("sockets_with_and_without_multi_buffer_share_one_memory") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let red = pod(&mut lab, "red", 2, |_| ());
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let mut left = Port::open(&lab, &mut pool, &blue, |config| config.multi_buffer = true);
    let mut right = Port::open(&lab, &mut pool, &red, |config| config.multi_buffer = false);
    assert!(left.sockets[0].max_segments() > 1);
    assert_eq!(right.sockets[0].max_segments(), 1);
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    from.send_to(b"hello", (address(2), PORT)).unwrap();
    cross((&mut left, &mut right), &mut pool, finish_udp, || to.recv_from(&mut [0; 9]).is_ok());
    left.close(&mut pool);
    right.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_socket_closed_while_another_thread_would_join_it_is_closed_for_good() {
    if skip("a_socket_closed_while_another_thread_would_join_it_is_closed_for_good") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let red = pod(&mut lab, "red", 2, |_| ());
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let mut elsewhere = pool.lend(1024);
    let (left, right) = (small(blue.host_ifindex, 0), small(red.host_ifindex, 0));
    for _ in 0..5 {
        let first = open(&lab, &mut pool, &left).unwrap();
        std::thread::scope(|scope| {
            let opener = scope.spawn(|| open(&lab, &mut elsewhere, &right).unwrap().close(&mut elsewhere));
            first.close(&mut pool);
            assert_eq!(pool.free(), 1024);
            opener.join().unwrap();
        });
    }
    pool.absorb(elsewhere);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_device_that_is_down_holds_packets_and_is_no_error() {
    if skip("a_device_that_is_down_holds_packets_and_is_no_error") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let mut socket = open(&lab, &mut pool, &small(blue.host_ifindex, 0)).unwrap();
    lab.links().set_down(blue.host_ifindex).unwrap();
    let mut queue = [pool.write_packet(&[1; 60]).unwrap()].into();
    assert_eq!(socket.transmit(&mut pool, &mut queue), 1);
    socket.settle(&mut pool).unwrap();
    assert_eq!(socket.in_flight().tx, 1);
    lab.links().set_up(blue.host_ifindex).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while socket.in_flight().tx > 0 {
        assert!(Instant::now() < deadline, "it left once the device was up");
        socket.settle(&mut pool).unwrap();
    }
    socket.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn an_empty_pool_drops_in_the_kernel_and_the_statistics_say_why() {
    if skip("an_empty_pool_drops_in_the_kernel_and_the_statistics_say_why") {
        return;
    }
    let (mut lab, blue) = lab_with("blue");
    let red = pod(&mut lab, "red", 2, |_| ());
    let (_umem, mut pool) = memory(8, FrameSize::Bytes2048);
    let port = Port::open(&lab, &mut pool, &blue, |_| ());
    assert_eq!((pool.free(), port.in_flight()), (0, 8), "all eight are lent, and more were wanted");
    let from = udp(&blue, PORT);
    // Broadcast needs no neighbour, and nobody takes anything from the port's ring.
    from.set_broadcast(true).unwrap();
    for _ in 0..50 {
        from.send_to(b"anyone?", (address(255), PORT)).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while port.sockets[0].statistics().unwrap().fill_ring_empty < 42 {
        assert!(Instant::now() < deadline, "{:?}", port.sockets[0].statistics());
    }
    port.close(&mut pool);
    assert_eq!(pool.free(), 8);
    drop(red);
}

#[test]
fn the_transmit_budget_is_what_the_kernel_was_told() {
    if skip("the_transmit_budget_is_what_the_kernel_was_told") {
        return;
    }
    let (lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let config =
        SocketConfig { busy_poll: Some(BusyPoll { microseconds: 20, budget: 64 }), ..small(blue.host_ifindex, 0) };
    let socket = open(&lab, &mut pool, &config).unwrap();
    // 32 is what a kernel before 6.17 does, whatever one tells it.
    assert!(matches!(socket.tx_budget(), 256 | 32), "{}", socket.tx_budget());
    let asked = socket.tx_budget() == 256;
    socket.close(&mut pool);
    if asked {
        let config = SocketConfig { tx_budget: Some(64), ..config };
        let socket = open(&lab, &mut pool, &config).unwrap();
        assert_eq!(socket.tx_budget(), 64);
        socket.close(&mut pool);
        let config = SocketConfig { tx_budget: Some(1), ..config };
        let error = open(&lab, &mut pool, &config).unwrap_err();
        assert!(matches!(error, SocketError::Option { option: "XDP_MAX_TX_SKB_BUDGET", .. }), "{error}");
    }
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn what_cannot_be_opened_is_named_with_a_remedy_and_takes_no_slot() {
    if skip("what_cannot_be_opened_is_named_with_a_remedy_and_takes_no_slot") {
        return;
    }
    let (lab, blue) = lab_with("blue");
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let error = open(&lab, &mut pool, &small(0x7fff_0000, 0)).unwrap_err();
    assert!(matches!(error, SocketError::NoDevice { .. }), "{error}");
    assert!(error.to_string().starts_with("interface 2147418112 queue 0"), "{error}");
    let error = open(&lab, &mut pool, &small(blue.host_ifindex, 9)).unwrap_err();
    assert!(matches!(error, SocketError::NoQueue { .. }), "{error}");
    assert_eq!(pool.free(), pool.total());
}

#[test]
fn a_ring_size_no_kernel_takes_is_refused_before_any_system_call() {
    let (_umem, mut pool) = memory(8, FrameSize::Bytes2048);
    let good = SocketConfig::new(1, 0);
    for (ring, config) in [
        (Ring::Rx, SocketConfig { rx: 0, ..good }),
        (Ring::Tx, SocketConfig { tx: 1000, ..good }),
        (Ring::Fill, SocketConfig { fill: 1 << 17, ..good }),
        (Ring::Completion, SocketConfig { completion: 1, ..good }),
    ] {
        match Socket::open(&mut pool, &config) {
            Err(SocketError::RingSize { ring: named, .. }) => assert_eq!(named, ring),
            other => panic!("{ring}: {other:?}"),
        }
    }
}
