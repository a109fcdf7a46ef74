//! Geneve (RFC 8926): a version, flags, the type of what is inside, the VNI, and options.
//!
//! None is sent. Options received are stepped over, unless one is critical: a receiver that does not know it must drop the packet
//! (section 3.5). Control packets (the O bit) are not ours to forward (section 3.4).

use podlane_wire::{EtherType, Malformed, geneve};

use super::{HEADER, Tunnel};
use crate::{drops::DropReason, ids::Vni};

/// The encapsulation.
pub struct Geneve;

impl Tunnel for Geneve {
    const PORT: u16 = geneve::Geneve::PORT;

    fn header(vni: Vni) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        // Without options it is as long as that.
        let _ = geneve::GeneveHeader::new(vni.0).emit(&mut header);
        header
    }

    #[inline]
    fn open(datagram: &[u8]) -> Result<(Vni, usize), DropReason> {
        let (header, _) = geneve::Geneve::parse(datagram).map_err(|malformed| match malformed {
            Malformed::GeneveBadVersion => DropReason::TunnelFlags,
            _ => DropReason::TunnelTruncated,
        })?;
        if header.is_control() || header.protocol() != EtherType::ETHERNET {
            return Err(DropReason::TunnelFlags);
        }
        if header.is_critical() {
            return Err(DropReason::TunnelOption);
        }
        Ok((Vni(header.network()), header.header_len()))
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
