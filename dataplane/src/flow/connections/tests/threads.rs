//! Many hands at one table: what one connection went through is never another's, and nothing is lost of it.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32},
    },
    thread,
};

use super::*;

const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);

/// What one side of a connection sends from its opening to its end, none of it waiting for the other.
fn script(side: Side) -> [Segment; 4] {
    let (mine, other) = if side == Side::Low { (1000, 9000) } else { (9000, 1000) };
    let say = |flags, seq| segment(side, flags, seq, other + 1);
    [
        say(SYN_ACK, mine),
        say(TcpFlags::ACK, mine + 1),
        say(FIN_ACK, mine + 1),
        Segment { ack: other + 2, ..say(TcpFlags::ACK, mine + 2) },
    ]
}

#[test]
fn two_workers_follow_the_two_sides_of_a_connection_and_no_step_is_lost() {
    const CONNECTIONS: u32 = 20_000;
    let table = Arc::new(Connections::new(CONNECTIONS as usize, Settings::default(), HashSeed::fixed()).unwrap());
    let mut writer = ConnectionWriter::new(table.clone(), WorkerId(0));
    let ids: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let key = key(TCP, number);
            let id = writer.open(&key, &opened_by(segment(Side::Low, TcpFlags::SYN, 1000, 0), 0)).unwrap();
            table.segment(id, &key, &segment(Side::High, TcpFlags::SYN, 9000, 0), None, 0).unwrap();
            (key, id)
        })
        .collect();
    assert_eq!(table.fill().opening, CONNECTIONS as usize);
    let (barrier, at) = (Barrier::new(2), [AtomicU32::new(0), AtomicU32::new(0)]);
    thread::scope(|scope| {
        for side in [Side::Low, Side::High] {
            let (table, ids, barrier, at) = (&table, &ids, &barrier, &at);
            scope.spawn(move || {
                barrier.wait();
                for (number, (key, id)) in ids.iter().enumerate() {
                    for segment in script(side) {
                        table.segment(*id, key, &segment, None, 1).unwrap();
                    }
                    // Stay beside the other, so that they meet at the same connection.
                    at[side.index()].store(number as u32, Ordering::Release);
                    while at[side.other().index()].load(Ordering::Acquire) + 2 < number as u32 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    for (key, _) in &ids {
        assert_eq!(table.find(key, 1).map(|known| known.phase), Some(Phase::Closed));
    }
    assert_eq!(table.fill(), Fill { used: CONNECTIONS as usize, opening: 0, capacity: CONNECTIONS as usize });
    // Each saw its FIN acknowledged, or else it would live for a minute.
    assert_eq!(writer.sweep(1 + table.settings().closed, CONNECTIONS as usize), CONNECTIONS as usize);
}

#[test]
fn two_workers_that_open_one_connection_at_once_agree_on_one_of_two() {
    const ROUNDS: u32 = 3000;
    let table = Arc::new(Connections::new(2 * ROUNDS as usize, Settings::default(), HashSeed::fixed()).unwrap());
    let barrier = Barrier::new(2);
    let open = |worker: u16| {
        let mut writer = ConnectionWriter::new(table.clone(), WorkerId(worker));
        for number in 0..ROUNDS {
            let key = key(TCP, number);
            barrier.wait();
            if table.find(&key, 0).is_none() {
                writer.open(&key, &opened_by(segment(Side::Low, TcpFlags::SYN, 1000, 0), 0)).unwrap();
            }
            barrier.wait();
            let known = table.find(&key, 0).unwrap();
            assert_eq!((known.opener, known.rule), (Side::Low, RULE));
            let mut at_once = segment(Side::High, SYN_ACK, 9000, 1001);
            table.segment(known.id, &key, &at_once, None, 1).unwrap();
            at_once = segment(Side::Low, TcpFlags::ACK, 1001, 9001);
            assert_eq!(table.segment(known.id, &key, &at_once, None, 1), Ok(Phase::Established));
        }
        barrier.wait();
        let opened = writer.owned();
        let swept = writer.sweep(table.settings().tcp_opening, opened);
        (writer, opened - swept)
    };
    let (one, two) = thread::scope(|scope| {
        let one = scope.spawn(|| open(0));
        let two = scope.spawn(|| open(1));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one.1 + two.1, ROUNDS as usize, "what nobody followed has aged out");
    (0..ROUNDS).for_each(|number| assert_eq!(table.find(&key(TCP, number), 1).unwrap().phase, Phase::Established));
}

#[test]
fn what_is_said_of_a_connection_never_reaches_its_successor_in_the_entry() {
    // A table so small that every entry changes hands all the time, while others use ids that are no longer true.
    const KEYS: u32 = 3000;
    let table = Arc::new(Connections::new(1024, Settings::default(), HashSeed::fixed()).unwrap());
    let (stop, keys) = (AtomicBool::new(false), (0..KEYS).map(|number| key(UDP, number)).collect::<Vec<_>>());
    let last: Vec<_> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for worker in 0..2u16 {
            let (table, stop, keys, last) = (&table, &stop, &keys, &last);
            scope.spawn(move || {
                // The judgement of a connection names its key, and so does its opener.
                let mut writer = ConnectionWriter::new(table.clone(), WorkerId(worker));
                let mut number = u32::from(worker);
                while !stop.load(Ordering::Relaxed) {
                    number = (number + 2) % KEYS;
                    let opener = if number % 4 < 2 { Side::Low } else { Side::High };
                    let named = Opened { generation: Generation(number), rule: Rule(number), ..datagram(opener, 0) };
                    match writer.open(&keys[number as usize], &named) {
                        Ok(id) => last[number as usize].store(id.0, Ordering::Relaxed),
                        Err(Full) => drop(writer.sweep(40_000, 300)),
                    }
                }
            });
        }
        for _ in 0..2 {
            let (table, stop, keys, last) = (&table, &stop, &keys, &last);
            scope.spawn(move || {
                for number in (0..KEYS).cycle().take(300_000) {
                    let (key, id) =
                        (&keys[number as usize], ConnectionId(last[number as usize].load(Ordering::Relaxed)));
                    let opener = if number % 4 < 2 { Side::Low } else { Side::High };
                    match number % 5 {
                        0 => table.judged(id, key, judgement(Generation(number), Rule(number))),
                        1 => table.link(id, key, Side::High, number),
                        2 => drop(table.packet(id, key, opener, 0)),
                        3 => table.close(id, key),
                        _ => table.confirm(key, 0),
                    }
                    if let Some(flow) = table.linked(id, key, Side::High) {
                        assert_eq!(flow, number);
                    }
                    if let Some(known) = table.find(key, 0) {
                        let expected = (Generation(number), Rule(number), opener, false);
                        assert_eq!((known.generation, known.rule, known.opener, known.answered), expected);
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(table.fill(), Fill { used: 0, opening: 0, capacity: 1024 });
}
