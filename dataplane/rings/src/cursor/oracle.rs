//! The cursor against an oracle of plain integers that never wrap: what was produced, what was consumed, who saw what.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use proptest::prelude::*;

use super::{Consumer, Producer};

/// What either side may do next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { want: u32, share: u32 },
    Release { want: u32, share: u32 },
    ConsumerLies(u32),
    ProducerLies(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..20, 0u32..20).prop_map(|(want, share)| Step::Publish { want, share }),
        4 => (0u32..20, 0u32..20).prop_map(|(want, share)| Step::Release { want, share }),
        1 => any::<u32>().prop_map(Step::ConsumerLies),
        1 => any::<u32>().prop_map(Step::ProducerLies),
    ]
}

/// Two cursors on one pair of words, and the truth.
struct Bed {
    produced: AtomicU32,
    consumed: AtomicU32,
    producer: Producer,
    consumer: Consumer,
    true_produced: u64,
    true_consumed: u64,
    start: u32,
    size: u32,
}

impl Bed {
    fn new(start: u32, size: u32) -> Self {
        Self {
            produced: AtomicU32::new(start),
            consumed: AtomicU32::new(start),
            producer: Producer::new(start, start, size),
            consumer: Consumer::new(start, start, size),
            true_produced: 0,
            true_consumed: 0,
            start,
            size,
        }
    }

    fn occupied(&self) -> u32 {
        (self.true_produced - self.true_consumed) as u32
    }

    fn index(&self, truth: u64) -> u32 {
        self.start.wrapping_add(truth as u32)
    }

    fn publish(&mut self, want: u32, share: u32) -> Result<(), TestCaseError> {
        let room = self.producer.room(&self.consumed, want);
        prop_assert!(room <= self.size - self.occupied(), "never more room than there is");
        if room < want {
            prop_assert_eq!(room, self.size - self.occupied(), "asked the word, so it knows all");
        }
        prop_assert_eq!(self.producer.index(0), self.index(self.true_produced));
        let n = share.min(room);
        self.producer.publish(&self.produced, n);
        self.true_produced += u64::from(n);
        prop_assert_eq!(self.produced.load(Relaxed), self.index(self.true_produced));
        prop_assert_eq!(self.producer.unconsumed(&self.consumed), self.occupied());
        Ok(())
    }

    fn release(&mut self, want: u32, share: u32) -> Result<(), TestCaseError> {
        let available = self.consumer.available(&self.produced, want);
        prop_assert!(available <= self.occupied(), "never more entries than there are");
        if available < want {
            prop_assert_eq!(available, self.occupied(), "asked the word, so it knows all");
        }
        prop_assert_eq!(self.consumer.index(0), self.index(self.true_consumed));
        let n = share.min(available);
        self.consumer.release(&self.consumed, n);
        self.true_consumed += u64::from(n);
        prop_assert_eq!(self.consumed.load(Relaxed), self.index(self.true_consumed));
        Ok(())
    }

    /// Puts a value into the consumer's word, asks the producer, and puts the truth back.
    fn consumer_lies(&mut self, lie: u32) -> Result<(), TestCaseError> {
        let truth = self.index(self.true_consumed);
        let known = self.producer.room(&self.consumed, u32::MAX);
        let absurd = self.producer.absurd();
        self.consumed.store(lie, Relaxed);
        let room = self.producer.room(&self.consumed, u32::MAX);
        self.consumed.store(truth, Relaxed);
        prop_assert!(room <= self.size);
        let occupied = self.index(self.true_produced).wrapping_sub(lie);
        if occupied > self.size {
            prop_assert_eq!(room, known, "an absurd word is no news");
            prop_assert_eq!(self.producer.absurd(), absurd + 1);
        }
        // A lie within the ring cannot be told from the truth; the next question hears the truth again.
        self.producer.room(&self.consumed, u32::MAX);
        Ok(())
    }

    fn producer_lies(&mut self, lie: u32) -> Result<(), TestCaseError> {
        let truth = self.index(self.true_produced);
        let known = self.consumer.available(&self.produced, u32::MAX);
        let absurd = self.consumer.absurd();
        self.produced.store(lie, Relaxed);
        let available = self.consumer.available(&self.produced, u32::MAX);
        self.produced.store(truth, Relaxed);
        prop_assert!(available <= self.size);
        if lie.wrapping_sub(self.index(self.true_consumed)) > self.size {
            prop_assert_eq!(available, known, "an absurd word is no news");
            prop_assert_eq!(self.consumer.absurd(), absurd + 1);
        }
        self.consumer.available(&self.produced, u32::MAX);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_cursors_agree_with_integers_that_never_wrap(
        start in prop_oneof![Just(0), Just(u32::MAX - 3), any::<u32>()],
        bits in 1u32..5,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut bed = Bed::new(start, 1 << bits);
        for step in steps {
            match step {
                Step::Publish { want, share } => bed.publish(want, share)?,
                Step::Release { want, share } => bed.release(want, share)?,
                Step::ConsumerLies(lie) => bed.consumer_lies(lie)?,
                Step::ProducerLies(lie) => bed.producer_lies(lie)?,
            }
        }
    }
}

#[test]
fn a_cursor_asks_the_shared_word_only_when_it_knows_too_little() {
    let word = AtomicU32::new(0);
    let mut producer = Producer::new(0, 0, 8);
    assert_eq!(producer.room(&word, 8), 8);
    let produced = AtomicU32::new(0);
    producer.publish(&produced, 4);
    word.store(4, Relaxed);
    assert_eq!(producer.room(&word, 4), 4, "four are known of; the news can wait");
    assert_eq!(producer.room(&word, 5), 8);
}

#[test]
fn a_ring_met_half_full_goes_on_from_there() {
    let (produced, consumed) = (AtomicU32::new(10), AtomicU32::new(7));
    let mut producer = Producer::new(10, 7, 4);
    let mut consumer = Consumer::new(10, 7, 4);
    assert_eq!(producer.room(&consumed, 4), 1);
    assert_eq!(consumer.available(&produced, 4), 3);
    assert_eq!((producer.index(0), consumer.index(0)), (10, 7));
}
