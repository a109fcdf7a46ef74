//! Whatever arrives: no panic, no reply that is not well formed, none past its buffer.

use podlane_wire::{GroupRecords, Igmp, Mld};
use proptest::prelude::*;

use super::*;

const PROBLEMS: [Problem; 3] = [Problem::TimeExceeded, Problem::PortUnreachable, Problem::TooBig { mtu: u16::MAX }];

/// Valid frames of every kind that is read here.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let solicitation = || {
        let mut out = buffer();
        let host = Gateway { mac: HOST, ipv4: &[(HOST4, 16)], ipv6: &[(HOST6, 64)], ..gateway() };
        let len = request(&host, OURS6.into(), &mut out).unwrap().len;
        out[..len].to_vec()
    };
    let extended = [&[44, 0, 1, 4, 0, 0, 0, 0, UDP, 0, 0, 1, 0, 0, 0, 7], &[0_u8; 16][..]].concat();
    prop::sample::select(vec![
        frame(MacAddr::BROADCAST, HOST, ARP, &arp::packet(1, (HOST, HOST4), OURS4)),
        frame(MAC, HOST, ARP, &arp::packet(2, (HOST, HOST4), OURS4)),
        solicitation(),
        echo::ping4(40),
        echo::ping6(40),
        frame(MAC, HOST, IPV4, &ipv4(HOST4, FAR4, UDP, &[7; 700])),
        ndp::Message::solicit(HOST6, FAR6).frame(),
        ndp::Message::advertise(HOST6, OURS6, 0x60).frame(),
        path_mtu::news4(1400, &path_mtu::sent4(1500)[..28]),
        path_mtu::news6(1400, &path_mtu::sent6(1500)[..48]),
        membership::igmp(&Igmp::ReportV2(Ipv4Addr::new(239, 1, 2, 3))),
        membership::igmp(&Igmp::ReportV3(GroupRecords::new(1, &[4, 0, 0, 1, 239, 1, 2, 3, 192, 0, 2, 1]))),
        membership::mld(&Mld::Done("ff05::7".parse().unwrap())),
        clamp::syn(),
        frame(MAC, HOST, IPV6, &ipv6(HOST6, FAR6, (0, 1), &extended)),
    ])
}

/// A valid frame with some bytes changed and perhaps its end cut off.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0_usize..120, any::<u8>()), 0..4);
    (valid(), changes, prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..120], any::<bool>()).prop_map(
        |(mut frame, changes, end, sum)| {
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            frame.truncate(end);
            if sum && frame.len() >= 34 && frame[12..14] == IPV4.to_be_bytes() {
                resum4(&mut frame[14..]); // so that the change gets past the header checksum
            }
            frame
        },
    )
}

fn any_gateway() -> impl Strategy<Value = Gateway<'static>> {
    (any::<bool>(), 0_u16..2000, 0_u8..=33).prop_map(|(bare, mtu, len)| {
        let lens: &'static [(Ipv4Addr, u8)] = Box::leak(Box::new([(OURS4, len)]));
        if bare { Gateway { ipv4: &[], ipv6: &[], mtu, ..gateway() } } else { Gateway { ipv4: lens, mtu, ..gateway() } }
    })
}

/// Asserts what every reply owes its receiver.
fn assert_well_formed(gateway: &Gateway<'_>, out: &[u8], reply: Reply) {
    let bytes = &out[..reply.len];
    assert_eq!(bytes[6..12], gateway.mac.octets());
    match u16::from_be_bytes([bytes[12], bytes[13]]) {
        ARP => assert_eq!(bytes.len(), 42),
        IPV4 => {
            icmpv4_reply(bytes);
            assert!(bytes.len() <= 14 + usize::from(gateway.mtu));
        }
        IPV6 => {
            icmpv6_reply(bytes);
            assert!(bytes.len() <= 14 + usize::from(gateway.mtu));
        }
        other => panic!("ethertype {other:#x}"),
    }
    assert!(out[reply.len..].iter().all(|&byte| byte == 0xa5));
}

fn everything(gateway: &Gateway<'_>, frame: &[u8], room: usize) {
    let mut out = vec![0xa5; room];
    if let Ok(reply) = answer(gateway, frame, &mut out) {
        assert_well_formed(gateway, &out, reply);
    }
    for problem in PROBLEMS {
        let mut out = vec![0xa5; room];
        if let Ok(reply) = error(gateway, problem, frame, &mut out) {
            assert_well_formed(gateway, &out, reply);
        }
    }
    if let Some((address, mac)) = learned(gateway, frame) {
        assert!(gateway.is_host(address) && frame[6..12] == mac.octets());
    }
    on_the_overlay(gateway, frame, room);
}

/// What is asked of the frames of tunnels and of the underlay.
fn on_the_overlay(gateway: &Gateway<'_>, frame: &[u8], room: usize) {
    for address in [IpAddr::from(OURS4), OURS6.into(), FAR6.into()] {
        let mut out = vec![0xa5; room];
        if let Ok(reply) = proxy_answer(address, gateway.mac, frame, &mut out) {
            assert_well_formed(&Gateway { mtu: u16::MAX, ..*gateway }, &out, reply);
        }
    }
    let mut out = vec![0xa5; room];
    if let Ok(reply) = answer_as_host(gateway, frame, &mut out) {
        assert_well_formed(gateway, &out, reply);
    }
    if let Some((address, mac)) = heard(frame) {
        assert!(!address.is_multicast() && !address.is_unspecified() && frame[6..12] == mac.octets());
    }
    if let Some(news) = too_big_news(frame) {
        assert!(news.mtu >= if news.ours.is_ipv4() { 68 } else { 1280 });
    }
    let told = &mut 0;
    let kind = membership(frame, |group, _| {
        assert!(group.is_multicast() && !always_flooded(group));
        *told += 1;
    });
    assert!(*told == 0 || kind == Some(Snooped::Report) && *told <= frame.len() / 8);
    let mut clamped = frame.to_vec();
    assert_eq!(clamp_mss(&mut clamped, gateway.mtu), clamped != frame);
    assert_eq!(clamped.len(), frame.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_are_survived(gateway in any_gateway(), frame in prop::collection::vec(any::<u8>(), 0..200), room in 0_usize..1600) {
        everything(&gateway, &frame, room);
    }

    #[test]
    fn mutated_frames_are_survived(gateway in any_gateway(), frame in mutated(), room in 0_usize..1600) {
        everything(&gateway, &frame, room);
    }

    #[test]
    fn any_target_is_asked_for_or_refused(gateway in any_gateway(), four: u32, six: u128, room in 0_usize..120) {
        for target in [IpAddr::from(four.to_be_bytes()), IpAddr::from(six.to_be_bytes())] {
            let mut out = vec![0xa5; room];
            if let Ok(reply) = request(&gateway, target, &mut out) {
                assert_well_formed(&gateway, &out, reply);
            }
            let asker = Asker { mac: MAC, ipv4: Some(OURS4), ipv6: OURS6, to: (four % 2 == 0).then_some(HOST) };
            for asker in [asker, Asker { ipv4: None, ..asker }] {
                let mut out = vec![0xa5; room];
                if let Ok(reply) = seek(&asker, target, &mut out) {
                    assert_well_formed(&Gateway { mtu: u16::MAX, ..gateway }, &out, reply);
                }
            }
        }
    }
}
