//! Resolving the gateway, being probed by it, and who is believed (RFC 826, RFC 5227).

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use super::*;

pub(super) fn packet(operation: u16, sender: (MacAddr, Ipv4Addr), target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation as u8];
    [&head[..], &sender.0.octets(), &sender.1.octets(), &[0; 6], &target.octets()].concat()
}

pub(super) fn request_frame(sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    frame(MacAddr::BROADCAST, HOST, ARP, &packet(1, (HOST, sender), target))
}

pub(super) fn parsed(reply: &[u8]) -> ArpRepr {
    assert_eq!(reply[12..14], ARP.to_be_bytes());
    ArpRepr::parse(&ArpPacket::new_checked(&reply[14..]).unwrap()).unwrap()
}

#[track_caller]
fn assert_reply(frame: &[u8], address: Ipv4Addr, to: Ipv4Addr) {
    let (reply, kind) = answered(frame).unwrap();
    assert_ethernet(&reply, HOST);
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(MAC.0),
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress(HOST.0),
        target_protocol_addr: to,
    };
    assert_eq!((parsed(&reply), reply.len(), kind), (expected, 42, Kind::Neighbour));
}

#[test]
fn each_address_of_the_gateway_is_answered_for() {
    assert_reply(&request_frame(HOST4, OURS4), OURS4, HOST4);
    assert_reply(&request_frame(HOST4, ALSO4), ALSO4, HOST4);
    let refresh = frame(MAC, HOST, ARP, &packet(1, (HOST, HOST4), OURS4));
    assert_reply(&refresh, OURS4, HOST4);
}

#[test]
fn padding_behind_the_request_is_no_matter() {
    let mut padded = request_frame(HOST4, OURS4);
    padded.resize(60, 0);
    assert_reply(&padded, OURS4, HOST4);
}

#[test]
fn a_probe_for_our_address_learns_that_it_is_taken() {
    assert_reply(&request_frame(Ipv4Addr::UNSPECIFIED, OURS4), OURS4, Ipv4Addr::UNSPECIFIED);
}

#[test]
fn whoever_announces_our_address_is_told_and_not_believed() {
    let claim = request_frame(OURS4, OURS4);
    assert_reply(&claim, OURS4, OURS4);
    assert_eq!(learned(&gateway(), &claim), None);
}

#[test]
fn other_hosts_and_replies_are_left_alone() {
    assert_eq!(answered(&request_frame(HOST4, HOST4)), Err(Quiet::NotOurs));
    let reply = frame(MAC, HOST, ARP, &packet(2, (HOST, HOST4), OURS4));
    assert_eq!(answered(&reply), Err(Quiet::Unanswered));
}

#[test]
fn a_request_from_no_host_or_for_another_sender_is_refused() {
    let group = Ipv4Addr::new(224, 0, 0, 1);
    assert_eq!(answered(&request_frame(group, OURS4)), Err(Quiet::BadSource));
    let subnet = Ipv4Addr::new(10, 1, 255, 255);
    assert_eq!(answered(&request_frame(subnet, OURS4)), Err(Quiet::BadSource));
    let forged = frame(MacAddr::BROADCAST, OTHER, ARP, &packet(1, (HOST, HOST4), OURS4));
    assert_eq!(answered(&forged), Err(Quiet::Forged));
    assert_eq!(learned(&gateway(), &forged), None);
}

#[test]
fn other_hardware_or_lengths_are_refused() {
    let good = request_frame(HOST4, OURS4);
    for at in [14, 15, 16, 17, 18, 19] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(matches!(answered(&bad), Err(Quiet::Malformed | Quiet::Unanswered)), "byte {at}");
    }
    assert_eq!(answered(&good[..41]), Err(Quiet::Malformed));
}

#[test]
fn a_binding_is_learned_from_requests_replies_and_announcements() {
    let binding = Some((IpAddr::from(HOST4), HOST));
    let reply = frame(MAC, HOST, ARP, &packet(2, (HOST, HOST4), OURS4));
    for stated in [request_frame(HOST4, OURS4), request_frame(HOST4, HOST4), reply] {
        assert_eq!(learned(&gateway(), &stated), binding);
    }
}

#[test]
fn a_probe_and_an_unknown_operation_state_no_binding() {
    assert_eq!(learned(&gateway(), &request_frame(Ipv4Addr::UNSPECIFIED, HOST4)), None);
    let reverse = frame(MAC, HOST, ARP, &packet(3, (HOST, HOST4), OURS4));
    assert_eq!(learned(&gateway(), &reverse), None);
}

#[test]
fn a_next_hop_is_asked_for_from_the_address_in_its_subnet() {
    let mut out = buffer();
    let reply = request(&gateway(), HOST4.into(), &mut out).unwrap();
    assert_eq!(reply, Reply { len: 42, kind: Kind::Request });
    assert_ethernet(&out, MacAddr::BROADCAST);
    let expected = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(MAC.0),
        source_protocol_addr: OURS4,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: HOST4,
    };
    assert_eq!(parsed(&out[..42]), expected);
}

#[test]
fn ourselves_and_groups_are_not_asked_for() {
    let mut out = buffer();
    for target in [OURS4, Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 1, 255, 255), Ipv4Addr::UNSPECIFIED] {
        assert_eq!(request(&gateway(), target.into(), &mut out), Err(Quiet::BadTarget));
    }
    let bare = Gateway { ipv4: &[], ..gateway() };
    assert_eq!(request(&bare, HOST4.into(), &mut out), Err(Quiet::NoAddress));
    assert_eq!(request(&gateway(), HOST4.into(), &mut out[..41]), Err(Quiet::NoRoom));
}
