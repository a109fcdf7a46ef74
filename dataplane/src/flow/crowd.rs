//! How many learned stations are behind each port, so that none takes the places of all.
//!
//! One table holds the stations of all networks. Behind one port, or in one peer's tunnel, there may be an eighth of what it
//! holds: whoever invents source addresses keeps to that, and the others go on being learned. Approximate where two workers learn at once.

use core::sync::atomic::{AtomicU32, Ordering};
use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use podlane_rings::ZeroedSlice;

/// The share of the table that one port may have: one part in so many.
const SHARE: usize = 8;

/// Every [`PortId`](crate::ids::PortId) there can be, paths included.
const PORTS: usize = 1 << 16;

/// The counts. Ports are named by the value a table of stations keeps: the number, and one.
pub struct Crowd {
    stations: ZeroedSlice<AtomicU32>,
    most: u32,
}

impl Crowd {
    /// Nobody yet; `slots` is what the table of stations holds.
    ///
    /// # Errors
    /// The kernel gives no memory.
    pub fn new(slots: usize) -> io::Result<Self> {
        Ok(Self { stations: ZeroedSlice::new(PORTS)?, most: (slots / SHARE) as u32 })
    }

    /// What a former process counted in this memory file.
    ///
    /// # Errors
    /// It is no such file.
    pub fn inherit(file: OwnedFd, slots: usize) -> io::Result<Self> {
        Ok(Self { stations: ZeroedSlice::inherit(file, PORTS)?, most: (slots / SHARE) as u32 })
    }

    /// Its memory file.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.stations.as_fd()
    }

    /// Whether there may be one more behind a port.
    #[must_use]
    pub fn has_room(&self, port: u64) -> bool {
        self.of(port).load(Ordering::Relaxed) < self.most
    }

    /// Whether nobody is behind a port.
    #[must_use]
    pub fn is_empty(&self, port: u64) -> bool {
        self.of(port).load(Ordering::Relaxed) == 0
    }

    /// One more is behind a port.
    pub fn came(&self, port: u64) {
        self.of(port).fetch_add(1, Ordering::Relaxed);
    }

    /// One is not behind it any more.
    pub fn left(&self, port: u64) {
        // Never below nothing, however workers crossed.
        let _ = self.of(port).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }

    fn of(&self, port: u64) -> &AtomicU32 {
        &self.stations[(port.wrapping_sub(1) as usize) % PORTS]
    }
}
