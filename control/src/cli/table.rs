//! Columns that line up: words to the left, numbers to the right, two spaces between.

use std::fmt;

use anstyle::Style;

use crate::paint::Paint;

/// A cell: text and how it is set.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text that is set somehow.
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// Text, or a dash in its place.
    pub(super) fn or_dash(text: Option<impl ToString>) -> Self {
        text.map_or_else(|| "-".into(), |text| text.to_string().into())
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, style: Style::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// To which side a column leans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lean {
    Left,
    Right,
}

/// A table of `N` columns.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [(&'static str, Lean); N],
    rows: Vec<[Cell; N]>,
    head: Style,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(super) fn new(columns: [(&'static str, Lean); N], paint: Paint) -> Self {
        Self { columns, rows: Vec::new(), head: paint.strong }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.columns.map(|(title, _)| Cell::styled(title, self.head));
        let mut widths = [0; N];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }
        for row in std::iter::once(&head).chain(&self.rows) {
            for (index, ((cell, width), (_, lean))) in row.iter().zip(widths).zip(self.columns).enumerate() {
                let gap = if index == 0 { "" } else { "  " };
                let padding = width - cell.width();
                // The last column of words needs no padding, and none means no trailing space.
                let (before, after) = match lean {
                    Lean::Right => (padding, 0),
                    Lean::Left if index + 1 == N => (0, 0),
                    Lean::Left => (0, padding),
                };
                let Cell { text, style } = cell;
                write!(f, "{gap}{:before$}{style}{text}{style:#}{:after$}", "", "")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
