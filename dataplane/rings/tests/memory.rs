//! Packet memory without a kernel: slots, frames, chains, and when the mapping may go.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use podlane_rings::{
    Frame, FramePool, FrameSize, HugePages, NoRoom, PageKind, Umem, UmemConfig, UmemError, leaked_bytes, prefetch,
    prefetch_of,
};
use proptest::prelude::*;

/// Held by tests that lose memory on purpose, and by the one that looks whether any was lost.
static LOSSES: Mutex<()> = Mutex::new(());

fn create(frames: u32, frame_size: FrameSize) -> (Umem, FramePool) {
    Umem::create(&UmemConfig { frames, frame_size, huge_pages: HugePages::Never }).unwrap()
}

fn whole(umem: &Umem, frame: &Frame) -> Vec<u8> {
    umem.segments(frame).flatten().copied().collect()
}

#[test]
fn a_memory_of_no_frames_or_too_many_is_refused() {
    for frames in [0, Umem::MAX_FRAMES + 1] {
        let error = Umem::create(&UmemConfig { frames, ..UmemConfig::default() }).unwrap_err();
        assert!(matches!(error, UmemError::Frames { frames: named, .. } if named == frames), "{error}");
    }
}

#[test]
fn huge_pages_are_a_wish_and_the_answer_is_told() {
    let config = UmemConfig { frames: 3, huge_pages: HugePages::Prefer, ..UmemConfig::default() };
    let (umem, mut pool) = Umem::create(&config).unwrap();
    assert!(matches!(umem.pages(), PageKind::Huge | PageKind::Transparent | PageKind::Normal));
    assert_eq!((umem.frames(), pool.total(), pool.free()), (3, 3, 3));
    let frames: Vec<Frame> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(frames.len(), 3);
    frames.into_iter().for_each(|frame| pool.give(frame));
    let (umem, _pool) = create(3, FrameSize::Bytes2048);
    assert_eq!(umem.pages(), PageKind::Normal);
}

#[test]
fn the_memory_file_cannot_be_cut_short() {
    let (umem, _pool) = create(4, FrameSize::Bytes2048);
    let file = std::fs::File::from(umem.fd().try_clone_to_owned().unwrap());
    assert!(file.set_len(0).is_err());
    assert_eq!(file.metadata().unwrap().len(), 4 * 2048);
}

#[test]
fn a_frame_is_sixteen_bytes_and_sends() {
    fn sends<T: Send>() {}
    assert_eq!(size_of::<Frame>(), 16);
    assert_eq!(size_of::<Option<Frame>>(), 16);
    sends::<Frame>();
    sends::<FramePool>();
    sends::<podlane_rings::Socket>();
}

#[test]
fn a_fresh_frame_is_empty_with_room_on_both_sides() {
    for (size, slot) in [(FrameSize::Bytes2048, 2048), (FrameSize::Bytes4096, 4096)] {
        let (_umem, mut pool) = create(2, size);
        let mut frame = pool.take().unwrap();
        assert!(frame.is_empty() && !frame.is_chained() && !frame.wants_checksum());
        assert_eq!((frame.headroom(), frame.tailroom()), (256 - 24, slot - 256));
        frame.set_len(slot - 256).unwrap();
        assert_eq!(frame.set_len(slot - 255), Err(NoRoom { wanted: slot - 255, room: slot - 256 }));
        assert_eq!(frame.push_front(233), Err(NoRoom { wanted: 233, room: 232 }));
        frame.push_front(232).unwrap();
        assert_eq!((frame.len(), frame.headroom(), frame.tailroom()), (slot - 24, 0, 0));
        // A packet that ends with its slot keeps one byte: an empty one must still lie in its slot.
        assert_eq!(frame.pop_front(slot - 24), Err(NoRoom { wanted: slot - 24, room: slot - 25 }));
        frame.pop_front(slot - 25).unwrap();
        assert_eq!((frame.len(), frame.headroom()), (1, slot - 25));
        pool.give(frame);
    }
}

#[test]
fn a_push_gives_the_new_bytes_and_a_pop_takes_them() {
    let (_umem, mut pool) = create(1, FrameSize::Bytes2048);
    let mut frame = pool.write_packet(b"inner").unwrap();
    frame.push_front(6).unwrap().copy_from_slice(b"outer ");
    assert_eq!(frame.bytes(), b"outer inner");
    frame.pop_front(6).unwrap();
    assert_eq!(frame.bytes(), b"inner");
    frame.bytes_mut().make_ascii_uppercase();
    assert_eq!(frame.bytes(), b"INNER");
    prefetch(&frame);
    prefetch_of(&frame);
    pool.give(frame);
}

#[test]
fn a_checksum_request_moves_with_its_bytes_and_goes_with_them() {
    let (_umem, mut pool) = create(1, FrameSize::Bytes2048);
    let mut frame = pool.write_packet(&[0; 100]).unwrap();
    assert_eq!(frame.request_checksum(90, 9), Err(NoRoom { wanted: 101, room: 100 }));
    frame.request_checksum(34, 6).unwrap();
    frame.push_front(50).unwrap();
    assert_eq!(frame.checksum_request(), Some((84, 6)));
    frame.pop_front(64).unwrap();
    assert_eq!(frame.checksum_request(), Some((20, 6)));
    frame.set_len(28).unwrap();
    assert!(frame.wants_checksum(), "the field is still there, to its last byte");
    frame.set_len(27).unwrap();
    assert!(!frame.wants_checksum(), "the field was cut off");
    frame.request_checksum(10, 6).unwrap();
    frame.pop_front(10).unwrap();
    assert!(frame.wants_checksum());
    frame.pop_front(1).unwrap();
    assert!(!frame.wants_checksum(), "what was to be summed was cut off");
    frame.request_checksum(0, 0).unwrap();
    frame.clear_request();
    assert!(!frame.wants_checksum());
    pool.give(frame);
}

#[test]
fn a_chain_is_one_packet_and_gives_back_all_its_slots() {
    let (umem, mut pool) = create(8, FrameSize::Bytes2048);
    let mut head = pool.write_packet(b"one ").unwrap();
    let mut tail = pool.write_packet(b"two ").unwrap();
    let third = pool.write_packet(b"three").unwrap();
    pool.append(&mut tail, third);
    pool.append(&mut head, tail);
    let fourth = pool.write_packet(b" four").unwrap();
    pool.append(&mut head, fourth);
    assert_eq!(whole(&umem, &head), b"one two three four");
    assert_eq!((umem.packet_len(&head), umem.segment_count(&head), pool.free()), (18, 4, 4));
    assert_eq!((head.len(), head.tailroom()), (4, 0));
    assert!(head.set_len(3).is_err() && head.set_len(4).is_ok(), "its end lies in another slot");
    pool.give(head);
    assert_eq!(pool.free(), 8);
    let fresh = pool.take().unwrap();
    assert!(!fresh.is_chained());
    pool.give(fresh);
}

#[test]
fn an_empty_pool_gives_nothing_and_a_copy_that_does_not_fit_takes_nothing() {
    let (umem, mut pool) = create(4, FrameSize::Bytes2048);
    let packet = pool.write_packet(&[7; 5000]).unwrap();
    assert_eq!((umem.segment_count(&packet), pool.free()), (3, 1));
    assert!(pool.copy_packet(&umem, &packet).is_none());
    assert!(pool.write_packet(&[7; 1793]).is_none());
    assert_eq!(pool.free(), 1);
    let last = pool.take().unwrap();
    assert!(pool.take().is_none());
    pool.give(last);
    pool.give(packet);
    assert_eq!(pool.free(), 4);
}

#[test]
fn a_frame_goes_to_another_thread_and_comes_back() {
    let (umem, mut pool) = create(2, FrameSize::Bytes2048);
    let mut frame = pool.write_packet(b"there").unwrap();
    let frame = std::thread::spawn(move || {
        assert_eq!(whole(&umem, &frame), b"there");
        frame.bytes_mut().copy_from_slice(b"again");
        frame
    });
    let frame = frame.join().unwrap();
    assert_eq!(frame.bytes(), b"again");
    pool.give(frame);
}

#[test]
fn a_lent_pool_has_the_slots_it_was_lent_until_it_is_absorbed() {
    let (_umem, mut pool) = create(8, FrameSize::Bytes2048);
    let mut lent = pool.lend(3);
    assert_eq!((pool.free(), lent.free(), lent.total()), (5, 3, 8));
    let frame = lent.take().unwrap();
    pool.give(frame);
    assert_eq!((pool.free(), lent.free()), (6, 2), "a frame goes home to either");
    let most = pool.lend(100);
    assert_eq!((pool.free(), most.free()), (0, 6), "no more than there are");
    pool.absorb(lent);
    pool.absorb(most);
    assert_eq!(pool.free(), 8);
}

#[test]
fn a_lent_pool_that_is_dropped_keeps_the_memory_mapped() {
    let _losses = LOSSES.lock();
    let before = leaked_bytes();
    let (umem, mut pool) = create(8, FrameSize::Bytes2048);
    drop(pool.lend(3));
    drop((umem, pool));
    assert_eq!(leaked_bytes(), before + 8 * 2048);
}

fn panics(work: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(work).is_err()
}

#[test]
fn a_foreign_frame_is_refused_everywhere() {
    let _losses = LOSSES.lock();
    for attempt in 0..4 {
        assert!(
            panics(move || {
                let (umem, mut pool) = create(4, FrameSize::Bytes2048);
                let (_, mut other) = create(4, FrameSize::Bytes2048);
                let foreign = other.write_packet(&[1; 3000]).unwrap();
                let mut own = pool.take().unwrap();
                match attempt {
                    0 => pool.give(foreign),
                    1 => pool.append(&mut own, foreign),
                    2 => drop(pool.copy_packet(&umem, &foreign)),
                    _ => drop(umem.packet_len(&foreign)),
                }
            }),
            "attempt {attempt}"
        );
    }
}

#[test]
fn the_mapping_goes_only_when_every_slot_is_home() {
    let _losses = LOSSES.lock();
    let before = leaked_bytes();
    let (umem, mut pool) = create(4, FrameSize::Bytes2048);
    let frame = pool.take().unwrap();
    pool.give(frame);
    drop((umem, pool));
    assert_eq!(leaked_bytes(), before, "all were home");

    let (umem, mut pool) = create(4, FrameSize::Bytes2048);
    let mut frame = pool.write_packet(b"astray").unwrap();
    drop((umem, pool));
    assert_eq!(leaked_bytes(), before + 4 * 2048, "one was not, so the memory stays");
    frame.bytes_mut().make_ascii_uppercase();
    assert_eq!(frame.bytes(), b"ASTRAY");
}

#[test]
fn a_handle_may_outlive_its_pool() {
    let (umem, pool) = create(4, FrameSize::Bytes2048);
    drop(pool);
    assert_eq!(umem.frame_size(), 2048);
}

proptest! {
    #[test]
    fn a_packet_copied_between_memories_of_any_slot_size_is_the_same(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..4000), 1..4),
        from_large: bool,
        to_large: bool,
        request: Option<u8>,
    ) {
        let size = |large| if large { FrameSize::Bytes4096 } else { FrameSize::Bytes2048 };
        let (from, mut source) = create(16, size(from_large));
        let (to, mut target) = create(16, size(to_large));
        let mut packet = source.write_packet(&pieces[0]).unwrap();
        for piece in &pieces[1..] {
            let tail = source.write_packet(piece).unwrap();
            source.append(&mut packet, tail);
        }
        let asked = request.is_some_and(|start| packet.request_checksum(u16::from(start), 6).is_ok());
        let copy = target.copy_packet(&from, &packet).unwrap();
        prop_assert_eq!(whole(&to, &copy), pieces.concat());
        prop_assert_eq!(whole(&from, &packet), pieces.concat());
        prop_assert_eq!(copy.wants_checksum(), asked);
        prop_assert_eq!(copy.checksum_request(), packet.checksum_request());
        prop_assert_eq!(target.free() + to.segment_count(&copy), 16);
        target.give(copy);
        source.give(packet);
        prop_assert_eq!((source.free(), target.free()), (16, 16));
    }

    /// A frame against a `Vec` with a fixed front and back.
    #[test]
    fn any_pushes_pops_and_resizes_agree_with_a_vector(
        steps in proptest::collection::vec((0u8..3, 0usize..2200), 1..60),
        large: bool,
    ) {
        let size = if large { FrameSize::Bytes4096 } else { FrameSize::Bytes2048 };
        let (umem, mut pool) = create(1, size);
        let mut frame = pool.take().unwrap();
        let mut model: Vec<u8> = Vec::new();
        let mut front = 256;
        for (step, (kind, n)) in steps.into_iter().enumerate() {
            match kind {
                0 => match frame.push_front(n) {
                    Ok(bytes) => {
                        bytes.fill(step as u8);
                        front -= n;
                        model.splice(0..0, std::iter::repeat_n(step as u8, n));
                    }
                    Err(error) => prop_assert!(n > front - 24 && error.room == front - 24),
                },
                1 => match frame.pop_front(n) {
                    Ok(()) => {
                        front += n;
                        model.drain(..n);
                    }
                    Err(_) => prop_assert!(n > model.len() || front + n == umem.frame_size()),
                },
                _ => match frame.set_len(n) {
                    Ok(()) => {
                        let old = model.len().min(n);
                        model.resize(n, step as u8);
                        frame.bytes_mut()[old..].fill(step as u8);
                    }
                    Err(_) => prop_assert!(n > umem.frame_size() - front),
                },
            }
            prop_assert_eq!(frame.bytes(), &model[..]);
            prop_assert_eq!(frame.headroom(), front - 24);
            prop_assert_eq!(frame.tailroom(), umem.frame_size() - front - model.len());
        }
        pool.give(frame);
    }
}
