//! The headers nearly every packet has, read at fixed offsets.
//!
//! Untagged Ethernet, IPv4 without options or IPv6 without extension headers, TCP or UDP, no fragment, every length honest. One
//! length check, then plain loads: about a third of the instructions of the long way in [`classify`](super::classify).
//! Anything else is `None` here, and the long way says what it is.

use crate::{
    burst::Layout,
    flow::{Class, FlowKey, Kind, VlanField},
    ids::PortId,
};

const ETHERNET: u16 = 14;
const IPV4: u16 = 20;
const IPV6: u16 = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The key of a common packet of `length` bytes, of which `bytes` are the first segment.
#[inline]
pub(super) fn read(port: PortId, bytes: &[u8], length: usize) -> Option<(FlowKey, Layout)> {
    // The EtherType, and the version and header length of IP behind it.
    const TYPE_IPV4: u32 = 0x0800_4500;
    const TYPE_IPV6: u32 = 0x86dd_6000;
    let head = bytes.first_chunk::<42>()?;
    let kind = u32::from_be_bytes([head[12], head[13], head[14], 0]);
    if kind == TYPE_IPV4 {
        ipv4(port, head, bytes, length)
    } else if kind & 0xffff_f000 == TYPE_IPV6 {
        ipv6(port, bytes, length)
    } else {
        None
    }
}

#[inline]
fn ipv4(port: PortId, head: &[u8; 42], bytes: &[u8], length: usize) -> Option<(FlowKey, Layout)> {
    let total = be16(head[16], head[17]);
    let fragment = be16(head[20], head[21]) & 0x3fff != 0;
    let protocol = head[23];
    let segment = total.checked_sub(IPV4.into())?;
    if fragment || total + usize::from(ETHERNET) > length {
        return None;
    }
    if !whole(protocol, segment, be16(head[38], head[39]), bytes.get(46)) {
        return None;
    }
    let [macs @ .., _, _] = head.first_chunk::<14>()?;
    let mut key = FlowKey::new(port, macs, VlanField::UNTAGGED, Kind { class: Class::Ipv4, protocol, ethertype: 0x0800 });
    let [.., a, b, c, d, e, f, g, h, s, t, u, v] = *head.first_chunk::<38>()?;
    key.set_ipv4([a, b, c, d, e, f, g, h]);
    key.set_ports([s, t, u, v]);
    Some((key, Layout { l3: ETHERNET, l4: ETHERNET + IPV4 }))
}

#[inline]
fn ipv6(port: PortId, bytes: &[u8], length: usize) -> Option<(FlowKey, Layout)> {
    let head = bytes.first_chunk::<62>()?;
    let payload = be16(head[18], head[19]);
    let protocol = head[20];
    if payload + usize::from(ETHERNET + IPV6) > length {
        return None;
    }
    if !whole(protocol, payload, be16(head[58], head[59]), bytes.get(66)) {
        return None;
    }
    let [macs @ .., _, _] = head.first_chunk::<14>()?;
    let mut key = FlowKey::new(port, macs, VlanField::UNTAGGED, Kind { class: Class::Ipv6, protocol, ethertype: 0x86dd });
    key.set_ipv6(head[22..54].first_chunk::<32>()?);
    key.set_ports([head[54], head[55], head[56], head[57]]);
    Some((key, Layout { l3: ETHERNET, l4: ETHERNET + IPV6 }))
}

/// Whether a TCP or UDP header is whole and its own length fits the `segment` that IP announces. `udp_length` and `tcp_offset` are
/// what stands in the two fields' places.
#[inline]
fn whole(protocol: u8, segment: usize, udp_length: usize, tcp_offset: Option<&u8>) -> bool {
    match protocol {
        UDP => (8..=segment).contains(&udp_length),
        TCP => {
            let offset = usize::from(tcp_offset.copied().unwrap_or(0) >> 4) * 4;
            (20..=segment).contains(&offset)
        }
        _ => false,
    }
}

#[inline]
fn be16(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}
