//! What a sender is told, and when it is told nothing (RFC 1812, sections 4.3.2 and 5.2.7; RFC 4443).

use super::*;

const TOO_BIG: Problem = Problem::TooBig { mtu: 1450 };

fn udp4(from: Ipv4Addr, to: Ipv4Addr, size: usize) -> Vec<u8> {
    ipv4(from, to, UDP, &vec![0x5a; size])
}

fn udp6(from: Ipv6Addr, to: Ipv6Addr, size: usize) -> Vec<u8> {
    ipv6(from, to, (UDP, 1), &vec![0x5a; size])
}

fn framed(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    frame(MAC, HOST, ethertype, packet)
}

fn said(problem: Problem, offender: &[u8]) -> Result<(Vec<u8>, Kind), Quiet> {
    let mut out = buffer();
    let reply = error(&gateway(), problem, offender, &mut out)?;
    out.truncate(reply.len);
    Ok((out, reply.kind))
}

fn said4(packet: &[u8]) -> Result<(Vec<u8>, Kind), Quiet> {
    said(Problem::TimeExceeded, &framed(IPV4, packet))
}

fn said6(packet: &[u8]) -> Result<(Vec<u8>, Kind), Quiet> {
    said(Problem::TimeExceeded, &framed(IPV6, packet))
}

#[test]
fn each_problem_has_its_type_code_and_word() {
    let cases = [
        (Problem::TimeExceeded, [11, 0], [3, 0], 0_u32, Kind::TimeExceeded),
        (Problem::NoRoute, [3, 0], [1, 0], 0, Kind::Unreachable),
        (Problem::HostUnreachable, [3, 1], [1, 3], 0, Kind::Unreachable),
        (Problem::PortUnreachable, [3, 3], [1, 4], 0, Kind::Unreachable),
        (Problem::AdminProhibited, [3, 13], [1, 1], 0, Kind::Unreachable),
        (TOO_BIG, [3, 4], [2, 0], 1450, Kind::TooBig),
    ];
    for (problem, v4, v6, word, kind) in cases {
        let offender = udp4(HOST4, FAR4, 100);
        let (reply, said_kind) = said(problem, &framed(IPV4, &offender)).unwrap();
        assert_ethernet(&reply, HOST);
        let (header, message) = icmpv4_reply(&reply);
        assert_eq!((&header[12..16], &header[16..20]), (&OURS4.octets()[..], &HOST4.octets()[..]));
        assert_eq!((header[1], header[8]), (0xc0, 64), "precedence and time to live");
        assert_eq!((&message[..2], &message[4..8]), (&v4[..], &word.to_be_bytes()[..]));
        assert_eq!((&message[8..], said_kind), (&offender[..], kind));

        let offender = udp6(HOST6, FAR6, 100);
        let (reply, said_kind) = said(problem, &framed(IPV6, &offender)).unwrap();
        assert_ethernet(&reply, HOST);
        let (from, to, hops, message) = icmpv6_reply(&reply);
        assert_eq!((from, to, hops), (OURS6, HOST6, 64));
        assert_eq!((&message[..2], &message[4..8]), (&v6[..], &word.to_be_bytes()[..]));
        assert_eq!((&message[8..], said_kind), (&offender[..], kind));
    }
}

#[test]
fn the_quotation_fills_what_the_rfcs_allow_and_leaves_padding_out() {
    let long = udp4(HOST4, FAR4, 1400);
    let (reply, _) = said4(&long).unwrap();
    assert_eq!(reply.len(), 14 + 576);
    assert_eq!(icmpv4_reply(&reply).1[8..], long[..548]);

    let long = udp6(HOST6, FAR6, 1400);
    let (reply, _) = said6(&long).unwrap();
    assert_eq!(reply.len(), 14 + 1280);
    assert_eq!(icmpv6_reply(&reply).3[8..], long[..1232]);

    let short = udp4(HOST4, FAR4, 8);
    let (reply, _) = said4(&[&short[..], &[0; 18]].concat()).unwrap();
    assert_eq!(icmpv4_reply(&reply).1[8..], short);
}

#[test]
fn a_narrow_network_shortens_the_quotation() {
    let narrow = Gateway { mtu: 296, ..gateway() };
    let mut out = buffer();
    let offender = framed(IPV4, &udp4(HOST4, FAR4, 1400));
    let reply = error(&narrow, Problem::NoRoute, &offender, &mut out).unwrap();
    assert_eq!(reply.len, 14 + 296);
    icmpv4_reply(&out[..reply.len]);
}

#[test]
fn the_error_comes_from_the_address_that_was_used_else_from_the_senders_subnet() {
    let source4 = |packet: &[u8]| -> [u8; 4] { said4(packet).unwrap().0[26..30].try_into().unwrap() };
    assert_eq!(source4(&udp4(HOST4, ALSO4, 8)), ALSO4.octets());
    assert_eq!(source4(&udp4(HOST4, FAR4, 8)), OURS4.octets());
    assert_eq!(source4(&udp4(FAR4, HOST4, 8)), ALSO4.octets(), "the first when none is near");
    let source6 = |packet: &[u8]| icmpv6_reply(&said6(packet).unwrap().0).0;
    assert_eq!(source6(&udp6(HOST6, ALSO6, 8)), ALSO6);
    assert_eq!(source6(&udp6(HOST.link_local(), FAR6, 8)), MAC.link_local());
    let bare = Gateway { ipv4: &[], ..gateway() };
    let offender = framed(IPV4, &udp4(HOST4, FAR4, 8));
    let quiet = error(&bare, Problem::NoRoute, &offender, &mut buffer());
    assert_eq!(quiet, Err(Quiet::NoAddress));
}

#[test]
fn nothing_is_said_about_errors_and_redirects_but_about_questions() {
    for kind in [3, 4, 5, 11, 12, 99] {
        let offender = ipv4(HOST4, FAR4, ICMP, &icmp(kind, 0, &[0; 32]));
        assert_eq!(said4(&offender), Err(Quiet::AboutError), "type {kind}");
    }
    for kind in [0, 8, 13, 42] {
        assert!(said4(&ipv4(HOST4, FAR4, ICMP, &icmp(kind, 0, &[0; 32]))).is_ok(), "type {kind}");
    }
    for kind in [1, 2, 3, 4, 127, 137] {
        let offender = icmpv6(HOST6, FAR6, kind, &[0; 32]);
        assert_eq!(said6(&ipv6(HOST6, FAR6, (ICMPV6, 1), &offender)), Err(Quiet::AboutError), "type {kind}");
    }
    for kind in [128, 129] {
        let offender = icmpv6(HOST6, FAR6, kind, &[0; 32]);
        assert!(said6(&ipv6(HOST6, FAR6, (ICMPV6, 1), &offender)).is_ok(), "type {kind}");
    }
    assert_eq!(said4(&ipv4(HOST4, FAR4, ICMP, &[])), Err(Quiet::Malformed));
}

#[test]
fn an_error_behind_extension_headers_is_still_an_error() {
    let error = icmpv6(HOST6, FAR6, 1, &[0; 16]);
    let headers: [&[u8]; 4] = [
        &[60, 0, 1, 4, 0, 0, 0, 0],                          // hop-by-hop, then destination options
        &[51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // then authentication
        &[44, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9],  // then a fragment header
        &[ICMPV6, 0, 0, 1, 0, 0, 0, 7],                      // the first fragment of an error
    ];
    let payload = [headers.concat(), error].concat();
    assert_eq!(said6(&ipv6(HOST6, FAR6, (0, 1), &payload)), Err(Quiet::AboutError));
    let endless = [[0, 255].as_slice(), &[0; 14]].concat();
    assert_eq!(said6(&ipv6(HOST6, FAR6, (0, 1), &endless)), Err(Quiet::Malformed));
}

#[test]
fn the_first_fragment_is_reported_and_the_others_are_not() {
    let mut first = udp4(HOST4, FAR4, 64);
    first[6] = 0x20;
    resum4(&mut first);
    assert!(said4(&first).is_ok());
    let mut second = first;
    second[7] = 8;
    resum4(&mut second);
    assert_eq!(said4(&second), Err(Quiet::Fragment));

    let fragment = |offset: u8| {
        let payload = [&[UDP, 0, 0, offset, 0, 0, 0, 1], &[0_u8; 16][..]].concat();
        said6(&ipv6(HOST6, FAR6, (44, 1), &payload))
    };
    assert!(fragment(1).is_ok());
    assert_eq!(fragment(9), Err(Quiet::Fragment));
}

#[test]
fn nothing_is_said_about_packets_to_many() {
    for to in [[224, 0, 0, 251], [255; 4], [10, 1, 255, 255], [192, 168, 7, 255]] {
        assert_eq!(said4(&udp4(HOST4, to.into(), 8)), Err(Quiet::ToMany), "{to:?}");
    }
    let group: Ipv6Addr = "ff05::2".parse().unwrap();
    assert_eq!(said6(&udp6(HOST6, group, 8)), Err(Quiet::ToMany));
    for to in [MacAddr::BROADCAST, MacAddr([0x01, 0, 0x5e, 0, 0, 1])] {
        let offender = frame(to, HOST, IPV4, &udp4(HOST4, FAR4, 8));
        assert_eq!(said(TOO_BIG, &offender), Err(Quiet::ToMany), "{to}");
    }
}

#[test]
fn nothing_is_said_to_no_one() {
    for from in [[0; 4], [224, 0, 0, 1], [255; 4], [127, 0, 0, 1], [240, 0, 0, 1], [10, 1, 255, 255], [10, 1, 0, 1]] {
        assert_eq!(said4(&udp4(from.into(), FAR4, 8)), Err(Quiet::BadSource), "{from:?}");
    }
    for from in ["::", "::1", "ff02::1", "fd00:1::1"] {
        assert_eq!(said6(&udp6(from.parse().unwrap(), FAR6, 8)), Err(Quiet::BadSource), "{from}");
    }
}

#[test]
fn a_corrupt_header_and_a_frame_of_another_kind_are_not_reported() {
    let mut corrupt = udp4(HOST4, FAR4, 8);
    corrupt[8] ^= 1;
    assert_eq!(said4(&corrupt), Err(Quiet::Checksum));
    assert_eq!(said(TOO_BIG, &framed(ARP, &[0; 28])), Err(Quiet::Unanswered));
    let offender = framed(IPV4, &udp4(HOST4, FAR4, 8));
    assert_eq!(error(&gateway(), TOO_BIG, &offender, &mut [0; 69]), Err(Quiet::NoRoom));
    assert!(error(&gateway(), TOO_BIG, &offender, &mut [0; 70]).is_ok());
}
