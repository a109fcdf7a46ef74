//! VXLAN (RFC 7348): a flag that the VNI is valid, the VNI, and reserved bits around them.
//!
//! RFC 7348 wants reserved bits ignored on receipt. They are refused here by name, as Linux does: extensions (group policy, generic
//! protocol) use them to say that what follows is not plain Ethernet, or that a policy has been applied.

use podlane_wire::{Malformed, vxlan};

use super::{HEADER, Tunnel};
use crate::{drops::DropReason, ids::Vni};

/// The encapsulation.
pub struct Vxlan;

impl Tunnel for Vxlan {
    const PORT: u16 = vxlan::Vxlan::PORT;

    fn header(vni: Vni) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        // It is as long as the header is.
        let _ = vxlan::VxlanHeader { network: vni.0 }.emit(&mut header);
        header
    }

    #[inline]
    fn open(datagram: &[u8]) -> Result<(Vni, usize), DropReason> {
        let (header, _) = vxlan::Vxlan::parse(datagram).map_err(|malformed| match malformed {
            Malformed::VxlanNoNetwork => DropReason::TunnelFlags,
            _ => DropReason::TunnelTruncated,
        })?;
        if header.has_reserved_bits() {
            return Err(DropReason::TunnelReserved);
        }
        Ok((Vni(header.network()), HEADER))
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
