//! `podlane policy test`

use std::fmt::{Display, Write};

use podlane_api::{PolicyChange, PolicyDecision, PolicyDifference, PolicyEnds, PortRange};

use super::Show;
use super::why::verdict;
use crate::paint::Paint;
use crate::units::some;

/// How many pods or prefixes of an end are named to people. JSON has them all.
const NAMED: usize = 8;

impl Show for PolicyChange {
    fn show(&self, paint: Paint) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; so here and below.
        for (word, names) in [("replaced", &self.replaced), ("added", &self.added)] {
            for name in names {
                let _ = writeln!(text, "{word}: {name}");
            }
        }
        if !self.changed {
            text += "nothing changes\n";
        }
        self.differences.iter().for_each(|difference| write_difference(&mut text, difference, paint));
        if self.left_out > 0 {
            let _ = writeln!(text, "\nand {}", some(self.left_out as usize, "more difference"));
        }
        text
    }
}

fn write_difference(text: &mut String, difference: &PolicyDifference, paint: Paint) {
    let PolicyDifference { from, to, family, ports, before, after } = difference;
    let [now, then] = [before, after].map(|decision| verdict(Some(decision.allowed), paint));
    let _ = writeln!(
        text,
        "\n{}{}{:#} now, {}{}{:#} then: {}, over {family}",
        now.1,
        now.0,
        now.1,
        then.1,
        then.0,
        then.1,
        ranges(ports)
    );
    write_ends(text, from, "from");
    write_ends(text, to, "to  ");
    for direction in ["egress", "ingress"] {
        let [before, after] = [before, after].map(|decision| at(decision, direction));
        let Some(((before, allowed), (after, then_allowed))) = before.zip(after) else { continue };
        // The end that decides the same is not why.
        if allowed != then_allowed {
            let _ = writeln!(text, "  {direction} now:  {before}");
            let _ = writeln!(text, "  {direction} then: {after}");
        }
    }
}

/// The rule at one end, and whether it allows.
fn at<'d>(decision: &'d PolicyDecision, direction: &str) -> Option<(&'d str, bool)> {
    let rule = if direction == "egress" { &decision.egress } else { &decision.ingress };
    Some((rule.as_deref()?, !decision.denied_at.iter().any(|denied| denied == direction)))
}

fn ranges(ports: &[PortRange]) -> String {
    let is_all = |range: &&PortRange| (range.first, range.last) == (0, u16::MAX);
    if ports.len() == 4 && ports.iter().filter(is_all).count() == 4 {
        return "everything".to_owned();
    }
    let one = |range: &PortRange| match range {
        PortRange { protocol, .. } if protocol == "other" => "protocols without ports".to_owned(),
        PortRange { protocol, .. } if is_all(&range) => format!("all {protocol}"),
        PortRange { protocol, first, last } if first == last => format!("{protocol} {first}"),
        PortRange { protocol, first, last } => format!("{protocol} {first}-{last}"),
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn write_ends(text: &mut String, ends: &PolicyEnds, word: &str) {
    let PolicyEnds { pods, prefixes, left_out } = ends;
    if !pods.is_empty() {
        let left_out = if prefixes.is_empty() { *left_out } else { 0 };
        let _ = writeln!(text, "  {word} {}", listed(pods, left_out));
    }
    if !prefixes.is_empty() {
        let prefixes = listed(prefixes, *left_out);
        let _ =
            writeln!(text, "  {word} addresses of {prefixes} that are no pod's and in no longer prefix of a policy");
    }
}

fn listed(all: &[impl Display], left_out: u64) -> String {
    let (named, rest) = all.split_at(all.len().min(NAMED));
    let named = named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match rest.len() as u64 + left_out {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
