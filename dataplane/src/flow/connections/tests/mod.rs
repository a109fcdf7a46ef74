//! What the table of connections promises: facts of its own, then a model, an oracle of TCP, threads and a flood.

mod flood;
mod model;
mod oracle;
mod recycled;
mod speed;
mod tcp;
mod threads;

use std::{net::IpAddr, sync::Arc};

use podlane_wire::TcpFlags;

use super::*;
use crate::ids::{PortId, VrfId};

const UDP: u8 = 17;
const TCP: u8 = 6;
const RULE: Rule = Rule(7);
const FIRST: Generation = Generation(1);
const PLACES: Places = Places::of(Side::Low, PortId(4), PortId(0x8001));

/// A table and its one writer.
fn bed() -> (Arc<Connections>, ConnectionWriter) {
    let table = Arc::new(Connections::new(1024, Settings::default(), HashSeed::fixed()).unwrap());
    (table.clone(), ConnectionWriter::new(table, WorkerId(0)))
}

/// The key with this number, its packet from the low side; odd ones are IPv6.
fn key(protocol: u8, number: u32) -> ConnectionKey {
    let [a, b, c, d] = number.to_be_bytes();
    let (from, to): (IpAddr, IpAddr) = if number.is_multiple_of(2) {
        ([10, b, c, d].into(), [11, a, 0, 1].into())
    } else {
        ([0xfd00, 0, 0, 1, 0, 0, (number >> 16) as u16, number as u16].into(), [0xfd01, 0, 0, 0, 0, 0, 0, 1].into())
    };
    let (key, side) = ConnectionKey::of(VrfId(3), protocol, (from, 1000), (to, 443));
    assert_eq!(side, Side::Low);
    key
}

fn datagram(opener: Side, now: u32) -> Opened {
    Opened { opener, first: First::Packet, generation: FIRST, rule: RULE, places: PLACES, now }
}

/// A verdict on both ends somewhere else.
fn judgement(generation: Generation, rule: Rule) -> Judgement {
    Judgement { generation, rule, places: Places::of(Side::High, PortId(5), PortId(6)) }
}

fn segment(from: Side, flags: TcpFlags, seq: u32, ack: u32) -> Segment {
    Segment { from, flags, seq, ack, window: 1000, payload: 0, scale: None }
}

fn opened_by(first: Segment, now: u32) -> Opened {
    Opened { opener: first.from, first: First::Segment(first), generation: FIRST, rule: RULE, places: PLACES, now }
}

#[test]
fn a_key_gives_back_its_ends_whichever_way_it_was_made() {
    let (four, six): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [0xfd00, 1, 2, 3, 4, 5, 6, 7].into());
    let (other_four, other_six): (IpAddr, IpAddr) = ([9, 255, 0, 1].into(), [0xfd00, 1, 2, 3, 4, 5, 6, 8].into());
    for (one, two) in [((four, 80), (other_four, 40_000)), ((six, 80), (other_six, 40_000)), ((four, 1), (four, 2))] {
        let (forth, from_one) = ConnectionKey::of(VrfId(65535), TCP, one, two);
        let (back, from_two) = ConnectionKey::of(VrfId(65535), TCP, two, one);
        assert_eq!((forth, from_one), (back, from_two.other()));
        assert_eq!((forth.end(from_one), forth.end(from_two)), (one, two));
        assert_eq!((forth.zone(), forth.protocol(), forth.is_of_fragments()), (VrfId(65535), TCP, false));
        let (fragments, side) = ConnectionKey::of_fragments(VrfId(65535), TCP, one.0, two.0);
        assert!(fragments.is_of_fragments() && fragments.end(side) == (one.0, 0));
        assert_ne!(fragments, ConnectionKey::of(VrfId(65535), TCP, (one.0, 0), (two.0, 0)).0);
    }
}

#[test]
fn every_field_of_a_key_tells_connections_apart() {
    let seed = HashSeed::fixed();
    let one = |zone, protocol, address: [u16; 8], port| {
        ConnectionKey::of(VrfId(zone), protocol, (address.into(), port), ([0xffff; 8].into(), 9)).0
    };
    let base = [0xfd00, 0, 0, 0, 0, 0, 0, 1];
    let keys = [
        one(1, TCP, base, 80),
        one(2, TCP, base, 80),
        one(1, UDP, base, 80),
        one(1, TCP, base, 81),
        one(1, TCP, [0xfd00, 0, 0, 0, 0, 0, 0, 2], 80),
        one(1, TCP, [0xfd02, 0, 0, 0, 0, 0, 0, 1], 80),
        ConnectionKey::of(VrfId(1), TCP, (base.into(), 80), ([0xfffe; 8].into(), 9)).0,
        ConnectionKey::of(VrfId(1), TCP, (base.into(), 80), ([0xffff; 8].into(), 8)).0,
    ];
    for (n, one) in keys.iter().enumerate() {
        for other in &keys[n + 1..] {
            assert_ne!(one, other);
            assert_ne!(one.hash(&seed), other.hash(&seed));
        }
    }
}

#[test]
fn a_question_opens_and_its_answer_establishes() {
    let (table, mut writer) = bed();
    let key = key(UDP, 4);
    assert_eq!(table.find(&key, 5), None);
    let id = writer.open(&key, &datagram(Side::High, 5)).unwrap();
    let opened = Known {
        id,
        opener: Side::High,
        generation: FIRST,
        rule: RULE,
        places: PLACES,
        phase: Phase::Opening,
        answered: false,
    };
    assert_eq!(table.find(&key, 5), Some(opened));
    assert_eq!(table.packet(id, &key, Side::High, 6), Some(Phase::Opening));
    assert_eq!(table.fill(), Fill { used: 1, opening: 1, capacity: 1024 });
    assert_eq!(table.packet(id, &key, Side::Low, 7), Some(Phase::Established));
    let judgement = judgement(Generation(2), Rule(9));
    table.judged(id, &key, judgement);
    let Judgement { generation, rule, places } = judgement;
    let now = Known { generation, rule, places, phase: Phase::Established, answered: true, ..opened };
    assert_eq!(table.find(&key, 7), Some(now));
    assert_eq!(table.fill(), Fill { used: 1, opening: 0, capacity: 1024 });
    let [record] = table.records(9, |_| true)[..] else { panic!("one record") };
    assert_eq!((record.key, record.opener, record.phase, record.answered), (key, Side::High, Phase::Established, true));
    assert_eq!((record.opened, record.seen, record.owner), (5, 7, WorkerId(0)));
    assert_eq!((record.generation, record.rule), (Generation(2), Rule(9)));
}

#[test]
fn an_id_whose_connection_is_another_by_now_does_nothing() {
    let (table, mut writer) = bed();
    let (former, latter) = (key(UDP, 2), key(UDP, 4));
    let id = writer.open(&former, &datagram(Side::Low, 0)).unwrap();
    table.close(id, &former);
    assert_eq!((table.find(&former, 0), writer.sweep(0, 9)), (None, 1));
    assert_eq!(writer.open(&latter, &datagram(Side::Low, 0)), Ok(id), "entries are used again");
    let before = table.records(9, |_| true);
    table.judged(id, &former, judgement(Generation(2), Rule(9)));
    table.close(id, &former);
    table.link(id, &former, Side::Low, 77);
    assert_eq!(table.packet(id, &former, Side::High, 9), None);
    let syn = segment(Side::High, TcpFlags::SYN, 1, 0);
    assert_eq!(table.segment(id, &former, &syn, None, 9), Err(DropReason::NoConnection));
    assert_eq!(table.records(9, |_| true), before);
    assert_eq!(table.linked(id, &latter, Side::Low), None);
}

#[test]
fn a_link_is_of_one_side_and_one_connection() {
    let (table, mut writer) = bed();
    let key = key(TCP, 2);
    let id = writer.open(&key, &opened_by(segment(Side::Low, TcpFlags::SYN, 1, 0), 0)).unwrap();
    table.link(id, &key, Side::High, 0);
    assert_eq!((table.linked(id, &key, Side::Low), table.linked(id, &key, Side::High)), (None, Some(0)));
    assert_eq!(table.find(&key, 0).map(|known| known.places), Some(PLACES), "a link says nothing of places");
    table.judged(id, &key, judgement(FIRST, RULE));
    assert_eq!(table.linked(id, &key, Side::High), Some(0), "nor a place of links");
    table.close(id, &key);
    let again = writer.open(&key, &opened_by(segment(Side::High, TcpFlags::SYN, 1, 0), 0)).unwrap();
    assert_eq!((again, table.linked(again, &key, Side::High)), (id, None));
    assert_eq!(table.fill().used, 1);
}

#[test]
fn silence_ends_a_connection_also_when_the_clock_wraps() {
    let settings = Settings::default();
    for start in [0, u32::MAX - 100, u32::MAX / 2] {
        let (table, mut writer) = bed();
        let key = key(UDP, 2);
        let id = writer.open(&key, &datagram(Side::Low, start)).unwrap();
        assert!(table.find(&key, start.wrapping_sub(50)).is_some(), "a clock a little behind is no age");
        assert!(table.find(&key, start.wrapping_add(settings.udp_opening - 1)).is_some());
        assert!(table.find(&key, start.wrapping_add(settings.udp_opening)).is_none());
        let later = start.wrapping_add(20_000);
        table.packet(id, &key, Side::High, later);
        table.packet(id, &key, Side::High, start);
        assert!(table.find(&key, later.wrapping_add(settings.udp - 1)).is_some(), "the later of two packets counts");
        assert_eq!(writer.sweep(later.wrapping_add(settings.udp - 1), 9), 0);
        table.confirm(&key, later.wrapping_add(settings.udp - 1));
        assert_eq!(writer.sweep(later.wrapping_add(settings.udp), 9), 0);
        assert_eq!(writer.sweep(later.wrapping_add(2 * settings.udp), 9), 1);
        assert_eq!(table.fill(), Fill { used: 0, opening: 0, capacity: 1024 });
    }
}

#[test]
fn each_protocol_has_its_time() {
    let settings = Settings::default();
    let icmp = [settings.icmp; 2];
    let expected = [
        (UDP, [settings.udp_opening, settings.udp]),
        (1, icmp),
        (58, icmp),
        (132, [settings.other; 2]),
        (47, [settings.other; 2]),
    ];
    for (protocol, [opening, answered]) in expected {
        let (table, mut writer) = bed();
        let key = key(protocol, 3);
        let id = writer.open(&key, &datagram(Side::Low, 0)).unwrap();
        assert!(table.find(&key, opening - 1).is_some() && table.find(&key, opening).is_none());
        table.packet(id, &key, Side::High, 0);
        assert!(table.find(&key, answered - 1).is_some() && table.find(&key, answered).is_none());
    }
    let (table, mut writer) = bed();
    let (fragments, side) = ConnectionKey::of_fragments(VrfId(0), UDP, [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    writer.open(&fragments, &datagram(side, 0)).unwrap();
    assert!(
        table.find(&fragments, settings.fragments - 1).is_some()
            && table.find(&fragments, settings.fragments).is_none()
    );
}

#[test]
fn an_opener_that_comes_again_after_its_time_finds_nothing_of_the_former_connection() {
    let (table, mut writer) = bed();
    let mut other = ConnectionWriter::new(table.clone(), WorkerId(1));
    let key = key(UDP, 2);
    writer.open(&key, &datagram(Side::Low, 0)).unwrap();
    let now = table.settings().udp_opening;
    let id = other.open(&key, &datagram(Side::High, now)).unwrap();
    table.confirm(&key, now + 1);
    let known = table.find(&key, now + 1).map(|known| (known.id, known.opener));
    assert_eq!((known, table.records(9, |_| true).len(), table.fill().used), (Some((id, Side::High)), 1, 2));
    assert_eq!((writer.sweep(now + 1, 9), other.sweep(now + 1, 9)), (1, 0));
}

#[test]
fn a_worker_that_ends_takes_its_connections_along() {
    let (table, writer) = bed();
    let mut other = ConnectionWriter::new(table.clone(), WorkerId(1));
    other.open(&key(UDP, 2), &datagram(Side::Low, 0)).unwrap();
    other.open(&key(UDP, 3), &datagram(Side::Low, 0)).unwrap();
    drop(other);
    assert_eq!((table.fill().used, table.fill().opening, writer.owned()), (0, 0, 0));
    assert_eq!(table.find(&key(UDP, 2), 0), None);
}
