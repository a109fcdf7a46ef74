//! Into the tx ring: frames become descriptors, and their slots the kernel's.

use std::collections::VecDeque;

use crate::abi::{Desc, TxMetadata, XDP_PKT_CONTD, XDP_TX_METADATA, XDP_TXMD_FLAGS_CHECKSUM};
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::ring::Writer;
use crate::slots::{Lent, Link, NO_SLOT};
use crate::socket::Socket;
use crate::umem::foreign_frame;

/// Less than this is no Ethernet packet, and drivers read that much without asking.
const ETHERNET_HEADER: usize = 14;

/// Where packets are laid: the ring's free entries, and how many of them are used.
struct Bench<'a> {
    ring: Writer<'a, Desc>,
    used: u32,
    room: u32,
}

/// What became of a packet that was to be laid into the ring.
#[derive(PartialEq, Eq)]
enum Laid {
    Whole,
    RingFull,
    Unsendable,
}

impl Socket {
    /// Lays as many whole packets from the queue's front into the tx ring as it takes, and returns how many. The rest stays
    /// queued. The kernel hears of them in [`settle`](Self::settle).
    ///
    /// A packet that can never be sent here (see [`Statistics::unsendable`](crate::Statistics::unsendable)) is taken from
    /// the queue, given to the pool and not counted in what is returned.
    ///
    /// # Panics
    /// If the pool or a packet is of another memory.
    pub fn transmit(&mut self, pool: &mut FramePool, queue: &mut VecDeque<Frame>) -> usize {
        self.expect_own(pool);
        if queue.is_empty() {
            return 0;
        }
        let room = self.tx.room(queue.len().min(u32::MAX as usize) as u32);
        let mut bench = Bench { ring: self.tx.writer(), used: 0, room };
        let (mut packets, mut unsendable) = (0, 0);
        loop {
            let (laid, outcome) = self.lay_front(queue, &mut bench);
            // A frame has no drop: this forgets the tokens, whose slots are the kernel's now.
            queue.drain(..laid);
            packets += laid;
            if outcome != Laid::Unsendable {
                break;
            }
            if let Some(frame) = queue.pop_front() {
                unsendable += 1;
                pool.give(frame);
            }
        }
        let used = bench.used;
        self.unsendable += unsendable;
        if used > 0 {
            self.tx.publish(used);
            self.tx_lent += used;
            self.unsent = true;
        }
        packets
    }

    /// Lays packets from the queue's front until one cannot be. Returns how many were, and why it ended.
    #[inline]
    fn lay_front(&self, queue: &mut VecDeque<Frame>, bench: &mut Bench<'_>) -> (usize, Laid) {
        let region = &*self.umem.region;
        let (base, bytes, shift) = (region.base().addr().get(), region.bytes(), region.size().shift());
        let lent = region.slots.borrower(self.number, Lent::Tx);
        let mut laid = 0;
        for frame in queue.iter_mut() {
            if frame.is_plain() && frame.len() >= ETHERNET_HEADER {
                if bench.used == bench.room {
                    return (laid, Laid::RingFull);
                }
                let addr = frame.start().addr().get().wrapping_sub(base);
                if addr >= bytes {
                    foreign_frame();
                }
                lent.lend((addr >> shift) as u32);
                bench.ring.write(bench.used, Desc { addr: addr as u64, len: frame.len() as u32, options: 0 });
                bench.used += 1;
            } else {
                match self.lay(frame, bench) {
                    Laid::Whole => {}
                    outcome => return (laid, outcome),
                }
            }
            laid += 1;
        }
        (laid, Laid::Whole)
    }

    /// Lays a packet of several segments, or one whose checksum is asked for.
    #[inline(never)]
    fn lay(&self, frame: &mut Frame, bench: &mut Bench<'_>) -> Laid {
        let region = &*self.umem.region;
        let slot = self.umem.slot_of(frame);
        let segments = self.umem.segment_count(frame);
        let mut tails = self.umem.tail_slots(frame);
        if frame.len() < ETHERNET_HEADER
            || segments > self.max_segments
            || tails.any(|slot| region.slots.link(slot).len == 0)
        {
            return Laid::Unsendable;
        }
        if segments as u32 > bench.room - bench.used {
            return Laid::RingFull;
        }
        let lent = region.slots.borrower(self.number, Lent::Tx);
        let place = |slot: u32, offset: usize| (u64::from(slot) << region.size().shift()) + offset as u64;
        let more = |more: bool| if more { XDP_PKT_CONTD } else { 0 };
        let options = self.checksum(frame) | more(frame.is_chained());
        let head = Desc { addr: place(slot, frame.offset()), len: frame.len() as u32, options };
        bench.ring.write(bench.used, head);
        for (at, slot) in (bench.used + 1..).zip(self.umem.tail_slots(frame)) {
            let Link { next, offset, len } = region.slots.link(slot);
            let options = more(next != NO_SLOT);
            lent.lend(slot);
            bench.ring.write(at, Desc { addr: place(slot, usize::from(offset)), len: u32::from(len), options });
        }
        lent.lend(slot);
        bench.used += segments as u32;
        Laid::Whole
    }

    /// Passes a checksum request on to the kernel, or meets it here. Returns the descriptor's options.
    #[inline]
    fn checksum(&self, frame: &mut Frame) -> u32 {
        match frame.checksum_request() {
            None => 0,
            Some((csum_start, csum_offset)) if self.offload => {
                let flags = XDP_TXMD_FLAGS_CHECKSUM;
                frame.write_metadata(TxMetadata { flags, csum_start, csum_offset, unused: 0, launch_time: 0 });
                XDP_TX_METADATA
            }
            Some(_) => {
                self.umem.finish_checksum(frame);
                0
            }
        }
    }
}
