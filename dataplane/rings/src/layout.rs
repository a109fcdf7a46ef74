//! The four rings of a socket: asked for, found and mapped.

use std::os::fd::OwnedFd;

use crate::abi::{
    Desc, MmapOffsets, RingOffset, SOL_XDP, XDP_MMAP_OFFSETS, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING, XDP_RX_RING,
    XDP_TX_RING, XDP_UMEM_COMPLETION_RING, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
    XDP_UMEM_PGOFF_FILL_RING,
};
use crate::config::SocketConfig;
use crate::error::{QueueId, Ring, SocketError};
use crate::ring::{self, BadOffsets, ConsumerRing, Entry, ProducerRing};
use crate::sys;

/// Entries of a ring at most: more than any NIC has, and far below what the kernel refuses to allocate.
const RING_LIMIT: u32 = 1 << 16;

/// A socket's rings, mapped.
pub(crate) struct Rings {
    pub(crate) rx: ConsumerRing<Desc>,
    pub(crate) tx: ProducerRing<Desc>,
    pub(crate) fill: ProducerRing<u64>,
    pub(crate) completion: ConsumerRing<u64>,
}

impl Rings {
    /// Has the kernel make the rings of an unbound socket and maps them.
    pub(crate) fn make(fd: &OwnedFd, config: &SocketConfig) -> Result<Self, SocketError> {
        let at = config.at();
        for (ring, option, size) in [
            (Ring::Rx, XDP_RX_RING, config.rx),
            (Ring::Tx, XDP_TX_RING, config.tx),
            (Ring::Fill, XDP_UMEM_FILL_RING, config.fill),
            (Ring::Completion, XDP_UMEM_COMPLETION_RING, config.completion),
        ] {
            sys::set_option(fd, SOL_XDP, option, &size).map_err(|source| SocketError::RingSetup {
                at,
                ring,
                source,
            })?;
        }
        Self::of_bound(fd, config)
    }

    /// Maps the rings a socket has, of the sizes it was given.
    pub(crate) fn of_bound(fd: &OwnedFd, config: &SocketConfig) -> Result<Self, SocketError> {
        let at = config.at();
        let (offsets, len) = sys::option::<MmapOffsets>(fd, SOL_XDP, XDP_MMAP_OFFSETS)
            .map_err(|source| SocketError::RingSetup { at, ring: Ring::Rx, source })?;
        if len != size_of::<MmapOffsets>() {
            // A kernel before 5.4 has no flags word, and its answer has another shape.
            return Err(SocketError::RingOffsets { at, ring: Ring::Rx });
        }
        let maker = Maker { fd, at };
        let MmapOffsets { rx, tx, fill, completion } = offsets;
        Ok(Self {
            rx: maker.ring((Ring::Rx, XDP_PGOFF_RX_RING), &rx, config.rx, ConsumerRing::new)?,
            tx: maker.ring((Ring::Tx, XDP_PGOFF_TX_RING), &tx, config.tx, ProducerRing::new)?,
            fill: maker.ring((Ring::Fill, XDP_UMEM_PGOFF_FILL_RING), &fill, config.fill, ProducerRing::new)?,
            completion: maker.ring(
                (Ring::Completion, XDP_UMEM_PGOFF_COMPLETION_RING),
                &completion,
                config.completion,
                ConsumerRing::new,
            )?,
        })
    }
}

/// Refuses ring sizes the kernel would refuse, by name.
pub(crate) fn check_sizes(config: &SocketConfig) -> Result<(), SocketError> {
    let at = config.at();
    for (ring, asked) in
        [(Ring::Rx, config.rx), (Ring::Tx, config.tx), (Ring::Fill, config.fill), (Ring::Completion, config.completion)]
    {
        if !asked.is_power_of_two() || !(2..=RING_LIMIT).contains(&asked) {
            return Err(SocketError::RingSize { at, ring, asked, limit: RING_LIMIT });
        }
    }
    Ok(())
}

struct Maker<'a> {
    fd: &'a OwnedFd,
    at: QueueId,
}

impl Maker<'_> {
    /// Maps the ring at a page offset and hands it to `side`, which checks the offsets.
    fn ring<T: RingOf>(
        &self,
        (ring, page): (Ring, u64),
        offset: &RingOffset,
        size: u32,
        side: impl FnOnce(memmap2::MmapRaw, &RingOffset, u32) -> Result<T, BadOffsets>,
    ) -> Result<T, SocketError> {
        let at = self.at;
        let map = ring::map(self.fd, page, offset, size as usize * size_of::<T::Entry>())
            .map_err(|source| SocketError::RingSetup { at, ring, source })?;
        side(map, offset, size).map_err(|BadOffsets| SocketError::RingOffsets { at, ring })
    }
}

/// What the entries of either kind of ring are.
trait RingOf {
    type Entry;
}

impl<T: Entry> RingOf for ProducerRing<T> {
    type Entry = T;
}

impl<T: Entry> RingOf for ConsumerRing<T> {
    type Entry = T;
}
