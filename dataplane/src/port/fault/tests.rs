//! What each fault does to numbered packets, in both directions, and that the counts add up.

use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};
use proptest::prelude::*;

use super::*;
use crate::port::memory::{MemoryPort, Wire};

const PACKETS: u8 = 200;

/// A port in memory behind a bad wire.
struct Bench {
    pool: FramePool,
    wire: Wire,
    port: Box<FaultPort>,
}

impl Bench {
    fn new(config: FaultConfig) -> Self {
        let memory = UmemConfig { frames: 1024, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
        let (_, pool) = Umem::create(&memory).unwrap();
        let wire = Wire::default();
        let port = Box::new(FaultPort::new(Box::new(MemoryPort::new(wire.clone())), config));
        Self { pool, wire, port }
    }

    /// What the switch receives of numbered packets.
    fn inward(&mut self) -> Vec<Vec<u8>> {
        (0..PACKETS).for_each(|number| self.wire.send(vec![number; 60]));
        let mut received = Vec::new();
        for _ in 0..2 * PATIENCE {
            let mut burst = Burst::new();
            self.port.receive(&mut self.pool, &mut burst);
            for frame in burst.drain() {
                received.push(frame.bytes().to_vec());
                self.pool.give(frame);
            }
        }
        received
    }

    /// What the far side gets of numbered packets.
    fn outward(&mut self) -> Vec<Vec<u8>> {
        let mut queue = OutQueue::new(usize::from(PACKETS));
        for number in 0..PACKETS {
            let frame = self.pool.write_packet(&[number; 60]).unwrap();
            let length = frame.len();
            queue.push(frame, length).unwrap();
        }
        let mut calls = 0;
        while calls == 0 || !queue.is_empty() || self.port.outstanding() {
            self.port.transmit(&mut self.pool, &mut queue);
            self.port.settle(&mut self.pool).unwrap();
            calls += 1;
            assert!(calls < 2 * PATIENCE, "a packet is held for ever");
        }
        self.wire.receive()
    }

    fn faults(&self) -> u64 {
        self.port.statistics().faults
    }

    fn close(mut self) {
        self.port.close(&mut self.pool);
        assert_eq!(self.pool.free(), self.pool.total());
    }
}

fn both_ways(config: FaultConfig) -> [(Vec<Vec<u8>>, u64); 2] {
    [Bench::inward, Bench::outward].map(|run: fn(&mut Bench) -> _| {
        let mut bench = Bench::new(config);
        let packets = run(&mut bench);
        let faults = bench.faults();
        bench.close();
        (packets, faults)
    })
}

fn numbers(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().map(|packet| packet[0]).collect()
}

#[test]
fn what_is_lost_is_counted() {
    for (packets, faults) in both_ways(FaultConfig { drop: 0.25, seed: 7, ..FaultConfig::default() }) {
        assert_eq!(packets.len() as u64 + faults, u64::from(PACKETS));
        assert!((30..70).contains(&faults), "{faults} of 200 lost at odds of a quarter");
        assert!(packets.is_sorted(), "the rest comes in order");
    }
    for (packets, faults) in both_ways(FaultConfig { drop: 1.0, ..FaultConfig::default() }) {
        assert_eq!((packets.len(), faults), (0, 200));
    }
}

#[test]
fn a_doubled_packet_comes_twice_in_a_row() {
    for (packets, faults) in both_ways(FaultConfig { duplicate: 1.0, ..FaultConfig::default() }) {
        let expected: Vec<u8> = (0..PACKETS).flat_map(|number| [number, number]).collect();
        assert_eq!((numbers(&packets), faults), (expected, 0));
    }
}

#[test]
fn a_spoilt_packet_differs_in_one_byte() {
    for (packets, faults) in both_ways(FaultConfig { corrupt: 1.0, ..FaultConfig::default() }) {
        assert_eq!((packets.len(), faults), (200, 0));
        for (number, packet) in packets.iter().enumerate() {
            let wrong = packet.iter().filter(|byte| usize::from(**byte) != number).count();
            assert_eq!(wrong, 1, "packet {number}");
        }
    }
}

#[test]
fn a_late_packet_comes_behind_the_next_and_never_stays() {
    for (packets, faults) in both_ways(FaultConfig { reorder: 1.0, ..FaultConfig::default() }) {
        let expected: Vec<u8> = (0..PACKETS / 2).flat_map(|pair| [2 * pair + 1, 2 * pair]).collect();
        assert_eq!((numbers(&packets), faults), (expected, 0));
    }
    for (packets, _) in both_ways(FaultConfig { reorder: 0.3, seed: 3, ..FaultConfig::default() }) {
        let mut seen = numbers(&packets);
        assert!(!seen.is_sorted());
        seen.sort_unstable();
        assert_eq!(seen, (0..PACKETS).collect::<Vec<_>>());
    }
}

#[test]
fn the_last_packet_is_not_held_for_ever() {
    let mut bench = Bench::new(FaultConfig { reorder: 1.0, ..FaultConfig::default() });
    bench.wire.send(vec![1; 60]);
    let mut burst = Burst::new();
    for _ in 0..=PATIENCE {
        bench.port.receive(&mut bench.pool, &mut burst);
    }
    assert_eq!(burst.frames().len(), 1);
    burst.drain().for_each(|frame| bench.pool.give(frame));
    bench.close();
}

#[test]
fn a_checksum_is_finished_before_a_byte_is_spoilt_and_not_after() {
    let mut bench = Bench::new(FaultConfig { corrupt: 1.0, ..FaultConfig::default() });
    let mut asking = || {
        let mut frame = bench.pool.write_packet(&[1; 60]).unwrap();
        frame.request_checksum(20, 6).unwrap();
        frame
    };
    let (mut good, spoilt) = (asking(), asking());
    bench.pool.umem().finish_checksum(&mut good);
    let mut queue = OutQueue::new(1);
    let length = spoilt.len();
    queue.push(spoilt, length).unwrap();
    bench.port.transmit(&mut bench.pool, &mut queue);
    let sent = bench.wire.receive().remove(0);
    assert_eq!(sent.iter().zip(good.bytes()).filter(|(spoilt, good)| spoilt != good).count(), 1);
    bench.pool.give(good);
    bench.close();
}

proptest! {
    // Each case runs four beds.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_seed_meets_the_same_faults_and_every_frame_comes_home(
        odds in proptest::array::uniform4(0.0..=1.0f64),
        seed: u64,
    ) {
        let [drop, reorder, corrupt, duplicate] = odds;
        let config = FaultConfig { drop, reorder, corrupt, duplicate, seed };
        let [first, second] = [both_ways(config), both_ways(config)];
        prop_assert_eq!(&first, &second);
        for (packets, faults) in first {
            let passed = u64::from(PACKETS) - faults;
            prop_assert!((passed..=2 * passed).contains(&(packets.len() as u64)));
        }
    }

    #[test]
    fn a_port_closed_in_the_middle_keeps_no_frame(
        odds in proptest::array::uniform2(0.0..=1.0f64),
        room in 0usize..100,
        seed: u64,
    ) {
        let [reorder, duplicate] = odds;
        let mut bench = Bench::new(FaultConfig { reorder, duplicate, seed, ..FaultConfig::default() });
        bench.wire.take_at_most(room);
        (0..PACKETS).for_each(|number| bench.wire.send(vec![number; 60]));
        let (mut burst, mut queue) = (Burst::new(), OutQueue::new(200));
        bench.port.receive(&mut bench.pool, &mut burst);
        for frame in burst.drain() {
            let length = frame.len();
            queue.push(frame, length).unwrap();
        }
        bench.port.transmit(&mut bench.pool, &mut queue);
        prop_assert!(bench.wire.receive().len() <= room);
        for frame in queue.frames().drain(..) {
            bench.pool.give(frame);
        }
        bench.close();
    }
}
