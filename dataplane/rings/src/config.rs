//! What a caller asks for: sizes, modes and limits, each with its default and the reason for it.

use crate::error::QueueId;

/// Bytes of one slot of packet memory. Only these two, because the kernel refuses a chunk larger than a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameSize {
    /// 2,048 bytes: a 1,500-byte packet with headroom and an outer header. Half the memory and cache of the other.
    #[default]
    Bytes2048,
    /// 4,096 bytes: jumbo packets in fewer segments (3,840 bytes in each).
    Bytes4096,
}

impl FrameSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.shift()
    }

    pub(crate) const fn shift(self) -> u32 {
        match self {
            Self::Bytes2048 => 11,
            Self::Bytes4096 => 12,
        }
    }
}

/// Whether to ask for huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Reserved huge pages if the host has enough of them; else ordinary pages that the kernel is advised to merge.
    #[default]
    Prefer,
    /// Ordinary pages and no advice.
    Never,
}

/// Packet memory to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UmemConfig {
    /// Slots; each holds one packet, or one segment of a jumbo packet.
    pub frames: u32,
    /// Bytes of a slot.
    pub frame_size: FrameSize,
    /// Which pages to ask for.
    pub huge_pages: HugePages,
}

impl Default for UmemConfig {
    /// 16,384 slots of 2 KiB (32 MiB): two sockets with all four rings at 2,048 and a worker's bursts beside them.
    fn default() -> Self {
        Self { frames: 16_384, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Prefer }
    }
}

/// How a socket may be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskMode {
    /// Zero-copy if the netdev has it, else copy; [`Socket::mode`](crate::Socket::mode) tells which it became.
    #[default]
    Auto,
    /// Zero-copy or an error.
    ZeroCopy,
    /// Copy, also where zero-copy would work.
    Copy,
}

/// Busy polling of the netdev's NAPI from our own system calls, for a NIC whose interrupts would land elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// Longest poll of one call (`SO_BUSY_POLL`).
    pub microseconds: u32,
    /// Packets of one poll (`SO_BUSY_POLL_BUDGET`).
    pub budget: u16,
}

/// One AF_XDP socket to open: a queue of a netdev and four rings.
///
/// Ring sizes are powers of two. 2,048 is where TCP through copy mode stopped gaining (512: a fifth slower).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// The netdev, as numbered in the calling thread's network namespace.
    pub ifindex: u32,
    /// The netdev's receive and transmit queue.
    pub queue: u32,
    /// Descriptors of the rx ring.
    pub rx: u32,
    /// Descriptors of the tx ring.
    pub tx: u32,
    /// Addresses of the fill ring: as many frames of the pool stay lent to the kernel.
    pub fill: u32,
    /// Addresses of the completion ring.
    pub completion: u32,
    /// Zero-copy, copy or whichever works.
    pub mode: AskMode,
    /// Receive and send packets of more than one segment. Without it the kernel drops them in silence. Ask for it where the
    /// MTU is larger than a slot holds: a NIC without multi-buffer zero-copy (`virtio_net`) is bound in copy mode with it.
    pub multi_buffer: bool,
    /// Register the memory with transmit metadata, so that the kernel or NIC finishes checksums. Where it cannot,
    /// [`Socket::transmit`](crate::Socket::transmit) finishes them in software.
    pub checksum_offload: bool,
    /// Packets one system call may send in copy mode. `None`: 256 where the kernel can be told (6.17), else its own 32.
    pub tx_budget: Option<u32>,
    /// Poll the netdev from this socket's system calls.
    pub busy_poll: Option<BusyPoll>,
}

impl SocketConfig {
    /// The defaults for one queue of one netdev.
    #[must_use]
    pub fn new(ifindex: u32, queue: u32) -> Self {
        Self { ifindex, queue, ..Self::default() }
    }
}

impl SocketConfig {
    pub(crate) fn at(&self) -> QueueId {
        QueueId { ifindex: self.ifindex, queue: self.queue }
    }
}

impl Default for SocketConfig {
    /// Rings of 2,048, any mode, multi-buffer and checksum offload asked for; no netdev: name one.
    fn default() -> Self {
        Self {
            ifindex: 0,
            queue: 0,
            rx: 2048,
            tx: 2048,
            fill: 2048,
            completion: 2048,
            mode: AskMode::Auto,
            multi_buffer: true,
            checksum_offload: true,
            tx_budget: None,
            busy_poll: None,
        }
    }
}
