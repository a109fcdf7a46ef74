//! `podlane policy denied`

use std::fmt::Write;

use podlane_api::{Denial, Denied};

use super::Show;
use super::shadow::opening;
use crate::paint::Paint;
use crate::units::{count, milliseconds, some};

/// How many connections of a rule are shown to people. JSON has them all.
const NAMED: usize = 5;

impl Show for Denied {
    fn show(&self, paint: Paint) -> String {
        if self.packets == 0 {
            return "nothing has been denied\n".to_owned();
        }
        let widest = self.denials.iter().map(|denial| count(denial.packets).len()).max().unwrap_or_default();
        let mut text = String::new();
        self.denials.iter().for_each(|denial| write_denial(&mut text, denial, widest, paint));
        // Writing into a String cannot fail; so here and below.
        let shown = self.denials.len() as u64;
        if shown < self.matched {
            let _ = writeln!(text, "{} of {} rules; --limit shows more", count(shown), count(self.matched));
        }
        let forgotten = match self.forgotten {
            0 => String::new(),
            number => format!("; of {} it is not remembered what they wanted to open", count(number)),
        };
        let _ = writeln!(text, "{} denied{forgotten}", some_packets(self.packets));
        text
    }
}

fn write_denial(text: &mut String, denial: &Denial, widest: usize, paint: Paint) {
    let Denial { rule, packets, age_ms, openings } = denial;
    let (bad, faint) = (paint.bad, paint.faint);
    let rule = rule.as_deref().unwrap_or("by rules that have been replaced since");
    let age = milliseconds(*age_ms);
    let _ = writeln!(text, "{bad}{:>widest$}{bad:#}  {rule}, {age} ago", count(*packets));
    for denied in openings.iter().take(NAMED) {
        let age = milliseconds(denied.age_ms);
        let what = opening(&denied.opening);
        let _ = writeln!(text, "{:widest$}  {:>widest$}  {what}, {age} ago", "", count(denied.packets));
    }
    if let Some(more) = openings.len().checked_sub(NAMED + 1) {
        let _ = writeln!(text, "{:widest$}  {faint}and {}{faint:#}", "", some(more + 1, "more connection"));
    }
}

fn some_packets(number: u64) -> String {
    format!("{} packet{}", count(number), if number == 1 { "" } else { "s" })
}
