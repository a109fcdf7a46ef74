//! A second AF_XDP socket: on libxdp, by way of xsk-rs. Behind the feature `xsk-rs`, and never the default.
//!
//! It is for hosts where other programs share a NIC through libxdp's dispatcher, and it is the baseline our own socket is
//! measured against. xsk-rs maps a packet memory of its own and cannot be given ours, so every packet is copied at this
//! edge:
//!
//! ```text
//!   receive:   rx ring -> slot of libxdp's memory -> copied into the caller's sink -> fill ring
//!   transmit:  the caller's segments -> copied into a slot -> tx ring -> completion ring
//! ```
//!
//! xsk-rs takes descriptors at their word: `Umem::data` makes a slice of whatever address and length stand in one. So here,
//! as in the crate's own socket, every slot has a state, and a descriptor is believed only if its slot was lent through
//! that ring and its bytes lie inside. What cannot be true is counted and touches nothing.

mod slots;

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use ::xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig as LibxdpConfig, UmemConfig,
};
use ::xsk_rs::socket::SocketCreateError;
use ::xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use crate::abi::{MAX_SEGMENTS, Options, SOL_XDP, XDP_OPTIONS, XDP_OPTIONS_ZEROCOPY, XDP_STATISTICS, XdpStatistics};
use crate::config::AskMode;
use crate::error::{QueueId, Ring, SocketError};
use crate::open::BUSY_BOUND;
use crate::socket::{Mode, Statistics};
use crate::sys;
use slots::{Holder, SLOT, Slots};

/// The shortest packet a kernel sends: an Ethernet header.
const SHORTEST: usize = 14;
/// Packets the kernel sends at one call (`TX_BATCH_SIZE`); libxdp has no way to raise it.
const TX_BUDGET: usize = 32;
/// Entries of a ring at most, as of our own socket.
const RING_LIMIT: u32 = 1 << 16;
/// Descriptors taken from a ring at once.
const BATCH: usize = 64;

/// Who steers packets to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// libxdp: its default program, beside those of others where its dispatcher loads, else alone on the netdev.
    Libxdp,
    /// The caller, who has a program on the device and enters the socket in its map.
    Caller,
}

/// A socket to open.
#[derive(Clone, Copy, Debug)]
pub struct XskRsConfig<'a> {
    /// The netdev's name, for libxdp.
    pub device: &'a str,
    /// Its index in the calling thread's network namespace, for messages.
    pub ifindex: u32,
    /// The netdev's queue.
    pub queue: u32,
    /// Entries of each of the four rings, a power of two.
    pub ring: u32,
    /// Zero-copy, copy or whichever works.
    pub mode: AskMode,
    /// Packets of more than one segment. libxdp's own program takes none, so this needs [`Steering::Caller`].
    pub multi_buffer: bool,
    /// Who steers.
    pub steering: Steering,
}

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was copied and will be sent.
    Copied,
    /// There is no room now.
    Full,
    /// It is shorter than an Ethernet header or longer than the socket's segments, and never will be sent.
    Unsendable,
}

/// A socket of libxdp and its packet memory.
pub struct XskRsSocket {
    slots: Slots,
    fill: FillQueue,
    completion: CompQueue,
    rx: RxQueue,
    tx: TxQueue,
    scratch: Vec<FrameDesc>,
    /// The packet whose end has not arrived yet.
    partial: Vec<u8>,
    /// A segment of it was refused, and the rest will be skipped.
    broken: bool,
    max_segments: usize,
    zero_copy: bool,
    unsent: bool,
    gone: bool,
    at: QueueId,
    refused: u64,
    wakeups: u64,
}

impl XskRsSocket {
    /// Opens a socket on one queue of a netdev of the calling thread's network namespace. Blocks for up to half a second
    /// while the queue's last owner is on its way out.
    ///
    /// # Errors
    /// [`SocketError`], naming the interface and queue; nothing stays open.
    pub fn open(config: &XskRsConfig<'_>) -> Result<Self, SocketError> {
        let deadline = Instant::now() + BUSY_BOUND;
        loop {
            // Each time anew: after a failed attempt libxdp's memory bears half a socket.
            match Self::attempt(config) {
                Err(SocketError::Busy { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }

    fn attempt(config: &XskRsConfig<'_>) -> Result<Self, SocketError> {
        let at = config.at();
        let (umem, blank) = config.memory()?;
        let device: Interface = config.device.parse().map_err(|_| SocketError::NoDevice { at })?;
        // SAFETY:
        // * The contract is of a memory that is shared and already bound to this queue: this one was just made.
        let opened = unsafe { Socket::new(config.libxdp()?, &umem, &device, config.queue) };
        let (tx, rx, rings) = opened.map_err(|error| config.failed(&error))?;
        let (fill, completion) = rings.ok_or(SocketError::RingOffsets { at, ring: Ring::Fill })?;
        let mut socket = Self {
            slots: Slots::new(umem, blank, config.ring as usize),
            fill,
            completion,
            rx,
            tx,
            scratch: vec![FrameDesc::default(); BATCH],
            partial: Vec::new(),
            broken: false,
            max_segments: if config.multi_buffer { MAX_SEGMENTS } else { 1 },
            zero_copy: false,
            unsent: false,
            gone: false,
            at,
            refused: 0,
            wakeups: 0,
        };
        let (options, _) = sys::option::<Options>(socket.as_fd(), SOL_XDP, XDP_OPTIONS)
            .map_err(|source| SocketError::Option { at, option: "XDP_OPTIONS", source })?;
        socket.zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY != 0;
        socket.refill();
        Ok(socket)
    }

    /// How libxdp came to bind it. Packets are copied between its memory and ours in either mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.zero_copy { Mode::ZeroCopy } else { Mode::Copy }
    }

    /// Hands up to `max` received packets to `sink`, whole.
    pub fn receive(&mut self, max: usize, mut sink: impl FnMut(&[u8])) {
        let batch = max.min(BATCH);
        // SAFETY:
        // * These descriptors are blank and of no memory; the ring fills them in, and they are checked below.
        let received = unsafe { self.rx.consume(&mut self.scratch[..batch]) };
        for at in 0..received {
            let desc = self.scratch[at];
            let more = desc.has_more_frames();
            match self.slots.received(&desc) {
                Some(bytes) if more || !self.partial.is_empty() => self.partial.extend_from_slice(bytes),
                Some(bytes) if !self.broken => sink(bytes),
                Some(_) => {}
                None => {
                    self.refused += 1;
                    self.broken = true;
                }
            }
            self.slots.bring_back(&desc, Holder::Filling);
            if !more {
                if !self.broken && !self.partial.is_empty() {
                    sink(&self.partial);
                }
                self.partial.clear();
                self.broken = false;
            }
        }
    }

    /// Copies a packet of `length` bytes in all and puts it on the tx ring; [`settle`](Self::settle) sends it.
    pub fn transmit<'a>(&mut self, length: usize, segments: impl Iterator<Item = &'a [u8]>) -> Sent {
        let needed = length.div_ceil(self.slots.capacity());
        if length < SHORTEST || needed > self.max_segments {
            return Sent::Unsendable;
        }
        if self.slots.sending + needed > self.slots.ring || (self.tx.nb_free(needed as u32) as usize) < needed {
            return Sent::Full;
        }
        let mut descs = [FrameDesc::default(); MAX_SEGMENTS];
        let filled = self.slots.write(&mut descs[..needed], segments);
        // SAFETY:
        // * The slots were ours until this moment, are of this socket's memory, and are marked as the kernel's.
        let taken = unsafe { self.tx.produce(&descs[..filled]) };
        if taken == 0 {
            for desc in &descs[..filled] {
                self.slots.bring_back(desc, Holder::Sending);
            }
            return Sent::Full;
        }
        self.unsent = true;
        Sent::Copied
    }

    /// Sends what is on the tx ring, takes home what was sent, and lends slots for receiving.
    ///
    /// # Errors
    /// [`SocketError::DeviceGone`] or [`SocketError::Wake`]: close the socket.
    pub fn settle(&mut self) -> Result<(), SocketError> {
        let woken = self.wake_transmit();
        self.collect();
        self.refill();
        woken?;
        if self.fill.needs_wakeup() {
            self.wakeups += 1;
            let answer = sys::kick_receive(self.as_fd());
            return self.judge(answer);
        }
        Ok(())
    }

    /// Whether packets are on their way out.
    #[must_use]
    pub fn outstanding(&self) -> bool {
        self.slots.sending > 0
    }

    /// Whether the netdev is still there.
    ///
    /// # Errors
    /// [`SocketError::DeviceGone`] once it was deleted, [`SocketError::Wake`] for any other error pending.
    pub fn health(&mut self) -> Result<(), SocketError> {
        let pending = sys::option::<libc::c_int>(self.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR);
        let error = match pending {
            Ok((0, _)) => Ok(()),
            Ok((error, _)) => Err(io::Error::from_raw_os_error(error)),
            Err(error) => Err(error),
        };
        // Asking clears the error in the kernel, so it is remembered. A netdev that is merely down leaves none here.
        self.gone |= error.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENETDOWN));
        if self.gone { Err(SocketError::DeviceGone { at: self.at }) } else { self.judge(error) }
    }

    /// Counts since the socket was opened. Packets that were not sent the caller counts, by [`Sent::Unsendable`].
    ///
    /// # Errors
    /// [`SocketError::Statistics`] with the kernel's answer.
    pub fn statistics(&self) -> Result<Statistics, SocketError> {
        let (kernel, _) = sys::option::<XdpStatistics>(self.as_fd(), SOL_XDP, XDP_STATISTICS)
            .map_err(|source| SocketError::Statistics { at: self.at, source })?;
        Ok(Statistics {
            rx_dropped: kernel.rx_dropped,
            rx_invalid: kernel.rx_invalid_descs,
            rx_ring_full: kernel.rx_ring_full,
            fill_ring_empty: kernel.rx_fill_ring_empty_descs,
            tx_invalid: kernel.tx_invalid_descs,
            tx_ring_empty: kernel.tx_ring_empty_descs,
            refused: self.refused,
            unsendable: 0,
            wakeups: self.wakeups,
        })
    }

    /// In copy mode the call does the sending, a budget at a time, and says EAGAIN when more is left.
    fn wake_transmit(&mut self) -> Result<(), SocketError> {
        if !self.unsent || !self.tx.needs_wakeup() {
            return Ok(());
        }
        for _ in 0..self.slots.ring / TX_BUDGET + 2 {
            self.wakeups += 1;
            let answer = sys::kick_transmit(self.as_fd());
            let left = answer.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN));
            if !left {
                self.unsent = self.tx.nb_free_exact() < self.slots.ring as u32;
                return self.judge(answer);
            }
            // A full completion ring is one reason to stop.
            self.collect();
        }
        Ok(())
    }

    fn collect(&mut self) {
        while self.slots.sending > 0 {
            // SAFETY:
            // * These descriptors are blank and of no memory; the ring fills them in, and they are checked below.
            let sent = unsafe { self.completion.consume(&mut self.scratch) };
            if sent == 0 {
                return;
            }
            for desc in &self.scratch[..sent] {
                self.refused += u64::from(!self.slots.bring_back(desc, Holder::Sending));
            }
        }
    }

    fn refill(&mut self) {
        while let Some(desc) = self.slots.lend_for_filling() {
            // SAFETY:
            // * The slot was ours until this moment, is of this socket's memory, and is marked as the kernel's.
            if unsafe { self.fill.produce_one(&desc) } == 0 {
                self.slots.bring_back(&desc, Holder::Filling);
                return;
            }
        }
    }

    /// Sorts the kernel's answer: passing, or for good.
    fn judge(&self, answer: io::Result<()>) -> Result<(), SocketError> {
        let Err(source) = answer else { return Ok(()) };
        let at = self.at;
        match source.raw_os_error() {
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENOMEM | libc::EINTR | libc::ENETDOWN) => Ok(()),
            Some(libc::ENXIO | libc::ENODEV) => Err(SocketError::DeviceGone { at }),
            _ => Err(SocketError::Wake { at, source }),
        }
    }
}

impl AsFd for XskRsSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY:
        // * xsk-rs closes the socket when the last of its queues is dropped; the borrow holds all of them.
        unsafe { BorrowedFd::borrow_raw(self.tx.fd().as_raw_fd()) }
    }
}

impl std::fmt::Debug for XskRsSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XskRsSocket").field("at", &self.at).field("mode", &self.mode()).finish_non_exhaustive()
    }
}

impl XskRsConfig<'_> {
    fn at(&self) -> QueueId {
        QueueId { ifindex: self.ifindex, queue: self.queue }
    }

    fn ring_size(&self) -> Result<QueueSize, SocketError> {
        if !(2..=RING_LIMIT).contains(&self.ring) {
            return Err(self.bad_ring());
        }
        QueueSize::new(self.ring).map_err(|_| self.bad_ring())
    }

    fn bad_ring(&self) -> SocketError {
        SocketError::RingSize { at: self.at(), ring: Ring::Rx, asked: self.ring, limit: RING_LIMIT }
    }

    /// A memory of two rings' worth of slots.
    fn memory(&self) -> Result<(Umem, Vec<FrameDesc>), SocketError> {
        let at = self.at();
        let bytes = 2 * self.ring as usize * SLOT;
        let ring = self.ring_size()?;
        let frames = NonZeroU32::new(2 * self.ring).ok_or_else(|| self.bad_ring())?;
        let invalid = |()| SocketError::Register { at, bytes, source: io::Error::from_raw_os_error(libc::EINVAL) };
        let mut config = UmemConfig::builder();
        config.frame_size(FrameSize::new(SLOT as u32).map_err(|_| invalid(()))?);
        config.fill_queue_size(ring).comp_queue_size(ring);
        let config = config.build().map_err(|_| invalid(()))?;
        Umem::new(config, frames, false).map_err(|error| SocketError::Register { at, bytes, source: cause(&error) })
    }

    fn libxdp(&self) -> Result<LibxdpConfig, SocketError> {
        let ring = self.ring_size()?;
        let mut flags = BindFlags::XDP_USE_NEED_WAKEUP;
        match self.mode {
            AskMode::Auto => {}
            AskMode::ZeroCopy => flags |= BindFlags::XDP_ZEROCOPY,
            AskMode::Copy => flags |= BindFlags::XDP_COPY,
        }
        if self.multi_buffer {
            flags |= BindFlags::XDP_USE_SG;
        }
        let program = match self.steering {
            Steering::Libxdp => LibxdpFlags::empty(),
            Steering::Caller => LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD,
        };
        Ok(LibxdpConfig::builder()
            .rx_queue_size(ring)
            .tx_queue_size(ring)
            .bind_flags(flags)
            .libxdp_flags(program)
            .build())
    }

    fn failed(&self, error: &SocketCreateError) -> SocketError {
        let at = self.at();
        let source = cause(error);
        match source.raw_os_error() {
            Some(libc::EBUSY) => SocketError::Busy { at, waited_ms: BUSY_BOUND.as_millis() as u64 },
            Some(libc::ENODEV | libc::ENXIO) => SocketError::NoDevice { at },
            Some(libc::EINVAL) if self.queue > 0 => SocketError::NoQueue { at, source },
            Some(libc::EOPNOTSUPP) if self.mode == AskMode::ZeroCopy => SocketError::NoZeroCopy { at, source },
            _ if self.steering == Steering::Libxdp => SocketError::LibxdpProgram { at, source },
            _ => SocketError::Bind { at, source },
        }
    }
}

/// The kernel's answer inside an error of xsk-rs.
fn cause(error: &dyn std::error::Error) -> io::Error {
    let inner = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let number = inner.and_then(io::Error::raw_os_error);
    number.map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}
