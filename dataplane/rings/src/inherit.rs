//! Going on with the packet memory and the sockets of another process: a former daemon hands over, its heir takes over.
//!
//! ```text
//!   former                                         heir
//!   memory file, sockets, SocketFacts ---------->  Umem::inherit, Inherited::of: mapped, and touched by nobody
//!   turns no more
//!   FramePool::marks, Socket::pause ------------>  FramePool::take_over: frames, and sockets that can be turned
//! ```
//!
//! The kernel keeps a bound socket, its rings and the pages of its memory as long as anybody has a descriptor of it, so nothing is
//! opened anew and no packet in a ring is lost. What is not in shared memory is which slot is lent through which ring: the marks.
//! They are all there is to hand over, for a former process that has no frame in its hands: what bears no mark is free, and what
//! a socket has lent is what bears its mark.
//!
//! What a former process says is an allegation. Ring sizes are held against the kernel's own mapping, marks against the rings, and a
//! slot has one mark, so no two owners. A former process that lies, or turns on, can spoil packets, as the kernel can; it cannot have
//! the heir touch anything but its packet memory.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use memmap2::MmapOptions;

use crate::abi::{AF_XDP, MAX_SEGMENTS};
use crate::config::{SocketConfig, UmemConfig};
use crate::error::{InheritError, QueueId, SocketError, UmemError};
use crate::layout::{Rings, check_sizes};
use crate::pool::FramePool;
use crate::siblings::Group;
use crate::slots::{Slots, SocketNumber};
use crate::socket::Socket;
use crate::sys;
use crate::umem::{PageKind, Region, Umem};

/// What has to be known of a socket to go on with it; its descriptor comes beside it, and of a zero-copy socket a second one, its
/// probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFacts {
    /// The netdev it is bound to, as numbered in its network namespace.
    pub ifindex: u32,
    /// The netdev's queue.
    pub queue: u32,
    /// Entries of the rx, tx, fill and completion rings.
    pub rings: [u32; 4],
    /// What it goes by in the marks of its memory.
    pub number: u32,
    /// Whether the NIC reads and writes packet memory itself.
    pub zero_copy: bool,
    /// Whether it was bound for packets of several segments.
    pub multi_buffer: bool,
    /// Whether its memory was registered with transmit metadata.
    pub metadata: bool,
    /// Whether the kernel or the NIC finishes checksums.
    pub offload: bool,
    /// Whether it polls the netdev.
    pub busy_poll: bool,
    /// Segments a packet may have.
    pub max_segments: u32,
    /// Packets that one system call sends.
    pub tx_budget: u32,
    /// System calls one burst may take.
    pub max_kicks: u32,
    /// Whether the rest of a packet that was given up is still to come.
    pub skipping: bool,
    /// What was refused, could not be sent, and woke the kernel so far.
    pub counts: [u64; 3],
}

impl Umem {
    /// Maps the packet memory of a former process. Its pool is empty until [`FramePool::take_over`].
    ///
    /// # Errors
    /// [`UmemError`] if the file is none, or shorter than so many frames take.
    pub fn inherit(file: OwnedFd, config: &UmemConfig) -> Result<(Self, FramePool), UmemError> {
        if config.frames == 0 || config.frames > Self::MAX_FRAMES {
            return Err(UmemError::Frames { frames: config.frames, limit: Self::MAX_FRAMES });
        }
        let file = File::from(file);
        let bytes = config.frames as usize * config.frame_size.bytes();
        let refused = |source| UmemError::Map { bytes, source };
        sys::check_memory_file(&file, bytes).map_err(refused)?;
        // Populated, so that the first packets do not wait for its pages.
        let map = MmapOptions::new().len(bytes).populate().map_raw(&file).map_err(refused)?;
        let region = Region {
            map: ManuallyDrop::new(map),
            file,
            frames: config.frames,
            size: config.frame_size,
            pages: PageKind::Inherited,
            slots: Slots::new(config.frames),
            all_home: AtomicBool::new(false),
        };
        let umem = Self { region: Arc::new(region) };
        let pool = FramePool::empty(umem.clone());
        Ok((umem, pool))
    }
}

impl Socket {
    /// What an heir has to know of it.
    #[must_use]
    pub fn facts(&self) -> SocketFacts {
        SocketFacts {
            ifindex: self.at.ifindex,
            queue: self.at.queue,
            rings: [self.rx.size(), self.tx.size(), self.fill.size(), self.completion.size()],
            number: self.number.get(),
            zero_copy: self.zero_copy,
            multi_buffer: self.group.multi_buffer,
            metadata: self.group.metadata,
            offload: self.offload,
            busy_poll: self.busy_poll,
            max_segments: self.max_segments as u32,
            tx_budget: self.tx_budget,
            max_kicks: self.max_kicks,
            skipping: self.skipping,
            counts: [self.refused, self.unsendable, self.wakeups],
        }
    }

    /// Its descriptor, and its probe's where it has one: for an heir.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        [Some(self.fd.as_fd()), self.probe.as_ref().map(AsFd::as_fd)]
            .into_iter()
            .flatten()
            .map(|fd| fd.try_clone_to_owned())
            .collect()
    }

    /// Has no frame in hand between two packets: a packet that has come in part is given up, and its rest skipped.
    ///
    /// # Panics
    /// If the pool is of another memory.
    pub fn pause(&mut self, pool: &mut FramePool) {
        self.expect_own(pool);
        if let Some(partial) = self.partial.take() {
            pool.give(partial.head);
            self.skipping = true;
        }
    }
}

/// A socket of a former process, mapped and not to be touched before [`FramePool::take_over`].
#[derive(Debug)]
pub struct Inherited(Socket);

impl Inherited {
    /// Maps the rings of a socket on this pool's memory.
    ///
    /// # Errors
    /// [`SocketError`]: what was said of it cannot be so, or the kernel refuses.
    pub fn of(pool: &FramePool, facts: &SocketFacts, descriptors: Vec<OwnedFd>) -> Result<Self, SocketError> {
        let at = QueueId { ifindex: facts.ifindex, queue: facts.queue };
        let untrue = |what| SocketError::Inherited { at, what };
        let number = SocketNumber::new(facts.number).ok_or_else(|| untrue("its number is none"))?;
        let mut descriptors = descriptors.into_iter();
        let fd = descriptors.next().ok_or_else(|| untrue("it has no descriptor"))?;
        let probe = descriptors.next();
        if probe.is_some() != facts.zero_copy || descriptors.next().is_some() {
            return Err(untrue("it has other descriptors than a socket of its mode"));
        }
        for fd in [Some(&fd), probe.as_ref()].into_iter().flatten() {
            let domain = sys::option::<libc::c_int>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN);
            if !domain.is_ok_and(|(domain, _)| domain == AF_XDP) {
                return Err(untrue("its descriptor is no AF_XDP socket"));
            }
        }
        let [rx, tx, fill, completion] = facts.rings;
        let config = SocketConfig { rx, tx, fill, completion, ..SocketConfig::new(facts.ifindex, facts.queue) };
        check_sizes(&config)?;
        let Rings { rx, tx, fill, completion } = Rings::of_bound(&fd, &config)?;
        let SocketFacts { zero_copy, multi_buffer, metadata, .. } = *facts;
        Ok(Self(Socket {
            rx,
            tx,
            fill,
            completion,
            umem: pool.umem().clone(),
            number,
            fill_lent: 0,
            tx_lent: 0,
            fill_target: config.fill,
            // Whether the kernel was told of all is not known: one call too many does no harm.
            unsent: true,
            zero_copy,
            offload: facts.offload,
            busy_poll: facts.busy_poll,
            skipping: facts.skipping,
            max_segments: (facts.max_segments as usize).clamp(1, MAX_SEGMENTS),
            max_kicks: facts.max_kicks.clamp(1, config.tx),
            tx_budget: facts.tx_budget,
            refused: facts.counts[0],
            unsendable: facts.counts[1],
            wakeups: facts.counts[2],
            partial: None,
            gone: AtomicBool::new(false),
            at,
            group: Group { zero_copy, multi_buffer, metadata },
            probe,
            fd: Arc::new(fd),
        }))
    }
}

impl Inherited {
    /// What was said of it.
    #[must_use]
    pub fn facts(&self) -> SocketFacts {
        self.0.facts()
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl FramePool {
    /// Who has each slot, for an heir. All frames of this memory must be at home, in this pool or in those it lent.
    #[must_use]
    pub fn marks(&self) -> Vec<u16> {
        self.umem().region.slots.marks()
    }

    /// Takes over a memory whose former process turns no more: the slots that nobody has become this pool's, and each
    /// socket has what its marks say. Slots that were lent to a socket which is not among these are lost; how many, is returned.
    ///
    /// Call it once, on the pool that [`Umem::inherit`] made. `skipping` says of each socket whether the rest of a packet is to be
    /// skipped, as known since it was paused.
    ///
    /// # Errors
    /// [`InheritError`]: the marks cannot be true. Nothing has changed then.
    pub fn take_over(
        &mut self,
        marks: &[u16],
        sockets: Vec<(Inherited, bool)>,
    ) -> Result<(Vec<Socket>, usize), InheritError> {
        let frames = self.total();
        if marks.len() != frames || self.free() > 0 {
            return Err(InheritError::Marks { marks: marks.len(), frames });
        }
        let mut lent = vec![None; SocketNumber::LIMIT as usize];
        for (Inherited(socket), _) in &sockets {
            self.check_own(socket)?;
            if lent[socket.number.get() as usize].replace((0u32, 0u32)).is_some() {
                return Err(InheritError::Twice { at: socket.at });
            }
        }
        let lost = Slots::count(marks, &mut lent);
        let mut ours = Vec::with_capacity(sockets.len());
        for (Inherited(mut socket), skipping) in sockets {
            let (fill, tx) = lent[socket.number.get() as usize].unwrap_or_default();
            if fill > socket.fill_target {
                return Err(InheritError::Fill { at: socket.at, lent: fill, ring: socket.fill_target });
            }
            (socket.fill_lent, socket.tx_lent, socket.skipping) = (fill, tx, skipping);
            // They were mapped while the former process still moved them.
            socket.rx.catch_up();
            socket.tx.catch_up();
            socket.fill.catch_up();
            socket.completion.catch_up();
            ours.push(socket);
        }
        let umem = self.umem().clone();
        umem.region.slots.inherit(marks, |slot| self.give_slot(slot));
        let mut siblings = self.siblings();
        ours.iter().for_each(|socket| siblings.join(socket.group, &socket.fd));
        siblings.number_from(
            Slots::first_unused(marks).max(ours.iter().map(|socket| socket.number.get() + 1).max().unwrap_or(0)),
        );
        drop(siblings);
        Ok((ours, lost))
    }

    fn check_own(&self, socket: &Socket) -> Result<(), InheritError> {
        let own = Arc::ptr_eq(&socket.umem.region, &self.umem().region);
        if own { Ok(()) } else { Err(InheritError::Elsewhere { at: socket.at }) }
    }
}

#[cfg(test)]
mod tests;
