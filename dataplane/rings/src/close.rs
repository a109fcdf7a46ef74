//! Closing a socket, and why its slots may come home then.
//!
//! In copy mode the kernel waits for its own receive path before a close returns (`synchronize_net`), so nothing writes a
//! slot afterwards. In zero-copy mode the NIC is switched off later, by a kernel worker: until then it may still write
//! what it was lent.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memmap2::MmapMut;

use crate::abi::{SOL_XDP, UmemReg, XDP_COPY, XDP_RX_RING, XDP_UMEM_COMPLETION_RING, XDP_UMEM_FILL_RING, XDP_UMEM_REG};
use crate::error::QueueId;
use crate::open::BUSY_BOUND;
use crate::pool::FramePool;
use crate::slots::SocketNumber;
use crate::socket::Socket;
use crate::sys;

/// Memory of the socket that only asks whether a queue is free.
const PROBE_MEMORY: usize = 4096;

impl Socket {
    /// Closes the socket and brings every slot it was lent home.
    ///
    /// In zero-copy mode this waits until the NIC has let go of the queue (30 to 75 ms on an emulated `virtio_net`). Should it not within
    /// half a second, the slots stay out and the memory is never unmapped: better lost than written behind our back.
    ///
    /// # Panics
    /// If the pool is of another memory.
    pub fn close(self, pool: &mut FramePool) {
        let number = self.number;
        if self.let_go(pool) {
            bring_home(pool, number);
            pool.siblings().spare(number);
        }
    }

    /// Ends the kernel's side. Returns whether nobody can touch the slots any more.
    pub(crate) fn let_go(mut self, pool: &mut FramePool) -> bool {
        self.expect_own(pool);
        if let Some(partial) = self.partial.take() {
            pool.give(partial.head);
        }
        let Self { rx, tx, fill, completion, probe, gone, at, fd, .. } = self;
        // The mappings first: each keeps the socket open, and the kernel lets go of a slot only when it is closed.
        drop((rx, tx, fill, completion));
        pool.siblings().leave(&fd);
        drop(sole(fd));
        gone.into_inner() || probe.is_none_or(|probe| queue_is_free(&probe, at))
    }
}

/// Waits until nobody else holds a socket that left its siblings. Another thread may be about to join it and so keep it
/// open; it lets go when its own opening ends, which is bounded, and nobody new can come.
fn sole(mut fd: Arc<OwnedFd>) -> OwnedFd {
    loop {
        match Arc::try_unwrap(fd) {
            Ok(fd) => return fd,
            Err(held) => fd = held,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes home the slots of a socket that is no more.
pub(crate) fn bring_home(pool: &mut FramePool, number: SocketNumber) {
    let umem = pool.umem().clone();
    umem.region.slots.take_all_back(number, |slot| pool.give_slot(slot));
}

/// Whether a NIC has let go of a queue whose zero-copy socket just closed. The kernel lets nobody else bind before the
/// NIC is switched off, so a bind that succeeds is the proof.
///
/// `probe` is a bare socket made when the closed one was: it is of the netdev's network namespace, which the calling
/// thread may have left since.
fn queue_is_free(probe: &OwnedFd, at: QueueId) -> bool {
    let Ok(memory) = MmapMut::map_anon(PROBE_MEMORY) else {
        return false;
    };
    let reg = UmemReg {
        addr: memory.as_ptr().addr() as u64,
        len: PROBE_MEMORY as u64,
        chunk_size: 2048,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    let ready = sys::set_option(probe, SOL_XDP, XDP_UMEM_REG, &reg).is_ok()
        && [XDP_RX_RING, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING]
            .into_iter()
            .all(|ring| sys::set_option(probe, SOL_XDP, ring, &2u32).is_ok());
    if !ready {
        return false;
    }
    let deadline = Instant::now() + BUSY_BOUND;
    loop {
        match sys::bind(probe, XDP_COPY, at.ifindex, at.queue, 0) {
            Ok(()) => return true,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return true,
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return false,
            Err(_) if Instant::now() >= deadline => return false,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
