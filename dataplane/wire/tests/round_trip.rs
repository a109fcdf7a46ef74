//! Every header value that fits its format reads back as it was written, and no emitter writes past its length.

use podlane_wire::ndp::{Advertisement, RouterAdvertisement, Solicitation};
use podlane_wire::{
    Arp, ArpHeader, ArpOperation, EtherType, Ethernet, EthernetHeader, Geneve, GeneveHeader, GroupRecord, GroupRecords,
    Icmpv4, Icmpv4Header, Icmpv4Type, Icmpv6, Icmpv6Header, Icmpv6Type, Igmp, IgmpQuery, IpProtocol, Ipv4, Ipv4Header,
    Ipv6, Ipv6Fragment, Ipv6Header, MacAddr, Malformed, Mld, MldQuery, NdOption, NeighbourDiscovery, NoRoom,
    OptionBytes, Querier, RecordKind, Sctp, SctpHeader, Tcp, TcpFlags, TcpHeader, Udp, UdpHeader, Upper, VlanTag,
    Vxlan, VxlanHeader,
};
use proptest::collection::vec;
use proptest::prelude::*;

const UNTOUCHED: u8 = 0xa5;

/// What `emit` writes; asserts that it leaves the rest alone, and that one byte less is too little.
fn written(emit: impl Fn(&mut [u8]) -> Result<usize, NoRoom>) -> Vec<u8> {
    let mut buffer = [UNTOUCHED; 400];
    let len = emit(&mut buffer).expect("nothing here is longer than 400 bytes");
    assert!(buffer[len..].iter().all(|byte| *byte == UNTOUCHED));
    let mut short = [UNTOUCHED; 400];
    assert_eq!(emit(&mut short[..len - 1]), Err(NoRoom { needed: len, given: len - 1 }));
    assert_eq!(short, [UNTOUCHED; 400]);
    buffer[..len].to_vec()
}

fn options() -> impl Strategy<Value = OptionBytes> {
    vec(any::<u8>(), 0..=40).prop_map(|bytes| OptionBytes::new(&bytes).expect("at most 40"))
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ethernet_and_its_tags(destination in mac(), source in mac(), ethertype: u16, control: u16) {
        let header = EthernetHeader { destination, source, ethertype: EtherType(ethertype) };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Ethernet::parse(&bytes).map(|(view, _)| view.header()), Ok(header));

        let tag = VlanTag::from_control(EtherType::VLAN, control);
        let mut bytes = written(|to| tag.emit(to));
        prop_assert_eq!(&bytes[..2], EtherType::VLAN.0.to_be_bytes());
        bytes.extend(ethertype.to_be_bytes());
        let rest: &[u8] = &[];
        prop_assert_eq!(VlanTag::parse(EtherType::VLAN, &bytes[2..]), Ok((tag, EtherType(ethertype), rest)));
    }

    #[test]
    fn arp(operation: u16, macs in (mac(), mac()), ips in any::<[[u8; 4]; 2]>()) {
        let header = ArpHeader {
            operation: ArpOperation(operation),
            sender_mac: macs.0,
            sender_ip: ips[0].into(),
            target_mac: macs.1,
            target_ip: ips[1].into(),
        };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Arp::parse(&bytes).map(|(view, _)| view.header()), Ok(header));
    }

    #[test]
    fn ipv4(ends in any::<[[u8; 4]; 2]>(), numbers: (u8, u8, u16, u8, u8), flags: (bool, bool), offset: u16, options in options(), len in 0..1_000u16) {
        let (dscp, ecn, identification, ttl, protocol) = numbers;
        let mut header = Ipv4Header::new(ends[0].into(), ends[1].into(), IpProtocol(protocol), len);
        (header.dscp, header.ecn) = (dscp >> 2, ecn & 3);
        (header.identification, header.ttl, header.options) = (identification, ttl, options);
        (header.dont_fragment, header.more_fragments) = flags;
        header.fragment_offset = offset & 0xfff8;
        let mut bytes = written(|to| header.emit(to));
        prop_assert_eq!(Ipv4::parse_quoted(&bytes).map(|(view, _)| view.header()), Ok(header));
        bytes.resize(bytes.len() + usize::from(len), 0);
        match Ipv4::parse(&bytes) {
            Ok((view, payload)) => {
                prop_assert_eq!((view.header(), payload.len()), (header, usize::from(len)));
                prop_assert_eq!(view.verify_checksum(), Ok(()));
            }
            Err(malformed) => prop_assert!(malformed.name().starts_with("ipv4_fragment_")),
        }
    }

    #[test]
    fn ipv6_and_its_fragment_header(ends in any::<[[u8; 16]; 2]>(), numbers: (u8, u32, u8, u8, u16), more: bool, identification: u32) {
        let (traffic_class, flow_label, next_header, hop_limit, number) = numbers;
        let mut header = Ipv6Header::new(ends[0].into(), ends[1].into(), IpProtocol(next_header), number);
        (header.traffic_class, header.flow_label, header.hop_limit) = (traffic_class, flow_label >> 12, hop_limit);
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Ipv6::parse_quoted(&bytes).map(|(view, _)| view.header()), Ok(header));

        let fragment = Ipv6Fragment { next_header: IpProtocol(17), offset: number & 0x7ff8, more, identification };
        let bytes = written(|to| fragment.emit(to));
        let upper = Upper::parse(IpProtocol::FRAGMENT, &bytes);
        prop_assert_eq!(upper.map(|upper| upper.fragment), Ok(Some(fragment)));
    }

    #[test]
    fn tcp(ports: (u16, u16), numbers: (u32, u32, u16, u16, u16), bits: (u8, u8), options in options()) {
        let (sequence, acknowledgement, window, checksum, urgent) = numbers;
        let header = TcpHeader {
            source_port: ports.0,
            destination_port: ports.1,
            sequence,
            acknowledgement,
            reserved: bits.0 & 0x0f,
            flags: TcpFlags(bits.1),
            window,
            checksum,
            urgent,
            options,
        };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Tcp::parse(&bytes).map(|(view, _)| view.header()), Ok(header));
    }

    #[test]
    fn udp_sctp_and_vxlan(source_port: u16, destination_port: u16, len in 8..=u16::MAX, checksum: u32, verification_tag: u32) {
        let header = UdpHeader { source_port, destination_port, len, checksum: checksum as u16 };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Udp::parse_first_fragment(&bytes).map(|(view, _)| view.header()), Ok(header));

        let header = SctpHeader { source_port, destination_port, verification_tag, checksum };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Sctp::parse(&bytes).map(|(view, _)| view.header()), Ok(header));

        let header = VxlanHeader { network: checksum >> 8 };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Vxlan::parse(&bytes).map(|(view, _)| view.header()), Ok(header));
    }

    #[test]
    fn both_icmps(kind: u8, code: u8, checksum: u16, rest: [u8; 4]) {
        let header = Icmpv4Header { kind: Icmpv4Type(kind), code, checksum, rest };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Icmpv4::parse(&bytes).map(|(view, _)| view.header()), Ok(header));

        let header = Icmpv6Header { kind: Icmpv6Type(kind), code, checksum, rest };
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(Icmpv6::parse(&bytes).map(|(view, _)| view.header()), Ok(header));
    }

    #[test]
    fn neighbour_discovery(target: [u8; 16], bits: [bool; 3], numbers: (u8, u16, u32, u32), mac in mac()) {
        let target = [&[0xfd][..], &target[1..]].concat();
        let target = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(target).expect("sixteen bytes"));
        let heard = |bytes: &[u8]| {
            let (icmp, body) = Icmpv6::parse(bytes)?;
            match NeighbourDiscovery::parse(255, icmp, body)?.expect("neighbour discovery") {
                NeighbourDiscovery::Solicitation(heard, mut options) => Ok((format!("{heard:?}"), options.next())),
                NeighbourDiscovery::Advertisement(heard, mut options) => Ok((format!("{heard:?}"), options.next())),
                NeighbourDiscovery::RouterAdvertisement(heard, mut options) => Ok((format!("{heard:?}"), options.next())),
                _ => Err(Malformed::NdTruncated),
            }
            .map(|(heard, option)| (heard, option.map(|option| option == Ok(NdOption::TargetMac(mac)))))
        };
        let [router, solicited, overrides] = bits;
        let (hop_limit, lifetime, reachable_time, retransmit_time) = numbers;
        let option = written(|to| NdOption::TargetMac(mac).emit(to));

        let said = Solicitation { target };
        let bytes = [written(|to| said.emit(to)), option.clone()].concat();
        prop_assert_eq!(heard(&bytes), Ok((format!("{said:?}"), Some(true))));
        let said = Advertisement { router, solicited, overrides, target };
        let bytes = [written(|to| said.emit(to)), option].concat();
        prop_assert_eq!(heard(&bytes), Ok((format!("{said:?}"), Some(true))));
        let said = RouterAdvertisement {
            hop_limit,
            managed: router,
            other: solicited,
            lifetime,
            reachable_time,
            retransmit_time,
        };
        let bytes = written(|to| said.emit(to));
        prop_assert_eq!(heard(&bytes), Ok((format!("{said:?}"), None)));
    }

    #[test]
    fn geneve(network in 0..1_u32 << 24, protocol: u16, bits: (bool, bool), options in vec(any::<[u8; 4]>(), 0..=63)) {
        let mut header = GeneveHeader::new(network);
        (header.protocol, header.control, header.critical) = (EtherType(protocol), bits.0, bits.1);
        let header = header.with_options(options.as_flattened()).expect("at most 252, in whole words");
        let bytes = written(|to| header.emit(to));
        prop_assert_eq!(bytes.len(), header.header_len());
        let (view, inner) = Geneve::parse(&bytes).expect("just written");
        prop_assert_eq!((view.header(), inner.len(), view.has_reserved_bits()), (header, 0, false));
    }

    #[test]
    fn listeners(kinds in vec(any::<u8>(), 0..5), sources in vec(any::<[u8; 16]>(), 0..3), group: [u8; 16], numbers: (u8, u16, u8, u8)) {
        let (max_response, max_response_v6, robustness, interval) = numbers;
        let querier = Some(Querier { suppress: robustness & 8 != 0, robustness: robustness & 7, interval });
        let group6 = std::net::Ipv6Addr::from_bits(u128::from_be_bytes(group) | 0xff << 120);
        let group4 = std::net::Ipv4Addr::from_bits(group6.to_bits() as u32 & 0x0fff_ffff | 0xe000_0000);
        let sources4: Vec<[u8; 4]> = sources.iter().map(|source| [source[0], source[1], source[2], source[3]]).collect();

        let records: Vec<u8> = kinds.iter().flat_map(|&kind| {
            let record = GroupRecord { kind: RecordKind(kind), group: group4.octets(), sources: &sources4 };
            written(|to| record.emit(to))
        }).collect();
        let records = GroupRecords::new(kinds.len() as u16, &records);
        prop_assert!(records.clone().zip(&kinds).all(|(record, &kind)| record.is_ok_and(|record| record.kind.0 == kind && record.sources == sources4)));
        prop_assert_eq!(records.clone().count(), kinds.len());
        let query = |querier| IgmpQuery { group: group4, max_response, querier };
        for message in [Igmp::ReportV3(records), Igmp::Query(query(querier), &sources4), Igmp::Query(query(None), &[])] {
            let bytes = written(|to| message.emit(to));
            prop_assert_eq!(Igmp::parse(&bytes), Ok(Some(message)));
        }

        let records: Vec<u8> = kinds.iter().flat_map(|&kind| {
            let record = GroupRecord { kind: RecordKind(kind), group: group6.octets(), sources: &sources };
            written(|to| record.emit(to))
        }).collect();
        let records = GroupRecords::new(kinds.len() as u16, &records);
        prop_assert!(records.clone().zip(&kinds).all(|(record, &kind)| record.is_ok_and(|record| record.kind.0 == kind && record.sources == sources)));
        let query = |querier| MldQuery { group: group6, max_response: max_response_v6, querier };
        for message in [Mld::ReportV2(records), Mld::Query(query(querier), &sources), Mld::Query(query(None), &[])] {
            let bytes = written(|to| message.emit(to));
            let (icmp, body) = Icmpv6::parse(&bytes).expect("just written");
            prop_assert_eq!(Mld::parse(1, icmp, body), Ok(Some(message)));
        }
    }
}
