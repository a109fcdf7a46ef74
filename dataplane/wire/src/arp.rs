//! ARP for IPv4 on Ethernet (RFC 826), probes and announcements included (RFC 5227). Any other pairing is refused.

use crate::addr::MacAddr;
use crate::emit::{NoRoom, room};
use crate::ethernet::EtherType;
use crate::field::{be16, bytes, put, put16};
use crate::malformed::Malformed;
use core::net::Ipv4Addr;

/// What an ARP packet asks or says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ArpOperation(pub u16);

impl ArpOperation {
    /// Who has the target address?
    pub const REQUEST: Self = Self(1);
    /// The sender has the sender's address.
    pub const REPLY: Self = Self(2);
}

/// A checked view of an ARP packet for IPv4 on Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp<'a> {
    packet: &'a [u8; Arp::LEN],
}

/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = {
    let [high, low] = EtherType::IPV4.0.to_be_bytes();
    [0, 1, high, low, 6, 4]
};

impl<'a> Arp<'a> {
    /// The packet's length in bytes.
    pub const LEN: usize = 28;

    /// The view and the padding that follows it.
    ///
    /// # Errors
    /// [`Malformed::ArpTruncated`], [`Malformed::ArpNotEthernetIpv4`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match bytes.first_chunk::<6>() {
            None => return Err(Malformed::ArpTruncated),
            Some(kind) if *kind != ETHERNET_IPV4 => return Err(Malformed::ArpNotEthernetIpv4),
            Some(_) => {}
        }
        let (packet, padding) = bytes.split_first_chunk().ok_or(Malformed::ArpTruncated)?;
        Ok((Self { packet }, padding))
    }

    /// Request, reply or something else.
    #[inline]
    #[must_use]
    pub const fn operation(&self) -> ArpOperation {
        ArpOperation(be16::<6, _>(self.packet))
    }

    /// The sender's Ethernet address.
    #[inline]
    #[must_use]
    pub const fn sender_mac(&self) -> MacAddr {
        MacAddr(bytes::<8, 6, _>(self.packet))
    }

    /// The sender's IPv4 address; unspecified in a probe.
    #[inline]
    #[must_use]
    pub const fn sender_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(bytes::<14, 4, _>(self.packet))
    }

    /// The target's Ethernet address; without meaning in a request.
    #[inline]
    #[must_use]
    pub const fn target_mac(&self) -> MacAddr {
        MacAddr(bytes::<18, 6, _>(self.packet))
    }

    /// The IPv4 address that is asked for, or the asker's in a reply.
    #[inline]
    #[must_use]
    pub const fn target_ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_octets(bytes::<24, 4, _>(self.packet))
    }

    /// Whether the sender asks if its own future address is taken (RFC 5227, section 2.1.1).
    #[inline]
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.operation() == ArpOperation::REQUEST && self.sender_ip().is_unspecified()
    }

    /// Whether the sender tells everybody about its own address (RFC 5227, section 2.3), by request or by reply.
    #[inline]
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.sender_ip() == self.target_ip() && !self.sender_ip().is_unspecified()
    }

    /// The packet as a value.
    #[must_use]
    pub const fn header(&self) -> ArpHeader {
        ArpHeader {
            operation: self.operation(),
            sender_mac: self.sender_mac(),
            sender_ip: self.sender_ip(),
            target_mac: self.target_mac(),
            target_ip: self.target_ip(),
        }
    }
}

/// An ARP packet to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpHeader {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// The target's Ethernet address.
    pub target_mac: MacAddr,
    /// The target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl ArpHeader {
    /// The answer to this request from the station at `mac` which has the address that was asked for.
    #[must_use]
    pub const fn reply_from(&self, mac: MacAddr) -> Self {
        Self {
            operation: ArpOperation::REPLY,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Writes the packet and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than [`Arp::LEN`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let packet = room::<{ Arp::LEN }>(buffer)?;
        put::<0, 6, _>(packet, ETHERNET_IPV4);
        put16::<6, _>(packet, self.operation.0);
        put::<8, 6, _>(packet, self.sender_mac.0);
        put::<14, 4, _>(packet, self.sender_ip.octets());
        put::<18, 6, _>(packet, self.target_mac.0);
        put::<24, 4, _>(packet, self.target_ip.octets());
        Ok(Arp::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: [u8; 28] = [
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 9, 0, 0, 0, 0, // from 02:00:00:00:00:09, no address yet
        0, 0, 0, 0, 0, 0, 10, 1, 2, 3, // who has 10.1.2.3?
    ];

    #[test]
    fn a_probe_is_recognised_and_answered() {
        let (arp, padding) = Arp::parse(&PROBE).unwrap();
        assert!(arp.is_probe() && !arp.is_announcement() && padding.is_empty());
        let reply = arp.header().reply_from(MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(reply.sender_ip, Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(reply.target_mac, MacAddr([2, 0, 0, 0, 0, 9]));
    }

    #[test]
    fn other_pairings_and_short_packets_are_refused() {
        let mut infiniband = PROBE;
        infiniband[1] = 32;
        assert_eq!(Arp::parse(&infiniband), Err(Malformed::ArpNotEthernetIpv4));
        assert_eq!(Arp::parse(&PROBE[..27]), Err(Malformed::ArpTruncated));
        assert_eq!(Arp::parse(&[]), Err(Malformed::ArpTruncated));
    }
}
