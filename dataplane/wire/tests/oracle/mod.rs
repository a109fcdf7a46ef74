//! The one property that the tests and the fuzzer share: no bytes make a parser panic, what is accepted lies inside the
//! frame and is written back as it came, and `etherparse` reads the same.
//!
//! Where the two parsers differ on purpose, [`stricter`] and [`laxer`] say so; any other difference fails.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use podlane_wire::ipv4::Ipv4Option;
use podlane_wire::sctp::SctpChunks;
use podlane_wire::{
    Arp, EtherType, Geneve, Icmpv4, Icmpv6, Igmp, IpProtocol, Ipv4, Ipv6, Malformed, Mld, NeighbourDiscovery, Network,
    NoRoom, Packet, Sctp, Tcp, Transport, Udp, Upper, VlanTags, Vxlan, tcp,
};

/// Holds `frame` to the property.
pub(crate) fn check(frame: &[u8]) {
    feed_every_parser(frame);
    match (Packet::parse(frame), SlicedPacket::from_ethernet(frame)) {
        (Ok(ours), Ok(theirs)) => {
            lies_inside(&ours, frame);
            is_written_back(&ours, frame);
            feed_tunnels_and_listeners(&frame[ours.transport_at..ours.payload.end]);
            feed_tunnels_and_listeners(&frame[ours.payload.clone()]);
            agree(&ours, &theirs, frame);
        }
        (Ok(ours), Err(theirs)) => {
            lies_inside(&ours, frame);
            is_written_back(&ours, frame);
            assert!(laxer(&ours), "only we accept {ours:?}; {theirs}");
        }
        (Err(ours), Ok(theirs)) => assert!(stricter(ours, &theirs), "only we refuse, {ours:?}: {theirs:?}"),
        (Err(_), Err(_)) => {}
    }
}

/// Every parser and every walk must end without a panic on any bytes, whatever stands before them.
fn feed_every_parser(bytes: &[u8]) {
    if let Ok((ipv4, _)) = Ipv4::parse(bytes) {
        let walked: usize = ipv4.options().flatten().map(|Ipv4Option { data, .. }| data.len() + 1).sum();
        assert!(walked <= ipv4.option_bytes().len());
        let _ = ipv4.verify_checksum();
    }
    let _ = (Ipv4::parse_quoted(bytes), Ipv6::parse_quoted(bytes), Arp::parse(bytes));
    for ethertype in [EtherType::VLAN, EtherType::PROVIDER_VLAN] {
        let _ = VlanTags::parse(ethertype, bytes);
    }
    for protocol in [0, 6, 43, 44, 51, 60, 135].map(IpProtocol) {
        if let Ok(upper) = Upper::parse(protocol, bytes) {
            assert_eq!(upper.extensions_len + upper.payload.len(), bytes.len());
        }
    }
    if let Ok((icmp, body)) = Icmpv6::parse(bytes)
        && let Ok(Some(message)) = NeighbourDiscovery::parse(255, icmp, body)
    {
        assert!(message.options().count() <= body.len() / 8 + 1);
    }
    if let Ok((_, chunks)) = Sctp::parse(bytes) {
        assert!(SctpChunks::new(chunks).count() <= chunks.len() / 4 + 1);
    }
    if let Ok((tcp, _)) = Tcp::parse(bytes) {
        assert!(tcp.options().count() <= 40);
        let mut segment = bytes.to_vec();
        let _ = tcp::clamp_maximum_segment_size(&mut segment, 536);
        assert_eq!(segment.len(), bytes.len());
    }
    let _ = (Udp::parse(bytes), Icmpv4::parse(bytes));
    feed_tunnels_and_listeners(bytes);
}

/// What `etherparse` does not know, all of it over UDP, IGMP or ICMPv6: no panic, nothing outside the bytes, and what
/// was accepted is written back as it came, but for reserved bits and checksums.
fn feed_tunnels_and_listeners(bytes: &[u8]) {
    let written = |emit: &dyn Fn(&mut [u8]) -> Result<usize, NoRoom>| {
        let mut buffer = vec![0; bytes.len()];
        let len = emit(&mut buffer).expect("it came in as many bytes");
        buffer.truncate(len);
        buffer
    };
    if let Ok((vxlan, _)) = Vxlan::parse(bytes) {
        let plain = written(&|to| vxlan.header().emit(to)) == bytes[..Vxlan::LEN];
        assert_eq!(vxlan.has_reserved_bits(), !plain);
    }
    if let Ok((geneve, inner)) = Geneve::parse(bytes) {
        assert_eq!(geneve.header_len() + inner.len(), bytes.len());
        let walked: usize = geneve.options().flatten().map(|option| option.data.len() + 4).sum();
        assert!(walked <= geneve.option_bytes().len());
        let plain = written(&|to| geneve.header().emit(to)) == bytes[..geneve.header_len()];
        assert_eq!(geneve.has_reserved_bits(), !plain);
    }
    if let Ok(Some(message)) = Igmp::parse(bytes) {
        let again = written(&|to| message.emit(to));
        assert_eq!(Igmp::parse(&again), Ok(Some(message.clone())));
        if let Igmp::ReportV3(records) = message {
            assert!(records.count() <= bytes.len() / 8);
        }
    }
    if let Ok((icmp, body)) = Icmpv6::parse(bytes)
        && let Ok(Some(message)) = Mld::parse(1, icmp, body)
    {
        let again = written(&|to| message.emit(to));
        let (icmp, body) = Icmpv6::parse(&again).expect("just written");
        assert_eq!(Mld::parse(1, icmp, body), Ok(Some(message.clone())));
        if let Mld::ReportV2(records) = message {
            assert!(records.count() <= bytes.len() / 20 + 1);
        }
    }
}

fn lies_inside(packet: &Packet<'_>, frame: &[u8]) {
    assert!(14 <= packet.network_at && packet.network_at <= packet.transport_at);
    assert!(packet.transport_at <= packet.payload.start && packet.payload.start <= packet.payload.end);
    assert!(packet.payload.end <= frame.len());
}

/// Asserts that what `emit` wrote is what came.
fn same(frame: &[u8], at: usize, emit: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>) {
    let mut written = [0; 64];
    let len = emit(&mut written).expect("no header is longer than 60 bytes");
    assert_eq!(written[..len], frame[at..at + len]);
}

fn is_written_back(packet: &Packet<'_>, frame: &[u8]) {
    same(frame, 0, |to| packet.ethernet.header().emit(to));
    for (index, tag) in packet.tags.iter().enumerate() {
        same(frame, 12 + index * 4, |to| tag.emit(to));
    }
    let at = packet.network_at;
    match packet.network {
        Network::Arp(arp) => same(frame, at, |to| arp.header().emit(to)),
        // The reserved flag is not kept, and a wrong checksum is written as the right one.
        Network::Ipv4(ipv4) if frame[at + 6] & 0x80 == 0 => same(frame, at, |to| {
            let written = ipv4.header().emit(to);
            assert_eq!(Ipv4::parse_quoted(to).map(|(view, _)| view.verify_checksum()), Ok(Ok(())));
            to[10..12].copy_from_slice(&ipv4.checksum().to_be_bytes());
            written
        }),
        Network::Ipv6(ipv6, _) => same(frame, at, |to| ipv6.header().emit(to)),
        Network::Ipv4(_) | Network::Other => {}
    }
    let at = packet.transport_at;
    match packet.transport {
        Transport::Tcp(tcp) => same(frame, at, |to| tcp.header().emit(to)),
        Transport::Udp(udp) => same(frame, at, |to| udp.header().emit(to)),
        Transport::Sctp(sctp) => same(frame, at, |to| sctp.header().emit(to)),
        Transport::Icmpv4(icmp) => same(frame, at, |to| icmp.header().emit(to)),
        Transport::Icmpv6(icmp) => same(frame, at, |to| icmp.header().emit(to)),
        Transport::LaterFragment(_) | Transport::Other(_) | Transport::None => {}
    }
}

/// Whether we refuse on purpose what `etherparse` takes.
fn stricter(reason: Malformed, theirs: &SlicedPacket<'_>) -> bool {
    use Malformed as M;
    match reason {
        // It takes three tags, and any address length in ARP.
        M::TooManyVlanTags | M::ArpNotEthernetIpv4 | M::ArpTruncated => true,
        // It reads each fragment as it stands, and any number of extension headers.
        M::Ipv4FragmentOverrun | M::Ipv4FragmentUnaligned | M::Ipv4FragmentHidesTcp => true,
        M::Ipv6FragmentOverrun | M::Ipv6FragmentUnaligned | M::Ipv6FragmentHidesTcp => true,
        M::Ipv6RepeatedFragment | M::Ipv6TooManyExtensions | M::Ipv6Jumbogram => true,
        // It does not know SCTP, nor walk past mobility, HIP and Shim6 headers.
        M::SctpHeaderTruncated => true,
        M::Ipv6ExtensionTruncated | M::Ipv6ExtensionBadLength | M::Ipv6HopByHopNotFirst => walks_less(theirs),
        // It looks into no fragment, takes an IPv6 payload length of zero for "to the end", and a UDP length too.
        M::UdpLengthTooShort => udp_len(theirs).is_none_or(|len| len == 0),
        M::TcpHeaderTruncated | M::TcpBadDataOffset | M::UdpHeaderTruncated | M::UdpLengthTooLong => {
            theirs.is_ip_payload_fragmented() || has_no_length(theirs) || walks_less(theirs)
        }
        M::Icmpv4HeaderTruncated | M::Icmpv6HeaderTruncated => {
            theirs.is_ip_payload_fragmented() || has_no_length(theirs) || walks_less(theirs)
        }
        _ => false,
    }
}

fn udp_len(theirs: &SlicedPacket<'_>) -> Option<u16> {
    match &theirs.transport {
        Some(TransportSlice::Udp(udp)) => Some(udp.length()),
        _ => None,
    }
}

fn has_no_length(theirs: &SlicedPacket<'_>) -> bool {
    matches!(&theirs.net, Some(NetSlice::Ipv6(ipv6)) if ipv6.header().payload_length() == 0)
}

fn walks_less(theirs: &SlicedPacket<'_>) -> bool {
    has_no_length(theirs) || theirs.ip_payload().is_some_and(|payload| [135, 139, 140].contains(&payload.ip_number.0))
}

/// Whether we take on purpose what `etherparse` refuses.
fn laxer(ours: &Packet<'_>) -> bool {
    match (ours.network, ours.transport) {
        // It reads on in MACsec and in tags marked 0x9100, which we switch unread.
        (Network::Other, _) => [0x88e5, 0x9100].contains(&ours.ethertype.0),
        // It walks extension headers in the middle of a fragmented packet, and past a payload length of zero.
        (Network::Ipv6(..), Transport::LaterFragment(_)) => true,
        (Network::Ipv6(ipv6, _), _) if ipv6.payload_len() == 0 => true,
        // It reads the authentication header over IPv4, IGMP, and either ICMP over either IP.
        (_, Transport::LaterFragment(protocol) | Transport::Other(protocol)) => [1, 2, 51, 58].contains(&protocol.0),
        // It holds a timestamp message to its length.
        (_, Transport::Icmpv4(icmp)) => [13, 14].contains(&icmp.kind().0),
        // It walks on behind an authentication or mobility header that stops it.
        _ => false,
    }
}

fn agree(ours: &Packet<'_>, theirs: &SlicedPacket<'_>, frame: &[u8]) {
    let Some(etherparse::LinkSlice::Ethernet2(ethernet)) = &theirs.link else {
        panic!("etherparse read no Ethernet header: {theirs:?}");
    };
    assert_eq!(ours.ethernet.destination().octets(), ethernet.destination());
    assert_eq!(ours.ethernet.source().octets(), ethernet.source());
    if ours.network == Network::Other {
        return;
    }
    let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
    assert_eq!(ours.tags.iter().map(|tag| tag.id).collect::<Vec<_>>(), ids);
    match (ours.network, &theirs.net) {
        (Network::Arp(arp), Some(NetSlice::Arp(same))) => {
            assert_eq!(arp.operation().0, same.operation().0);
            assert_eq!(arp.sender_mac().octets(), *same.sender_hw_addr());
            assert_eq!(arp.sender_ip().octets(), *same.sender_protocol_addr());
            assert_eq!(arp.target_mac().octets(), *same.target_hw_addr());
            assert_eq!(arp.target_ip().octets(), *same.target_protocol_addr());
        }
        (Network::Ipv4(ipv4), Some(NetSlice::Ipv4(same))) => {
            let same = same.header();
            let header_is_odd = frame[ours.network_at + 6] & 0x80 != 0 || ipv4.checksum() == 0xffff;
            assert_eq!((ipv4.source(), ipv4.destination()), (same.source_addr(), same.destination_addr()));
            assert_eq!(
                (ipv4.ttl(), ipv4.protocol().0, ipv4.total_len()),
                (same.ttl(), same.protocol().0, same.total_len())
            );
            assert_eq!((ipv4.dscp(), ipv4.ecn()), (same.dcp().value(), same.ecn().value()));
            assert_eq!((ipv4.dont_fragment(), ipv4.more_fragments()), (same.dont_fragment(), same.more_fragments()));
            assert_eq!(ipv4.fragment_offset(), same.fragments_offset().value() * 8);
            assert_eq!((ipv4.identification(), ipv4.option_bytes()), (same.identification(), same.options()));
            // It loses the reserved flag, and takes 0xffff for a wrong checksum where zero would be right.
            if !header_is_odd {
                let right = same.to_header().calc_header_checksum();
                assert_eq!(ipv4.verify_checksum().is_ok(), ipv4.checksum() == right);
            }
        }
        (Network::Ipv6(ipv6, upper), Some(NetSlice::Ipv6(same))) => {
            let header = same.header();
            assert_eq!((ipv6.source(), ipv6.destination()), (header.source_addr(), header.destination_addr()));
            assert_eq!((ipv6.hop_limit(), ipv6.payload_len()), (header.hop_limit(), header.payload_length()));
            assert_eq!(
                (ipv6.traffic_class(), ipv6.flow_label()),
                (header.traffic_class(), header.flow_label().value())
            );
            let ours_alone = walks_less(theirs) || upper.is_later_fragment();
            assert!(ours_alone || upper.is_fragment() == same.is_payload_fragmented());
        }
        (ours, theirs) => panic!("the network headers differ: {ours:?}, {theirs:?}"),
    }
    agree_on_transport(ours, theirs, frame);
}

fn agree_on_transport(ours: &Packet<'_>, theirs: &SlicedPacket<'_>, frame: &[u8]) {
    let payload = &frame[ours.payload.clone()];
    match (ours.transport, &theirs.transport) {
        (Transport::Tcp(tcp), Some(TransportSlice::Tcp(same))) => {
            assert_eq!((tcp.source_port(), tcp.destination_port()), (same.source_port(), same.destination_port()));
            assert_eq!((tcp.sequence(), tcp.acknowledgement()), (same.sequence_number(), same.acknowledgment_number()));
            assert_eq!(
                (tcp.window(), tcp.checksum(), tcp.urgent()),
                (same.window_size(), same.checksum(), same.urgent_pointer())
            );
            assert_eq!((tcp.flags().0 & 2 != 0, tcp.flags().0 & 16 != 0), (same.syn(), same.ack()));
            assert_eq!(tcp.option_bytes(), same.options());
            assert!(core::ptr::eq(payload, same.payload()), "the payloads differ");
        }
        (Transport::Udp(udp), Some(TransportSlice::Udp(same))) => {
            assert_eq!((udp.source_port(), udp.destination_port()), (same.source_port(), same.destination_port()));
            assert_eq!((udp.len(), udp.checksum()), (same.length(), same.checksum()));
            assert!(core::ptr::eq(payload, same.payload()), "the payloads differ");
        }
        (Transport::Icmpv4(icmp), Some(TransportSlice::Icmpv4(same))) => {
            assert_eq!(
                (icmp.kind().0, icmp.code(), icmp.checksum()),
                (same.type_u8(), same.code_u8(), same.checksum())
            );
            assert_eq!(icmp.rest(), same.bytes5to8());
        }
        (Transport::Icmpv6(icmp), Some(TransportSlice::Icmpv6(same))) => {
            assert_eq!(
                (icmp.kind().0, icmp.code(), icmp.checksum()),
                (same.type_u8(), same.code_u8(), same.checksum())
            );
            assert_eq!(icmp.rest(), same.bytes5to8());
        }
        // It looks into no fragment, nor past the extension headers it does not know, nor does it know SCTP.
        (Transport::Sctp(_) | Transport::LaterFragment(_) | Transport::None, _) => {}
        (_, None) => assert!(ours.is_fragment() || walks_less(theirs) || matches!(ours.transport, Transport::Other(_))),
        (Transport::Other(protocol), Some(_)) => {
            assert!([1, 2, 51, 58].contains(&protocol.0) || has_no_length(theirs));
        }
        (ours, Some(theirs)) => panic!("the transports differ: {ours:?}, {theirs:?}"),
    }
}
