//! A run as it goes on, for whoever watches: one line a second. On a terminal the line is written over itself.

use std::{
    fmt::{self, Display, Formatter},
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::{gauge::Glance, pace::Packets};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Between two looks at whether the run is over.
const LOOK: Duration = Duration::from_millis(20);

/// Which half of a run is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The sender.
    Sending,
    /// The receiver.
    Receiving,
    /// Both.
    Both,
}

/// What changed between two glances.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    half: Half,
    /// Since the run began.
    at: Duration,
    /// Between the glances.
    within: Duration,
    before: Glance,
    now: Glance,
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { half, at, within, before, now } = self;
        let rate = |before: u64, now: u64| Packets(now.saturating_sub(before) as f64 / within.as_secs_f64().max(1e-9));
        write!(f, "{:>4.0} s", at.as_secs_f64())?;
        if *half != Half::Receiving {
            write!(f, "  sent {}", rate(before.sent, now.sent))?;
        }
        if *half != Half::Sending {
            write!(f, "  arrived {}  missing {}", rate(before.whole, now.whole), now.missing())?;
            let counts = [("reordered", now.reordered), ("duplicated", now.duplicated), ("corrupted", now.corrupted)];
            let found = counts.into_iter().filter(|(_, packets)| *packets > 0);
            found.into_iter().try_for_each(|(name, packets)| write!(f, "  {name} {packets}"))?;
        }
        if now.late > 0 {
            write!(f, "  late {}", now.late)?;
        }
        Ok(())
    }
}

/// Shows a run on standard error until it is over.
pub fn watch(half: Half, glance: impl Fn() -> Glance, is_over: impl Fn() -> bool) {
    let mut out = io::stderr();
    let terminal = out.is_terminal();
    let (begun, mut last, mut before) = (Instant::now(), Instant::now(), Glance::default());
    let mut shown = false;
    while !is_over() {
        std::thread::sleep(LOOK);
        if last.elapsed() < EVERY {
            continue;
        }
        let now = glance();
        let line = Line { half, at: begun.elapsed(), within: last.elapsed(), before, now };
        // Nobody is left to tell when standard error is closed.
        let _ = if terminal { write!(out, "\r{line}\x1b[K") } else { writeln!(out, "{line}") };
        (last, before, shown) = (Instant::now(), now, true);
    }
    if terminal && shown {
        let _ = writeln!(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rates_since_the_last_one_and_what_went_wrong_so_far() {
        let before = Glance { sent: 1_000_000, whole: 1_000_000, next: 1_000_000, ..Glance::default() };
        let now =
            Glance { sent: 1_500_000, whole: 1_499_000, next: 1_500_000, duplicated: 3, late: 7, ..Glance::default() };
        let line = |half| {
            let within = Duration::from_millis(500);
            Line { half, at: Duration::from_secs(2), within, before, now }.to_string()
        };
        assert_eq!(
            line(Half::Both),
            "   2 s  sent 1.000 Mpps  arrived 998.000 kpps  missing 1000  duplicated 3  late 7"
        );
        assert_eq!(line(Half::Sending), "   2 s  sent 1.000 Mpps  late 7");
        assert_eq!(line(Half::Receiving), "   2 s  arrived 998.000 kpps  missing 1000  duplicated 3  late 7");
    }
}
