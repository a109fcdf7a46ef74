//! How the benches take time: criterion, set up alike for all of them, and samples kept beside it.
//!
//! Criterion gives its figures to its own report only; what is compared with a target is collected here.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use criterion::Criterion;
use podlane_dataplane::burst::BURST;

/// Criterion as all benches use it: a few seconds a case, `--quick` and the other arguments as it knows them.
#[must_use]
pub fn configured() -> Criterion {
    Criterion::default()
        .sample_size(60)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// Bursts of one sample: some hundred microseconds, so that on a machine with other work most samples are whole and only
/// the slowest were interrupted. The clock's own time is a thousandth of it.
const CHUNK: u64 = 128;

/// Samples of one measurement, nanoseconds a packet.
#[derive(Default)]
pub struct Samples(RefCell<Vec<f64>>);

impl Samples {
    /// Has so many bursts done, rounded up to whole samples, notes what each sample took, and returns how long that many
    /// bursts took.
    pub fn take(&self, bursts: u64, mut work: impl FnMut(u64)) -> Duration {
        let samples = bursts.div_ceil(CHUNK);
        let mut took = Duration::ZERO;
        for _ in 0..samples {
            let start = Instant::now();
            work(CHUNK);
            let sample = start.elapsed();
            let packets = (CHUNK * BURST as u64) as f64;
            self.0.borrow_mut().push(sample.as_nanos() as f64 / packets);
            took += sample;
        }
        took.mul_f64(bursts as f64 / (samples * CHUNK).max(1) as f64)
    }

    /// The sample that this share of all samples is below; 0 if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.borrow().clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len().saturating_sub(1)) as f64 * share;
        sorted.get(at.round() as usize).copied().unwrap_or_default()
    }

    /// The medians of so many equal parts, in the order of time.
    #[must_use]
    pub fn rounds(&self, parts: usize) -> Vec<f64> {
        let all = self.0.borrow();
        let part = |samples: &[f64]| Self(RefCell::new(samples.to_vec())).quantile(0.5);
        all.chunks_exact((all.len() / parts.max(1)).max(1)).take(parts).map(part).collect()
    }

    /// Whether nothing was measured, because the case was filtered out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_medians_of_equal_parts_in_the_order_of_time() {
        let samples = Samples(RefCell::new(vec![1.0, 9.0, 1.0, 2.0, 2.0, 7.0, 3.0, 3.0, 3.0, 100.0]));
        assert_eq!(samples.rounds(3), [1.0, 2.0, 3.0]);
        assert_eq!(samples.rounds(100).len(), 10);
        assert!(Samples::default().rounds(3).is_empty());
    }
}
