//! Packets for the line's tests, put together with podlane-wire's emitters, and readers that judge what came out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_dataplane::{PortId, tables::PortTable};
use podlane_wire::{
    ArpHeader, ArpOperation, EtherType, EthernetHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpProtocol,
    Ipv4Header, Ipv6Header, MacAddr, NdOption, Network, Packet, TcpFlags, TcpHeader, Transport, UdpHeader, checksum,
    ndp::{Advertisement, Solicitation, solicited_node},
};

pub(crate) const RED: PortId = PortId(1);
pub(crate) const BLUE: PortId = PortId(2);
pub(crate) const GREEN: PortId = PortId(3);

pub(crate) const BROADCAST: MacAddr = MacAddr([0xff; 6]);

/// A station: one MAC address and an address of each family, by its network and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Host {
    pub(crate) mac: MacAddr,
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// Station `number` of network `network`: 10.0.`network`.`number`, fd00:`network`::`number`. Number 254 is the gateway.
pub(crate) const fn host(network: u8, number: u8) -> Host {
    Host {
        mac: MacAddr([2, 0, 0, 0, network, number]),
        v4: Ipv4Addr::new(10, 0, network, number),
        v6: Ipv6Addr::new(0xfd00, network as u16, 0, 0, 0, 0, 0, number as u16),
    }
}

/// The gateway of a network.
pub(crate) const fn gateway(network: u8) -> Host {
    host(network, 254)
}

impl Host {
    /// A port that states this station and no other.
    pub(crate) fn stated(self) -> PortTable {
        PortTable { mac: Some(self.mac), addresses: vec![self.v4.into(), self.v6.into()], ..PortTable::default() }
    }

    /// The same station, at another MAC address.
    pub(crate) const fn at(self, mac: MacAddr) -> Self {
        Self { mac, ..self }
    }
}

/// What stands in a transport checksum's field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// The checksum.
    Finished,
    /// The pseudo-header's sum, as a pod's kernel leaves it.
    Unfinished,
}

/// A frame of these parts.
pub(crate) fn frame(from: MacAddr, to: MacAddr, ethertype: EtherType, body: &[u8]) -> Vec<u8> {
    let mut frame = emitted(14, |buffer| EthernetHeader { destination: to, source: from, ethertype }.emit(buffer));
    frame.extend(body);
    frame
}

/// The frame with an 802.1Q tag: `control` is priority and VLAN id.
pub(crate) fn tagged(control: u16, frame: &[u8]) -> Vec<u8> {
    with_tag(EtherType::VLAN, control, frame)
}

/// The frame with a tag of this protocol.
pub(crate) fn with_tag(protocol: EtherType, control: u16, frame: &[u8]) -> Vec<u8> {
    let mut tagged = frame[..12].to_vec();
    tagged.extend(protocol.0.to_be_bytes());
    tagged.extend(control.to_be_bytes());
    tagged.extend(&frame[12..]);
    tagged
}

/// An IPv4 frame: `header` with `body` behind it.
pub(crate) fn ipv4(from: MacAddr, to: MacAddr, header: Ipv4Header, body: &[u8]) -> Vec<u8> {
    let header = Ipv4Header { payload_len: body.len() as u16, ..header };
    let mut packet = emitted(header.header_len(), |buffer| header.emit(buffer));
    packet.extend(body);
    frame(from, to, EtherType::IPV4, &packet)
}

/// An IPv6 frame: `header` with `body` behind it.
pub(crate) fn ipv6(from: MacAddr, to: MacAddr, header: Ipv6Header, body: &[u8]) -> Vec<u8> {
    let header = Ipv6Header { payload_len: body.len() as u16, ..header };
    let mut packet = emitted(40, |buffer| header.emit(buffer));
    packet.extend(body);
    frame(from, to, EtherType::IPV6, &packet)
}

/// The IPv4 header of a packet of this protocol.
pub(crate) fn header4(from: Host, to: Host, protocol: IpProtocol) -> Ipv4Header {
    Ipv4Header::new(from.v4, to.v4, protocol, 0)
}

/// The IPv6 header of a packet of this protocol.
pub(crate) fn header6(from: Host, to: Host, protocol: IpProtocol) -> Ipv6Header {
    Ipv6Header::new(from.v6, to.v6, protocol, 0)
}

/// A UDP datagram from port 12345 to port 53.
pub(crate) fn datagram(addresses: (IpAddr, IpAddr), payload: &[u8], field: Field) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let header = UdpHeader { source_port: 12345, destination_port: 53, len, checksum: 0 };
    let mut datagram = emitted(8, |buffer| header.emit(buffer));
    datagram.extend(payload);
    summed(addresses, IpProtocol::UDP, datagram, field)
}

/// A TCP segment from port 40000 to port 80.
pub(crate) fn segment(addresses: (IpAddr, IpAddr), payload: &[u8], field: Field) -> Vec<u8> {
    let header = TcpHeader {
        source_port: 40000,
        destination_port: 80,
        sequence: 1,
        acknowledgement: 2,
        reserved: 0,
        flags: TcpFlags::ACK,
        window: 500,
        checksum: 0,
        urgent: 0,
        options: Default::default(),
    };
    let mut segment = emitted(20, |buffer| header.emit(buffer));
    segment.extend(payload);
    summed(addresses, IpProtocol::TCP, segment, field)
}

/// A frame of UDP or TCP in the family of the addresses, from one station to another.
pub(crate) fn transport(protocol: IpProtocol, ends: (Host, Host), v6: bool, payload: &[u8], field: Field) -> Vec<u8> {
    let (from, to) = ends;
    let addresses: (IpAddr, IpAddr) = if v6 { (from.v6.into(), to.v6.into()) } else { (from.v4.into(), to.v4.into()) };
    let body = match protocol {
        IpProtocol::TCP => segment(addresses, payload, field),
        _ => datagram(addresses, payload, field),
    };
    match v6 {
        true => ipv6(from.mac, to.mac, header6(from, to, protocol), &body),
        false => ipv4(from.mac, to.mac, header4(from, to, protocol), &body),
    }
}

/// A small IPv4 UDP packet with its checksum.
pub(crate) fn udp4(from: Host, to: Host) -> Vec<u8> {
    transport(IpProtocol::UDP, (from, to), false, b"hello", Field::Finished)
}

/// A small IPv6 UDP packet with its checksum.
pub(crate) fn udp6(from: Host, to: Host) -> Vec<u8> {
    transport(IpProtocol::UDP, (from, to), true, b"hello", Field::Finished)
}

/// An ARP request of `from` for `to`, broadcast.
pub(crate) fn arp_request(from: Host, to: Ipv4Addr) -> Vec<u8> {
    let header = ArpHeader {
        operation: ArpOperation::REQUEST,
        sender_mac: from.mac,
        sender_ip: from.v4,
        target_mac: MacAddr([0; 6]),
        target_ip: to,
    };
    frame(from.mac, BROADCAST, EtherType::ARP, &emitted(28, |buffer| header.emit(buffer)))
}

/// An ARP reply of `from` to `to`.
pub(crate) fn arp_reply(from: Host, to: Host) -> Vec<u8> {
    let header = ArpHeader {
        operation: ArpOperation::REPLY,
        sender_mac: from.mac,
        sender_ip: from.v4,
        target_mac: to.mac,
        target_ip: to.v4,
    };
    frame(from.mac, to.mac, EtherType::ARP, &emitted(28, |buffer| header.emit(buffer)))
}

/// A neighbour solicitation of `from` for `target`, to the target's solicited-node group.
pub(crate) fn solicitation(from: Host, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let message = emitted(24, |buffer| Solicitation { target }.emit(buffer));
    let mac = MacAddr::of_ipv6_multicast(group);
    discovery((from, Host { mac, v6: group, ..from }), message, NdOption::SourceMac(from.mac))
}

/// A neighbour solicitation of `from` that looks whether `to` is still there, straight to it.
pub(crate) fn probe(from: Host, to: Host) -> Vec<u8> {
    let message = emitted(24, |buffer| Solicitation { target: to.v6 }.emit(buffer));
    discovery((from, to), message, NdOption::SourceMac(from.mac))
}

/// A neighbour advertisement of `from` to `to` about `target`.
pub(crate) fn advertisement(from: Host, to: Host, target: Ipv6Addr) -> Vec<u8> {
    let message = Advertisement { router: false, solicited: true, overrides: true, target };
    discovery((from, to), emitted(24, |buffer| message.emit(buffer)), NdOption::TargetMac(from.mac))
}

fn discovery((from, to): (Host, Host), mut message: Vec<u8>, option: NdOption<'_>) -> Vec<u8> {
    message.extend(emitted(8, |buffer| option.emit(buffer)));
    let message = summed((from.v6.into(), to.v6.into()), IpProtocol::ICMPV6, message, Field::Finished);
    let header = Ipv6Header { hop_limit: 255, ..header6(from, to, IpProtocol::ICMPV6) };
    ipv6(from.mac, to.mac, header, &message)
}

/// An ICMP echo request or reply.
pub(crate) fn echo4(from: Host, to: Host, kind: Icmpv4Type) -> Vec<u8> {
    let mut message = emitted(8, |buffer| Icmpv4Header::echo(kind, 7, 1).emit(buffer));
    message.extend(b"are you there?");
    let sum = checksum::sum(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(from.mac, to.mac, header4(from, to, IpProtocol::ICMPV4), &message)
}

/// An ICMPv6 echo request or reply.
pub(crate) fn echo6(from: Host, to: Host, kind: Icmpv6Type) -> Vec<u8> {
    let mut message = emitted(8, |buffer| Icmpv6Header::echo(kind, 7, 1).emit(buffer));
    message.extend(b"are you there?");
    let message = summed((from.v6.into(), to.v6.into()), IpProtocol::ICMPV6, message, Field::Finished);
    ipv6(from.mac, to.mac, header6(from, to, IpProtocol::ICMPV6), &message)
}

/// A routed packet as it should leave: the MAC addresses of the last leg, one hop counted.
pub(crate) fn routed(packet: &[u8], from: MacAddr, to: MacAddr) -> Vec<u8> {
    let parsed = Packet::parse(packet).expect("a test's own packet");
    let body = &packet[parsed.transport_at..];
    match parsed.network {
        Network::Ipv4(v4) => ipv4(from, to, Ipv4Header { ttl: v4.ttl() - 1, ..v4.header() }, body),
        Network::Ipv6(v6, _) => {
            let body = &packet[parsed.network_at + 40..];
            ipv6(from, to, Ipv6Header { hop_limit: v6.hop_limit() - 1, ..v6.header() }, body)
        }
        _ => panic!("only IP is routed"),
    }
}

/// Whether the IPv4 header's and the transport's checksums are those a receiver accepts.
pub(crate) fn checksums_are_right(frame: &[u8]) -> bool {
    let packet = Packet::parse(frame).expect("a frame that left the switch is well formed");
    let header = match packet.network {
        Network::Ipv4(v4) => v4.verify_checksum().is_ok(),
        _ => true,
    };
    let end = packet.payload.end;
    let body = &frame[packet.transport_at..end];
    let pseudo = |protocol| match packet.network {
        Network::Ipv4(v4) => v4.pseudo(body.len() as u16),
        Network::Ipv6(v6, _) => v6.pseudo(protocol, body.len() as u32),
        _ => unreachable!("no transport without IP"),
    };
    header
        && match packet.transport {
            Transport::Tcp(_) => checksum::verify_tcp(pseudo(IpProtocol::TCP), body).is_ok(),
            Transport::Udp(udp) => udp.checksum() != 0 && checksum::sum(body).plus(pseudo(IpProtocol::UDP)).is_valid(),
            Transport::Icmpv4(_) => checksum::verify_icmpv4(body).is_ok(),
            Transport::Icmpv6(_) => checksum::verify_icmpv6(pseudo(IpProtocol::ICMPV6), body).is_ok(),
            _ => true,
        }
}

/// Type and code of the ICMP or ICMPv6 message in a frame, and the word behind its checksum.
pub(crate) fn icmp_of(frame: &[u8]) -> (u8, u8, u32) {
    let packet = Packet::parse(frame).expect("a frame that left the switch is well formed");
    match packet.transport {
        Transport::Icmpv4(icmp) => (icmp.kind().0, icmp.code(), u32::from_be_bytes(icmp.rest())),
        Transport::Icmpv6(icmp) => (icmp.kind().0, icmp.code(), u32::from_be_bytes(icmp.rest())),
        other => panic!("no ICMP but {other:?}"),
    }
}

pub(crate) fn summed(addresses: (IpAddr, IpAddr), protocol: IpProtocol, mut body: Vec<u8>, field: Field) -> Vec<u8> {
    let at = match protocol {
        IpProtocol::TCP => 16,
        IpProtocol::UDP => 6,
        _ => 2,
    };
    let pseudo = match addresses {
        (IpAddr::V4(from), IpAddr::V4(to)) => checksum::pseudo_v4(from, to, protocol, body.len() as u16),
        (IpAddr::V6(from), IpAddr::V6(to)) => checksum::pseudo_v6(from, to, protocol, body.len() as u32),
        _ => panic!("addresses of two families"),
    };
    let sum = match field {
        Field::Finished if protocol == IpProtocol::UDP => pseudo.plus(checksum::sum(&body)).finish_udp(),
        Field::Finished => pseudo.plus(checksum::sum(&body)).finish(),
        Field::Unfinished => pseudo.fold(),
    };
    body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    body
}

fn emitted<E: core::fmt::Debug>(len: usize, emit: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Vec<u8> {
    let mut buffer = vec![0; len];
    assert_eq!(emit(&mut buffer).expect("the buffer is as long as the header"), len);
    buffer
}
