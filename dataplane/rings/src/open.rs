//! Opening and closing a socket: which registration of the memory it joins, which mode it gets, and where its slots go.
//!
//! A memory is registered with the kernel by the first socket of a *group* (mode, multi-buffer, transmit metadata) and
//! joined by the next ones with `XDP_SHARED_UMEM`: a joining socket may carry no flags of its own and inherits the
//! group's. It joins by naming any live bound socket, so the list of those is kept here, by weak reference: a closed
//! socket leaves it by itself. A group that has died, or never was, registers the same memory once more.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use memmap2::MmapMut;

use crate::abi::{
    AF_XDP, Desc, MAX_SEGMENTS, MmapOffsets, Options, SOL_XDP, TX_METADATA_LEN, UmemReg, XDP_COPY,
    XDP_MAX_TX_SKB_BUDGET, XDP_MMAP_OFFSETS, XDP_OPTIONS, XDP_OPTIONS_ZEROCOPY, XDP_PGOFF_RX_RING,
    XDP_PGOFF_TX_RING, XDP_RX_RING, XDP_SHARED_UMEM, XDP_TX_RING, XDP_UMEM_COMPLETION_RING,
    XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XDP_UMEM_REG,
    XDP_UMEM_TX_METADATA_LEN, XDP_USE_NEED_WAKEUP, XDP_USE_SG, XDP_ZEROCOPY,
};
use crate::config::{AskMode, SocketConfig};
use crate::device::{Features, features};
use crate::error::{Ring, SocketError};
use crate::pool::FramePool;
use crate::ring::{self, ConsumerRing, ProducerRing};
use crate::slots::SocketNumber;
use crate::socket::{Name, Socket};
use crate::sys;

/// How long a bind is tried while the queue is busy. A queue is free 9 to 20 ms after its last socket closed; this is for
/// a machine twenty times slower.
const BUSY_BOUND: Duration = Duration::from_millis(500);
/// Entries the kernel allocates for a ring at most, and more than any NIC has.
const RING_LIMIT: u32 = 1 << 16;
/// The kernel's own budget of one copy-mode system call, and what is asked for instead (2.41 against 2.23 Mpps).
const KERNEL_TX_BUDGET: u32 = 32;
const BETTER_TX_BUDGET: u32 = 256;
/// Memory of the socket that only asks whether a queue is free.
const PROBE_MEMORY: usize = 4096;

/// What sockets of one registration have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Group {
    zero_copy: bool,
    multi_buffer: bool,
    metadata: bool,
}

struct Sibling {
    group: Group,
    fd: Weak<OwnedFd>,
}

/// The live sockets of a memory, and the numbers they go by.
#[derive(Default)]
pub(crate) struct Siblings {
    live: Vec<Sibling>,
    spare: Vec<SocketNumber>,
    next: u32,
    /// The kernel does not know transmit metadata; it was asked once.
    metadata_refused: bool,
}

impl Siblings {
    fn number(&mut self) -> Option<SocketNumber> {
        self.spare.pop().or_else(|| {
            let number = SocketNumber::new(self.next)?;
            self.next += 1;
            Some(number)
        })
    }

    fn find(&mut self, group: Group) -> Option<Arc<OwnedFd>> {
        self.live.retain(|sibling| sibling.fd.strong_count() > 0);
        self.live
            .iter()
            .filter(|sibling| sibling.group == group)
            .find_map(|sibling| sibling.fd.upgrade())
    }

    fn forget(&mut self, fd: &Arc<OwnedFd>) {
        self.live
            .retain(|sibling| sibling.fd.as_ptr() != Arc::as_ptr(fd));
    }
}

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
        let SocketConfig { ifindex, queue, .. } = *config;
        let number = pool.siblings.number().ok_or(SocketError::TooManySockets {
            ifindex,
            queue,
            limit: SocketNumber::LIMIT,
        })?;
        let opened = open_as(pool, config, number);
        if opened.is_err() {
            bring_home(pool, number);
        }
        opened
    }

    /// Closes the socket and brings every slot it was lent home.
    ///
    /// In zero-copy mode this waits until the NIC has let go of the queue (typically 10 to 20 ms). Should it not within
    /// half a second, the slots stay out and the memory is never unmapped: better lost than written behind our back.
    ///
    /// # Panics
    /// If the pool is of another memory.
    pub fn close(mut self, pool: &mut FramePool) {
        self.expect_own(pool);
        if let Some(partial) = self.partial.take() {
            pool.give(partial.head);
        }
        let Self {
            rx,
            tx,
            fill,
            completion,
            umem,
            number,
            probe,
            gone,
            name,
            fd,
            ..
        } = self;
        // The mappings first: each keeps the socket open, and the kernel lets go of a slot only when it is closed.
        drop((rx, tx, fill, completion));
        pool.siblings.forget(&fd);
        drop(fd);
        drop(umem);
        if gone.into_inner() || probe.is_none_or(|probe| queue_is_free(&probe, name)) {
            bring_home(pool, number);
        }
    }
}

/// Takes home what a socket that is no more was lent, and frees its number.
fn bring_home(pool: &mut FramePool, number: SocketNumber) {
    let umem = pool.umem().clone();
    umem.region
        .slots
        .take_all_back(number, |slot| pool.give_slot(slot));
    pool.siblings.spare.push(number);
}

fn check_sizes(config: &SocketConfig) -> Result<(), SocketError> {
    let SocketConfig { ifindex, queue, .. } = *config;
    let rings = [
        (Ring::Rx, config.rx),
        (Ring::Tx, config.tx),
        (Ring::Fill, config.fill),
        (Ring::Completion, config.completion),
    ];
    for (ring, asked) in rings {
        if !asked.is_power_of_two() || !(2..=RING_LIMIT).contains(&asked) {
            return Err(SocketError::RingSize {
                ifindex,
                queue,
                ring,
                asked,
                limit: RING_LIMIT,
            });
        }
    }
    Ok(())
}

/// Tries the modes in order: zero-copy where it is asked for and not known to be absent, then copy.
fn open_as(
    pool: &mut FramePool,
    config: &SocketConfig,
    number: SocketNumber,
) -> Result<Socket, SocketError> {
    let features = features(config.ifindex);
    let hopeless =
        features.is_some_and(|f| !f.zero_copy || (config.multi_buffer && f.zero_copy_segments < 2));
    let deadline = Instant::now() + BUSY_BOUND;
    let attempt = Attempt {
        config,
        number,
        features,
        deadline,
    };
    match config.mode {
        AskMode::ZeroCopy => attempt.run(pool, true),
        AskMode::Auto if !hopeless => match attempt.run(pool, true) {
            Err(SocketError::NoZeroCopy { .. } | SocketError::Bind { .. }) => {
                attempt.run(pool, false)
            }
            other => other,
        },
        AskMode::Auto | AskMode::Copy => attempt.run(pool, false),
    }
}

/// Why one bind failed, before it is known whether that matters.
enum Failure {
    /// The socket we meant to join is bound no more (its netdev was deleted).
    SiblingGone,
    Final(SocketError),
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
    /// Opens in one mode: joins a live group, or founds it.
    fn run(&self, pool: &mut FramePool, zero_copy: bool) -> Result<Socket, SocketError> {
        loop {
            let metadata = self.config.checksum_offload && !pool.siblings.metadata_refused;
            let group = Group {
                zero_copy,
                multi_buffer: self.config.multi_buffer,
                metadata,
            };
            let sibling = pool.siblings.find(group);
            match (self.open(pool, group, sibling.as_ref()), sibling) {
                (Ok(socket), _) => return Ok(socket),
                (Err(Failure::SiblingGone), Some(sibling)) => pool.siblings.forget(&sibling),
                (Err(Failure::SiblingGone), None) => {
                    return Err(self.bind_error(io::Error::from_raw_os_error(libc::EBADF)));
                }
                (Err(Failure::Final(error)), _) => return Err(error),
            }
            bring_slots_home(pool, self.number);
        }
    }

    fn open(
        &self,
        pool: &mut FramePool,
        mut group: Group,
        join: Option<&Arc<OwnedFd>>,
    ) -> Result<Socket, Failure> {
        let Self { config, .. } = *self;
        let SocketConfig { ifindex, queue, .. } = *config;
        let fd = sys::socket(AF_XDP, 0).map_err(|source| SocketError::Create {
            ifindex,
            queue,
            source,
        })?;
        if join.is_none() {
            group.metadata = self.register(pool, &fd, group.metadata)?;
        }
        let mut socket = self.socket(pool, fd, group)?;
        // Before the bind, because a zero-copy driver takes its first buffers then.
        socket.refill(pool);
        if let Err(failure) = self.bind(&socket, group, join) {
            drop(socket);
            bring_slots_home(pool, self.number);
            return Err(failure);
        }
        self.tune(&mut socket)?;
        pool.siblings.live.push(Sibling {
            group,
            fd: Arc::downgrade(&socket.fd),
        });
        Ok(socket)
    }

    /// Tells the kernel of the memory. Returns whether it took transmit metadata with it.
    fn register(
        &self,
        pool: &mut FramePool,
        fd: &OwnedFd,
        metadata: bool,
    ) -> Result<bool, SocketError> {
        let umem = pool.umem();
        let bytes = umem.region.bytes();
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
            let full = UmemReg {
                flags: XDP_UMEM_TX_METADATA_LEN,
                tx_metadata_len,
                ..plain
            };
            match sys::set_option(fd, SOL_XDP, XDP_UMEM_REG, &full) {
                Ok(()) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    pool.siblings.metadata_refused = true;
                }
                Err(source) => return Err(self.register_error(bytes, source)),
            }
        }
        sys::set_option(fd, SOL_XDP, XDP_UMEM_REG, &plain)
            .map_err(|source| self.register_error(bytes, source))?;
        Ok(false)
    }

    fn register_error(&self, bytes: usize, source: io::Error) -> SocketError {
        SocketError::Register {
            ifindex: self.config.ifindex,
            queue: self.config.queue,
            bytes,
            source,
        }
    }

    /// Makes and maps the four rings.
    fn socket(&self, pool: &FramePool, fd: OwnedFd, group: Group) -> Result<Socket, SocketError> {
        let Self {
            config,
            number,
            features,
            ..
        } = *self;
        let name = Name {
            ifindex: config.ifindex,
            queue: config.queue,
        };
        for (ring, option, size) in [
            (Ring::Rx, XDP_RX_RING, config.rx),
            (Ring::Tx, XDP_TX_RING, config.tx),
            (Ring::Fill, XDP_UMEM_FILL_RING, config.fill),
            (
                Ring::Completion,
                XDP_UMEM_COMPLETION_RING,
                config.completion,
            ),
        ] {
            sys::set_option(&fd, SOL_XDP, option, &size)
                .map_err(|source| ring_error(name, ring, source))?;
        }
        let rings = Rings::map(&fd, config, name)?;
        let segments = match (group.multi_buffer, group.zero_copy) {
            (false, _) => 1,
            (true, false) => MAX_SEGMENTS,
            (true, true) => features
                .map_or(1, |f| f.zero_copy_segments)
                .clamp(1, MAX_SEGMENTS),
        };
        Ok(Socket {
            rx: rings.rx,
            tx: rings.tx,
            fill: rings.fill,
            completion: rings.completion,
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
            max_segments: segments,
            max_kicks: config.tx / KERNEL_TX_BUDGET + 2,
            tx_budget: KERNEL_TX_BUDGET,
            refused: 0,
            unsendable: 0,
            wakeups: 0,
            partial: None,
            gone: AtomicBool::new(false),
            name,
            probe: None,
            fd: Arc::new(fd),
        })
    }

    /// Binds, again and again while the queue is busy and the deadline not reached.
    fn bind(
        &self,
        socket: &Socket,
        group: Group,
        join: Option<&Arc<OwnedFd>>,
    ) -> Result<(), Failure> {
        let SocketConfig { ifindex, queue, .. } = *self.config;
        let flags = match join {
            Some(_) => XDP_SHARED_UMEM,
            None => {
                let mode = if group.zero_copy {
                    XDP_ZEROCOPY
                } else {
                    XDP_COPY
                };
                mode | XDP_USE_NEED_WAKEUP | if group.multi_buffer { XDP_USE_SG } else { 0 }
            }
        };
        let shared = join.map_or(0, |fd| fd.as_raw_fd() as u32);
        let mut pause = Duration::from_millis(1);
        loop {
            let Err(source) = sys::bind(&*socket.fd, flags, ifindex, queue, shared) else {
                return Ok(());
            };
            match source.raw_os_error() {
                Some(libc::EBUSY) if Instant::now() < self.deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(8));
                }
                Some(libc::EBUSY) => {
                    let waited_ms = BUSY_BOUND.as_millis() as u64;
                    return Err(SocketError::Busy {
                        ifindex,
                        queue,
                        waited_ms,
                    }
                    .into());
                }
                Some(libc::EBADF) if join.is_some() => return Err(Failure::SiblingGone),
                Some(libc::EOPNOTSUPP) if group.zero_copy => {
                    return Err(SocketError::NoZeroCopy {
                        ifindex,
                        queue,
                        source,
                    }
                    .into());
                }
                _ => return Err(self.bind_error(source).into()),
            }
        }
    }

    fn bind_error(&self, source: io::Error) -> SocketError {
        let SocketConfig { ifindex, queue, .. } = *self.config;
        match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => SocketError::NoDevice { ifindex, queue },
            Some(libc::EINVAL) if queue > 0 => SocketError::NoQueue {
                ifindex,
                queue,
                source,
            },
            _ => SocketError::Bind {
                ifindex,
                queue,
                source,
            },
        }
    }

    /// What may be asked of a bound socket: its real mode, the transmit budget, busy polling.
    fn tune(&self, socket: &mut Socket) -> Result<(), SocketError> {
        let SocketConfig { ifindex, queue, .. } = *self.config;
        let refused = |option| {
            move |source| SocketError::Option {
                ifindex,
                queue,
                option,
                source,
            }
        };
        let (options, _) = sys::option::<Options>(&*socket.fd, SOL_XDP, XDP_OPTIONS)
            .map_err(refused("XDP_OPTIONS"))?;
        socket.zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY != 0;
        if socket.zero_copy {
            let probe = sys::socket(AF_XDP, 0).map_err(|source| SocketError::Create {
                ifindex,
                queue,
                source,
            })?;
            socket.probe = Some(probe);
        }
        let budget = self
            .config
            .tx_budget
            .unwrap_or(BETTER_TX_BUDGET)
            .min(self.config.tx);
        match sys::set_option(&*socket.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget) {
            Ok(()) => socket.tx_budget = budget,
            Err(source) if self.config.tx_budget.is_some() => {
                return Err(refused("XDP_MAX_TX_SKB_BUDGET")(source));
            }
            Err(_) => {}
        }
        socket.max_kicks = self.config.tx / socket.tx_budget.max(1) + 2;
        if let Some(poll) = self.config.busy_poll {
            for (name, option, value) in [
                ("SO_PREFER_BUSY_POLL", libc::SO_PREFER_BUSY_POLL, 1),
                ("SO_BUSY_POLL", libc::SO_BUSY_POLL, poll.microseconds),
                (
                    "SO_BUSY_POLL_BUDGET",
                    libc::SO_BUSY_POLL_BUDGET,
                    u32::from(poll.budget),
                ),
            ] {
                sys::set_option(&*socket.fd, libc::SOL_SOCKET, option, &value)
                    .map_err(refused(name))?;
            }
        }
        Ok(())
    }
}

/// Takes home what was lent through a socket that never came to be, and keeps its number.
fn bring_slots_home(pool: &mut FramePool, number: SocketNumber) {
    let umem = pool.umem().clone();
    umem.region
        .slots
        .take_all_back(number, |slot| pool.give_slot(slot));
}

fn ring_error(Name { ifindex, queue }: Name, ring: Ring, source: io::Error) -> SocketError {
    SocketError::RingSetup {
        ifindex,
        queue,
        ring,
        source,
    }
}

struct Rings {
    rx: ConsumerRing<Desc>,
    tx: ProducerRing<Desc>,
    fill: ProducerRing<u64>,
    completion: ConsumerRing<u64>,
}

impl Rings {
    fn map(fd: &OwnedFd, config: &SocketConfig, name: Name) -> Result<Self, SocketError> {
        let Name { ifindex, queue } = name;
        let bad = |ring| {
            move |_| SocketError::RingOffsets {
                ifindex,
                queue,
                ring,
            }
        };
        let (offsets, len) = sys::option::<MmapOffsets>(fd, SOL_XDP, XDP_MMAP_OFFSETS)
            .map_err(|source| ring_error(name, Ring::Rx, source))?;
        if len != size_of::<MmapOffsets>() {
            // A kernel before 5.4 has no flags word, and its answer has another shape.
            return Err(SocketError::RingOffsets {
                ifindex,
                queue,
                ring: Ring::Rx,
            });
        }
        let entry = size_of::<Desc>();
        let map = |ring, page, offset, size, entry| {
            ring::map(fd, page, offset, size, entry)
                .map_err(|source| ring_error(name, ring, source))
        };
        let rx = map(Ring::Rx, XDP_PGOFF_RX_RING, &offsets.rx, config.rx, entry)?;
        let tx = map(Ring::Tx, XDP_PGOFF_TX_RING, &offsets.tx, config.tx, entry)?;
        let fill = map(
            Ring::Fill,
            XDP_UMEM_PGOFF_FILL_RING,
            &offsets.fill,
            config.fill,
            8,
        )?;
        let page = XDP_UMEM_PGOFF_COMPLETION_RING;
        let completion = map(
            Ring::Completion,
            page,
            &offsets.completion,
            config.completion,
            8,
        )?;
        Ok(Self {
            rx: ConsumerRing::new(rx, &offsets.rx, config.rx).map_err(bad(Ring::Rx))?,
            tx: ProducerRing::new(tx, &offsets.tx, config.tx).map_err(bad(Ring::Tx))?,
            fill: ProducerRing::new(fill, &offsets.fill, config.fill).map_err(bad(Ring::Fill))?,
            completion: ConsumerRing::new(completion, &offsets.completion, config.completion)
                .map_err(bad(Ring::Completion))?,
        })
    }
}

/// Whether a NIC has let go of a queue whose zero-copy socket just closed. The kernel switches the queue off in a worker
/// after the close and only then lets anybody else bind, so a bind that succeeds is the proof.
///
/// `probe` is a bare socket made when the closed one was: it is of the netdev's network namespace, which the calling
/// thread may have left since.
fn queue_is_free(probe: &OwnedFd, name: Name) -> bool {
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
        match sys::bind(probe, XDP_COPY, name.ifindex, name.queue, 0) {
            Ok(()) => return true,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return true,
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return false,
            Err(_) if Instant::now() >= deadline => return false,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
