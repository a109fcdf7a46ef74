//! A page of SVG, written by hand: shapes and text, no library and no font of its own.
//!
//! The same calls give the same bytes on any machine: coordinates have one decimal, nothing is named by chance, nothing tells the time.
//! So a picture can be compared with what made it. Text stays text, to be searched and read aloud. The ground is painted, dark where
//! the reader asks for dark, since a page that shows the picture need not have asked the same.

use std::fmt::{Display, Write};

/// Colours that are told apart by readers with any colour vision (after Okabe and Ito), on light and on dark ground. The first is ours.
const COLOURS: [(&str, &str); 8] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff8c42"),
    ("#009e73", "#2fd6a3"),
    ("#8a4f8f", "#d99ad0"),
    ("#996e00", "#f0c040"),
    ("#555555", "#bbbbbb"),
    ("#b8336a", "#ff86b3"),
    ("#3b6e22", "#9ed36a"),
];

/// What all pictures look alike by; the colours follow.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.small{font-size:11px;fill:#57606a}.title{font-size:15px;font-weight:600}\
.ground{fill:#fff}.grid{stroke:#d8dee4}.axis{stroke:#57606a}.mark{stroke:#24292f;stroke-width:2}.curve{fill:none;stroke-width:2}\
.thin{stroke-width:1}.bar{fill-opacity:.7}.spread{stroke:#24292f;stroke-width:1.3}";

/// The same in the dark.
const DARK: &str = "text{fill:#e6edf3}.small{fill:#9198a1}.ground{fill:#0d1117}.grid{stroke:#30363d}.axis{stroke:#9198a1}.mark,.spread{stroke:#e6edf3}";

/// About how wide a letter is, pixels; fonts differ, and none is brought along.
pub(super) const LETTER: f64 = 6.9;

/// Where a text begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Anchor {
    /// At its first letter.
    Start,
    /// Around its middle.
    Middle,
    /// At its last letter.
    End,
}

impl Anchor {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A point of the page, pixels from its upper left corner.
pub(super) type Point = (f64, f64);

/// A page that is being drawn.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty page of this size, pixels. The title is drawn, and read aloud.
    #[must_use]
    pub(super) fn new((width, height): Point, title: &str) -> Self {
        let mut style = STYLE.to_owned();
        let mut dark = DARK.to_owned();
        for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
            style.push_str(&colour(number, on_light));
            dark.push_str(&colour(number, on_dark));
        }
        let title = escaped(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n\
             <style>{style}@media(prefers-color-scheme:dark){{{dark}}}</style>\n\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"16\" y=\"26\">{title}</text>\n"
        );
        Self { text }
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, (x1, y1): Point, (x2, y2): Point) {
        self.put(format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
    }

    /// A line from point to point.
    pub(super) fn curve(&mut self, colour: usize, points: &[Point]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let number = colour % COLOURS.len();
        self.put(format_args!("<polyline class=\"curve c{number}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A rectangle without an outline, by its upper left corner and its size.
    pub(super) fn bar(&mut self, colour: usize, (x, y): Point, (width, height): Point) {
        let number = colour % COLOURS.len();
        self.put(format_args!(
            "<rect class=\"bar f{number}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// The mark of a curve's points: colours repeat its order, and so do four shapes, for who sees no colours.
    pub(super) fn mark(&mut self, colour: usize, (x, y): Point) {
        let number = colour % COLOURS.len();
        let corners: &[Point] = match colour % 4 {
            0 => {
                self.put(format_args!("<circle class=\"f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"));
                return;
            }
            1 => &[(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)],
            2 => &[(0.0, -4.6), (4.6, 0.0), (0.0, 4.6), (-4.6, 0.0)],
            _ => &[(0.0, -4.4), (4.2, 3.4), (-4.2, 3.4)],
        };
        let corners: Vec<String> = corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
        self.put(format_args!("<polygon class=\"f{number}\" points=\"{}\"/>", corners.join(" ")));
    }

    /// How far rounds lay apart, from one point to another on one of the page's axes.
    pub(super) fn whisker(&mut self, class: &str, from: Point, to: Point) {
        const CAP: f64 = 3.0;
        let (across, along) = if from.0 == to.0 { (CAP, 0.0) } else { (0.0, CAP) };
        self.line(class, from, to);
        for (x, y) in [from, to] {
            self.line(class, (x - across, y - along), (x + across, y + along));
        }
    }

    /// Text at a point of its base line.
    pub(super) fn text(&mut self, class: &str, (x, y): Point, anchor: Anchor, text: &str) {
        let (anchor, text) = (anchor.word(), escaped(text));
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// The whole file.
    #[must_use]
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn put(&mut self, element: impl Display) {
        // A String takes everything.
        let _ = writeln!(self.text, "{element}");
    }
}

/// The name of a colour as a line's class.
#[must_use]
pub(super) fn stroke(colour: usize) -> String {
    format!("thin c{}", colour % COLOURS.len())
}

/// A name of at most so many letters: of a longer one the beginning, and that there was more.
#[must_use]
pub(super) fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(letters.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn colour(number: usize, value: &str) -> String {
    format!(".c{number}{{stroke:{value}}}.f{number}{{fill:{value}}}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_end_an_element() {
        let mut page = Svg::new((100.0, 50.0), "a < b & \"c\"");
        page.text("small", (1.0, 2.0), Anchor::End, "</text>");
        let text = page.finish();
        assert!(text.contains("aria-label=\"a &lt; b &amp; &quot;c&quot;\""), "{text}");
        assert!(
            text.contains("<text class=\"small\" x=\"1.0\" y=\"2.0\" text-anchor=\"end\">&lt;/text&gt;</text>"),
            "{text}"
        );
    }

    #[test]
    fn each_colour_has_another_value_in_the_dark() {
        let text = Svg::new((100.0, 50.0), "").finish();
        for (number, (on_light, on_dark)) in COLOURS.iter().enumerate() {
            for value in [on_light, on_dark] {
                assert_eq!(text.matches(&format!(".f{number}{{fill:{value}}}")).count(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_long_name_is_shortened_visibly() {
        assert_eq!(shortened("podlane", 7), "podlane");
        assert_eq!(shortened("podlanes", 7), "podlan…");
    }
}
