//! A ring mapped from the kernel: a cursor, and the memory it moves over.
//!
//! The mapping's layout is what the kernel says in `XDP_MMAP_OFFSETS`; it is checked once, here, in release builds too.
//! From then on an entry is found by masking an index, and the mask is why no bound is checked again.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::abi::{Desc, RingOffset, XDP_RING_NEED_WAKEUP};
use crate::cursor::{Consumer, Producer};

/// What a ring carries: plain integers, read and written whole.
///
/// # Safety
/// Any bit pattern is a value, and the alignment is at most 8.
pub(crate) unsafe trait Entry: Copy {}
// SAFETY:
// * An integer, of alignment 8.
unsafe impl Entry for u64 {}
// SAFETY:
// * `repr(C)` integers without padding, of alignment 8.
unsafe impl Entry for Desc {}

/// The offsets do not describe a ring inside the mapping.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadOffsets;

/// The memory of one ring: two counters, a flags word and the entries, all inside `map`.
struct Shared<T> {
    entries: NonNull<T>,
    mask: u32,
    produced: NonNull<AtomicU32>,
    consumed: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    _map: MmapRaw,
    _entry: PhantomData<T>,
}

// SAFETY:
// * The pointers lead into `_map`, which moves along and is valid on any thread; entries are plain integers.
unsafe impl<T: Entry> Send for Shared<T> {}

impl<T: Entry> Shared<T> {
    /// Takes a mapping for a ring of `size` entries (a power of two) if every offset lies inside it, aligned and apart.
    fn new(map: MmapRaw, offset: &RingOffset, size: u32) -> Result<Self, BadOffsets> {
        debug_assert!(size.is_power_of_two());
        let entries = span(&map, offset.desc, size as usize * size_of::<T>(), align_of::<T>())?;
        let words = [offset.producer, offset.consumer, offset.flags];
        for (at, word) in words.iter().enumerate() {
            span(&map, *word, size_of::<u32>(), align_of::<AtomicU32>())?;
            let inside = *word >= offset.desc && *word - offset.desc < (size as usize * size_of::<T>()) as u64;
            if inside || words[..at].contains(word) {
                return Err(BadOffsets);
            }
        }
        let [produced, consumed, flags] = words.map(|word| span(&map, word, size_of::<u32>(), align_of::<AtomicU32>()));
        Ok(Self {
            entries: entries.cast(),
            mask: size - 1,
            produced: produced?.cast(),
            consumed: consumed?.cast(),
            flags: flags?.cast(),
            _map: map,
            _entry: PhantomData,
        })
    }

    #[inline]
    fn produced(&self) -> &AtomicU32 {
        // SAFETY:
        // * Checked in `new`: aligned, inside the mapping, and not among the entries; the mapping lives as long as `self`.
        // * The kernel writes it atomically, and so do we.
        unsafe { self.produced.as_ref() }
    }

    #[inline]
    fn consumed(&self) -> &AtomicU32 {
        // SAFETY:
        // * As `produced`.
        unsafe { self.consumed.as_ref() }
    }

    #[inline]
    fn needs_wakeup(&self) -> bool {
        // SAFETY:
        // * As `produced`.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & XDP_RING_NEED_WAKEUP != 0
    }

    #[inline]
    fn window(&self, first: u32) -> Window<'_, T> {
        Window { entries: self.entries, mask: self.mask, first, _shared: PhantomData }
    }
}

/// Entries from `first` on, taken out of a ring for a burst.
struct Window<'a, T> {
    entries: NonNull<T>,
    mask: u32,
    first: u32,
    _shared: PhantomData<&'a Shared<T>>,
}

impl<T: Entry> Window<'_, T> {
    #[inline]
    fn entry(&self, ahead: u32) -> NonNull<T> {
        // SAFETY:
        // * What is left after the mask is below the entry count, and that many entries lie inside the mapping, which
        //   the ring this is borrowed from keeps.
        unsafe { self.entries.add((self.first.wrapping_add(ahead) & self.mask) as usize) }
    }
}

/// Entries that are ours to write.
///
/// It borrows the ring shared, so that a loop can go on asking the socket things. That gives no second writer a way in:
/// a ring is not `Sync`, and what was written counts only when the ring publishes it.
pub(crate) struct Writer<'a, T>(Window<'a, T>);

impl<T: Entry> Writer<'_, T> {
    /// Writes the entry `ahead` of the first unwritten one, below what `room` answered.
    #[inline]
    pub(crate) fn write(&self, ahead: u32, entry: T) {
        // SAFETY:
        // * The entry lies in the mapping, aligned; until published, the kernel does not read it.
        unsafe { self.0.entry(ahead).write(entry) };
    }
}

/// Entries that are ours to read.
pub(crate) struct Reader<'a, T>(Window<'a, T>);

impl<T: Entry> Reader<'_, T> {
    /// Reads the entry `ahead` of the first unread one, below what `available` answered.
    ///
    /// The read is volatile: what is checked is then what is used, whatever the other side writes meanwhile.
    #[inline]
    pub(crate) fn read(&self, ahead: u32) -> T {
        // SAFETY:
        // * The entry lies in the mapping, aligned, and any bit pattern is a value of `T`.
        // * The kernel published it and does not write it again before we release it.
        unsafe { self.0.entry(ahead).read_volatile() }
    }
}

/// The place `offset` of a mapping, if `bytes` from there lie inside it and it is aligned.
fn span(map: &MmapRaw, offset: u64, bytes: usize, align: usize) -> Result<NonNull<u8>, BadOffsets> {
    let offset = usize::try_from(offset).map_err(|_| BadOffsets)?;
    let end = offset.checked_add(bytes).ok_or(BadOffsets)?;
    if end > map.len() || !offset.is_multiple_of(align) {
        return Err(BadOffsets);
    }
    // SAFETY:
    // * `offset` is at most the mapping's length; a mapping is page-aligned, so the alignment of the offset is the pointer's.
    NonNull::new(unsafe { map.as_mut_ptr().add(offset) }).ok_or(BadOffsets)
}

/// Maps a ring whose entries take `entries` bytes, at the page offset that names it.
pub(crate) fn map(fd: &impl AsRawFd, page: u64, offset: &RingOffset, entries: usize) -> io::Result<MmapRaw> {
    // The counters come first and take far less than this; a claim beyond it would map nonsense.
    const MOST_BEFORE_ENTRIES: u64 = 1 << 16;
    if offset.desc > MOST_BEFORE_ENTRIES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    MmapOptions::new().offset(page).len(offset.desc as usize + entries).populate().map_raw(fd.as_raw_fd())
}

/// A ring we fill: the fill ring and the tx ring.
pub(crate) struct ProducerRing<T> {
    cursor: Producer,
    shared: Shared<T>,
}

impl<T: Entry> ProducerRing<T> {
    pub(crate) fn new(map: MmapRaw, offset: &RingOffset, size: u32) -> Result<Self, BadOffsets> {
        let shared = Shared::<T>::new(map, offset, size)?;
        let (produced, consumed) = (shared.produced(), shared.consumed());
        let cursor = Producer::new(produced.load(Ordering::Acquire), consumed.load(Ordering::Acquire), size);
        Ok(Self { cursor, shared })
    }

    /// Entries it has.
    pub(crate) fn size(&self) -> u32 {
        self.shared.mask + 1
    }

    /// Begins where the shared counters are now: who moved ours before moves it no more.
    pub(crate) fn catch_up(&mut self) {
        let (produced, consumed) = (self.shared.produced(), self.shared.consumed());
        self.cursor =
            Producer::new(produced.load(Ordering::Acquire), consumed.load(Ordering::Acquire), self.shared.mask + 1);
    }

    /// Entries that may be written; asks the kernel's counter only if fewer than `want` are known of.
    #[inline]
    pub(crate) fn room(&mut self, want: u32) -> u32 {
        self.cursor.room(self.shared.consumed(), want)
    }

    /// Entries published that the kernel has not taken yet.
    #[inline]
    pub(crate) fn unconsumed(&mut self) -> u32 {
        self.cursor.unconsumed(self.shared.consumed())
    }

    /// The entries to write, as far as `room` answered.
    #[inline]
    pub(crate) fn writer(&self) -> Writer<'_, T> {
        Writer(self.shared.window(self.cursor.index(0)))
    }

    /// Hands the first `n` written entries to the kernel.
    #[inline]
    pub(crate) fn publish(&mut self, n: u32) {
        self.cursor.publish(self.shared.produced(), n);
    }

    /// Whether the kernel sleeps until it is called.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.shared.needs_wakeup()
    }

    /// Times the kernel's counter was absurd.
    pub(crate) fn absurd(&self) -> u64 {
        self.cursor.absurd()
    }
}

/// A ring the kernel fills: the rx ring and the completion ring.
pub(crate) struct ConsumerRing<T> {
    cursor: Consumer,
    shared: Shared<T>,
}

impl<T: Entry> ConsumerRing<T> {
    pub(crate) fn new(map: MmapRaw, offset: &RingOffset, size: u32) -> Result<Self, BadOffsets> {
        let shared = Shared::<T>::new(map, offset, size)?;
        let (produced, consumed) = (shared.produced(), shared.consumed());
        let cursor = Consumer::new(produced.load(Ordering::Acquire), consumed.load(Ordering::Acquire), size);
        Ok(Self { cursor, shared })
    }

    /// Entries it has.
    pub(crate) fn size(&self) -> u32 {
        self.shared.mask + 1
    }

    /// Begins where the shared counters are now: who moved ours before moves it no more.
    pub(crate) fn catch_up(&mut self) {
        let (produced, consumed) = (self.shared.produced(), self.shared.consumed());
        self.cursor =
            Consumer::new(produced.load(Ordering::Acquire), consumed.load(Ordering::Acquire), self.shared.mask + 1);
    }

    /// Entries that may be read; asks the kernel's counter only if fewer than `want` are known of.
    #[inline]
    pub(crate) fn available(&mut self, want: u32) -> u32 {
        self.cursor.available(self.shared.produced(), want)
    }

    /// The entries to read, as far as `available` answered.
    #[inline]
    pub(crate) fn reader(&self) -> Reader<'_, T> {
        Reader(self.shared.window(self.cursor.index(0)))
    }

    /// Hands the first `n` entries back to the kernel.
    #[inline]
    pub(crate) fn release(&mut self, n: u32) {
        self.cursor.release(self.shared.consumed(), n);
    }

    /// Times the kernel's counter was absurd.
    pub(crate) fn absurd(&self) -> u64 {
        self.cursor.absurd()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
pub(crate) mod tests;
