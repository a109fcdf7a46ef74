//! Checksums a pod's kernel left unfinished.
//!
//! A veth's sender leaves TCP and UDP with only the pseudo-header's sum in the checksum field (CHECKSUM_PARTIAL). The field
//! then equals that sum, uncomplemented. A finished checksum that happens to equal it is also correct when finished
//! again, so the test never corrupts a valid packet. Where the leaving port's kernel or device can finish it, it is
//! asked to; elsewhere it is finished here.

use podlane_rings::Umem;
use podlane_wire::{
    IpProtocol,
    checksum::{self, Sum},
};

use crate::{flow::Class, stage::apply::Packet};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Finishes a packet's checksum if it was left unfinished. `offload`: the leaving port can do it.
#[inline]
pub(super) fn checksum(packet: &mut Packet<'_>, umem: &Umem, offload: bool) {
    let protocol = packet.key.kind().protocol;
    let field: usize = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let l4 = usize::from(packet.layout.l4);
    let Some(pseudo) = pseudo_header(packet, protocol) else { return };
    let at = l4 + field;
    let Some(&[high, low]) = packet.frame.bytes().get(at..at + 2).and_then(|bytes| bytes.first_chunk::<2>()) else {
        return;
    };
    if !checksum::is_unfinished(u16::from_be_bytes([high, low]), pseudo) {
        return;
    }
    // No room for the request means no room to push a header either: the packet goes as it came.
    if packet.frame.request_checksum(packet.layout.l4, field as u16).is_ok() && !offload {
        umem.finish_checksum(&mut packet.frame);
    }
}

fn pseudo_header(packet: &Packet<'_>, protocol: u8) -> Option<Sum> {
    let (l3, l4) = (usize::from(packet.layout.l3), usize::from(packet.layout.l4));
    let header = packet.frame.bytes().get(l3..l4)?;
    if packet.key.kind().class == Class::Ipv4 {
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let length = (total + l3).checked_sub(l4)?;
        let (source, destination) = (header[12..16].first_chunk::<4>()?, header[16..20].first_chunk::<4>()?);
        return Some(checksum::pseudo_v4((*source).into(), (*destination).into(), IpProtocol(protocol), length as u16));
    }
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let length = (payload + l3 + 40).checked_sub(l4)?;
    let (source, destination) = (header[8..24].first_chunk::<16>()?, header[24..40].first_chunk::<16>()?);
    Some(checksum::pseudo_v6((*source).into(), (*destination).into(), IpProtocol(protocol), length as u32))
}
