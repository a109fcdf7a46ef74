//! Next hops asked for and heard of, beside a kernel that shares the NIC (RFC 5227, RFC 4861).

use smoltcp::wire::{ArpOperation, ArpRepr, EthernetAddress, NdiscNeighborFlags, NdiscRepr};

use super::{
    ndp::{Message, all_nodes, group},
    *,
};

const SHARED: Asker = Asker { mac: MAC, ipv4: None, ipv6: MAC.link_local(), to: None };
const OWN: Asker = Asker { ipv4: Some(OURS4), ..SHARED };

fn sought(asker: &Asker, target: impl Into<IpAddr>) -> Result<Vec<u8>, Quiet> {
    let mut out = buffer();
    let reply = seek(asker, target.into(), &mut out)?;
    assert_eq!(reply.kind, Kind::Request);
    out.truncate(reply.len);
    Ok(out)
}

#[track_caller]
fn assert_arp(asker: &Asker, from: Ipv4Addr, to: MacAddr) {
    let question = sought(asker, HOST4).unwrap();
    assert_ethernet(&question, to);
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(MAC.0),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: HOST4,
    };
    assert_eq!((arp::parsed(&question), question.len()), (expected, 42));
}

#[test]
fn a_shared_address_is_not_asked_from_and_an_own_one_is() {
    assert_arp(&SHARED, Ipv4Addr::UNSPECIFIED, MacAddr::BROADCAST);
    assert_arp(&OWN, OURS4, MacAddr::BROADCAST);
    assert_arp(&Asker { to: Some(HOST), ..SHARED }, Ipv4Addr::UNSPECIFIED, HOST);
    assert_arp(&Asker { to: Some(HOST), ..OWN }, OURS4, HOST);
}

#[test]
fn solicitations_come_from_our_link_local_address_and_a_refresh_goes_straight() {
    let near: Ipv6Addr = "fe80::1:2:3".parse().unwrap();
    for target in [HOST6, near] {
        for (asker, mac, to) in [
            (SHARED, MacAddr::of_ipv6_multicast(group(target)), group(target)),
            (Asker { to: Some(HOST), ..SHARED }, HOST, target),
        ] {
            let question = sought(&asker, target).unwrap();
            assert_ethernet(&question, mac);
            let lladdr = Some(EthernetAddress(MAC.0).into());
            let expected = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
            assert_eq!(ndp::parsed(&question), (MAC.link_local(), to, expected));
        }
    }
}

#[test]
fn ourselves_and_groups_are_not_sought() {
    let group6: Ipv6Addr = "ff02::1".parse().unwrap();
    let targets: [IpAddr; 6] = [
        OURS4.into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv4Addr::UNSPECIFIED.into(),
        MAC.link_local().into(),
        group6.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    for target in targets {
        assert_eq!(sought(&OWN, target), Err(Quiet::BadTarget), "{target}");
    }
    let everyone = Asker { to: Some(MacAddr::BROADCAST), ..SHARED };
    assert_eq!(sought(&everyone, HOST4), Err(Quiet::BadTarget));
    assert_eq!(seek(&SHARED, HOST4.into(), &mut [0; 41]), Err(Quiet::NoRoom));
    assert_eq!(seek(&SHARED, HOST6.into(), &mut [0; 85]), Err(Quiet::NoRoom));
}

#[test]
fn replies_and_announcements_are_heard_and_questions_are_not() {
    let binding = Some((IpAddr::from(HOST4), HOST));
    let to_a_probe = frame(MAC, HOST, ARP, &arp::packet(2, (HOST, HOST4), Ipv4Addr::UNSPECIFIED));
    let to_us = frame(MAC, HOST, ARP, &arp::packet(2, (HOST, HOST4), OURS4));
    for stated in [to_a_probe, to_us, arp::request_frame(HOST4, HOST4)] {
        assert_eq!(heard(&stated), binding);
    }
    let probe = arp::request_frame(Ipv4Addr::UNSPECIFIED, HOST4);
    for silent in [arp::request_frame(HOST4, OURS4), probe, Message::solicit(HOST6, OURS6).frame()] {
        assert_eq!(heard(&silent), None);
    }
}

#[test]
fn advertisements_are_heard_also_without_the_address_when_they_answer() {
    let binding = Some((IpAddr::from(HOST6), HOST));
    assert_eq!(heard(&Message::advertise(HOST6, MAC.link_local(), 0x60).frame()), binding);
    assert_eq!(heard(&Message::advertise(HOST6, all_nodes(), 0x20).frame()), binding);
    let bare = |to, flags| Message { options: Vec::new(), ..Message::advertise(HOST6, to, flags) };
    assert_eq!(heard(&bare(MAC.link_local(), 0x40).frame()), binding);
    assert_eq!(heard(&bare(MAC.link_local(), 0x00).frame()), None, "nobody asked, and it says nothing");
    assert_eq!(heard(&bare(all_nodes(), 0x20).frame()), None);
}

#[test]
fn what_learning_refuses_is_not_heard() {
    let forged = frame(MAC, OTHER, ARP, &arp::packet(2, (HOST, HOST4), OURS4));
    let group4 = frame(MAC, HOST, ARP, &arp::packet(2, (HOST, Ipv4Addr::new(224, 0, 0, 1)), OURS4));
    let from_group = frame(MAC, MacAddr::BROADCAST, ARP, &arp::packet(2, (MacAddr::BROADCAST, HOST4), OURS4));
    for silent in [forged, group4, from_group] {
        assert_eq!(heard(&silent), None);
    }
    let good = || Message::advertise(HOST6, MAC.link_local(), 0x60);
    let to_all_yet_solicited = Message::advertise(HOST6, all_nodes(), 0x60);
    let routed = Message { hops: 64, ..good() };
    let forged = Message { options: ndp::option(ndp::TARGET_OPTION, OTHER), ..good() };
    let many = Message { target: all_nodes(), ..good() };
    for message in [to_all_yet_solicited, routed, forged, many] {
        assert_eq!(heard(&message.frame()), None);
    }
    let mut bent = good().frame();
    bent[70] ^= 1;
    assert_eq!(heard(&bent), None);
}

/// A VTEP that is ours alone is a [`Gateway`] with that address, and [`answer_as_host`] speaks for it.
fn vtep() -> Gateway<'static> {
    Gateway { ipv4: &[(OURS4, 24)], ipv6: &[(OURS6, 64)], mtu: 1500, ..gateway() }
}

fn answered_as_host(frame: &[u8]) -> Result<Vec<u8>, Quiet> {
    let mut out = buffer();
    let reply = answer_as_host(&vtep(), frame, &mut out)?;
    out.truncate(reply.len);
    Ok(out)
}

#[test]
fn an_own_vtep_answers_arp_and_ping_as_a_gateway_does() {
    for question in [arp::request_frame(HOST4, OURS4), echo::ping4(56), echo::ping6(56)] {
        assert_eq!(answered_as_host(&question), answered(&question).map(|(reply, _)| reply));
    }
    assert_eq!(answered_as_host(&arp::request_frame(HOST4, ALSO4)), Err(Quiet::NotOurs));
}

#[test]
fn an_own_vtep_and_our_link_local_address_advertise_no_router() {
    for target in [OURS6, MAC.link_local()] {
        let reply = answered_as_host(&Message::solicit(HOST6, target).frame()).unwrap();
        let flags = NdiscNeighborFlags::OVERRIDE | NdiscNeighborFlags::SOLICITED;
        let lladdr = Some(EthernetAddress(MAC.0).into());
        let expected = NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr };
        assert_eq!(ndp::parsed(&reply), (target, HOST6, expected));
    }
}

#[test]
fn what_one_switch_asks_another_answers_and_the_first_hears() {
    let peer =
        Gateway { mac: HOST, ipv4: &[(HOST4, 24)], ipv6: &[(HOST6, 64)], link_local: HOST.link_local(), mtu: 1500 };
    for to in [None, Some(HOST)] {
        for asker in [SHARED, OWN].map(|asker| Asker { to, ..asker }) {
            for target in [IpAddr::from(HOST4), HOST6.into(), HOST.link_local().into()] {
                let question = sought(&asker, target).unwrap();
                let mut out = buffer();
                let reply = answer_as_host(&peer, &question, &mut out).unwrap();
                assert_eq!(heard(&out[..reply.len]), Some((target, HOST)));
                assert_ethernet_from(&out, HOST, MAC);
            }
        }
    }
}

#[track_caller]
fn assert_ethernet_from(reply: &[u8], from: MacAddr, to: MacAddr) {
    assert_eq!((&reply[..6], &reply[6..12]), (&to.octets()[..], &from.octets()[..]));
}
