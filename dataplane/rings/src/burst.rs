//! The four loops a packet's speed hangs on: receive, transmit, collect what was sent, refill.
//!
//! Each touches the shared counters once for a burst (an acquire before, a release after) and makes no system call per
//! packet. What the kernel says of a slot is checked against the slot's mark, here and nowhere else.

use std::collections::VecDeque;
use std::io;

use crate::abi::{
    Desc, MAX_SEGMENTS, TX_METADATA_LEN, TxMetadata, XDP_PKT_CONTD, XDP_TX_METADATA, XDP_TXMD_FLAGS_CHECKSUM,
};
use crate::error::SocketError;
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::slots::{Lent, Link, NO_SLOT};
use crate::socket::{Partial, Socket};
use crate::sys;
use crate::umem::foreign_frame;

/// Less than this is no Ethernet packet, and drivers read that much without asking.
const ETHERNET_HEADER: usize = 14;

/// What became of a packet that was to be laid into the tx ring.
enum Laid {
    Descriptors(u32),
    RingFull,
    Unsendable,
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
            let desc = self.rx.read(read);
            read += 1;
            let plain = desc.options & XDP_PKT_CONTD == 0 && self.partial.is_none() && !self.skipping;
            let packet = if plain { self.accept(desc, pool) } else { self.join(desc, pool) };
            if let Some(frame) = packet {
                packets += 1;
                sink(frame);
            }
        }
        if read > 0 {
            self.rx.release(read);
        }
        packets
    }

    /// Makes a frame of a received descriptor, if everything it says can be true.
    #[inline]
    fn accept(&mut self, desc: Desc, pool: &mut FramePool) -> Option<Frame> {
        let size = self.umem.region.size();
        let slot = u32::try_from(desc.addr >> size.shift()).unwrap_or(NO_SLOT);
        if !self.umem.region.slots.take_back(slot, self.number, Lent::Fill) {
            self.refused += 1;
            return None;
        }
        self.fill_lent -= 1;
        let offset = desc.addr as usize & (size.bytes() - 1);
        let len = desc.len as usize;
        if offset < TX_METADATA_LEN || len == 0 || len > size.bytes() - offset {
            self.refused += 1;
            pool.give_slot(slot);
            return None;
        }
        // SAFETY:
        // * `take_back` said that the slot exists and was the kernel's, and made it ours; the rest was checked above. The
        //   pool is of this socket's memory (`expect_own`).
        Some(unsafe { pool.frame(slot, offset, len) })
    }

    /// Takes one segment of a multi-buffer packet; returns the packet with its last. One refused segment refuses the
    /// packet: what came before goes home, and what follows is skipped up to its end.
    #[inline(never)]
    fn join(&mut self, desc: Desc, pool: &mut FramePool) -> Option<Frame> {
        let last = desc.options & XDP_PKT_CONTD == 0;
        let segment = self.accept(desc, pool);
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

    /// Lays as many whole packets from the queue's front into the tx ring as it takes, and returns how many. The rest stays
    /// queued. The kernel hears of them in [`settle`](Self::settle).
    ///
    /// A packet that can never be sent here (see [`Statistics::unsendable`](crate::Statistics::unsendable)) is taken from
    /// the queue, given to the pool and not counted in what is returned.
    ///
    /// # Panics
    /// If the pool or a packet is of another memory.
    #[inline]
    pub fn transmit(&mut self, pool: &mut FramePool, queue: &mut VecDeque<Frame>) -> usize {
        self.expect_own(pool);
        if queue.is_empty() {
            return 0;
        }
        let room = self.tx.room(queue.len().min(u32::MAX as usize) as u32);
        let (mut used, mut packets) = (0, 0);
        loop {
            let mut laid = 0;
            let mut unsendable = false;
            for frame in queue.iter_mut() {
                match self.lay(frame, used, room) {
                    Laid::Descriptors(n) => used += n,
                    Laid::RingFull => break,
                    Laid::Unsendable => {
                        unsendable = true;
                        break;
                    }
                }
                laid += 1;
            }
            // A frame has no drop: this forgets the tokens, whose slots are the kernel's now.
            queue.drain(..laid);
            packets += laid;
            if !unsendable {
                break;
            }
            if let Some(frame) = queue.pop_front() {
                self.unsendable += 1;
                pool.give(frame);
            }
        }
        if used > 0 {
            self.tx.publish(used);
            self.tx_lent += used;
            self.unsent = true;
        }
        packets
    }

    /// Lays one packet into the ring, `used` entries of whose `room` are taken, and marks its slots lent.
    #[inline]
    fn lay(&mut self, frame: &mut Frame, used: u32, room: u32) -> Laid {
        if frame.len() < ETHERNET_HEADER {
            return Laid::Unsendable;
        }
        if frame.is_chained() {
            return self.lay_chain(frame, used, room);
        }
        if used == room {
            return Laid::RingFull;
        }
        let options = if frame.wants_checksum() { self.checksum(frame) } else { 0 };
        self.put(frame, used, options);
        Laid::Descriptors(1)
    }

    #[inline(never)]
    fn lay_chain(&mut self, frame: &mut Frame, used: u32, room: u32) -> Laid {
        let region = &*self.umem.region;
        let segments = self.umem.segment_count(frame);
        let mut tails = self.umem.tail_slots(frame);
        if segments > self.max_segments || tails.any(|slot| region.slots.link(slot).len == 0) {
            return Laid::Unsendable;
        }
        if segments as u32 > room - used {
            return Laid::RingFull;
        }
        let options = if frame.wants_checksum() { self.checksum(frame) } else { 0 };
        self.put(frame, used, options | XDP_PKT_CONTD);
        let region = &*self.umem.region;
        for (at, slot) in (used + 1..).zip(self.umem.tail_slots(frame)) {
            let Link { next, offset, len } = region.slots.link(slot);
            let options = if next == NO_SLOT { 0 } else { XDP_PKT_CONTD };
            let addr = (u64::from(slot) << region.size().shift()) + u64::from(offset);
            region.slots.lend(slot, self.number, Lent::Tx);
            self.tx.write(at, Desc { addr, len: u32::from(len), options });
        }
        Laid::Descriptors(segments as u32)
    }

    /// Writes a frame's first descriptor and marks its slot lent.
    #[inline]
    fn put(&mut self, frame: &Frame, at: u32, options: u32) {
        let region = &*self.umem.region;
        let Some(addr) = region.address_of(frame) else { foreign_frame() };
        region.slots.lend((addr >> region.size().shift()) as u32, self.number, Lent::Tx);
        self.tx.write(at, Desc { addr: addr as u64, len: frame.len() as u32, options });
    }

    /// Passes a checksum request on to the kernel, or meets it here. Returns the descriptor's options.
    #[inline]
    fn checksum(&self, frame: &mut Frame) -> u32 {
        match frame.checksum_request() {
            Some((csum_start, csum_offset)) if self.offload => {
                let flags = XDP_TXMD_FLAGS_CHECKSUM;
                frame.write_metadata(TxMetadata { flags, csum_start, csum_offset, unused: 0, launch_time: 0 });
                XDP_TX_METADATA
            }
            _ => {
                self.umem.finish_checksum(frame);
                0
            }
        }
    }

    /// What a turn owes the socket: wakes the kernel if something waits to be sent, brings sent frames home, and lends
    /// fresh ones for receiving.
    ///
    /// # Errors
    /// [`SocketError::DeviceGone`] or [`SocketError::Wake`]: close the socket. A netdev that is merely down is no error; what
    /// was to be sent waits.
    ///
    /// # Panics
    /// If the pool is of another memory.
    #[inline]
    pub fn settle(&mut self, pool: &mut FramePool) -> Result<(), SocketError> {
        self.expect_own(pool);
        let woken = self.wake_transmit();
        self.collect(pool);
        self.refill(pool);
        woken.and_then(|()| self.wake_receive())
    }

    /// Wakes the kernel where it waits for us, and nothing else; for a worker about to nap.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    #[inline]
    pub fn wake(&mut self) -> Result<(), SocketError> {
        self.wake_transmit().and_then(|()| self.wake_receive())
    }

    /// Brings sent frames home.
    #[inline]
    fn collect(&mut self, pool: &mut FramePool) {
        if self.tx_lent == 0 {
            return;
        }
        let sent = self.completion.available(self.tx_lent);
        if sent == 0 {
            return;
        }
        let region = &*self.umem.region;
        for at in 0..sent {
            let slot = u32::try_from(self.completion.read(at) >> region.size().shift()).unwrap_or(NO_SLOT);
            if region.slots.take_back(slot, self.number, Lent::Tx) {
                self.tx_lent -= 1;
                pool.give_slot(slot);
            } else {
                self.refused += 1;
            }
        }
        self.completion.release(sent);
    }

    /// Lends frames until as many are out as the fill ring holds, or the pool is empty.
    #[inline]
    pub(crate) fn refill(&mut self, pool: &mut FramePool) {
        let missing = self.fill_target - self.fill_lent;
        if missing == 0 {
            return;
        }
        let room = self.fill.room(missing).min(missing);
        let region = &*self.umem.region;
        let mut lent = 0;
        while lent < room {
            let Some(slot) = pool.take_slot() else { break };
            region.slots.lend(slot, self.number, Lent::Fill);
            self.fill.write(lent, u64::from(slot) << region.size().shift());
            lent += 1;
        }
        if lent > 0 {
            self.fill.publish(lent);
            self.fill_lent += lent;
        }
    }

    #[inline]
    fn wake_transmit(&mut self) -> Result<(), SocketError> {
        if self.zero_copy {
            if self.tx_lent > 0 && self.tx.needs_wakeup() { self.kick_zero_copy() } else { Ok(()) }
        } else if self.unsent {
            self.kick_copy()
        } else {
            Ok(())
        }
    }

    /// A NIC needs one call; it then works on its own.
    fn kick_zero_copy(&mut self) -> Result<(), SocketError> {
        self.wakeups += 1;
        self.judge(sys::kick_transmit(&*self.fd))
    }

    /// In copy mode the call does the sending, up to the kernel's budget, and says EAGAIN when more is left. So it is
    /// repeated while it gets somewhere, up to a bound; what is left then goes with the next turn.
    fn kick_copy(&mut self) -> Result<(), SocketError> {
        let mut left = self.tx.unconsumed();
        for _ in 0..self.max_kicks {
            self.wakeups += 1;
            let answer = sys::kick_transmit(&*self.fd);
            let now = self.tx.unconsumed();
            if now == 0 {
                self.unsent = false;
            }
            if answer.is_ok() || now == 0 || now == left {
                return self.judge(answer);
            }
            left = now;
        }
        Ok(())
    }

    #[inline]
    fn wake_receive(&mut self) -> Result<(), SocketError> {
        if self.busy_poll || self.fill.needs_wakeup() {
            self.wakeups += 1;
            let answer = sys::kick_receive(&*self.fd);
            return self.judge(answer);
        }
        Ok(())
    }

    /// Sorts the kernel's answer to a wake-up: passing, or for good.
    #[inline]
    fn judge(&self, answer: io::Result<()>) -> Result<(), SocketError> {
        let Err(source) = answer else { return Ok(()) };
        let at = self.at;
        match source.raw_os_error() {
            // More is left, a packet was dropped by the netdev, memory is short, or the netdev is down: all pass.
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENOMEM | libc::EINTR | libc::ENETDOWN) => Ok(()),
            Some(libc::ENXIO | libc::ENODEV) => {
                self.gone.store(true, std::sync::atomic::Ordering::Relaxed);
                Err(SocketError::DeviceGone { at })
            }
            _ => Err(SocketError::Wake { at, source }),
        }
    }
}

#[cfg(test)]
mod tests;
