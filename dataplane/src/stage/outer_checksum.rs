//! The outer UDP checksum, as a wire or the kernel behind a veth hands it over.
//!
//! What a kernel sends into a veth has not been on a wire, and its checksums are finished only where a wire begins. Two
//! shapes come of it. Either the outer field holds no more than the pseudo-header's sum. Or, where the inner packet's own
//! checksum is the unfinished one, the outer one counts it as if it were finished ("local checksum offload"): a finished
//! segment and its pseudo-header add up to nothing, so its bytes add to the outer sum the complement of that pseudo-header's
//! (Linux, Documentation/networking/checksum-offloads.rst). Both are as good as right; anything else is damage.

use podlane_rings::{Frame, Umem};
use podlane_wire::checksum::{self, Sum};

use crate::{
    drops::DropReason,
    headers::{ETHERNET, FRAGMENT, IPV4, IPV6, TCP, TYPE_IPV4, TYPE_IPV6, UDP},
};

/// Where an outer UDP datagram stands.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// Its first byte in the frame.
    pub(super) udp: usize,
    /// The sum of its pseudo-header.
    pub(super) pseudo: Sum,
    /// The first byte of the inner frame.
    pub(super) inner: usize,
}

/// Checks it. `local` says that the packet may come from a kernel on this machine.
#[inline(never)]
pub(super) fn verify(frame: &Frame, outer: &Outer, local: bool, umem: &Umem) -> Result<(), DropReason> {
    let bytes = frame.bytes();
    let field = word(bytes, outer.udp + 6).ok_or(DropReason::TunnelTruncated)?;
    if local && checksum::is_unfinished(field, outer.pseudo) {
        return Ok(());
    }
    let stated = word(bytes, outer.udp + 4).map_or(0, usize::from);
    let sum = sum_of(frame, outer.udp, stated, umem).plus(outer.pseudo);
    let is_right = sum.is_valid()
        || local
            && unfinished(bytes, outer.inner).is_some_and(|inner| {
                let raw = sum_of(frame, inner.start, inner.length, umem);
                sum.plus(minus(raw)).plus(minus(inner.pseudo)).is_valid()
            });
    if is_right { Ok(()) } else { Err(DropReason::OuterChecksum) }
}

/// An inner segment whose checksum was left unfinished.
struct Segment {
    start: usize,
    length: usize,
    pseudo: Sum,
}

/// The TCP or UDP of the inner frame at `inner`, if its checksum was left unfinished.
fn unfinished(bytes: &[u8], inner: usize) -> Option<Segment> {
    let ip = inner + ETHERNET;
    let first = *bytes.get(ip)?;
    let (start, length, protocol, addresses) = match (word(bytes, inner + 12)?, first >> 4) {
        (TYPE_IPV4, 4) if word(bytes, ip + 6)? & FRAGMENT == 0 => {
            let header = usize::from(first & 0xf) * 4;
            let length = usize::from(word(bytes, ip + 2)?).checked_sub(header)?;
            (ip + header, length, *bytes.get(ip + 9)?, bytes.get(ip + 12..ip + IPV4)?)
        }
        (TYPE_IPV6, 6) => (ip + IPV6, word(bytes, ip + 4)?.into(), *bytes.get(ip + 6)?, bytes.get(ip + 8..ip + IPV6)?),
        _ => return None,
    };
    let field = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    let words = Sum::of_word(length as u16).plus(Sum::of_word(protocol.into()));
    let pseudo = checksum::sum(addresses).plus(words);
    checksum::is_unfinished(word(bytes, start + field)?, pseudo).then_some(Segment { start, length, pseudo })
}

/// What has to be added to take a sum away again.
fn minus(sum: Sum) -> Sum {
    Sum::of_word(!sum.fold())
}

/// The sum of `length` bytes from `start` on, in however many pieces of memory the packet is.
fn sum_of(frame: &Frame, start: usize, length: usize, umem: &Umem) -> Sum {
    let (mut before, mut left) = (start, length);
    let parts = umem.segments(frame).map(|part| {
        let skipped = before.min(part.len());
        before -= skipped;
        let part = &part[skipped..];
        let part = &part[..part.len().min(left)];
        left -= part.len();
        part
    });
    checksum::sum_parts(parts)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).map(|pair| u16::from_be_bytes(*pair))
}
