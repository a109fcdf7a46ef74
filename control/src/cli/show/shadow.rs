//! `podlane policy shadow`

use std::fmt::Write;

use podlane_api::{Opening, Shadow, ShadowDifference, ShadowVerdict};

use super::Show;
use super::why::verdict;
use crate::paint::Paint;
use crate::units::{count, seconds};

impl Show for Shadow {
    fn show(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; so here and below.
        for (word, names) in [("replaced", &self.replaced), ("added", &self.added)] {
            for name in names {
                let _ = writeln!(text, "{word}: {name}");
            }
        }
        let style = if self.different == 0 { paint.good } else { paint.odd };
        let _ = writeln!(
            text,
            "in {} both gave {}; {style}{} differed{style:#}",
            seconds(self.age_ms / 1_000),
            verdicts(self.judged),
            count(self.different),
        );
        self.differences.iter().for_each(|difference| write_difference(&mut text, difference, paint));
        if self.unlisted > 0 {
            let _ = writeln!(text, "\nand {} by more pairs of rules than are kept", verdicts(self.unlisted));
        }
        text
    }
}

fn write_difference(text: &mut String, difference: &ShadowDifference, paint: Paint) {
    let ShadowDifference { count: number, live, candidate, last } = difference;
    let _ = writeln!(text, "\n{}", verdicts(*number));
    for (who, ShadowVerdict { allowed, rule }) in [("live     ", live), ("candidate", candidate)] {
        let (word, style) = verdict(Some(*allowed), paint);
        let _ = writeln!(text, "  {who}  {style}{word:7}{style:#} by {rule}");
    }
    if let Some(last) = last {
        let _ = writeln!(text, "  last       {}", opening(last));
    }
}

fn verdicts(number: u64) -> String {
    format!("{} verdict{}", count(number), if number == 1 { "" } else { "s" })
}

/// `red/probe 10.2.0.2 to blue/web 10.1.0.2, tcp/443`
pub(super) fn opening(opening: &Opening) -> String {
    let named = |pod: &Option<String>, address: &dyn std::fmt::Display| match pod {
        Some(pod) => format!("{pod} {address}"),
        None => address.to_string(),
    };
    let (from, to) = (named(&opening.from_pod, &opening.from), named(&opening.to_pod, &opening.to));
    let port = opening.port.map(|port| format!("/{port}")).unwrap_or_default();
    format!("{from} to {to}, {}{port}", opening.protocol)
}
