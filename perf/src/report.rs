//! What a run found: a table for people, one JSON object for everything else, both of the same numbers.

use std::{
    fmt::{self, Display, Formatter},
    fs, io,
    path::Path,
};

use serde::Serialize;

use crate::{
    machine::Origin,
    series::{Check, Series, Target},
};

/// Width of the first column.
const NAME: usize = 52;

/// Everything one run found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was run, in a sentence.
    pub title: &'static str,
    /// Where and of what.
    pub origin: Origin,
    /// How many rounds were asked for.
    pub rounds: u32,
    /// The measurements.
    pub series: Vec<Series>,
    /// What they are held to.
    pub checks: Vec<Check>,
    /// What a reader must know to read them right.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub notes: &'static [&'static str],
}

impl Report {
    /// Writes the JSON to a file, for later comparison.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Origin { processor, cores, kernel, load_average, commit, .. } = &self.origin;
        writeln!(f, "{}", self.title)?;
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, load {load_average}, commit {commit}")?;
        writeln!(f)?;
        writeln!(f, "{:NAME$} {:>10} {:>10} {:>10} {:>8}", "", "median", "lowest", "highest", "spread")?;
        for series in &self.series {
            writeln!(f, "{}", line(series))?;
        }
        writeln!(f)?;
        for check in &self.checks {
            let verdict = match check.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "not measured",
            };
            let target = match check.target {
                Target::AtLeast(bound) => format!("at least {bound}"),
                Target::AtMost(bound) => format!("at most {bound}"),
            };
            writeln!(f, "{}   {target}: {verdict}", line(&check.series))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn line(series: &Series) -> String {
    let Series { name, unit, median, low, high, skipped, .. } = series;
    let label = if unit.is_empty() { name.clone() } else { format!("{name}, {unit}") };
    match (median, low, high, skipped) {
        (Some(median), Some(low), Some(high), None) => {
            let spread = series.spread().unwrap_or_default() * 100.0;
            format!("{label:NAME$} {median:>10.3} {low:>10.3} {high:>10.3} {spread:>6.1} %")
        }
        (.., why) => format!("{label:NAME$} skipped: {}", why.as_deref().unwrap_or("no round was measured")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_medians_targets_and_what_was_skipped() {
        let origin = Origin {
            processor: "A processor".to_owned(),
            cores: 2,
            kernel: "6.18".to_owned(),
            load_average: "0.00 0.00 0.00".to_owned(),
            command: "podlane-perf veth".to_owned(),
            commit: "abc".to_owned(),
            unix_time: 0,
        };
        let (one, other) =
            (Series::new("one", "Mpps", vec![2.0]), Series::skipped("other", "Mpps", "absent".to_owned()));
        let checks = vec![
            Check::ratio("one / one", &one, &one, Target::AtLeast(0.95)),
            Check::ratio("one / other", &one, &other, Target::AtLeast(1.15)),
        ];
        let text =
            Report { title: "A run", origin, rounds: 1, series: vec![one, other], checks, notes: &["Read it so."] }
                .to_string();
        let words: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            words,
            [
                "A run",
                "A processor, 2 cores, Linux 6.18, load 0.00 0.00 0.00, commit abc",
                "",
                "median lowest highest spread",
                "one, Mpps 2.000 2.000 2.000 0.0 %",
                "other, Mpps skipped: absent",
                "",
                "one / one 1.000 1.000 1.000 0.0 % at least 0.95: met",
                "one / other skipped: other was not measured at least 1.15: not measured",
                "Read it so.",
            ]
        );
    }
}
