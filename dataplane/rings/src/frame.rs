//! The token for one slot of packet memory, and with it the packet inside.
//!
//! Sixteen bytes, so four fit a cache line of a burst: the packet's start, its length, a checksum request and flags. A
//! frame carries no reference to its memory; it needs none, because the memory outlives every frame (see the crate's
//! first page) and the slot's bounds follow from the pointer: slots are aligned to their size.
//!
//! ```text
//!   slot  |  24 bytes kept for tx metadata  |  headroom  |  packet ... len  |  tailroom  |
//!                                                        ^ start
//! ```

use std::fmt;
use std::ptr::NonNull;

use crate::abi::{TX_METADATA_LEN, TxMetadata};
use crate::config::FrameSize;
use crate::error::NoRoom;

/// Everything a frame knows but its place, in one word: length, checksum request, flags.
///
/// One word and not five fields, because a frame is then two registers. As fields it was stored in pieces and loaded
/// whole at every move, which the processor cannot forward: 8.3 ns a received packet instead of 5.2.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Facts(u64);

impl Facts {
    /// Bits of one number; none exceeds a slot's size.
    const NUMBER: u64 = 0xffff;
    /// Where summing starts, counted from the slot's start so that pushes and pops leave it true.
    const CHECKSUM_AT: u32 = 16;
    /// Where the checksum field lies, counted from there.
    const CHECKSUM_FIELD: u32 = 32;
    /// The slot is of 4,096 bytes.
    const LARGE: u64 = 1 << 48;
    /// The packet goes on in further slots.
    const CHAINED: u64 = 1 << 49;
    /// A checksum is asked for.
    const REQUEST: u64 = 1 << 50;

    #[inline]
    const fn new(len: usize, size: FrameSize) -> Self {
        Self(len as u64 & Self::NUMBER | if matches!(size, FrameSize::Bytes4096) { Self::LARGE } else { 0 })
    }

    #[inline]
    const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    const fn number(self, shift: u32) -> u16 {
        (self.0 >> shift) as u16
    }

    #[inline]
    const fn with_len(self, len: usize) -> Self {
        Self(self.0 & !Self::NUMBER | len as u64 & Self::NUMBER)
    }

    #[inline]
    const fn with_request(self, at: u16, field: u16) -> Self {
        let kept = self.0 & !(Self::NUMBER << Self::CHECKSUM_AT | Self::NUMBER << Self::CHECKSUM_FIELD);
        Self(kept | (at as u64) << Self::CHECKSUM_AT | (field as u64) << Self::CHECKSUM_FIELD | Self::REQUEST)
    }
}

/// Bytes between a packet's start and its slot's when the pool hands one out: room for the largest outer header, and the
/// same as the kernel leaves before what it receives.
pub(crate) const HEADROOM: usize = crate::abi::XDP_PACKET_HEADROOM;

/// One packet in packet memory: a head slot and, for a jumbo packet, tail slots chained behind it.
///
/// Whoever holds it owns the bytes. It cannot be copied and has no drop: hand it to a pool, a socket or another frame. A
/// frame that is forgotten is a slot lost until the program ends.
#[must_use = "a frame that is not given back is a slot lost"]
pub struct Frame {
    start: NonNull<u8>,
    facts: Facts,
}

const _: () = assert!(size_of::<Frame>() == 16);
const _: () = assert!(!std::mem::needs_drop::<Frame>());

// SAFETY:
// * A frame is the only access to its slot's bytes, and moving it moves that access: no other thread reads or writes them.
// * The memory is mapped for the whole process until every frame is home, so the pointer is valid on any thread.
unsafe impl Send for Frame {}
// SAFETY:
// * Through `&Frame` bytes are only read, and nobody writes them while the frame is borrowed: the kernel was not lent
//   the slot, and `&mut Frame` is exclusive.
unsafe impl Sync for Frame {}

impl Frame {
    /// A frame over `len` bytes at `start`.
    ///
    /// # Safety
    /// * `start..start + len` lies inside one slot of `size` of a live packet memory, at least [`TX_METADATA_LEN`]
    ///   bytes behind the slot's start, which is aligned to `size`; `start` carries provenance over the whole memory.
    /// * Nobody else has the slot: no other frame, no pool, no kernel ring.
    #[inline]
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize, size: FrameSize) -> Self {
        Self { start, facts: Facts::new(len, size) }
    }

    /// The packet's first segment: all of it unless [`is_chained`](Self::is_chained).
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY:
        // * `start` is non-null, a byte has no alignment, and `start + len` stays in the slot: every change is checked.
        // * The memory is initialised (a memory file is born zeroed) and mapped as long as a frame exists.
        // * `&self` borrows the one token for these bytes, so nobody writes them meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len()) }
    }

    /// The packet's first segment, to be written.
    #[inline]
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY:
        // * As in `bytes`; and `&mut self` is exclusive, so there is no other reference to these bytes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len()) }
    }

    /// Bytes of the first segment.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.facts.number(0))
    }

    /// Whether the first segment has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the packet goes on in further slots; [`Umem::segments`](crate::Umem::segments) walks them.
    #[inline]
    #[must_use]
    pub fn is_chained(&self) -> bool {
        self.facts.has(Facts::CHAINED)
    }

    /// Whether this is one segment and nothing is asked of its checksum: what most packets are.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        !self.facts.has(Facts::CHAINED | Facts::REQUEST)
    }

    /// Bytes that [`push_front`](Self::push_front) can still take.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.offset() - TX_METADATA_LEN
    }

    /// Bytes that [`set_len`](Self::set_len) can still add. None when chained: the packet does not end here.
    #[inline]
    #[must_use]
    pub fn tailroom(&self) -> usize {
        if self.is_chained() { 0 } else { self.size() - self.offset() - self.len() }
    }

    /// Moves the packet's start `n` bytes forward into the headroom and returns those `n` bytes, whatever they hold.
    ///
    /// # Errors
    /// [`NoRoom`] with the headroom there is.
    #[inline]
    pub fn push_front(&mut self, n: usize) -> Result<&mut [u8], NoRoom> {
        let room = self.headroom();
        if n > room {
            return Err(NoRoom { wanted: n, room });
        }
        // SAFETY:
        // * `n` is at most the distance to the slot's start, so the result stays in the same mapping; it is not null.
        self.start = unsafe { self.start.sub(n) };
        self.facts = self.facts.with_len(self.len() + n);
        Ok(&mut self.bytes_mut()[..n])
    }

    /// Takes the first `n` bytes off the packet. A checksum request whose range they were part of goes with them.
    ///
    /// # Errors
    /// [`NoRoom`] with the most that can go: the length of the first segment, or one less when it fills its slot to the
    /// last byte (an empty packet must still lie in its slot).
    #[inline]
    pub fn pop_front(&mut self, n: usize) -> Result<(), NoRoom> {
        let room = self.len().min(self.size() - 1 - self.offset());
        if n > room {
            return Err(NoRoom { wanted: n, room });
        }
        // SAFETY:
        // * `n` is at most the packet's length and short of the slot's end, so the result stays in the same slot.
        self.start = unsafe { self.start.add(n) };
        self.facts = self.facts.with_len(self.len() - n);
        if self.wants_checksum() && usize::from(self.facts.number(Facts::CHECKSUM_AT)) < self.offset() {
            self.clear_request();
        }
        Ok(())
    }

    /// Sets the packet's length, cutting its end off or taking in tailroom (whatever that holds). A checksum request
    /// whose field is cut off goes with it.
    ///
    /// # Errors
    /// [`NoRoom`] if the slot ends sooner, or if the packet is chained: its end lies in another slot.
    #[inline]
    pub fn set_len(&mut self, n: usize) -> Result<(), NoRoom> {
        let room = if self.is_chained() { self.len() } else { self.size() - self.offset() };
        if n > room || (self.is_chained() && n != room) {
            return Err(NoRoom { wanted: n, room });
        }
        self.facts = self.facts.with_len(n);
        if self.checksum_request().is_some_and(|(start, field)| usize::from(start) + usize::from(field) + 2 > n) {
            self.clear_request();
        }
        Ok(())
    }

    /// Asks that the Internet checksum over everything from byte `start` to the packet's end be put at `start +
    /// offset` when the packet is sent: by the NIC or kernel where the socket has transmit metadata, else in software. The
    /// field must hold the pseudo-header's sum, as a pod's kernel leaves it.
    ///
    /// # Errors
    /// [`NoRoom`] if the field is not within the first segment.
    #[inline]
    pub fn request_checksum(&mut self, start: u16, offset: u16) -> Result<(), NoRoom> {
        let wanted = usize::from(start) + usize::from(offset) + 2;
        if wanted > self.len() {
            return Err(NoRoom { wanted, room: self.len() });
        }
        self.facts = self.facts.with_request(self.offset() as u16 + start, offset);
        Ok(())
    }

    /// Takes a checksum request back.
    #[inline]
    pub fn clear_request(&mut self) {
        self.facts.0 &= !Facts::REQUEST;
    }

    /// Whether a checksum is to be finished when the packet is sent.
    #[inline]
    #[must_use]
    pub fn wants_checksum(&self) -> bool {
        self.facts.has(Facts::REQUEST)
    }

    /// The request, counted from the packet's start: where summing begins, and the field's distance from there.
    #[inline]
    #[must_use]
    pub fn checksum_request(&self) -> Option<(u16, u16)> {
        let at = self.facts.number(Facts::CHECKSUM_AT);
        let field = self.facts.number(Facts::CHECKSUM_FIELD);
        self.wants_checksum().then(|| (at - self.offset() as u16, field))
    }

    /// Writes what the kernel reads before the packet.
    #[inline]
    pub(crate) fn write_metadata(&mut self, metadata: TxMetadata) {
        // SAFETY:
        // * A packet starts at least `TX_METADATA_LEN` bytes behind its slot's start, so these bytes are the slot's own
        //   and belong to whoever holds the frame; the write asks for no alignment.
        unsafe {
            self.start.sub(TX_METADATA_LEN).cast::<TxMetadata>().write_unaligned(metadata);
        };
    }

    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    #[inline]
    pub(crate) fn set_chained(&mut self) {
        self.facts.0 |= Facts::CHAINED;
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        FrameSize::Bytes2048.bytes() << u32::from(self.facts.has(Facts::LARGE))
    }

    /// Where the packet starts in its slot.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.start.addr().get() & (self.size() - 1)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("start", &self.start)
            .field("len", &self.len())
            .field("chained", &self.is_chained())
            .field("checksum", &self.checksum_request())
            .finish()
    }
}
