//! What the daemon tells of denials: those of all workers, by the rule that was against them.

use std::cmp::Reverse;
use std::collections::HashMap;

use podlane_api::{Denial, Denied, DeniedOpening, DeniedQuery, Opening, Refusal};
use podlane_dataplane::denials::Denial as Counted;
use podlane_dataplane::policy::{Opening as Opened, Policy};
use podlane_policy::compile::RuleId;

use super::connections::is_of_all;
use super::flows::{has_ports, protocol};
use super::moment::Moment;
use crate::enforce::{Judge, Live};

impl Moment<'_> {
    pub(super) fn denied(&self, query: &DeniedQuery) -> Result<Denied, Refusal> {
        let enforcer = self.enforcer()?;
        let reports = self.reports()?;
        let judge = enforcer.in_force();
        let counted = reports.iter().flat_map(|report| report.denials.iter());
        let lines = |live: &Live| counted.map(|denial| (rule(denial, &judge), self.line(denial, live))).collect();
        let mut denials = by_rule(enforcer.look(lines));
        let forgotten: u64 = reports.iter().map(|report| report.denials.forgotten()).sum();
        let remembered: u64 = denials.iter().map(|denial| denial.packets).sum();
        denials.sort_by_key(|denial| Reverse(denial.packets));
        let matched = denials.len() as u64;
        denials.truncate(query.limit);
        Ok(Denied { packets: remembered + forgotten, forgotten, matched, denials })
    }

    fn line(&self, denial: &Counted, live: &Live) -> DeniedOpening {
        let Counted { opening: opened, count, last, .. } = denial;
        DeniedOpening { opening: opening(opened, live), packets: *count, age_ms: self.since(*last) }
    }
}

fn by_rule(lines: Vec<(Option<String>, DeniedOpening)>) -> Vec<Denial> {
    let mut rules: HashMap<Option<String>, Vec<DeniedOpening>> = HashMap::new();
    for (rule, line) in lines {
        let openings = rules.entry(rule).or_default();
        // Two workers may have met the same. There are some hundreds at the most.
        match openings.iter_mut().find(|known| known.opening == line.opening) {
            Some(known) => {
                known.packets += line.packets;
                known.age_ms = known.age_ms.min(line.age_ms);
            }
            None => openings.push(line),
        }
    }
    let denial = |(rule, mut openings): (Option<String>, Vec<DeniedOpening>)| {
        openings.sort_by_key(|opening| (Reverse(opening.packets), opening.age_ms));
        let packets = openings.iter().map(|opening| opening.packets).sum();
        let age_ms = openings.iter().map(|opening| opening.age_ms).min().unwrap_or_default();
        Denial { rule, packets, age_ms, openings }
    };
    rules.into_iter().map(denial).collect()
}

/// The name of the rule that denied. Numbers are given again when policies go, so one is believed only of a rule that would deny it now.
fn rule(denial: &Counted, judge: &Judge) -> Option<String> {
    let now = judge.verdict(&denial.opening);
    let is_so = !now.allow && now.rule == denial.rule;
    (is_so || is_of_all(RuleId(denial.rule.0))).then(|| judge.rule_name(denial.rule)).flatten()
}

fn opening(opened: &Opened, live: &Live) -> Opening {
    let pod = |address| live.compiler().pod_at(address).map(|pod| pod.name.to_string());
    Opening {
        from: opened.from.address,
        from_pod: pod(opened.from.address),
        to: opened.to.address,
        to_pod: pod(opened.to.address),
        protocol: protocol(opened.protocol),
        port: has_ports(opened.protocol).then_some(opened.port),
    }
}
