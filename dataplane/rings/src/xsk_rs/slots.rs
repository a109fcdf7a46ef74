//! The packet memory of a libxdp socket, and who has which slot of it.
//!
//! The states are what makes xsk-rs safe to use: a slot is read or written only while it is ours, and lent only once.

use std::io::Write;

use ::xsk_rs::{FrameDesc, Umem};

use crate::abi::XDP_PKT_CONTD;

/// Bytes of a slot, of which libxdp keeps 256 before the packet: 3,840 are a packet's. A page, the most the kernel takes.
pub(super) const SLOT: usize = 4096;

/// Who has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Us,
    /// The kernel, to fill it.
    Filling,
    /// The kernel, to send it.
    Sending,
}

/// The memory, and who has which slot of it.
pub(super) struct Slots {
    umem: Umem,
    /// The descriptor of each slot as xsk-rs made it: at the packet's place, of no length.
    blank: Vec<FrameDesc>,
    holders: Vec<Holder>,
    free: Vec<u32>,
    filling: usize,
    pub(super) sending: usize,
    /// The most slots each way.
    pub(super) ring: usize,
}

impl Slots {
    pub(super) fn new(umem: Umem, blank: Vec<FrameDesc>, ring: usize) -> Self {
        let holders = vec![Holder::Us; blank.len()];
        let free = (0..blank.len() as u32).rev().collect();
        Self { umem, blank, holders, free, filling: 0, sending: 0, ring }
    }

    /// Bytes of a packet that one slot holds.
    pub(super) fn capacity(&self) -> usize {
        self.blank.first().map_or(SLOT, |first| SLOT - first.addr())
    }

    /// Who has the slot a descriptor points into; `None` if it points outside.
    fn holder(&self, desc: &FrameDesc) -> Option<Holder> {
        self.holders.get(desc.addr() / SLOT).copied()
    }

    /// The bytes of a descriptor that came by the rx ring, if it can be believed.
    pub(super) fn received(&self, desc: &FrameDesc) -> Option<&[u8]> {
        let end = (desc.addr() % SLOT).checked_add(desc.lengths().data())?;
        if self.holder(desc) != Some(Holder::Filling) || end > SLOT {
            return None;
        }
        // SAFETY:
        // * The descriptor's bytes lie in one slot of this memory: both were just checked.
        // * The slot was lent through the fill ring and came back through the rx ring: the kernel is done with it, and it
        //   is not lent again while `self` is borrowed.
        Some(unsafe { self.umem.data(desc) }.contents())
    }

    /// Ends a loan, if the descriptor's slot is lent like that. Returns whether it was.
    pub(super) fn bring_back(&mut self, desc: &FrameDesc, from: Holder) -> bool {
        let slot = desc.addr() / SLOT;
        let was_lent = self.holder(desc) == Some(from);
        if was_lent {
            self.holders[slot] = Holder::Us;
            self.free.push(slot as u32);
            match from {
                Holder::Filling => self.filling -= 1,
                Holder::Sending => self.sending -= 1,
                Holder::Us => {}
            }
        }
        was_lent
    }

    /// Marks a slot as the kernel's, until as many are as the fill ring holds.
    pub(super) fn lend_for_filling(&mut self) -> Option<FrameDesc> {
        if self.filling == self.ring {
            return None;
        }
        let slot = self.free.pop()? as usize;
        self.holders[slot] = Holder::Filling;
        self.filling += 1;
        Some(self.blank[slot])
    }

    /// Copies a packet into as many fresh slots as there are descriptors, which it fills in and marks as the kernel's.
    /// Returns how many it used.
    pub(super) fn write<'a>(&mut self, descs: &mut [FrameDesc], segments: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut used = 0;
        for mut piece in segments {
            while !piece.is_empty() {
                if used == 0 || descs[used - 1].lengths().data() == self.capacity() {
                    // Twice as many slots as a ring has entries: those for sending are never all out before the ring is.
                    let Some(slot) = descs.get(used).and_then(|_| self.free.pop()) else { return used };
                    let slot = slot as usize;
                    self.holders[slot] = Holder::Sending;
                    self.sending += 1;
                    descs[used] = self.blank[slot];
                    if used > 0 {
                        descs[used - 1].set_options(XDP_PKT_CONTD);
                    }
                    used += 1;
                }
                // SAFETY:
                // * The descriptor is xsk-rs's own of a slot of this memory that was free: neither the kernel nor anybody
                //   here has it; it goes to the kernel only after this borrow.
                let mut data = unsafe { self.umem.data_mut(&mut descs[used - 1]) };
                // Into memory: it takes what fits, and at least a byte does.
                let copied = data.cursor().write(piece).unwrap_or(piece.len());
                piece = &piece[copied..];
            }
        }
        used
    }
}
