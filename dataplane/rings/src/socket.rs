//! One AF_XDP socket: four rings over a packet memory, bound to one queue of one netdev.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::abi::{Desc, SOL_XDP, XDP_STATISTICS, XdpStatistics};
use crate::error::{QueueId, SocketError};
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::ring::{ConsumerRing, ProducerRing};
use crate::siblings::Group;
use crate::slots::SocketNumber;
use crate::sys;
use crate::umem::{Umem, foreign_frame};

/// How a socket came to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The NIC reads and writes packet memory itself.
    ZeroCopy,
    /// The kernel copies between its buffers and packet memory.
    Copy,
}

/// Slots that are not at home on account of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Lent through the fill ring: waiting there, being filled, or received and not yet collected.
    pub fill: usize,
    /// Lent through the tx ring: waiting there, being sent, or sent and not yet collected.
    pub tx: usize,
    /// Segments of a packet whose end has not arrived yet.
    pub rx: usize,
}

/// What a socket counted: the kernel's `XDP_STATISTICS`, then ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets dropped on receive for other reasons than those below (a packet too long, for one).
    pub rx_dropped: u64,
    /// Fill ring addresses the kernel refused. A fault of ours if ever above zero.
    pub rx_invalid: u64,
    /// Packets dropped because the rx ring was full: the worker is too slow.
    pub rx_ring_full: u64,
    /// Packets dropped because the fill ring was empty: the pool is too small, or the worker too slow.
    pub fill_ring_empty: u64,
    /// Tx descriptors the kernel refused. A fault of ours if ever above zero.
    pub tx_invalid: u64,
    /// Times the kernel looked for something to send and found nothing.
    pub tx_ring_empty: u64,
    /// Descriptors and counters the kernel handed us that could not be true; none of them became a frame.
    pub refused: u64,
    /// Packets that [`Socket::transmit`] took and gave back to the pool unsent: shorter than an Ethernet header, or of more
    /// segments than the socket can send.
    pub unsendable: u64,
    /// System calls made to wake the kernel.
    pub wakeups: u64,
}

/// A packet whose end has not arrived yet.
pub(crate) struct Partial {
    pub(crate) head: Frame,
    pub(crate) last: u32,
    pub(crate) segments: usize,
}

/// One AF_XDP socket. It belongs to the worker that owns the pool of its memory.
///
/// Close it with [`close`](Self::close): a socket that is only dropped keeps its slots, because nobody can say where they
/// should come home.
///
/// A duplicate of its descriptor ([`AsFd`]) keeps the kernel's end alive. Whoever makes one must not close this socket
/// before it: hand-over to another process leaves the socket and its pool to that process.
pub struct Socket {
    pub(crate) rx: ConsumerRing<Desc>,
    pub(crate) tx: ProducerRing<Desc>,
    pub(crate) fill: ProducerRing<u64>,
    pub(crate) completion: ConsumerRing<u64>,
    pub(crate) umem: Umem,
    pub(crate) number: SocketNumber,
    pub(crate) fill_lent: u32,
    pub(crate) tx_lent: u32,
    /// Frames to keep lent through the fill ring.
    pub(crate) fill_target: u32,
    /// Descriptors published that the kernel may not have been told of.
    pub(crate) unsent: bool,
    pub(crate) zero_copy: bool,
    pub(crate) offload: bool,
    pub(crate) busy_poll: bool,
    /// The rest of a refused packet is still to come and to be refused.
    pub(crate) skipping: bool,
    pub(crate) max_segments: usize,
    /// System calls one burst may take: enough to drain a full ring at the kernel's budget.
    pub(crate) max_kicks: u32,
    pub(crate) tx_budget: u32,
    pub(crate) refused: u64,
    pub(crate) unsendable: u64,
    pub(crate) wakeups: u64,
    pub(crate) partial: Option<Partial>,
    pub(crate) gone: AtomicBool,
    pub(crate) at: QueueId,
    /// Which registration of the memory it is of.
    pub(crate) group: Group,
    /// Of a zero-copy socket: a bare socket of the same network namespace, to ask at the end whether the NIC let go.
    pub(crate) probe: Option<OwnedFd>,
    /// Last, so that the mappings above are gone when it closes: each of them keeps the socket open too.
    pub(crate) fd: Arc<OwnedFd>,
}

impl Socket {
    /// How it was bound.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.zero_copy { Mode::ZeroCopy } else { Mode::Copy }
    }

    /// Whether checksum requests are finished by the kernel or the NIC; if not, `transmit` does it in software.
    #[must_use]
    pub fn checksum_offload(&self) -> bool {
        self.offload
    }

    /// Segments a packet may have on this socket; 1 without multi-buffer.
    #[must_use]
    pub fn max_segments(&self) -> usize {
        self.max_segments
    }

    /// Packets the kernel sends at one system call in copy mode.
    #[must_use]
    pub fn tx_budget(&self) -> u32 {
        self.tx_budget
    }

    /// Slots that are out on account of this socket.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        InFlight {
            fill: self.fill_lent as usize,
            tx: self.tx_lent as usize,
            rx: self.partial.as_ref().map_or(0, |partial| partial.segments),
        }
    }

    /// Counts since the socket was opened. One system call.
    ///
    /// # Errors
    /// [`SocketError::Statistics`] with the kernel's answer.
    pub fn statistics(&self) -> Result<Statistics, SocketError> {
        let at = self.at;
        let (kernel, _) = sys::option::<XdpStatistics>(&*self.fd, SOL_XDP, XDP_STATISTICS)
            .map_err(|source| SocketError::Statistics { at, source })?;
        let absurd = self.rx.absurd() + self.tx.absurd() + self.fill.absurd() + self.completion.absurd();
        Ok(Statistics {
            rx_dropped: kernel.rx_dropped,
            rx_invalid: kernel.rx_invalid_descs,
            rx_ring_full: kernel.rx_ring_full,
            fill_ring_empty: kernel.rx_fill_ring_empty_descs,
            tx_invalid: kernel.tx_invalid_descs,
            tx_ring_empty: kernel.tx_ring_empty_descs,
            refused: self.refused + absurd,
            unsendable: self.unsendable,
            wakeups: self.wakeups,
        })
    }

    /// Whether the netdev is still there. One system call; ask now and then, not each turn.
    ///
    /// # Errors
    /// [`SocketError::DeviceGone`] once it was deleted, [`SocketError::Wake`] for any other error pending on the socket.
    pub fn health(&self) -> Result<(), SocketError> {
        let at = self.at;
        let pending = sys::option::<libc::c_int>(&*self.fd, libc::SOL_SOCKET, libc::SO_ERROR);
        let error = pending.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |(error, _)| error);
        // Asking clears the error in the kernel, so it is remembered here.
        if matches!(error, libc::ENETDOWN | libc::ENXIO | libc::ENODEV) {
            self.gone.store(true, Ordering::Relaxed);
        }
        if self.gone.load(Ordering::Relaxed) {
            return Err(SocketError::DeviceGone { at });
        }
        match error {
            0 => Ok(()),
            _ => Err(SocketError::Wake { at, source: std::io::Error::from_raw_os_error(error) }),
        }
    }

    /// A pool of another memory is a mistake in the switch, not in a packet.
    #[inline]
    pub(crate) fn expect_own(&self, pool: &FramePool) {
        if !Arc::ptr_eq(&self.umem.region, &pool.umem().region) {
            foreign_frame();
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("at", &self.at)
            .field("mode", &self.mode())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
