//! Meters against a token bucket in exact integers, over time, over the clock's wrap and between threads.

use core::{
    num::{NonZeroU32, NonZeroU64},
    sync::atomic::AtomicU32,
};

use proptest::prelude::*;

use super::*;
use crate::tables::{PortTable, rates::Rates};

const PORT: PortId = PortId(7);

fn bits(per_second: u64, burst: u64) -> Rate {
    Rate::of_bits(NonZeroU64::new(per_second).expect("a rate"), burst)
}

/// How many packets of so many bytes pass in a row.
fn passed(meters: &Meters, rate: &Rate, bytes: u64, now: u32) -> u64 {
    (0..1_000_000).take_while(|_| meters.sends(PORT, rate, bytes, now)).count() as u64
}

/// A token bucket that keeps thousandths of a bit, of which a rate earns itself in a millisecond: exact.
struct Bucket {
    rate: u128,
    full: u128,
    credit: u128,
    now: u32,
}

impl Bucket {
    fn new(rate: u64, burst: u64, now: u32) -> Self {
        let full = u128::from(burst) * 1000;
        Self { rate: rate.into(), full, credit: full, now }
    }

    fn earn(&mut self, now: u32) {
        self.credit = (self.credit + u128::from(now.wrapping_sub(self.now)) * self.rate).min(self.full);
        self.now = now;
    }
}

proptest! {
    /// The meter says yes and no when the bucket does, but where the two are closer than what roundings add up to: some
    /// fractions of a millisecond a check, and the grain.
    #[test]
    fn a_meter_is_a_token_bucket(
        rate in prop_oneof![1_000_u64..1_000_000, 1_000_000_u64..400_000_000_000],
        burst in 0_u64..4_000_000_000,
        start: u32,
        steps in prop::collection::vec((0_u32..50, 1_u64..70_000), 1..200),
    ) {
        let (meters, limit) = (Meters::default(), bits(rate, burst));
        let mut bucket = Bucket::new(rate, burst, start);
        let mut now = start;
        for (check, (pause, bytes)) in steps.into_iter().enumerate() {
            now = now.wrapping_add(pause);
            bucket.earn(now);
            let cost = u128::from(bytes) * 8000;
            let roundings = (1 << 16) + 8 * (check as u128 + 1);
            let near = ((roundings * u128::from(rate)) >> FRACTION) + 1;
            let passes = meters.sends(PORT, &limit, bytes, now);
            if passes {
                prop_assert!(bucket.credit + near >= cost, "passed {cost} with {} at hand", bucket.credit);
                bucket.credit = bucket.credit.saturating_sub(cost);
            } else {
                prop_assert!(bucket.credit < cost + near, "refused {cost} with {} at hand", bucket.credit);
            }
        }
    }
}

#[test]
fn over_time_exactly_the_rate_and_the_burst_pass() {
    for (rate, packet) in [(64_000, 60), (10_000_000, 1514), (999_999_937, 1514), (100_000_000_000, 9014)] {
        let burst = rate / 100;
        let (meters, limit) = (Meters::default(), bits(rate, burst.max(packet * 8)));
        let sent: u64 = (0..=10_000).map(|now| passed(&meters, &limit, packet, now)).sum();
        let earned = 10 * rate + burst.max(packet * 8);
        let due = earned / (packet * 8);
        // One packet in a hundred million is what the roundings may cost.
        assert!((due - 1 - due / 100_000_000..=due).contains(&sent), "{sent} of {due} at {rate}");
    }
}

#[test]
fn a_burst_holds_what_is_exactly_as_long_as_it_and_no_byte_more() {
    let (meters, limit) = (Meters::default(), bits(123_457, 1514 * 8));
    assert!(!meters.sends(PORT, &limit, 1515, 9));
    assert!(meters.sends(PORT, &limit, 1514, 9));
    assert!(!meters.sends(PORT, &limit, 1, 9));
}

#[test]
fn ports_and_directions_do_not_pay_for_each_other() {
    let (meters, limit) = (Meters::default(), bits(1_000_000, 8000));
    assert!(meters.sends(PORT, &limit, 1000, 0) && !meters.sends(PORT, &limit, 1000, 0));
    assert!(meters.receives(PORT, &limit, 1000, 0) && !meters.receives(PORT, &limit, 1000, 0));
    assert!(meters.sends(PortId(8), &limit, 1000, 0));
}

#[test]
fn the_rate_holds_across_the_wrap_of_the_clock() {
    let (meters, limit) = (Meters::default(), bits(8_000_000, 16_000));
    let start = u32::MAX - 500;
    (0..=start).step_by(1 << 20).for_each(|now| meters.renew(PORT, now));
    assert_eq!(passed(&meters, &limit, 1000, start), 2);
    let sent: u64 = (1..=1000).map(|ms| passed(&meters, &limit, 1000, start.wrapping_add(ms))).sum();
    assert_eq!(sent, 1000);
}

#[test]
fn a_port_silent_for_half_the_clocks_round_and_more_has_its_burst() {
    let (meters, limit) = (Meters::default(), bits(8_000_000, 16_000));
    let mut now = 0_u32;
    for silence in [1 << 31, 3 << 30, u32::MAX - 10_000, u32::MAX, 1] {
        // Looked after once a week or so, as a port is at least.
        let looks = silence >> 29;
        for _ in 0..looks {
            now = now.wrapping_add(1 << 29);
            meters.renew(PORT, now);
        }
        now = now.wrapping_add(silence - (looks << 29));
        assert_eq!(passed(&meters, &limit, 1000, now), if silence == 1 { 1 } else { 2 }, "after {silence} ms");
    }
}

#[test]
fn what_a_long_burst_used_up_does_not_silence_a_shorter_one() {
    let (meters, long) = (Meters::default(), bits(1_000_000, 1 << 31));
    assert_eq!(passed(&meters, &long, 60_000, 5), (1 << 31) / 480_000);
    let short = bits(1_000_000, 1_000_000);
    assert_eq!(passed(&meters, &short, 1000, 6), 125);
    assert_eq!(passed(&meters, &short, 1000, 1006), 125);
}

#[test]
fn a_worker_whose_clock_is_behind_earns_nothing_twice() {
    let (meters, limit) = (Meters::default(), bits(8_000_000, 80_000));
    assert_eq!(passed(&meters, &limit, 1000, 100), 10);
    assert_eq!(passed(&meters, &limit, 1000, 90), 0);
    assert_eq!(passed(&meters, &limit, 1000, 110), 10);
}

#[test]
fn two_workers_at_once_share_one_rate() {
    const RATE: u64 = 80_000_000;
    const BURST: u64 = 800_000;
    const PACKET: u64 = 100;
    let (meters, limit, clock) = (Meters::default(), bits(RATE, BURST), AtomicU32::new(0));
    let work = |leads: bool| {
        let mut sent = 0;
        for now in 1..=2000 {
            if leads {
                clock.store(now, Ordering::Release);
            }
            sent += passed(&meters, &limit, PACKET, clock.load(Ordering::Acquire));
        }
        sent
    };
    let sent: u64 = std::thread::scope(|scope| {
        let workers = [true, false].map(|leads| scope.spawn(move || work(leads)));
        workers.map(|worker| worker.join().expect("no worker of a test panics")).into_iter().sum()
    });
    // The meter starts full at the first millisecond.
    let due = (RATE * 1999 / 1000 + BURST) / (PACKET * 8);
    assert!((due - 1..=due).contains(&sent), "{sent} of {due}");
}

#[test]
fn connections_are_opened_at_their_own_rate_and_by_those_that_have_one() {
    let rate = Rate::of_connections(NonZeroU32::new(50).expect("a rate"));
    let rates = Rates { new_connections: Some(rate), ..Rates::default() };
    let table = |rates| Some(PortTable { rates, ..PortTable::default() });
    let tables = Tables { ports: vec![None, table(rates), table(Rates::default())], ..Tables::default() };
    let meters = Meters::default();
    let opened = |port, now| (0..1000).filter(|_| meters.opens(&tables, port, now)).count();
    assert_eq!(opened(PortId(1), 10), 50);
    assert_eq!([29, 30, 31].map(|now| opened(PortId(1), now)), [0, 1, 0]);
    assert_eq!(opened(PortId(1), 5000), 50);
    assert_eq!(opened(PortId(2), 10), 1000);
    assert_eq!(opened(PortId(3), 10), 1000);
    assert_eq!(opened(crate::ids::PathId(3).port(), 10), 1000);
}
