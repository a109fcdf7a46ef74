//! From the rx ring: descriptors become frames, if everything they say can be true.

use std::ptr::NonNull;

use crate::abi::{Desc, MAX_SEGMENTS, TX_METADATA_LEN, XDP_PKT_CONTD};
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::prefetch::prefetch;
use crate::slots::{Borrower, Lent, Link, NO_SLOT};
use crate::socket::{Partial, Socket};
use crate::umem::Region;

/// Why a descriptor is no frame.
#[derive(Clone, Copy)]
enum Refusal {
    /// It names no slot that was lent through this ring: nothing is done.
    Stranger,
    /// It names a slot of ours, but bytes outside it: the slot comes home.
    Outside(u32),
}

/// What a received descriptor is held against.
#[derive(Clone, Copy)]
struct Gate<'a> {
    lent: Borrower<'a>,
    base: NonNull<u8>,
    size: crate::FrameSize,
}

impl<'a> Gate<'a> {
    #[inline]
    fn new(region: &'a Region, socket: crate::slots::SocketNumber) -> Self {
        Self { lent: region.slots.borrower(socket, Lent::Fill), base: region.base(), size: region.size() }
    }

    #[inline]
    fn admit(self, desc: Desc) -> Result<Frame, Refusal> {
        let slot = desc.addr >> self.size.shift();
        if !self.lent.take_back(slot) {
            return Err(Refusal::Stranger);
        }
        let offset = desc.addr as usize & (self.size.bytes() - 1);
        let len = desc.len as usize;
        if offset < TX_METADATA_LEN || len == 0 || len > self.size.bytes() - offset {
            return Err(Refusal::Outside(slot as u32));
        }
        // SAFETY:
        // * `take_back` said that the slot exists, and took it from the kernel for us alone.
        // * The address is that slot's start and `offset`; the bytes were checked to lie behind the metadata and within
        //   the slot. `base` carries provenance over the whole memory.
        Ok(unsafe { Frame::new(self.base.add(desc.addr as usize), len, self.size) })
    }
}

impl Socket {
    /// Hands up to `max` received packets to `sink`, whole ones only, and returns how many.
    ///
    /// # Panics
    /// If the pool is of another memory.
    #[inline]
    pub fn receive(&mut self, pool: &mut FramePool, max: usize, mut sink: impl FnMut(Frame)) -> usize {
        self.expect_own(pool);
        let available = self.rx.available(max.min(u32::MAX as usize) as u32);
        let (mut read, mut packets) = (0, 0);
        while read < available && packets < max {
            if self.partial.is_none() && !self.skipping {
                let gate = Gate::new(&self.umem.region, self.number);
                let reader = self.rx.reader();
                let mut admitted = 0;
                while read < available && packets < max {
                    let desc = reader.read(read);
                    if desc.options & XDP_PKT_CONTD != 0 {
                        break;
                    }
                    read += 1;
                    match gate.admit(desc) {
                        Ok(frame) => {
                            admitted += 1;
                            packets += 1;
                            // Its first line is still in the cache of the core that received it, and whoever reads the
                            // packet, the kernel's copy on the way out included, would wait for it (11 % of a bare
                            // cross-connect's rate).
                            prefetch(&frame);
                            sink(frame);
                        }
                        Err(refusal) => {
                            let lent = refuse(refusal, pool);
                            self.refused += 1;
                            self.fill_lent -= lent;
                        }
                    }
                }
                self.fill_lent -= admitted;
                if read == available || packets == max {
                    break;
                }
            }
            let desc = self.rx.reader().read(read);
            read += 1;
            if let Some(frame) = self.join(desc, pool) {
                packets += 1;
                sink(frame);
            }
        }
        if read > 0 {
            self.rx.release(read);
        }
        packets
    }

    /// Takes one segment of a multi-buffer packet; returns the packet with its last. One refused segment refuses the
    /// packet: what came before goes home, and what follows is skipped up to its end.
    #[inline(never)]
    fn join(&mut self, desc: Desc, pool: &mut FramePool) -> Option<Frame> {
        let last = desc.options & XDP_PKT_CONTD == 0;
        let segment = self.segment(desc, pool);
        let partial = self.partial.take();
        let full = partial.as_ref().is_some_and(|partial| partial.segments == MAX_SEGMENTS);
        let segment = match segment {
            Some(segment) if !self.skipping && !full => segment,
            other => {
                self.refused += u64::from(full);
                self.skipping = !last;
                for frame in other.into_iter().chain(partial.map(|partial| partial.head)) {
                    pool.give(frame);
                }
                return None;
            }
        };
        let slot = self.umem.slot_of(&segment);
        let partial = match partial {
            None => Partial { last: slot, head: segment, segments: 1 },
            Some(mut partial) => {
                let slots = &self.umem.region.slots;
                let (offset, len) = (segment.offset() as u16, segment.len() as u16);
                slots.set_link(slot, Link { next: NO_SLOT, offset, len });
                slots.set_link(partial.last, Link { next: slot, ..slots.link(partial.last) });
                partial.head.set_chained();
                Partial { last: slot, segments: partial.segments + 1, ..partial }
            }
        };
        if last {
            return Some(partial.head);
        }
        self.partial = Some(partial);
        None
    }

    fn segment(&mut self, desc: Desc, pool: &mut FramePool) -> Option<Frame> {
        match Gate::new(&self.umem.region, self.number).admit(desc) {
            Ok(frame) => {
                self.fill_lent -= 1;
                Some(frame)
            }
            Err(refusal) => {
                self.refused += 1;
                self.fill_lent -= refuse(refusal, pool);
                None
            }
        }
    }
}

/// Brings the slot of a refused descriptor home, if it was lent. Returns how many that are.
#[cold]
fn refuse(refusal: Refusal, pool: &mut FramePool) -> u32 {
    match refusal {
        Refusal::Stranger => 0,
        Refusal::Outside(slot) => {
            pool.give_slot(slot);
            1
        }
    }
}
