//! Which packets are carried, which are not and why, and what is done to them.

use super::packets::{ICMP, L3, SCTP, TCP, ones_sum};
use super::*;

/// One packet of every kind that may be carried.
fn plain() -> Vec<Packet> {
    let sctp = Packet { protocol: SCTP, ..Packet::udp() };
    let ipv4 = [Packet::udp(), Packet::tcp(), sctp, Packet::echo(), Packet { kind: 0, ..Packet::echo() }];
    let ipv6 = ipv4.clone().map(Packet::over_ipv6);
    let reply = Packet { kind: 129, ..Packet::echo().over_ipv6() };
    ipv4.into_iter().chain(ipv6).chain([reply]).collect()
}

#[test]
fn plain_packets_of_decided_flows_are_carried_unchanged_and_counted_exactly() {
    let test = "plain_packets_of_decided_flows_are_carried_unchanged_and_counted_exactly";
    for packet in plain() {
        let Some(mut bed) = Bed::deciding(test, &packet) else { return };
        let frame = packet.bytes();
        assert_eq!(bed.carried(&packet), (0, 0));
        assert_eq!(bed.carrier.counters(&packet.key()).unwrap().unwrap().idle, None);
        for _ in 0..3 {
            let ran = bed.run(&frame);
            assert_eq!((ran.verdict, &ran.frame), (REDIRECT, &frame), "{packet:?}");
        }
        assert_eq!(bed.judge(&frame), None, "{packet:?}");
        assert_eq!(bed.carried(&packet), (4, 4 * frame.len() as u64), "{packet:?}");
        let counters = bed.carrier.remove(&packet.key()).unwrap().unwrap();
        assert!(counters.idle.is_some_and(|idle| idle.as_secs() < 60), "{counters:?}");
        assert_eq!(bed.judge(&frame), Some(Event::NoFlow), "{packet:?}");
    }
}

#[test]
fn a_generation_is_over_with_one_write_and_may_come_back() {
    let test = "a_generation_is_over_with_one_write_and_may_come_back";
    let (packet, frame) = (Packet::udp(), Packet::udp().bytes());
    let Some(mut bed) = Bed::deciding(test, &packet) else { return };
    assert_eq!(bed.judge(&frame), None);
    let gate = bed.carrier.gate().unwrap();
    std::thread::spawn(move || gate.set_generation(GENERATION + 1).unwrap()).join().unwrap();
    assert_eq!(bed.judge(&frame), Some(Event::Stale));
    bed.carrier.set_generation(GENERATION).unwrap();
    assert_eq!(bed.judge(&frame), None);
    bed.carrier.set_generation(GENERATION + 1).unwrap();
    assert_eq!((bed.carrier.remove_stale().unwrap(), bed.carrier.remove_stale().unwrap()), (1, 0));
    assert_eq!(bed.judge(&frame), Some(Event::NoFlow));
}

#[test]
fn a_worker_takes_a_flow_back_by_one_store_and_learns_what_was_acknowledged() {
    let test = "a_worker_takes_a_flow_back_by_one_store_and_learns_what_was_acknowledged";
    let (packet, frame) = (Packet::tcp(), Packet::tcp().bytes());
    let Some(mut bed) = Bed::or_skip(test, 8) else { return };
    let permit = Permit { entry: 3, stamp: NonZeroU32::new(5).unwrap() };
    bed.carrier.insert(&packet.key(), &Order { permit: Some(permit), ..to_red() }, GENERATION).unwrap();
    assert_eq!(bed.judge(&frame), Some(Event::Revoked), "nothing stands there");
    for (stamp, event) in [(5, None), (6, Some(Event::Revoked)), (7, Some(Event::Revoked)), (5, None)] {
        bed.carrier.maps.grant(3, stamp);
        assert_eq!(bed.judge(&frame), event, "stamp {stamp}");
        let acknowledged = bed.carrier.maps.acknowledged(3);
        let carried = frame[L3 + 20 + 8..L3 + 20 + 16].try_into().unwrap();
        assert_eq!(acknowledged, if event.is_none() { carried } else { [0; 8] });
    }
    bed.carrier.remove(&packet.key()).unwrap();
    let beyond = Permit { entry: 4, ..permit };
    bed.carrier.insert(&packet.key(), &Order { permit: Some(beyond), ..to_red() }, GENERATION).unwrap();
    assert_eq!(bed.judge(&frame), Some(Event::Revoked), "there is no such permit");
}

#[test]
fn counts_begin_at_zero_for_whoever_gets_a_place_next() {
    let test = "counts_begin_at_zero_for_whoever_gets_a_place_next";
    let (one, other) = (Packet::udp(), Packet::tcp());
    let Some(mut bed) = Bed::or_skip(test, 1) else { return };
    for packet in [&one, &other, &one] {
        bed.carrier.insert(&packet.key(), &to_red(), GENERATION).unwrap();
        assert_eq!(bed.judge(&packet.bytes()), None);
        assert_eq!(bed.carrier.remove(&packet.key()).unwrap().unwrap().packets, 1);
    }
}

#[test]
fn any_other_field_is_another_flow() {
    let test = "any_other_field_is_another_flow";
    for packet in [Packet::udp(), Packet::udp().over_ipv6()] {
        let Some(mut bed) = Bed::deciding(test, &packet) else { return };
        let others = [
            Packet { source_mac: RED, ..packet.clone() },
            Packet { port: 4001, ..packet.clone() },
            Packet { protocol: TCP, ..packet.clone() },
        ];
        for other in others {
            assert_eq!(bed.judge(&other.bytes()), Some(Event::NoFlow), "{other:?}");
        }
        // The last byte of the destination's MAC address and of both IP addresses.
        let addresses = if packet.ipv6 { [5, L3 + 23, L3 + 39] } else { [5, L3 + 15, L3 + 19] };
        for at in addresses {
            assert_eq!(bed.judge(&packet.bent(&[(at, 0x77)])), Some(Event::NoFlow), "byte {at} of {packet:?}");
        }
        assert_eq!(bed.judge(&packet.bytes()), None);
        assert_eq!(bed.carried(&packet).0, 1);
    }
}

#[test]
fn what_opens_or_ends_a_connection_goes_to_a_worker() {
    let test = "what_opens_or_ends_a_connection_goes_to_a_worker";
    let tcp = Packet::tcp();
    let Some(mut bed) = Bed::deciding(test, &tcp) else { return };
    for (flags, event) in [
        (0x02, Some(Event::Control)),
        (0x12, Some(Event::Control)),
        (0x11, Some(Event::Control)),
        (0x04, Some(Event::Control)),
        (0x14, Some(Event::Control)),
        (0x10, None),
        (0x18, None),
        (0xd0, None),
    ] {
        assert_eq!(bed.judge(&Packet { flags, ..tcp.clone() }.bytes()), event, "flags {flags:#x}");
    }
    let sctp = Packet { protocol: SCTP, ..Packet::udp() };
    let Some(mut bed) = Bed::deciding(test, &sctp) else { return };
    // DATA, INIT, SACK and nothing else, HEARTBEAT, its acknowledgement, ABORT, SHUTDOWN, COOKIE-ECHO.
    for (kind, carried) in [(0, true), (1, false), (3, true), (4, true), (5, true), (6, false), (7, false), (10, false)]
    {
        let event = bed.judge(&Packet { kind, ..sctp.clone() }.bytes());
        assert_eq!(event, (!carried).then_some(Event::Control), "chunk {kind}");
    }
    let bundled = Packet { kind: 3, ..sctp }.bent(&[(L3 + 20 + 15, 16)]);
    assert_eq!(bed.judge(&bundled), Some(Event::Control), "a SHUTDOWN may be behind it");
}

#[test]
fn fragments_options_extensions_tags_and_lies_go_to_a_worker() {
    use Event::{Fragment, NotPlain};
    let test = "fragments_options_extensions_tags_and_lies_go_to_a_worker";
    let (udp, udp6) = (Packet::udp(), Packet::udp().over_ipv6());
    let (tcp, echo) = (Packet::tcp(), Packet::echo());
    let Some(mut bed) = Bed::deciding(test, &udp) else { return };
    for packet in [&udp6, &tcp, &echo] {
        bed.carrier.insert(&packet.key(), &to_red(), GENERATION).unwrap();
    }
    let l4 = L3 + 20;
    let table = [
        ("more fragments", udp.bent(&[(L3 + 6, 0x20)]), Fragment),
        ("an offset", udp.bent(&[(L3 + 7, 1)]), Fragment),
        ("options", udp.bent(&[(L3, 0x46)]), NotPlain),
        ("another version", udp.bent(&[(L3, 0x65)]), NotPlain),
        ("longer than it is", udp.bent(&[(L3 + 2, 1)]), NotPlain),
        ("shorter than its header", udp.bent(&[(L3 + 3, 19)]), NotPlain),
        ("a datagram longer than its packet", udp.bent(&[(l4 + 5, 200)]), NotPlain),
        ("a datagram shorter than its header", udp.bent(&[(l4 + 5, 7)]), NotPlain),
        ("a TCP header longer than its packet", tcp.bent(&[(l4 + 12, 0xf0), (L3 + 3, 60)]), NotPlain),
        ("a TCP header shorter than it may be", tcp.bent(&[(l4 + 12, 0x40)]), NotPlain),
        ("another ICMP", echo.bent(&[(l4, 3)]), NotPlain),
        ("an echo with a code", echo.bent(&[(l4 + 1, 1)]), NotPlain),
        ("ICMPv6 over IPv4", echo.bent(&[(L3 + 9, 58), (l4, 128)]), NotPlain),
        ("another protocol", udp.bent(&[(L3 + 9, 47)]), NotPlain),
        ("another type", udp.bent(&[(12, 0x88), (13, 0xcc)]), NotPlain),
        ("a tag", udp.bent(&[(12, 0x81), (13, 0)]), NotPlain),
        ("a service tag", udp.bent(&[(12, 0x88), (13, 0xa8)]), NotPlain),
        ("cut in its ports", udp.bytes()[..l4 + 6].to_vec(), NotPlain),
        ("hop-by-hop options", udp6.bent(&[(L3 + 6, 0)]), NotPlain),
        ("routing", udp6.bent(&[(L3 + 6, 43)]), NotPlain),
        ("an IPv6 fragment", udp6.bent(&[(L3 + 6, 44)]), NotPlain),
        ("destination options", udp6.bent(&[(L3 + 6, 60)]), NotPlain),
        ("ICMP over IPv6", udp6.bent(&[(L3 + 6, ICMP), (L3 + 40, 8)]), NotPlain),
        ("longer than it is, IPv6", udp6.bent(&[(L3 + 4, 1)]), NotPlain),
    ];
    for (what, frame, event) in table {
        assert_eq!(bed.judge(&frame), Some(event), "{what}");
    }
    for packet in [udp, udp6, tcp, echo] {
        assert_eq!(bed.carried(&packet), (0, 0), "{packet:?}");
        assert_eq!(bed.judge(&packet.bytes()), None, "{packet:?}");
    }
}

#[test]
fn a_hop_is_counted_and_its_checksum_stays_right() {
    let test = "a_hop_is_counted_and_its_checksum_stays_right";
    let rewrite = Rewrite { destination_mac: [2, 0, 0, 0, 1, 1], source_mac: [2, 0, 0, 0, 1, 2], hop: true };
    let order = Order { target: Target::Host { ifindex: TARGET }, mtu: 1500, rewrite: Some(rewrite), permit: None };
    for packet in [Packet::udp(), Packet::udp().over_ipv6()] {
        let Some(mut bed) = Bed::or_skip(test, 8) else { return };
        bed.carrier.insert(&packet.key(), &order, GENERATION).unwrap();
        for hops in [255, 64, 2] {
            let packet = Packet { hops, ..packet.clone() };
            let mut expected = packet.bytes();
            expected[..6].copy_from_slice(&rewrite.destination_mac);
            expected[6..12].copy_from_slice(&rewrite.source_mac);
            expected[L3 + if packet.ipv6 { 7 } else { 8 }] -= 1;
            let mut ran = bed.run(&packet.bytes());
            if !packet.ipv6 {
                assert_eq!(ones_sum(&ran.frame[L3..L3 + 20]), 0xffff, "{hops} hops");
                ran.frame[L3 + 10..L3 + 12].copy_from_slice(&expected[L3 + 10..L3 + 12]);
            }
            assert_eq!((ran.verdict, ran.frame), (REDIRECT, expected), "{hops} hops");
        }
        for hops in [1, 0] {
            let last = Packet { hops, ..packet.clone() };
            assert_eq!(bed.judge(&last.bytes()), Some(Event::NoHops), "{hops} hops");
        }
        assert_eq!(bed.carried(&packet).0, 3);
    }
}

#[test]
fn within_a_network_no_hop_is_counted() {
    let packet = Packet { hops: 1, ..Packet::udp() };
    let Some(mut bed) = Bed::deciding("within_a_network_no_hop_is_counted", &packet) else { return };
    assert_eq!(bed.judge(&packet.bytes()), None);
}

#[test]
fn what_is_longer_than_its_target_takes_goes_to_a_worker() {
    let test = "what_is_longer_than_its_target_takes_goes_to_a_worker";
    for (packet, headers) in [(Packet::udp(), 28), (Packet::udp().over_ipv6(), 48)] {
        let Some(mut bed) = Bed::deciding(test, &packet) else { return };
        let of_length = |bytes: usize| Packet { payload: bytes - headers, ..packet.clone() }.bytes();
        assert_eq!(bed.judge(&of_length(1500)), None);
        assert_eq!(bed.judge(&of_length(1501)), Some(Event::TooLong));
        let padded = [of_length(40.max(headers)), vec![0; 20]].concat();
        assert_eq!(bed.judge(&padded), None, "what Ethernet adds is no part of it");
    }
}

/// `struct __sk_buff` with segments that are still together.
fn segments(size: u32, count: u32) -> Vec<u8> {
    const GSO_SEGS_AT: usize = 164;
    const GSO_SIZE_AT: usize = 176;
    const BYTES: usize = 192;
    let mut context = vec![0; BYTES];
    context[GSO_SEGS_AT..GSO_SEGS_AT + 4].copy_from_slice(&count.to_ne_bytes());
    context[GSO_SIZE_AT..GSO_SIZE_AT + 4].copy_from_slice(&size.to_ne_bytes());
    context
}

#[test]
fn segments_that_are_together_are_counted_and_measured_as_they_will_be_on_a_wire() {
    let test = "segments_that_are_together_are_counted_and_measured_as_they_will_be_on_a_wire";
    let packet = Packet { payload: 2500, ..Packet::tcp() };
    let headers = 14 + 20 + 20;
    // The first is cut into three, whoever has counted them; the last is one byte too long on the wire.
    for (size, count, carried) in [(1000, 3, true), (1000, 0, true), (1460, 2, true), (1461, 2, false)] {
        let Some(mut bed) = Bed::deciding(test, &packet) else { return };
        bed.run_with(&packet.bytes(), Some(&segments(size, count)));
        let pieces = 2500_u64.div_ceil(size.into());
        let expected = if carried { (pieces, 2500 + pieces * headers) } else { (0, 0) };
        assert_eq!(bed.carried(&packet), expected, "segments of {size} bytes");
    }
}

#[test]
fn what_comes_from_where_nobody_has_a_seat_is_dropped_unless_decided() {
    let test = "what_comes_from_where_nobody_has_a_seat_is_dropped_unless_decided";
    let packet = Packet::udp();
    let Some(mut bed) = Bed::deciding(test, &packet) else { return };
    bed.carrier.unseat(SEAT).unwrap();
    assert_eq!(bed.judge(&Packet::tcp().bytes()), Some(Event::NoOrigin));
    assert_eq!(bed.judge(&packet.bytes()), None);
    bed.carrier.unseat(SEAT).unwrap();
    assert_eq!(bed.carrier.seats().count(), 0);
}

/// `cargo test --release -p podlane-bpf --lib -- --ignored --nocapture what_the_program_costs`
#[test]
#[ignore = "a measurement, which wants the machine for itself"]
fn what_the_program_costs_a_packet() {
    let packet = Packet { payload: 18, ..Packet::udp() };
    let Some(mut bed) = Bed::deciding("what_the_program_costs_a_packet", &packet) else { return };
    let repeat = 1_000_000;
    for (what, packet) in [("carried", packet.clone()), ("carried over IPv6", packet.over_ipv6())] {
        let known = bed.carrier.insert(&packet.key(), &to_red(), GENERATION);
        assert!(matches!(known, Ok(()) | Err(CarryError::Known)));
        let program = bed.carrier.hooks.program(Role::Pod);
        let options = TestRunOptions { data_in: Some(&packet.bytes()), repeat, ..TestRunOptions::new() };
        println!("{what}: {} ns", program.test_run(options).unwrap().duration.as_nanos());
    }
}
