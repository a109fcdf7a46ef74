//! Packet memory and the rings shared with the kernel: the only unsafe code of Podlane.
//!
//! Why this crate exists: a frame crosses the switch without a copy of ours, so somebody has to say who may touch a
//! slot of shared memory at any moment. Here that somebody is the type system plus one small table:
//!
//! ```text
//!             take                    transmit                 sent
//!   FramePool ----> Frame (a token) -----------> tx ring -----------> completion ring --+
//!      ^  |                ^                                                            |
//!      |  | settle         | receive                                                    | settle
//!      |  +---> fill ring -+---- rx ring                                                |
//!      +--------------------------------------------------------------------------------+
//! ```
//!
//! * A [`Frame`] is the only way to reach the bytes of a slot, it cannot be copied, and only a [`FramePool`] or a ring
//!   makes one. Whoever holds it owns the bytes.
//! * A slot lent to the kernel is marked with the socket and the ring it was lent through. A descriptor that comes back
//!   becomes a frame only if its slot bears that mark and its bytes lie inside the slot; anything else is counted in
//!   [`Statistics::refused`] and touches nothing. This holds in release builds.
//! * The memory is unmapped only when every slot is home. If one is not (a frame was dropped instead of given back, or
//!   a socket was dropped instead of closed), the mapping is left in place for ever and counted in [`leaked_bytes`]:
//!   lost memory is a fault, a dangling frame would be worse.
//!
//! `unsafe` is allowed here because rings, mappings and socket options cannot be had without it; every other crate of
//! the workspace denies it. Each block answers the contract of what it calls, a bullet per clause.
#![allow(unsafe_code)]

mod abi;
mod burst;
mod checksum;
mod close;
mod config;
mod cursor;
mod device;
mod error;
mod frame;
mod inherit;
mod layout;
mod open;
mod packet_ring;
mod pool;
mod prefetch;
mod promiscuous;
mod ring;
mod siblings;
mod simd;
mod slots;
mod socket;
mod sys;
mod umem;
#[cfg(feature = "xsk-rs")]
pub mod xsk_rs;
mod zeroed;

pub use config::{AskMode, BusyPoll, FrameSize, HugePages, SocketConfig, UmemConfig};
pub use error::{InheritError, NoRoom, QueueId, Ring, SocketError, UmemError};
pub use frame::Frame;
pub use inherit::{Inherited, SocketFacts};
pub use packet_ring::{Hears, PacketRing};
pub use pool::FramePool;
pub use prefetch::{prefetch, prefetch_of};
pub use promiscuous::Promiscuous;
pub use simd::ones_complement_sum;
pub use socket::{InFlight, Mode, Socket, Statistics};
pub use umem::{PageKind, Umem, leaked_bytes};
pub use zeroed::ZeroedSlice;
