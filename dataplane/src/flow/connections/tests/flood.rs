//! Under pressure: ten times as many SYNs as there is room for, and what was established before goes on.

use super::*;

const CAPACITY: u32 = 4096;
const ESTABLISHED: u32 = 500;

fn establish(table: &Connections, writer: &mut ConnectionWriter, key: &ConnectionKey, now: u32) {
    let id = writer.open(key, &opened_by(segment(Side::Low, TcpFlags::SYN, 100, 0), now)).unwrap();
    let answer = segment(Side::High, TcpFlags::SYN.with(TcpFlags::ACK), 500, 101);
    assert_eq!(table.segment(id, key, &answer, None, now), Ok(Phase::Answered));
    let confirmation = segment(Side::Low, TcpFlags::ACK, 101, 501);
    assert_eq!(table.segment(id, key, &confirmation, None, now), Ok(Phase::Established));
}

/// Opens by SYNs, by segments in mid-stream and by datagrams that nobody answers, sweeping as a worker would.
fn flood(writer: &mut ConnectionWriter, from: u32, now: u32) -> usize {
    let mut refused = 0;
    for number in from..from + 10 * CAPACITY {
        let opened = match number % 3 {
            0 => writer.open(&key(TCP, number), &opened_by(segment(Side::Low, TcpFlags::SYN, number, 0), now)),
            1 => writer.open(&key(TCP, number), &opened_by(segment(Side::Low, TcpFlags::ACK, number, number), now)),
            _ => writer.open(&key(UDP, number), &datagram(Side::Low, now)),
        };
        refused += usize::from(opened.is_err());
    }
    refused
}

#[test]
fn a_flood_puts_out_nothing_established_and_its_own_half_open_ones_make_way() {
    let table = Arc::new(Connections::new(CAPACITY as usize, Settings::default(), HashSeed::fixed()).unwrap());
    let mut writer = ConnectionWriter::new(table.clone(), WorkerId(0));
    (0..ESTABLISHED).for_each(|number| establish(&table, &mut writer, &key(TCP, number), 0));
    let room = (CAPACITY - ESTABLISHED) as usize;
    assert_eq!(table.fill(), Fill { used: ESTABLISHED as usize, opening: 0, capacity: CAPACITY as usize });

    let settings = table.settings();
    let longest = settings.udp_opening.max(settings.tcp_opening) / 10;
    for round in 0..3 {
        let now = 1000 + round * longest;
        let refused = flood(&mut writer, 10_000 + round * 20 * CAPACITY, now);
        assert_eq!(refused, 10 * CAPACITY as usize - room, "round {round}: as many come in as there is room for");
        assert_eq!(table.fill(), Fill { used: CAPACITY as usize, opening: room, capacity: CAPACITY as usize });
        assert_eq!(writer.sweep(now + settings.tcp_opening / 10 - 1, CAPACITY as usize), 0);
        for number in 0..ESTABLISHED {
            assert_eq!(table.find(&key(TCP, number), now).map(|known| known.phase), Some(Phase::Established));
        }
        // The first sweep takes the pressure away only when it is through: what it looks by is said at its start.
        assert_eq!(writer.sweep(now + longest, CAPACITY as usize), room);
        assert_eq!(table.fill(), Fill { used: ESTABLISHED as usize, opening: 0, capacity: CAPACITY as usize });
    }
    assert_eq!(writer.sweep(settings.tcp_established, CAPACITY as usize), ESTABLISHED as usize);
}

#[test]
fn without_pressure_half_open_connections_have_all_their_time() {
    let (table, mut writer) = bed();
    let most = 1024 - 1024 / 8;
    for number in 0..most {
        writer.open(&key(TCP, number), &opened_by(segment(Side::Low, TcpFlags::SYN, 1, 0), 0)).unwrap();
        let under_pressure = number + 1 == most;
        assert_eq!(table.find(&key(TCP, 0), 19_999).is_some(), !under_pressure, "{number} opened");
    }
    assert!(table.find(&key(TCP, 0), 1_999).is_some());
}
