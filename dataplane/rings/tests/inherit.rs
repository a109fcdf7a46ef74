//! Sockets of real veths that another pool goes on with: nothing is opened anew, and no packet in a ring is lost.
#![allow(clippy::unwrap_used)]

mod bed;

use std::time::Instant;

use bed::{PATIENCE, PORT, Port, address, finish_udp, memory, pod, skip, udp};
use podlane_host::lab::Lab;
use podlane_rings::{FramePool, FrameSize, HugePages, InheritError, Inherited, Socket, Umem, UmemConfig};

const FRAMES: u32 = 2048;

/// Maps a former pool's memory and its sockets as another process would, from descriptors and plain facts.
fn map(former: &FramePool, sockets: &[&Socket]) -> (FramePool, Vec<Inherited>) {
    let config = UmemConfig { frames: FRAMES, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    let file = former.umem().fd().try_clone_to_owned().unwrap();
    let (_, pool) = Umem::inherit(file, &config).unwrap();
    let map = |socket: &&Socket| Inherited::of(&pool, &socket.facts(), socket.descriptors().unwrap()).unwrap();
    let mapped = sockets.iter().map(map).collect();
    (pool, mapped)
}

/// Turns two ports until `done`.
fn turn((left, right): (&mut Port, &mut Port), pool: &mut FramePool, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "the test's traffic did not finish");
        left.forward(right, pool, finish_udp);
        right.forward(left, pool, finish_udp);
        left.settle(pool);
        right.settle(pool);
    }
}

#[test]
fn an_heir_receives_what_waited_and_sends_with_every_slot_accounted_for() {
    if skip("an_heir_receives_what_waited_and_sends_with_every_slot_accounted_for") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let (blue, red) = (pod(&mut lab, "blue", 1, |_| ()), pod(&mut lab, "red", 2, |_| ()));
    let (_umem, mut pool) = memory(FRAMES, FrameSize::Bytes2048);
    let mut left = Port::open(&lab, &mut pool, &blue, |_| ());
    let mut right = Port::open(&lab, &mut pool, &red, |_| ());
    let (from, to) = (udp(&blue, PORT), udp(&red, PORT));
    let mut buffer = [0; 64];
    let mut sent = 0u32;
    let mut heard = 0u32;
    for generation in 0..3 {
        // Some cross; then some wait in the rx ring, where nobody turns.
        for _ in 0..20 {
            from.send_to(&sent.to_be_bytes(), (address(2), PORT)).unwrap();
            sent += 1;
        }
        turn((&mut left, &mut right), &mut pool, || {
            while let Ok(4) = to.recv(&mut buffer) {
                assert_eq!(buffer[..4], heard.to_be_bytes(), "in order, and none lost");
                heard += 1;
            }
            heard == sent
        });
        for queue in left.queues.iter_mut().chain(&mut right.queues) {
            queue.drain(..).for_each(|frame| pool.give(frame));
        }
        let both = [&left.sockets[0], &right.sockets[0]];
        let (mut heirs_pool, mapped) = map(&pool, &both);
        for _ in 0..20 {
            from.send_to(&sent.to_be_bytes(), (address(2), PORT)).unwrap();
            sent += 1;
        }
        // What is mapped early is moved on by its owner, and the heir begins where that ended.
        turn((&mut left, &mut right), &mut pool, || to.peek(&mut buffer).is_ok());
        for port in [&mut left, &mut right] {
            port.queues.iter_mut().for_each(|queue| queue.drain(..).for_each(|frame| pool.give(frame)));
            port.sockets.iter_mut().for_each(|socket| socket.pause(&mut pool));
        }
        let skipping = [left.sockets[0].facts().skipping, right.sockets[0].facts().skipping];
        let (mut sockets, lost) =
            heirs_pool.take_over(&pool.marks(), mapped.into_iter().zip(skipping).collect()).unwrap();
        assert_eq!((lost, sockets.len()), (0, 2));
        let red_socket = sockets.pop().unwrap();
        let blue_socket = sockets.pop().unwrap();
        // The former process ends without closing anything.
        std::mem::forget(left.sockets.remove(0));
        std::mem::forget(right.sockets.remove(0));
        std::mem::forget(std::mem::replace(&mut pool, heirs_pool));
        left.sockets.push(blue_socket);
        right.sockets.push(red_socket);
        turn((&mut left, &mut right), &mut pool, || {
            while let Ok(4) = to.recv(&mut buffer) {
                assert_eq!(buffer[..4], heard.to_be_bytes(), "in order, and none lost, in round {generation}");
                heard += 1;
            }
            heard == sent
        });
        let out: usize = [&left, &right].iter().map(|port| port.in_flight()).sum();
        let queued: usize = left.queues.iter().chain(&right.queues).map(std::collections::VecDeque::len).sum();
        assert_eq!(pool.free() + out + queued, pool.total(), "round {generation}");
        for port in [&left, &right] {
            assert_eq!(port.faults(), [0; 4], "round {generation}");
        }
    }
    // A socket that is opened now joins those that were handed over.
    let green = pod(&mut lab, "green", 3, |_| ());
    Port::open(&lab, &mut pool, &green, |_| ()).close(&mut pool);
}

#[test]
fn marks_that_cannot_be_true_leave_the_heir_with_nothing() {
    if skip("marks_that_cannot_be_true_leave_the_heir_with_nothing") {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let blue = pod(&mut lab, "blue", 1, |_| ());
    let (_umem, mut pool) = memory(FRAMES, FrameSize::Bytes2048);
    let port = Port::open(&lab, &mut pool, &blue, |_| ());
    let socket = &port.sockets[0];
    let marks = pool.marks();
    let mark = *marks.iter().find(|mark| **mark != 0).unwrap();

    let (mut heirs_pool, mapped) = map(&pool, &[socket]);
    let too_many = vec![mark; FRAMES as usize];
    let error = heirs_pool.take_over(&too_many, mapped.into_iter().map(|one| (one, false)).collect()).unwrap_err();
    assert!(matches!(error, InheritError::Fill { lent: FRAMES, ring: 256, .. }), "{error}");

    let (mut heirs_pool, mapped) = map(&pool, &[socket, socket]);
    let error = heirs_pool.take_over(&marks, mapped.into_iter().map(|one| (one, false)).collect()).unwrap_err();
    assert!(matches!(error, InheritError::Twice { .. }), "{error}");

    let (_, mapped) = map(&pool, &[socket]);
    let (mut other, _) = map(&pool, &[]);
    let error = other.take_over(&marks, mapped.into_iter().map(|one| (one, false)).collect()).unwrap_err();
    assert!(matches!(error, InheritError::Elsewhere { .. }), "{error}");
    assert_eq!((heirs_pool.free(), other.free()), (0, 0));
    port.close(&mut pool);
    assert_eq!(pool.free(), pool.total());
}
