//! What a run found: a table for people, one JSON object for everything else, both of the same numbers.
//!
//! The object is the one form in which results are stored (`perf/results/*.json`), whatever was measured; `podlane-perf report` reads
//! nothing else. `perf/results/README.md` describes it for readers of other programs.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    machine::Origin,
    series::{Check, Series},
};

/// The version of the form. It changes when a reader of the one before would misread.
pub const FORMAT: u32 = 1;

/// Width of the first column, at least.
const NAME: usize = 52;

/// Everything one run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form, [`FORMAT`].
    pub format: u32,
    /// What was run, in a sentence.
    pub title: Cow<'static, str>,
    /// Where and of what.
    pub origin: Origin,
    /// How many rounds were asked for.
    pub rounds: u32,
    /// The measurements.
    pub series: Vec<Series>,
    /// What they are held to.
    pub checks: Vec<Check>,
    /// What a reader must know to read them right.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub notes: Vec<Cow<'static, str>>,
}

/// Why a stored result cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is none, or it cannot be read.
    #[error("cannot read {}: {source}; `perf/measure` makes it", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It is not a result.
    #[error("{} is not a stored result: {source}; measure it again (`perf/measure`)", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{} is stored in format {found}, and this program reads {FORMAT}; measure it again (`perf/measure`)", .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format; 0 is from before there were versions.
        found: u32,
    },
}

/// What every version of the form has.
#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    format: u32,
}

impl Report {
    /// A report of nothing yet: to be completed with what was measured.
    #[must_use]
    pub fn new(title: impl Into<Cow<'static, str>>, origin: Origin, rounds: u32) -> Self {
        Self {
            format: FORMAT,
            title: title.into(),
            origin,
            rounds,
            series: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The same, with notes.
    #[must_use]
    pub fn noted(self, notes: &'static [&'static str]) -> Self {
        Self { notes: notes.iter().copied().map(Cow::Borrowed).collect(), ..self }
    }

    /// Reads what [`Report::store`] wrote.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = fs::read_to_string(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
        let malformed = |source| ReadError::Malformed { path: path.to_owned(), source };
        let Version { format: found } = serde_json::from_str(&text).map_err(malformed)?;
        if found != FORMAT {
            return Err(ReadError::Format { path: path.to_owned(), found });
        }
        serde_json::from_str(&text).map_err(malformed)
    }

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
        let Origin { processor, cores, kernel, load_average, commit, build, .. } = &self.origin;
        writeln!(f, "{}", self.title)?;
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, load {load_average}, commit {commit}, {build} build")?;
        if build == "debug" {
            writeln!(f, "Of a debug build no figure says anything of speed: cargo build --release -p podlane-perf")?;
        }
        writeln!(f)?;
        let lines = self.series.iter().chain(self.checks.iter().map(|check| &check.series));
        let width = lines.map(|series| series.label().len()).fold(NAME, usize::max);
        writeln!(f, "{:width$} {:>10} {:>10} {:>10} {:>8}", "", "median", "lowest", "highest", "spread")?;
        for series in &self.series {
            writeln!(f, "{}", line(series, width))?;
        }
        writeln!(f)?;
        for check in &self.checks {
            let verdict = match check.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "not measured",
            };
            writeln!(f, "{}   {}: {verdict}", line(&check.series, width), check.target)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

fn line(series: &Series, width: usize) -> String {
    let Series { median, low, high, skipped, .. } = series;
    let label = series.label();
    match (median, low, high, skipped) {
        (Some(median), Some(low), Some(high), None) => {
            let spread = series.spread().unwrap_or_default() * 100.0;
            format!("{label:width$} {median:>10.3} {low:>10.3} {high:>10.3} {spread:>6.1} %")
        }
        (.., why) => format!("{label:width$} skipped: {}", why.as_deref().unwrap_or("no round was measured")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Axis, Target};

    fn example() -> Report {
        let origin = Origin {
            processor: "A processor".to_owned(),
            cores: 2,
            kernel: "6.18".to_owned(),
            load_average: "0.00 0.00 0.00".to_owned(),
            command: "podlane-perf compare".to_owned(),
            commit: "abc".to_owned(),
            build: Cow::Borrowed("release"),
            unix_time: 0,
        };
        let (one, other) =
            (Series::new("one", "Mpps", vec![2.0]), Series::skipped("other", "Mpps", "absent".to_owned()));
        let checks = vec![
            Check::ratio("one / one", &one, &one, Target::AtLeast(0.95)),
            Check::ratio("one / other", &one, &other, Target::AtLeast(1.15)),
        ];
        let point = Series::new("swept", "Mpps", vec![1.0, 3.0]).at(Axis::FrameSize, 64.0);
        Report { series: vec![one, other, point], checks, ..Report::new("A run", origin, 1) }.noted(&["Read it so."])
    }

    #[test]
    fn the_table_tells_medians_targets_and_what_was_skipped() {
        let text = example().to_string();
        let words: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            words,
            [
                "A run",
                "A processor, 2 cores, Linux 6.18, load 0.00 0.00 0.00, commit abc, release build",
                "",
                "median lowest highest spread",
                "one, Mpps 2.000 2.000 2.000 0.0 %",
                "other, Mpps skipped: absent",
                "swept, 64 bytes, Mpps 2.000 1.000 3.000 100.0 %",
                "",
                "one / one 1.000 1.000 1.000 0.0 % at least 0.95: met",
                "one / other skipped: other was not measured at least 1.15: not measured",
                "Read it so.",
            ]
        );
    }

    /// A file of this name for one test.
    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("podlane-perf-report-{}-{name}.json", std::process::id()))
    }

    #[test]
    fn what_was_stored_is_read_back() {
        let path = file("stored");
        example().store(&path).unwrap();
        let read = Report::read(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), example());
    }

    #[test]
    fn a_result_of_another_format_is_refused_by_its_file_and_with_a_remedy() {
        let path = file("old");
        fs::write(&path, r#"{"title": "from before there were versions"}"#).unwrap();
        let refused = Report::read(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        let file = path.display();
        assert_eq!(
            refused,
            format!("{file} is stored in format 0, and this program reads 1; measure it again (`perf/measure`)")
        );
        let absent = Report::read(&path).unwrap_err().to_string();
        assert!(absent.starts_with(&format!("cannot read {file}")) && absent.ends_with("makes it"), "{absent}");
    }
}
