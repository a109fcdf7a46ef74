//! What is sent: minimum-size UDP packets of one or many flows, between two stations that only tables know.

use core::net::Ipv4Addr;

use podlane_wire::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, MacAddr, UdpHeader};

use crate::{
    bed::station_mac,
    load::underlay::{OUTER, tunnelled},
};

/// Bytes of a packet: 64 on a wire, less the frame check sequence, which a veth does not have.
pub const PACKET: usize = 60;

/// One packet, ready to be copied into a frame.
pub type Packet = [u8; PACKET];

const ETHERNET: usize = 14;
const IPV4: usize = 20;

/// The source port of the first flow; the others follow.
pub const FIRST_PORT: u16 = 1024;

/// The number of the gateway's station in each network.
pub const GATEWAY: u8 = 254;

/// Which packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// Flows, told apart by their source port; sent in turns, one packet each.
    pub flows: u16,
    /// Whether the packets go to another network by the gateway's MAC address.
    pub routed: bool,
    /// Whether they come from another node, in VXLAN.
    pub tunnelled: bool,
}

impl Traffic {
    /// Packets within one network.
    #[must_use]
    pub const fn bridged(flows: u16) -> Self {
        Self { flows, routed: false, tunnelled: false }
    }

    /// Packets to another network.
    #[must_use]
    pub const fn routed(flows: u16) -> Self {
        Self { flows, routed: true, tunnelled: false }
    }

    /// Packets within one network, from another node.
    #[must_use]
    pub const fn tunnelled(flows: u16) -> Self {
        Self { flows, routed: false, tunnelled: true }
    }

    /// The network of the receiving station.
    #[must_use]
    pub const fn far_network(self) -> u8 {
        self.routed as u8
    }

    /// A packet of the first flow. It has no UDP checksum, which IPv4 allows, so that a change of port leaves it right.
    #[must_use]
    pub fn packet(self) -> Packet {
        let to = if self.routed { GATEWAY } else { 2 };
        let (source, destination) = (address(0, 1), address(self.far_network(), 2));
        let mut packet = [0; PACKET];
        let ethernet =
            EthernetHeader { destination: station_mac(to), source: station_mac(1), ethertype: EtherType::IPV4 };
        let length = (PACKET - ETHERNET - IPV4) as u16;
        let ipv4 = Ipv4Header::new(source, destination, IpProtocol::UDP, length);
        let udp = UdpHeader { source_port: FIRST_PORT, destination_port: 9, len: length, checksum: 0 };
        // The buffers are of the headers' own lengths.
        let _ = ethernet.emit(&mut packet[..ETHERNET]);
        let _ = ipv4.emit(&mut packet[ETHERNET..ETHERNET + IPV4]);
        let _ = udp.emit(&mut packet[ETHERNET + IPV4..]);
        packet
    }

    /// What is put on the link: [`Self::packet`], and around it what carries it between nodes.
    #[must_use]
    pub fn on_the_link(self) -> Vec<u8> {
        let packet = self.packet();
        if self.tunnelled { tunnelled(&packet) } else { packet.to_vec() }
    }

    /// Where in [`Self::on_the_link`] the source port stands that tells flows apart.
    #[must_use]
    pub const fn source_port_at(self) -> usize {
        ETHERNET + IPV4 + if self.tunnelled { OUTER } else { 0 }
    }
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
    fn routed_packets_go_to_the_gateway_and_bridged_ones_to_the_station() {
        let destination = |traffic: Traffic| MacAddr(*traffic.packet().first_chunk().unwrap());
        assert_eq!(destination(Traffic::routed(1)), gateway_mac());
        assert_eq!(destination(Traffic::bridged(1)), station_mac(2));
    }
}
