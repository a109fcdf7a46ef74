//! The flow table against a `HashMap`, full, with a million flows, and under threads that write and read at once; and what
//! is learned, under threads too.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use podlane_dataplane::{
    Generation, PortId, WorkerId,
    flow::{
        Basis, Class, FlowKey, FlowTable, FlowWriter, HashSeed, Insertion, Kind, Program, Sweep, TagEdit, VlanField,
        learned::{Learned, Lesson},
    },
};
use podlane_wire::MacAddr;
use proptest::prelude::*;

const FIRST: Generation = Generation(1);

/// The key with this number; odd ones are IPv6. Neighbouring numbers differ in one field, as flows of one pod do.
fn key(number: u32) -> FlowKey {
    let [a, b, c, d] = number.to_be_bytes();
    let wide = number % 2 == 1;
    let class = if wide { Class::Ipv6 } else { Class::Ipv4 };
    let kind = Kind { class, protocol: 6, ethertype: if wide { 0x86dd } else { 0x0800 } };
    let mut key = FlowKey::new(PortId(1), &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], VlanField::UNTAGGED, kind);
    if wide {
        let mut addresses = [0xfd; 32];
        addresses[28..].copy_from_slice(&[a, b, c, d]);
        key.set_ipv6(&addresses);
    } else {
        key.set_ipv4([10, 0, 0, 1, 10, a, b, c]);
    }
    key.set_ports([0, d, 0, 80]);
    key
}

/// A program that tells which key it is for, in each of its words.
fn program(number: u32, version: u16) -> Program {
    let [a, b, c, d] = number.to_be_bytes();
    let [e, f] = version.to_be_bytes();
    Program::route(
        PortId(number as u16),
        TagEdit::Keep,
        version,
        MacAddr([a, b, c, d, e, f]),
        MacAddr([f, e, d, c, b, a]),
    )
}

/// Whether a program is for this key, all of it.
fn is_for(found: &Program, number: u32) -> bool {
    *found == program(number, found.mtu()).depending_on(found.shard())
}

fn table(capacity: usize) -> Arc<FlowTable> {
    Arc::new(FlowTable::new(capacity, HashSeed::fixed()).expect("memory for a test"))
}

fn insert(writer: &mut FlowWriter, number: u32, program: &Program, generation: Generation, now: u32) -> Insertion {
    let key = key(number);
    let hash = writer.table().hash(&key);
    let basis = Basis { generation, epoch: writer.table().epoch(program.shard()) };
    writer.insert(hash, &key, program, basis, now)
}

fn find(table: &FlowTable, number: u32, generation: Generation) -> Option<(u32, Program)> {
    let key = key(number);
    table.find(table.hash(&key), &key, generation)
}

/// Sweeps until nothing more ends.
fn sweep_out(writer: &mut FlowWriter, now: u32, idle: u32, generation: Generation) -> usize {
    let mut ended = 0;
    loop {
        let budget = writer.owned();
        match writer.sweep(Sweep { now, idle, generation, budget }, |_| true) {
            0 => return ended,
            some => ended += some,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u16, u16),
    Find(u32),
    Forget(u16),
    Pass(u32),
    Generation,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u32..96, any::<u16>(), 0_u16..4).prop_map(|(key, version, shard)| Step::Insert(key, version, shard)),
        6 => (0_u32..96).prop_map(Step::Find),
        1 => (0_u16..4).prop_map(Step::Forget),
        1 => (0_u32..700).prop_map(Step::Pass),
        1 => Just(Step::Generation),
    ];
    prop::collection::vec(step, 0..400)
}

/// What the oracle knows of a flow.
struct Known {
    program: Program,
    generation: u32,
    epoch: u32,
    seen: u32,
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_hash_map(steps in steps()) {
        const IDLE: u32 = 1000;
        let table = table(1024);
        let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(3));
        let mut oracle: HashMap<u32, Known> = HashMap::new();
        let (mut generation, mut now, mut epochs) = (1, 0, [0; 4]);
        for step in steps {
            match step {
                Step::Insert(number, version, shard) => {
                    let program = program(number, version).depending_on(shard);
                    let done = insert(&mut writer, number, &program, Generation(generation), now);
                    prop_assert!(matches!(done, Insertion::Done(_)));
                    let epoch = epochs[usize::from(shard)];
                    oracle.insert(number, Known { program, generation, epoch, seen: now });
                }
                Step::Find(number) => {
                    let expected = oracle.get(&number).filter(|known| {
                        known.generation == generation && known.epoch == epochs[usize::from(known.program.shard())]
                    });
                    let found = find(&table, number, Generation(generation));
                    prop_assert_eq!(found.map(|(_, program)| program), expected.map(|known| known.program));
                    if let Some((entry, _)) = found {
                        table.touch(entry, 60, now);
                        oracle.entry(number).and_modify(|known| known.seen = now);
                    }
                }
                Step::Forget(shard) => {
                    table.forget(shard);
                    epochs[usize::from(shard)] += 1;
                }
                Step::Pass(milliseconds) => {
                    now += milliseconds;
                    let before = oracle.len();
                    oracle.retain(|_, known| known.generation == generation && now - known.seen < IDLE);
                    prop_assert_eq!(sweep_out(&mut writer, now, IDLE, Generation(generation)), before - oracle.len());
                }
                Step::Generation => generation += 1,
            }
            prop_assert_eq!((table.used(), writer.owned()), (oracle.len(), oracle.len()));
        }
        let listed: HashSet<_> = table.records(usize::MAX, |_| true).into_iter().map(|flow| *flow.key.words()).collect();
        prop_assert_eq!(listed, oracle.keys().map(|number| *key(*number).words()).collect());
        sweep_out(&mut writer, now + IDLE, IDLE, Generation(generation));
        prop_assert_eq!((table.used(), writer.owned()), (0, 0));
    }
}

#[test]
fn a_million_flows_are_found_in_a_table_made_for_them() {
    const FLOWS: u32 = 1_000_000;
    let table = table(FLOWS as usize);
    let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(0));
    let refused: HashSet<u32> = (0..FLOWS)
        .filter(|number| insert(&mut writer, *number, &program(*number, 1), FIRST, 0) == Insertion::Full)
        .collect();
    assert!(refused.len() <= 10, "{} found both their buckets full", refused.len());
    assert_eq!(table.used(), FLOWS as usize - refused.len());
    let mut at_once = 0;
    for number in (0..FLOWS).filter(|number| !refused.contains(number)) {
        let (entry, found) = find(&table, number, FIRST).expect("a flow that was inserted");
        assert_eq!(found, program(number, 1), "flow {number}");
        at_once += u32::from(table.view().candidate(table.hash(&key(number))) == entry);
    }
    assert!(at_once > FLOWS / 100 * 98, "{at_once} in their first bucket");
    assert_eq!(find(&table, FLOWS, FIRST), None);
}

#[test]
fn a_flow_counts_its_packets_and_bytes() {
    let table = table(1024);
    let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(7));
    insert(&mut writer, 5, &program(5, 1), FIRST, 100);
    let (entry, _) = find(&table, 5, FIRST).unwrap();
    for now in 101..=110 {
        table.touch(entry, 60, now);
    }
    let [flow] = &table.records(10, |_| true)[..] else { panic!("one flow") };
    assert_eq!((flow.key, flow.program, flow.owner), (key(5), program(5, 1), WorkerId(7)));
    assert_eq!((flow.packets, flow.bytes, flow.seen), (10, 600, 110));
    // Another flow in the same entry starts from nothing.
    sweep_out(&mut writer, 9999, 1, FIRST);
    insert(&mut writer, 6, &program(6, 1), FIRST, 0);
    let [flow] = &table.records(10, |_| true)[..] else { panic!("one flow") };
    assert_eq!((flow.key, flow.packets, flow.bytes), (key(6), 0, 0));
}

#[test]
fn a_full_table_says_so_and_takes_flows_again_when_some_have_ended() {
    let table = table(1024);
    let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(0));
    let fill = |writer: &mut FlowWriter, from: u32, now| {
        (from..from + 4096)
            .filter(|number| matches!(insert(writer, *number, &program(*number, 1), FIRST, now), Insertion::Done(_)))
            .collect::<Vec<_>>()
    };
    let first = fill(&mut writer, 0, 0);
    assert_eq!((first.len(), table.used()), (1024, 1024));
    assert_eq!(insert(&mut writer, 5000, &program(5000, 1), FIRST, 0), Insertion::Full);
    // Flows that are there can still be rewritten.
    assert!(matches!(insert(&mut writer, first[0], &program(first[0], 2), FIRST, 1), Insertion::Done(_)));
    assert_eq!(find(&table, first[0], FIRST).unwrap().1, program(first[0], 2));
    assert_eq!(table.used(), 1024);
    for _ in 0..5 {
        assert_eq!(sweep_out(&mut writer, 5000, 1000, FIRST), 1024);
        assert_eq!(table.used(), 0);
        assert_eq!(fill(&mut writer, 100_000, 0).len(), 1024, "no entry was lost");
    }
}

#[test]
fn a_writer_that_goes_takes_its_flows_along() {
    let table = table(1024);
    for worker in 0..10 {
        let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(worker));
        for number in 0..1000 {
            let done = insert(&mut writer, number, &program(number, worker), FIRST, 0);
            assert!(matches!(done, Insertion::Done(_)));
        }
        drop(writer);
        assert_eq!(table.used(), 0);
        assert_eq!(find(&table, 5, FIRST), None);
    }
}

#[test]
fn a_sweep_looks_at_no_more_than_it_may() {
    let table = table(1024);
    let mut writer = FlowWriter::new(table, WorkerId(0));
    for number in 0..100 {
        insert(&mut writer, number, &program(number, 1), FIRST, 0);
    }
    let mut alive = 0;
    let by = Sweep { now: 10, idle: 1000, generation: FIRST, budget: 7 };
    assert_eq!(
        writer.sweep(by, |_| {
            alive += 1;
            true
        }),
        0
    );
    assert_eq!(alive, 7);
    assert_eq!(writer.sweep(Sweep { now: 2000, ..by }, |_| true), 7);
    assert_eq!(writer.owned(), 93);
}

/// A generator of numbers without rhyme: xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as u32 % below
    }
}

const STRESS: Duration = Duration::from_millis(700);
const CHURN: u32 = 3000;

/// Inserts, rewrites and ends flows until told to stop.
fn churn(table: &Arc<FlowTable>, worker: u16, generation: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut writer = FlowWriter::new(Arc::clone(table), WorkerId(worker));
    let mut numbers = Numbers(0x9e37_79b9 + u64::from(worker));
    let (mut now, mut inserted) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        now += 1;
        let generation = Generation(generation.load(Ordering::Relaxed) as u32);
        for _ in 0..16 {
            let number = numbers.next(CHURN);
            let shard = numbers.next(8) as u16;
            let program = program(number, numbers.next(9000) as u16).depending_on(shard);
            inserted += u64::from(insert(&mut writer, number, &program, generation, now) != Insertion::Full);
        }
        if numbers.next(4) == 0 {
            table.forget(numbers.next(8) as u16);
        }
        writer.sweep(Sweep { now, idle: numbers.next(40), generation, budget: 32 }, |_| true);
    }
    inserted
}

/// Looks flows up until told to stop; every program found must be the key's.
fn look(table: &FlowTable, seed: u64, generation: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut numbers = Numbers(seed);
    let mut found = 0;
    while !stop.load(Ordering::Relaxed) {
        let generation = Generation(generation.load(Ordering::Relaxed) as u32);
        for _ in 0..64 {
            let number = numbers.next(CHURN);
            if let Some((entry, program)) = find(table, number, generation) {
                assert!(is_for(&program, number), "flow {number} got {program:?}");
                table.touch(entry, 60, 0);
                found += 1;
            }
        }
        for flow in table.records(50, |_| true) {
            let [_, _, first, _, _, _, last] = *flow.key.words();
            let number = flow.program.next_hop().0;
            let number = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
            assert!(is_for(&flow.program, number), "a torn program");
            assert_eq!(flow.key, key(number), "a record of two flows: {first:x} {last:x}");
        }
    }
    found
}

#[test]
fn readers_never_see_a_program_of_another_key_while_writers_churn() {
    let table = table(1024);
    let (generation, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    let (inserted, found) = thread::scope(|scope| {
        let (table, generation, stop) = (&table, &generation, &stop);
        let writers: Vec<_> =
            (0..2).map(|worker| scope.spawn(move || churn(table, worker, generation, stop))).collect();
        let readers: Vec<_> = (1..3).map(|seed| scope.spawn(move || look(table, seed, generation, stop))).collect();
        let until = Instant::now() + STRESS;
        while Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
            generation.fetch_add(1, Ordering::Relaxed);
        }
        stop.store(true, Ordering::Relaxed);
        let sum = |threads: Vec<thread::ScopedJoinHandle<'_, u64>>| -> u64 {
            threads.into_iter().map(|thread| thread.join().expect("no program of another key")).sum()
        };
        (sum(writers), sum(readers))
    });
    assert!(inserted > 1000 && found > 1000, "{inserted} inserted, {found} found");
    assert_eq!(table.used(), 0, "the writers took their flows along");
    // Every entry and every lane is free again: as many flows fit as on the first day.
    let mut writer = FlowWriter::new(Arc::clone(&table), WorkerId(0));
    let generation = Generation(1_000_000);
    let fits = (0..4096).filter(|n| insert(&mut writer, *n, &program(*n, 1), generation, 0) != Insertion::Full).count();
    assert_eq!(fits, 1024);
}

/// What is learned of key `number`: any of eight values that only this key can have.
fn lesson(number: u64, variant: u64) -> u64 {
    number * 8 + variant + 1
}

#[test]
fn what_is_learned_is_never_another_keys_while_workers_learn_and_forget() {
    const KEYS: u32 = 600;
    let map = Learned::<3>::new(256);
    let words = |number: u64| [number, !number, number << 7];
    let stop = AtomicBool::new(false);
    let told = AtomicU64::new(0);
    thread::scope(|scope| {
        let (map, stop, told) = (&map, &stop, &told);
        for seed in 1..3 {
            scope.spawn(move || {
                let (mut numbers, mut now) = (Numbers(seed), 0);
                while !stop.load(Ordering::Relaxed) {
                    now += 1;
                    let number = u64::from(numbers.next(KEYS));
                    let value = lesson(number, u64::from(numbers.next(8)));
                    match map.learn(&words(number), value, now) {
                        Lesson::Moved(before) => assert_eq!((before - 1) / 8, number, "moved from another's place"),
                        Lesson::New | Lesson::Known | Lesson::Refused => {}
                    }
                    map.confirm(&words(number), lesson(number, u64::from(numbers.next(8))), now);
                    let from = numbers.next(map.slots() as u32) as usize;
                    map.forget(from..from + 4, |_, _, seen| now.wrapping_sub(seen) > 50, |_, _| ());
                }
            });
        }
        for seed in 11..13 {
            scope.spawn(move || {
                let mut numbers = Numbers(seed);
                while !stop.load(Ordering::Relaxed) {
                    let number = u64::from(numbers.next(KEYS));
                    if let Some(value) = map.lookup(&words(number)) {
                        assert_eq!((value - 1) / 8, number, "key {number} was told {value}");
                        told.fetch_add(1, Ordering::Relaxed);
                    }
                    if numbers.next(100) == 0 {
                        for (key, value, _) in map.entries() {
                            assert_eq!(key, words((value - 1) / 8), "an entry of two keys");
                        }
                    }
                }
            });
        }
        thread::sleep(STRESS);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(told.load(Ordering::Relaxed) > 1000);
    map.forget(0..map.slots(), |_, _, _| true, |_, _| ());
    assert!(map.entries().is_empty(), "no slot is stuck");
}
