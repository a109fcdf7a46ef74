//! Bytes and meaning: one protocol a file, no_std, no unsafe, no panic.
//!
//! Each protocol has two faces. A *view* (`Ipv4<'_>`) borrows bytes that `parse` has checked; its accessors are plain
//! loads at offsets proven while compiling. A *header* (`Ipv4Header`) is a value that `emit` writes. `parse` also
//! returns the payload, cut to the length the header declares, so Ethernet padding never reaches a transport; whatever
//! does not fit is refused with one named [`Malformed`].
//!
//! Nothing here verifies a transport checksum unasked: on a veth they are often unfinished, and [`checksum`] knows how to
//! tell. [`Packet::parse`] walks a whole frame for slow paths, tools and tests; a hot path composes the views itself.
//!
//! ```
//! use podlane_wire::{IpProtocol, Ipv4, Ipv4Header, Malformed};
//!
//! let mut packet = [0; 60];
//! let header = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::UDP, 8);
//! let len = header.emit(&mut packet)?;
//! packet[len..len + 8].copy_from_slice(&[0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
//!
//! let (ipv4, payload) = Ipv4::parse(&packet).expect("the header was just written");
//! assert_eq!((ipv4.header(), payload.len()), (header, 8)); // 32 bytes of padding are cut off
//! assert_eq!(ipv4.verify_checksum(), Ok(()));
//! assert_eq!(Ipv4::parse(&packet[..27]), Err(Malformed::Ipv4TotalLengthTooLong));
//! # Ok::<(), podlane_wire::NoRoom>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::unreachable)
)]

#[cfg(test)]
extern crate std;

mod addr;
pub mod arp;
pub mod checksum;
mod emit;
pub mod ethernet;
mod field;
pub mod geneve;
mod group_record;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
mod ip;
pub mod ipv4;
pub mod ipv6;
mod malformed;
pub mod mld;
pub mod ndp;
mod options;
mod packet;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vxlan;

pub use addr::{BadMacAddr, MacAddr};
pub use arp::{Arp, ArpHeader, ArpOperation};
pub use checksum::Sum;
pub use emit::{NoRoom, OptionBytes};
pub use ethernet::{EtherType, Ethernet, EthernetHeader};
pub use geneve::{Geneve, GeneveHeader};
pub use group_record::{GroupRecord, GroupRecords, Querier, RecordKind};
pub use icmpv4::{Icmpv4, Icmpv4Header, Icmpv4Type};
pub use icmpv6::{Icmpv6, Icmpv6Header, Icmpv6Type};
pub use igmp::{Igmp, IgmpQuery};
pub use ip::IpProtocol;
pub use ipv4::{Ipv4, Ipv4Header};
pub use ipv6::{Ipv6, Ipv6Fragment, Ipv6Header, Upper};
pub use malformed::Malformed;
pub use mld::{Mld, MldQuery};
pub use ndp::{NdOption, NeighbourDiscovery};
pub use packet::{Network, Packet, Transport};
pub use sctp::{Sctp, SctpHeader};
pub use tcp::{Tcp, TcpFlags, TcpHeader};
pub use udp::{Udp, UdpHeader};
pub use vlan::{VlanTag, VlanTags};
pub use vxlan::{Vxlan, VxlanHeader};
