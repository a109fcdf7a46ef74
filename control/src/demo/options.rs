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
    /// 1: three pods on one switch; 2: an overlay between two switches and a plain Linux kernel
    #[arg(long, value_name = "N", default_value = "1")]
    pub nodes: Nodes,
    /// The core of the switch's worker, with two nodes of the first one's [default: the last]
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Stay up after the table, until Ctrl-C or SIGTERM
    #[arg(long)]
    pub keep: bool,
}

/// How many nodes the demo is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nodes {
    /// One switch.
    #[default]
    One,
    /// Two switches, and a kernel that is no Podlane, on one underlay.
    Two,
}

/// A number of nodes there is no demo of.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a number of nodes that there is a demo of: say 1, or 2 for the overlay")]
pub struct NodesError(String);

impl FromStr for Nodes {
    type Err = NodesError;

    fn from_str(text: &str) -> Result<Self, NodesError> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            other => Err(NodesError(other.to_owned())),
        }
    }
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
    fn there_is_a_demo_of_one_node_and_one_of_two() {
        assert_eq!([("1", Nodes::One), ("2", Nodes::Two)].map(|(text, nodes)| text.parse() == Ok(nodes)), [true; 2]);
        for refused in ["0", "3", "two", "-1", ""] {
            assert_eq!(refused.parse::<Nodes>(), Err(NodesError(refused.to_owned())));
        }
    }

    #[test]
    fn seconds_that_make_no_demo_are_refused() {
        for refused in ["0", "-1", "nan", "inf", "3601", "four", ""] {
            assert_eq!(refused.parse::<Seconds>(), Err(SecondsError(refused.to_owned())));
        }
    }
}
