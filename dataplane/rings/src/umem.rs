//! Packet memory: a sealed memory file, mapped once, cut into slots.
//!
//! A memory file rather than an anonymous mapping, because its descriptor is what another process maps to take a running
//! switch over. It is sealed against shrinking: a file cut short under a mapping would turn packet reads into SIGBUS.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::config::{FrameSize, HugePages, UmemConfig};
use crate::error::UmemError;
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::slots::{NO_SLOT, Slots};
use crate::sys;

/// Bytes of mappings left in place because a slot was not home when its pool was dropped.
static LEAKED: AtomicU64 = AtomicU64::new(0);

/// Bytes of packet memory this process gave up on: mappings kept for ever because a frame or an unclosed socket might
/// still have pointed into them. Zero in a switch that closes what it opens.
#[must_use]
pub fn leaked_bytes() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// The pages a packet memory got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Reserved 2 MiB pages.
    Huge,
    /// Ordinary pages that the kernel merges into huge ones when it can.
    Transparent,
    /// Ordinary pages: none are reserved, and the kernel does not merge shared memory (`shmem_enabled`).
    Normal,
    /// Whichever a former process got.
    Inherited,
}

/// The mapping and its side table; alive as long as any handle, pool or socket, and longer if a slot is not home.
pub(crate) struct Region {
    pub(crate) map: ManuallyDrop<MmapRaw>,
    pub(crate) file: File,
    pub(crate) frames: u32,
    pub(crate) size: FrameSize,
    pub(crate) pages: PageKind,
    pub(crate) slots: Slots,
    /// Set by the pool's drop when every slot was home: then no frame exists and none can come.
    pub(crate) all_home: AtomicBool,
}

impl Region {
    pub(crate) fn base(&self) -> NonNull<u8> {
        NonNull::new(self.map.as_mut_ptr()).unwrap_or(NonNull::dangling())
    }

    pub(crate) fn size(&self) -> FrameSize {
        self.size
    }

    /// Bytes that are slots; a mapping of huge pages may be longer.
    pub(crate) fn bytes(&self) -> usize {
        self.frames as usize * self.size.bytes()
    }

    /// A copy of the memory's bytes, whoever has them: for tests that look over the kernel's shoulder.
    #[cfg(test)]
    pub(crate) fn bytes_at(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= self.bytes());
        // SAFETY:
        // * The range lies in the mapping, which is initialised; the tests' kernel is this thread, so nobody writes.
        unsafe { std::slice::from_raw_parts(self.base().as_ptr().add(at), len) }.to_vec()
    }

    pub(crate) fn mark_all_home(&self) {
        self.all_home.store(true, Ordering::Release);
    }

    /// The descriptor address of a frame's first byte, if the frame lies in this memory.
    #[inline]
    pub(crate) fn address_of(&self, frame: &Frame) -> Option<usize> {
        let address = frame.start().addr().get().wrapping_sub(self.map.as_mut_ptr().addr());
        (address < self.bytes()).then_some(address)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if *self.all_home.get_mut() {
            // SAFETY:
            // * The map is dropped here and nowhere else; `self` is going away and nothing reads it again.
            // * Every slot was home when the only pool was dropped, so no frame points into it.
            unsafe { ManuallyDrop::drop(&mut self.map) };
        } else {
            LEAKED.fetch_add(self.map.len() as u64, Ordering::Relaxed);
        }
    }
}

/// A handle on one packet memory: cheap to clone and to send. It reads packets; a [`FramePool`] makes and takes them.
#[derive(Clone)]
pub struct Umem {
    pub(crate) region: Arc<Region>,
}

impl Umem {
    /// Most slots of one memory: descriptors address slots with 32 bits, of which one value means "none".
    pub const MAX_FRAMES: u32 = u32::MAX >> 1;

    /// Makes the memory and its one pool. The kernel hears of it when the first socket is opened on it.
    ///
    /// # Errors
    /// [`UmemError`] if there are no frames asked for, or no memory to be had.
    pub fn create(config: &UmemConfig) -> Result<(Self, FramePool), UmemError> {
        if config.frames == 0 || config.frames > Self::MAX_FRAMES {
            return Err(UmemError::Frames { frames: config.frames, limit: Self::MAX_FRAMES });
        }
        let bytes = config.frames as usize * config.frame_size.bytes();
        let huge = match config.huge_pages {
            HugePages::Prefer => map_huge(bytes),
            HugePages::Never => None,
        };
        let (file, map, pages) = match huge {
            Some((file, map)) => (file, map, PageKind::Huge),
            None => map_ordinary(bytes, config.huge_pages)?,
        };
        let region = Region {
            map: ManuallyDrop::new(map),
            file,
            frames: config.frames,
            size: config.frame_size,
            pages,
            slots: Slots::new(config.frames),
            all_home: AtomicBool::new(false),
        };
        let umem = Self { region: Arc::new(region) };
        let pool = FramePool::new(umem.clone());
        Ok((umem, pool))
    }

    /// The memory file, for another process to map.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.region.file.as_fd()
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn frame_size(&self) -> usize {
        self.region.size.bytes()
    }

    /// Slots.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.region.frames
    }

    /// The pages it got.
    #[must_use]
    pub fn pages(&self) -> PageKind {
        self.region.pages
    }

    /// Whether a frame's bytes lie in this memory.
    #[inline]
    #[must_use]
    pub fn owns(&self, frame: &Frame) -> bool {
        self.region.address_of(frame).is_some()
    }

    /// The packet's segments in order: the head, then the tails chained behind it.
    ///
    /// # Panics
    /// If the frame is chained and of another memory.
    #[inline]
    pub fn segments<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(frame.bytes()).chain(self.tails(frame))
    }

    /// Bytes of the whole packet, all segments added.
    ///
    /// # Panics
    /// If the frame is chained and of another memory.
    #[inline]
    #[must_use]
    pub fn packet_len(&self, frame: &Frame) -> usize {
        if frame.is_chained() { self.segments(frame).map(<[u8]>::len).sum() } else { frame.len() }
    }

    /// Segments of the packet: 1 unless chained.
    ///
    /// # Panics
    /// If the frame is chained and of another memory.
    #[inline]
    #[must_use]
    pub fn segment_count(&self, frame: &Frame) -> usize {
        if frame.is_chained() { 1 + self.tail_slots(frame).count() } else { 1 }
    }

    /// The slot a frame's head lies in.
    #[inline]
    pub(crate) fn slot_of(&self, frame: &Frame) -> u32 {
        match self.region.address_of(frame) {
            Some(address) => (address >> self.region.size.shift()) as u32,
            None => foreign_frame(),
        }
    }

    /// The slots behind a frame's head, in order.
    #[inline]
    pub(crate) fn tail_slots(&self, frame: &Frame) -> TailSlots<'_> {
        let next = if frame.is_chained() { self.region.slots.link(self.slot_of(frame)).next } else { NO_SLOT };
        TailSlots { slots: &self.region.slots, next }
    }

    fn tails<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = &'a [u8]> {
        self.tail_slots(frame).map(|slot| {
            let link = self.region.slots.link(slot);
            let at = ((slot as usize) << self.region.size.shift()) + usize::from(link.offset);
            // SAFETY:
            // * A chain holds slots of this memory only, and a link's offset and length were checked against the slot
            //   when it was set; the memory is initialised and stays mapped while a frame of it exists.
            // * The head frame owns its tails and is borrowed for 'a, so nobody writes these bytes meanwhile.
            unsafe { std::slice::from_raw_parts(self.region.base().as_ptr().add(at), usize::from(link.len)) }
        })
    }
}

impl std::fmt::Debug for Umem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Region { frames, size, pages, .. } = &*self.region;
        f.debug_struct("Umem").field("frames", frames).field("size", size).field("pages", pages).finish_non_exhaustive()
    }
}

/// The slots of a chain behind its head.
pub(crate) struct TailSlots<'a> {
    slots: &'a Slots,
    next: u32,
}

impl Iterator for TailSlots<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let slot = self.next;
        if slot == NO_SLOT {
            return None;
        }
        self.next = self.slots.link(slot).next;
        Some(slot)
    }
}

/// A frame met a memory that is not its own: a mistake in the switch, not in a packet, so it stops here.
#[cold]
#[inline(never)]
pub(crate) fn foreign_frame() -> ! {
    panic!(
        "a frame was given to a packet memory that is not its own: copy it with FramePool::copy_packet, or give it back to its pool"
    );
}

/// Reserved huge pages, if the host has enough of them free.
fn map_huge(bytes: usize) -> Option<(File, MmapRaw)> {
    const PAGE: usize = 2 << 20;
    let bytes = bytes.checked_next_multiple_of(PAGE)?;
    let file = sys::memory_file(c"podlane-umem", bytes, libc::MFD_HUGETLB | libc::MFD_HUGE_2MB).ok()?;
    let map = MmapOptions::new().len(bytes).populate().map_raw(&file).ok()?;
    Some((file, map))
}

fn map_ordinary(bytes: usize, ask: HugePages) -> Result<(File, MmapRaw, PageKind), UmemError> {
    let file = sys::memory_file(c"podlane-umem", bytes, 0).map_err(|source| UmemError::Memory { bytes, source })?;
    let map = MmapOptions::new().len(bytes).map_raw(&file).map_err(|source| UmemError::Map { bytes, source })?;
    let merged = ask == HugePages::Prefer && map.advise(Advice::HugePage).is_ok() && shared_memory_merges();
    Ok((file, map, if merged { PageKind::Transparent } else { PageKind::Normal }))
}

/// The kernel accepts the advice for shared memory even where it ignores it; this file tells.
fn shared_memory_merges() -> bool {
    let chosen: io::Result<String> = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    chosen.is_ok_and(|line| !line.contains("[never]") && !line.contains("[deny]"))
}
