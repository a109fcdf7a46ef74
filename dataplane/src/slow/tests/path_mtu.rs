//! What routers say of packets that did not fit, and what is believed of it (RFC 1191, RFC 8201, RFC 5927).

use super::*;

const VXLAN: u16 = 4789;
const ROUTER4: Ipv4Addr = Ipv4Addr::new(10, 1, 255, 254);
const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0xffff);

fn udp(size: usize) -> Vec<u8> {
    let len = (size as u16 + 8).to_be_bytes();
    let [high, low] = VXLAN.to_be_bytes();
    [&[0xc0, 0x01, high, low, len[0], len[1], 0, 0], &vec![8; size][..]].concat()
}

/// A tunnel packet of `length` bytes from us to the peer.
pub(super) fn sent4(length: usize) -> Vec<u8> {
    ipv4(OURS4, FAR4, UDP, &udp(length - 28))
}

pub(super) fn sent6(length: usize) -> Vec<u8> {
    ipv6(OURS6, FAR6, (UDP, 64), &udp(length - 48))
}

pub(super) fn news4(mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let message = icmp(3, 4, &[&[0, 0, high, low], quoted].concat());
    frame(MAC, HOST, IPV4, &ipv4(ROUTER4, OURS4, ICMP, &message))
}

pub(super) fn news6(mtu: u32, quoted: &[u8]) -> Vec<u8> {
    let message = icmpv6(ROUTER6, OURS6, 2, &[&mtu.to_be_bytes(), quoted].concat());
    frame(MAC, HOST, IPV6, &ipv6(ROUTER6, OURS6, (ICMPV6, 61), &message))
}

fn of4(mtu: u16) -> Option<TooBigNews> {
    Some(TooBigNews { ours: OURS4.into(), peer: FAR4.into(), udp_port: VXLAN, mtu })
}

fn of6(mtu: u16) -> Option<TooBigNews> {
    Some(TooBigNews { ours: OURS6.into(), peer: FAR6.into(), udp_port: VXLAN, mtu })
}

#[test]
fn the_mtu_is_told_however_much_is_quoted() {
    for quoted in [28, 24, 528, 1500] {
        assert_eq!(too_big_news(&news4(1450, &sent4(1500)[..quoted])), of4(1450), "{quoted}");
    }
    assert_eq!(too_big_news(&news4(1450, &sent4(1500)[..23])), None, "no port");
    for quoted in [48, 44, 1232] {
        assert_eq!(too_big_news(&news6(1450, &sent6(1500)[..quoted])), of6(1450), "{quoted}");
    }
    assert_eq!(too_big_news(&news6(1450, &sent6(1500)[..43])), None, "no port");
}

#[test]
fn old_routers_say_nothing_and_the_next_plateau_is_taken() {
    for (length, plateau) in [(1500, 1492), (1492, 1006), (9000, 8166), (70, 68), (40_000, 32_000)] {
        assert_eq!(too_big_news(&news4(0, &sent4(length)[..28])), of4(plateau), "{length}");
    }
    assert_eq!(too_big_news(&news4(0, &sent4(68)[..28])), None);
}

#[test]
fn no_mtu_below_the_least_of_its_protocol_is_believed() {
    assert_eq!(too_big_news(&news4(68, &sent4(1500)[..28])), of4(68));
    assert_eq!(too_big_news(&news4(67, &sent4(1500)[..28])), None);
    assert_eq!(too_big_news(&news6(1280, &sent6(1500)[..48])), of6(1280));
    assert_eq!(too_big_news(&news6(1279, &sent6(1500)[..48])), None);
    assert_eq!(too_big_news(&news6(0, &sent6(1500)[..48])), None);
}

#[test]
fn what_fitted_was_not_too_big() {
    assert_eq!(too_big_news(&news4(1499, &sent4(1500)[..28])), of4(1499));
    assert_eq!(too_big_news(&news4(1500, &sent4(1500)[..28])), None);
    assert_eq!(too_big_news(&news6(1499, &sent6(1500)[..48])), of6(1499));
    for mtu in [1500, 0x1_0000 + 1400, u32::MAX] {
        assert_eq!(too_big_news(&news6(mtu, &sent6(1500)[..48])), None);
    }
}

#[test]
fn it_must_come_to_the_address_that_is_quoted() {
    let theirs = ipv4(ALSO4, FAR4, UDP, &udp(1472));
    assert_eq!(too_big_news(&news4(1450, &theirs[..28])), None);
    let theirs = ipv6(ALSO6, FAR6, (UDP, 64), &udp(1452));
    assert_eq!(too_big_news(&news6(1450, &theirs[..48])), None);
}

#[test]
fn a_flipped_bit_or_a_missing_end_is_noticed() {
    let good4 = news4(1450, &sent4(1500)[..28]);
    let good6 = news6(1450, &sent6(1500)[..48]);
    for at in 14..good4.len() {
        let mut bad = good4.clone();
        bad[at] ^= 0x10;
        assert_eq!(too_big_news(&bad), None, "byte {at}");
    }
    for at in 14 + 40..good6.len() {
        let mut bad = good6.clone();
        bad[at] ^= 0x10;
        assert_eq!(too_big_news(&bad), None, "byte {at}");
    }
    for good in [good4, good6] {
        for len in 0..good.len() {
            assert_eq!(too_big_news(&good[..len]), None, "{len} bytes");
        }
    }
}

#[test]
fn padding_tags_and_other_messages() {
    let mut padded = news4(1450, &sent4(1500)[..28]);
    padded.resize(100, 0xee);
    assert_eq!(too_big_news(&padded), of4(1450));
    let mut tagged = news4(1450, &sent4(1500)[..28]);
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    assert_eq!(too_big_news(&tagged), None);
    let quoted = &[&[0, 0, 5, 0xaa], &sent4(1500)[..28]].concat();
    for (kind, code) in [(3, 3), (3, 0), (11, 4), (8, 0)] {
        let other = frame(MAC, HOST, IPV4, &ipv4(ROUTER4, OURS4, ICMP, &icmp(kind, code, quoted)));
        assert_eq!(too_big_news(&other), None);
    }
    let tcp = ipv4(OURS4, FAR4, 6, &udp(1472));
    assert_eq!(too_big_news(&news4(1450, &tcp[..28])), None);
    assert_eq!(too_big_news(&echo::ping4(40)), None);
    assert_eq!(too_big_news(&echo::ping6(40)), None);
}

#[test]
fn a_quoted_fragment_is_none_of_ours() {
    for flags in [0x20, 0x01] {
        let mut part = sent4(1500);
        part[6] = flags;
        assert_eq!(too_big_news(&news4(1450, &part[..28])), None);
    }
}

/// The switch's own errors, of which a far node makes news.
#[test]
fn what_a_gateway_says_of_a_tunnel_packet_is_read() {
    let offender = frame(MAC, HOST, IPV4, &ipv4(HOST4, FAR4, UDP, &udp(1472)));
    let mut out = buffer();
    let reply = error(&gateway(), Problem::TooBig { mtu: 1400 }, &offender, &mut out).unwrap();
    let expected = TooBigNews { ours: HOST4.into(), peer: FAR4.into(), udp_port: VXLAN, mtu: 1400 };
    assert_eq!(too_big_news(&out[..reply.len]), Some(expected));
    let offender = frame(MAC, HOST, IPV6, &ipv6(HOST6, FAR6, (UDP, 9), &udp(1452)));
    let reply = error(&gateway(), Problem::TooBig { mtu: 1400 }, &offender, &mut out).unwrap();
    let expected = TooBigNews { ours: HOST6.into(), peer: FAR6.into(), udp_port: VXLAN, mtu: 1400 };
    assert_eq!(too_big_news(&out[..reply.len]), Some(expected));
}
