//! The gateway can be pinged (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2).

use super::*;

const WORD: [u8; 4] = [0xbe, 0xef, 0, 7];

fn rest(size: usize) -> Vec<u8> {
    let data = (0..size).map(|at| at as u8);
    WORD.into_iter().chain(data).collect()
}

pub(super) fn ping4(size: usize) -> Vec<u8> {
    frame(MAC, HOST, IPV4, &ipv4(HOST4, OURS4, ICMP, &icmp(8, 0, &rest(size))))
}

fn ping6_to(from: Ipv6Addr, to: Ipv6Addr, size: usize) -> Vec<u8> {
    let message = icmpv6(from, to, 128, &rest(size));
    frame(MAC, HOST, IPV6, &ipv6(from, to, (ICMPV6, 64), &message))
}

pub(super) fn ping6(size: usize) -> Vec<u8> {
    ping6_to(HOST6, OURS6, size)
}

/// A ping whose IPv4 header was changed and summed again.
fn changed4(change: fn(&mut [u8])) -> Vec<u8> {
    let mut frame = ping4(56);
    change(&mut frame[14..]);
    resum4(&mut frame[14..]);
    frame
}

#[test]
fn every_size_comes_back_as_it_went_over_ipv4() {
    for size in [0, 1, 56, 1472, 8972] {
        let (reply, kind) = answered(&ping4(size)).unwrap();
        assert_ethernet(&reply, HOST);
        let (header, message) = icmpv4_reply(&reply);
        assert_eq!((&header[12..16], &header[16..20]), (&OURS4.octets()[..], &HOST4.octets()[..]));
        assert_eq!((header[1], header[8]), (0x48, 64), "type of service and time to live");
        assert_eq!((&message[..2], &message[4..]), (&[0, 0][..], &rest(size)[..]));
        assert_eq!(kind, Kind::Echo);
    }
}

#[test]
fn every_size_comes_back_as_it_went_over_ipv6() {
    for size in [0, 1, 56, 1452, 8952] {
        let (reply, kind) = answered(&ping6(size)).unwrap();
        assert_ethernet(&reply, HOST);
        let (from, to, hops, message) = icmpv6_reply(&reply);
        assert_eq!((from, to, hops), (OURS6, HOST6, 64));
        assert_eq!((&message[..2], &message[4..]), (&[129, 0][..], &rest(size)[..]));
        assert_eq!(kind, Kind::Echo);
    }
}

#[test]
fn the_link_local_address_answers_a_link_local_host() {
    let near = HOST.link_local();
    let (reply, _) = answered(&ping6_to(near, MAC.link_local(), 8)).unwrap();
    let (from, to, ..) = icmpv6_reply(&reply);
    assert_eq!((from, to), (MAC.link_local(), near));
}

#[test]
fn padding_is_not_part_of_the_echo() {
    let mut padded = ping4(1);
    padded.resize(60, 0xee);
    assert_eq!(answered(&padded), answered(&ping4(1)));
}

#[test]
fn options_of_the_request_do_not_disturb() {
    let plain = ping4(8);
    let mut optioned = plain[..34].to_vec();
    optioned.extend([1, 1, 1, 0]);
    optioned.extend(&plain[34..]);
    optioned[14] = 0x46;
    optioned[17] += 4;
    optioned[24..26].fill(0);
    let sum = checksum(&[&optioned[14..38]]);
    optioned[24..26].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(answered(&optioned), answered(&plain));
}

#[test]
fn fragments_are_not_answered() {
    assert_eq!(answered(&changed4(|packet| packet[6] = 0x20)), Err(Quiet::Fragment));
    assert_eq!(answered(&changed4(|packet| packet[7] = 1)), Err(Quiet::Fragment));
    let message = icmpv6(HOST6, OURS6, 128, &rest(8));
    let parts = [&[ICMPV6, 0, 0, 1, 0, 0, 0, 1], &message[..]].concat();
    let fragment = frame(MAC, HOST, IPV6, &ipv6(HOST6, OURS6, (44, 64), &parts));
    assert_eq!(answered(&fragment), Err(Quiet::Fragment));
}

#[test]
fn a_wrong_checksum_of_either_layer_gets_no_answer() {
    for at in [14 + 1, 14 + 20 + 9] {
        let mut bad = ping4(16);
        bad[at] ^= 4;
        assert_eq!(answered(&bad), Err(Quiet::Checksum), "byte {at}");
    }
    let mut bad = ping6(16);
    bad[14 + 40 + 9] ^= 4;
    assert_eq!(answered(&bad), Err(Quiet::Checksum));
}

#[test]
fn only_echo_requests_to_us_from_one_host_are_answered() {
    assert_eq!(answered(&changed4(|packet| packet[19] = 77)), Err(Quiet::NotOurs));
    assert_eq!(answered(&changed4(|packet| packet[12] = 224)), Err(Quiet::BadSource));
    assert_eq!(answered(&changed4(|packet| packet[15] = 1)), Err(Quiet::BadSource), "our own");
    assert_eq!(answered(&changed4(|packet| packet[9] = 6)), Err(Quiet::Unanswered));
    assert_eq!(answered(&changed4(|packet| packet[9] = UDP)), Err(Quiet::ClosedPort));
    let answer = frame(MAC, HOST, IPV4, &ipv4(HOST4, OURS4, ICMP, &icmp(0, 0, &rest(8))));
    assert_eq!(answered(&answer), Err(Quiet::Unanswered));
    let mut to_all = ping4(8);
    to_all[..6].fill(0xff);
    assert_eq!(answered(&to_all), Err(Quiet::NotOurs));

    assert_eq!(answered(&ping6_to(HOST6, HOST6, 8)), Err(Quiet::NotOurs));
    assert_eq!(answered(&ping6_to(Ipv6Addr::UNSPECIFIED, OURS6, 8)), Err(Quiet::BadSource));
    let datagram = frame(MAC, HOST, IPV6, &ipv6(HOST6, OURS6, (UDP, 64), &[0; 8]));
    assert_eq!(answered(&datagram), Err(Quiet::ClosedPort));
}

#[test]
fn a_reply_longer_than_buffer_or_mtu_is_not_begun() {
    let mut small = [0; 97];
    assert_eq!(answer(&gateway(), &ping4(56), &mut small), Err(Quiet::NoRoom));
    assert_eq!(answer(&gateway(), &ping6(56), &mut small), Err(Quiet::NoRoom));
    let narrow = Gateway { mtu: 1500, ..gateway() };
    assert_eq!(answer(&narrow, &ping4(1473), &mut buffer()), Err(Quiet::NoRoom));
    assert!(answer(&narrow, &ping4(1472), &mut buffer()).is_ok());
}

#[test]
fn lying_lengths_are_malformed() {
    let good = ping4(16);
    assert_eq!(answered(&good[..good.len() - 1]), Err(Quiet::Malformed));
    assert_eq!(answered(&changed4(|packet| packet[0] = 0x44)), Err(Quiet::Malformed));
    assert_eq!(answered(&changed4(|packet| packet[0] = 0x65)), Err(Quiet::Malformed));
    let good = ping6(16);
    assert_eq!(answered(&good[..good.len() - 1]), Err(Quiet::Malformed));
    assert_eq!(answered(&good[..13]), Err(Quiet::Malformed));
}
