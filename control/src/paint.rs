//! Colour, where a terminal is and `NO_COLOR` is not; everywhere else the same text without it.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// The ways text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Headings.
    pub(crate) strong: Style,
    /// As it should be.
    pub(crate) good: Style,
    /// Not so, but not wrong either.
    pub(crate) odd: Style,
    /// Wrong.
    pub(crate) bad: Style,
    /// What may be overlooked.
    pub(crate) faint: Style,
}

impl Paint {
    /// No colour at all.
    pub(crate) const PLAIN: Self =
        Self { strong: Style::new(), good: Style::new(), odd: Style::new(), bad: Style::new(), faint: Style::new() };

    /// Colour for a terminal.
    pub(crate) const COLOURED: Self = Self {
        strong: Style::new().bold(),
        good: AnsiColor::Green.on_default(),
        odd: AnsiColor::Yellow.on_default(),
        bad: AnsiColor::Red.on_default().bold(),
        faint: Style::new().dimmed(),
    };

    /// What suits a stream.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        if wants_colour(stream) { Self::COLOURED } else { Self::PLAIN }
    }
}

/// Whether a stream should get colour (<https://no-color.org>).
pub(crate) fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
