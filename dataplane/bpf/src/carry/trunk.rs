//! Trunks carry their numbers inside of the packets.
//!
//! A veth takes a tag that the stack puts on beside the packet, as a NIC does that would write it itself, and gives it to the other
//! end so. AF_XDP sees the packet alone: the worker would not know whose it is. With the offload off, the stack writes the tag into
//! the packet before it cuts segments. The request is of the ethtool family of generic netlink.

use std::io;

use nix::sys::socket::SockProtocol;

use super::{CarryError, Device};
use crate::device::{Attributes, HEADER_BYTES, exchange, message, push, refusal, u16_at};

const OFFLOAD: &[u8] = b"tx-vlan-stag-hw-insert\0";

// uapi/linux/genetlink.h
const CONTROL: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GENERIC_BYTES: usize = 4;

// uapi/linux/ethtool_netlink.h
const FEATURES_SET: u8 = 12;
const FEATURES_HEADER: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const HEADER_INDEX: u16 = 1;
const BITSET_BITS: u16 = 3;
const BITS_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const NESTED: u16 = 0x8000; // NLA_F_NESTED

/// Switches the offload of 802.1ad tags off.
pub(super) fn keep_tags_inside(device: &Device<'_>) -> Result<(), CarryError> {
    switch_off(device.ifindex).map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => CarryError::NoDevice { device: device.name.to_owned(), ifindex: device.ifindex },
        _ => CarryError::Tags { device: device.name.to_owned(), source },
    })
}

fn switch_off(ifindex: u32) -> io::Result<()> {
    let mut of = generic(GET_FAMILY);
    push(&mut of, FAMILY_NAME, b"ethtool\0");
    let reply = ask(CONTROL, &of)?;
    let family = attribute(&reply, FAMILY_ID).and_then(|id| u16_at(id, 0));
    let family = family.ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))?;

    let mut header = Vec::new();
    push(&mut header, HEADER_INDEX, &ifindex.to_ne_bytes());
    // A bit that is named without a value is to be off.
    let wanted =
        [BIT_NAME, BITS_BIT | NESTED, BITSET_BITS | NESTED].into_iter().fold(OFFLOAD.to_vec(), |inner, kind| {
            let mut outer = Vec::new();
            push(&mut outer, kind, &inner);
            outer
        });
    let mut off = generic(FEATURES_SET);
    push(&mut off, FEATURES_HEADER | NESTED, &header);
    push(&mut off, FEATURES_WANTED | NESTED, &wanted);
    let reply = ask(family, &off)?;
    // The kernel answers with what it was asked for and did not do.
    let refused = attribute(&reply, FEATURES_WANTED).unwrap_or_default();
    if refused.windows(OFFLOAD.len()).any(|name| name == OFFLOAD) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    Ok(())
}

fn generic(command: u8) -> Vec<u8> {
    vec![command, 1, 0, 0]
}

fn ask(family: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let reply = exchange(SockProtocol::NetlinkGeneric, &message(family, libc::NLM_F_ACK, body))?;
    refusal(&reply)?;
    Ok(reply)
}

/// An attribute of a reply.
fn attribute(reply: &[u8], wanted: u16) -> Option<&[u8]> {
    let attributes = reply.get(HEADER_BYTES + GENERIC_BYTES..)?;
    Attributes(attributes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}
