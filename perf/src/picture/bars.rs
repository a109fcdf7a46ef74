//! The picture of things side by side: a bar a thing, a whisker from the slowest to the fastest round, a mark where its target is.

use crate::{
    picture::{
        LIMIT,
        scale::{Scale, figure, tick},
        svg::{Anchor, LETTER, Svg, shortened},
    },
    series::{Check, Series, Target},
};

/// Width of the page, pixels, and where bars end on it.
const WIDTH: f64 = 860.0;
const RIGHT: f64 = 780.0;
/// Letters of the longest name there is room for.
const LETTERS: usize = 62;
/// Where the first bar is, how thick bars are and how far apart.
const TOP: f64 = 48.0;
const THICK: f64 = 14.0;
const EACH: f64 = 24.0;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar<'a> {
    name: &'a str,
    median: f64,
    low: f64,
    high: f64,
    target: Option<Target>,
}

impl<'a> Bar<'a> {
    /// The bar of a series; `None` if it was skipped.
    #[must_use]
    pub(super) fn of(series: &'a Series) -> Option<Self> {
        let Series { name, median, low, high, .. } = series;
        Some(Self { name, median: (*median)?, low: (*low)?, high: (*high)?, target: None })
    }

    /// The bar of a check, with its target.
    #[must_use]
    pub(super) fn held(check: &'a Check) -> Option<Self> {
        Some(Self { target: Some(check.target), ..Self::of(&check.series)? })
    }
}

/// The picture of these bars, which are in one unit.
#[must_use]
pub(super) fn draw(bars: &[Bar<'_>], unit: &str, title: &str) -> String {
    let bottom = TOP + bars.len() as f64 * EACH;
    let mut page = Svg::new((WIDTH, bottom + 44.0), title);
    let targets = bars.iter().filter_map(|bar| bar.target.map(bound));
    // What the load itself can do may lie beyond the page, lest it make all others small.
    let switches = bars.iter().filter(|bar| !bar.name.starts_with(LIMIT));
    let scale = Scale::even(switches.map(|bar| bar.high).chain(targets));
    let left = left(bars);
    let x = |value: f64| left + scale.place(value).clamp(0.0, 1.0) * (RIGHT - left);
    for value in scale.ticks() {
        page.line("grid", (x(value), TOP - 4.0), (x(value), bottom));
        page.text("small", (x(value), bottom + 14.0), Anchor::Middle, &tick(value));
    }
    page.text("small", (RIGHT, bottom + 32.0), Anchor::End, &caption(bars, unit));
    for (at, bar) in bars.iter().enumerate() {
        let (top, middle) = (TOP + at as f64 * EACH, TOP + at as f64 * EACH + THICK / 2.0);
        page.text("", (left - 10.0, middle + 4.5), Anchor::End, &shortened(bar.name, LETTERS));
        // Ours in our colour, others in another.
        let colour = if bar.target.is_some() || bar.name.starts_with("podlane") { 0 } else { 5 };
        page.bar(colour, (left, top), (x(bar.median) - left, THICK));
        let beyond = scale.place(bar.median) > 1.0;
        if !beyond {
            page.whisker("spread", (x(bar.low), middle), (x(bar.high), middle));
        }
        if let Some(target) = bar.target {
            mark(&mut page, x(bound(target)), top);
        }
        let far = bar.target.map_or(bar.high, |target| bar.high.max(bound(target)));
        let number = figure(bar.median);
        let number = if beyond { format!("→ {number}") } else { number };
        page.text("small", (x(far) + 8.0, middle + 4.0), Anchor::Start, &number);
    }
    page.finish()
}

/// Where the bars begin: behind the longest name.
fn left(bars: &[Bar<'_>]) -> f64 {
    let longest = bars.iter().map(|bar| bar.name.chars().count().min(LETTERS)).max().unwrap_or_default();
    26.0 + longest as f64 * LETTER
}

fn mark(page: &mut Svg, x: f64, top: f64) {
    page.line("mark", (x, top - 3.0), (x, top + THICK + 3.0));
}

const fn bound(target: Target) -> f64 {
    match target {
        Target::AtLeast(bound) | Target::AtMost(bound) => bound,
    }
}

fn caption(bars: &[Bar<'_>], unit: &str) -> String {
    let what = if unit.is_empty() { "ratio" } else { unit };
    let target = if bars.iter().any(|bar| bar.target.is_some()) { "; upright: the target" } else { "" };
    format!("{what}: median, lowest and highest round{target}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_names_whiskers_and_targets() {
        let (fast, slow) = (Series::new("podlane", "", vec![2.0, 2.2]), Series::new("other", "", vec![1.0, 1.1]));
        let check = Check::ratio("podlane / other", &fast, &slow, Target::AtLeast(1.5));
        let bars: Vec<Bar<'_>> = [Bar::of(&fast), Bar::of(&slow), Bar::held(&check)].into_iter().flatten().collect();
        let text = draw(&bars, "", "Side by side");
        assert_eq!(
            (text.matches("class=\"bar f0\"").count(), text.matches("class=\"bar f5\"").count()),
            (2, 1),
            "{text}"
        );
        assert_eq!(text.matches("class=\"spread\"").count(), 3 * 3, "{text}");
        assert_eq!(text.matches("class=\"mark\"").count(), 1, "{text}");
        for word in [">podlane<", ">other<", ">podlane / other<", ">2.100<", "upright: the target"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn what_the_generator_can_do_does_not_make_the_switches_small() {
        let (limit, switch) =
            (Series::new("generator's own limit", "Mpps", vec![10.0]), Series::new("podlane", "Mpps", vec![2.0]));
        let bars: Vec<Bar<'_>> = [&limit, &switch].into_iter().filter_map(Bar::of).collect();
        let text = draw(&bars, "Mpps", "Rates");
        let full = RIGHT - left(&bars);
        assert_eq!(text.matches(&format!("width=\"{full:.1}\"")).count(), 2, "{text}");
        assert!(text.contains(">→ 10.0<"), "{text}");
    }

    #[test]
    fn what_was_skipped_has_no_bar() {
        assert_eq!(Bar::of(&Series::skipped("other", "", "absent".to_owned())), None);
    }
}
