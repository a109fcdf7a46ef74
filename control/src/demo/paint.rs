//! Colours, and numbers as people read them.
//!
//! Colour only goes where a terminal is and `NO_COLOR` is not; everything else gets the same text
//! without it.

use std::env;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

/// The four ways text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Headings and names.
    pub(crate) strong: Style,
    /// What is as it should be.
    pub(crate) good: Style,
    /// What is not.
    pub(crate) bad: Style,
    /// What may be overlooked.
    pub(crate) faint: Style,
}

impl Paint {
    /// No colour at all.
    pub(crate) const PLAIN: Self =
        Self { strong: Style::new(), good: Style::new(), bad: Style::new(), faint: Style::new() };

    /// Colour for a terminal.
    pub(crate) const COLOURED: Self = Self {
        strong: Style::new().bold(),
        good: AnsiColor::Green.on_default().bold(),
        bad: AnsiColor::Red.on_default().bold(),
        faint: Style::new().dimmed(),
    };

    /// What suits a stream.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !unwanted { Self::COLOURED } else { Self::PLAIN }
    }
}

/// A count with a comma at every third digit.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Packets per second, in the unit that leaves three digits.
pub(crate) fn packets(per_second: f64) -> String {
    if per_second >= 1e6 { format!("{:.2} Mpps", per_second / 1e6) } else { format!("{:.0} kpps", per_second / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three_digits() {
        let spelt: Vec<String> = [0, 12, 999, 1000, 123_456, 1_234_567].map(count).into();
        assert_eq!(spelt, ["0", "12", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn packet_rates_choose_their_unit() {
        assert_eq!([packets(1_923_000.0), packets(84_400.0)], ["1.92 Mpps", "84 kpps"]);
    }
}
