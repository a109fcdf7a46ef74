//! A whole frame, walked from Ethernet to the transport's payload, for slow paths, tools and tests.
//!
//! ```text
//! | Ethernet | 0-2 tags | ARP, IPv4 or IPv6 + extensions | transport header | payload | padding |
//! 0                     network_at                       transport_at       payload.start     payload.end
//! ```
//!
//! The hot path does not come through here: it takes only the fields of its flow key, in one pass, with the same views.

use crate::arp::Arp;
use crate::ethernet::{EtherType, Ethernet};
use crate::icmpv4::Icmpv4;
use crate::icmpv6::Icmpv6;
use crate::ip::IpProtocol;
use crate::ipv4::Ipv4;
use crate::ipv6::{Ipv6, Upper};
use crate::malformed::Malformed;
use crate::sctp::Sctp;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::vlan::{VlanTag, VlanTags};
use core::net::IpAddr;
use core::ops::Range;

/// A frame whose every header was checked. Checksums were not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The Ethernet header.
    pub ethernet: Ethernet<'a>,
    /// VLAN tags, if any.
    pub tags: VlanTags,
    /// The type after the tags.
    pub ethertype: EtherType,
    /// The network header.
    pub network: Network<'a>,
    /// The transport header.
    pub transport: Transport<'a>,
    /// Where the network header starts: the length of Ethernet header and tags.
    pub network_at: usize,
    /// Where the transport header starts, or the payload when there is none.
    pub transport_at: usize,
    /// Where the payload lies in the frame; padding is not in it.
    pub payload: Range<usize>,
}

/// A network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network<'a> {
    /// ARP for IPv4 on Ethernet.
    Arp(Arp<'a>),
    /// IPv4.
    Ipv4(Ipv4<'a>),
    /// IPv6, and what its extension headers led to.
    Ipv6(Ipv6<'a>, Upper<'a>),
    /// Anything else, by the EtherType.
    Other,
}

/// A transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP.
    Udp(Udp<'a>),
    /// SCTP.
    Sctp(Sctp<'a>),
    /// ICMP over IPv4.
    Icmpv4(Icmpv4<'a>),
    /// ICMPv6.
    Icmpv6(Icmpv6<'a>),
    /// A fragment other than the first: its ports are in another packet.
    LaterFragment(IpProtocol),
    /// Another protocol over IP.
    Other(IpProtocol),
    /// The frame is not IP.
    None,
}

impl<'a> Packet<'a> {
    /// Walks `frame`, which starts with an Ethernet header.
    ///
    /// # Errors
    /// The first thing that is wrong, outermost first.
    pub fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let (ethernet, rest) = Ethernet::parse(frame)?;
        let (tags, ethertype, rest) = VlanTags::parse(ethernet.ethertype(), rest)?;
        let network_at = Ethernet::LEN + tags.count() * VlanTag::LEN;
        let (network, network_len, transport, transport_len, payload_len) = match ethertype {
            EtherType::ARP => {
                let (arp, _) = Arp::parse(rest)?;
                (Network::Arp(arp), Arp::LEN, Transport::None, 0, 0)
            }
            EtherType::IPV4 => {
                let (ipv4, rest) = Ipv4::parse(rest)?;
                let (transport, len, payload) = Transport::over_ipv4(ipv4, rest)?;
                (Network::Ipv4(ipv4), ipv4.header_len(), transport, len, payload.len())
            }
            EtherType::IPV6 => {
                let (ipv6, rest) = Ipv6::parse(rest)?;
                let upper = ipv6.upper(rest)?;
                let (transport, len, payload) = Transport::over_ipv6(upper)?;
                let network_len = Ipv6::LEN + upper.extensions_len;
                (Network::Ipv6(ipv6, upper), network_len, transport, len, payload.len())
            }
            _ => (Network::Other, 0, Transport::None, 0, rest.len()),
        };
        let transport_at = network_at + network_len;
        let start = transport_at + transport_len;
        let payload = start..start + payload_len;
        Ok(Self { ethernet, tags, ethertype, network, transport, network_at, transport_at, payload })
    }

    /// Source and destination address, for IP.
    #[must_use]
    pub const fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        match self.network {
            Network::Ipv4(ipv4) => Some((IpAddr::V4(ipv4.source()), IpAddr::V4(ipv4.destination()))),
            Network::Ipv6(ipv6, _) => Some((IpAddr::V6(ipv6.source()), IpAddr::V6(ipv6.destination()))),
            Network::Arp(_) | Network::Other => None,
        }
    }

    /// Whether the packet is a part of another.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        match self.network {
            Network::Ipv4(ipv4) => ipv4.is_fragment(),
            Network::Ipv6(_, upper) => upper.is_fragment(),
            Network::Arp(_) | Network::Other => false,
        }
    }
}

/// A transport header, its length, and its payload.
type Carried<'a> = (Transport<'a>, usize, &'a [u8]);

impl<'a> Transport<'a> {
    fn over_ipv4(ipv4: Ipv4<'a>, payload: &'a [u8]) -> Result<Carried<'a>, Malformed> {
        let protocol = ipv4.protocol();
        if ipv4.fragment_offset() != 0 {
            return Ok((Self::LaterFragment(protocol), 0, payload));
        }
        match protocol {
            IpProtocol::ICMPV4 => {
                let (icmp, rest) = Icmpv4::parse(payload)?;
                Ok((Self::Icmpv4(icmp), Icmpv4::LEN, rest))
            }
            _ => Self::over_either(protocol, ipv4.is_fragment(), payload),
        }
    }

    fn over_ipv6(upper: Upper<'a>) -> Result<Carried<'a>, Malformed> {
        if upper.is_later_fragment() {
            return Ok((Self::LaterFragment(upper.protocol), 0, upper.payload));
        }
        match upper.protocol {
            IpProtocol::ICMPV6 => {
                let (icmp, rest) = Icmpv6::parse(upper.payload)?;
                Ok((Self::Icmpv6(icmp), Icmpv6::LEN, rest))
            }
            protocol => Self::over_either(protocol, upper.is_fragment(), upper.payload),
        }
    }

    fn over_either(protocol: IpProtocol, is_fragment: bool, bytes: &'a [u8]) -> Result<Carried<'a>, Malformed> {
        Ok(match protocol {
            IpProtocol::TCP => {
                let (tcp, payload) = Tcp::parse(bytes)?;
                (Self::Tcp(tcp), tcp.header_len(), payload)
            }
            IpProtocol::UDP => {
                let (udp, payload) = match is_fragment {
                    true => Udp::parse_first_fragment(bytes)?,
                    false => Udp::parse(bytes)?,
                };
                (Self::Udp(udp), Udp::LEN, payload)
            }
            IpProtocol::SCTP => {
                let (sctp, chunks) = Sctp::parse(bytes)?;
                (Self::Sctp(sctp), Sctp::LEN, chunks)
            }
            _ => (Self::Other(protocol), 0, bytes),
        })
    }

    /// Source and destination port, where the protocol has them.
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port())),
            Self::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
            Self::Sctp(sctp) => Some((sctp.source_port(), sctp.destination_port())),
            _ => None,
        }
    }
}
