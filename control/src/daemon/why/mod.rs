//! Why a connection would come through or not, from what the workers decide by at this moment.
//!
//! ```text
//! two names -> ends.rs: pods, addresses, ports -> way.rs: where a first packet would go -> judged.rs: the judge in force -> a connection that is there
//! ```
//!
//! Nothing is decided here: the way is what the packet path's own resolve says of such a packet, and the verdict is the judge's.

mod ends;
mod judged;
mod way;

use std::net::IpAddr;

use podlane_api::{Refusal, Way, Why, WhyAnswer, WhyQuery};
use podlane_policy::model::{Pod, Protocol};
use podlane_wire::IpProtocol;

use super::moment::Moment;
use crate::enforce::Judge;
use crate::reconcile::Facts;
use crate::told::explained::NO_SAY;
use crate::told::question::{Opener, Party, Service, Untold, service};
use ends::Meant;
use judged::Judged;
use way::Found;

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
            None if self.to.is_ipv4() => IpProtocol::ICMPV4.0,
            None => IpProtocol::ICMPV6.0,
        }
    }
}

/// What an answer is made from.
struct Asked<'a> {
    moment: &'a Moment<'a>,
    facts: &'a Facts,
    judge: Option<&'a Judge>,
}

impl Moment<'_> {
    pub(super) fn why(&self, query: &WhyQuery) -> Result<Why, Refusal> {
        let from: Opener = query.from.parse().map_err(|untold| unanswerable(&untold))?;
        let to: Party = query.to.parse().map_err(|untold| unanswerable(&untold))?;
        let service: Service = query.service.parse().map_err(|untold| unanswerable(&untold))?;
        let judge = self.engine().enforcer().map(|enforcer| enforcer.in_force());
        let pods: Vec<&Pod> = judge.iter().flat_map(|judge| judge.compiled().pods()).collect();
        let (from, to) = (self.opener(&from, &pods)?, self.party(&to, &pods)?);
        let ports = service.ports(&to.party, to.pod).map_err(ends::refusal)?;
        let facts = self.engine().facts();
        let asked = Asked { moment: self, facts: &facts, judge: judge.as_deref() };
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
        let (from, to) = (self.moment.at(from, first.from), self.moment.at(to, first.to));
        let Found { way, placed, beyond } = self.moment.way(first, &from, &to, self.facts);
        let judge = self.judge.filter(|_| beyond.is_none());
        let judged = judge.and_then(|judge| Judged::of(judge, placed, first, self.moment.numbers()));
        let policy = judged.as_ref().map(|judged| judged.allow);
        WhyAnswer {
            from: first.from.to_string(),
            to: first.to,
            service: service(first.protocol, first.port),
            allowed: match way.open {
                Some(open) => Some(open && policy != Some(false)),
                None => policy,
            },
            because: Some(because(&way, judged.as_ref(), beyond)),
            way: Some(way),
            ends: judged.map(|judged| judged.ends).unwrap_or_default(),
            connection: self.moment.connection_of(first),
        }
    }
}

/// A packet that has no way is stopped before policy is asked; one whose way is not known yet is asked about all the same.
fn because(way: &Way, judged: Option<&Judged>, beyond: Option<&str>) -> String {
    match (way.open, judged) {
        (Some(true), None) => beyond.unwrap_or(NO_SAY).to_owned(),
        (Some(true), Some(judged)) => judged.rule.clone(),
        (None, Some(judged)) if !judged.allow => judged.rule.clone(),
        (None, Some(_)) => format!("by policy; the way is not known yet: {}", way.sentence),
        (Some(false), _) | (None, None) => way.sentence.clone(),
    }
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
