//! classify: bytes become flow keys; malformed frames get their drop reason here.
//!
//! One pass over the headers a verdict can depend on, each length checked before it is believed. What it does not need (options,
//! checksums) it does not read.
//!
//! What nearly every packet is (untagged, IPv4 without options or IPv6 without extensions, TCP or UDP, whole) is read at fixed
//! offsets in a few loads; everything else takes the long way, which alone can refuse. Both give the same key: a property
//! test holds them together.

use podlane_rings::{Frame, Umem};

use crate::{
    burst::{BURST, Layout, Line, length_of},
    drops::DropReason,
    flow::{Class, FlowKey, FlowTable, Kind, Program, VlanField},
    headers::{
        ETHERNET, FRAGMENT, ICMP, ICMPV6, SCTP, TCP, TYPE_ARP, TYPE_IPV4, TYPE_IPV6, TYPE_SERVICE_VLAN, TYPE_VLAN, UDP,
        VLAN_TAG,
    },
    ids::PortId,
    stage::plain,
};

/// How many IPv6 extension headers are walked; RFC 8504, 5.3 allows a limit, and no honest sender comes near it.
const EXTENSIONS: usize = 8;

/// Reads the headers of a burst whose ports the line was told ([`Line::came_by`]). `longest` is the longest frame the port takes, bytes.
#[inline(never)] // registers of its own: inlined into the turn, its loop kept spilling them to the stack
pub fn classify(line: &mut Line, frames: &[Frame], umem: &Umem, longest: usize, table: &FlowTable) {
    let frames = &frames[..frames.len().min(BURST)];
    line.rows = frames.len();
    line.bytes = 0;
    let mut missing = 0;
    for (row, frame) in frames.iter().enumerate() {
        let bytes = frame.bytes();
        let (port, length) = (line.vias[row], length_of(frame, umem));
        line.lengths[row] = length as u32;
        line.bytes += length as u64;
        let plain = length <= longest && plain::read(port, bytes, length, &mut line.keys[row], &mut line.layouts[row]);
        if plain {
            line.hashes[row] = table.hash(&line.keys[row]);
            missing |= 1 << row;
            continue;
        }
        let known = classify_with_care(line, row, &Packet { port, bytes, length }, longest, table);
        missing |= u64::from(known) << row;
    }
    line.missing = missing;
}

/// The long way. Returns whether the packet has a key; else its program is its end.
#[inline(never)]
fn classify_with_care(line: &mut Line, row: usize, packet: &Packet<'_>, longest: usize, table: &FlowTable) -> bool {
    let parsed = if packet.length > longest { Err(DropReason::Giant) } else { packet.read() };
    match parsed {
        Ok((key, layout)) => {
            line.hashes[row] = table.hash(&key);
            line.keys[row] = key;
            line.layouts[row] = layout;
            true
        }
        Err(reason) => {
            line.programs[row] = Program::drop(reason);
            false
        }
    }
}

/// Reads one packet outside a burst: for tools and tests.
///
/// # Errors
/// The reason a port would drop it by.
pub fn key_of(port: PortId, bytes: &[u8]) -> Result<(FlowKey, Layout), DropReason> {
    Packet { port, bytes, length: bytes.len() }.read()
}

/// A packet being read: its first segment, and the length of all of it.
#[derive(Clone, Copy)]
struct Packet<'a> {
    port: PortId,
    bytes: &'a [u8],
    length: usize,
}

/// The link layer, read.
struct Link<'a> {
    header: &'a [u8; 14],
    vlan: VlanField,
    ethertype: u16,
}

impl Link<'_> {
    #[inline]
    fn key(&self, port: PortId, class: Class, protocol: u8) -> FlowKey {
        FlowKey::new(port, self.header, self.vlan, Kind { class, protocol, ethertype: self.ethertype })
    }
}

impl Packet<'_> {
    #[inline]
    fn read(&self) -> Result<(FlowKey, Layout), DropReason> {
        let header = self.bytes.first_chunk::<14>().ok_or(DropReason::Runt)?;
        let ethertype = u16::from_be_bytes([header[12], header[13]]);
        let link = Link { header, vlan: VlanField::UNTAGGED, ethertype };
        if ethertype == TYPE_VLAN || ethertype == TYPE_SERVICE_VLAN {
            return self.tagged(link);
        }
        self.network(&link, ETHERNET)
    }

    #[cold]
    fn tagged(&self, mut link: Link<'_>) -> Result<(FlowKey, Layout), DropReason> {
        let tag = be16(self.bytes, ETHERNET).ok_or(DropReason::VlanTruncated)?;
        link.vlan = VlanField::tagged(tag);
        link.ethertype = be16(self.bytes, ETHERNET + 2).ok_or(DropReason::VlanTruncated)?;
        let l3 = ETHERNET + VLAN_TAG;
        if link.ethertype != TYPE_VLAN && link.ethertype != TYPE_SERVICE_VLAN {
            return self.network(&link, l3);
        }
        // A customer's tag inside ours is payload to us (802.1ad), but a third tag is a loop or an attack.
        let inner = be16(self.bytes, l3 + 2).ok_or(DropReason::VlanTruncated)?;
        if inner == TYPE_VLAN || inner == TYPE_SERVICE_VLAN {
            return Err(DropReason::TooManyVlanTags);
        }
        Ok((link.key(self.port, Class::Other, 0), Layout { l3: l3 as u16, l4: 0 }))
    }

    #[inline]
    fn network(&self, link: &Link<'_>, l3: usize) -> Result<(FlowKey, Layout), DropReason> {
        match link.ethertype {
            TYPE_IPV4 => self.ipv4(link, l3),
            TYPE_IPV6 => self.ipv6(link, l3),
            TYPE_ARP => self.arp(link, l3),
            _ => Ok((link.key(self.port, Class::Other, 0), Layout { l3: l3 as u16, l4: 0 })),
        }
    }

    fn arp(&self, link: &Link<'_>, l3: usize) -> Result<(FlowKey, Layout), DropReason> {
        // RFC 826: Ethernet, IPv4, 6 and 4 bytes of address.
        const ETHERNET_OVER_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
        let arp = self.bytes.get(l3..l3 + 28).ok_or(DropReason::ArpMalformed)?;
        if !arp.starts_with(&ETHERNET_OVER_IPV4) {
            return Err(DropReason::ArpMalformed);
        }
        Ok((link.key(self.port, Class::Arp, 0), Layout { l3: l3 as u16, l4: 0 }))
    }

    #[inline]
    fn ipv4(&self, link: &Link<'_>, l3: usize) -> Result<(FlowKey, Layout), DropReason> {
        let header = self.bytes.get(l3..).and_then(|rest| rest.first_chunk::<20>()).ok_or(DropReason::Ipv4Header)?;
        let header_length = usize::from(header[0] & 0xf) * 4;
        if header[0] >> 4 != 4 || header_length < 20 {
            return Err(DropReason::Ipv4Header);
        }
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if total < header_length || l3 + total > self.length {
            return Err(DropReason::Ipv4Length);
        }
        let protocol = header[9];
        let [.., a, b, c, d, e, f, g, h] = *header;
        let mut key = link.key(self.port, Class::Ipv4, protocol);
        key.set_ipv4([a, b, c, d, e, f, g, h]);
        let l4 = l3 + header_length;
        // More fragments, or an offset: the first fragment too goes without ports, so that all of them are one flow.
        if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT != 0 {
            key.set_fragment();
            return Ok((key, Layout { l3: l3 as u16, l4: 0 }));
        }
        key.set_ports(self.ports(protocol, l4, total - header_length)?);
        Ok((key, Layout { l3: l3 as u16, l4: l4 as u16 }))
    }

    #[inline]
    fn ipv6(&self, link: &Link<'_>, l3: usize) -> Result<(FlowKey, Layout), DropReason> {
        let header = self.bytes.get(l3..).and_then(|rest| rest.first_chunk::<40>()).ok_or(DropReason::Ipv6Header)?;
        if header[0] >> 4 != 6 {
            return Err(DropReason::Ipv6Header);
        }
        let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let end = l3 + 40 + payload;
        if end > self.length {
            return Err(DropReason::Ipv6Length);
        }
        let (protocol, l4) = match header[6] {
            TCP | UDP | ICMPV6 | SCTP => (header[6], l3 + 40),
            other => self.extensions(other, l3 + 40, end)?,
        };
        let ports = if l4 == 0 { [0; 4] } else { self.ports(protocol, l4, end - l4)? };
        let discovery = protocol == ICMPV6 && l4 != 0 && (133..=137).contains(&ports[0]);
        let mut key = link.key(self.port, if discovery { Class::Nd } else { Class::Ipv6 }, protocol);
        if let Some(addresses) = header.last_chunk::<32>() {
            key.set_ipv6(addresses);
        }
        key.set_ports(ports);
        if l4 == 0 {
            key.set_fragment();
        }
        Ok((key, Layout { l3: l3 as u16, l4: l4 as u16 }))
    }

    /// Walks IPv6 extension headers (RFC 8200, 4) to the transport header: its protocol and offset, 0 for a fragment.
    #[cold]
    fn extensions(&self, first: u8, start: usize, end: usize) -> Result<(u8, usize), DropReason> {
        const HOP_BY_HOP: u8 = 0;
        const ROUTING: u8 = 43;
        const FRAGMENT: u8 = 44;
        const AUTHENTICATION: u8 = 51;
        const DESTINATION: u8 = 60;
        let (mut next, mut at) = (first, start);
        // One step more than there may be headers: the last finds what they lead to.
        for _ in 0..=EXTENSIONS {
            let unit = match next {
                HOP_BY_HOP | ROUTING | DESTINATION => 8,
                AUTHENTICATION => 4,
                FRAGMENT => {
                    let header = self.bytes.get(at..end.min(at + 8)).and_then(|header| header.first_chunk::<8>());
                    return Ok((header.ok_or(DropReason::Ipv6Header)?[0], 0));
                }
                // 59 is "no next header"; anything unknown is a protocol we have no ports for.
                _ => return Ok((next, at)),
            };
            let header = self.bytes.get(at..at + 2).ok_or(DropReason::Ipv6Header)?;
            let length = if unit == 4 { (usize::from(header[1]) + 2) * 4 } else { (usize::from(header[1]) + 1) * 8 };
            next = header[0];
            at += length;
            if at > end {
                return Err(DropReason::Ipv6Header);
            }
        }
        Err(DropReason::Ipv6Header)
    }

    /// The key's four bytes of ports, once the transport header is known to be whole.
    #[inline]
    fn ports(&self, protocol: u8, l4: usize, length: usize) -> Result<[u8; 4], DropReason> {
        let shortest = match protocol {
            TCP => 20,
            UDP => 8,
            SCTP => 12,
            ICMP | ICMPV6 => 4,
            _ => return Ok([0; 4]),
        };
        let header = self.bytes.get(l4..).ok_or(DropReason::L4Truncated)?;
        if length < shortest || header.len() < shortest {
            return Err(DropReason::L4Truncated);
        }
        let first = header.first_chunk::<8>().map_or([0; 4], |[a, b, c, d, ..]| [*a, *b, *c, *d]);
        match protocol {
            TCP => {
                let data_offset = usize::from(header[12] >> 4) * 4;
                if data_offset < 20 || data_offset > length {
                    return Err(DropReason::L4Length);
                }
            }
            UDP => {
                let stated = usize::from(u16::from_be_bytes([header[4], header[5]]));
                if stated < 8 || stated > length {
                    return Err(DropReason::L4Length);
                }
            }
            // Type and code; the checksum behind them differs from packet to packet.
            ICMP | ICMPV6 => return Ok([header[0], header[1], 0, 0]),
            _ => {}
        }
        Ok(first)
    }
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}
