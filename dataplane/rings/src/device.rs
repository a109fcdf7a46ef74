//! What a netdev says about itself: zero-copy, segments, checksum offload (the `netdev` generic netlink family, 6.3).
//!
//! Asked before a socket is bound, because trying instead means pinning the whole packet memory anew for each veth only
//! to hear "not supported".

use std::fs::File;
use std::io::{Read, Write};

use crate::sys;

const NETLINK_GENERIC: libc::c_int = 16;
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_A_DEV_XSK_FEATURES: u16 = 6;
/// `NETDEV_XDP_ACT_XSK_ZEROCOPY`.
const XSK_ZEROCOPY: u64 = 1 << 3;
/// `NETDEV_XSK_FLAGS_TX_CHECKSUM`.
const TX_CHECKSUM: u64 = 1 << 1;
const NLM_F_REQUEST: u16 = 1;
/// Netlink header, then the generic netlink header.
const HEADERS: usize = 16 + 4;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) zero_copy: bool,
    /// Segments of a packet in zero-copy mode; 1 means no multi-buffer.
    pub(crate) zero_copy_segments: usize,
    /// The NIC finishes checksums that transmit metadata asks for, in zero-copy mode.
    pub(crate) checksum: bool,
}

/// Asks the kernel, in the calling thread's network namespace. `None` where it does not know the question.
pub(crate) fn features(ifindex: u32) -> Option<Features> {
    let mut netlink = File::from(sys::socket(libc::AF_NETLINK, NETLINK_GENERIC).ok()?);
    let name = exchange(&mut netlink, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, (CTRL_ATTR_FAMILY_NAME, b"netdev\0"))?;
    let family = attribute(&name, CTRL_ATTR_FAMILY_ID)?;
    let family = u16::from_ne_bytes(family.get(..2)?.try_into().ok()?);
    let device = exchange(&mut netlink, family, NETDEV_CMD_DEV_GET, (NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes()))?;
    let word = |kind| {
        let value = attribute(&device, kind)?;
        Some(match value.len() {
            4 => u64::from(u32::from_ne_bytes(value.try_into().ok()?)),
            _ => u64::from_ne_bytes(value.get(..8)?.try_into().ok()?),
        })
    };
    Some(Features {
        zero_copy: word(NETDEV_A_DEV_XDP_FEATURES)? & XSK_ZEROCOPY != 0,
        zero_copy_segments: word(NETDEV_A_DEV_XDP_ZC_MAX_SEGS).map_or(1, |n| n as usize),
        checksum: word(NETDEV_A_DEV_XSK_FEATURES).is_some_and(|bits| bits & TX_CHECKSUM != 0),
    })
}

/// Sends one request with one attribute; returns the attributes of the answer.
fn exchange(netlink: &mut File, family: u16, command: u8, (kind, value): (u16, &[u8])) -> Option<Vec<u8>> {
    let attribute_len = 4 + value.len();
    let total = HEADERS + attribute_len.next_multiple_of(4);
    let mut request = Vec::with_capacity(total);
    request.extend_from_slice(&(total as u32).to_ne_bytes());
    request.extend_from_slice(&family.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&[command, 1, 0, 0]);
    request.extend_from_slice(&(attribute_len as u16).to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(value);
    request.resize(total, 0);
    netlink.write_all(&request).ok()?;
    let mut answer = vec![0; 16 << 10];
    let len = netlink.read(&mut answer).ok()?;
    answer.truncate(len);
    let answered = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (answered == family).then(|| answer.split_off(HEADERS.min(len)))
}

/// The value of the first attribute of a kind.
fn attribute(mut attributes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let this = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        let value = attributes.get(4..len)?;
        if this & 0x3fff == kind {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_has_no_zero_copy() {
        // Loopback is interface 1 of every network namespace; a kernel before 6.3 knows no answer.
        if let Some(features) = features(1) {
            assert!(!features.zero_copy);
        }
    }

    #[test]
    fn an_interface_that_is_none_has_no_features() {
        assert_eq!(features(0x7fff_fff0), None);
    }

    #[test]
    fn attributes_cut_short_are_no_attributes() {
        let whole = [8, 0, 3, 0, 1, 2, 3, 4, 6, 0, 5, 0, 9, 9];
        assert_eq!(attribute(&whole, 3), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&whole, 5), Some(&[9, 9][..]));
        for len in 0..whole.len() {
            assert_eq!(attribute(&whole[..len], 5), None, "{len} bytes");
        }
        assert_eq!(attribute(&[0, 0, 3, 0], 3), None, "a length below its own header");
    }
}
