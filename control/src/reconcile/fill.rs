//! Whether the table of connections fills up, told before it is full: from then on new connections are dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use podlane_dataplane::flow::connections::Fill as Level;
use podlane_dataplane::stage::shared::Shared;

use super::board::Board;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);

/// Told of from here on, of a hundred. What is not established is forgotten ten times as fast from 87 on.
const HIGH: usize = 75;

/// Not told of any more from here on: between the two it stays as it was, so that a level near one of them is not told every second.
const LOW: usize = 70;

/// What the warning is about, on the board.
const SUBJECT: &str = "connections";

/// The connection table, watched.
pub(super) struct Fill {
    shared: Arc<Shared>,
    is_high: bool,
    looked: Instant,
}

impl Fill {
    /// That of these workers.
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), is_high: false, looked: Instant::now() }
    }

    /// Once a second, says on the board whether it fills up, and in the log when that begins and ends.
    pub(super) fn look(&mut self, board: &Board) {
        if self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        let level = self.shared.connections.fill();
        let was_high = self.is_high;
        self.is_high = is_high(was_high, &level);
        match (was_high, self.is_high) {
            (false, true) => tracing::warn!("{}", warning(&level)),
            (true, false) => tracing::info!(used = level.used, capacity = level.capacity, "room for connections again"),
            _ => {}
        }
        board.warn(SUBJECT, self.is_high.then(|| warning(&level)));
    }
}

fn is_high(was: bool, level: &Level) -> bool {
    let border = if was { LOW } else { HIGH };
    level.used * 100 >= level.capacity * border
}

fn warning(Level { used, opening, capacity }: &Level) -> String {
    format!(
        "the connection table holds {used} of {capacity} connections, {opening} of them not established; raise `connections` under \
         [policy], or look with `podlane connections` who opens so many"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_of_from_three_quarters_until_there_is_clearly_room() {
        let level = |used| Level { used, opening: 0, capacity: 1000 };
        assert_eq!([749, 750].map(|used| is_high(false, &level(used))), [false, true]);
        assert_eq!([700, 699].map(|used| is_high(true, &level(used))), [true, false]);
    }

    #[test]
    fn the_warning_tells_a_flood_from_a_crowd() {
        let warning = warning(&Level { used: 800, opening: 790, capacity: 1000 });
        assert!(warning.starts_with("the connection table holds 800 of 1000 connections, 790 of them not established"));
    }
}
