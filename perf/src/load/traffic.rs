//! What is sent: UDP packets of one or many flows, between two stations that only tables know.

use core::net::Ipv4Addr;

use podlane_wire::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, MacAddr, UdpHeader};

use crate::{
    bed::station_mac,
    load::underlay::{self, OUTER, tunnelled},
};

/// Bytes of a packet: 64 on a wire, less the frame check sequence, which a veth does not have.
pub const PACKET: usize = 60;

/// Bytes of the longest packet of a link with MTU 1500.
pub const LONGEST: usize = 1514;

const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// Where in a packet the source port stands.
const SOURCE_PORT_AT: usize = ETHERNET + IPV4;

/// Where the destination port stands.
const DESTINATION_PORT_AT: usize = SOURCE_PORT_AT + size_of::<u16>();

/// The source port of the first flow; the others follow.
pub const FIRST_PORT: u16 = 1024;

/// Bits of a flow's number that its source port tells; the destination port tells the rest.
pub const FLOW_BITS: u32 = 15;

/// The destination port of the first 2^[`FLOW_BITS`] flows; the next ones follow.
pub const SERVICE: u16 = 9;

/// The number of the gateway's station in each network.
pub const GATEWAY: u8 = 254;

/// Which packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// Flows, told apart by their ports; sent in turns, one packet each.
    pub flows: u32,
    /// Bytes of a packet, from [`PACKET`] to [`LONGEST`]; a tunnel's headers come on top.
    pub bytes: usize,
    /// Whether the packets go to another network by the gateway's MAC address.
    pub routed: bool,
    /// Whether they come from another node, in VXLAN.
    pub tunnelled: bool,
    /// Whether the receiver answers each flow once beforehand, so that whoever tracks connections has seen both sides of all of them.
    pub answered: bool,
}

/// What is put on a link: a packet, over and over, with another port for each flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// The packet of the first flow, and around it what carries it between nodes.
    pub packet: Vec<u8>,
    /// Flows, sent in turns.
    pub flows: u32,
    /// Where the port stands that tells flows apart.
    pub port_at: usize,
    /// Where the port stands that tells them apart from the next 2^[`FLOW_BITS`].
    pub service_at: usize,
    /// Where the outer source port stands, if the packet is tunnelled.
    pub outer_port_at: Option<usize>,
}

impl Traffic {
    /// Packets within one network.
    #[must_use]
    pub const fn bridged(flows: u32) -> Self {
        Self { flows, bytes: PACKET, routed: false, tunnelled: false, answered: false }
    }

    /// Packets to another network.
    #[must_use]
    pub const fn routed(flows: u32) -> Self {
        Self { flows, routed: true, ..Self::bridged(flows) }
    }

    /// Packets within one network, from another node.
    #[must_use]
    pub const fn tunnelled(flows: u32) -> Self {
        Self { flows, tunnelled: true, ..Self::bridged(flows) }
    }

    /// The same packets, of connections that both sides have spoken in. They are not tunnelled.
    #[must_use]
    pub const fn answered(self) -> Self {
        Self { answered: true, ..self }
    }

    /// The network of the receiving station.
    #[must_use]
    pub const fn far_network(self) -> u8 {
        self.routed as u8
    }

    /// A packet of the first flow. It has no UDP checksum, which IPv4 allows, so that a change of port leaves it right.
    #[must_use]
    pub fn packet(self) -> Vec<u8> {
        let to = if self.routed { GATEWAY } else { 2 };
        let addresses = [address(0, 1), address(self.far_network(), 2)];
        datagram([station_mac(1), station_mac(to)], addresses, [FIRST_PORT, SERVICE], self.bytes)
    }

    /// What the sender puts on its link.
    #[must_use]
    pub fn sent(self) -> Cycle {
        let (packet, flows) = (self.packet(), self.flows);
        if self.tunnelled {
            let (port_at, service_at) = (OUTER + SOURCE_PORT_AT, OUTER + DESTINATION_PORT_AT);
            let outer_port_at = Some(underlay::SOURCE_PORT_AT);
            return Cycle { packet: tunnelled(&packet), flows, port_at, service_at, outer_port_at };
        }
        Cycle { packet, flows, port_at: SOURCE_PORT_AT, service_at: DESTINATION_PORT_AT, outer_port_at: None }
    }

    /// What the receiver answers with: a packet a flow, the other way.
    #[must_use]
    pub fn answers(self) -> Cycle {
        let to = if self.routed { GATEWAY } else { 1 };
        let addresses = [address(self.far_network(), 2), address(0, 1)];
        let packet = datagram([station_mac(2), station_mac(to)], addresses, [SERVICE, FIRST_PORT], self.bytes);
        let (port_at, service_at) = (DESTINATION_PORT_AT, SOURCE_PORT_AT);
        Cycle { packet, flows: self.flows, port_at, service_at, outer_port_at: None }
    }
}

/// A UDP packet of so many bytes, each pair from source to destination.
fn datagram(macs: [MacAddr; 2], addresses: [Ipv4Addr; 2], ports: [u16; 2], bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    let ethernet = EthernetHeader { destination: macs[1], source: macs[0], ethertype: EtherType::IPV4 };
    let length = (bytes - SOURCE_PORT_AT) as u16;
    let ipv4 = Ipv4Header::new(addresses[0], addresses[1], IpProtocol::UDP, length);
    let udp = UdpHeader { source_port: ports[0], destination_port: ports[1], len: length, checksum: 0 };
    // The buffers are of the headers' own lengths.
    let _ = ethernet.emit(&mut packet[..ETHERNET]);
    let _ = ipv4.emit(&mut packet[ETHERNET..SOURCE_PORT_AT]);
    let _ = udp.emit(&mut packet[SOURCE_PORT_AT..]);
    packet
}

/// The address of a station.
#[must_use]
pub const fn address(network: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 90, network, number)
}

/// The MAC address of the gateway.
#[must_use]
pub const fn gateway_mac() -> MacAddr {
    station_mac(GATEWAY)
}

#[cfg(test)]
mod tests {
    use podlane_dataplane::{PortId, stage::classify::key_of};
    use podlane_wire::Ipv4;

    use super::*;

    #[test]
    fn a_packet_is_one_the_switch_takes() {
        for traffic in [Traffic::bridged(1), Traffic::routed(1000)] {
            let packet = traffic.packet();
            assert!(key_of(PortId(1), &packet).is_ok());
            let (ipv4, _) = Ipv4::parse(&packet[ETHERNET..]).unwrap();
            assert_eq!(ipv4.verify_checksum(), Ok(()));
            assert_eq!(ipv4.destination(), address(traffic.far_network(), 2));
        }
    }

    #[test]
    fn an_answer_is_its_packet_the_other_way() {
        let ends = |packet: &[u8]| {
            let (key, _) = key_of(PortId(1), packet).unwrap();
            let ((from, to), (source, destination)) = (key.addresses().unwrap(), key.ports());
            ((from, source), (to, destination))
        };
        for traffic in [Traffic::bridged(1), Traffic::routed(1000)] {
            let (client, service) = ends(&traffic.sent().packet);
            assert_eq!(ends(&traffic.answers().packet), (service, client), "{traffic:?}");
        }
    }

    #[test]
    fn routed_packets_go_to_the_gateway_and_bridged_ones_to_the_station() {
        let destination = |traffic: Traffic| MacAddr(*traffic.packet().first_chunk().unwrap());
        assert_eq!(destination(Traffic::routed(1)), gateway_mac());
        assert_eq!(destination(Traffic::bridged(1)), station_mac(2));
    }
}
