//! VXLAN (RFC 7348): a flag that the VNI is valid, the VNI, and reserved bits around them.
//!
//! RFC 7348 wants reserved bits ignored on receipt. They are refused here by name, as Linux does: extensions (group policy, generic
//! protocol) use them to say that what follows is not plain Ethernet, or that a policy has been applied.

use super::{HEADER, Tunnel};
use crate::{drops::DropReason, ids::Vni};

const VALID: u32 = 0x0800_0000;

/// The encapsulation.
pub struct Vxlan;

impl Tunnel for Vxlan {
    const PORT: u16 = podlane_wire::Vxlan::PORT;

    fn header(vni: Vni) -> [u8; HEADER] {
        (u64::from(VALID) << 32 | u64::from(vni.0) << 8).to_be_bytes()
    }

    #[inline]
    fn open(datagram: &[u8]) -> Result<(Vni, usize), DropReason> {
        let header = datagram.first_chunk::<HEADER>().ok_or(DropReason::TunnelTruncated)?;
        let word = u64::from_be_bytes(*header);
        let (flags, vni) = ((word >> 32) as u32, word as u32);
        if flags & VALID == 0 {
            return Err(DropReason::TunnelFlags);
        }
        if flags != VALID || vni & 0xff != 0 {
            return Err(DropReason::TunnelReserved);
        }
        Ok((Vni(vni >> 8), HEADER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_opens_to_its_vni() {
        let header = Vxlan::header(Vni(0x12_3456));
        assert_eq!(header, [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(Vxlan::open(&header), Ok((Vni(0x12_3456), 8)));
    }

    #[test]
    fn what_is_wrong_with_a_header_has_a_name() {
        let bent = |at: usize, byte: u8| {
            let mut header = Vxlan::header(Vni(7));
            header[at] = byte;
            Vxlan::open(&header)
        };
        assert_eq!(bent(0, 0), Err(DropReason::TunnelFlags));
        assert_eq!(bent(0, 0x88), Err(DropReason::TunnelReserved));
        assert_eq!(bent(2, 1), Err(DropReason::TunnelReserved));
        assert_eq!(bent(7, 1), Err(DropReason::TunnelReserved));
        assert_eq!(Vxlan::open(&[8, 0, 0, 0, 0, 0, 7]), Err(DropReason::TunnelTruncated));
    }
}
