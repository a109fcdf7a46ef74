#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::{FrameSize, HugePages};
use crate::slots::Lent;

const FRAMES: u32 = 8;

fn config() -> UmemConfig {
    UmemConfig { frames: FRAMES, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never }
}

fn heir_of(umem: &Umem) -> (Umem, FramePool) {
    Umem::inherit(umem.fd().try_clone_to_owned().unwrap(), &config()).unwrap()
}

fn facts() -> SocketFacts {
    SocketFacts {
        ifindex: 7,
        queue: 0,
        rings: [256; 4],
        number: 3,
        zero_copy: false,
        multi_buffer: true,
        metadata: true,
        offload: true,
        busy_poll: false,
        max_segments: 18,
        tx_budget: 32,
        max_kicks: 10,
        skipping: false,
        counts: [0; 3],
    }
}

#[test]
fn what_bears_no_mark_is_free_and_holds_the_same_bytes() {
    let (umem, mut pool) = Umem::create(&config()).unwrap();
    let frame = pool.write_packet(b"still here").unwrap();
    let (heir, mut heirs_pool) = heir_of(&umem);
    assert_eq!((heirs_pool.free(), heir.frames()), (0, FRAMES));
    pool.give(frame);
    let (sockets, lost) = heirs_pool.take_over(&pool.marks(), Vec::new()).unwrap();
    assert_eq!((sockets.len(), lost, heirs_pool.free()), (0, 0, FRAMES as usize));
    // The last slot given is not the first one taken, so all are looked at.
    let frames: Vec<_> = std::iter::from_fn(|| heirs_pool.take()).collect();
    let found = frames.iter().any(|frame| {
        let mut bytes = [0; 10];
        // The bytes behind an empty frame are what the former process left there.
        let at = heir.region.address_of(frame).unwrap();
        bytes.copy_from_slice(&heir.region.bytes_at(at, 10));
        bytes == *b"still here"
    });
    assert!(found, "the heir's memory is another one");
    frames.into_iter().for_each(|frame| heirs_pool.give(frame));
}

#[test]
fn slots_lent_to_a_socket_that_is_not_handed_over_are_lost_and_its_number_is_not_used_again() {
    let (umem, pool) = Umem::create(&config()).unwrap();
    let number = SocketNumber::new(5).unwrap();
    umem.region.slots.borrower(number, Lent::Fill).lend(1);
    umem.region.slots.borrower(number, Lent::Tx).lend(2);
    let (_heir, mut heirs_pool) = heir_of(&umem);
    let (_, lost) = heirs_pool.take_over(&pool.marks(), Vec::new()).unwrap();
    assert_eq!((lost, heirs_pool.free()), (2, FRAMES as usize - 2));
    assert_eq!(heirs_pool.siblings().number().unwrap().get(), 6);
}

#[test]
fn marks_for_another_number_of_slots_are_refused_and_nothing_is_taken() {
    let (umem, pool) = Umem::create(&config()).unwrap();
    let (_heir, mut heirs_pool) = heir_of(&umem);
    let marks = pool.marks();
    for wrong in [&marks[1..], &[marks.clone(), vec![0]].concat()] {
        let error = heirs_pool.take_over(wrong, Vec::new()).unwrap_err();
        assert_eq!(error, InheritError::Marks { marks: wrong.len(), frames: FRAMES as usize });
        assert_eq!(heirs_pool.free(), 0);
    }
    heirs_pool.take_over(&marks, Vec::new()).unwrap();
    assert!(heirs_pool.take_over(&marks, Vec::new()).is_err(), "twice");
}

#[test]
fn a_memory_file_shorter_than_its_frames_is_refused() {
    let (umem, _pool) = Umem::create(&config()).unwrap();
    let longer = UmemConfig { frames: FRAMES + 1, ..config() };
    let error = Umem::inherit(umem.fd().try_clone_to_owned().unwrap(), &longer).unwrap_err();
    assert!(matches!(error, UmemError::Map { .. }), "{error}");
}

#[test]
fn a_socket_that_cannot_be_as_it_was_said_to_be_is_refused_by_its_device() {
    let (_umem, pool) = Umem::create(&config()).unwrap();
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let refused = |facts: &SocketFacts, descriptors| Inherited::of(&pool, facts, descriptors).unwrap_err().to_string();
    for (facts, descriptors, why) in [
        (facts(), vec![], "no descriptor"),
        (facts(), vec![null(), null()], "other descriptors"),
        (SocketFacts { zero_copy: true, ..facts() }, vec![null()], "other descriptors"),
        (facts(), vec![null()], "no AF_XDP socket"),
        (SocketFacts { number: u32::MAX, ..facts() }, vec![null()], "its number"),
    ] {
        let error = refused(&facts, descriptors);
        assert!(error.starts_with("interface 7 queue 0") && error.contains(why), "{error}");
    }
}
