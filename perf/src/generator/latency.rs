//! What is told of latencies: percentiles, each only of so many packets that one of them was slower.

use std::fmt::{self, Display, Formatter};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies in nanoseconds, from when each packet should have left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The lowest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// Half are below.
    pub p50_ns: Option<u64>,
    /// Nine of ten are below.
    pub p90_ns: Option<u64>,
    /// 99 of a hundred are below.
    pub p99_ns: Option<u64>,
    /// 999 of a thousand are below.
    pub p999_ns: Option<u64>,
    /// All but one of ten thousand are below.
    pub p9999_ns: Option<u64>,
    /// The highest.
    pub max_ns: u64,
}

impl Latency {
    /// Of what was collected, if anything was.
    #[must_use]
    pub fn of(latencies: &Histogram<u64>) -> Option<Self> {
        let at = |share| quantile(latencies, share);
        (!latencies.is_empty()).then(|| Self {
            min_ns: latencies.min(),
            mean_ns: latencies.mean(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: latencies.max(),
        })
    }
}

impl Display for Latency {
    /// In microseconds; what cannot be told is left out.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, .. } = *self;
        let all = [
            ("min", Some(min_ns)),
            ("p50", p50_ns),
            ("p90", p90_ns),
            ("p99", p99_ns),
            ("p99.9", p999_ns),
            ("max", Some(max_ns)),
        ];
        let told = all.into_iter().filter_map(|(name, nanos)| Some((name, nanos?)));
        let mut separator = "";
        for (name, nanos) in told {
            write!(f, "{separator}{name} {:.1}", nanos as f64 / 1e3)?;
            separator = "  ";
        }
        Ok(())
    }
}

/// What this share of the packets stays below, nanoseconds; `None` of so few that it would be the slowest one under another name: a p99 takes
/// a hundred.
#[must_use]
pub fn quantile(latencies: &Histogram<u64>, share: f64) -> Option<u64> {
    // A share has no exact representation.
    let slower = latencies.len() as f64 * (1.0 - share) + 1e-6;
    (slower >= 1.0).then(|| latencies.value_at_quantile(share))
}

/// The same in microseconds.
#[must_use]
pub fn micros(latencies: &Histogram<u64>, share: f64) -> Option<f64> {
    quantile(latencies, share).map(|nanos| nanos as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(packets: u64) -> Histogram<u64> {
        let mut latencies = Histogram::new(3).unwrap();
        (1..=packets).for_each(|nanos| latencies.record(nanos).unwrap());
        latencies
    }

    #[test]
    fn a_percentile_is_told_of_so_many_packets_that_one_is_slower_and_not_of_fewer() {
        for (share, packets) in [(0.5, 2), (0.9, 10), (0.99, 100), (0.999, 1_000), (0.9999, 10_000)] {
            let told = [packets - 1, packets].map(|packets| quantile(&of(packets), share).is_some());
            assert_eq!(told, [false, true], "{share} of {packets}");
        }
        assert_eq!((quantile(&of(100), 0.99), micros(&of(100), 0.99)), (Some(99), Some(0.099)));
    }

    #[test]
    fn what_cannot_be_told_is_left_out_of_the_line() {
        assert_eq!(Latency::of(&of(0)), None);
        let line = |packets| Latency::of(&of(packets)).unwrap().to_string();
        assert_eq!(line(1), "min 0.0  max 0.0");
        assert_eq!(line(100), "min 0.0  p50 0.1  p90 0.1  p99 0.1  max 0.1");
    }
}
