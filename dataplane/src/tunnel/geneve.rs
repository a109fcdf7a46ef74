//! Geneve (RFC 8926): a version, flags, the type of what is inside, the VNI, and options.
//!
//! None is sent. Options received are stepped over, unless one is critical: a receiver that does not know it must drop the packet
//! (section 3.5). Control packets (the O bit) are not ours to forward (section 3.4).

use super::{HEADER, Tunnel};
use crate::{drops::DropReason, ids::Vni};

const TRANSPARENT_ETHERNET: u16 = 0x6558;
const VERSION: u8 = 0xc0;
const OPTION_WORDS: u8 = 0x3f;
const CONTROL: u8 = 0x80;
const CRITICAL: u8 = 0x40;

/// The encapsulation.
pub struct Geneve;

impl Tunnel for Geneve {
    const PORT: u16 = 6081;

    fn header(vni: Vni) -> [u8; HEADER] {
        (u64::from(TRANSPARENT_ETHERNET) << 32 | u64::from(vni.0) << 8).to_be_bytes()
    }

    #[inline]
    fn open(datagram: &[u8]) -> Result<(Vni, usize), DropReason> {
        let [first, flags, kind @ .., a, b, c, _] =
            datagram.first_chunk::<HEADER>().ok_or(DropReason::TunnelTruncated)?;
        if first & VERSION != 0 || flags & CONTROL != 0 || *kind != TRANSPARENT_ETHERNET.to_be_bytes() {
            return Err(DropReason::TunnelFlags);
        }
        if flags & CRITICAL != 0 {
            return Err(DropReason::TunnelOption);
        }
        let length = HEADER + usize::from(first & OPTION_WORDS) * 4;
        if datagram.len() < length {
            return Err(DropReason::TunnelTruncated);
        }
        Ok((Vni(u32::from_be_bytes([0, *a, *b, *c])), length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_opens_to_its_vni() {
        let header = Geneve::header(Vni(0x12_3456));
        assert_eq!(header, [0, 0, 0x65, 0x58, 0x12, 0x34, 0x56, 0]);
        assert_eq!(Geneve::open(&header), Ok((Vni(0x12_3456), 8)));
    }

    #[test]
    fn options_are_stepped_over_and_what_is_wrong_has_a_name() {
        let mut packet = [0; 20];
        packet[..8].copy_from_slice(&Geneve::header(Vni(7)));
        packet[0] = 2;
        assert_eq!(Geneve::open(&packet), Ok((Vni(7), 16)));
        assert_eq!(Geneve::open(&packet[..15]), Err(DropReason::TunnelTruncated));
        let bent = |at: usize, byte: u8| {
            let mut packet = packet;
            packet[at] = byte;
            Geneve::open(&packet)
        };
        assert_eq!(bent(0, 0x42), Err(DropReason::TunnelFlags));
        assert_eq!(bent(1, 0x80), Err(DropReason::TunnelFlags));
        assert_eq!(bent(2, 0x08), Err(DropReason::TunnelFlags));
        assert_eq!(bent(1, 0x40), Err(DropReason::TunnelOption));
        assert_eq!(Geneve::open(&packet[..7]), Err(DropReason::TunnelTruncated));
    }
}
