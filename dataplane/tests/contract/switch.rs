//! Files and bad wires as ports of a whole switch: its ledger stays true.

use podlane_dataplane::{
    PortId,
    port::{
        Port, PortStatistics,
        fault::{FaultConfig, FaultPort},
        memory::{MemoryPort, Wire},
    },
    tables::PortTable,
    testbed::{Plan, TestBed, received, sent},
};
use podlane_wire::MacAddr;

use crate::{
    specimens::Replay,
    suite::{FROM, Subject, TO, numbered},
};

const RED: PortId = PortId(1);
const BLUE: PortId = PortId(2);
const PACKETS: usize = 200;

/// A switch with these ports, one station behind each.
fn switch(red: Box<dyn Port>, blue: Box<dyn Port>) -> TestBed {
    let station = |mac| PortTable { mac: Some(MacAddr(mac)), ..PortTable::default() };
    let mut bed = TestBed::new(Plan::new(1).port(RED, 0, station(FROM)).port(BLUE, 0, station(TO)));
    for (number, port) in [(RED, red), (BLUE, blue)] {
        bed.detach(number);
        bed.attach(number, port);
    }
    bed
}

fn turn_until_quiet(bed: &mut TestBed) {
    (0..200).for_each(|_| bed.turn());
}

/// Takes both ports off, and sees that every frame came home.
fn close(mut bed: TestBed) {
    bed.detach(RED);
    bed.detach(BLUE);
    let (total, free) = bed.workers[0].report().frames;
    assert_eq!(free, total);
}

#[test]
fn a_capture_played_into_one_port_is_recorded_at_the_other() {
    let packets = numbered(PACKETS);
    let (red, mut blue) = (Replay.open(&packets), Replay.open(&[]));
    let mut bed = switch(red.port, blue.port);
    turn_until_quiet(&mut bed);
    assert_eq!(bed.moved(), [received(RED, PACKETS as u64), sent(BLUE, PACKETS as u64)]);
    close(bed);
    assert_eq!(blue.far.received(true), packets);
}

#[test]
fn the_ledger_balances_on_bad_wires_and_what_they_lost_is_the_difference() {
    let bad = |seed| FaultConfig { drop: 0.2, reorder: 0.2, corrupt: 0.0, duplicate: 0.2, seed };
    let (red, blue) = (Wire::default(), Wire::default());
    let behind = |wire: &Wire, seed| Box::new(FaultPort::new(Box::new(MemoryPort::new(wire.clone())), bad(seed)));
    let mut bed = switch(behind(&red, 1), behind(&blue, 2));
    numbered(PACKETS).into_iter().for_each(|packet| red.send(packet));
    turn_until_quiet(&mut bed);
    let came = bed.counters().ports[RED.index()].received.packets;
    assert_eq!(bed.moved(), [received(RED, came), sent(BLUE, came)]);
    let lost: Vec<u64> = bed.workers[0].report().ports.iter().map(|port| port.statistics.faults).collect();
    let clean = PortStatistics::default();
    for port in bed.workers[0].report().ports {
        assert_eq!(PortStatistics { faults: 0, ..port.statistics }, clean);
    }
    let left = blue.receive().len() as u64;
    assert!(lost.iter().all(|lost| *lost > 0), "{lost:?}");
    // Some came twice: at most all that were not lost.
    let (sent_in, lost_in, lost_out) = (PACKETS as u64, lost[0], lost[1]);
    assert!((sent_in - lost_in + 1..=2 * (sent_in - lost_in)).contains(&came), "{came}");
    assert!((came - lost_out + 1..=2 * (came - lost_out)).contains(&left), "{left}");
    close(bed);
}
