//! Neighbour discovery both ways (RFC 4861, section 7; RFC 4862, section 5.4).

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{EthernetAddress, Icmpv6Packet, Icmpv6Repr, NdiscNeighborFlags, NdiscRepr},
};

use super::*;

const SOLICIT: u8 = 135;
const ADVERTISE: u8 = 136;
pub(super) const SOURCE_OPTION: u8 = 1;
pub(super) const TARGET_OPTION: u8 = 2;

pub(super) fn group(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

pub(super) fn all_nodes() -> Ipv6Addr {
    "ff02::1".parse().unwrap()
}

pub(super) fn option(kind: u8, mac: MacAddr) -> Vec<u8> {
    [&[kind, 1], &mac.octets()[..]].concat()
}

/// A message of `kind` about `target`; `flags` is the first byte of the word before it.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) from: Ipv6Addr,
    pub(super) to: Ipv6Addr,
    pub(super) flags: u8,
    pub(super) target: Ipv6Addr,
    pub(super) options: Vec<u8>,
    pub(super) hops: u8,
}

impl Message {
    pub(super) fn solicit(from: Ipv6Addr, target: Ipv6Addr) -> Self {
        let options = option(SOURCE_OPTION, HOST);
        Self { kind: SOLICIT, from, to: group(target), flags: 0, target, options, hops: 255 }
    }

    pub(super) fn probe(target: Ipv6Addr) -> Self {
        Self { options: Vec::new(), ..Self::solicit(Ipv6Addr::UNSPECIFIED, target) }
    }

    pub(super) fn advertise(target: Ipv6Addr, to: Ipv6Addr, flags: u8) -> Self {
        let options = option(TARGET_OPTION, HOST);
        Self { kind: ADVERTISE, from: target, to, flags, target, options, hops: 255 }
    }

    fn packet(&self) -> Vec<u8> {
        let rest = [&[self.flags, 0, 0, 0], &self.target.octets()[..], &self.options].concat();
        let message = icmpv6(self.from, self.to, self.kind, &rest);
        ipv6(self.from, self.to, (ICMPV6, self.hops), &message)
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let to = if self.to.is_multicast() { MacAddr::of_ipv6_multicast(self.to) } else { MAC };
        frame(to, HOST, IPV6, &self.packet())
    }

    fn answered(&self) -> Result<(Vec<u8>, Kind), Quiet> {
        super::answered(&self.frame())
    }

    fn learned(&self) -> Option<(IpAddr, MacAddr)> {
        learned(&gateway(), &self.frame())
    }
}

/// Reads a neighbour discovery message with smoltcp, which checks its checksum.
pub(super) fn parsed(reply: &[u8]) -> (Ipv6Addr, Ipv6Addr, NdiscRepr<'_>) {
    let (from, to, hops, message) = icmpv6_reply(reply);
    assert_eq!(hops, 255);
    let packet = Icmpv6Packet::new_checked(message).unwrap();
    match Icmpv6Repr::parse(&from, &to, &packet, &ChecksumCapabilities::default()) {
        Ok(Icmpv6Repr::Ndisc(message)) => (from, to, message),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_advertised(message: &Message, to: (MacAddr, Ipv6Addr), solicited: bool) {
    let (reply, kind) = message.answered().unwrap();
    assert_ethernet(&reply, to.0);
    let mut flags = NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE;
    flags.set(NdiscNeighborFlags::SOLICITED, solicited);
    let expected =
        NdiscRepr::NeighborAdvert { flags, target_addr: message.target, lladdr: Some(EthernetAddress(MAC.0).into()) };
    assert_eq!(parsed(&reply), (message.target, to.1, expected));
    assert_eq!((reply.len(), kind), (14 + 40 + 32, Kind::Neighbour));
}

#[test]
fn a_solicitation_for_each_of_our_addresses_is_answered_to_its_sender() {
    for target in [OURS6, ALSO6, MAC.link_local()] {
        assert_advertised(&Message::solicit(HOST6, target), (HOST, HOST6), true);
    }
}

#[test]
fn a_reachability_probe_sent_straight_to_us_is_answered_with_or_without_option() {
    let direct = Message { to: OURS6, ..Message::solicit(HOST6, OURS6) };
    assert_advertised(&direct, (HOST, HOST6), true);
    let bare = Message { options: Vec::new(), ..direct };
    assert_advertised(&bare, (HOST, HOST6), true);
}

#[test]
fn a_host_about_to_take_our_address_is_told_before_everyone() {
    let everyone = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
    assert_advertised(&Message::probe(OURS6), (everyone, all_nodes()), false);
}

#[test]
fn unknown_options_are_skipped() {
    let mut options = vec![14, 1, 1, 2, 3, 4, 5, 6, 200, 2];
    options.extend([0; 14]);
    options.extend(option(SOURCE_OPTION, HOST));
    let message = Message { options, ..Message::solicit(HOST6, OURS6) };
    assert_advertised(&message, (HOST, HOST6), true);
    assert_eq!(message.learned(), Some((HOST6.into(), HOST)));
}

#[test]
fn what_rfc_4861_section_7_1_1_forbids_is_discarded() {
    let good = || Message::solicit(HOST6, OURS6);
    let routed = Message { hops: 254, ..good() };
    assert_eq!(routed.answered(), Err(Quiet::OffLink));
    let endless = Message { options: vec![1, 0, 0, 0, 0, 0, 0, 0], ..good() };
    assert_eq!(endless.answered(), Err(Quiet::Malformed));
    let overlong = Message { options: vec![1, 2, 0, 0, 0, 0, 0, 0], ..good() };
    assert_eq!(overlong.answered(), Err(Quiet::Malformed));
    let many = Message { target: all_nodes(), ..good() };
    assert_eq!(many.answered(), Err(Quiet::Malformed));
    let direct_probe = Message { to: OURS6, ..Message::probe(OURS6) };
    assert_eq!(direct_probe.answered(), Err(Quiet::Malformed));
    let stating_probe = Message { options: option(SOURCE_OPTION, HOST), ..Message::probe(OURS6) };
    assert_eq!(stating_probe.answered(), Err(Quiet::Malformed));
    for message in [routed, endless, overlong, many, direct_probe, stating_probe] {
        assert_eq!(message.learned(), None);
    }
}

#[test]
fn a_wrong_checksum_a_code_or_a_missing_target_is_discarded() {
    let good = Message::solicit(HOST6, OURS6).frame();
    let mut flipped = good.clone();
    flipped[14 + 40 + 30] ^= 1;
    assert_eq!(answered(&flipped), Err(Quiet::Checksum));
    assert_eq!(learned(&gateway(), &flipped), None);

    let mut coded = good;
    coded[14 + 40 + 1] = 1;
    let sum = u16::from_be_bytes([coded[14 + 42], coded[14 + 43]]) - 1; // the code adds one
    coded[14 + 42..14 + 44].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(answered(&coded), Err(Quiet::Malformed));

    let short = icmpv6(HOST6, OURS6, SOLICIT, &[0; 19]);
    let short = frame(MAC, HOST, IPV6, &ipv6(HOST6, OURS6, (ICMPV6, 255), &short));
    assert_eq!(answered(&short), Err(Quiet::Malformed));
}

#[test]
fn solicitations_for_others_are_left_alone() {
    assert_eq!(Message::solicit(HOST6, HOST6).answered(), Err(Quiet::NotOurs));
    let astray = Message { to: all_nodes(), ..Message::solicit(HOST6, OURS6) };
    assert_eq!(astray.answered(), Err(Quiet::NotOurs));
    let forged = Message { options: option(SOURCE_OPTION, OTHER), ..Message::solicit(HOST6, OURS6) };
    assert_eq!((forged.answered(), forged.learned()), (Err(Quiet::Forged), None));
    let mirrored = Message::solicit(ALSO6, OURS6);
    assert_eq!((mirrored.answered(), mirrored.learned()), (Err(Quiet::BadSource), None));
}

#[test]
fn advertisements_and_router_solicitations_get_no_answer() {
    let advertisement = Message::advertise(HOST6, OURS6, 0x60);
    assert_eq!(advertisement.answered(), Err(Quiet::Unanswered));
    let routers = icmpv6(HOST6, OURS6, 133, &[0; 4]);
    let routers = frame(MAC, HOST, IPV6, &ipv6(HOST6, OURS6, (ICMPV6, 255), &routers));
    assert_eq!(answered(&routers), Err(Quiet::Unanswered));
}

#[test]
fn bindings_are_learned_from_solicitations_and_advertisements() {
    let binding = Some((IpAddr::from(HOST6), HOST));
    assert_eq!(Message::solicit(HOST6, OURS6).learned(), binding);
    assert_eq!(Message::advertise(HOST6, OURS6, 0x60).learned(), binding);
    assert_eq!(Message::advertise(HOST6, all_nodes(), 0x20).learned(), binding);
}

#[test]
fn what_rfc_4861_section_7_1_2_forbids_is_not_learned() {
    let to_all_yet_solicited = Message::advertise(HOST6, all_nodes(), 0x60);
    let silent = Message { options: Vec::new(), ..Message::advertise(HOST6, OURS6, 0x60) };
    let routed = Message { hops: 64, ..Message::advertise(HOST6, OURS6, 0x60) };
    let ours = Message::advertise(OURS6, all_nodes(), 0x20);
    let many = Message::advertise(all_nodes(), OURS6, 0x20);
    for message in [to_all_yet_solicited, silent, routed, ours, many, Message::probe(HOST6)] {
        assert_eq!(message.learned(), None);
    }
}

#[test]
fn a_next_hop_is_solicited_in_its_group_from_its_subnet() {
    let near: Ipv6Addr = "fe80::1:2:3".parse().unwrap();
    for (target, source) in [(HOST6, OURS6), (near, MAC.link_local())] {
        let mut out = buffer();
        let reply = request(&gateway(), target.into(), &mut out).unwrap();
        assert_eq!(reply, Reply { len: 14 + 40 + 32, kind: Kind::Request });
        assert_ethernet(&out, MacAddr::of_ipv6_multicast(group(target)));
        let expected = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: Some(EthernetAddress(MAC.0).into()) };
        assert_eq!(parsed(&out[..reply.len]), (source, group(target), expected));
    }
}

#[test]
fn our_own_solicitation_passes_the_checks_we_make() {
    let mut out = buffer();
    let reply = request(&gateway(), HOST6.into(), &mut out).unwrap();
    let other = Gateway { mac: HOST, ipv4: &[], ipv6: &[(HOST6, 64)], link_local: HOST.link_local(), mtu: 1500 };
    assert_eq!(learned(&other, &out[..reply.len]), Some((OURS6.into(), MAC)));
    let mut advertisement = buffer();
    let answer = answer(&other, &out[..reply.len], &mut advertisement).unwrap();
    assert_eq!(learned(&gateway(), &advertisement[..answer.len]), Some((HOST6.into(), HOST)));
}
