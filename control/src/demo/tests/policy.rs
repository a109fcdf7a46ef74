//! The demo's policy apart from any traffic: that it says what the demo claims, and that nothing else passes for it.

use std::sync::Arc;
use std::time::Duration;

use podlane_api::{Why, WhyAnswer};
use podlane_policy::Compiled;
use podlane_policy::compile::Origin;
use podlane_policy::explain::Question;
use podlane_policy::model::Protocol;
use podlane_policy::yaml;

use super::APPLIED;
use crate::compile::Numbers;
use crate::config::{self, Machine};
use crate::demo::pods::{Family, configuration};
use crate::demo::policy::{COUPLES, Couple, FILE, Found, POLICY, PairReport, PolicyError, PolicyReport, SERVICE};
use crate::demo::traffic::MeterError;
use crate::enforce::{Live, Places};
use crate::told::explained;

/// What the switch decides by when the policy is applied.
fn compiled() -> Compiled {
    let desired = config::parse(&configuration(1, 7, None), &Machine { cores: [0, 1].into() }).unwrap();
    let places = Places::of(&desired, &Numbers::of(&desired));
    let (mut live, doubts) = Live::open(&desired, Arc::new(places)).unwrap();
    assert_eq!(doubts, []);
    let applied = live.apply(yaml::read([(FILE, POLICY)]).unwrap()).unwrap();
    assert_eq!((applied.objects, applied.doubts), (vec![APPLIED.to_owned()], vec![]));
    live.judge().compiled().clone()
}

/// What the switch says of a pair when the policy is applied.
pub(super) fn why(couple: &Couple) -> Why {
    let compiled = compiled();
    let answers = [Family::V4, Family::V6].map(|family| {
        let (from, to) = (couple.from.address(family), couple.to.address(family));
        let question = Question { from: Origin::Address(from), to, protocol: Protocol::Tcp, port: 8080 };
        let explanation = compiled.explain(&question);
        WhyAnswer {
            from: from.to_string(),
            to,
            service: SERVICE.to_owned(),
            allowed: Some(explanation.decision.allow()),
            because: None,
            way: None,
            ends: explained::ends(&explanation),
            connection: None,
        }
    });
    let allowed = answers.iter().all(|answer| answer.allowed == Some(true));
    Why { allowed: Some(allowed), generation: Some(3), answers: answers.into() }
}

/// What is seen of a pair that is held to the policy.
pub(super) fn found(couple: &Couple) -> Found {
    let opened = couple.allowed.then_some(Duration::from_micros(180));
    Found { goes_on: couple.allowed, opened, denied: if couple.allowed { 0 } else { 5 }, why: why(couple) }
}

/// A report of pairs of which this was seen.
pub(super) fn report(found: impl Fn(&Couple) -> Result<Found, PolicyError>) -> PolicyReport {
    let pairs = COUPLES.each_ref().map(|couple| PairReport::of(couple, found(couple)));
    PolicyReport::of(vec![APPLIED.to_owned()], Duration::from_micros(940), pairs)
}

#[test]
fn one_pair_is_allowed_by_the_policy_and_the_other_denied_for_want_of_a_rule_over_both_families() {
    for couple in COUPLES {
        let allowed: Vec<_> = why(&couple).answers.iter().map(|answer| answer.allowed).collect();
        assert_eq!(allowed, [Some(couple.allowed); 2]);
    }
    let report = report(|couple| Ok(found(couple)));
    let rules: Vec<_> = report.pairs().map(|pair| pair.rule.as_deref().unwrap()).collect();
    assert_eq!(
        rules,
        [
            "NetworkPolicy demo/red-from-green ingress[0]",
            "NetworkPolicy demo/red-from-green: isolated for ingress, no rule matches"
        ]
    );
    assert!(report.ok, "{:?}", report.failures().collect::<Vec<_>>());
}

#[test]
fn the_denied_pair_is_told_the_smallest_policy_that_would_allow_it() {
    let [_, denied] = COUPLES;
    let told = why(&denied);
    let remedy = told.answers[0].ends.iter().find_map(|end| end.remedy.as_ref()).unwrap();
    assert!(remedy.yaml.contains("app: \"blue\"") && remedy.yaml.contains("port: 8080"), "{}", remedy.yaml);
}

#[test]
fn nothing_passes_for_a_policy_but_what_a_policy_does() {
    let [allowed, denied] = COUPLES;
    let (of_allowed, of_denied) = (found(&allowed), found(&denied));
    let told = |couple: &Couple, found: Found| PairReport::of(couple, Ok(found)).failure.unwrap_or_default();
    for (couple, seen, begins) in [
        (allowed, Found { goes_on: false, ..of_allowed.clone() }, "the connection from before the policy stopped"),
        (allowed, Found { opened: None, ..of_allowed.clone() }, "no new connection opens within 2 s"),
        (allowed, Found { why: of_denied.why.clone(), ..of_allowed.clone() }, "`podlane why` calls it denied"),
        (denied, Found { goes_on: true, ..of_denied.clone() }, "the connection from before the policy goes on"),
        (denied, Found { opened: of_allowed.opened, ..of_denied.clone() }, "a new connection opens"),
        (denied, Found { denied: 0, ..of_denied.clone() }, "what was denied is not in the ledger"),
        (denied, Found { why: of_allowed.why.clone(), ..of_denied.clone() }, "`podlane why` calls it allowed"),
    ] {
        let failure = told(&couple, seen);
        assert!(failure.starts_with(begins), "{failure}");
    }
    assert_eq!([told(&allowed, of_allowed), told(&denied, of_denied)], ["", ""]);
}

#[test]
fn a_failure_says_which_pair_it_is_of() {
    let broken = || Err(MeterError::Interrupted.into());
    let report = report(|couple| if couple.allowed { Ok(found(couple)) } else { broken() });
    assert!(!report.ok);
    assert_eq!(report.failures().collect::<Vec<_>>(), ["policy, tcp/8080 blue to red over IPv4: interrupted"]);
    let unapplied = PolicyReport::of_failure(&MeterError::Interrupted.into());
    assert_eq!(unapplied.failures().collect::<Vec<_>>(), ["policy: interrupted"]);
}
