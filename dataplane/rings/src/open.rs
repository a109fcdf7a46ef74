//! Opening a socket: in which mode, on whose registration of the memory, and how long to wait for a queue.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::abi::{
    AF_XDP, MAX_SEGMENTS, Options, SOL_XDP, TX_METADATA_LEN, UmemReg, XDP_COPY, XDP_MAX_TX_SKB_BUDGET, XDP_OPTIONS,
    XDP_OPTIONS_ZEROCOPY, XDP_SHARED_UMEM, XDP_UMEM_REG, XDP_UMEM_TX_METADATA_LEN, XDP_USE_NEED_WAKEUP, XDP_USE_SG,
    XDP_ZEROCOPY,
};
use crate::close::bring_home;
use crate::config::{AskMode, BusyPoll, SocketConfig};
use crate::device::{Features, features};
use crate::error::SocketError;
use crate::layout::{Rings, check_sizes};
use crate::pool::FramePool;
use crate::siblings::Group;
use crate::slots::SocketNumber;
use crate::socket::Socket;
use crate::sys;

/// How long a bind is tried while the queue is busy. A queue is free 9 to 20 ms after its last socket closed; this is for
/// a machine twenty times slower.
pub(crate) const BUSY_BOUND: Duration = Duration::from_millis(500);
/// The kernel's own budget of one copy-mode system call, and what is asked for instead (2.41 against 2.23 Mpps).
const KERNEL_TX_BUDGET: u32 = 32;
const BETTER_TX_BUDGET: u32 = 256;

impl Socket {
    /// Opens a socket on one queue of a netdev of the calling thread's network namespace and lends the kernel as many
    /// frames as its fill ring holds (or the pool has).
    ///
    /// Blocks for up to half a second while the queue's last owner is on its way out.
    ///
    /// # Errors
    /// [`SocketError`], naming the interface and queue; the pool is then as it was.
    pub fn open(pool: &mut FramePool, config: &SocketConfig) -> Result<Self, SocketError> {
        check_sizes(config)?;
        let at = config.at();
        let limit = SocketNumber::LIMIT;
        let number = pool.siblings().number().ok_or(SocketError::TooManySockets { at, limit })?;
        let features = features(config.ifindex);
        let deadline = Instant::now() + BUSY_BOUND;
        let opened = Attempt { config, number, features, deadline }.run(pool);
        if matches!(opened, Err(Failure::Unproven(_))) {
            // The NIC may still write what it was lent: neither the slots nor the number are used again.
        } else if opened.is_err() {
            bring_home(pool, number);
            pool.siblings().spare(number);
        }
        opened.map_err(|failure| match failure {
            Failure::SiblingGone(source) => SocketError::Bind { at, source },
            Failure::Final(error) | Failure::Unproven(error) => error,
        })
    }
}

/// Why an attempt failed, before it is known whether that matters.
enum Failure {
    /// The socket we meant to join is bound no more: its netdev was deleted.
    SiblingGone(io::Error),
    /// As it says; nobody has the slots.
    Final(SocketError),
    /// As it says, and a NIC may still have the slots.
    Unproven(SocketError),
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        Self::Final(error)
    }
}

struct Attempt<'a> {
    config: &'a SocketConfig,
    number: SocketNumber,
    features: Option<Features>,
    deadline: Instant,
}

impl Attempt<'_> {
    /// Tries the modes in order: zero-copy where it is asked for and not known to be absent, then copy.
    fn run(&self, pool: &mut FramePool) -> Result<Socket, Failure> {
        let segments = if self.config.multi_buffer { 2 } else { 1 };
        let hopeless = self.features.is_some_and(|f| !f.zero_copy || f.zero_copy_segments < segments);
        match self.config.mode {
            AskMode::ZeroCopy => self.in_mode(pool, true),
            AskMode::Auto if !hopeless => match self.in_mode(pool, true) {
                Err(Failure::Final(SocketError::NoZeroCopy { .. } | SocketError::Bind { .. })) => {
                    self.in_mode(pool, false)
                }
                other => other,
            },
            AskMode::Auto | AskMode::Copy => self.in_mode(pool, false),
        }
    }

    /// Opens in one mode: joins a live group, or founds it.
    fn in_mode(&self, pool: &mut FramePool, zero_copy: bool) -> Result<Socket, Failure> {
        loop {
            let metadata = self.config.checksum_offload && !pool.siblings().metadata_refused;
            let group = Group { zero_copy, multi_buffer: self.config.multi_buffer, metadata };
            let sibling = pool.siblings().find(group);
            match (self.in_group(pool, group, sibling.as_ref()), sibling) {
                (Err(Failure::SiblingGone(_)), Some(sibling)) => pool.siblings().leave(&sibling),
                (outcome, _) => return outcome,
            }
        }
    }

    fn in_group(&self, pool: &mut FramePool, mut group: Group, join: Option<&Arc<OwnedFd>>) -> Result<Socket, Failure> {
        let at = self.config.at();
        let fd = sys::socket(AF_XDP, 0).map_err(|source| SocketError::Create { at, source })?;
        if join.is_none() {
            group.metadata = self.register(pool, &fd, group.metadata)?;
        }
        let mut socket = self.socket(pool, fd, group)?;
        // Before the bind, because a zero-copy driver takes its first buffers then.
        socket.refill(pool);
        if let Err(failure) = self.bind(&socket, group, join) {
            drop(socket);
            bring_home(pool, self.number);
            return Err(failure);
        }
        if let Err(error) = self.tune(&mut socket) {
            let proven = socket.let_go(pool);
            return Err(if proven { Failure::Final(error) } else { Failure::Unproven(error) });
        }
        pool.siblings().join(group, &socket.fd);
        Ok(socket)
    }

    /// Tells the kernel of the memory. Returns whether it took transmit metadata with it.
    fn register(&self, pool: &mut FramePool, fd: &OwnedFd, metadata: bool) -> Result<bool, SocketError> {
        let umem = pool.umem();
        let bytes = umem.region.bytes();
        let refused = |source| SocketError::Register { at: self.config.at(), bytes, source };
        let plain = UmemReg {
            addr: umem.region.base().addr().get() as u64,
            len: bytes as u64,
            chunk_size: umem.frame_size() as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        if metadata {
            let tx_metadata_len = TX_METADATA_LEN as u32;
            let full = UmemReg { flags: XDP_UMEM_TX_METADATA_LEN, tx_metadata_len, ..plain };
            match sys::set_option(fd, SOL_XDP, XDP_UMEM_REG, &full) {
                Ok(()) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    pool.siblings().metadata_refused = true;
                }
                Err(source) => return Err(refused(source)),
            }
        }
        sys::set_option(fd, SOL_XDP, XDP_UMEM_REG, &plain).map_err(refused)?;
        Ok(false)
    }

    /// An unbound socket with its rings.
    fn socket(&self, pool: &FramePool, fd: OwnedFd, group: Group) -> Result<Socket, SocketError> {
        let Self { config, number, features, .. } = *self;
        let Rings { rx, tx, fill, completion } = Rings::make(&fd, config)?;
        Ok(Socket {
            rx,
            tx,
            fill,
            completion,
            umem: pool.umem().clone(),
            number,
            fill_lent: 0,
            tx_lent: 0,
            fill_target: config.fill,
            unsent: false,
            zero_copy: group.zero_copy,
            offload: group.metadata && (!group.zero_copy || features.is_some_and(|f| f.checksum)),
            busy_poll: config.busy_poll.is_some(),
            skipping: false,
            max_segments: match (group.multi_buffer, group.zero_copy) {
                (false, _) => 1,
                (true, false) => MAX_SEGMENTS,
                (true, true) => features.map_or(1, |f| f.zero_copy_segments).clamp(1, MAX_SEGMENTS),
            },
            max_kicks: 0,
            tx_budget: KERNEL_TX_BUDGET,
            refused: 0,
            unsendable: 0,
            wakeups: 0,
            partial: None,
            gone: AtomicBool::new(false),
            at: config.at(),
            group,
            probe: None,
            fd: Arc::new(fd),
        })
    }

    /// Binds, again and again while the queue is busy and the deadline not reached.
    fn bind(&self, socket: &Socket, group: Group, join: Option<&Arc<OwnedFd>>) -> Result<(), Failure> {
        let SocketConfig { ifindex, queue, .. } = *self.config;
        let at = self.config.at();
        let flags = match join {
            Some(_) => XDP_SHARED_UMEM,
            None => {
                let mode = if group.zero_copy { XDP_ZEROCOPY } else { XDP_COPY };
                mode | XDP_USE_NEED_WAKEUP | if group.multi_buffer { XDP_USE_SG } else { 0 }
            }
        };
        let shared = join.map_or(0, |fd| fd.as_raw_fd() as u32);
        let mut pause = Duration::from_millis(1);
        loop {
            let Err(source) = sys::bind(&*socket.fd, flags, ifindex, queue, shared) else {
                return Ok(());
            };
            let error = match source.raw_os_error() {
                Some(libc::EBUSY) if Instant::now() < self.deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(8));
                    continue;
                }
                Some(libc::EBUSY) => SocketError::Busy { at, waited_ms: BUSY_BOUND.as_millis() as u64 },
                Some(libc::EBADF) if join.is_some() => return Err(Failure::SiblingGone(source)),
                Some(libc::EOPNOTSUPP) if group.zero_copy => SocketError::NoZeroCopy { at, source },
                Some(libc::ENODEV | libc::ENXIO) => SocketError::NoDevice { at },
                Some(libc::EINVAL) if queue > 0 => SocketError::NoQueue { at, source },
                _ => SocketError::Bind { at, source },
            };
            return Err(error.into());
        }
    }

    /// What may be asked of a bound socket: its real mode, the transmit budget, the send buffer, busy polling.
    fn tune(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let at = self.config.at();
        let refused = |option| move |source| SocketError::Option { at, option, source };
        let (options, _) = sys::option::<Options>(&*socket.fd, SOL_XDP, XDP_OPTIONS).map_err(refused("XDP_OPTIONS"))?;
        socket.zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY != 0;
        if socket.zero_copy {
            socket.probe = Some(sys::socket(AF_XDP, 0).map_err(|source| SocketError::Create { at, source })?);
        }
        let budget = self.config.tx_budget.unwrap_or(BETTER_TX_BUDGET).min(self.config.tx);
        match sys::set_option(&*socket.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget) {
            Ok(()) => socket.tx_budget = budget,
            Err(source) if self.config.tx_budget.is_some() => {
                return Err(refused("XDP_MAX_TX_SKB_BUDGET")(source));
            }
            Err(_) => {}
        }
        socket.max_kicks = self.config.tx / socket.tx_budget.max(1) + 2;
        self.raise_send_buffer(socket);
        if let Some(BusyPoll { microseconds, budget }) = self.config.busy_poll {
            for (name, option, value) in [
                ("SO_PREFER_BUSY_POLL", libc::SO_PREFER_BUSY_POLL, 1),
                ("SO_BUSY_POLL", libc::SO_BUSY_POLL, microseconds),
                ("SO_BUSY_POLL_BUDGET", libc::SO_BUSY_POLL_BUDGET, u32::from(budget)),
            ] {
                sys::set_option(&*socket.fd, libc::SOL_SOCKET, option, &value).map_err(refused(name))?;
            }
        }
        Ok(())
    }

    /// In copy mode every packet on its way is an skb charged to the socket's send buffer, whose default (208 KiB) holds
    /// seventeen jumbo packets. The tx ring is the bound that was asked for, so the buffer is made no smaller than it.
    /// Where the kernel refuses, sending is slower and nothing else.
    fn raise_send_buffer(&self, socket: &Socket) {
        const SKB_OVERHEAD: usize = 1024;
        let bytes = self.config.tx as usize * (socket.umem.frame_size() + SKB_OVERHEAD);
        let bytes = libc::c_int::try_from(bytes / 2).unwrap_or(libc::c_int::MAX / 2);
        let _ = sys::set_option(&*socket.fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes);
    }
}
