//! What can go wrong while memory is made or a socket is opened, each with the object it met and what to do about it.

use std::fmt;
use std::io;

/// A push, pop or resize that the slot has no room for. The frame is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame has room for {room} bytes here, not {wanted}")]
pub struct NoRoom {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes there were.
    pub room: usize,
}

/// One queue of one netdev, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueId {
    /// The netdev, as numbered in the network namespace the socket was opened in.
    pub ifindex: u32,
    /// Its receive and transmit queue.
    pub queue: u32,
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {} queue {}", self.ifindex, self.queue)
    }
}

/// One of a socket's four rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Received packets.
    Rx,
    /// Packets to send.
    Tx,
    /// Empty frames for the kernel to fill.
    Fill,
    /// Sent frames coming back.
    Completion,
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Fill => "fill",
            Self::Completion => "completion",
        })
    }
}

/// Why packet memory could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UmemError {
    /// The frame count is zero or would not fit the address space of descriptors.
    #[error("packet memory of {frames} frames: ask for 1 to {limit}")]
    Frames {
        /// Frames asked for.
        frames: u32,
        /// Most frames there may be.
        limit: u32,
    },
    /// The memory file could not be made or sized.
    #[error("packet memory of {bytes} bytes: the memory file failed: {source}; free memory or lower `frames`")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The memory file could not be mapped.
    #[error("packet memory of {bytes} bytes: mapping failed: {source}; free memory or lower `frames`")]
    Map {
        /// Bytes asked for.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why a socket could not be opened or can no longer be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// What a former process said of its socket cannot be so.
    #[error(
        "{at}: the socket that was handed over cannot be gone on with: {what}; stop the former daemon, and start this one anew"
    )]
    Inherited {
        /// Where it is said to be bound.
        at: QueueId,
        /// Why.
        what: &'static str,
    },
    /// A ring's size is not a power of two the kernel takes.
    #[error("{at}: a {ring} ring of {asked} is refused; take a power of two from 2 to {limit}")]
    RingSize {
        /// The netdev and queue.
        at: QueueId,
        /// Which ring.
        ring: Ring,
        /// Entries asked for.
        asked: u32,
        /// Most entries there may be.
        limit: u32,
    },
    /// More sockets on one packet memory than slot marks can tell apart.
    #[error(
        "{at}: this packet memory already served {limit} sockets that were not closed; close sockets or use another memory"
    )]
    TooManySockets {
        /// The netdev and queue.
        at: QueueId,
        /// Most sockets there may be.
        limit: u32,
    },
    /// The kernel gives no AF_XDP socket at all.
    #[error("{at}: no AF_XDP socket: {source}; it takes root (CAP_NET_RAW) and a kernel with CONFIG_XDP_SOCKETS")]
    Create {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel does not take the packet memory.
    #[error(
        "{at}: the kernel does not take {bytes} bytes of packet memory: {source}; raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity), grant CAP_IPC_LOCK, or lower `frames`"
    )]
    Register {
        /// The netdev and queue.
        at: QueueId,
        /// Bytes offered.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A ring could not be made or mapped.
    #[error("{at}: the {ring} ring failed: {source}; free memory or make it smaller")]
    RingSetup {
        /// The netdev and queue.
        at: QueueId,
        /// Which ring.
        ring: Ring,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's description of a ring contradicts the mapping; nothing was read through it.
    #[error(
        "{at}: the kernel describes its {ring} ring with offsets outside or across it; AF_XDP needs Linux 5.4 or later"
    )]
    RingOffsets {
        /// The netdev and queue.
        at: QueueId,
        /// Which ring.
        ring: Ring,
    },
    /// A socket option was refused.
    #[error("{at}: socket option {option} was refused: {source}; leave it at its default")]
    Option {
        /// The netdev and queue.
        at: QueueId,
        /// The option's name in the kernel.
        option: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody else has the queue, or its last owner was not gone in time.
    #[error(
        "{at}: another AF_XDP socket still has it after {waited_ms} ms; stop the other program, or use another queue"
    )]
    Busy {
        /// The netdev and queue.
        at: QueueId,
        /// Milliseconds spent trying.
        waited_ms: u64,
    },
    /// The netdev has no zero-copy and only zero-copy was asked for.
    #[error("{at}: no zero-copy here ({source}); ask for `auto` or `copy`")]
    NoZeroCopy {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The netdev has no such queue.
    #[error("{at} does not exist ({source}); the interface needs a receive and a transmit queue of that number")]
    NoQueue {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The netdev does not exist in this network namespace.
    #[error("{at}: the interface does not exist in this network namespace; look its number up again")]
    NoDevice {
        /// The netdev and queue.
        at: QueueId,
    },
    /// The bind failed for another reason.
    #[error(
        "{at}: bind failed: {source}; check that it is up and takes XDP, and that multi-buffer is off before Linux 6.6"
    )]
    Bind {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// libxdp could not put its program on the netdev.
    #[cfg(feature = "xsk-rs")]
    #[error(
        "{at}: libxdp cannot steer here: {source}; let podlane steer by a program of its own, or see that libxdp's tools (xdp-loader) work on this host"
    )]
    LibxdpProgram {
        /// The netdev and queue.
        at: QueueId,
        /// libxdp's answer.
        source: io::Error,
    },
    /// The netdev cannot be made promiscuous.
    #[error(
        "interface {ifindex} cannot be made to hear every address: {source}; it takes root (CAP_NET_RAW) and an interface that is there"
    )]
    Promiscuous {
        /// The netdev.
        ifindex: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What the netdev hears that is for everyone cannot be had.
    #[error(
        "interface {ifindex}: its broadcast and multicast cannot be heard: {source}; it takes root (CAP_NET_RAW), a megabyte of kernel memory and an interface that is there"
    )]
    PacketRing {
        /// The netdev.
        ifindex: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The netdev was deleted under the socket: close it.
    #[error("{at}: the device is gone; close the port")]
    DeviceGone {
        /// The netdev and queue.
        at: QueueId,
    },
    /// The kernel refuses to send or receive for a reason that will not pass by itself.
    #[error("{at}: the kernel answers {source} when woken; close the port and open it again")]
    Wake {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel does not tell its statistics.
    #[error("{at}: statistics failed: {source}; the socket may be closed")]
    Statistics {
        /// The netdev and queue.
        at: QueueId,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why the marks of a former process's memory are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// There are not as many as slots.
    #[error("a packet memory of {frames} frames was handed over with {marks} marks")]
    Marks {
        /// The marks.
        marks: usize,
        /// The slots.
        frames: usize,
    },
    /// Two sockets go by one number.
    #[error("{at}: its socket was handed over under the number of another one")]
    Twice {
        /// One of them.
        at: QueueId,
    },
    /// A socket is of another memory.
    #[error("{at}: its socket was handed over with another packet memory")]
    Elsewhere {
        /// The socket.
        at: QueueId,
    },
    /// More is lent through a fill ring than it holds.
    #[error("{at}: {lent} frames are marked as lent through a fill ring of {ring}")]
    Fill {
        /// The socket.
        at: QueueId,
        /// So many bear its mark.
        lent: u32,
        /// What the ring holds.
        ring: u32,
    },
}
