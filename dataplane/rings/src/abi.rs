//! The kernel's words for AF_XDP, written out here so that the crate builds on any header package.
//!
//! Source: `include/uapi/linux/if_xdp.h`, with the release each later constant came with. Nothing here is interpreted:
//! the values only have to be the kernel's.

/// Socket option level of AF_XDP.
pub(crate) const SOL_XDP: libc::c_int = 283;
/// Address and protocol family.
pub(crate) const AF_XDP: libc::c_int = 44;

pub(crate) const XDP_MMAP_OFFSETS: libc::c_int = 1;
pub(crate) const XDP_RX_RING: libc::c_int = 2;
pub(crate) const XDP_TX_RING: libc::c_int = 3;
pub(crate) const XDP_UMEM_REG: libc::c_int = 4;
pub(crate) const XDP_UMEM_FILL_RING: libc::c_int = 5;
pub(crate) const XDP_UMEM_COMPLETION_RING: libc::c_int = 6;
pub(crate) const XDP_STATISTICS: libc::c_int = 7;
pub(crate) const XDP_OPTIONS: libc::c_int = 8;
/// Packets one `sendto` may send in copy mode; absent before 6.17.
pub(crate) const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// `sxdp_flags` of a bind.
pub(crate) const XDP_SHARED_UMEM: u16 = 1 << 0;
pub(crate) const XDP_COPY: u16 = 1 << 1;
pub(crate) const XDP_ZEROCOPY: u16 = 1 << 2;
pub(crate) const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;
/// Multi-buffer packets; 6.6.
pub(crate) const XDP_USE_SG: u16 = 1 << 4;

/// `flags` of a umem registration: its transmit metadata length is valid; 6.11.
pub(crate) const XDP_UMEM_TX_METADATA_LEN: u32 = 1 << 2;

/// In a ring's flags word: the kernel sleeps and wants a system call.
pub(crate) const XDP_RING_NEED_WAKEUP: u32 = 1 << 0;
/// In [`Options::flags`]: the socket was bound zero-copy.
pub(crate) const XDP_OPTIONS_ZEROCOPY: u32 = 1 << 0;

/// In a descriptor's options: the packet goes on in the next descriptor; 6.6.
pub(crate) const XDP_PKT_CONTD: u32 = 1 << 0;
/// In a descriptor's options: [`TxMetadata`] lies right before the packet; 6.8.
pub(crate) const XDP_TX_METADATA: u32 = 1 << 1;
/// In [`TxMetadata::flags`]: finish the checksum the request names.
pub(crate) const XDP_TXMD_FLAGS_CHECKSUM: u64 = 1 << 1;

pub(crate) const XDP_PGOFF_RX_RING: u64 = 0;
pub(crate) const XDP_PGOFF_TX_RING: u64 = 0x8000_0000;
pub(crate) const XDP_UMEM_PGOFF_FILL_RING: u64 = 0x1_0000_0000;
pub(crate) const XDP_UMEM_PGOFF_COMPLETION_RING: u64 = 0x1_8000_0000;

/// Headroom the kernel keeps in front of every packet it receives (`XDP_PACKET_HEADROOM`).
pub(crate) const XDP_PACKET_HEADROOM: usize = 256;

/// Descriptors the kernel joins into one packet in copy mode: a linear part and `MAX_SKB_FRAGS` (17) fragments. A longer
/// chain is dropped by the kernel *without a completion*, so it must never be offered.
pub(crate) const MAX_SEGMENTS: usize = 18;

/// `struct sockaddr_xdp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SockaddrXdp {
    pub(crate) family: u16,
    pub(crate) flags: u16,
    pub(crate) ifindex: u32,
    pub(crate) queue_id: u32,
    pub(crate) shared_umem_fd: u32,
}

/// `struct xdp_umem_reg`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct UmemReg {
    pub(crate) addr: u64,
    pub(crate) len: u64,
    pub(crate) chunk_size: u32,
    pub(crate) headroom: u32,
    pub(crate) flags: u32,
    pub(crate) tx_metadata_len: u32,
}

/// `struct xdp_ring_offset`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct RingOffset {
    pub(crate) producer: u64,
    pub(crate) consumer: u64,
    pub(crate) desc: u64,
    pub(crate) flags: u64,
}

/// `struct xdp_mmap_offsets`.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct MmapOffsets {
    pub(crate) rx: RingOffset,
    pub(crate) tx: RingOffset,
    pub(crate) fill: RingOffset,
    pub(crate) completion: RingOffset,
}

/// `struct xdp_statistics`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct XdpStatistics {
    pub(crate) rx_dropped: u64,
    pub(crate) rx_invalid_descs: u64,
    pub(crate) tx_invalid_descs: u64,
    pub(crate) rx_ring_full: u64,
    pub(crate) rx_fill_ring_empty_descs: u64,
    pub(crate) tx_ring_empty_descs: u64,
}

/// `struct xdp_options`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) flags: u32,
}

/// `struct xdp_desc`: one segment of a packet.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Desc {
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) options: u32,
}

/// `struct xsk_tx_metadata`, its request half: 24 bytes right before the packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TxMetadata {
    pub(crate) flags: u64,
    pub(crate) csum_start: u16,
    pub(crate) csum_offset: u16,
    pub(crate) unused: u32,
    pub(crate) launch_time: u64,
}

/// Length of [`TxMetadata`], and the part of every slot's headroom that no packet may use: once a umem is registered
/// with metadata, the kernel refuses (and never completes) a descriptor with less room before it.
pub(crate) const TX_METADATA_LEN: usize = size_of::<TxMetadata>();

const _: () = assert!(TX_METADATA_LEN == 24);
const _: () = assert!(size_of::<Desc>() == 16);
const _: () = assert!(size_of::<UmemReg>() == 32);
