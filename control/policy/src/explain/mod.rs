//! Why a connection is let through or not, told from the tables that decide it.
//!
//! The verdict is the tables' own. The stages beside it ask every rule of every selecting policy for its peers and its ports,
//! so that a rule that did not match says which of the two it missed by.

mod remedy;

use std::fmt;
use std::net::IpAddr;

use crate::compile::{Compiled, Decision, Identity, Origin, PodEntry, PortName, Record, RuleId, Signature, Verdict};
use crate::model::{Action, Direction, PodName, PolicyName, Protocol, Tier};

pub use remedy::Remedy;

/// A connection that somebody asks about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// Where it is opened from.
    pub from: Origin,
    /// Where it is opened to.
    pub to: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its destination port.
    pub port: u16,
}

/// Everything that led to a decision. Displayed over several lines.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Both ends that have a say: first the one that opens.
    pub ends: Vec<End>,
}

/// One end that has a say.
#[derive(Clone, PartialEq, Debug)]
pub struct End {
    /// The pod.
    pub pod: PodName,
    /// Which way the connection goes there.
    pub direction: Direction,
    /// What was decided.
    pub verdict: Verdict,
    /// What decided, in words.
    pub rule: String,
    /// The tiers that were asked, the last of which decided. None for what is beyond policy.
    pub stages: Vec<Stage>,
    /// If it was denied: the smallest rule that would have it otherwise here, where one can be written.
    pub remedy: Option<Remedy>,
}

/// A tier that was asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Stage {
    /// The tier.
    pub tier: Tier,
    /// The policies of it that select the pod, in the order in which they are tried.
    pub policies: Vec<Considered>,
    /// What came of it.
    pub outcome: Outcome,
}

/// A policy that selects the pod.
#[derive(Clone, PartialEq, Debug)]
pub struct Considered {
    /// The policy.
    pub policy: PolicyName,
    /// Its rules of the direction, in order.
    pub rules: Vec<(Action, Fit)>,
}

/// Whether a rule matches, and else what is against it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It matches.
    Matches,
    /// None of its peers is the other end; its ports would match.
    OtherPeer,
    /// None of its ports is the destination's; its peers would match.
    OtherPort,
    /// Neither.
    Neither,
}

/// What came of a tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// No policy of it selects the pod.
    NoPolicy,
    /// No rule matched, and the next tier is asked.
    NoRule,
    /// No rule matched, and the pod is isolated.
    Isolated,
    /// A rule did this, or left it to the next tier.
    Rule(Action),
}

impl Compiled {
    /// Why these tables decide as they do.
    #[must_use]
    pub fn explain(&self, question: &Question) -> Explanation {
        let Question { from, to, protocol, port } = *question;
        let decision = self.decide(from, to, protocol, port);
        let (source, peer) = match from {
            Origin::Address(address) => (self.pod_at(address), self.identity_of_address(address)),
            Origin::OwnNode => (None, Identity::OWN_NODE),
        };
        let egress = (source, decision.egress, Direction::Egress, self.identity_of_address(to));
        let ingress = (self.pod_at(to), decision.ingress, Direction::Ingress, peer);
        let ends = [egress, ingress].into_iter().filter_map(|(pod, verdict, direction, peer)| {
            let (pod, verdict) = pod.zip(verdict)?;
            Some(End {
                pod: pod.pod.name.clone(),
                direction,
                verdict,
                rule: self.rule(verdict.rule).map(|rule| rule.to_string()).unwrap_or_default(),
                stages: self.stages(pod, verdict, (direction, peer), question),
                remedy: remedy::find(self, pod, direction, verdict, question),
            })
        });
        Explanation { decision, ends: ends.collect() }
    }

    fn stages(&self, end: &PodEntry, verdict: Verdict, peer: (Direction, Identity), question: &Question) -> Vec<Stage> {
        let beyond = matches!(verdict.rule, RuleId::ITSELF | RuleId::OWN_NODE | RuleId::UNKNOWN);
        let (direction, peer) = (peer.0, self.signature(peer.1));
        let class = end.subject.and_then(|subject| self.class(subject));
        let (Some(class), Some(peer), false) = (class, peer, beyond) else { return Vec::new() };
        let chain = &class.chains[direction as usize];
        let names = class.names(direction, peer);
        let mut stages = Vec::new();
        for tier in Tier::ALL {
            let table = &chain.tables[tier as usize];
            let hit = table.first(&peer.sets, names, question.protocol, question.port);
            let isolated = tier == Tier::NetworkPolicy && chain.isolation.is_some();
            let outcome = match hit {
                Some(hit) => Outcome::Rule(hit.action),
                None if isolated => Outcome::Isolated,
                None if table.policies.is_empty() => Outcome::NoPolicy,
                None => Outcome::NoRule,
            };
            let policies =
                table.policies.iter().map(|record| considered(record, direction, peer, names, question)).collect();
            stages.push(Stage { tier, policies, outcome });
            if matches!(outcome, Outcome::Isolated | Outcome::Rule(Action::Accept | Action::Deny)) {
                break;
            }
        }
        stages
    }
}

fn considered(
    record: &Record,
    direction: Direction,
    peer: &Signature,
    names: &[PortName],
    question: &Question,
) -> Considered {
    let rules = record.rules(direction).iter().map(|rule| {
        let by_peer = rule.peers.iter().any(|key| key.holds(&peer.sets));
        let by_port = rule.ports.iter().any(|key| key.holds(names, question.protocol, question.port));
        let fit = match (by_peer, by_port) {
            (true, true) => Fit::Matches,
            (false, true) => Fit::OtherPeer,
            (true, false) => Fit::OtherPort,
            (false, false) => Fit::Neither,
        };
        (rule.action, fit)
    });
    Considered { policy: record.policy.name.clone(), rules: rules.collect() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.decision.allow() { "allowed" } else { "denied" })?;
        if self.ends.is_empty() {
            writeln!(f, "  neither end is a pod that policies are about")?;
        }
        self.ends.iter().try_for_each(|end| write!(f, "{end}"))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.verdict.allow { "allowed" } else { "denied" };
        writeln!(f, "{} of {}: {verdict} by {}", self.direction, self.pod, self.rule)?;
        for stage in &self.stages {
            writeln!(f, "  {}: {}", stage.tier, stage.outcome)?;
            for considered in &stage.policies {
                writeln!(f, "    {}", considered.policy)?;
                for (index, (action, fit)) in considered.rules.iter().enumerate() {
                    writeln!(f, "      {}[{index}] {action}: {fit}", self.direction)?;
                }
            }
        }
        self.remedy.iter().try_for_each(|remedy| write!(f, "{remedy}"))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Matches => "matches",
            Self::OtherPeer => "not this peer",
            Self::OtherPort => "not this port",
            Self::Neither => "neither this peer nor this port",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => f.write_str("no policy selects the pod"),
            Self::NoRule => f.write_str("no rule matches"),
            Self::Isolated => f.write_str("isolated, and no rule matches"),
            Self::Rule(action) => write!(f, "{action}"),
        }
    }
}
