//! Checksums a pod's kernel left unfinished.
//!
//! A veth's sender leaves TCP and UDP with only the pseudo-header's sum in the checksum field (CHECKSUM_PARTIAL). The field
//! then equals that sum, uncomplemented. A finished checksum that happens to equal it is also correct when finished
//! again, so the test never corrupts a valid packet. Where the leaving port's kernel or device can finish it, it is
//! asked to; elsewhere it is finished here.

use podlane_rings::Frame;
use podlane_wire::checksum::{self, Sum};

use crate::{
    burst::Layout,
    flow::{Class, FlowKey},
    headers::{IPV6, TCP, UDP},
};

/// Asks that a packet's checksum be finished, if it was left unfinished. Returns whether it was.
#[inline(always)] // with a second caller apply called it, and apply.finish_checksum took 7 % more instructions
pub(super) fn request(frame: &mut Frame, key: &FlowKey, layout: Layout) -> bool {
    let kind = key.kind();
    let field: usize = match kind.protocol {
        TCP => 16,
        UDP => 6,
        _ => return false,
    };
    let (l3, l4) = (usize::from(layout.l3), usize::from(layout.l4));
    let bytes = frame.bytes();
    let (Some(header), Some(stands)) = (bytes.get(l3..).and_then(<[u8]>::first_chunk::<6>), pair(bytes, l4 + field))
    else {
        return false;
    };
    // The key has the addresses as they stand in the header; what they add up to does not care where they stand.
    let words = key.words();
    let (addresses, stated) = if kind.class == Class::Ipv4 {
        (Sum::from_raw(words[2]), usize::from(u16::from_be_bytes([header[2], header[3]])))
    } else {
        let wide = words[4..].iter().fold(Sum::from_raw(words[2]), |sum, word| sum.plus(Sum::from_raw(*word)));
        (wide, usize::from(u16::from_be_bytes([header[4], header[5]])) + IPV6)
    };
    let length = (stated + l3).wrapping_sub(l4) as u16;
    let pseudo = addresses.plus(Sum::of_word(length)).plus(Sum::of_word(kind.protocol.into()));
    // No room for the request means no room to push a header either: the packet goes as it came.
    checksum::is_unfinished(stands, pseudo) && frame.request_checksum(layout.l4, field as u16).is_ok()
}

#[inline]
fn pair(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).map(|pair| u16::from_be_bytes(*pair))
}
