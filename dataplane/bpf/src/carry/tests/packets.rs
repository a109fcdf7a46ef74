//! Packets of a flow from BLUE to RED, whole or bent.

use super::*;

pub(super) const BLUE: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
pub(super) const RED: [u8; 6] = [2, 0, 0, 0, 0, 0xe];

const BLUE4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const RED4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const BLUE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const RED6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

/// Where the IP header begins in a frame without tags.
pub(super) const L3: usize = 14;

/// What a packet is made of.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) ipv6: bool,
    pub(super) protocol: u8,
    /// The source port; the destination port is 80.
    pub(super) port: u16,
    pub(super) source_mac: [u8; 6],
    pub(super) hops: u8,
    /// Of TCP.
    pub(super) flags: u8,
    /// Of SCTP, the first chunk's type; of ICMP, the message's.
    pub(super) kind: u8,
    /// Bytes behind the transport's header.
    pub(super) payload: usize,
}

impl Packet {
    pub(super) fn udp() -> Self {
        let (source_mac, port) = (BLUE, 4000);
        Self { ipv6: false, protocol: UDP, port, source_mac, hops: 64, flags: 0x10, kind: 0, payload: 100 }
    }

    pub(super) fn tcp() -> Self {
        Self { protocol: TCP, ..Self::udp() }
    }

    pub(super) fn echo() -> Self {
        Self { protocol: ICMP, kind: 8, ..Self::udp() }
    }

    pub(super) fn over_ipv6(self) -> Self {
        let (protocol, kind) = if self.protocol == ICMP { (ICMPV6, 128) } else { (self.protocol, self.kind) };
        Self { ipv6: true, protocol, kind, ..self }
    }

    /// The flow it is of, with BLUE for its source whatever MAC address it bears.
    pub(super) fn key(&self) -> Key {
        let (source, destination): (IpAddr, IpAddr) =
            if self.ipv6 { (BLUE6.into(), RED6.into()) } else { (BLUE4.into(), RED4.into()) };
        let ports = match self.protocol {
            ICMP | ICMPV6 => [self.kind, 0, 0, 0],
            _ => {
                let [high, low] = self.port.to_be_bytes();
                [high, low, 0, 80]
            }
        };
        let (from, protocol) = (Origin::Device(LOOPBACK), self.protocol);
        Key { from, destination_mac: RED, source_mac: BLUE, source, destination, protocol, ports }
    }

    fn transport(&self) -> Vec<u8> {
        let [high, low] = self.port.to_be_bytes();
        let mut bytes = vec![high, low, 0, 80];
        match self.protocol {
            TCP => {
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.flags, 1, 0, 0, 0, 0, 0]);
            }
            UDP => {
                bytes.extend((8 + self.payload as u16).to_be_bytes());
                bytes.extend([0; 2]);
            }
            SCTP => {
                bytes.extend([0, 0, 0, 9, 0, 0, 0, 0, self.kind, 3]);
                bytes.extend((4 + self.payload as u16).to_be_bytes());
            }
            _ => bytes = vec![self.kind, 0, 0, 0, 0, 1, 0, 1],
        }
        bytes.resize(bytes.len() + self.payload, 0xaa);
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut bytes = [RED, self.source_mac].concat();
        if self.ipv6 {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend((transport.len() as u16).to_be_bytes());
            bytes.extend([self.protocol, self.hops]);
            bytes.extend(BLUE6.octets());
            bytes.extend(RED6.octets());
        } else {
            bytes.extend([8, 0, 0x45, 0]);
            bytes.extend((20 + transport.len() as u16).to_be_bytes());
            bytes.extend([0, 7, 0x40, 0, self.hops, self.protocol, 0, 0]);
            bytes.extend(BLUE4.octets());
            bytes.extend(RED4.octets());
            let sum = !ones_sum(&bytes[L3..L3 + 20]);
            bytes[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
        }
        bytes.extend(transport);
        bytes
    }

    /// With bytes of it changed.
    pub(super) fn bent(&self, changes: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = self.bytes();
        for &(at, byte) in changes {
            bytes[at] = byte;
        }
        bytes
    }
}

/// The sum of the words in ones' complement (RFC 1071): 0xffff over a header whose checksum is right.
pub(super) fn ones_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
