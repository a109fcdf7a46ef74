//! Frames that are not what they say: each dies in classify, by exactly one name.

use podlane_dataplane::{
    DropReason, PortId,
    stage::classify::key_of,
    testbed::{Plan, TestBed, dropped, received, sent},
};
use podlane_wire::{EtherType, IpProtocol, Ipv4Header, Ipv6Header};

use crate::packets::{
    BLUE, Field, Host, RED, arp_reply, arp_request, echo4, frame, header4, header6, host, ipv4, ipv6, tagged,
    transport, udp4, udp6, with_tag,
};

const A: Host = host(0, 1);
const B: Host = host(0, 2);

/// The frame with bytes from `at` on replaced.
fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The frame cut to `length` bytes.
fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// IPv6 with these extension headers of eight bytes each before a UDP datagram.
fn extended(kinds: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for next in kinds.iter().skip(1).chain(&[17]) {
        body.extend([*next, 0, 1, 4, 0, 0, 0, 0]);
    }
    body.extend([0x30, 0x39, 0, 53, 0, 8, 0, 0]);
    ipv6(A.mac, B.mac, header6(A, B, IpProtocol(kinds[0])), &body)
}

fn tcp(v6: bool) -> Vec<u8> {
    transport(IpProtocol::TCP, (A, B), v6, b"", Field::Finished)
}

/// A frame of each kind of malformation, and its name.
fn malformed() -> Vec<(Vec<u8>, DropReason)> {
    use DropReason::*;
    let (v4, v6) = (udp4(A, B), udp6(A, B));
    let arp = arp_request(A, B.v4);
    let sctp4 = |length| ipv4(A.mac, B.mac, header4(A, B, IpProtocol::SCTP), &vec![0; length]);
    let icmp6 = |length| ipv6(A.mac, B.mac, header6(A, B, IpProtocol::ICMPV6), &vec![128; length]);
    let mut list = vec![
        (vec![], Runt),
        (v4[..1].to_vec(), Runt),
        (v4[..13].to_vec(), Runt),
        (frame(A.mac, B.mac, EtherType(0x88b5), &[0; 1509]), Giant),
        (frame(A.mac, B.mac, EtherType::IPV4, &[0; 4000]), Giant),
        // Tags
        (tagged(10, &v4)[..14].to_vec(), VlanTruncated),
        (tagged(10, &v4)[..17].to_vec(), VlanTruncated),
        (tagged(10, &tagged(20, &v4))[..21].to_vec(), VlanTruncated),
        (tagged(10, &tagged(20, &tagged(30, &v4))), TooManyVlanTags),
        (
            with_tag(EtherType::PROVIDER_VLAN, 10, &tagged(20, &with_tag(EtherType::PROVIDER_VLAN, 1, &v4))),
            TooManyVlanTags,
        ),
        // IPv4
        (v4[..14].to_vec(), Ipv4Header),
        (v4[..33].to_vec(), Ipv4Header),
        (with(v4.clone(), 14, &[0x65]), Ipv4Header),
        (with(v4.clone(), 14, &[0x44]), Ipv4Header),
        (with(v4.clone(), 16, &[0, 19]), Ipv4Length),
        (with(v4.clone(), 16, &[0, 0]), Ipv4Length),
        (with(v4.clone(), 16, &[0, 34]), Ipv4Length),
        (with(v4.clone(), 16, &[0xff, 0xff]), Ipv4Length),
        (with(cut(v4.clone(), 34), 14, &[0x46, 0, 0, 20]), Ipv4Length),
        // IPv6
        (v6[..14].to_vec(), Ipv6Header),
        (v6[..53].to_vec(), Ipv6Header),
        (with(v6.clone(), 14, &[0x40]), Ipv6Header),
        (with(v6.clone(), 18, &[0, 14]), Ipv6Length),
        (with(v6.clone(), 18, &[0xff, 0xff]), Ipv6Length),
        (extended(&[0, 60, 43, 60, 60, 60, 60, 60, 60]), Ipv6Header),
        (extended(&[60; 100]), Ipv6Header),
        (with(extended(&[60]), 55, &[255]), Ipv6Header),
        (with(extended(&[51]), 55, &[255]), Ipv6Header),
        (ipv6(A.mac, B.mac, header6(A, B, IpProtocol::FRAGMENT), &[17, 0, 0, 1, 0, 0, 0]), Ipv6Header),
        (ipv6(A.mac, B.mac, header6(A, B, IpProtocol::DESTINATION_OPTIONS), &[17]), Ipv6Header),
        // Transport
        (ipv4(A.mac, B.mac, header4(A, B, IpProtocol::UDP), &[0; 7]), L4Truncated),
        (ipv4(A.mac, B.mac, header4(A, B, IpProtocol::TCP), &[0; 19]), L4Truncated),
        (ipv4(A.mac, B.mac, header4(A, B, IpProtocol::ICMPV4), &[8; 3]), L4Truncated),
        (sctp4(11), L4Truncated),
        (ipv6(A.mac, B.mac, header6(A, B, IpProtocol::UDP), &[0; 7]), L4Truncated),
        (ipv6(A.mac, B.mac, header6(A, B, IpProtocol::TCP), &[]), L4Truncated),
        (icmp6(3), L4Truncated),
        (with(v4.clone(), 38, &[0, 7]), L4Length),
        (with(v4.clone(), 38, &[0, 14]), L4Length),
        (with(v6.clone(), 58, &[0, 7]), L4Length),
        (with(v6.clone(), 58, &[0xff, 0xff]), L4Length),
        (with(tcp(false), 46, &[0x40]), L4Length),
        (with(tcp(false), 46, &[0x60]), L4Length),
        (with(tcp(true), 66, &[0xf0]), L4Length),
        // ARP
        (arp[..14].to_vec(), ArpMalformed),
        (arp[..41].to_vec(), ArpMalformed),
        (with(arp.clone(), 14, &[0, 6]), ArpMalformed),
        (with(arp.clone(), 16, &[0x86, 0xdd]), ArpMalformed),
        (with(arp.clone(), 18, &[8]), ArpMalformed),
        (with(arp, 19, &[16]), ArpMalformed),
    ];
    // A tag in front changes no verdict on what is behind it, except where the frame ends in the tag itself.
    let behind_a_tag = list
        .iter()
        .filter(|(frame, reason)| frame.len() >= 14 && !matches!(reason, Giant | VlanTruncated | TooManyVlanTags));
    let behind_a_tag: Vec<_> = behind_a_tag.map(|(frame, reason)| (tagged(0, frame), *reason)).collect();
    list.extend(behind_a_tag);
    list
}

#[test]
fn each_malformation_dies_by_its_own_name() {
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()));
    for (frame, reason) in malformed() {
        bed.receive(RED, frame.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), dropped(reason, 1)], "{frame:x?}");
    }
    assert_eq!(bed.shared.flows.used(), 0, "a malformed frame opens no flow");
}

#[test]
fn every_name_that_classify_gives_is_provoked() {
    let mut provoked: Vec<_> = malformed().into_iter().map(|(_, reason)| reason).collect();
    provoked.sort_unstable();
    provoked.dedup();
    // From Runt to the source guard, in the order of the roster; a wrong header checksum is found by the router.
    let expected: Vec<_> = DropReason::ALL
        .into_iter()
        .take_while(|reason| *reason != DropReason::SourceMulticast)
        .filter(|reason| *reason != DropReason::Ipv4Checksum)
        .collect();
    assert_eq!(provoked, expected);
}

#[test]
fn a_malformed_frame_dies_before_anyone_asks_who_sent_it() {
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()));
    bed.receive(RED, with(udp4(B, A), 14, &[0x65]));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::Ipv4Header, 1)]);
}

#[test]
fn the_longest_frame_of_a_port_has_two_tags() {
    let key = key_of(PortId(1), &tagged(1, &tagged(2, &frame(A.mac, B.mac, EtherType(0x88b5), &[0; 1500]))));
    assert!(key.is_ok());
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()));
    bed.receive(RED, frame(A.mac, B.mac, EtherType(0x88b5), &[0; 1508]));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::TooBig, 1)]);
}

#[test]
fn eight_extension_headers_are_walked_to_the_ports_behind_them() {
    for count in 1..=8 {
        let (key, layout) = key_of(RED, &extended(&vec![60; count])).unwrap();
        assert_eq!(key.ports(), (12345, 53));
        assert_eq!((layout.l3, layout.l4), (14, 54 + 8 * count as u16));
    }
}

#[test]
fn what_is_only_odd_is_not_malformed() {
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, A.stated()).port(BLUE, 0, B.stated()));
    let padded = |mut frame: Vec<u8>| {
        frame.resize(60, 0xee);
        frame
    };
    let fragment = |offset, more_fragments, body: &[u8]| {
        let header = Ipv4Header {
            dont_fragment: false,
            fragment_offset: offset,
            more_fragments,
            ..header4(A, B, IpProtocol::TCP)
        };
        ipv4(A.mac, B.mac, header, body)
    };
    let jumbo_zero = ipv6(A.mac, B.mac, Ipv6Header { hop_limit: 0, ..header6(A, B, IpProtocol::NO_NEXT) }, &[]);
    let odd = [
        padded(udp4(A, B)),
        padded(arp_reply(A, B)),
        fragment(0, true, &[1; 8]),
        fragment(8, false, &[1; 3]),
        ipv4(A.mac, B.mac, header4(A, B, IpProtocol(0)), &[]),
        echo4(A, B, podlane_wire::Icmpv4Type(99)),
        jumbo_zero,
        extended(&[44]),
        frame(A.mac, B.mac, EtherType(46), &[0; 46]),
        frame(A.mac, B.mac, EtherType(0), &[]),
    ];
    for frame in odd {
        bed.receive(RED, frame.clone());
        bed.turn();
        assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)], "{frame:x?}");
        assert_eq!(bed.sent_by(BLUE), [frame]);
    }
}
