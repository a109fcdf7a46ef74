//! Large tables that start as zeros: mapped, not allocated, and on huge pages where the host has them.
//!
//! A flow table of a million entries is 144 MB. On 4 KiB pages every look-up of a random flow misses the TLB twice; on 2 MiB
//! pages the whole table is a few dozen translations. Pages are touched when they are first used, so capacity that is
//! not needed costs nothing.

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;

use memmap2::{Advice, MmapMut, MmapOptions};
use zerocopy::FromZeros;

/// A slice of `T`s that started as zeros. Elements that change do so through their own atomics.
pub struct ZeroedSlice<T> {
    map: MmapMut,
    len: usize,
    of: PhantomData<T>,
}

impl<T: FromZeros> ZeroedSlice<T> {
    /// A slice of `len` zeros.
    ///
    /// # Errors
    /// The kernel gives no memory.
    ///
    /// # Panics
    /// If the size overflows, or `T` must be aligned to more than a page: mistakes of the caller.
    pub fn new(len: usize) -> io::Result<Self> {
        assert!(align_of::<T>() <= 4096, "a mapping is aligned to a page and no more");
        let bytes = size_of::<T>().checked_mul(len).expect("the size of a table fits the address space");
        let map = MmapOptions::new().len(bytes.max(1)).map_anon()?;
        // Without huge pages it is slower, not wrong.
        let _ = map.advise(Advice::HugePage);
        Ok(Self { map, len, of: PhantomData })
    }
}

impl<T> Deref for ZeroedSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY:
        // * The mapping is at least `len * size_of::<T>()` bytes, aligned to a page and so to `T`, and lives as long as `self`.
        // * It started as zeros, which are valid `T`s (`FromZeros`, asked for by the only constructor), and only `T`'s own
        //   interior mutability has written to it since: nothing hands out the map itself.
        // * No `&mut` to it exists while a shared borrow of `self` does.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<T>(), self.len) }
    }
}

// SAFETY:
// * The slice owns its elements, as a `Box<[T]>` would: it may move to a thread if they may.
unsafe impl<T: Send> Send for ZeroedSlice<T> {}
// SAFETY:
// * Shared access to the slice is shared access to its elements and no more.
unsafe impl<T: Sync> Sync for ZeroedSlice<T> {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_table_starts_as_zeros_and_keeps_what_is_stored() {
        let table = ZeroedSlice::<[AtomicU64; 16]>::new(100_000).unwrap();
        assert_eq!(table.len(), 100_000);
        assert!(table.iter().flatten().all(|word| word.load(Ordering::Relaxed) == 0));
        table[99_999][15].store(7, Ordering::Relaxed);
        assert_eq!(table[99_999][15].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_table_of_nothing_is_empty() {
        assert!(ZeroedSlice::<AtomicU64>::new(0).unwrap().is_empty());
    }
}
