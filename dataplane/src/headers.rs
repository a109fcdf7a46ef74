//! The numbers of header fields, as the packet path computes with them: lengths in bytes, types and protocols as they stand in a packet.
//!
//! The wire crate names them for those who parse with it; the stages read fields at fixed offsets.

use podlane_wire::{EtherType, Ethernet, IpProtocol, Ipv4, Ipv6, Udp, VlanTag};

/// An Ethernet header.
pub(crate) const ETHERNET: usize = Ethernet::LEN;
/// A VLAN tag.
pub(crate) const VLAN_TAG: usize = VlanTag::LEN;
/// An IPv4 header without options.
pub(crate) const IPV4: usize = Ipv4::LEN;
/// An IPv6 header without extensions.
pub(crate) const IPV6: usize = Ipv6::LEN;
/// A UDP header.
pub(crate) const UDP_HEADER: usize = Udp::LEN;

/// The EtherType of IPv4.
pub(crate) const TYPE_IPV4: u16 = EtherType::IPV4.0;
/// The EtherType of ARP.
pub(crate) const TYPE_ARP: u16 = EtherType::ARP.0;
/// The EtherType of an 802.1Q tag.
pub(crate) const TYPE_VLAN: u16 = EtherType::VLAN.0;
/// The EtherType of IPv6.
pub(crate) const TYPE_IPV6: u16 = EtherType::IPV6.0;
/// The EtherType of an 802.1ad tag.
pub(crate) const TYPE_SERVICE_VLAN: u16 = EtherType::PROVIDER_VLAN.0;

/// ICMP's protocol number.
pub(crate) const ICMP: u8 = IpProtocol::ICMPV4.0;
/// TCP's.
pub(crate) const TCP: u8 = IpProtocol::TCP.0;
/// UDP's.
pub(crate) const UDP: u8 = IpProtocol::UDP.0;
/// ICMPv6's.
pub(crate) const ICMPV6: u8 = IpProtocol::ICMPV6.0;
/// SCTP's.
pub(crate) const SCTP: u8 = IpProtocol::SCTP.0;

/// IPv4's "don't fragment" flag, in the word it shares with the offset.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
/// All of that word that a fragment has: more fragments, or an offset.
pub(crate) const FRAGMENT: u16 = 0x3fff;

/// EtherType, version and header length of plain IPv4, as the 32 bits at the EtherType of an untagged frame.
pub(crate) const PLAIN_IPV4: u32 = (TYPE_IPV4 as u32) << 16 | 0x4500;
/// What of those bits says that IPv4 is plain.
pub(crate) const PLAIN_IPV4_MASK: u32 = 0xffff_ff00;
/// The same for IPv6.
pub(crate) const PLAIN_IPV6: u32 = (TYPE_IPV6 as u32) << 16 | 0x6000;
/// What of those bits says that IPv6 is plain.
pub(crate) const PLAIN_IPV6_MASK: u32 = 0xffff_f000;
