//! VXLAN (RFC 7348): eight bytes between a UDP header and an inner Ethernet frame.

use crate::emit::{NoRoom, room};
use crate::field::{be32, put};
use crate::malformed::Malformed;

/// The flag that says the network identifier is valid. All others are reserved: not looked at, sent as zero.
const NETWORK_VALID: u8 = 0x08;

/// A checked view of a VXLAN header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan<'a> {
    header: &'a [u8; Vxlan::LEN],
}

impl<'a> Vxlan<'a> {
    /// The header's length in bytes.
    pub const LEN: usize = 8;
    /// The UDP port that IANA gave to VXLAN.
    pub const PORT: u16 = 4789;

    /// The view and the inner frame.
    ///
    /// # Errors
    /// [`Malformed::VxlanHeaderTruncated`], [`Malformed::VxlanNoNetwork`].
    #[inline]
    pub const fn parse(datagram: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        match datagram.split_first_chunk() {
            None => Err(Malformed::VxlanHeaderTruncated),
            Some((header, inner)) => {
                let view = Self { header };
                match view.header[0] & NETWORK_VALID {
                    0 => Err(Malformed::VxlanNoNetwork),
                    _ => Ok((view, inner)),
                }
            }
        }
    }

    /// The network identifier (VNI), 24 bits.
    #[inline]
    #[must_use]
    pub const fn network(&self) -> u32 {
        be32::<4, _>(self.header) >> 8
    }

    /// Whether anything but the valid flag and the network identifier is set. RFC 7348, section 5 has a receiver ignore
    /// that; extensions such as group policy and GPE put meaning there, so a receiver that knows none may refuse.
    #[inline]
    #[must_use]
    pub const fn has_reserved_bits(&self) -> bool {
        be32::<0, _>(self.header) != u32::from_be_bytes([NETWORK_VALID, 0, 0, 0]) || self.header[7] != 0
    }

    /// The header as a value.
    #[must_use]
    pub const fn header(&self) -> VxlanHeader {
        VxlanHeader { network: self.network() }
    }
}

/// A VXLAN header to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VxlanHeader {
    /// The network identifier (VNI); its low 24 bits are sent.
    pub network: u32,
}

impl VxlanHeader {
    /// Writes the header and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`] when the buffer is shorter than that.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, NoRoom> {
        let header = room::<{ Vxlan::LEN }>(buffer)?;
        put::<0, 4, _>(header, [NETWORK_VALID, 0, 0, 0]);
        put::<4, 4, _>(header, (self.network << 8).to_be_bytes());
        Ok(Vxlan::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_ignored_and_the_valid_flag_is_not() {
        let datagram = [0xff, 1, 2, 3, 0x12, 0x34, 0x56, 0xff, 0xee];
        let (vxlan, inner) = Vxlan::parse(&datagram).unwrap();
        assert_eq!((vxlan.network(), inner), (0x12_3456, &[0xee][..]));
        let mut emitted = [0xff; 8];
        vxlan.header().emit(&mut emitted).unwrap();
        assert_eq!(emitted, [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(Vxlan::parse(&[0xf7, 0, 0, 0, 0, 0, 1, 0]), Err(Malformed::VxlanNoNetwork));
        assert_eq!(Vxlan::parse(&datagram[..7]), Err(Malformed::VxlanHeaderTruncated));
    }

    #[test]
    fn each_reserved_bit_is_told_and_no_other() {
        let plain = [8, 0, 0, 0, 0xff, 0xff, 0xff, 0];
        assert!(Vxlan::parse(&plain).is_ok_and(|(vxlan, _)| !vxlan.has_reserved_bits()));
        for bit in (0..64).filter(|bit| !(32..56).contains(bit) && *bit != 4) {
            let mut header = plain;
            header[bit / 8] |= 0x80 >> (bit % 8);
            assert!(Vxlan::parse(&header).is_ok_and(|(vxlan, _)| vxlan.has_reserved_bits()), "bit {bit}");
        }
    }
}
