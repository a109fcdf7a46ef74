//! The picture of a sweep: a curve a name, a whisker from the slowest to the fastest round at each point.

use crate::{
    picture::{
        LIMIT,
        scale::{Scale, figure, tick},
        svg::{Anchor, Point, Svg, shortened, stroke},
    },
    series::{Axis, Series},
};

/// Size of the page, pixels.
const PAGE: Point = (760.0, 340.0);
/// Edges of the plot on it: left, top, right, bottom.
const PLOT: [f64; 4] = [64.0, 64.0, 520.0, 288.0];
/// Where the names stand, and how far apart.
const NAMES: Point = (548.0, 64.0);
const LINE: f64 = 20.0;
/// Letters of a name that fit beside the plot.
const LETTERS: usize = 29;

/// The curves of one axis and unit among the series of a result.
pub(super) struct Curves<'a> {
    /// What is varied.
    pub(super) axis: Axis,
    /// In what the curves are.
    pub(super) unit: &'a str,
    /// By name, ours first and else in the order of the result; points that were skipped are not there.
    curves: Vec<(&'a str, Vec<Measured>)>,
}

/// One point of a curve: its place, median, lowest and highest round.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    x: f64,
    median: f64,
    low: f64,
    high: f64,
}

impl<'a> Curves<'a> {
    /// The curves of this axis and unit; `None` if none has a point.
    #[must_use]
    pub(super) fn of(series: impl Iterator<Item = &'a Series>, axis: Axis, unit: &'a str) -> Option<Self> {
        let mut curves: Vec<(&str, Vec<Measured>)> = Vec::new();
        for one in series.filter(|series| series.unit == unit) {
            let Some(at) = one.at.filter(|at| at.axis == axis) else { continue };
            let (Some(median), Some(low), Some(high)) = (one.median, one.low, one.high) else { continue };
            let point = Measured { x: at.x, median, low, high };
            match curves.iter_mut().find(|(name, _)| *name == one.name) {
                Some((_, points)) => points.push(point),
                None => curves.push((&one.name, vec![point])),
            }
        }
        // Ours first, which gives them our colour; the load last.
        curves.sort_by_key(|(name, _)| (is_limit(name), !name.starts_with("podlane")));
        for (_, points) in &mut curves {
            points.sort_by(|one, other| one.x.total_cmp(&other.x));
        }
        (!curves.is_empty()).then_some(Self { axis, unit, curves })
    }

    /// Every place of any curve, in order.
    #[must_use]
    pub(super) fn places(&self) -> Vec<f64> {
        Scale::steps(self.points().map(|point| point.x)).ticks()
    }

    /// Each name with its median at each of [`Curves::places`].
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, Vec<Option<f64>>)> {
        let places = self.places();
        self.curves.iter().map(move |(name, points)| {
            let median = |x: &f64| points.iter().find(|point| point.x == *x).map(|point| point.median);
            (*name, places.iter().map(median).collect())
        })
    }

    /// The picture.
    #[must_use]
    pub(super) fn draw(&self, title: &str) -> String {
        let mut page = Svg::new(PAGE, title);
        let (across, up) = self.scales();
        let [left, top, right, bottom] = PLOT;
        let x = |value: f64| left + across.place(value) * (right - left);
        // A difference of two figures may come out below nothing; the page ends there.
        let y = |value: f64| bottom - up.place(value).max(0.0) * (bottom - top);
        for value in up.ticks() {
            page.line("grid", (left, y(value)), (right, y(value)));
            page.text("small", (left - 8.0, y(value) + 4.0), Anchor::End, &tick(value));
        }
        page.line("axis", (left, bottom), (right, bottom));
        for value in across.ticks() {
            page.line("axis", (x(value), bottom), (x(value), bottom + 4.0));
            page.text("small", (x(value), bottom + 18.0), Anchor::Middle, &tick(value));
        }
        page.text("small", (left - 8.0, top - 12.0), Anchor::End, self.unit);
        page.text("small", (right, bottom + 38.0), Anchor::End, &self.caption());
        let inside = |points: &[Measured]| points.iter().all(|point| up.place(point.high) <= 1.0);
        for (number, (_, points)) in self.curves.iter().enumerate().filter(|(_, (_, points))| inside(points)) {
            for point in points {
                page.whisker(&stroke(number), (x(point.x), y(point.low)), (x(point.x), y(point.high)));
            }
            let points: Vec<Point> = points.iter().map(|point| (x(point.x), y(point.median))).collect();
            page.curve(number, &points);
            points.iter().for_each(|point| page.mark(number, *point));
        }
        self.names(&mut page);
        page.finish()
    }

    /// Names, the curve that ends highest first, so that they stand about as the curves do.
    fn names(&self, page: &mut Svg) {
        let last = |points: &[Measured]| points.last().map_or(0.0, |point| point.median);
        let mut order: Vec<(usize, &(&str, Vec<Measured>))> = self.curves.iter().enumerate().collect();
        order.sort_by(|(_, (_, one)), (_, (_, other))| last(other).total_cmp(&last(one)));
        for (at, (number, (name, points))) in order.into_iter().enumerate() {
            let (x, y) = (NAMES.0, NAMES.1 + at as f64 * LINE);
            page.curve(number, &[(x - 14.0, y), (x + 6.0, y)]);
            page.mark(number, (x - 4.0, y));
            let name = if is_limit(name) { format!("{name} ↑ {}", figure(last(points))) } else { (*name).to_owned() };
            page.text("", (x + 12.0, y + 4.0), Anchor::Start, &shortened(&name, LETTERS));
        }
    }

    fn caption(&self) -> String {
        let (name, unit) = (self.axis.name(), self.axis.unit());
        if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") }
    }

    /// Loads stand where their numbers do, counts and sizes one beside the other; times are told by their order of magnitude.
    fn scales(&self) -> (Scale, Scale) {
        let places = self.points().map(|point| point.x);
        let across = match self.axis {
            Axis::Offered | Axis::OfferedShare => Scale::even(places),
            _ => Scale::steps(places),
        };
        let up = match self.unit {
            "us" => Scale::tens(self.points().flat_map(|point| [point.low, point.high])),
            // What the load itself can do may lie beyond the page, lest it make all others flat.
            _ => {
                let switches = || self.curves.iter().filter(|(name, _)| !is_limit(name)).flat_map(|(_, points)| points);
                Scale::even(switches().map(|point| point.high))
            }
        };
        (across, up)
    }

    fn points(&self) -> impl Iterator<Item = &Measured> {
        self.curves.iter().flat_map(|(_, points)| points)
    }
}

/// Whether a curve is that of the load, of which the switches were a part.
fn is_limit(name: &str) -> bool {
    name.starts_with(LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swept() -> Vec<Series> {
        let point = |name: &str, x, samples: &[f64]| Series::new(name, "Mpps", samples.to_vec()).at(Axis::Flows, x);
        vec![
            point("podlane", 1000.0, &[2.2, 2.1, 2.4]),
            point("podlane", 1.0, &[2.3]),
            point("OVS", 1.0, &[1.9]),
            Series::skipped("OVS", "Mpps", "absent".to_owned()).at(Axis::Flows, 1000.0),
            Series::new("podlane", "us", vec![41.0]).at(Axis::Flows, 1.0),
            Series::new("podlane", "Mpps", vec![7.0]).at(Axis::Ports, 2.0),
            Series::new("a row", "Mpps", vec![9.0]),
        ]
    }

    #[test]
    fn curves_are_gathered_by_name_and_nothing_else_gets_in() {
        let series = swept();
        let curves = Curves::of(series.iter(), Axis::Flows, "Mpps").unwrap();
        assert_eq!(curves.places(), [1.0, 1000.0]);
        let rows: Vec<_> = curves.rows().collect();
        assert_eq!(rows, [("podlane", vec![Some(2.3), Some(2.2)]), ("OVS", vec![Some(1.9), None])]);
        assert!(Curves::of(series.iter(), Axis::Workers, "Mpps").is_none());
    }

    #[test]
    fn a_picture_has_a_mark_and_a_whisker_for_each_point_and_every_name() {
        let series = swept();
        let text = Curves::of(series.iter(), Axis::Flows, "Mpps").unwrap().draw("Rate against flows");
        // Two points of the first curve and one of the second, and each name's own mark.
        assert_eq!((text.matches("<circle").count(), text.matches("<polygon").count()), (3, 2), "{text}");
        assert_eq!(text.matches("class=\"thin c").count(), 3 * 3, "{text}");
        for word in ["Rate against flows", ">podlane<", ">OVS<", ">1k<", ">Mpps<", ">flows<"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert_eq!(text, Curves::of(series.iter(), Axis::Flows, "Mpps").unwrap().draw("Rate against flows"));
    }

    #[test]
    fn what_the_generator_can_do_does_not_make_the_switches_flat() {
        let point = |name: &str, y| Series::new(name, "Mpps", vec![y]).at(Axis::Flows, 1.0);
        let series = [point("generator's own limit", 10.0), point("podlane", 2.0)];
        let text = Curves::of(series.iter(), Axis::Flows, "Mpps").unwrap().draw("Rates");
        assert!(text.contains(">2<") && !text.contains(">10<"), "{text}");
        assert!(text.contains(">generator's own limit ↑ 10.0<"), "{text}");
        // Its mark stands beside its name alone, the other's in the plot as well.
        assert_eq!((text.matches("<circle").count(), text.matches("<polygon").count()), (2, 1), "{text}");
    }
}
