//! The table against a `HashMap`, over all that can happen to a connection without flags.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Open { number: u32, worker: usize, high: bool },
    Packet { number: u32, high: bool },
    Judge { number: u32, by: u32 },
    Confirm { number: u32, ago: u32 },
    Close { number: u32 },
    Pass(u32),
    Sweep { worker: usize },
}

#[derive(Clone, Copy)]
struct Expected {
    opener: Side,
    seen: u32,
    answered: bool,
    judged: u32,
}

impl Expected {
    fn is_over(&self, now: u32) -> bool {
        let settings = Settings::default();
        let lifetime = if self.answered { settings.udp } else { settings.udp_opening };
        (now.wrapping_sub(self.seen) as i32).max(0) as u32 >= lifetime
    }

    fn see(&mut self, now: u32) {
        if (now.wrapping_sub(self.seen) as i32) > 0 {
            self.seen = now;
        }
    }
}

fn side(high: bool) -> Side {
    if high { Side::High } else { Side::Low }
}

fn step() -> impl Strategy<Value = Step> {
    let (number, worker, high) = (0..40u32, 0..3usize, any::<bool>());
    prop_oneof![
        4 => (number.clone(), worker.clone(), high).prop_map(|(number, worker, high)| Step::Open { number, worker, high }),
        4 => (number.clone(), high).prop_map(|(number, high)| Step::Packet { number, high }),
        2 => (number.clone(), any::<u32>()).prop_map(|(number, by)| Step::Judge { number, by }),
        2 => (number.clone(), 0..40_000u32).prop_map(|(number, ago)| Step::Confirm { number, ago }),
        1 => number.prop_map(|number| Step::Close { number }),
        3 => prop_oneof![0..100u32, 0..400_000u32].prop_map(Step::Pass),
        2 => worker.prop_map(|worker| Step::Sweep { worker }),
    ]
}

/// The table, and what it should hold. What is over is forgotten by the map at once, by the table when it is swept: the difference must not show,
/// but for what `confirm` brings back, which is therefore confirmed only while the map has it.
struct Model {
    table: Arc<Connections>,
    writers: Vec<ConnectionWriter>,
    map: HashMap<u32, Expected>,
    now: u32,
}

impl Model {
    fn new(now: u32) -> Self {
        let (table, _) = bed();
        let writers = (0..3).map(|worker| ConnectionWriter::new(table.clone(), WorkerId(worker))).collect();
        Self { table, writers, map: HashMap::new(), now }
    }

    fn find(&mut self, number: u32) -> Option<Known> {
        self.map.retain(|_, expected| !expected.is_over(self.now));
        let known = self.table.find(&key(UDP, number), self.now);
        let expected = self.map.get(&number);
        let told = known.map(|known| (known.opener, known.answered, known.generation.0, known.rule.0));
        assert_eq!(
            told,
            expected.map(|it| (it.opener, it.answered, it.judged, !it.judged)),
            "{number} at {}",
            self.now
        );
        known
    }

    fn open(&mut self, number: u32, worker: usize, high: bool) {
        let (key, judged) = (key(UDP, number), number);
        let (generation, rule) = (Generation(judged), Rule(!judged));
        let opened = Opened { generation, rule, ..datagram(side(high), self.now) };
        self.writers[worker].open(&key, &opened).unwrap();
        self.map.insert(number, Expected { opener: side(high), seen: self.now, answered: false, judged });
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Open { number, worker, high } => {
                if self.find(number).is_none() {
                    self.open(number, worker, high);
                }
            }
            Step::Packet { number, high } => {
                let Some(known) = self.find(number) else { return };
                let phase = self.table.packet(known.id, &key(UDP, number), side(high), self.now);
                let expected = self.map.get_mut(&number).unwrap();
                expected.answered |= expected.opener != side(high);
                expected.see(self.now);
                assert_eq!(phase, Some(if expected.answered { Phase::Established } else { Phase::Opening }));
            }
            Step::Judge { number, by } => {
                let Some(known) = self.find(number) else { return };
                self.table.judged(known.id, &key(UDP, number), judgement(Generation(by), Rule(!by)));
                self.map.get_mut(&number).unwrap().judged = by;
            }
            Step::Confirm { number, ago } => {
                if self.find(number).is_some() {
                    let seen = self.now.wrapping_sub(ago);
                    self.table.confirm(&key(UDP, number), seen);
                    self.map.get_mut(&number).unwrap().see(seen);
                }
            }
            Step::Close { number } => {
                if let Some(known) = self.find(number) {
                    self.table.close(known.id, &key(UDP, number));
                    self.map.remove(&number);
                }
            }
            Step::Pass(milliseconds) => self.now = self.now.wrapping_add(milliseconds),
            Step::Sweep { worker } => drop(self.writers[worker].sweep(self.now, 1024)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_a_map_with_times(start: u32, steps in prop::collection::vec(step(), 1..300)) {
        let mut model = Model::new(start);
        for step in &steps {
            model.take(step);
        }
        for number in 0..40 {
            model.find(number);
        }
        for writer in &mut model.writers {
            while writer.sweep(model.now, 1024) > 0 {}
        }
        let opening = model.map.values().filter(|expected| !expected.answered).count();
        prop_assert_eq!(model.table.fill(), Fill { used: model.map.len(), opening, capacity: 1024 });
        let mut records: Vec<_> = model.table.records(1024, |_| true).iter().map(|record| record.seen).collect();
        let mut seen: Vec<_> = model.map.values().map(|expected| expected.seen).collect();
        records.sort_unstable();
        seen.sort_unstable();
        prop_assert_eq!(records, seen);
    }
}
