//! What is said about addresses rather than sent through a tunnel: ARP, ICMP and neighbour discovery. Each rule stands
//! beside its near misses.

use super::*;

/// The host has this address too.
const SHARED4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const SHARED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
/// Only the host has these. The second is in the solicited-node group of [`VTEP6`].
const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 7);
/// The switch's own on the uplink.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51);
const HOP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 3);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 3);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x51];
pub(super) const BROADCAST: [u8; 6] = [0xff; 6];

pub(super) const REQUEST: u16 = 1;
pub(super) const REPLY: u16 = 2;
const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// VTEP4 and VTEP6 are own, as is the link-local address; a next hop is asked for.
fn switch_or_skip(test: &str) -> Option<Loaded> {
    let mut loaded = Loaded::or_skip(test)?;
    let vteps = [own(VTEP4), own(VTEP6), own(LINK_LOCAL), shared(SHARED4), shared(SHARED6)];
    let next_hops = [HOP.into(), PEER6.into()];
    let claim = Claim { vteps: &vteps, tunnel_ports: &[VXLAN, GENEVE], next_hops: &next_hops, ..Claim::default() };
    loaded.maps.set(&claim).unwrap();
    Some(loaded)
}

impl Loaded {
    /// Each frame bare, and behind one and two tags; what is cut short anywhere is passed.
    fn takes(&mut self, what: &str, frame: &[u8]) {
        for tags in 0..=2 {
            let tagged = tag(frame, tags);
            assert!(self.claims(&tagged), "{what}, {tags} tags");
        }
        assert!(!self.claims(&tag(frame, 3)), "{what}, 3 tags");
        for short in 14..frame.len() {
            assert!(!self.claims(&frame[..short]), "{what}, cut to {short}");
        }
    }

    fn leaves(&mut self, what: &str, frame: &[u8]) {
        for tags in 0..=2 {
            assert!(!self.claims(&tag(frame, tags)), "{what}, {tags} tags");
        }
    }
}

fn tag(frame: &[u8], tags: usize) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 100].repeat(tags), &frame[12..]].concat()
}

pub(super) fn ethernet(to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 1], &kind.to_be_bytes(), payload].concat()
}

/// ARP from the next hop's MAC address, said to `to`.
pub(super) fn arp(to: [u8; 6], operation: u16, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let head = [&[0, 1, 8, 0, 6, 4], &operation.to_be_bytes()[..]].concat();
    let sender = [&[2, 0, 0, 0, 0, 1], &sender.octets()[..]].concat();
    ethernet(to, 0x0806, &[head, sender, MAC.to_vec(), target.octets().to_vec()].concat())
}

pub(super) fn packet4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let head = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

pub(super) fn packet6(protocol: u8, from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let head = [0x60, 0, 0, 0, 0, 0, protocol, 255];
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

fn to_port(port: u16) -> Vec<u8> {
    [&[0x30, 0x39], &port.to_be_bytes()[..], &[0; 4]].concat()
}

fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 0, 0], body].concat()
}

fn icmp4(to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    ethernet(MAC, 0x0800, &packet4(ICMP, PEER4, to, message))
}

fn icmp6(to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    ethernet(MAC, 0x86dd, &packet6(ICMPV6, PEER6, to, message))
}

pub(super) fn solicited_node(of: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = of.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

pub(super) fn solicitation(to: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    icmp6(to, &icmp(135, 0, &target.octets()))
}

#[test]
fn arp_about_an_own_address_is_claimed_and_about_the_hosts_is_not() {
    let Some(mut loaded) = switch_or_skip("arp_about_an_own_address_is_claimed_and_about_the_hosts_is_not") else {
        return;
    };
    loaded.takes("who has ours", &arp(BROADCAST, REQUEST, PEER4, VTEP4));
    loaded.takes("a probe for ours", &arp(BROADCAST, REQUEST, NOBODY, VTEP4));
    loaded.takes("an answer to us", &arp(MAC, REPLY, HOP, VTEP4));
    loaded.leaves("who has the host", &arp(BROADCAST, REQUEST, PEER4, HOST4));
    loaded.leaves("who has what we share", &arp(BROADCAST, REQUEST, PEER4, SHARED4));
    loaded.leaves("an answer to the host", &arp(MAC, REPLY, HOP, HOST4));
    loaded.leaves("an answer to what we share", &arp(MAC, REPLY, HOP, SHARED4));
    loaded.leaves("reverse ARP", &arp(BROADCAST, 3, PEER4, VTEP4));
    for (at, what) in [(15, "hardware"), (16, "protocol"), (18, "hardware length"), (19, "protocol length")] {
        let mut odd = arp(BROADCAST, REQUEST, PEER4, VTEP4);
        odd[at] ^= 0x10;
        loaded.leaves(what, &odd);
    }
}

#[test]
fn an_answer_to_our_probe_is_claimed_and_to_the_hosts_probe_is_not() {
    let Some(mut loaded) = switch_or_skip("an_answer_to_our_probe_is_claimed_and_to_the_hosts_probe_is_not") else {
        return;
    };
    loaded.takes("our next hop", &arp(MAC, REPLY, HOP, NOBODY));
    loaded.leaves("an address the host tries", &arp(MAC, REPLY, HOST4, NOBODY));
    loaded.leaves("a reply to all", &arp(BROADCAST, REPLY, HOP, NOBODY));
    loaded.leaves("a reply to another station", &arp([2, 0, 0, 0, 0, 0x52], REPLY, HOP, NOBODY));
    loaded.leaves("a request", &arp(MAC, REQUEST, HOP, NOBODY));
    loaded.maps.set(&vxlan_to(&[shared(SHARED4)])).unwrap();
    loaded.leaves("a next hop no more", &arp(MAC, REPLY, HOP, NOBODY));
}

#[test]
fn icmp_to_an_own_address_is_claimed_whatever_it_says() {
    let Some(mut loaded) = switch_or_skip("icmp_to_an_own_address_is_claimed_whatever_it_says") else {
        return;
    };
    for kind in [0, 3, 8, 11, 13] {
        loaded.takes("ours", &icmp4(VTEP4, &icmp(kind, 0, &[])));
        loaded.leaves("shared", &icmp4(SHARED4, &icmp(kind, 0, &[])));
        loaded.leaves("the host's", &icmp4(HOST4, &icmp(kind, 0, &[])));
    }
    for kind in [1, 2, 128, 129, 135, 136] {
        for ours in [VTEP6, LINK_LOCAL] {
            loaded.takes("ours", &icmp6(ours, &icmp(kind, 0, &[])));
        }
        loaded.leaves("shared", &icmp6(SHARED6, &icmp(kind, 0, &[])));
        loaded.leaves("the host's", &icmp6(HOST6, &icmp(kind, 0, &[])));
    }
    for (protocol, what) in [(TCP, "TCP"), (2, "IGMP"), (ICMPV6, "ICMPv6 in IPv4")] {
        loaded.leaves(what, &ethernet(MAC, 0x0800, &packet4(protocol, PEER4, VTEP4, &icmp(8, 0, &[]))));
    }
    let mut fragment = icmp4(VTEP4, &icmp(8, 0, &[]));
    fragment[20] = 0x20;
    loaded.leaves("a fragment", &fragment);
    assert_eq!(loaded.maps.counters().unwrap().fragments, 0, "of UDP alone they are counted");
}

#[test]
fn a_shared_address_hears_only_that_its_tunnel_packets_were_too_big() {
    let Some(mut loaded) = switch_or_skip("a_shared_address_hears_only_that_its_tunnel_packets_were_too_big") else {
        return;
    };
    let needed = |quoted: &[u8]| icmp4(SHARED4, &icmp(3, 4, quoted));
    let sent = |port| packet4(UDP, SHARED4, PEER4, &to_port(port));
    loaded.takes("VXLAN", &needed(&sent(VXLAN)));
    loaded.takes("Geneve", &needed(&sent(GENEVE)));
    let mut options = sent(VXLAN);
    options[0] = 0x46;
    options.splice(20..20, [1; 4]);
    loaded.takes("options", &needed(&options));
    loaded.leaves("the host's DNS", &needed(&sent(53)));
    loaded.leaves("TCP", &needed(&packet4(TCP, SHARED4, PEER4, &to_port(VXLAN))));
    loaded.leaves("another's packet", &needed(&packet4(UDP, HOST4, PEER4, &to_port(VXLAN))));
    loaded.leaves("another's address", &icmp4(HOST4, &icmp(3, 4, &sent(VXLAN))));
    loaded.leaves("port unreachable", &icmp4(SHARED4, &icmp(3, 3, &sent(VXLAN))));
    loaded.leaves("time exceeded", &icmp4(SHARED4, &icmp(11, 4, &sent(VXLAN))));
    let mut later = sent(VXLAN);
    later[7] = 100;
    loaded.leaves("a later fragment has no ports", &needed(&later));

    let too_big = |quoted: &[u8]| icmp6(SHARED6, &icmp(2, 0, quoted));
    let sent = |port| packet6(UDP, SHARED6, PEER6, &to_port(port));
    loaded.takes("VXLAN over IPv6", &too_big(&sent(VXLAN)));
    loaded.takes("Geneve over IPv6", &too_big(&sent(GENEVE)));
    loaded.leaves("the host's DNS", &too_big(&sent(53)));
    loaded.leaves("TCP", &too_big(&packet6(TCP, SHARED6, PEER6, &to_port(VXLAN))));
    loaded.leaves("another's packet", &too_big(&packet6(UDP, HOST6, PEER6, &to_port(VXLAN))));
    loaded.leaves("another's address", &icmp6(HOST6, &icmp(2, 0, &sent(VXLAN))));
    loaded.leaves("unreachable", &icmp6(SHARED6, &icmp(1, 0, &sent(VXLAN))));
}

#[test]
fn a_solicitation_is_claimed_by_its_target_and_not_by_its_group() {
    let Some(mut loaded) = switch_or_skip("a_solicitation_is_claimed_by_its_target_and_not_by_its_group") else {
        return;
    };
    for ours in [VTEP6, LINK_LOCAL] {
        loaded.takes("who has ours", &solicitation(solicited_node(ours), ours));
    }
    assert_eq!(solicited_node(HOST6), solicited_node(VTEP6));
    loaded.leaves("the host, in our group", &solicitation(solicited_node(HOST6), HOST6));
    loaded.leaves("what we share", &solicitation(solicited_node(SHARED6), SHARED6));
    loaded.leaves("ours, in another group", &solicitation(solicited_node(SHARED6), VTEP6));
    loaded.leaves("ours, said to all", &solicitation("ff02::1".parse().unwrap(), VTEP6));
    loaded.leaves("the host, asked alone", &solicitation(HOST6, HOST6));
    let advertised = icmp6(solicited_node(VTEP6), &icmp(136, 0, &VTEP6.octets()));
    loaded.leaves("no solicitation", &advertised);
    loaded.leaves("listeners", &icmp6("ff02::16".parse().unwrap(), &icmp(143, 0, &VTEP6.octets())));
}

#[test]
fn fragments_to_our_addresses_are_passed_and_counted_apart() {
    let Some(mut loaded) = switch_or_skip("fragments_to_our_addresses_are_passed_and_counted_apart") else {
        return;
    };
    let fragment = |to, of: u8| {
        let header = [&[of, 0, 0, 1, 0, 0, 0, 1], &to_port(VXLAN)[..]].concat();
        ethernet(MAC, 0x86dd, &packet6(44, PEER6, to, &header))
    };
    let mut first = ethernet(MAC, 0x0800, &packet4(UDP, PEER4, SHARED4, &to_port(VXLAN)));
    first[20] = 0x20;
    for (frame, counted) in [
        (fragment(VTEP6, UDP), true),
        (fragment(SHARED6, UDP), true),
        (first, true),
        (fragment(VTEP6, ICMPV6), false),
        (fragment(HOST6, UDP), false),
    ] {
        let before = loaded.maps.counters().unwrap();
        assert!(!loaded.claims(&frame));
        let after = loaded.maps.counters().unwrap();
        let (passed, fragments) = (before.passed + 1, before.fragments + u64::from(counted));
        assert_eq!(after, UplinkCounters { passed, fragments, ..before });
    }
}

#[test]
fn an_address_may_turn_from_own_to_shared_and_back() {
    let Some(mut loaded) = switch_or_skip("an_address_may_turn_from_own_to_shared_and_back") else {
        return;
    };
    let asked = arp(BROADCAST, REQUEST, PEER4, VTEP4);
    for (vtep, claimed) in [(own(VTEP4), true), (shared(VTEP4), false), (own(VTEP4), true)] {
        loaded.maps.set(&vxlan_to(&[vtep])).unwrap();
        assert_eq!(loaded.claims(&asked), claimed);
        assert!(loaded.claims(&Frame::default().bytes()), "VXLAN to it is ours in both");
    }
}
