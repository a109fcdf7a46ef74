//! Questions for a remote endpoint are answered in its name (RFC 9161), read back with smoltcp.

use smoltcp::wire::{ArpOperation, ArpRepr, EthernetAddress, NdiscNeighborFlags, NdiscRepr};

use super::{
    ndp::{Message, all_nodes},
    *,
};

/// The endpoint: its MAC address is that of replies, which is what [`assert_ethernet`] looks for.
const ENDPOINT: MacAddr = MAC;
const ENDPOINT4: Ipv4Addr = OURS4;
const ENDPOINT6: Ipv6Addr = OURS6;

fn said(address: impl Into<IpAddr>, frame: &[u8]) -> Result<Vec<u8>, Quiet> {
    let mut out = buffer();
    let reply = proxy_answer(address.into(), ENDPOINT, frame, &mut out)?;
    assert_eq!(reply.kind, Kind::Neighbour);
    assert!(out[reply.len..].iter().all(|&byte| byte == 0xa5), "wrote past the reply's end");
    out.truncate(reply.len);
    Ok(out)
}

#[track_caller]
fn assert_arp(frame: &[u8], to: Ipv4Addr) {
    let reply = said(ENDPOINT4, frame).unwrap();
    assert_ethernet(&reply, HOST);
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(ENDPOINT.0),
        source_protocol_addr: ENDPOINT4,
        target_hardware_addr: EthernetAddress(HOST.0),
        target_protocol_addr: to,
    };
    assert_eq!((arp::parsed(&reply), reply.len()), (expected, 42));
}

#[track_caller]
fn assert_advertised(message: &Message, to: (MacAddr, Ipv6Addr), flags: NdiscNeighborFlags) {
    let reply = said(ENDPOINT6, &message.frame()).unwrap();
    assert_ethernet(&reply, to.0);
    let lladdr = Some(EthernetAddress(ENDPOINT.0).into());
    let expected = NdiscRepr::NeighborAdvert { flags, target_addr: ENDPOINT6, lladdr };
    assert_eq!(ndp::parsed(&reply), (ENDPOINT6, to.1, expected));
}

#[test]
fn a_request_to_everyone_or_to_the_endpoint_is_answered_in_its_name() {
    assert_arp(&arp::request_frame(HOST4, ENDPOINT4), HOST4);
    assert_arp(&frame(ENDPOINT, HOST, ARP, &arp::packet(1, (HOST, HOST4), ENDPOINT4)), HOST4);
}

#[test]
fn a_solicitation_is_answered_as_a_host_that_overrides_old_caches() {
    let flags = NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::OVERRIDE;
    assert_advertised(&Message::solicit(HOST6, ENDPOINT6), (HOST, HOST6), flags);
    let direct = Message { to: ENDPOINT6, ..Message::solicit(HOST6, ENDPOINT6) };
    assert_advertised(&direct, (HOST, HOST6), flags);
}

#[test]
fn who_is_about_to_take_the_address_learns_that_it_is_taken() {
    assert_arp(&arp::request_frame(Ipv4Addr::UNSPECIFIED, ENDPOINT4), Ipv4Addr::UNSPECIFIED);
    let everyone = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
    assert_advertised(&Message::probe(ENDPOINT6), (everyone, all_nodes()), NdiscNeighborFlags::OVERRIDE);
}

#[test]
fn the_endpoint_itself_is_not_told_that_its_address_is_taken() {
    let probe = arp::packet(1, (ENDPOINT, Ipv4Addr::UNSPECIFIED), ENDPOINT4);
    assert_eq!(said(ENDPOINT4, &frame(MacAddr::BROADCAST, ENDPOINT, ARP, &probe)), Err(Quiet::BadSource));
    let mut probe = Message::probe(ENDPOINT6).frame();
    probe[6..12].copy_from_slice(&ENDPOINT.octets());
    assert_eq!(said(ENDPOINT6, &probe), Err(Quiet::BadSource));
}

#[test]
fn announcements_and_answers_are_not_answered() {
    assert_eq!(said(ENDPOINT4, &arp::request_frame(ENDPOINT4, ENDPOINT4)), Err(Quiet::Unanswered));
    let reply = frame(ENDPOINT, HOST, ARP, &arp::packet(2, (HOST, HOST4), ENDPOINT4));
    assert_eq!(said(ENDPOINT4, &reply), Err(Quiet::Unanswered));
    assert_eq!(said(ENDPOINT6, &Message::advertise(ENDPOINT6, all_nodes(), 0x20).frame()), Err(Quiet::Unanswered));
    assert_eq!(said(ENDPOINT4, &echo::ping4(8)), Err(Quiet::Unanswered));
    assert_eq!(said(ENDPOINT6, &echo::ping6(8)), Err(Quiet::Unanswered));
}

#[test]
fn questions_for_others_and_to_others_are_left_alone() {
    assert_eq!(said(ENDPOINT4, &arp::request_frame(HOST4, ALSO4)), Err(Quiet::NotOurs));
    assert_eq!(said(ENDPOINT6, &arp::request_frame(HOST4, ENDPOINT4)), Err(Quiet::NotOurs));
    assert_eq!(said(ENDPOINT6, &Message::solicit(HOST6, ALSO6).frame()), Err(Quiet::NotOurs));
    assert_eq!(said(ENDPOINT4, &Message::solicit(HOST6, ENDPOINT6).frame()), Err(Quiet::Unanswered));
    let past = frame(OTHER, HOST, ARP, &arp::packet(1, (HOST, HOST4), ENDPOINT4));
    assert_eq!(said(ENDPOINT4, &past), Err(Quiet::NotOurs));
}

#[test]
fn forged_and_routed_questions_get_no_answer() {
    let forged = frame(MacAddr::BROADCAST, OTHER, ARP, &arp::packet(1, (HOST, HOST4), ENDPOINT4));
    assert_eq!(said(ENDPOINT4, &forged), Err(Quiet::Forged));
    let routed = Message { hops: 64, ..Message::solicit(HOST6, ENDPOINT6) };
    assert_eq!(said(ENDPOINT6, &routed.frame()), Err(Quiet::OffLink));
}
