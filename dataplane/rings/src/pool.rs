//! The free slots of one packet memory: a stack, owned by one worker, with no lock.
//!
//! A stack and not a queue, because the slot given back last is the one whose lines are still in the cache.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::frame::{Frame, HEADROOM};
use crate::siblings::Siblings;
use crate::slots::{Link, NO_SLOT};
use crate::umem::{Umem, foreign_frame};

/// Hands out frames and takes them back. A memory is born with one pool, which belongs to one worker and may lend slots to
/// another ([`lend`](Self::lend)); frames of other memories come in by [`copy_packet`](Self::copy_packet).
pub struct FramePool {
    free: Vec<u32>,
    base: NonNull<u8>,
    umem: Umem,
    /// Shared by all pools of the memory; locked only while a socket opens or closes.
    siblings: Arc<Mutex<Siblings>>,
}

// SAFETY:
// * `base` points into the memory that `umem` keeps mapped, and is used only to make frames, which are `Send`.
// * The rest is `Send` by itself.
unsafe impl Send for FramePool {}

impl FramePool {
    pub(crate) fn new(umem: Umem) -> Self {
        // The last slot ends up at the bottom: the first ones handed out are the lowest.
        let free = (0..umem.frames()).rev().collect();
        Self { free, base: umem.region.base(), umem, siblings: Arc::default() }
    }

    /// A pool without a slot.
    pub(crate) fn empty(umem: Umem) -> Self {
        Self {
            free: Vec::with_capacity(umem.frames() as usize),
            base: umem.region.base(),
            umem,
            siblings: Arc::default(),
        }
    }

    /// Splits off up to `frames` free slots as a pool of their own, on the same memory: for opening and closing sockets on
    /// another thread than the worker's. [`Self::absorb`] takes it home.
    #[must_use]
    pub fn lend(&mut self, frames: usize) -> Self {
        let kept = self.free.len().saturating_sub(frames);
        Self {
            free: self.free.split_off(kept),
            base: self.base,
            umem: self.umem.clone(),
            siblings: Arc::clone(&self.siblings),
        }
    }

    /// Takes in the slots of another pool of the same memory.
    ///
    /// # Panics
    /// If the pool is of another memory.
    pub fn absorb(&mut self, mut pool: Self) {
        assert!(Arc::ptr_eq(&self.umem.region, &pool.umem.region), "a pool of another memory cannot be absorbed");
        self.free.append(&mut pool.free);
    }

    /// The sockets of this memory. A panic while it was locked left at worst a number unused.
    pub(crate) fn siblings(&self) -> MutexGuard<'_, Siblings> {
        self.siblings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty frame with 256 bytes before it, or `None` when all are out.
    #[inline]
    #[must_use]
    pub fn take(&mut self) -> Option<Frame> {
        let slot = self.free.pop()?;
        // SAFETY:
        // * The slot was free, so it is ours alone; both frame sizes hold the headroom, and the metadata fits in that.
        Some(unsafe { self.frame(slot, HEADROOM, 0) })
    }

    /// Takes a frame home, with all slots of its chain.
    ///
    /// # Panics
    /// If the frame is of another memory.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "the token is spent")]
    pub fn give(&mut self, frame: Frame) {
        let slot = self.umem.slot_of(&frame);
        if frame.is_chained() {
            self.give_tails(&frame);
        }
        self.free.push(slot);
    }

    #[cold]
    fn give_tails(&mut self, frame: &Frame) {
        for slot in self.umem.tail_slots(frame) {
            self.free.push(slot);
        }
    }

    /// Chains a packet behind another: `head` becomes one packet with the bytes of both. A tail's checksum request ends.
    ///
    /// # Panics
    /// If either is of another memory.
    #[expect(clippy::needless_pass_by_value, reason = "the tail's token is spent")]
    pub fn append(&mut self, head: &mut Frame, tail: Frame) {
        let slots = &self.umem.region.slots;
        let last = self.umem.tail_slots(head).last();
        let slot = self.umem.slot_of(&tail);
        let next = if tail.is_chained() { slots.link(slot).next } else { NO_SLOT };
        slots.set_link(slot, Link { next, offset: tail.offset() as u16, len: tail.len() as u16 });
        let before = last.unwrap_or_else(|| self.umem.slot_of(head));
        slots.set_link(before, Link { next: slot, ..slots.link(before) });
        head.set_chained();
    }

    /// Slots at home.
    #[inline]
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// All slots, home or not.
    #[inline]
    #[must_use]
    pub fn total(&self) -> usize {
        self.umem.frames() as usize
    }

    /// The memory.
    #[inline]
    #[must_use]
    pub fn umem(&self) -> &Umem {
        &self.umem
    }

    /// A copy of a packet of any memory in slots of this one, its checksum request included; `None` when too few are
    /// at home (nothing is taken then) or when the request's field would fall behind the first slot.
    ///
    /// # Panics
    /// If the packet is not of `from`.
    #[must_use]
    pub fn copy_packet(&mut self, from: &Umem, packet: &Frame) -> Option<Frame> {
        if !from.owns(packet) {
            foreign_frame();
        }
        let request = packet.checksum_request();
        let mut copy = self.collect(from.packet_len(packet), from.segments(packet))?;
        if let Some((start, field)) = request
            && copy.request_checksum(start, field).is_err()
        {
            self.give(copy);
            return None;
        }
        Some(copy)
    }

    /// A packet of these bytes, chained over as many slots as it takes; `None` when too few are at home.
    #[must_use]
    pub fn write_packet(&mut self, bytes: &[u8]) -> Option<Frame> {
        self.collect(bytes.len(), std::iter::once(bytes))
    }

    /// A packet of these pieces, one behind the other, as [`Self::write_packet`].
    pub(crate) fn write_pieces(&mut self, pieces: &[&[u8]]) -> Option<Frame> {
        self.collect(pieces.iter().map(|piece| piece.len()).sum(), pieces.iter().copied())
    }

    /// Lays `total` bytes, which come in `pieces`, into fresh slots.
    fn collect<'a>(&mut self, total: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Option<Frame> {
        let capacity = self.umem.frame_size() - HEADROOM;
        if total.div_ceil(capacity).max(1) > self.free.len() {
            return None;
        }
        let mut head: Option<Frame> = None;
        let mut current = self.take()?;
        for mut piece in pieces {
            while !piece.is_empty() {
                let len = current.len();
                if len == capacity {
                    let full = std::mem::replace(&mut current, self.take()?);
                    self.chain(&mut head, full);
                    continue;
                }
                let now = piece.len().min(capacity - len);
                // `capacity` is the slot less the headroom every fresh frame has, so this cannot fail.
                if current.set_len(len + now).is_ok() {
                    current.bytes_mut()[len..].copy_from_slice(&piece[..now]);
                }
                piece = &piece[now..];
            }
        }
        self.chain(&mut head, current);
        head
    }

    fn chain(&mut self, head: &mut Option<Frame>, frame: Frame) {
        match head {
            Some(head) => self.append(head, frame),
            None => *head = Some(frame),
        }
    }

    /// A slot that is out as a frame of `len` bytes at `offset`.
    ///
    /// # Safety
    /// * `slot` is one of this memory's, `offset` at least the length of the tx metadata, `offset + len` within the slot.
    /// * The slot just left the free stack or a ring's ownership check: nobody else has it.
    #[inline]
    pub(crate) unsafe fn frame(&self, slot: u32, offset: usize, len: usize) -> Frame {
        let size = self.umem.region.size();
        debug_assert!(slot < self.umem.frames() && offset + len <= size.bytes());
        // SAFETY:
        // * The caller answers for slot, offset, length and ownership; `base` carries provenance over the whole memory.
        unsafe {
            let start = self.base.add(((slot as usize) << size.shift()) + offset);
            Frame::new(start, len, size)
        }
    }

    /// Takes a free slot to be lent out.
    #[inline]
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Takes a slot home that just stopped being lent.
    #[inline]
    pub(crate) fn give_slot(&mut self, slot: u32) {
        self.free.push(slot);
    }
}

impl Drop for FramePool {
    fn drop(&mut self) {
        if self.free.len() == self.total() {
            self.umem.region.mark_all_home();
        }
    }
}

impl std::fmt::Debug for FramePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FramePool").field("free", &self.free()).field("umem", &self.umem).finish_non_exhaustive()
    }
}
