//! Numbers of several rounds, and what they are held to.
//!
//! A single number from a shared machine says little, so each is a median of rounds with its lowest and highest. A ratio is taken
//! within each round first, because what slows the machine in a round slows both of its sides.
//!
//! A sweep is several series of one name, each [`at`](Series::at) another place of the same [`Axis`]: a row and a point of a curve are
//! written alike, and the report draws whatever has an axis.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
};

use serde::{Deserialize, Serialize};

/// What a sweep varies. A closed list, so that what is measured and what is drawn mean the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Bytes of a frame on a wire, its check sequence included (RFC 2544 section 9), even where a veth has none.
    FrameSize,
    /// What was asked of the generator, millions of packets a second.
    Offered,
    /// What was offered, per cent: of the rate at which nothing is lost for a latency, of the generator's limit for a loss.
    OfferedShare,
    /// Flows that cross in turns.
    Flows,
    /// Policies in force, or rules of whoever has no policies.
    Policies,
    /// Ports attached, the busy ones included.
    Ports,
    /// Workers, each on a core.
    Workers,
    /// Frames of one burst without a gap.
    Burst,
    /// MAC addresses that a switch was taught.
    Addresses,
}

impl Axis {
    /// What is varied, as a picture's axis says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameSize => "frame size",
            Self::Offered | Self::OfferedShare => "offered load",
            Self::Flows => "flows",
            Self::Policies => "policies",
            Self::Ports => "ports",
            Self::Workers => "workers",
            Self::Burst => "burst",
            Self::Addresses => "MAC addresses",
        }
    }

    /// In what; empty for a number of things that [`Axis::name`] says already.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::FrameSize => "bytes",
            Self::Offered => "Mpps",
            Self::OfferedShare => "%",
            Self::Burst => "frames",
            Self::Flows | Self::Policies | Self::Ports | Self::Workers | Self::Addresses => "",
        }
    }
}

/// A place on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// What is varied.
    pub axis: Axis,
    /// Its value here, in [`Axis::unit`].
    pub x: f64,
}

impl Display for At {
    /// `64 bytes`, `1000 flows`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unit = self.axis.unit();
        write!(f, "{} {}", self.x, if unit.is_empty() { self.axis.name() } else { unit })
    }
}

/// One thing measured, a number a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Series {
    /// What was measured. The points of one curve have one name.
    pub name: String,
    /// In what.
    pub unit: Cow<'static, str>,
    /// Where on a sweep, if it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
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

/// What is read of a stored series. Its median and ends are for other readers: they follow from the samples, so that no file can say
/// other ones.
#[derive(Deserialize)]
struct Stored {
    name: String,
    unit: Cow<'static, str>,
    at: Option<At>,
    samples: Vec<f64>,
    skipped: Option<String>,
}

impl From<Stored> for Series {
    fn from(Stored { name, unit, at, samples, skipped }: Stored) -> Self {
        Self { at, skipped, ..Self::new(name, unit, samples) }
    }
}

impl Series {
    /// A series of these samples.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: impl Into<Cow<'static, str>>, samples: Vec<f64>) -> Self {
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            name: name.into(),
            unit: unit.into(),
            at: None,
            median: middle(&sorted),
            low: sorted.first().copied(),
            high: sorted.last().copied(),
            samples,
            skipped: None,
        }
    }

    /// A series that could not be measured.
    #[must_use]
    pub fn skipped(name: impl Into<String>, unit: impl Into<Cow<'static, str>>, why: String) -> Self {
        Self { skipped: Some(why), ..Self::new(name, unit, Vec::new()) }
    }

    /// The same, as a point of a sweep.
    #[must_use]
    pub fn at(self, axis: Axis, x: f64) -> Self {
        Self { at: Some(At { axis, x }), ..self }
    }

    /// What to call it: the name, the place on the sweep and the unit.
    #[must_use]
    pub fn label(&self) -> String {
        let place = self.at.map(|at| format!(", {at}")).unwrap_or_default();
        let unit = if self.unit.is_empty() { String::new() } else { format!(", {}", self.unit) };
        format!("{}{place}{unit}", self.name)
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// A series, held to its target by its median.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    fn a_point_of_a_sweep_is_labelled_with_its_place() {
        let point = |axis, x| Series::new("podlane", "Mpps", vec![1.0]).at(axis, x).label();
        assert_eq!(point(Axis::FrameSize, 64.0), "podlane, 64 bytes, Mpps");
        assert_eq!(point(Axis::Flows, 1e6), "podlane, 1000000 flows, Mpps");
        assert_eq!(Series::new("ratio", "", vec![1.0]).label(), "ratio");
    }

    #[test]
    fn a_stored_median_is_not_believed_over_its_samples() {
        let text = r#"{"name": "one", "unit": "Mpps", "samples": [1.0, 3.0, 2.0], "median": 9.0, "low": 8.0, "high": 10.0, "skipped": null}"#;
        let read: Series = serde_json::from_str(text).unwrap();
        assert_eq!(read, Series::new("one", "Mpps", vec![1.0, 3.0, 2.0]));
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
