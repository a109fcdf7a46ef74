//! Whole frames against the oracle: noise, and frames built by the emitters, whole, padded, cut and bent.

mod oracle;

use podlane_wire::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Fragment, Ipv6Header, MacAddr, OptionBytes, Packet,
    SctpHeader, TcpFlags, TcpHeader, UdpHeader, VlanTag,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Puts `header` in front of what is there.
fn before(payload: &mut Vec<u8>, emit: impl FnOnce(&mut [u8]) -> Result<usize, podlane_wire::NoRoom>) {
    let mut header = [0; 64];
    let len = emit(&mut header).expect("no header is longer than 60 bytes");
    payload.splice(..0, header[..len].iter().copied());
}

fn transport() -> impl Strategy<Value = (IpProtocol, Vec<u8>)> {
    let payload = || vec(any::<u8>(), 0..80);
    let tcp = (payload(), any::<[u16; 2]>(), any::<u8>(), vec(any::<u8>(), 0..=40)).prop_map(
        |(mut bytes, [source_port, destination_port], flags, options)| {
            let options = OptionBytes::new(&options).expect("at most 40");
            let flags = TcpFlags(flags);
            let header = TcpHeader { source_port, destination_port, flags, options, ..TcpHeader::default() };
            before(&mut bytes, |to| header.emit(to));
            (IpProtocol::TCP, bytes)
        },
    );
    let udp = (payload(), any::<[u16; 2]>()).prop_map(|(mut bytes, [source_port, destination_port])| {
        let len = bytes.len() as u16 + 8;
        before(&mut bytes, |to| UdpHeader { source_port, destination_port, len, checksum: 0 }.emit(to));
        (IpProtocol::UDP, bytes)
    });
    let sctp = (payload(), any::<u32>()).prop_map(|(mut bytes, verification_tag)| {
        before(&mut bytes, |to| SctpHeader { verification_tag, ..SctpHeader::default() }.emit(to));
        (IpProtocol::SCTP, bytes)
    });
    let other = (prop_oneof![Just(1), Just(58), Just(2), Just(51), Just(59), any::<u8>()], payload())
        .prop_map(|(protocol, bytes)| (IpProtocol(protocol), bytes));
    prop_oneof![tcp, udp, sctp, other]
}

fn ipv4() -> impl Strategy<Value = (EtherType, Vec<u8>)> {
    let fragment = prop_oneof![3 => Just((false, 0)), 1 => (any::<bool>(), any::<u16>())];
    (transport(), any::<[[u8; 4]; 2]>(), fragment, vec(any::<u8>(), 0..=40)).prop_map(
        |((protocol, mut bytes), [source, destination], (more_fragments, offset), options)| {
            let mut header = Ipv4Header::new(source.into(), destination.into(), protocol, bytes.len() as u16);
            header.more_fragments = more_fragments;
            header.fragment_offset = offset & 0xfff8;
            header.options = OptionBytes::new(&options).expect("at most 40");
            before(&mut bytes, |to| header.emit(to));
            (EtherType::IPV4, bytes)
        },
    )
}

fn ipv6() -> impl Strategy<Value = (EtherType, Vec<u8>)> {
    let kind = proptest::sample::select(std::vec![0u8, 43, 44, 51, 60, 135, 139, 140]);
    let extensions = prop_oneof![2 => vec(Just(60), 0..1).boxed(), 2 => vec(kind, 0..10).boxed()];
    (transport(), any::<[[u8; 16]; 2]>(), extensions, any::<(bool, u16)>()).prop_map(
        |((mut next_header, mut bytes), [source, destination], extensions, (more, offset))| {
            for extension in extensions {
                match IpProtocol(extension) {
                    IpProtocol::FRAGMENT => {
                        let offset = if offset % 2 == 0 { 0 } else { offset & 0xfff8 };
                        let fragment = Ipv6Fragment { next_header, offset, more, identification: 1 };
                        before(&mut bytes, |to| fragment.emit(to));
                    }
                    IpProtocol::AUTHENTICATION => {
                        bytes.splice(..0, [next_header.0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9]);
                    }
                    _ => drop(bytes.splice(..0, [next_header.0, 0, 1, 4, 0, 0, 0, 0])),
                }
                next_header = IpProtocol(extension);
            }
            let header = Ipv6Header::new(source.into(), destination.into(), next_header, bytes.len() as u16);
            before(&mut bytes, |to| header.emit(to));
            (EtherType::IPV6, bytes)
        },
    )
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let arp = any::<[u8; 22]>().prop_map(|rest| (EtherType::ARP, [&[0, 1, 8, 0, 6, 4][..], &rest].concat()));
    let other = (any::<u16>(), vec(any::<u8>(), 0..64)).prop_map(|(kind, bytes)| (EtherType(kind), bytes));
    let network = prop_oneof![4 => ipv4(), 4 => ipv6(), 1 => arp, 1 => other];
    let tags = prop_oneof![4 => vec(any::<u16>(), 0..=2), 1 => vec(any::<u16>(), 3..=4)];
    (any::<[[u8; 6]; 2]>(), tags, network, 0..40usize).prop_map(
        |([destination, source], tags, (mut ethertype, mut bytes), padding)| {
            bytes.resize(bytes.len() + padding, 0);
            for control in tags {
                let protocol = if control % 3 == 0 { EtherType::PROVIDER_VLAN } else { EtherType::VLAN };
                let [a, b, c, d] = tag_bytes(VlanTag::from_control(protocol, control), ethertype);
                bytes.splice(..0, [a, b, c, d]);
                ethertype = protocol;
            }
            let header = EthernetHeader { destination: MacAddr(destination), source: MacAddr(source), ethertype };
            before(&mut bytes, |to| header.emit(to));
            bytes
        },
    )
}

/// The control word and the EtherType behind it.
fn tag_bytes(tag: VlanTag, next: EtherType) -> [u8; 4] {
    let ([a, b], [c, d]) = (tag.control().to_be_bytes(), next.0.to_be_bytes());
    [a, b, c, d]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_read_as_etherparse_reads_it(bytes in vec(any::<u8>(), 0..200)) {
        oracle::check(&bytes);
    }

    #[test]
    fn listeners_and_tunnels_survive_noise(
        kind in prop::sample::select(&[0x08u8, 0x00, 0x02, 0x11, 0x16, 0x22, 130, 131, 143][..]),
        bytes in vec(prop_oneof![3 => Just(0u8), 2 => 0u8..8, 1 => any::<u8>(), 1 => Just(0xff)], 0..100),
    ) {
        oracle::check(&[&[kind], &bytes[..]].concat());
    }

    #[test]
    fn frames_are_read_as_etherparse_reads_them(bytes in frame()) {
        oracle::check(&bytes);
    }

    #[test]
    fn bent_frames_are_read_as_etherparse_reads_them(
        bytes in frame(),
        bends in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        near_the_front in any::<bool>(),
    ) {
        let mut bytes = bytes;
        let reach = if near_the_front { bytes.len().min(60) } else { bytes.len() };
        for (at, byte) in bends {
            bytes[at.index(reach)] = byte;
        }
        oracle::check(&bytes);
    }

    #[test]
    fn frames_cut_anywhere_are_read_as_etherparse_reads_them(bytes in frame(), at in any::<prop::sample::Index>()) {
        oracle::check(&bytes[..at.index(bytes.len() + 1)]);
    }

    #[test]
    fn a_frame_without_padding_cut_inside_its_headers_is_refused(bytes in frame(), at in any::<prop::sample::Index>()) {
        if let Ok(packet) = Packet::parse(&bytes) {
            let cut = at.index(packet.payload.start.max(1));
            prop_assert!(Packet::parse(&bytes[..cut]).is_err() || packet.network == podlane_wire::Network::Other);
        }
    }
}
