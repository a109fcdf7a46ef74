//! The outer headers nearly every tunnelled packet has, read at fixed offsets.
//!
//! Untagged, IPv4 without options, whole, for the VTEP address and at the service that come first, without a UDP checksum: a few
//! plain loads. Anything else is `None` here, and [`outer`](super::outer) says what it is; a property test holds the two together.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    Encapsulation,
    outer::{Opened, Reading, read},
};
use crate::{
    headers::{ETHERNET, FRAGMENT, IPV4, UDP_HEADER as UDP},
    ids::{PathId, Vni},
    stage::hop::is_valid,
    tables::{arrivals::Arrival, underlay::Underlay},
};

/// All outer headers, and the inner Ethernet header.
const HEAD: usize = BEFORE + ETHERNET;
const BEFORE: usize = ETHERNET + IPV4 + UDP + super::HEADER;

/// What is looked for, and what was found last: packets of one peer and network come in runs.
pub struct Glance<'a> {
    underlay: &'a Underlay,
    /// The VLAN tunnels are in on the uplink.
    vlan: Option<u16>,
    vtep: [u8; 4],
    /// UDP port, as it stands in the packet.
    port: [u8; 2],
    encapsulation: Encapsulation,
    last: ([u8; 4], Vni),
    path: Option<PathId>,
}

impl<'a> Glance<'a> {
    /// For one burst of an uplink whose tunnels are in `vlan`.
    #[must_use]
    pub fn new(underlay: &'a Underlay, vlan: Option<u16>) -> Self {
        let vtep = underlay.vteps.iter().find_map(|vtep| match vtep.address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let (port, encapsulation) = underlay.services.first().copied().unwrap_or((0, Encapsulation::Vxlan));
        // A node without IPv4 finds nothing here: no packet is sent to the unspecified address.
        let vtep = vtep.unwrap_or(Ipv4Addr::UNSPECIFIED).octets();
        Self { underlay, vlan, vtep, port: port.to_be_bytes(), encapsulation, last: ([0; 4], Vni(0)), path: None }
    }

    /// Reads a frame of `length` bytes in all, of which `bytes` are the first segment.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], length: usize) -> Reading {
        match self.plain(bytes, length) {
            Some(opened) => Reading::Tunnelled(opened),
            None => read(self.underlay, self.vlan, bytes, length),
        }
    }

    #[inline]
    fn plain(&mut self, bytes: &[u8], length: usize) -> Option<Opened> {
        const UDP_PROTOCOL: u8 = 17;
        let head = bytes.first_chunk::<HEAD>()?;
        let ip = head[ETHERNET..].first_chunk::<IPV4>()?;
        let udp = head[ETHERNET + IPV4..].first_chunk::<UDP>()?;
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let stated = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        let fragment = u16::from_be_bytes([ip[6], ip[7]]) & FRAGMENT;
        let plain = self.vlan.is_none()
            && head[12..15] == [0x08, 0, 0x45]
            && ip[9] == UDP_PROTOCOL
            && fragment == 0
            && ip[16..] == self.vtep
            && udp[2..4] == self.port
            && udp[6..] == [0, 0]
            && total == stated + IPV4
            && total + ETHERNET <= length
            && stated >= UDP + super::HEADER + ETHERNET;
        let tagged = matches!([head[HEAD - 2], head[HEAD - 1]], [0x81, 0] | [0x88, 0xa8]);
        if !plain || tagged || !is_valid(ip) {
            return None;
        }
        let (vni, header) = self.encapsulation.open(&head[ETHERNET + IPV4 + UDP..]).ok()?;
        if header != super::HEADER {
            return None;
        }
        let source = [ip[12], ip[13], ip[14], ip[15]];
        if self.last != (source, vni) || self.path.is_none() {
            self.path = self.underlay.arrivals.path(Arrival::new(source.into(), self.encapsulation, vni));
            self.last = (source, vni);
        }
        let path = self.path?;
        Some(Opened { path, before: BEFORE, inner: stated - UDP - super::HEADER, ecn: ip[1] & 3, checksum: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ids::{NetworkId, PortId},
        tables::underlay::{Hop, Peer, Segment, Uplink, Vtep},
        tunnel::{Outer, Template, template::Patch},
    };
    use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};
    use podlane_wire::MacAddr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn underlay(encapsulation: Encapsulation) -> Underlay {
        let segment = |network, vni| Segment::of(NetworkId(network), Vni(vni), encapsulation, vec![0]);
        Underlay::of(
            vec![Vtep { address: HERE, shared: false }],
            vec![Uplink { port: PortId(1), mac: MAC, vlan: None, mtu: 1500, link_local: MAC.link_local() }],
            vec![Peer { address: THERE, vtep: HERE, hops: vec![Hop { uplink: 0, address: THERE }] }],
            &[segment(0, 7), segment(1, 8)],
        )
    }

    fn packet(encapsulation: Encapsulation, vni: u32, inner: &[u8]) -> Vec<u8> {
        let outer = Outer {
            source: THERE,
            destination: HERE,
            mac: MAC,
            vlan: None,
            encapsulation,
            udp_port: encapsulation.port(),
            vni: Vni(vni),
            checksum: false,
        };
        let config = UmemConfig { frames: 16, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
        let (umem, mut pool) = Umem::create(&config).unwrap();
        let mut frame = pool.write_packet(inner).unwrap();
        let patch = Patch { next_hop: MAC, entropy: 0, ecn: 0 };
        Template::of(&outer).push(&mut frame, inner.len(), patch, (&umem, false)).unwrap();
        let packet = frame.bytes().to_vec();
        pool.give(frame);
        packet
    }

    proptest! {
        /// What the glance takes, the long way takes, and reads the same. Bytes are bent around a good packet, since noise is
        /// hardly ever one.
        #[test]
        fn both_ways_read_the_same(
            geneve: bool, vni in 7u32..10, inner in 14usize..100, at in 0usize..80, byte: u8, bend: bool, cut in 0usize..4,
        ) {
            let encapsulation = if geneve { Encapsulation::Geneve } else { Encapsulation::Vxlan };
            let underlay = underlay(encapsulation);
            let mut bytes = packet(encapsulation, vni, &vec![0; inner]);
            if bend && let Some(bent) = bytes.get_mut(at) {
                *bent = byte;
            }
            bytes.truncate(bytes.len() - cut);
            let mut glance = Glance::new(&underlay, None);
            let plain = glance.plain(&bytes, bytes.len());
            prop_assert_eq!(plain.is_some(), glance.plain(&bytes, bytes.len()).is_some(), "memory changes nothing");
            if !bend && cut == 0 {
                prop_assert_eq!(plain.is_some(), vni < 9, "a good packet is plain");
            }
            if let Some(plain) = plain {
                let Reading::Tunnelled(opened) = read(&underlay, None, &bytes, bytes.len()) else {
                    return Err(TestCaseError::fail("the long way refuses it"));
                };
                prop_assert_eq!(
                    (plain.path, plain.before, plain.inner, plain.ecn),
                    (opened.path, opened.before, opened.inner, opened.ecn)
                );
                prop_assert!(opened.checksum.is_none());
            }
        }
    }
}
