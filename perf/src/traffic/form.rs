//! Frames prebuilt, one form a size, and what is patched for each packet: the ranges' fields, two checksums and the stamp.
//!
//! The sums of everything that never changes are taken once. A packet then costs a copy of its form, a store and an addition a field, and
//! one fold a checksum.

use std::net::IpAddr;

use podlane_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, Sum, TcpFlags, TcpHeader, UdpHeader,
    VlanTag, Vxlan, VxlanHeader, checksum,
};

use super::{
    range::Countable,
    stamp::Stamp,
    template::{CHECK_SEQUENCE, Carried, LONGEST, Template, TemplateError, Tunnel},
};

const ETHERNET: usize = 14;
const UDP: usize = 8;
const TCP: usize = 20;
const MAC: usize = 6;

/// A field that a range counts through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Which digit of the flow's place it follows.
    digit: usize,
    /// Where it stands in the frame.
    at: usize,
    /// Its bytes: 2, 4, 6 or 8.
    width: usize,
    /// Its first value, and how many bits it is shifted left.
    first: u64,
    shift: u32,
    /// Whether the IP header's checksum covers it.
    in_header: bool,
    /// Whether the transport's checksum covers it.
    in_segment: bool,
}

impl Field {
    /// Its value, as it stands in the frame.
    #[inline]
    fn value(&self, place: &[u64]) -> u64 {
        (self.first + place[self.digit]) << self.shift
    }

    #[inline]
    fn sum(&self, value: u64) -> Sum {
        match self.width {
            2 => Sum::of_word(value as u16),
            4 => Sum::from_raw(u64::from((value as u32).to_be())),
            _ => Sum::from_raw(value.to_be()),
        }
    }

    #[inline]
    fn put(&self, value: u64, frame: &mut [u8]) {
        let bytes = value.to_be_bytes();
        frame[self.at..self.at + self.width].copy_from_slice(&bytes[8 - self.width..]);
    }
}

/// A checksum, and the sum of what never changes below it.
#[derive(Clone, Copy, Debug)]
struct Sealed {
    at: usize,
    fixed: Sum,
}

/// A frame of one size.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) bytes: Vec<u8>,
    fields: Vec<Field>,
    header: Option<Sealed>,
    segment: Sealed,
    udp: bool,
    /// Where the outer source port stands, which tells an underlay the flows apart.
    entropy: Option<usize>,
    stamp: usize,
    fill: Sum,
}

impl Form {
    /// A frame of `size` bytes with the check sequence.
    pub(super) fn new(template: &Template, size: usize) -> Result<Self, TemplateError> {
        let least = Laying::default().lay(template, 0).bytes.len() + Stamp::LEN + CHECK_SEQUENCE;
        if size < least {
            return Err(TemplateError::TooShort { size, least });
        }
        if size > LONGEST {
            return Err(TemplateError::TooLong { size });
        }
        let payload = size - (least - Stamp::LEN);
        Ok(Laying::default().lay(template, payload).finish(template, payload))
    }

    /// The shortest size, for templates whose sizes are not asked for.
    pub(super) fn least(template: &Template) -> usize {
        Laying::default().lay(template, 0).bytes.len() + Stamp::LEN + CHECK_SEQUENCE
    }

    /// Writes a packet of a flow, and returns its length.
    #[inline]
    pub(super) fn write(&self, flow: u64, place: &[u64], stamp: Stamp, into: &mut [u8]) -> usize {
        let frame = &mut into[..self.bytes.len()];
        frame.copy_from_slice(&self.bytes);
        let mut segment = self.segment.fixed;
        let mut header = self.header.map_or(Sum::ZERO, |header| header.fixed);
        for field in &self.fields {
            let value = field.value(place);
            field.put(value, frame);
            let sum = field.sum(value);
            if field.in_segment {
                segment = segment.plus(sum);
            }
            if field.in_header {
                header = header.plus(sum);
            }
        }
        if !self.fields.is_empty() {
            let checksum = if self.udp { segment.finish_udp() } else { segment.finish() };
            put16(frame, self.segment.at, checksum);
            if let Some(sealed) = self.header {
                put16(frame, sealed.at, header.finish());
            }
        }
        if let Some(at) = self.entropy {
            put16(frame, at, entropy(flow));
        }
        if let Some(bytes) = frame[self.stamp..].first_chunk_mut() {
            stamp.write(self.fill, bytes);
        }
        frame.len()
    }
}

/// The outer source port of a flow: one of those that RFC 7348 (section 5) names.
#[inline]
fn entropy(flow: u64) -> u16 {
    49_152 | (flow.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as u16
}

#[inline]
fn put16(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A frame that is being laid out, header by header.
#[derive(Default)]
struct Laying {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Where the inner IPv4 header's and the transport's checksums stand.
    header: Option<usize>,
    segment: usize,
    transport: usize,
    entropy: Option<usize>,
}

impl Laying {
    /// All headers, for a payload of so many bytes.
    fn lay(mut self, template: &Template, payload: usize) -> Self {
        let transport = match template.carried {
            Carried::Udp => UDP,
            Carried::TcpSyn => TCP,
        };
        let segment = transport + payload;
        let inner_ip = if template.source.first.is_ipv4() { 20 } else { 40 };
        if let Some(tunnel) = &template.tunnel {
            self.tunnel(tunnel, template, ETHERNET + inner_ip + segment);
            self.ethernet([template.source_mac.first, template.destination_mac.first], None, template.source.first);
        } else {
            let macs = [template.source_mac.first, template.destination_mac.first];
            self.ethernet(macs, template.vlan.map(|vlan| vlan.first), template.source.first);
        }
        self.stations(template);
        self.network(template, segment);
        self.transport(template, segment);
        self.fields.retain(|field| template.ranges()[field.digit] > 1);
        self
    }

    /// Makes room at the end for a header, which `write` fills.
    fn push(&mut self, len: usize, write: impl FnOnce(&mut [u8])) {
        let at = self.bytes.len();
        self.bytes.resize(at + len, 0);
        write(&mut self.bytes[at..]);
    }

    /// Ethernet, with a tag if there is to be one. Every buffer is of its header's own length, so nothing here can fail.
    fn ethernet(&mut self, [source, destination]: [MacAddr; 2], vlan: Option<u16>, carries: IpAddr) {
        let inner = if carries.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let ethertype = if vlan.is_some() { EtherType::VLAN } else { inner };
        self.push(ETHERNET, |buffer| {
            let _ = EthernetHeader { destination, source, ethertype }.emit(buffer);
        });
        if let Some(id) = vlan {
            self.field(6, self.bytes.len(), 2, id.into());
            let control = VlanTag::from_control(EtherType::VLAN, id).control();
            self.push(2, |buffer| buffer.copy_from_slice(&control.to_be_bytes()));
            self.push(2, |buffer| buffer.copy_from_slice(&inner.0.to_be_bytes()));
        }
    }

    /// Outer headers around `inner` bytes. No outer UDP checksum, as is usual (RFC 7348, section 5; RFC 6935 for IPv6).
    fn tunnel(&mut self, tunnel: &Tunnel, template: &Template, inner: usize) {
        self.ethernet(tunnel.macs, template.vlan.map(|vlan| vlan.first), tunnel.addresses[0]);
        let len = (UDP + Vxlan::LEN + inner) as u16;
        self.ip(tunnel.addresses, IpProtocol::UDP, len);
        self.entropy = Some(self.bytes.len());
        let header = UdpHeader { source_port: 49_152, destination_port: Vxlan::PORT, len, checksum: 0 };
        self.push(UDP, |buffer| {
            let _ = header.emit(buffer);
        });
        let at = self.bytes.len() + 4;
        self.fields.push(Field { shift: 8, ..Field::new(7, at, 4, tunnel.vni.first.into()) });
        self.push(Vxlan::LEN, |buffer| {
            let _ = VxlanHeader { network: tunnel.vni.first }.emit(buffer);
        });
    }

    /// The inner MAC addresses count; they are the last Ethernet header's.
    fn stations(&mut self, template: &Template) {
        let tag = if template.vlan.is_some() && template.tunnel.is_none() { VlanTag::LEN } else { 0 };
        let at = self.bytes.len() - ETHERNET - tag;
        self.field(5, at, MAC, template.destination_mac.first.number());
        self.field(4, at + MAC, MAC, template.source_mac.first.number());
    }

    fn field(&mut self, digit: usize, at: usize, width: usize, first: u64) {
        self.fields.push(Field::new(digit, at, width, first));
    }

    fn ip(&mut self, addresses: [IpAddr; 2], protocol: IpProtocol, len: u16) {
        match addresses {
            [IpAddr::V4(from), IpAddr::V4(to)] => self.push(20, |buffer| {
                let _ = Ipv4Header::new(from, to, protocol, len).emit(buffer);
            }),
            [IpAddr::V6(from), IpAddr::V6(to)] => self.push(40, |buffer| {
                let _ = Ipv6Header::new(from, to, protocol, len).emit(buffer);
            }),
            // Refused by the template's check.
            _ => {}
        }
    }

    /// The inner IP header.
    fn network(&mut self, template: &Template, segment: usize) {
        let at = self.bytes.len();
        let protocol = match template.carried {
            Carried::Udp => IpProtocol::UDP,
            Carried::TcpSyn => IpProtocol::TCP,
        };
        let (source, destination) = (template.source.first, template.destination.first);
        self.ip([source, destination], protocol, segment as u16);
        // Of an IPv6 address the lower half counts.
        let (places, width) = if source.is_ipv4() { ([12, 16], 4) } else { ([16, 32], 8) };
        for ((digit, address), place) in [(2, source), (3, destination)].into_iter().zip(places) {
            let field = Field::new(digit, at + place, width, address.number());
            self.fields.push(Field { in_header: source.is_ipv4(), in_segment: true, ..field });
        }
        self.header = source.is_ipv4().then_some(at + 10);
    }

    fn transport(&mut self, template: &Template, segment: usize) {
        let at = self.bytes.len();
        let (source_port, destination_port) = (template.source_port.first, template.destination_port.first);
        for (digit, at, first) in [(0, at, source_port), (1, at + 2, destination_port)] {
            self.fields.push(Field { in_segment: true, ..Field::new(digit, at, 2, first.into()) });
        }
        self.transport = at;
        match template.carried {
            Carried::Udp => {
                self.segment = at + UdpHeader::CHECKSUM_AT;
                let header = UdpHeader { source_port, destination_port, len: segment as u16, checksum: 0 };
                self.push(UDP, |buffer| {
                    let _ = header.emit(buffer);
                });
            }
            Carried::TcpSyn => {
                self.segment = at + TcpHeader::CHECKSUM_AT;
                let flags = TcpFlags::SYN;
                let header = TcpHeader { source_port, destination_port, flags, window: 65_535, ..TcpHeader::default() };
                self.push(TCP, |buffer| {
                    let _ = header.emit(buffer);
                });
            }
        }
    }

    /// Appends the payload and takes the sums.
    fn finish(mut self, template: &Template, payload: usize) -> Form {
        let stamp = self.bytes.len();
        let segment_len = stamp - self.transport + payload;
        let protocol = if template.carried == Carried::Udp { IpProtocol::UDP } else { IpProtocol::TCP };
        let pseudo = match (template.source.first, template.destination.first) {
            (IpAddr::V4(from), IpAddr::V4(to)) => checksum::pseudo_v4(from, to, protocol, segment_len as u16),
            (IpAddr::V6(from), IpAddr::V6(to)) => checksum::pseudo_v6(from, to, protocol, segment_len as u32),
            _ => Sum::ZERO,
        };
        // A stamped payload adds up to all ones.
        let whole = pseudo.plus(checksum::sum(&self.bytes[self.transport..])).plus(Sum::of_word(0xffff));
        let udp = template.carried == Carried::Udp;
        put16(&mut self.bytes, self.segment, if udp { whole.finish_udp() } else { whole.finish() });
        let segment = Sealed { at: self.segment, fixed: self.without(whole, |field| field.in_segment) };
        let header = self.header.map(|at| {
            let old = Sum::of_word(!u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]));
            Sealed { at, fixed: self.without(old, |field| field.in_header) }
        });
        self.bytes.resize(stamp + Stamp::LEN, 0);
        // Never zero, so that a frame that was cut does not add up to the same.
        self.bytes.extend((Stamp::LEN..payload).map(|at| (at.wrapping_mul(151) >> 1) as u8 | 1));
        let fill = checksum::sum(&self.bytes[stamp + Stamp::LEN..]);
        Form { bytes: self.bytes, fields: self.fields, header, segment, udp, entropy: self.entropy, stamp, fill }
    }

    /// A sum less the first values of the fields it covers.
    fn without(&self, sum: Sum, covers: impl Fn(&Field) -> bool) -> Sum {
        let covered = self.fields.iter().filter(|field| covers(field));
        covered.fold(sum, |sum, field| sum.plus(Sum::from_raw(!field.sum(field.first << field.shift).to_raw())))
    }
}

impl Field {
    const fn new(digit: usize, at: usize, width: usize, first: u64) -> Self {
        Self { digit, at, width, first, shift: 0, in_header: false, in_segment: false }
    }
}
