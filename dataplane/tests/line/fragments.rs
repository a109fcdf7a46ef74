//! IPv4 packets too long for the way on: cut, and whole again when a receiver puts them together (RFC 791, 3.2).

use podlane_dataplane::{
    DropReason,
    tables::PortTable,
    testbed::{TestBed, dropped, made, received, sent},
};
use podlane_wire::{IpProtocol, Ipv4, Ipv4Header, Network, OptionBytes, Packet};
use proptest::prelude::*;

use crate::{
    packets::{
        BLUE, Field, Host, RED, checksums_are_right, datagram, gateway, header4, host, ipv4, routed, segment, tagged,
        transport,
    },
    route::{by_gateway, two_networks},
};

const A: Host = host(0, 1);
const B: Host = host(1, 1);

/// A behind RED, which takes 16,000 bytes; B behind BLUE, which takes `mtu`.
fn narrowing(mtu: u16) -> TestBed {
    let large = PortTable { mtu: 16_000, unfinished_checksums: true, ..A.stated() };
    TestBed::new(two_networks().port(RED, 0, large).port(BLUE, 1, PortTable { mtu, ..B.stated() }))
}

/// A packet of A to B that may be fragmented; every byte of its payload differs from its neighbours.
fn large(header: Ipv4Header, length: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..length).map(|n| (n ^ n >> 8) as u8).collect();
    ipv4(A.mac, gateway(0).mac, Ipv4Header { dont_fragment: false, ..header }, &body)
}

fn plain() -> Ipv4Header {
    Ipv4Header { identification: 0xbeef, ..header4(A, B, IpProtocol(253)) }
}

fn network(frame: &[u8]) -> Ipv4<'_> {
    match Packet::parse(frame).expect("a fragment is well formed").network {
        Network::Ipv4(v4) => v4,
        other => panic!("no IPv4 but {other:?}"),
    }
}

/// What a receiver makes of fragments in any order: header of the first, payload of all, whether more are missing.
pub(crate) fn reassembled(fragments: &[Vec<u8>]) -> (Ipv4Header, Vec<u8>, bool) {
    let mut parts: Vec<_> = fragments
        .iter()
        .map(|frame| {
            let v4 = network(frame);
            let start = 14 + v4.header_len();
            (v4, &frame[start..start + v4.payload_len()])
        })
        .collect();
    parts.sort_by_key(|(v4, _)| v4.fragment_offset());
    let first = parts[0].0;
    let mut whole = Vec::new();
    for (v4, data) in &parts {
        assert_eq!(usize::from(v4.fragment_offset() - first.fragment_offset()), whole.len(), "no gap and no overlap");
        whole.extend_from_slice(data);
    }
    let (last, _) = parts[parts.len() - 1];
    (first.header(), whole, last.more_fragments())
}

/// What every fragment must be, whatever the packet.
fn are_fragments(fragments: &[Vec<u8>], mtu: usize, offender: &[u8]) {
    let whole = network(offender);
    for (number, frame) in fragments.iter().enumerate() {
        let v4 = network(frame);
        let packet = Packet::parse(frame).expect("a fragment parses");
        assert_eq!((packet.ethernet.source(), packet.ethernet.destination()), (gateway(1).mac, B.mac));
        assert!(usize::from(v4.total_len()) <= mtu);
        assert_eq!(frame.len(), 14 + usize::from(v4.total_len()), "nothing behind the packet");
        assert_eq!(v4.verify_checksum(), Ok(()));
        assert_eq!(
            (v4.source(), v4.destination(), v4.protocol(), v4.identification(), v4.dscp(), v4.ecn()),
            (whole.source(), whole.destination(), whole.protocol(), whole.identification(), whole.dscp(), whole.ecn())
        );
        assert_eq!(v4.ttl(), whole.ttl() - 1);
        let last = number + 1 == fragments.len();
        assert!(v4.more_fragments() || last && !whole.more_fragments());
        assert!(v4.payload_len().is_multiple_of(8) || last);
    }
}

#[test]
fn a_packet_too_long_leaves_as_fragments_that_make_it_whole() {
    let mut bed = narrowing(1500);
    let packet = large(plain(), 3000);
    bed.receive(RED, packet.clone());
    bed.turn();
    // The first takes the packet's place in the ledger; the switch made the others.
    assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 3)]);
    let out = bed.sent_by(BLUE);
    are_fragments(&out, 1500, &packet);
    assert_eq!(out.iter().map(|frame| network(frame).total_len()).collect::<Vec<_>>(), [1500, 1500, 60]);
    let (header, payload, more) = reassembled(&out);
    assert_eq!((header.fragment_offset, more), (0, false));
    assert_eq!(payload, packet[34..]);
}

#[test]
fn fragmented_packets_are_hits_like_any_other() {
    let mut bed = narrowing(1500);
    for _ in 0..3 {
        bed.receive(RED, large(plain(), 3000));
        bed.turn();
    }
    let counters = bed.counters();
    assert_eq!((counters.misses, counters.hits), (1, 2));
}

#[test]
fn a_packet_that_just_fits_is_not_cut() {
    let mut bed = narrowing(1500);
    let fits = large(plain(), 1480);
    bed.receive(RED, fits.clone());
    bed.receive(RED, large(plain(), 1481));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 2), sent(BLUE, 3)]);
    assert_eq!(bed.sent_by(BLUE)[0], routed(&fits, gateway(1).mac, B.mac));
}

#[test]
fn a_trailer_behind_a_packet_that_fits_is_no_reason_to_cut_it() {
    let mut bed = narrowing(1500);
    let mut packet = large(plain(), 1000);
    packet.extend([0xee; 800]);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), sent(BLUE, 1)]);
    assert_eq!(bed.sent_by(BLUE), [routed(&packet[..14 + 1020], gateway(1).mac, B.mac)]);
}

#[test]
fn a_fragment_is_cut_again_and_the_last_piece_keeps_its_flag() {
    for more_fragments in [false, true] {
        let mut bed = narrowing(600);
        let header = Ipv4Header { more_fragments, fragment_offset: 4096, ..plain() };
        let packet = large(header, 1400);
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 3)]);
        let out = bed.sent_by(BLUE);
        are_fragments(&out, 600, &packet);
        let (header, payload, more) = reassembled(&out);
        assert_eq!((header.fragment_offset, more), (4096, more_fragments));
        assert_eq!(payload, packet[34..]);
    }
}

#[test]
fn a_fragment_beyond_the_longest_packet_is_no_packet() {
    let mut bed = narrowing(600);
    bed.receive(RED, large(Ipv4Header { fragment_offset: 65_528, ..plain() }, 1400));
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::Ipv4Length, 1)]);
}

#[test]
fn options_go_along_as_their_copied_flag_says() {
    // Record route (not copied), no operation, router alert (copied), strict source route (copied), end.
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 0x94, 4, 0, 0, 0x89, 3, 4, 0];
    let copied = [0x94, 4, 0, 0, 0x89, 3, 4, 0];
    let mut bed = narrowing(1500);
    let packet = large(Ipv4Header { options: OptionBytes::new(&options).unwrap(), ..plain() }, 4000);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 3)]);
    let out = bed.sent_by(BLUE);
    are_fragments(&out, 1500, &packet);
    assert_eq!(network(&out[0]).option_bytes(), options);
    for later in &out[1..] {
        assert_eq!(network(later).option_bytes(), copied);
    }
    assert_eq!(reassembled(&out).1, packet[14 + 36..]);
}

#[test]
fn options_that_lie_about_their_length_end_the_list() {
    for lie in [[0x94, 4, 0, 0, 0x83, 0, 9, 9], [0x94, 4, 0, 0, 0x83, 1, 9, 9], [0x94, 4, 0, 0, 0x83, 200, 9, 9]] {
        let mut bed = narrowing(1500);
        let packet = large(Ipv4Header { options: OptionBytes::new(&lie).unwrap(), ..plain() }, 2000);
        bed.receive(RED, packet.clone());
        bed.turn();
        assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(BLUE, 2)]);
        let out = bed.sent_by(BLUE);
        are_fragments(&out, 1500, &packet);
        assert_eq!(network(&out[1]).option_bytes(), [0x94, 4, 0, 0]);
    }
}

#[test]
fn a_checksum_left_unfinished_is_finished_before_the_cut() {
    for protocol in [IpProtocol::TCP, IpProtocol::UDP] {
        let mut bed = narrowing(1500);
        let addresses = (A.v4.into(), B.v4.into());
        let body = match protocol {
            IpProtocol::TCP => segment(addresses, &[7; 4001], Field::Unfinished),
            _ => datagram(addresses, &[7; 4001], Field::Unfinished),
        };
        let header = Ipv4Header { dont_fragment: false, ..header4(A, B, protocol) };
        bed.receive(RED, ipv4(A.mac, gateway(0).mac, header, &body));
        bed.turn();
        assert_eq!(bed.moved(), [made(2), received(RED, 1), sent(BLUE, 3)]);
        let (header, payload, _) = reassembled(&bed.sent_by(BLUE));
        assert!(checksums_are_right(&ipv4(A.mac, B.mac, Ipv4Header { more_fragments: false, ..header }, &payload)));
    }
}

#[test]
fn fragments_leave_with_the_tag_of_the_leaving_port() {
    let large_port = PortTable { mtu: 9000, ..A.stated() };
    let trunk = podlane_dataplane::PortId(4);
    let mut bed = TestBed::new(two_networks().port(RED, 0, large_port).tagged(trunk, 20, 1));
    bed.receive(trunk, tagged(20, &crate::packets::arp_request(B, gateway(1).v4)));
    bed.turn();
    let _ = (bed.moved(), bed.sent_by(trunk));
    let packet = large(plain(), 2000);
    bed.receive(RED, packet.clone());
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(trunk, 2)]);
    let bare: Vec<_> = bed
        .sent_by(trunk)
        .into_iter()
        .map(|mut frame| {
            assert_eq!(frame.drain(12..16).collect::<Vec<_>>(), [0x81, 0, 0, 20]);
            frame
        })
        .collect();
    are_fragments(&bare, 1500, &packet);
    assert_eq!(reassembled(&bare).1, packet[34..]);
}

#[test]
fn the_last_hop_is_counted_before_the_cut() {
    let mut bed = narrowing(1500);
    bed.receive(RED, large(Ipv4Header { ttl: 1, ..plain() }, 3000));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::TtlExpired, 1)]);
}

#[test]
fn bridges_do_not_cut() {
    let large_port = PortTable { mtu: 9000, ..A.stated() };
    let mut bed = TestBed::new(two_networks().port(RED, 0, large_port).port(BLUE, 0, host(0, 2).stated()));
    let mut packet = large(plain(), 3000);
    packet[..6].copy_from_slice(&host(0, 2).mac.0);
    bed.receive(RED, packet);
    bed.turn();
    assert_eq!(bed.moved(), [received(RED, 1), dropped(DropReason::TooBig, 1)]);
}

#[test]
fn ipv6_is_never_cut() {
    let mut bed = narrowing(1500);
    bed.receive(RED, transport(IpProtocol::UDP, (A, by_gateway(B, 0)), true, &[7; 3000], Field::Finished));
    bed.turn();
    assert_eq!(bed.moved(), [made(1), received(RED, 1), sent(RED, 1), dropped(DropReason::TooBig, 1)]);
}

proptest! {
    #[test]
    fn any_packet_cut_for_any_mtu_is_whole_again(
        mtu in 68_u16..2500,
        length in 0_usize..9000,
        offset in 0_u16..1000,
        more in any::<bool>(),
        options in prop::collection::vec(any::<u8>(), 0..=40),
    ) {
        let options = OptionBytes::new(&options).unwrap();
        // A packet with more to come ends on eight bytes, as each of its pieces will.
        let length = if more { length & !7 } else { length };
        let header = Ipv4Header { more_fragments: more, fragment_offset: offset * 8, options, ..plain() };
        let packet = large(header, length);
        let mut bed = narrowing(mtu);
        bed.receive(RED, packet.clone());
        bed.turn();
        let out = bed.sent_by(BLUE);
        let pieces = out.len() as u64;
        let expected = if pieces == 1 { vec![] } else { vec![made(pieces - 1)] };
        prop_assert_eq!(bed.moved(), [&expected[..], &[received(RED, 1), sent(BLUE, pieces)]].concat());
        are_fragments(&out, usize::from(mtu), &packet);
        let (header, payload, still_more) = reassembled(&out);
        prop_assert_eq!((header.fragment_offset, still_more), (offset * 8, more));
        prop_assert_eq!(header.options, options);
        prop_assert_eq!(&payload[..], &packet[14 + 20 + options.len()..]);
    }
}
