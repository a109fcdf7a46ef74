//! Any bytes at all: nothing panics, the ledger balances, no frame is lost, and the line's own hasty parser agrees with the
//! careful one of podlane-wire wherever both accept.

use podlane_dataplane::{
    PortId,
    flow::Class,
    stage::classify::key_of,
    tables::PortTable,
    testbed::{Moved, TestBed},
};
use podlane_wire::{EtherType, Icmpv4Type, Icmpv6Type, IpProtocol, Ipv4Header, MacAddr, Network, Packet};
use proptest::prelude::*;

use crate::{
    packets::{
        BLUE, BROADCAST, Field, GREEN, Host, RED, advertisement, arp_reply, arp_request, echo4, echo6, frame, gateway,
        header4, header6, host, ipv4, ipv6, solicitation, tagged, transport,
    },
    route::two_networks,
};

const TRUNK: PortId = PortId(4);

/// A bed with every kind of port: stated, open, trunk, jumbo; checksums unfinished everywhere.
fn every_kind_of_port() -> TestBed {
    let veth = |table: PortTable| PortTable { unfinished_checksums: true, ..table };
    let plan = two_networks()
        .port(RED, 0, veth(host(0, 1).stated()))
        .port(BLUE, 1, veth(PortTable { mtu: 576, ..PortTable::default() }))
        .port(GREEN, 1, veth(PortTable { mtu: 9000, ..host(1, 2).stated() }))
        .port(TRUNK, 0, veth(PortTable { mtu: 9000, ..PortTable::default() }))
        .tagged(TRUNK, 10, 0)
        .tagged(TRUNK, 20, 1);
    TestBed::new(plan)
}

fn station() -> impl Strategy<Value = Host> {
    let mac = prop_oneof![
        Just(gateway(0).mac),
        Just(gateway(1).mac),
        Just(host(0, 1).mac),
        Just(host(1, 2).mac),
        Just(BROADCAST),
        (0_u8..2, 0_u8..4).prop_map(|(network, number)| host(network, number).mac),
    ];
    let address = prop_oneof![Just(gateway(0)), Just(gateway(1)), (0_u8..3, 0_u8..4).prop_map(|(n, m)| host(n, m))];
    (address, mac).prop_map(|(host, mac): (Host, MacAddr)| host.at(mac))
}

/// A frame that is well formed, of any of the kinds the line knows.
fn sound() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![0_usize..64, 500_usize..600, 1400_usize..1500, 1700_usize..1800, 4000_usize..4100];
    (station(), station(), 0_u8..14, sizes, any::<bool>()).prop_map(|(from, to, kind, length, v6)| {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let field = if length % 2 == 0 { Field::Finished } else { Field::Unfinished };
        match kind {
            0 | 1 => transport(IpProtocol::UDP, (from, to), v6, &payload, field),
            2 | 3 => transport(IpProtocol::TCP, (from, to), v6, &payload, field),
            4 => arp_request(from, to.v4),
            5 => arp_reply(from, to),
            6 => solicitation(from, to.v6),
            7 => advertisement(from, to, from.v6),
            8 => echo4(from, to, Icmpv4Type::ECHO_REQUEST),
            9 => echo6(from, to, Icmpv6Type::ECHO_REQUEST),
            10 => frame(from.mac, to.mac, EtherType(0x88b5), &payload),
            11 => {
                let header =
                    Ipv4Header { dont_fragment: false, more_fragments: v6, ..header4(from, to, IpProtocol(253)) };
                ipv4(from.mac, to.mac, header, &payload)
            }
            12 => {
                let body = [&[253, 0, 1, 4, 0, 0, 0, 0][..], &payload].concat();
                ipv6(from.mac, to.mac, header6(from, to, IpProtocol::DESTINATION_OPTIONS), &body)
            }
            _ => {
                let body = [&[17, 0, 0, u8::from(v6), 0, 0, 0, 9][..], &payload].concat();
                ipv6(from.mac, to.mac, header6(from, to, IpProtocol::FRAGMENT), &body)
            }
        }
    })
}

/// A frame with up to two tags, some bytes of it changed, and perhaps its end cut off.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::collection::vec(prop_oneof![Just(0_u16), Just(10), Just(20), Just(0xa000), any::<u16>()], 0..3);
    let changes = prop::collection::vec((0_usize..90, any::<u8>()), 0..4);
    (sound(), tags, changes, prop::option::weighted(0.2, any::<prop::sample::Index>())).prop_map(
        |(mut frame, tags, changes, end)| {
            for tag in tags {
                frame = tagged(tag, &frame);
            }
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(end) = end {
                frame.truncate(end.index(frame.len() + 1));
            }
            frame
        },
    )
}

/// Frames on any port: the ledger balances (the bed asserts it), all that came in is counted, and every slot comes home.
fn all_is_accounted_for(frames: &[(u16, Vec<u8>)]) -> Result<(), TestCaseError> {
    let mut bed = every_kind_of_port();
    for (port, frame) in frames {
        bed.receive(PortId(1 + port % 4), frame.clone());
    }
    for _ in 0..3 {
        bed.turn();
    }
    let moved = bed.moved();
    let received = moved.iter().map(|line| match line {
        Moved::Received(port, packets) if port.0 != 0 => *packets,
        _ => 0,
    });
    prop_assert_eq!(received.sum::<u64>(), frames.len() as u64);
    for port in [RED, BLUE, GREEN, TRUNK] {
        for out in bed.sent_by(port) {
            prop_assert!(out.len() >= 14);
        }
    }
    for worker in &bed.workers {
        let (total, free) = worker.report().frames;
        prop_assert_eq!(total, free, "a slot was lost");
    }
    Ok(())
}

fn agree(frame: &[u8]) -> Result<(), TestCaseError> {
    let (Ok((key, layout)), Ok(packet)) = (key_of(RED, frame), Packet::parse(frame)) else { return Ok(()) };
    prop_assert_eq!(key.port(), RED);
    prop_assert_eq!(key.source_mac(), packet.ethernet.source());
    prop_assert_eq!(key.destination_mac(), packet.ethernet.destination());
    let outer = packet.tags.iter().next();
    prop_assert_eq!(key.vlan().is_tagged(), outer.is_some());
    prop_assert_eq!(key.vlan().id(), outer.map(|tag| tag.id).filter(|id| *id != 0));
    if packet.tags.count() == 2 {
        // A customer's tag is payload: nothing behind it is looked at.
        prop_assert_eq!((key.kind().class, key.addresses(), layout.l4), (Class::Other, None, 0));
        return Ok(());
    }
    prop_assert_eq!(key.kind().ethertype, packet.ethertype.0);
    prop_assert_eq!(key.addresses(), packet.addresses());
    prop_assert_eq!(usize::from(layout.l3), packet.network_at);
    let class = match packet.network {
        Network::Arp(_) => Class::Arp,
        Network::Ipv4(_) => Class::Ipv4,
        Network::Ipv6(..) if key.kind().class == Class::Nd => Class::Nd,
        Network::Ipv6(..) => Class::Ipv6,
        Network::Other => Class::Other,
    };
    prop_assert_eq!(key.kind().class, class);
    let has_ports = matches!(IpProtocol(key.kind().protocol), IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP);
    if layout.l4 == 0 {
        prop_assert_eq!(key.ports(), (0, 0));
    } else if has_ports {
        prop_assert_eq!(Some(key.ports()), packet.transport.ports());
        prop_assert_eq!(usize::from(layout.l4), packet.transport_at);
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_accounted_for(
        frames in prop::collection::vec((0_u16..4, prop::collection::vec(any::<u8>(), 0..200)), 0..40),
    ) {
        all_is_accounted_for(&frames)?;
    }

    #[test]
    fn spoilt_packets_are_accounted_for(frames in prop::collection::vec((0_u16..4, spoilt()), 0..40)) {
        all_is_accounted_for(&frames)?;
    }

    #[test]
    fn a_flow_is_known_by_the_key_of_its_packets(port in 1_u16..5, frame in prop_oneof![sound(), spoilt()]) {
        let mut bed = every_kind_of_port();
        bed.receive(PortId(port), frame.clone());
        bed.turn();
        for flow in bed.shared.flows.records(10, |_| true) {
            prop_assert_eq!(Ok(flow.key), key_of(PortId(port), &frame).map(|(key, _)| key));
        }
    }

    #[test]
    fn both_parsers_agree_on_noise(frame in prop::collection::vec(any::<u8>(), 0..120)) {
        agree(&frame)?;
    }

    #[test]
    fn both_parsers_agree_on_spoilt_packets(frame in spoilt()) {
        agree(&frame)?;
    }

    #[test]
    fn both_parsers_accept_sound_packets_and_agree(frame in sound()) {
        prop_assert!(key_of(RED, &frame).is_ok());
        agree(&frame)?;
    }
}
