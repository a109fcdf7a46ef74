//! What `podlane demo` can be asked.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

/// The options of `podlane demo`.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Seconds for each of the three groups of steps: echo, TCP, UDP
    #[arg(long, value_name = "N", default_value = "4")]
    pub seconds: Seconds,
    /// The core of the switch's worker [default: the last]
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Stay up after the table, until Ctrl-C or SIGTERM
    #[arg(long)]
    pub keep: bool,
}

/// A length of time between a tenth of a second and an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(Duration);

impl Default for Seconds {
    /// Four: with three groups, and what surrounds them, a run stays below fifteen.
    fn default() -> Self {
        Self(Duration::from_secs(4))
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

/// A number of seconds the demo does not take.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a number of seconds between 0.1 and 3600")]
pub struct SecondsError(String);

impl FromStr for Seconds {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let seconds: Option<f64> = text.parse().ok();
        seconds
            .filter(|seconds| (0.1..=3600.0).contains(seconds))
            .map(|seconds| Self(Duration::from_secs_f64(seconds)))
            .ok_or_else(|| SecondsError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_broken() {
        assert_eq!("0.5".parse(), Ok(Seconds(Duration::from_millis(500))));
    }

    #[test]
    fn seconds_that_make_no_demo_are_refused() {
        for refused in ["0", "-1", "nan", "inf", "3601", "four", ""] {
            assert_eq!(refused.parse::<Seconds>(), Err(SecondsError(refused.to_owned())));
        }
    }
}
