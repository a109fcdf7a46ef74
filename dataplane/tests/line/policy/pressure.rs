//! Pressure: ten times as many openings as there is room for, and what is established goes on.

use podlane_dataplane::{DropReason, policy::Opening, testbed::TestBed};

use crate::{
    packets::{BLUE, GREEN, RED},
    policy::bed::{ACK, Asked, C, End, SYN, Talk, pass, three},
};

#[test]
fn a_flood_of_openings_leaves_what_is_established_and_is_told_by_name() {
    let mut bed = TestBed::new(three());
    bed.enforce(2, Asked(|_: &Opening| true));
    let mut talks: Vec<_> = (0..100).map(|number| Talk::new().with_port(50_000 + number)).collect();
    for talk in &mut talks {
        talk.establish(&mut bed);
    }
    let fill = bed.shared.connections.fill();
    assert_eq!((fill.used, fill.opening), (100, 0));
    let flows = bed.shared.flows.used();
    let before = bed.counters();
    let flood = Talk { client: End { host: C, port: 1, sequence: 1 }, ..Talk::new() };
    for number in 0..10 * fill.capacity {
        bed.receive(GREEN, flood.with_port(number as u16).asks(SYN, 0));
        if number % 64 == 63 {
            bed.turn();
        }
        if number % 1024 == 1023 {
            for talk in &talks {
                pass(&mut bed, RED, &talk.asks(ACK, 0));
                pass(&mut bed, BLUE, &talk.answers(ACK, 0));
            }
        }
    }
    let after = bed.counters();
    let full = DropReason::ConnectionsFull as usize;
    let lost =
        |port: usize| after.ports[port].dropped.iter().sum::<u64>() - before.ports[port].dropped.iter().sum::<u64>();
    assert_eq!((lost(RED.index()), lost(BLUE.index())), (0, 0), "not one segment of the established");
    assert!(after.ports[GREEN.index()].dropped[full] > 0);
    assert_eq!(lost(GREEN.index()), after.ports[GREEN.index()].dropped[full], "the flood dies by no other name");
    assert_eq!(bed.shared.flows.used(), flows, "and leaves the flow table alone");
    let fill = bed.shared.connections.fill();
    assert!(fill.used <= fill.capacity && fill.opening + 100 == fill.used, "{fill:?}");
    // What opens has a tenth of its time while the table is nearly full: soon there is room again, and in the end all of it.
    bed.pass(10_000);
    assert!(bed.shared.connections.fill().used <= fill.capacity / 8 * 7);
    bed.pass(30_000);
    assert_eq!(bed.shared.connections.fill().used, 100);
    for talk in &talks {
        pass(&mut bed, RED, &talk.asks(ACK, 0));
    }
    assert_eq!(bed.counters().ports[RED.index()].dropped.iter().sum::<u64>(), 0);
}
