//! The addresses of one family that nobody has, as runs: a /64 of which none is given out is one entry.

use std::collections::BTreeMap;

/// A set of numbers, kept as runs that neither overlap nor touch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Free {
    /// First of a run -> its last.
    runs: BTreeMap<u128, u128>,
    /// How many there are; at most `u128::MAX`, which is one less than the addresses of IPv6.
    count: u128,
}

impl Free {
    pub(crate) fn count(&self) -> u128 {
        self.count
    }

    pub(crate) fn contains(&self, number: u128) -> bool {
        self.run_at(number).is_some()
    }

    /// The first at or after `from`, else the very first.
    pub(crate) fn next(&self, from: u128) -> Option<u128> {
        if self.contains(from) {
            return Some(from);
        }
        self.runs.range(from..).next().or_else(|| self.runs.first_key_value()).map(|(first, _)| *first)
    }

    /// Adds all from `first` to `last`, some of which may be there.
    pub(crate) fn add(&mut self, first: u128, last: u128) {
        self.remove(first, last);
        self.count = self.count.saturating_add((last - first).saturating_add(1));
        let before = first.checked_sub(1).and_then(|before| self.run_at(before));
        let after = last.checked_add(1).and_then(|after| self.run_at(after));
        let first = before.map_or(first, |(first, _)| first);
        let last = after.map_or(last, |(after, last)| {
            self.runs.remove(&after);
            last
        });
        self.runs.insert(first, last);
    }

    /// Removes all from `first` to `last`, of which some or none may be there.
    pub(crate) fn remove(&mut self, first: u128, last: u128) {
        if let Some((start, end)) = self.run_at(first)
            && start < first
        {
            self.runs.insert(start, first - 1);
            self.runs.insert(first, end);
        }
        while let Some((&start, &end)) = self.runs.range(first..=last).next() {
            self.runs.remove(&start);
            let gone = end.min(last);
            self.count -= (gone - start).saturating_add(1);
            if end > last {
                self.runs.insert(last + 1, end);
            }
        }
    }

    fn run_at(&self, number: u128) -> Option<(u128, u128)> {
        self.runs.range(..=number).next_back().map(|(first, last)| (*first, *last)).filter(|(_, last)| *last >= number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, u8),
        Remove(u8, u8),
        Next(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ends = || (any::<u8>(), 0_u8..20).prop_map(|(first, more)| (first, first.saturating_add(more)));
        prop_oneof![
            ends().prop_map(|(first, last)| Step::Add(first, last)),
            ends().prop_map(|(first, last)| Step::Remove(first, last)),
            any::<u8>().prop_map(Step::Next),
        ]
    }

    proptest! {
        #[test]
        fn runs_are_a_set_of_numbers(steps in prop::collection::vec(step(), 1..200)) {
            let mut free = Free::default();
            let mut naive = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(first, last) => {
                        free.add(first.into(), last.into());
                        naive.extend(first..=last);
                    }
                    Step::Remove(first, last) => {
                        free.remove(first.into(), last.into());
                        naive.retain(|number| !(first..=last).contains(number));
                    }
                    Step::Next(from) => {
                        let next = naive.range(from..).next().or_else(|| naive.first()).map(|next| u128::from(*next));
                        prop_assert_eq!(free.next(from.into()), next);
                    }
                }
                prop_assert_eq!(free.count(), naive.len() as u128);
                for number in 0..=u8::MAX {
                    prop_assert_eq!(free.contains(number.into()), naive.contains(&number));
                }
                let touching = free.runs.iter().zip(free.runs.keys().skip(1)).any(|((_, last), next)| last + 1 >= *next);
                prop_assert!(!touching, "{:?}", free.runs);
            }
        }
    }

    #[test]
    fn all_addresses_of_ipv6_fit() {
        let mut free = Free::default();
        free.add(0, u128::MAX);
        assert_eq!(free.count(), u128::MAX);
        free.remove(u128::MAX, u128::MAX);
        free.remove(0, 0);
        assert_eq!((free.next(0), free.next(u128::MAX)), (Some(1), Some(1)));
    }
}
