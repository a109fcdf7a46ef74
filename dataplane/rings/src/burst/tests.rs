//! The burst loops against a kernel made of the rings' other ends: it answers honestly, or it lies.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use crate::abi::{Desc, MAX_SEGMENTS, XDP_PKT_CONTD, XDP_TX_METADATA};
use crate::error::QueueId;
use crate::ring::tests::pair;
use crate::ring::{ConsumerRing, ProducerRing};
use crate::slots::SocketNumber;
use crate::{Frame, FramePool, FrameSize, HugePages, InFlight, Socket, Umem, UmemConfig};

const FRAMES: u32 = 64;
const RING: u32 = 16;
const SLOT: u64 = 2048;

/// The other ends of a socket's rings.
struct Kernel {
    rx: ProducerRing<Desc>,
    tx: ConsumerRing<Desc>,
    fill: ConsumerRing<u64>,
    completion: ProducerRing<u64>,
}

impl Kernel {
    /// Publishes received descriptors as they are, true or not.
    fn receive(&mut self, descs: &[Desc]) {
        assert!(self.rx.room(descs.len() as u32) >= descs.len() as u32);
        for (ahead, desc) in (0..).zip(descs) {
            self.rx.writer().write(ahead, *desc);
        }
        self.rx.publish(descs.len() as u32);
    }

    /// Takes one address from the fill ring.
    fn fill(&mut self) -> u64 {
        assert!(self.fill.available(1) > 0, "the fill ring is empty");
        let address = self.fill.reader().read(0);
        self.fill.release(1);
        address
    }

    /// Takes everything from the tx ring.
    fn sent(&mut self) -> Vec<Desc> {
        let n = self.tx.available(RING);
        let descs = (0..n).map(|ahead| self.tx.reader().read(ahead)).collect();
        self.tx.release(n);
        descs
    }

    fn complete(&mut self, addresses: &[u64]) {
        for (ahead, address) in (0..).zip(addresses) {
            self.completion.writer().write(ahead, *address);
        }
        self.completion.publish(addresses.len() as u32);
    }
}

/// A socket over in-memory rings. Its descriptor is a file, so no wake-up may happen; none of these tests needs one.
fn bed() -> (Socket, FramePool, Kernel) {
    let config = UmemConfig { frames: FRAMES, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    let (umem, mut pool) = Umem::create(&config).unwrap();
    let (rx_far, rx) = pair(RING);
    let (tx, tx_far) = pair(RING);
    let (fill, fill_far) = pair(RING);
    let (completion_far, completion) = pair(RING);
    let mut socket = Socket {
        rx,
        tx,
        fill,
        completion,
        umem,
        number: SocketNumber::new(3).unwrap(),
        fill_lent: 0,
        tx_lent: 0,
        fill_target: RING,
        unsent: false,
        zero_copy: false,
        offload: true,
        busy_poll: false,
        skipping: false,
        max_segments: MAX_SEGMENTS,
        max_kicks: 1,
        tx_budget: 32,
        refused: 0,
        unsendable: 0,
        wakeups: 0,
        partial: None,
        gone: AtomicBool::new(false),
        at: QueueId { ifindex: 1, queue: 0 },
        group: crate::siblings::Group { zero_copy: false, multi_buffer: true, metadata: true },
        probe: None,
        fd: Arc::new(File::open("/dev/null").unwrap().into()),
    };
    socket.refill(&mut pool);
    let kernel = Kernel { rx: rx_far, tx: tx_far, fill: fill_far, completion: completion_far };
    (socket, pool, kernel)
}

fn received(addr: u64, len: u32, more: bool) -> Desc {
    Desc { addr: addr + 256, len, options: if more { XDP_PKT_CONTD } else { 0 } }
}

fn collect(socket: &mut Socket, pool: &mut FramePool, max: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    let n = socket.receive(pool, max, |frame| frames.push(frame));
    assert_eq!(n, frames.len());
    frames
}

fn give_all(pool: &mut FramePool, frames: Vec<Frame>) {
    for frame in frames {
        pool.give(frame);
    }
}

/// Free, lent for filling, lent for sending, in a half-arrived packet; and what was refused.
fn ledger(socket: &Socket, pool: &FramePool) -> (usize, usize, usize, usize, u64) {
    let InFlight { fill, tx, rx } = socket.in_flight();
    (pool.free(), fill, tx, rx, socket.refused)
}

#[test]
fn a_packet_comes_in_goes_out_and_its_slot_comes_home() {
    let (mut socket, mut pool, mut kernel) = bed();
    assert_eq!(ledger(&socket, &pool), (48, 16, 0, 0, 0));
    let address = kernel.fill();
    kernel.receive(&[received(address, 60, false)]);
    let mut queue: VecDeque<Frame> = collect(&mut socket, &mut pool, 64).into();
    assert_eq!(ledger(&socket, &pool), (48, 15, 0, 0, 0));
    assert_eq!(queue[0].len(), 60);
    assert_eq!(queue[0].headroom(), 256 - 24);
    assert_eq!(socket.transmit(&mut pool, &mut queue), 1);
    assert_eq!(ledger(&socket, &pool), (48, 15, 1, 0, 0));
    assert_eq!(kernel.sent(), [Desc { addr: address + 256, len: 60, options: 0 }]);
    kernel.complete(&[address + 256]);
    socket.collect(&mut pool);
    assert_eq!(ledger(&socket, &pool), (49, 15, 0, 0, 0));
    socket.refill(&mut pool);
    assert_eq!(ledger(&socket, &pool), (48, 16, 0, 0, 0));
}

#[test]
fn a_burst_takes_no_more_packets_than_asked_and_the_rest_later() {
    let (mut socket, mut pool, mut kernel) = bed();
    let descs: Vec<Desc> = (0..5).map(|n| received(kernel.fill(), 60 + n, false)).collect();
    kernel.receive(&descs);
    let first = collect(&mut socket, &mut pool, 3);
    assert_eq!(first.iter().map(Frame::len).collect::<Vec<_>>(), [60, 61, 62]);
    let rest = collect(&mut socket, &mut pool, 3);
    assert_eq!(rest.iter().map(Frame::len).collect::<Vec<_>>(), [63, 64]);
    give_all(&mut pool, first);
    give_all(&mut pool, rest);
    assert_eq!(ledger(&socket, &pool), (53, 11, 0, 0, 0));
}

#[test]
fn every_lie_about_a_received_slot_is_refused_and_the_truth_still_accepted() {
    let (mut socket, mut pool, mut kernel) = bed();
    let ours = pool.take().unwrap();
    let ours_at = u64::from(socket.umem.slot_of(&ours)) * SLOT;
    let lent = kernel.fill();
    let lies = [
        Desc { addr: u64::from(FRAMES) * SLOT + 256, len: 60, options: 0 },
        Desc { addr: u64::MAX, len: 60, options: 0 },
        Desc { addr: u64::from(u32::MAX) << 11, len: 60, options: 0 },
        Desc { addr: 1 << 62, len: 60, options: 0 },
        Desc { addr: ours_at + 256, len: 60, options: 0 },
        Desc { addr: u64::from(FRAMES - 1) * SLOT + 256, len: 60, options: 0 },
    ];
    kernel.receive(&lies);
    assert_eq!(collect(&mut socket, &mut pool, 64).len(), 0);
    assert_eq!(ledger(&socket, &pool), (47, 16, 0, 0, 6), "no slot moved");
    kernel.receive(&[received(lent, 60, false), received(lent, 60, false)]);
    let frames = collect(&mut socket, &mut pool, 64);
    assert_eq!(frames.len(), 1, "a slot told of twice is one frame");
    assert_eq!(ledger(&socket, &pool), (47, 15, 0, 0, 7));
    give_all(&mut pool, frames);
    pool.give(ours);
}

#[test]
fn a_length_or_place_that_leaves_the_slot_is_refused_and_the_slot_comes_home() {
    let (mut socket, mut pool, mut kernel) = bed();
    let places = [(256, 1793), (256, u32::MAX), (256, 0), (2047, 2), (23, 60), (0, 60)];
    let descs = places.map(|(offset, len)| Desc { addr: kernel.fill() + offset, len, options: 0 });
    kernel.receive(&descs);
    assert_eq!(collect(&mut socket, &mut pool, 64).len(), 0);
    assert_eq!(ledger(&socket, &pool), (54, 10, 0, 0, 6));
    let longest = Desc { addr: kernel.fill() + 256, len: 1792, options: 0 };
    let nearest = Desc { addr: kernel.fill() + 24, len: 2024, options: 0 };
    kernel.receive(&[longest, nearest]);
    let frames = collect(&mut socket, &mut pool, 64);
    assert_eq!(frames.iter().map(Frame::len).collect::<Vec<_>>(), [1792, 2024]);
    assert_eq!(frames[1].headroom(), 0);
    give_all(&mut pool, frames);
}

#[test]
fn every_lie_about_a_sent_slot_is_refused() {
    let (mut socket, mut pool, mut kernel) = bed();
    let mut queue = VecDeque::from([pool.write_packet(&[7; 60]).unwrap()]);
    assert_eq!(socket.transmit(&mut pool, &mut queue), 1);
    let sent = kernel.sent()[0].addr;
    let filled = kernel.fill();
    kernel.complete(&[u64::MAX, u64::from(FRAMES) * SLOT, filled, sent ^ SLOT, sent]);
    socket.collect(&mut pool);
    assert_eq!(ledger(&socket, &pool), (48, 16, 0, 0, 4));
    // Nothing is lent for sending any more, so a second completion is not even looked at until something is.
    kernel.complete(&[sent]);
    socket.collect(&mut pool);
    let mut queue = VecDeque::from([pool.write_packet(&[8; 60]).unwrap(), pool.write_packet(&[9; 60]).unwrap()]);
    socket.transmit(&mut pool, &mut queue);
    let again: Vec<u64> = kernel.sent().iter().map(|desc| desc.addr).collect();
    kernel.complete(&again);
    socket.collect(&mut pool);
    socket.collect(&mut pool);
    assert_eq!(pool.free() + socket.in_flight().fill + socket.in_flight().tx, 64);
}

#[test]
fn a_jumbo_packet_is_handed_over_whole_and_leaves_as_it_came() {
    let (mut socket, mut pool, mut kernel) = bed();
    let addresses = [kernel.fill(), kernel.fill(), kernel.fill()];
    kernel.receive(&[received(addresses[0], 1792, true), received(addresses[1], 1792, true)]);
    assert_eq!(collect(&mut socket, &mut pool, 64).len(), 0, "its end is still to come");
    assert_eq!(ledger(&socket, &pool), (48, 13 + 1, 0, 2, 0));
    kernel.receive(&[received(addresses[2], 100, false)]);
    let frames = collect(&mut socket, &mut pool, 64);
    assert_eq!(socket.umem.packet_len(&frames[0]), 1792 * 2 + 100);
    assert_eq!(ledger(&socket, &pool), (48, 13, 0, 0, 0));
    let mut queue = VecDeque::from(frames);
    queue[0].push_front(8).unwrap();
    assert_eq!(socket.transmit(&mut pool, &mut queue), 1);
    let sent = kernel.sent();
    assert_eq!(
        sent,
        [
            Desc { addr: addresses[0] + 248, len: 1800, options: XDP_PKT_CONTD },
            Desc { addr: addresses[1] + 256, len: 1792, options: XDP_PKT_CONTD },
            Desc { addr: addresses[2] + 256, len: 100, options: 0 },
        ]
    );
    kernel.complete(&sent.iter().map(|desc| desc.addr).collect::<Vec<_>>());
    socket.collect(&mut pool);
    assert_eq!(ledger(&socket, &pool), (51, 13, 0, 0, 0));
}

#[test]
fn one_refused_segment_refuses_its_packet_and_not_the_next() {
    let (mut socket, mut pool, mut kernel) = bed();
    let [a, b, c, d] = [kernel.fill(), kernel.fill(), kernel.fill(), kernel.fill()];
    kernel.receive(&[
        received(a, 1792, true),
        received(b, 5000, true),
        received(c, 1792, true),
        received(u64::MAX - 4096, 10, false),
        received(d, 60, false),
    ]);
    let frames = collect(&mut socket, &mut pool, 64);
    assert_eq!(frames.iter().map(Frame::len).collect::<Vec<_>>(), [60]);
    give_all(&mut pool, frames);
    assert_eq!(ledger(&socket, &pool), (52, 12, 0, 0, 2));
}

#[test]
fn a_packet_of_more_segments_than_there_can_be_is_refused_whole() {
    let (mut socket, mut pool, mut kernel) = bed();
    let mut descs = Vec::new();
    for _ in 0..MAX_SEGMENTS + 1 {
        descs.push(received(kernel.fill(), 1000, true));
        if descs.len() == 8 {
            kernel.receive(&descs);
            assert_eq!(collect(&mut socket, &mut pool, 64).len(), 0);
            socket.refill(&mut pool);
            descs.clear();
        }
    }
    let end = received(kernel.fill(), 1000, false);
    descs.push(end);
    descs.push(received(kernel.fill(), 60, false));
    kernel.receive(&descs);
    let frames = collect(&mut socket, &mut pool, 64);
    assert_eq!(frames.iter().map(Frame::len).collect::<Vec<_>>(), [60]);
    give_all(&mut pool, frames);
    socket.refill(&mut pool);
    assert_eq!(ledger(&socket, &pool), (48, 16, 0, 0, 1));
}

#[test]
fn what_does_not_fit_the_ring_stays_queued_and_a_chain_is_never_split() {
    let (mut socket, mut pool, mut kernel) = bed();
    let mut queue: VecDeque<Frame> = (0..15).map(|_| pool.write_packet(&[1; 60]).unwrap()).collect();
    queue.push_back(pool.write_packet(&[2; 3000]).unwrap());
    queue.push_back(pool.write_packet(&[3; 60]).unwrap());
    assert_eq!(socket.transmit(&mut pool, &mut queue), 15);
    assert_eq!(queue.len(), 2, "one entry is left, and the chain takes two");
    assert_eq!(kernel.sent().len(), 15);
    assert_eq!(socket.transmit(&mut pool, &mut queue), 2);
    let options: Vec<u32> = kernel.sent().iter().map(|desc| desc.options).collect();
    assert_eq!(options, [XDP_PKT_CONTD, 0, 0]);
}

#[test]
fn packets_no_kernel_would_send_come_home_and_are_counted() {
    let (mut socket, mut pool, mut kernel) = bed();
    socket.max_segments = 2;
    let mut queue = VecDeque::from([
        pool.write_packet(&[1; 13]).unwrap(),
        pool.write_packet(&[2; 14]).unwrap(),
        pool.write_packet(&[3; 4000]).unwrap(),
        pool.take().unwrap(),
        pool.write_packet(&[4; 2000]).unwrap(),
    ]);
    let mut headless = pool.write_packet(&[5; 1000]).unwrap();
    let tail = pool.take().unwrap();
    pool.append(&mut headless, tail);
    queue.push_back(headless);
    assert_eq!(socket.transmit(&mut pool, &mut queue), 2);
    assert_eq!((queue.len(), socket.unsendable), (0, 4));
    assert_eq!(kernel.sent().iter().map(|desc| desc.len).collect::<Vec<_>>(), [14, 1792, 208]);
    assert_eq!(ledger(&socket, &pool), (45, 16, 3, 0, 0));
}

#[test]
fn a_checksum_request_goes_to_the_kernel_before_the_packet_or_is_met_in_software() {
    let (mut socket, mut pool, mut kernel) = bed();
    let packet = || {
        let mut bytes = [0x11; 60];
        bytes[40..42].copy_from_slice(&[0x12, 0x34]);
        bytes
    };
    let mut offloaded = pool.write_packet(&packet()).unwrap();
    offloaded.request_checksum(34, 6).unwrap();
    offloaded.push_front(4).unwrap().fill(0);
    let mut queue = VecDeque::from([offloaded]);
    socket.transmit(&mut pool, &mut queue);
    let sent = kernel.sent()[0];
    assert_eq!(sent.options, XDP_TX_METADATA);
    let memory = socket.umem.region.bytes_at(sent.addr as usize - 24, 24);
    assert_eq!(memory[..8], 2u64.to_ne_bytes(), "XDP_TXMD_FLAGS_CHECKSUM");
    assert_eq!(memory[8..10], 38u16.to_ne_bytes(), "where summing starts, four bytes on for the push");
    assert_eq!(memory[10..12], 6u16.to_ne_bytes());

    socket.offload = false;
    let mut software = pool.write_packet(&packet()).unwrap();
    software.request_checksum(34, 6).unwrap();
    let mut queue = VecDeque::from([software]);
    socket.transmit(&mut pool, &mut queue);
    let sent = kernel.sent()[0];
    assert_eq!(sent.options, 0);
    let bytes = socket.umem.region.bytes_at(sent.addr as usize, 60);
    // Twelve words of 0x1111 and the pseudo-header's 0x1234 sum to 0xdf00.
    assert_eq!(bytes[40..42], (!0xdf00u16).to_be_bytes());
}

#[test]
#[should_panic(expected = "not its own")]
fn a_pool_of_another_memory_is_refused() {
    let (mut socket, _pool, _kernel) = bed();
    let (_, mut other, _) = bed();
    socket.receive(&mut other, 1, |_| ());
}

#[test]
#[should_panic(expected = "not its own")]
fn a_frame_of_another_memory_is_refused_by_transmit() {
    let (mut socket, mut pool, _kernel) = bed();
    let (_, mut other, _) = bed();
    let mut queue = VecDeque::from([other.write_packet(&[1; 60]).unwrap()]);
    socket.transmit(&mut pool, &mut queue);
}

proptest! {
    /// Whatever the kernel publishes, slots are conserved and every frame lies in a slot of its own.
    #[test]
    fn no_descriptors_at_all_break_the_ledger(
        rounds in proptest::collection::vec(
            proptest::collection::vec((any::<bool>(), 0u64..70 * 2048, 0u32..2100, 0u32..2), 0..12), 1..12),
    ) {
        let (mut socket, mut pool, mut kernel) = bed();
        for round in rounds {
            let mut descs = Vec::new();
            for (honest, addr, len, options) in round {
                let addr = if honest && kernel.fill.available(1) > 0 { kernel.fill() + 256 } else { addr };
                descs.push(Desc { addr, len, options });
            }
            kernel.receive(&descs);
            let frames = collect(&mut socket, &mut pool, 64);
            let mut slots: Vec<u32> = frames
                .iter()
                .flat_map(|frame| std::iter::once(socket.umem.slot_of(frame)).chain(socket.umem.tail_slots(frame)))
                .collect();
            let InFlight { fill, tx, rx } = socket.in_flight();
            prop_assert_eq!(pool.free() + slots.len() + fill + tx + rx, 64);
            slots.sort_unstable();
            let count = slots.len();
            slots.dedup();
            prop_assert_eq!(slots.len(), count, "no slot is in two frames");
            prop_assert!(frames.iter().all(|frame| frame.offset() + frame.len() <= 2048));
            give_all(&mut pool, frames);
            socket.refill(&mut pool);
        }
    }
}
