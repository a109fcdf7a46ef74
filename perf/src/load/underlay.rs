//! The underlay of the tunnel runs: two nodes of which only the near one exists. The far one is a generator or a counter, so that
//! what is measured is one switch, and it answers nothing: whoever is measured is told its MAC address beforehand.

use core::net::Ipv4Addr;

use podlane_wire::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, MacAddr, UdpHeader, Vxlan, VxlanHeader};

use crate::bed::station_mac;

/// The near node's VTEP: what is measured.
pub const VTEP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The far node's.
pub const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The prefix both are in.
pub const PREFIX: u8 = 24;

/// What the pods' network is called on the wire.
pub const VNI: u32 = 7;

/// Bytes of the outer headers: Ethernet, IPv4, UDP, VXLAN.
pub const OUTER: usize = ETHERNET + IPV4 + UDP + Vxlan::LEN;

/// Where the outer UDP source port stands.
pub const SOURCE_PORT_AT: usize = ETHERNET + IPV4;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// The MAC address of the near node's uplink; the bed's link is given it.
#[must_use]
pub const fn uplink_mac() -> MacAddr {
    station_mac(9)
}

/// The MAC address of the far node's uplink. No link has it, as no link has a station's.
#[must_use]
pub const fn peer_mac() -> MacAddr {
    station_mac(10)
}

/// An inner packet as the far node sends it: with no outer UDP checksum, as is usual over IPv4 (RFC 7348, 5).
#[must_use]
pub fn tunnelled(inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; OUTER];
    let ethernet = EthernetHeader { destination: uplink_mac(), source: peer_mac(), ethertype: EtherType::IPV4 };
    let length = (UDP + Vxlan::LEN + inner.len()) as u16;
    let ipv4 = Ipv4Header::new(PEER, VTEP, IpProtocol::UDP, length);
    let udp = UdpHeader { source_port: 0, destination_port: Vxlan::PORT, len: length, checksum: 0 };
    // The buffers are of the headers' own lengths.
    let _ = ethernet.emit(&mut packet[..ETHERNET]);
    let _ = ipv4.emit(&mut packet[ETHERNET..SOURCE_PORT_AT]);
    let _ = udp.emit(&mut packet[SOURCE_PORT_AT..SOURCE_PORT_AT + UDP]);
    let _ = VxlanHeader { network: VNI }.emit(&mut packet[SOURCE_PORT_AT + UDP..]);
    packet.extend_from_slice(inner);
    packet
}

#[cfg(test)]
mod tests {
    use podlane_wire::{Ipv4, Udp};

    use super::*;

    #[test]
    fn a_tunnelled_packet_holds_the_inner_one_whole() {
        let inner = [0x5a; 60];
        let packet = tunnelled(&inner);
        assert_eq!(packet.len(), OUTER + inner.len());
        let (ipv4, datagram) = Ipv4::parse(&packet[ETHERNET..]).unwrap();
        assert_eq!((ipv4.verify_checksum(), ipv4.source(), ipv4.destination()), (Ok(()), PEER, VTEP));
        let (udp, payload) = Udp::parse(datagram).unwrap();
        assert_eq!((udp.destination_port(), udp.checksum()), (Vxlan::PORT, 0));
        let (vxlan, carried) = Vxlan::parse(payload).unwrap();
        assert_eq!((vxlan.network(), carried), (VNI, &inner[..]));
    }
}
