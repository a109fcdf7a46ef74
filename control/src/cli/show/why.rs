//! `podlane why` and `podlane policy why`: the stages in a gutter, what came of each beside it.

use std::fmt::Write;

use anstyle::Style;
use podlane_api::{ConnectionRecord, Place, PortState, Why, WhyAnswer, WhyEnd, WhyStage};

use super::Show;
use super::connections::end;
use crate::paint::Paint;
use crate::units::milliseconds;

/// How wide the stages' names are, with the gap after them.
const GUTTER: usize = 12;

/// How wide the tiers' names are, with the gap after them.
const TIER: usize = 15;

/// The rule where no policy has a say.
const UNDECIDED: &str = "no policy decides: open";

impl Show for Why {
    fn show(&self, paint: Paint) -> String {
        let answers: Vec<String> =
            self.answers.iter().map(|answer| Page { paint, text: String::new() }.of(answer)).collect();
        answers.join("\n")
    }
}

/// An answer as it is written.
struct Page {
    paint: Paint,
    text: String,
}

impl Page {
    fn of(mut self, answer: &WhyAnswer) -> String {
        self.head(answer);
        if let Some(way) = &answer.way {
            self.place("from", &way.from);
            self.place("to", &way.to);
            let (word, style) = match way.open {
                Some(true) => ("", self.paint.good),
                Some(false) => ("none: ", self.paint.bad),
                None => ("cannot be told: ", self.paint.odd),
            };
            self.stage("way", &format!("{style}{word}{style:#}{}", way.sentence));
        }
        answer.ends.iter().for_each(|end| self.end(end));
        self.no_say(answer);
        if answer.way.is_some() {
            let known = answer.connection.as_ref();
            let known = known.map_or_else(|| "none yet".to_owned(), |known| connection(known, answer.allowed));
            self.stage("connection", &known);
        }
        answer.ends.iter().for_each(|end| self.remedy(end));
        self.text
    }

    /// The question, and the answer to it.
    fn head(&mut self, answer: &WhyAnswer) {
        let (way, ends) = (answer.way.as_ref(), &answer.ends);
        // From files no place is known, but who has a say.
        let party = |place: Option<&Place>, direction: &str, address: &str| {
            let known = place.and_then(|place| place.pod.as_ref());
            let has_say = || ends.iter().find(|end| end.direction == direction).map(|end| &end.pod);
            known.or_else(has_say).map_or_else(|| address.to_owned(), |pod| format!("{pod} {address}"))
        };
        let from = party(way.map(|way| &way.from), "egress", &answer.from);
        let to = party(way.map(|way| &way.to), "ingress", &answer.to.to_string());
        let (word, style) = verdict(answer.allowed, self.paint);
        let because = answer.because.as_ref().map(|because| format!(": {}", decided(because))).unwrap_or_default();
        self.line(&format!("{from} to {to}, {}: {style}{word}{style:#}{because}", answer.service));
    }

    fn place(&mut self, name: &str, place: &Place) {
        let mut parts = Vec::new();
        parts.extend(place.pod.as_ref().map(|pod| format!("pod {pod}")));
        parts.extend(place.peer.as_ref().map(|peer| format!("on peer {peer}")));
        parts.extend(place.port.as_ref().map(|port| format!("behind port {port}")));
        parts.extend(place.state.map(|state| {
            let style = if state == PortState::Up { self.paint.good } else { self.paint.bad };
            format!("{style}{state}{style:#}")
        }));
        parts.extend(place.reason.clone());
        parts.extend(place.network.as_ref().map(|network| format!("in network {network}")));
        parts.extend(place.policed.then(|| "under policy".to_owned()));
        let text = if parts.is_empty() { "not known where it is".to_owned() } else { parts.join(", ") };
        self.stage(name, &text);
    }

    /// What stands in the place of policy where no pod has a say.
    fn no_say(&mut self, answer: &WhyAnswer) {
        if !answer.ends.is_empty() || answer.way.as_ref().is_some_and(|way| way.open != Some(true)) {
            return;
        }
        let is_policed = answer.way.as_ref().is_some_and(|way| way.from.policed || way.to.policed);
        let because = answer.because.as_deref().filter(|_| is_policed);
        self.stage("policy", because.unwrap_or("neither end is a pod that policies are about"));
    }

    fn end(&mut self, end: &WhyEnd) {
        let (word, style) = verdict(Some(end.allowed), self.paint);
        self.stage(&end.direction, &format!("of {}: {style}{word}{style:#}{}", end.pod, by(&end.rule)));
        end.stages.iter().for_each(|stage| self.tier(stage, &end.direction));
    }

    fn tier(&mut self, stage: &WhyStage, direction: &str) {
        let idle = if stage.policies.is_empty() { self.paint.faint } else { Style::new() };
        self.below(0, &format!("{idle}{:TIER$}{}{idle:#}", stage.tier, stage.outcome));
        for policy in &stage.policies {
            self.below(2, &policy.policy);
            for (index, rule) in policy.rules.iter().enumerate() {
                let style = if rule.fit == "matches" { self.paint.strong } else { self.paint.faint };
                self.below(4, &format!("{style}{direction}[{index}] {}: {}{style:#}", rule.action, rule.fit));
            }
        }
    }

    /// Apart from the stages, so that it can be copied.
    fn remedy(&mut self, end: &WhyEnd) {
        let Some(remedy) = &end.remedy else { return };
        let what = match &remedy.before {
            None => format!("the smallest policy that would allow it at {}:", end.pod),
            Some(before) => format!("the smallest rule that would allow it at {}, before {before}:", end.pod),
        };
        let strong = self.paint.strong;
        self.line(&format!("\n{strong}{what}{strong:#}"));
        remedy.yaml.lines().for_each(|line| self.line(&format!("  {line}")));
    }

    fn stage(&mut self, name: &str, text: &str) {
        let strong = self.paint.strong;
        self.line(&format!("  {strong}{name:GUTTER$}{strong:#}{text}"));
    }

    /// A line beside the stage above it.
    fn below(&mut self, indent: usize, text: &str) {
        self.line(&format!("  {:1$}{text}", "", GUTTER + indent));
    }

    fn line(&mut self, line: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// A connection that is there. One that is not allowed any more is remembered until its time is over, and stays as it was.
fn connection(known: &ConnectionRecord, allowed: Option<bool>) -> String {
    let ends = (end(known.from, known.from_port), end(known.to, known.to_port));
    let by = match known.rule.as_deref() {
        None => "let in by a rule that is gone".to_owned(),
        Some(UNDECIDED) => "let in when no policy decided".to_owned(),
        Some(rule) => format!("let in{}", by(rule)),
    };
    let before = if allowed == Some(false) { ", opened before it was denied" } else { "" };
    format!("{}{before}, {} to {}, idle {}, {by}", known.state, ends.0, ends.1, milliseconds(known.idle_ms))
}

/// What decided, after the verdict. A rule is named after its policy, which begins with its kind; what else decides says so itself.
pub(super) fn by(rule: &str) -> String {
    if is_rule(rule) { format!(" by {rule}") } else { format!(": {}", decided(rule)) }
}

fn is_rule(rule: &str) -> bool {
    rule.starts_with(char::is_uppercase)
}

/// What came of no policy's having a say, the verdict says already.
fn decided(rule: &str) -> &str {
    if rule == UNDECIDED { "no policy decides" } else { rule }
}

/// A verdict as a word, and how it is set.
pub(super) fn verdict(allowed: Option<bool>, paint: Paint) -> (&'static str, Style) {
    match allowed {
        Some(true) => ("allowed", paint.good),
        Some(false) => ("denied", paint.bad),
        None => ("cannot be told", paint.odd),
    }
}
