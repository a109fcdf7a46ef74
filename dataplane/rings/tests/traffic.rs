//! Real packets of real kernels through AF_XDP sockets on veths.
#![allow(clippy::unwrap_used)]

mod bed;

use std::net::UdpSocket;

use bed::{PORT, Port, address, cross, finish_udp, memory, pod, skip, udp};
use podlane_host::lab::{Lab, Pod, PodSpec};
use podlane_rings::{AskMode, Frame, FramePool, FrameSize, Mode, Socket, SocketConfig, SocketError};

/// Sends `text` from blue to red and back, and checks that it came unchanged.
fn round_trip(text: &[u8], (blue, red): (&UdpSocket, &UdpSocket)) -> impl FnMut() -> bool + use<> {
    let (blue, red) = (blue.try_clone().unwrap(), red.try_clone().unwrap());
    let text = text.to_vec();
    blue.send_to(&text, (address(2), PORT)).unwrap();
    move || {
        let mut buffer = vec![0; 65_536];
        if let Ok((len, from)) = red.recv_from(&mut buffer) {
            assert_eq!(buffer[..len], text);
            red.send_to(&buffer[..len], from).unwrap();
        }
        match blue.recv_from(&mut buffer) {
            Ok((len, _)) => {
                assert_eq!(buffer[..len], text);
                true
            }
            Err(_) => false,
        }
    }
}

/// Every slot is somewhere, nothing was refused, and after closing all are home.
fn balance_and_close(ports: Vec<Port>, mut pool: FramePool) {
    let out: usize = ports.iter().map(Port::in_flight).sum();
    let queued: usize = ports.iter().flat_map(|port| &port.queues).map(std::collections::VecDeque::len).sum();
    assert_eq!(pool.free() + out + queued, pool.total());
    for port in ports {
        assert_eq!(port.faults(), [0; 4]);
        port.close(&mut pool);
    }
    assert_eq!(pool.free(), pool.total(), "every slot came home");
}

fn blue_and_red(lab: &mut Lab, mtu: u32, queues: u32) -> (Pod, Pod) {
    let change = |spec: &mut PodSpec| {
        spec.mtu = mtu;
        spec.queues = queues;
    };
    (pod(lab, "blue", 1, change), pod(lab, "red", 2, change))
}

#[test]
fn udp_crosses_two_veths_on_one_memory_and_every_slot_is_accounted_for() {
    if skip("udp_crosses_two_veths_on_one_memory_and_every_slot_is_accounted_for") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (blue, red) = blue_and_red(&mut lab, 1500, 1);
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let mut left = Port::open(&lab, &mut pool, &blue, |_| ());
    let mut right = Port::open(&lab, &mut pool, &red, |_| ());
    assert_eq!(left.sockets[0].mode(), Mode::Copy, "a veth has no zero-copy");
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    for text in [&b"hello"[..], &[0xa5; 1400]] {
        let done = round_trip(text, (&from, &to));
        cross((&mut left, &mut right), &mut pool, finish_udp, done);
    }
    balance_and_close(vec![left, right], pool);
}

#[test]
fn more_packets_than_any_ring_holds_arrive_in_order_and_none_is_lost() {
    if skip("more_packets_than_any_ring_holds_arrive_in_order_and_none_is_lost") {
        return;
    }
    const PACKETS: u32 = 3000;
    let mut lab = Lab::new().unwrap();
    let (blue, red) = blue_and_red(&mut lab, 1500, 1);
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let mut left = Port::open(&lab, &mut pool, &blue, |_| ());
    let mut right = Port::open(&lab, &mut pool, &red, |_| ());
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    let done = round_trip(b"who has", (&from, &to));
    cross((&mut left, &mut right), &mut pool, finish_udp, done);
    let (mut sent, mut arrived) = (0u32, 0u32);
    let done = || {
        while sent < PACKETS && sent - arrived < 100 {
            from.send_to(&sent.to_be_bytes(), (address(2), PORT)).unwrap();
            sent += 1;
        }
        let mut buffer = [0; 4];
        while to.recv_from(&mut buffer).is_ok() {
            assert_eq!(u32::from_be_bytes(buffer), arrived, "in order, none lost");
            arrived += 1;
        }
        arrived == PACKETS
    };
    cross((&mut left, &mut right), &mut pool, finish_udp, done);
    balance_and_close(vec![left, right], pool);
}

#[test]
fn each_queue_of_a_veth_has_its_own_socket_on_the_same_memory() {
    if skip("each_queue_of_a_veth_has_its_own_socket_on_the_same_memory") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (blue, red) = blue_and_red(&mut lab, 1500, 2);
    let (_umem, mut pool) = memory(4096, FrameSize::Bytes2048);
    let mut left = Port::open(&lab, &mut pool, &blue, |_| ());
    let mut right = Port::open(&lab, &mut pool, &red, |_| ());
    let to = udp(&red, PORT);
    // A kernel spreads flows over its transmit queues; forty source ports meet both.
    for port in 7100..7140 {
        let from = udp(&blue, port);
        let done = round_trip(&port.to_be_bytes(), (&from, &to));
        cross((&mut left, &mut right), &mut pool, finish_udp, done);
    }
    assert!(left.received.iter().all(|packets| *packets > 0), "blue's queues: {:?}", left.received);
    assert!(right.received.iter().sum::<usize>() >= 40);
    balance_and_close(vec![left, right], pool);
}

#[test]
fn one_memory_serves_veths_of_two_namespaces() {
    if skip("one_memory_serves_veths_of_two_namespaces") {
        return;
    }
    let (mut here, mut there) = (Lab::new().unwrap(), Lab::new().unwrap());
    let blue = pod(&mut here, "blue", 1, |_| ());
    let red = pod(&mut there, "red", 2, |_| ());
    let (_umem, mut pool) = memory(2048, FrameSize::Bytes2048);
    let mut left = Port::open(&here, &mut pool, &blue, |_| ());
    let mut right = Port::open(&there, &mut pool, &red, |_| ());
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    let done = round_trip(b"across", (&from, &to));
    cross((&mut left, &mut right), &mut pool, finish_udp, done);
    balance_and_close(vec![left, right], pool);
}

fn jumbo_makes_the_round_trip(frame_size: FrameSize) {
    let mut lab = Lab::new().unwrap();
    let (blue, red) = blue_and_red(&mut lab, 9000, 1);
    let (_umem, mut pool) = memory(4096, frame_size);
    let mut left = Port::open(&lab, &mut pool, &blue, |_| ());
    let mut right = Port::open(&lab, &mut pool, &red, |_| ());
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    let text: Vec<u8> = (0..8500u32).map(|n| (n * 7) as u8).collect();
    let mut chained = 0;
    for _ in 0..20 {
        let done = round_trip(&text, (&from, &to));
        let edit = |frame: &mut Frame| {
            chained += usize::from(frame.is_chained());
            finish_udp(frame);
        };
        cross((&mut left, &mut right), &mut pool, edit, done);
    }
    assert_eq!(chained, 40, "there and back, in several segments");
    balance_and_close(vec![left, right], pool);
}

#[test]
fn a_jumbo_packet_crosses_in_segments_of_either_size() {
    if skip("a_jumbo_packet_crosses_in_segments_of_either_size") {
        return;
    }
    jumbo_makes_the_round_trip(FrameSize::Bytes4096);
    jumbo_makes_the_round_trip(FrameSize::Bytes2048);
}

/// Sends one datagram from blue to red with its checksum as `ask` says, and returns whether red's kernel took it. The frame
/// that carries it is counted by `crossed`, so a datagram that is not taken is known to have been offered.
fn red_takes(offload: bool, mtu: u32, ask: bool) -> bool {
    let mut lab = Lab::new().unwrap();
    let (blue, red) = blue_and_red(&mut lab, mtu, 1);
    let (_umem, mut pool) = memory(4096, FrameSize::Bytes4096);
    let open =
        |pool: &mut FramePool, pod: &Pod| Port::open(&lab, pool, pod, |config| config.checksum_offload = offload);
    let mut left = open(&mut pool, &blue);
    let mut right = open(&mut pool, &red);
    assert!(offload || !left.sockets[0].checksum_offload());
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    from.send_to(&vec![0x5a; mtu as usize - 100], (address(2), PORT)).unwrap();
    let crossed = std::cell::Cell::new(false);
    let edit = |frame: &mut Frame| {
        crossed.set(crossed.get() || frame.len() > 1000);
        if ask {
            finish_udp(frame);
        }
    };
    let mut turns_after = 0;
    let mut taken = false;
    let done = || {
        turns_after += u32::from(crossed.get());
        taken = taken || to.recv_from(&mut [0; 9000]).is_ok();
        taken || turns_after > 2000
    };
    cross((&mut left, &mut right), &mut pool, edit, done);
    balance_and_close(vec![left, right], pool);
    taken
}

#[test]
fn a_checksum_a_pod_left_open_is_finished_by_the_kernel_or_in_software() {
    if skip("a_checksum_a_pod_left_open_is_finished_by_the_kernel_or_in_software") {
        return;
    }
    for mtu in [1500, 9000] {
        assert!(red_takes(true, mtu, true), "transmit metadata, MTU {mtu}");
        assert!(red_takes(false, mtu, true), "in software, MTU {mtu}");
        assert!(!red_takes(true, mtu, false), "left open, MTU {mtu}: or the test proves nothing");
    }
}

#[test]
fn zero_copy_asked_of_a_veth_is_an_error_and_copy_is_what_it_gets() {
    if skip("zero_copy_asked_of_a_veth_is_an_error_and_copy_is_what_it_gets") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let blue = pod(&mut lab, "blue", 1, |_| ());
    let (_umem, mut pool) = memory(1024, FrameSize::Bytes2048);
    let config = SocketConfig { mode: AskMode::ZeroCopy, ..bed::small(blue.host_ifindex, 0) };
    let error = lab.switch().run(|| Socket::open(&mut pool, &config).unwrap_err()).unwrap();
    assert!(matches!(error, SocketError::NoZeroCopy { .. }), "{error}");
    assert_eq!(pool.free(), pool.total());
    for mode in [AskMode::Auto, AskMode::Copy] {
        let port = Port::open(&lab, &mut pool, &blue, |config| config.mode = mode);
        assert_eq!(port.sockets[0].mode(), Mode::Copy);
        port.close(&mut pool);
    }
}
