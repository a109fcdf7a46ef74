//! What a netdev hears that is for everyone: a packet socket's ring of copies that the kernel made.
//!
//! An uplink that pods share with the host must bring broadcast and multicast to both. An XDP program cannot copy a frame, so it
//! leaves them to the kernel, and the kernel copies them here before its own stack has them. So whatever becomes of us, the host
//! hears all that is meant for it. Refused: claiming such frames and giving them back to the host, which would leave it deaf,
//! unable to answer ARP, while a worker is stuck; and a tc program that copies them into a veth, which costs a device, a program
//! and its clean-up for a few frames a second.
//!
//! ```text
//!   slot:  kernel's --(a frame was copied in, status: user)--> ours --(we copied it out, status: kernel)--> kernel's
//! ```
//!
//! A look at an empty ring is one load, no system call. The slots are in order; who finds one that is the kernel's has seen all.
//! Source: `Documentation/networking/packet_mmap.rst`, version 2 of the ring's headers, and `include/uapi/linux/if_packet.h`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::error::SocketError;
use crate::frame::Frame;
use crate::pool::FramePool;
use crate::sys;

/// Which addresses a netdev is to hear beside its own and everyone's, as far as its filter has a say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hears {
    /// Every group: stations that share its address listen to groups it knows nothing of.
    Groups,
    /// Every address at all: stations have addresses of their own.
    All,
}

/// The ring's memory. What arrives in a burst waits here: room for 512 frames of the usual size.
const BYTES: usize = 1 << 20;
/// What the kernel allocates in one piece.
const BLOCK: usize = 1 << 16;
/// Slots that a ring for the longest frames has at least.
const FEWEST: usize = 16;
/// Room in a slot beside the IP packet: the kernel's header and address, the Ethernet header, alignment.
const OVERHEAD: usize = 128;
/// The smallest slot: no frame of the usual MTU is longer.
const SMALLEST: usize = 2048;

const ADDRESSES: usize = 12;
const ETHERNET: usize = 14;
const VLAN: u16 = 0x8100;

// A classic filter: frames whose destination has the group bit, whole. The rest is the kernel's alone.
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
const ONLY_GROUPS: [libc::sock_filter; 4] = [
    libc::sock_filter { code: LOAD_BYTE, jt: 0, jf: 0, k: 0 },
    libc::sock_filter { code: JUMP_IF_SET, jt: 0, jf: 1, k: 1 },
    libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX },
    libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 },
];

/// Copies of the frames a netdev hears that are for everyone. Closed when dropped.
pub struct PacketRing {
    socket: OwnedFd,
    map: MmapRaw,
    slot_bytes: usize,
    slots: usize,
    /// The slot that is filled next.
    next: usize,
    /// Frames that found no room: no slot, no frame of ours, or one too short for them.
    lost: AtomicU64,
}

/// A kernel's header, read once.
#[derive(Clone, Copy)]
struct Header {
    status: u32,
    /// Bytes of the frame, and those of them that are in the slot.
    length: u32,
    kept: u32,
    /// Where they begin.
    start: u16,
    tag: u16,
    tag_type: u16,
}

impl PacketRing {
    /// For a netdev of the calling thread's network namespace, whose longest IP packet is `mtu` bytes.
    ///
    /// # Errors
    /// [`SocketError::PacketRing`] with the kernel's answer.
    pub fn open(ifindex: u32, mtu: u32, hears: Hears) -> Result<Self, SocketError> {
        Self::make(ifindex, mtu, hears).map_err(|source| SocketError::PacketRing { ifindex, source })
    }

    fn make(ifindex: u32, mtu: u32, hears: Hears) -> io::Result<Self> {
        // Protocol 0: nothing arrives before the socket is bound, so nothing passes it by that the filter should keep out.
        let socket = sys::socket(libc::AF_PACKET, 0)?;
        sys::attach_filter(&socket, &ONLY_GROUPS)?;
        let one: libc::c_int = 1;
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        // What the host says to everyone does not come back to its own uplink: as with macvlan, pods do not hear it.
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &one)?;
        let slot_bytes = (mtu as usize + OVERHEAD).next_power_of_two().max(SMALLEST);
        let slots = (BYTES / slot_bytes).max(FEWEST);
        let block = BLOCK.max(slot_bytes);
        let blocks = slots * slot_bytes / block;
        let request = libc::tpacket_req {
            tp_block_size: block as libc::c_uint,
            tp_block_nr: blocks as libc::c_uint,
            tp_frame_size: slot_bytes as libc::c_uint,
            tp_frame_nr: slots as libc::c_uint,
        };
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let map = MmapOptions::new().len(blocks * block).map_raw(socket.as_raw_fd())?;
        let membership = libc::packet_mreq {
            mr_ifindex: ifindex as libc::c_int,
            mr_type: match hears {
                Hears::Groups => libc::PACKET_MR_ALLMULTI,
                Hears::All => libc::PACKET_MR_PROMISC,
            } as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        sys::bind_packet(&socket, ifindex)?;
        Ok(Self { socket, map, slot_bytes, slots, next: 0, lost: AtomicU64::new(0) })
    }

    /// Copies what was heard into frames of `pool`, at most `room` of them, and gives each to `take`. Never waits.
    pub fn receive(&mut self, pool: &mut FramePool, room: usize, mut take: impl FnMut(Frame)) {
        for _ in 0..room {
            if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            let header = self.header();
            match self.bytes(&header).and_then(|bytes| copy(pool, bytes, &header)) {
                Some(frame) => take(frame),
                None => drop(self.lost.fetch_add(1, Ordering::Relaxed)),
            }
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % self.slots;
        }
    }

    /// Frames that were for everyone and found no room here. The host has them all the same.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // The kernel's count begins anew when it is read.
        if let Ok(drops) = sys::packet_drops(&self.socket) {
            self.lost.fetch_add(drops.into(), Ordering::Relaxed);
        }
        self.lost.load(Ordering::Relaxed)
    }

    fn slot(&self) -> *mut u8 {
        // SAFETY:
        // * `next` is below `slots`, and that many slots lie inside the mapping.
        unsafe { self.map.as_mut_ptr().add(self.next * self.slot_bytes) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY:
        // * A slot begins with its status word, aligned with the slot; the mapping lives as long as `self`.
        // * The kernel writes it atomically, and so do we.
        unsafe { AtomicU32::from_ptr(self.slot().cast()) }
    }

    /// The header of a slot that is ours.
    fn header(&self) -> Header {
        // SAFETY:
        // * A slot is longer than a header and aligned for it; integers are values whatever is written.
        // * The slot is ours, so nobody writes to it. Of the status word a copy is read, which only we may change now.
        let header = unsafe { self.slot().cast::<libc::tpacket2_hdr>().read_volatile() };
        Header {
            status: header.tp_status,
            length: header.tp_len,
            kept: header.tp_snaplen,
            start: header.tp_mac,
            tag: header.tp_vlan_tci,
            tag_type: header.tp_vlan_tpid,
        }
    }

    /// The whole frame in a slot that is ours; `None` where it does not lie inside, or is cut.
    fn bytes(&self, header: &Header) -> Option<&[u8]> {
        let (start, kept) = (usize::from(header.start), header.kept as usize);
        let is_inside = start >= size_of::<libc::tpacket2_hdr>() && start + kept <= self.slot_bytes;
        if !is_inside || header.kept < header.length || kept < ETHERNET {
            return None;
        }
        // SAFETY:
        // * Checked above: the bytes lie behind the header and inside the slot, and the slot inside the mapping.
        // * The slot is ours until the status is given back, which takes `&mut self` or ends this borrow.
        Some(unsafe { std::slice::from_raw_parts(self.slot().add(start), kept) })
    }
}

/// The frame as it was on the wire: the kernel keeps its tag beside it.
fn copy(pool: &mut FramePool, bytes: &[u8], header: &Header) -> Option<Frame> {
    if header.status & libc::TP_STATUS_VLAN_VALID == 0 {
        return pool.write_packet(bytes);
    }
    let is_told = header.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let [a, b] = if is_told { header.tag_type } else { VLAN }.to_be_bytes();
    let [c, d] = header.tag.to_be_bytes();
    let (addresses, rest) = bytes.split_at(ADDRESSES);
    pool.write_pieces(&[addresses, &[a, b, c, d], rest])
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for PacketRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketRing").field("slots", &self.slots).field("next", &self.next).finish_non_exhaustive()
    }
}
