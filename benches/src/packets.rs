//! Packets of 64 bytes, and the flows they belong to.
//!
//! Flows differ in their ports only, so that one template makes all packets of a case.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use podlane_dataplane::{
    PortId, Vni,
    tables::PortTable,
    tunnel::{Encapsulation, Outer, Template as TunnelHeaders, template::Patch},
};
use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, MacAddr, TcpFlags, TcpHeader, UdpHeader,
};

/// Bytes of a packet, from the destination MAC address on; the check sequence is the wire's.
pub const PACKET: usize = 64;

/// Bytes of a TCP segment over IPv6 that carries nothing: the shortest there is.
pub const SEGMENT6: usize = 14 + 40 + 20;

/// Bytes of a packet in VXLAN over IPv4: Ethernet, IPv4, UDP and VXLAN headers in front of it.
pub const TUNNELLED: usize = PACKET + 14 + 20 + 8 + 8;

/// The port packets come in by.
pub const ENTRY: PortId = PortId(1);
/// The port they leave by.
pub const EXIT: PortId = PortId(2);
/// The VLAN of the tagged cases.
pub const VLAN: u16 = 10;

/// A station: one MAC address and an address of each family.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

/// Station `number` of network `network`; number 254 is the gateway.
#[must_use]
pub const fn host(network: u8, number: u8) -> Host {
    Host {
        mac: MacAddr([2, 0, 0, 0, network, number]),
        v4: Ipv4Addr::new(10, 0, network, number),
        v6: Ipv6Addr::new(0xfd00, network as u16, 0, 0, 0, 0, 0, number as u16),
    }
}

impl Host {
    /// A port that states this station and no other.
    #[must_use]
    pub fn stated(self) -> PortTable {
        PortTable { mac: Some(self.mac), addresses: vec![self.v4.into(), self.v6.into()], ..PortTable::default() }
    }
}

/// A packet, and where its ports are.
pub type Template = ([u8; PACKET], usize);

/// UDP over IPv4, behind a tag if there is one.
///
/// # Panics
/// Never: the headers fit 64 bytes.
#[must_use]
pub fn udp4(from: Host, to: Host, vlan: Option<u16>) -> Template {
    let (mut packet, l3) = ethernet(from, to, vlan, EtherType::IPV4);
    let payload = PACKET - l3 - 20;
    let header = Ipv4Header::new(from.v4, to.v4, IpProtocol::UDP, payload as u16);
    header.emit(&mut packet[l3..]).expect("an IPv4 header fits");
    udp(&mut packet[l3 + 20..], payload);
    (packet, l3 + 20)
}

/// A segment of a TCP connection, by what it does. Each fits the ones before it, as the switch reads their numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    /// The first, from the side that opens.
    Open,
    /// The other side's answer to it.
    Answer,
    /// One of many, from the side that opened.
    Data,
}

impl Segment {
    fn header(self) -> TcpHeader {
        let (client, server): (u32, u32) = (1000, 5000);
        let (flags, sequence, acknowledgement) = match self {
            Self::Open => (TcpFlags::SYN, client, 0),
            Self::Answer => (TcpFlags::SYN.with(TcpFlags::ACK), server, client + 1),
            Self::Data => (TcpFlags::ACK, client + 1, server + 1),
        };
        TcpHeader { sequence, acknowledgement, flags, window: 65_535, ..TcpHeader::default() }
    }
}

/// A segment over IPv4, and where its ports are.
///
/// # Panics
/// Never: the headers fit 64 bytes.
#[must_use]
pub fn tcp4(from: Host, to: Host, segment: Segment) -> (Vec<u8>, usize) {
    let (mut packet, l3) = ethernet(from, to, None, EtherType::IPV4);
    let header = Ipv4Header::new(from.v4, to.v4, IpProtocol::TCP, (PACKET - l3 - 20) as u16);
    header.emit(&mut packet[l3..]).expect("an IPv4 header fits");
    segment.header().emit(&mut packet[l3 + 20..]).expect("a TCP header fits");
    (packet.to_vec(), l3 + 20)
}

/// A segment over IPv6, [`SEGMENT6`] bytes, and where its ports are.
///
/// # Panics
/// Never: the buffer is as long as the headers.
#[must_use]
pub fn tcp6(from: Host, to: Host, segment: Segment) -> (Vec<u8>, usize) {
    let (packet, l3) = ethernet(from, to, None, EtherType::IPV6);
    let mut packet = packet.to_vec();
    packet.resize(SEGMENT6, 0);
    let header = Ipv6Header::new(from.v6, to.v6, IpProtocol::TCP, (SEGMENT6 - l3 - 40) as u16);
    header.emit(&mut packet[l3..]).expect("an IPv6 header fits");
    segment.header().emit(&mut packet[l3 + 40..]).expect("a TCP header fits");
    (packet, l3 + 40)
}

/// A packet in VXLAN, as node 2 sends it to node 1.
#[must_use]
pub fn tunnelled((inner, ports_at): Template, vni: u32) -> (Vec<u8>, usize) {
    let (here, there) = (node(1), node(2));
    let outer = TunnelHeaders::of(&Outer {
        source: there.v4.into(),
        destination: here.v4.into(),
        mac: there.mac,
        vlan: None,
        encapsulation: Encapsulation::Vxlan,
        udp_port: Encapsulation::Vxlan.port(),
        vni: Vni(vni),
        checksum: false,
    });
    let config = UmemConfig { frames: 16, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
    let (umem, mut pool) = Umem::create(&config).expect("memory for a bench");
    let mut frame = pool.write_packet(&inner).expect("a fresh pool has frames");
    let patch = Patch { next_hop: here.mac, entropy: 0, ecn: 0 };
    outer.push(&mut frame, PACKET, patch, (&umem, false)).expect("a fresh frame has headroom");
    let packet = frame.bytes().to_vec();
    pool.give(frame);
    (packet, ports_at + TUNNELLED - PACKET)
}

/// A packet of every kind that is measured, and what it is called.
#[must_use]
pub fn all_kinds() -> [(&'static str, Vec<u8>); 6] {
    let (a, b) = (host(0, 1), host(0, 2));
    [
        ("udp over ipv4", udp4(a, b, None).0.to_vec()),
        ("udp over ipv4 behind a tag", udp4(a, b, Some(VLAN)).0.to_vec()),
        ("udp over ipv6", udp6(a, b).0.to_vec()),
        ("tcp over ipv4", tcp4(a, b, Segment::Data).0),
        ("tcp over ipv6", tcp6(a, b, Segment::Data).0),
        ("vxlan over ipv4", tunnelled(udp4(a, b, None), 7).0),
    ]
}

/// A node of the underlay.
#[must_use]
pub const fn node(number: u8) -> Host {
    host(255, number)
}

/// UDP over IPv6.
///
/// # Panics
/// Never: the headers fit 64 bytes.
#[must_use]
pub fn udp6(from: Host, to: Host) -> Template {
    let (mut packet, l3) = ethernet(from, to, None, EtherType::IPV6);
    let payload = PACKET - l3 - 40;
    let header = Ipv6Header::new(from.v6, to.v6, IpProtocol::UDP, payload as u16);
    header.emit(&mut packet[l3..]).expect("an IPv6 header fits");
    udp(&mut packet[l3 + 40..], payload);
    (packet, l3 + 40)
}

fn ethernet(from: Host, to: Host, vlan: Option<u16>, ethertype: EtherType) -> Template {
    let mut packet = [0; PACKET];
    let outer = if vlan.is_some() { EtherType::VLAN } else { ethertype };
    let header = EthernetHeader { destination: to.mac, source: from.mac, ethertype: outer };
    header.emit(&mut packet).expect("an Ethernet header fits");
    let Some(id) = vlan else { return (packet, 14) };
    packet[14..16].copy_from_slice(&id.to_be_bytes());
    packet[16..18].copy_from_slice(&ethertype.0.to_be_bytes());
    (packet, 18)
}

/// Ports are written for each packet, so the checksum is left out (0, RFC 768); the switch does not look.
fn udp(buffer: &mut [u8], len: usize) {
    let header = UdpHeader { source_port: 0, destination_port: 0, len: len as u16, checksum: 0 };
    header.emit(buffer).expect("a UDP header fits");
}

/// The ports of `count` flows (at most 1,000 times 65,535), each once, in an order no prefetcher guesses.
#[must_use]
pub fn flows(count: usize) -> Arc<[[u8; 4]]> {
    let mut flows: Vec<[u8; 4]> = (0..count as u32).map(ports).collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for last in (1..flows.len()).rev() {
        flows.swap(last, random.below(last + 1));
    }
    flows.into()
}

/// A thousand source ports to each destination port.
fn ports(flow: u32) -> [u8; 4] {
    let source = (1024 + flow % 1000) as u16;
    let destination = (1 + flow / 1000) as u16;
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    [a, b, c, d]
}

/// Marsaglia's xorshift64: the same order in every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        ((self.draw() as u128 * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_flows_have_the_same_ports_and_none_has_port_0() {
        let flows = flows(100_000);
        assert_eq!(flows.iter().collect::<HashSet<_>>().len(), 100_000);
        assert!(flows.iter().all(|[a, b, c, d]| [*a, *b] != [0, 0] && [*c, *d] != [0, 0]));
    }
}
