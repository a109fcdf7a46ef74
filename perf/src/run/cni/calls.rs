//! What calls took that were made one after the other.

use std::time::Duration;

use super::{Figure, ms};

/// What the calls of a round took, ms.
#[derive(Default)]
pub(super) struct Calls {
    add: Vec<f64>,
    del: Vec<f64>,
    gone: Vec<f64>,
}

impl Calls {
    /// An ADD and its DEL: how long each took, and how long until the link was gone.
    pub(super) fn push(&mut self, [add, del, gone]: [Duration; 3]) {
        self.add.push(ms(add));
        self.del.push(ms(del));
        self.gone.push(ms(gone));
    }

    /// What is told of them.
    pub(super) fn sum_up(&self) -> impl Iterator<Item = (Figure, f64)> {
        [
            (Figure::AddMedian, &self.add, 0.5),
            (Figure::AddTail, &self.add, 0.99),
            (Figure::DelMedian, &self.del, 0.5),
            (Figure::DelTail, &self.del, 0.99),
            (Figure::GoneMedian, &self.gone, 0.5),
        ]
        .into_iter()
        .filter_map(|(figure, took, share)| Some((figure, quantile(took, share)?)))
    }
}

/// By the nearest rank.
fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99)), (Some(50.0), Some(99.0)));
        assert_eq!((quantile(&[3.0], 0.99), quantile(&[], 0.5)), (Some(3.0), None));
    }
}
