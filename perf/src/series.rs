//! Numbers of several rounds, and what they are held to.
//!
//! A single number from a shared machine says little, so each is a median of rounds with its lowest and highest. A ratio is taken
//! within each round first, because what slows the machine in a round slows both of its sides.

use serde::Serialize;

/// One thing measured, a number a round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// What was measured.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// By round; a round that was skipped is not here.
    pub samples: Vec<f64>,
    /// The middle one, if there is any.
    pub median: Option<f64>,
    /// The lowest.
    pub low: Option<f64>,
    /// The highest.
    pub high: Option<f64>,
    /// Why it was not measured.
    pub skipped: Option<String>,
}

impl Series {
    /// A series of these samples.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            name: name.into(),
            unit,
            median: middle(&sorted),
            low: sorted.first().copied(),
            high: sorted.last().copied(),
            samples,
            skipped: None,
        }
    }

    /// A series that could not be measured.
    #[must_use]
    pub fn skipped(name: impl Into<String>, unit: &'static str, why: String) -> Self {
        Self { skipped: Some(why), ..Self::new(name, unit, Vec::new()) }
    }

    /// This over another, round by round; nothing where the rounds differ.
    #[must_use]
    pub fn over(&self, other: &Self) -> Vec<f64> {
        if self.samples.len() != other.samples.len() {
            return Vec::new();
        }
        self.samples.iter().zip(&other.samples).map(|(mine, theirs)| mine / theirs).collect()
    }

    /// Lowest to highest, as a share of the median, if that is not zero.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let median = self.median.filter(|median| *median != 0.0)?;
        Some((self.high? - self.low?) / median.abs())
    }
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted {
        [] => None,
        _ if sorted.len() % 2 == 1 => Some(sorted[half]),
        _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
    }
}

/// What a series is to keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// A series, held to its target by its median.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was measured.
    #[serde(flatten)]
    pub series: Series,
    /// What it is to keep.
    pub target: Target,
    /// Whether it does; `None` when it was not measured.
    pub met: Option<bool>,
}

impl Check {
    /// Holds a series to a target.
    #[must_use]
    pub fn new(series: Series, target: Target) -> Self {
        let met = series.median.map(|median| match target {
            Target::AtLeast(bound) => median >= bound,
            Target::AtMost(bound) => median <= bound,
        });
        Self { series, target, met }
    }

    /// Holds the ratio of two series to a target.
    #[must_use]
    pub fn ratio(name: &str, of: &Series, to: &Series, target: Target) -> Self {
        let samples = of.over(to);
        if samples.is_empty() {
            let missing = if of.samples.is_empty() { of } else { to };
            let why = format!("{} was not measured", missing.name);
            return Self::new(Series::skipped(name, "", why), target);
        }
        Self::new(Series::new(name, "", samples), target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_knows_its_middle_and_its_ends() {
        let odd = Series::new("odd", "Mpps", vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.low, odd.high, odd.spread()), (Some(2.0), Some(1.0), Some(3.0), Some(1.0)));
        assert_eq!(Series::new("even", "Mpps", vec![4.0, 1.0, 2.0, 3.0]).median, Some(2.5));
        assert_eq!(Series::new("none", "Mpps", vec![]).median, None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The second round was half as fast for both: the ratio does not see it.
        let (slow, fast) = (Series::new("slow", "", vec![1.0, 0.5]), Series::new("fast", "", vec![2.0, 1.0]));
        let check = Check::ratio("slow / fast", &slow, &fast, Target::AtLeast(0.5));
        assert_eq!((check.series.samples.as_slice(), check.met), ([0.5, 0.5].as_slice(), Some(true)));
        assert_eq!(Check::ratio("slow / fast", &slow, &fast, Target::AtMost(0.4)).met, Some(false));
    }

    #[test]
    fn a_ratio_to_what_was_skipped_is_skipped_by_name() {
        let measured = Series::new("one", "", vec![1.0]);
        let skipped = Series::skipped("other", "", "not installed".to_owned());
        let check = Check::ratio("one / other", &measured, &skipped, Target::AtLeast(1.0));
        assert_eq!((check.met, check.series.skipped.as_deref()), (None, Some("other was not measured")));
    }
}
