//! An explanation, as it is answered.

use podlane_api::{WhyEnd, WhyPolicy, WhyRemedy, WhyRule, WhyStage};
use podlane_policy::compile::RuleId;
use podlane_policy::explain::{Considered, End, Explanation, Remedy, Stage};

/// What is said where no pod has a say.
pub(crate) const NO_SAY: &str = "no end is under policy";

/// The pods that have a say, first the one that opens.
pub(crate) fn ends(explanation: &Explanation) -> Vec<WhyEnd> {
    explanation.ends.iter().map(end).collect()
}

/// What decided, in one sentence: the first end that denies; else, as it says more than that no policy decides, one that a rule allows.
pub(crate) fn because(Explanation { ends, .. }: &Explanation) -> String {
    let denies = ends.iter().find(|end| !end.verdict.allow);
    let ruled = || ends.iter().rev().find(|end| end.verdict.rule != RuleId::OPEN);
    denies.or_else(ruled).or(ends.first()).map_or_else(|| NO_SAY.to_owned(), |end| end.rule.clone())
}

fn end(end: &End) -> WhyEnd {
    WhyEnd {
        pod: end.pod.to_string(),
        direction: end.direction.to_string(),
        allowed: end.verdict.allow,
        rule: end.rule.clone(),
        stages: end.stages.iter().map(stage).collect(),
        remedy: end.remedy.as_ref().map(remedy),
    }
}

fn stage(Stage { tier, policies, outcome }: &Stage) -> WhyStage {
    let policies = policies.iter().map(policy).collect();
    WhyStage { tier: tier.to_string(), outcome: outcome.to_string(), policies }
}

fn policy(Considered { policy, rules }: &Considered) -> WhyPolicy {
    let rules = rules.iter().map(|(action, fit)| WhyRule { action: action.to_string(), fit: fit.to_string() });
    WhyPolicy { policy: policy.to_string(), rules: rules.collect() }
}

fn remedy(remedy: &Remedy) -> WhyRemedy {
    let before = match remedy {
        Remedy::Apply { .. } => None,
        Remedy::Insert { policy, direction, index, .. } => Some(format!("{policy} {direction}[{index}]")),
    };
    WhyRemedy { before, yaml: remedy.yaml().to_owned() }
}
