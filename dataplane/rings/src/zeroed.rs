//! Large tables that start as zeros and can outlive their process: memory files, on huge pages where the host has them.
//!
//! A flow table of a million entries is 144 MB. On 4 KiB pages every look-up of a random flow misses the TLB twice; on 2 MiB
//! pages the whole table is a few dozen translations. Pages are touched when they are first used, so capacity that is
//! not needed costs nothing.
//!
//! A file and not an anonymous mapping, so that another process can map the same table and go on with it
//! ([`ZeroedSlice::inherit`]). Whether a file gets huge pages is the host's `shmem_enabled`, not `enabled`; what it costs where
//! that says `never` is in docs/decisions/0022-hand-over.md.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use memmap2::{Advice, MmapOptions, MmapRaw};
use zerocopy::FromBytes;

use crate::sys;

/// A slice of `T`s that started as zeros. Elements that change do so through their own atomics: another process may have
/// the same memory.
pub struct ZeroedSlice<T> {
    map: MmapRaw,
    file: File,
    len: usize,
    of: PhantomData<T>,
}

impl<T: FromBytes> ZeroedSlice<T> {
    /// A slice of `len` zeros.
    ///
    /// # Errors
    /// The kernel gives no memory.
    ///
    /// # Panics
    /// If the size overflows, or `T` must be aligned to more than a page: mistakes of the caller.
    pub fn new(len: usize) -> io::Result<Self> {
        Self::of(sys::memory_file(c"podlane-table", bytes::<T>(len), 0)?, len)
    }

    /// The slice of `len` elements that another process had in this memory file, with what is in it now: any bits, of which
    /// nothing may be believed that was not checked.
    ///
    /// # Errors
    /// The file is shorter, or can be cut short under us.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn inherit(file: OwnedFd, len: usize) -> io::Result<Self> {
        let file = File::from(file);
        sys::check_memory_file(&file, bytes::<T>(len))?;
        Self::of(file, len)
    }

    /// The slice of `len` elements that a BPF array map has which was made to be mapped (`BPF_F_MMAPABLE`), with what is in it now, as from
    /// [`Self::inherit`]: programs in the kernel read and write it too.
    ///
    /// # Errors
    /// It is no such map, or has fewer bytes.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn of_array_map(map: OwnedFd, len: usize) -> io::Result<Self> {
        let map = File::from(map);
        if !is_array_map(&map) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an array map of BPF"));
        }
        Self::of(map, len)
    }

    fn of(file: File, len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(bytes::<T>(len)).map_raw(&file)?;
        // Without huge pages it is slower, not wrong.
        let _ = map.advise(Advice::HugePage);
        Ok(Self { map, file, len, of: PhantomData })
    }
}

/// Whether a descriptor is that of an array map: unlike a file, none can be cut short once it is mapped, and none is mapped past its end.
fn is_array_map(map: &File) -> bool {
    const ARRAY: &str = "map_type:\t2"; // BPF_MAP_TYPE_ARRAY
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()));
    told.is_ok_and(|told| told.lines().any(|line| line == ARRAY))
}

/// Bytes that so many elements take; one for none, since nothing cannot be mapped.
fn bytes<T>(len: usize) -> usize {
    assert!(align_of::<T>() <= 4096, "a mapping is aligned to a page and no more");
    size_of::<T>().checked_mul(len).expect("the size of a table fits the address space").max(1)
}

impl<T> AsFd for ZeroedSlice<T> {
    /// The memory file, for another process.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl<T> Deref for ZeroedSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY:
        // * The mapping is at least `len * size_of::<T>()` bytes, aligned to a page and so to `T`, and lives as long as `self`.
        //   Its file is sealed against shrinking, or an array map, which cannot shrink; so every page of it stays readable.
        // * Any bits are a valid `T` (`FromBytes`, asked for by all constructors), and only `T`'s own interior mutability
        //   writes to it here: nothing hands out the map itself. What another process writes are the same atomics.
        // * No `&mut` to it exists.
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

    #[test]
    fn an_inherited_table_is_the_same_memory() {
        let table = ZeroedSlice::<AtomicU64>::new(5_000).unwrap();
        table[4_999].store(7, Ordering::Relaxed);
        let heir = ZeroedSlice::<AtomicU64>::inherit(table.as_fd().try_clone_to_owned().unwrap(), 5_000).unwrap();
        assert_eq!(heir[4_999].load(Ordering::Relaxed), 7);
        heir[0].store(8, Ordering::Relaxed);
        assert_eq!(table[0].load(Ordering::Relaxed), 8);
    }

    #[test]
    fn a_file_too_short_or_not_sealed_is_no_table() {
        let table = ZeroedSlice::<AtomicU64>::new(512).unwrap();
        let file = table.as_fd().try_clone_to_owned().unwrap();
        assert!(ZeroedSlice::<AtomicU64>::inherit(file, 513).is_err(), "one element more than there are");
        let path = std::env::temp_dir().join(format!("podlane-no-table-{}", std::process::id()));
        let open = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        open.set_len(4096).unwrap();
        std::fs::remove_file(&path).unwrap();
        let again = open.try_clone().unwrap();
        assert!(ZeroedSlice::<AtomicU64>::inherit(open.into(), 512).is_err(), "a file that can be cut short");
        assert!(ZeroedSlice::<AtomicU64>::of_array_map(again.into(), 512).is_err(), "nor is it a map");
    }
}
