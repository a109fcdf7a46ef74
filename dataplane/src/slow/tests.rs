//! The gateway as its hosts see it: frames made byte by byte here, replies read back with smoltcp.
//!
//! Checksums are computed by the definition, not by the crate that wrote them.

mod arp;
mod clamp;
mod echo;
mod errors;
mod linux;
mod membership;
mod ndp;
mod noise;
mod path_mtu;
mod proxy;
mod underlay;

use super::*;

const MAC: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0, 0x01]);
const HOST: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0, 0x99]);
const OTHER: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0, 0x77]);

const OURS4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const ALSO4: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 254);
const HOST4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
const FAR4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

const OURS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
const ALSO6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 9);
const FAR6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

fn gateway() -> Gateway<'static> {
    Gateway {
        mac: MAC,
        ipv4: &[(ALSO4, 24), (OURS4, 16)],
        ipv6: &[(ALSO6, 64), (OURS6, 64)],
        link_local: MAC.link_local(),
        mtu: 9000,
    }
}

/// Where replies go: full of what must not leak into them.
fn buffer() -> Vec<u8> {
    vec![0xa5; 9100]
}

/// The reply's bytes and kind, or why there is none.
fn answered(frame: &[u8]) -> Result<(Vec<u8>, Kind), Quiet> {
    let mut out = buffer();
    let reply = answer(&gateway(), frame, &mut out)?;
    assert!(out[reply.len..].iter().all(|&byte| byte == 0xa5), "wrote past the reply's end");
    out.truncate(reply.len);
    Ok((out, reply.kind))
}

/// The one's complement sum of RFC 1071, by its definition; 0 over data that carries its checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn frame(to: MacAddr, from: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to.octets(), &from.octets(), &ethertype.to_be_bytes()[..], payload].concat()
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0x48, len[0], len[1], 0x12, 0x34, 0, 0, 61, protocol, 0, 0];
    header.extend(from.octets());
    header.extend(to.octets());
    resum4(&mut header);
    [&header[..], payload].concat()
}

/// Corrects the header checksum after a change.
fn resum4(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..20]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, (protocol, hops): (u8, u8), payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, len[0], len[1], protocol, hops];
    [&header[..], &from.octets(), &to.octets(), payload].concat()
}

fn pseudo6(from: Ipv6Addr, to: Ipv6Addr, len: usize) -> Vec<u8> {
    let len = (len as u32).to_be_bytes();
    [&from.octets()[..], &to.octets(), &len, &[0, 0, 0, ICMPV6]].concat()
}

/// An ICMP message with the right checksum.
fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], rest].concat();
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// An ICMPv6 message with the right checksum for its way.
fn icmpv6(from: Ipv6Addr, to: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], rest].concat();
    let sum = checksum(&[&pseudo6(from, to, message.len()), &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Splits an IPv4 reply, its lengths and both checksums checked, into header and ICMP message.
fn icmpv4_reply(reply: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(reply[12..14], IPV4.to_be_bytes());
    let (header, message) = reply[14..].split_at(20);
    assert_eq!(usize::from(u16::from_be_bytes([header[2], header[3]])), reply.len() - 14);
    assert_eq!((header[0], header[9]), (0x45, ICMP));
    assert_eq!((checksum(&[header]), checksum(&[message])), (0, 0));
    (header, message)
}

/// As [`icmpv4_reply`] for IPv6, with the addresses of its way.
fn icmpv6_reply(reply: &[u8]) -> (Ipv6Addr, Ipv6Addr, u8, &[u8]) {
    assert_eq!(reply[12..14], IPV6.to_be_bytes());
    let (header, message) = reply[14..].split_at(40);
    assert_eq!(usize::from(u16::from_be_bytes([header[4], header[5]])), message.len());
    assert_eq!((header[0] >> 4, header[6]), (6, ICMPV6));
    let address = |at: usize| -> Ipv6Addr { <[u8; 16]>::try_from(&header[at..at + 16]).unwrap().into() };
    let (from, to) = (address(8), address(24));
    assert_eq!(checksum(&[&pseudo6(from, to, message.len()), message]), 0);
    (from, to, header[7], message)
}

/// Asserts the Ethernet addresses of a reply.
#[track_caller]
fn assert_ethernet(reply: &[u8], to: MacAddr) {
    assert_eq!((&reply[..6], &reply[6..12]), (&to.octets()[..], &MAC.octets()[..]));
}

#[test]
fn a_link_local_host_is_spoken_to_from_the_link_local_address() {
    let near: Ipv6Addr = "fe80::9".parse().unwrap();
    assert_eq!(gateway().ipv6_towards(near), MAC.link_local());
    assert_eq!(gateway().ipv6_towards(HOST6), OURS6);
    assert_eq!(gateway().ipv6_towards(FAR6), ALSO6);
    let bare = Gateway { ipv6: &[], ..gateway() };
    assert_eq!(bare.ipv6_towards(FAR6), MAC.link_local());
}

#[test]
fn the_last_address_of_a_slash_31_is_a_host_and_of_a_slash_30_is_not() {
    let last = Ipv4Addr::new(10, 9, 0, 3);
    let narrow = Gateway { ipv4: &[(Ipv4Addr::new(10, 9, 0, 2), 31)], ..gateway() };
    assert!(narrow.is_host(last.into()) && !narrow.is_group(last.into()));
    let wide = Gateway { ipv4: &[(Ipv4Addr::new(10, 9, 0, 2), 30)], ..gateway() };
    assert!(!wide.is_host(last.into()) && wide.is_group(last.into()));
}

#[test]
fn a_frame_to_another_station_is_not_answered() {
    let request = arp::packet(1, (HOST, HOST4), OURS4);
    assert_eq!(answered(&frame(OTHER, HOST, ARP, &request)), Err(Quiet::NotOurs));
    assert_eq!(answered(&frame(MAC, HOST, 0x88cc, &[0; 46])), Err(Quiet::Unanswered));
    assert_eq!(answered(&frame(MAC, MacAddr::BROADCAST, ARP, &request)), Err(Quiet::BadSource));
}
