//! Why a connection would come through or not, from what the workers decide by at this moment.
//!
//! ```text
//! two names -> ends.rs: pods, addresses, ports -> way.rs: where a first packet would go -> the judge in force -> a connection that is there
//! ```
//!
//! Nothing is decided here: the way is what the packet path's own resolve says of such a packet, and the verdict is the judge's.

mod ends;
mod way;

use std::net::IpAddr;

use podlane_api::{Refusal, Way, Why, WhyAnswer, WhyEnd, WhyQuery};
use podlane_dataplane::policy::{End, Opening, Policy, Verdict};
use podlane_dataplane::tables::Tables;
use podlane_policy::compile::{Origin, RuleId};
use podlane_policy::explain;
use podlane_policy::model::{Direction, Pod, Protocol};

use super::answers::Answers;
use crate::enforce::{Judge, Place as Stand};
use crate::reconcile::Facts;
use crate::told::explained;
use crate::told::question::{Opener, Party, Service, Untold, service};
use ends::Meant;
use way::Found;

/// IP protocol numbers (IANA).
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A packet that would open a connection.
#[derive(Clone, Copy)]
pub(super) struct First {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) protocol: Protocol,
    /// The destination's; 0 for a protocol without ports.
    pub(super) port: u16,
}

impl First {
    /// The IP protocol number.
    pub(super) const fn number(&self) -> u8 {
        match self.protocol.number() {
            Some(number) => number,
            None if self.to.is_ipv4() => ICMP,
            None => ICMPV6,
        }
    }
}

/// What an answer is made from.
struct Asked<'a> {
    answers: &'a Answers,
    facts: &'a Facts,
    judge: Option<&'a Judge>,
}

impl Answers {
    pub(super) fn why(&self, query: &WhyQuery) -> Result<Why, Refusal> {
        let from: Opener = query.from.parse().map_err(|untold| unanswerable(&untold))?;
        let to: Party = query.to.parse().map_err(|untold| unanswerable(&untold))?;
        let service: Service = query.service.parse().map_err(|untold| unanswerable(&untold))?;
        let judge = self.engine().enforcer().map(|enforcer| enforcer.in_force());
        let pods: Vec<&Pod> = judge.iter().flat_map(|judge| judge.compiled().pods()).collect();
        let (from, to) = (self.opener(&from, &pods)?, self.party(&to, &pods)?);
        let ports = service.ports(&to.party, to.pod).map_err(ends::refusal)?;
        let facts = self.engine().facts();
        let asked = Asked { answers: self, facts: &facts, judge: judge.as_deref() };
        let mut answers = Vec::new();
        for (source, destination) in pairs(&from, &to)? {
            for port in &ports {
                let first = First { from: source, to: destination, protocol: service.protocol, port: *port };
                answers.push(asked.answer(&first, &from, &to));
            }
        }
        Ok(Why { allowed: together(&answers), generation: Some(self.engine().generation().into()), answers })
    }
}

impl Asked<'_> {
    fn answer(&self, first: &First, from: &Meant<'_>, to: &Meant<'_>) -> WhyAnswer {
        let Found { way, ends } = self.answers.way(first, from, to, self.facts);
        let opening = ends.map(|(source, destination)| Opening {
            from: End { address: first.from, port: source },
            to: End { address: first.to, port: destination },
            protocol: first.number(),
            port: first.port,
        });
        let policed = opening.filter(|opening| is_policed(&self.facts.tables, opening));
        let (verdict, ends) = match (way.open, self.judge.zip(policed)) {
            (Some(true), Some((judge, opening))) => (Some(judge.verdict(&opening)), explain(judge, &opening, first)),
            _ => (None, Vec::new()),
        };
        WhyAnswer {
            from: first.from.to_string(),
            to: first.to,
            service: service(first.protocol, first.port),
            allowed: way.open.map(|open| open && verdict.is_none_or(|verdict| verdict.allow)),
            because: Some(self.because(&way, verdict)),
            way: Some(way),
            ends,
            connection: self.answers.connection_of(first),
        }
    }

    fn because(&self, way: &Way, verdict: Option<Verdict>) -> String {
        match (way.open, self.judge.zip(verdict)) {
            (Some(true), None) => "no end is under policy".to_owned(),
            (Some(true), Some((judge, verdict))) => {
                let rule = judge.compiled().rule(RuleId(verdict.rule.0));
                rule.map(|rule| rule.to_string()).unwrap_or_default()
            }
            _ => way.sentence.clone(),
        }
    }
}

fn is_policed(tables: &Tables, opening: &Opening) -> bool {
    tables.is_policed(opening.from.port) || tables.is_policed(opening.to.port)
}

/// The tiers at each end that is a pod of this node: another node asks its own.
fn explain(judge: &Judge, opening: &Opening, first: &First) -> Vec<WhyEnd> {
    let stand = |port| judge.places().at(port);
    let origin = match stand(opening.from.port) {
        Stand::OwnNode if judge.compiled().owner(first.from).is_none() => Origin::OwnNode,
        _ => Origin::Address(first.from),
    };
    let question = explain::Question { from: origin, to: first.to, protocol: first.protocol, port: first.port };
    let explanation = judge.compiled().explain(&question);
    let here = |direction: &str| {
        let port = if direction == Direction::Egress.to_string() { opening.from.port } else { opening.to.port };
        matches!(stand(port), Stand::Pod(_))
    };
    explained::ends(&explanation).into_iter().filter(|end| here(&end.direction)).collect()
}

/// Each two addresses of one family.
fn pairs(from: &Meant<'_>, to: &Meant<'_>) -> Result<Vec<(IpAddr, IpAddr)>, Refusal> {
    let all = from.addresses.iter().flat_map(|source| to.addresses.iter().map(move |to| (*source, *to)));
    let pairs: Vec<(IpAddr, IpAddr)> = all.filter(|(from, to)| from.is_ipv4() == to.is_ipv4()).collect();
    if pairs.is_empty() {
        let (from, to) = (from.to_string(), to.to_string());
        return Err(ends::refusal(crate::told::question::Unmeant::NoFamily { from, to }));
    }
    Ok(pairs)
}

/// Denied if any is; else cannot be told if any cannot.
fn together(answers: &[WhyAnswer]) -> Option<bool> {
    if answers.iter().any(|answer| answer.allowed == Some(false)) {
        return Some(false);
    }
    answers.iter().all(|answer| answer.allowed == Some(true)).then_some(true)
}

/// What was typed cannot be asked.
pub(super) fn unanswerable(untold: &Untold) -> Refusal {
    Refusal::Unanswerable { detail: untold.to_string() }
}
