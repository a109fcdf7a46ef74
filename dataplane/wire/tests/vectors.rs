//! Frames laid out by hand from the RFCs, their checksums worked out apart from this crate. Bytes that a parser once got
//! wrong are added here.

mod oracle;

use podlane_wire::checksum::{verify_icmpv6, verify_tcp, verify_udp_v4, verify_udp_v6};
use podlane_wire::tcp::TcpOption;
use podlane_wire::{
    EtherType, Geneve, Icmpv4, IpProtocol, Ipv4, NdOption, NeighbourDiscovery, Network, Packet, Transport, Udp, Vxlan,
};

/// A SYN from 10.0.0.1:40000 to 10.0.0.2:80 as Linux makes it.
#[rustfmt::skip]
const TCP_SYN: [u8; 74] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x00, 0x3c, 0x00, 0x01, 0x40, 0x00, 0x40, 0x06, 0x26, 0xb9, // IPv4: 60 bytes, don't fragment, TTL 64
    0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02,
    0x9c, 0x40, 0x00, 0x50, 0x11, 0x22, 0x33, 0x44, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0, // TCP
    0x58, 0x15, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x01, // MSS, SACK permitted, timestamps,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07, // no operation, window scale
];

/// Who has fd00::2? asked by 02:00:00:00:00:01.
#[rustfmt::skip]
const SOLICITATION: [u8; 86] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x86, 0xdd, // Ethernet
    0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, // IPv6: 32 bytes of ICMPv6, hop limit 255
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x87, 0x00, 0x7e, 0x9b, 0x00, 0x00, 0x00, 0x00, // neighbour solicitation
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, // the asker's address
];

/// UDP behind a provider's and a customer's tag.
#[rustfmt::skip]
const QINQ_UDP: [u8; 74] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, // Ethernet
    0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x64, 0x86, 0xdd, // VLAN 7, VLAN 100
    0x60, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x11, 0x40, // IPv6: 12 bytes of UDP
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    0x9c, 0x40, 0x00, 0x35, 0x00, 0x0c, 0x94, 0x79, 0x70, 0x6f, 0x64, 0x73, // UDP: 40000 to 53, "pods"
];

/// An ARP request inside VXLAN network 100.
#[rustfmt::skip]
const VXLAN_ARP: [u8; 92] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x00, 0x4e, 0x00, 0x01, 0x40, 0x00, 0x40, 0x11, 0x26, 0x9c, // IPv4: 78 bytes
    0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02,
    0x9c, 0x40, 0x12, 0xb5, 0x00, 0x3a, 0xa0, 0x6e, // UDP: to 4789, 58 bytes
    0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0x00, // VXLAN
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, // inner Ethernet
    0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, // ARP request
    0x0a, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02,
];

#[test]
fn a_syn_is_read_in_full_and_its_checksums_are_right() {
    oracle::check(&TCP_SYN);
    let packet = Packet::parse(&TCP_SYN).unwrap();
    let (Network::Ipv4(ipv4), Transport::Tcp(tcp)) = (packet.network, packet.transport) else {
        panic!("not TCP over IPv4: {packet:?}");
    };
    assert_eq!((packet.network_at, packet.transport_at, packet.payload.clone()), (14, 34, 74..74));
    assert_eq!(ipv4.verify_checksum(), Ok(()));
    assert_eq!(verify_tcp(ipv4.pseudo(40), &TCP_SYN[34..]), Ok(()));
    assert_eq!(tcp.options().last(), Some(Ok(TcpOption::WindowScale(7))));
    assert_eq!(packet.transport.ports(), Some((40_000, 80)));
}

#[test]
fn a_neighbour_solicitation_is_read_in_full_and_its_checksum_is_right() {
    oracle::check(&SOLICITATION);
    let packet = Packet::parse(&SOLICITATION).unwrap();
    let (Network::Ipv6(ipv6, upper), Transport::Icmpv6(icmp)) = (packet.network, packet.transport) else {
        panic!("not ICMPv6: {packet:?}");
    };
    assert_eq!(verify_icmpv6(ipv6.pseudo(IpProtocol::ICMPV6, 32), upper.payload), Ok(()));
    let body = &SOLICITATION[packet.payload];
    let Ok(Some(NeighbourDiscovery::Solicitation(asked, options))) =
        NeighbourDiscovery::parse(ipv6.hop_limit(), icmp, body)
    else {
        panic!("not a solicitation: {icmp:?}");
    };
    assert_eq!(asked.target, ipv6.destination());
    assert_eq!(options.collect::<Vec<_>>(), [Ok(NdOption::SourceMac(packet.ethernet.source()))]);
}

#[test]
fn two_tags_are_read_and_a_third_is_not() {
    oracle::check(&QINQ_UDP);
    let packet = Packet::parse(&QINQ_UDP).unwrap();
    let tags: Vec<_> = packet.tags.iter().map(|tag| (tag.protocol, tag.id)).collect();
    assert_eq!(tags, [(EtherType::PROVIDER_VLAN, 7), (EtherType::VLAN, 100)]);
    let Network::Ipv6(ipv6, upper) = packet.network else {
        panic!("not IPv6: {packet:?}");
    };
    assert_eq!(verify_udp_v6(ipv6.pseudo(IpProtocol::UDP, 12), upper.payload), Ok(()));
    assert_eq!(&QINQ_UDP[packet.payload], b"pods");
    let mut looped = QINQ_UDP.to_vec();
    looped.splice(12..12, [0x88, 0xa8, 0, 1]);
    assert_eq!(Packet::parse(&looped), Err(podlane_wire::Malformed::TooManyVlanTags));
}

#[test]
fn a_frame_inside_vxlan_is_found() {
    oracle::check(&VXLAN_ARP);
    let packet = Packet::parse(&VXLAN_ARP).unwrap();
    let (Network::Ipv4(ipv4), Transport::Udp(udp)) = (packet.network, packet.transport) else {
        panic!("not UDP over IPv4: {packet:?}");
    };
    assert_eq!(verify_udp_v4(ipv4.pseudo(udp.len()), &VXLAN_ARP[34..]), Ok(()));
    let (vxlan, inner) = Vxlan::parse(&VXLAN_ARP[packet.payload]).unwrap();
    assert_eq!(vxlan.network(), 100);
    let inner = Packet::parse(inner).unwrap();
    assert!(matches!(inner.network, Network::Arp(arp) if arp.target_ip() == ipv4.destination()));
}

/// The same request inside Geneve network 100, behind a critical option.
#[test]
fn a_frame_inside_geneve_is_found() {
    let mut frame = VXLAN_ARP.to_vec();
    frame.splice(42..50, [0x02, 0x40, 0x65, 0x58, 0, 0, 0x64, 0, 0x01, 0x02, 0x80, 0x01, 0, 0, 0, 1]);
    frame[36..38].copy_from_slice(&Geneve::PORT.to_be_bytes());
    (frame[17], frame[39]) = (frame[17] + 8, frame[39] + 8);
    oracle::check(&frame);
    let packet = Packet::parse(&frame).unwrap();
    let (geneve, inner) = Geneve::parse(&frame[packet.payload]).unwrap();
    assert_eq!((geneve.network(), geneve.protocol()), (100, EtherType::ETHERNET));
    assert!(geneve.is_critical() && geneve.options().all(|option| option.is_ok_and(|option| option.is_critical())));
    assert!(Packet::parse(inner).is_ok_and(|inner| matches!(inner.network, Network::Arp(_))));
}

/// A router quotes as little as the header and eight bytes (RFC 792); the flow must be found all the same.
#[test]
fn a_packet_quoted_in_an_error_is_read_as_far_as_it_goes() {
    let mut error = vec![3, 4, 0, 0, 0, 0, 0x05, 0xaa];
    error.extend(&VXLAN_ARP[14..42]);
    let (icmp, quoted) = Icmpv4::parse(&error).unwrap();
    assert_eq!(icmp.next_hop_mtu(), 1450);
    let (ipv4, quoted) = Ipv4::parse_quoted(quoted).unwrap();
    let (udp, rest) = Udp::parse_first_fragment(quoted).unwrap();
    assert_eq!((ipv4.protocol(), udp.destination_port(), rest.len()), (IpProtocol::UDP, Vxlan::PORT, 0));
}

#[test]
fn fragments_have_no_ports_but_the_first() {
    let mut frame = VXLAN_ARP;
    frame[20] = 0x20; // more fragments
    frame[17] = 0x4c; // of 56 bytes, a multiple of eight
    oracle::check(&frame);
    assert!(Packet::parse(&frame).is_ok_and(|packet| packet.is_fragment() && packet.transport.ports().is_some()));
    frame[21] = 0x02;
    oracle::check(&frame);
    let packet = Packet::parse(&frame).unwrap();
    assert_eq!((packet.transport, packet.payload), (Transport::LaterFragment(IpProtocol::UDP), 34..90));
}

/// The fuzzer's seeds are one good frame of each kind; a seed that no parser accepts teaches it nothing.
#[test]
fn every_seed_is_a_good_frame() {
    let seeds = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds")).unwrap();
    let mut count = 0;
    for seed in seeds {
        let path = seed.unwrap().path();
        let frame = std::fs::read(&path).unwrap();
        oracle::check(&frame);
        assert!(Packet::parse(&frame).is_ok(), "{path:?}: {:?}", Packet::parse(&frame));
        count += 1;
    }
    assert_eq!(count, 21);
}

/// The reserved flag counts in the checksum, and 0xffff stands for zero there; `etherparse` sees both otherwise.
#[test]
fn odd_ipv4_headers_are_verified_as_they_came() {
    let mut frame = TCP_SYN;
    frame[20] |= 0x80;
    frame[24..26].copy_from_slice(&[0xa6, 0xb8]); // 0x26b9 less 0x8000, in ones' complement
    oracle::check(&frame);
    let verdict = |frame: &[u8]| Ipv4::parse(&frame[14..]).map(|(ipv4, _)| ipv4.verify_checksum());
    assert_eq!(verdict(&frame), Ok(Ok(())));
    let mut frame = TCP_SYN;
    frame[18..20].copy_from_slice(&[0x26, 0xba]); // an identification that makes the right checksum zero
    for zero in [[0, 0], [0xff, 0xff]] {
        frame[24..26].copy_from_slice(&zero);
        oracle::check(&frame);
        assert_eq!(verdict(&frame), Ok(Ok(())));
    }
}
