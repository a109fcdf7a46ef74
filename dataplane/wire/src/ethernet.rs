//! Ethernet II, and 802.3 as far as telling it apart. Needs no length check past the header: padding is allowed,
//! and the protocol inside says where it ends.

use crate::addr::MacAddr;
use crate::emit::{NoRoom, room};
use crate::field::{be16, bytes, put, put16};
use crate::malformed::Malformed;
use core::fmt;

/// What an Ethernet header says comes next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct EtherType(pub u16);

impl EtherType {
    /// A whole Ethernet frame, inside a tunnel that can carry others (RFC 1701, RFC 8926).
    pub const ETHERNET: Self = Self(0x6558);
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self(0x0800);
    /// ARP (RFC 826).
    pub const ARP: Self = Self(0x0806);
    /// A customer's VLAN tag (802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self(0x86dd);
    /// A provider's VLAN tag (802.1ad).
    pub const PROVIDER_VLAN: Self = Self(0x88a8);
    /// The Link Layer Discovery Protocol (802.1AB), which a switch never forwards.
    pub const LLDP: Self = Self(0x88cc);

    /// Whether a VLAN tag comes next.
    #[inline]
    #[must_use]
    pub const fn is_vlan(self) -> bool {
        self.0 == Self::VLAN.0 || self.0 == Self::PROVIDER_VLAN.0
    }

    /// Whether this is no type but the length of an 802.3 frame.
    #[inline]
    #[must_use]
    pub const fn is_length(self) -> bool {
        self.0 < 0x0600
    }
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtherType({:#06x})", self.0)
    }
}

/// A checked view of an Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ethernet<'a> {
    header: &'a [u8; Ethernet::LEN],
}

impl<'a> Ethernet<'a> {
    /// The header's length in bytes.
    pub const LEN: usize = 14;

    /// The view and what follows it, padding included.
    ///
    /// # Errors
    /// [`Malformed::FrameTooShort`].
    #[inline]
    pub const fn parse(frame: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match frame.split_first_chunk::<{ Ethernet::LEN }>() {
            Some((header, payload)) => Ok((Self { header }, payload)),
            None => Err(Malformed::FrameTooShort),
        }
    }

    /// Who the frame is for.
    #[inline]
    #[must_use]
    pub const fn destination(&self) -> MacAddr {
        MacAddr(bytes::<0, 6, _>(self.header))
    }

    /// Who sent it.
    #[inline]
    #[must_use]
    pub const fn source(&self) -> MacAddr {
        MacAddr(bytes::<6, 6, _>(self.header))
    }

    /// What comes next.
    #[inline]
    #[must_use]
    pub const fn ethertype(&self) -> EtherType {
        EtherType(be16::<12, _>(self.header))
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> EthernetHeader {
        EthernetHeader { destination: self.destination(), source: self.source(), ethertype: self.ethertype() }
    }
}

/// An Ethernet header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Who the frame is for.
    pub destination: MacAddr,
    /// Who sends it.
    pub source: MacAddr,
    /// What comes next.
    pub ethertype: EtherType,
}

impl EthernetHeader {
    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Ethernet::LEN }>(buffer)?;
        put::<0, 6, _>(header, self.destination.0);
        put::<6, 6, _>(header, self.source.0);
        put16::<12, _>(header, self.ethertype.0);
        Ok(Ethernet::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_bytes_are_too_few_and_fourteen_enough() {
        assert_eq!(Ethernet::parse(&[0; 13]), Err(Malformed::FrameTooShort));
        assert!(Ethernet::parse(&[0; 14]).is_ok_and(|(_, payload)| payload.is_empty()));
    }

    #[test]
    fn an_802_3_length_is_not_a_type() {
        assert!(EtherType(0x05dc).is_length());
        assert!(!EtherType::IPV4.is_length());
    }
}
