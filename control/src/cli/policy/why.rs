//! One connection explained, over each address family that both ends have.

use std::fmt;
use std::net::IpAddr;

use podlane_policy::compile::Origin;
use podlane_policy::explain::{Considered, End, Explanation, Fit, Question, Remedy, Stage};
use podlane_policy::model::Action;
use podlane_policy::{Cluster, Compiler};
use serde::Serialize;

use super::PolicyError;
use super::party::{self, Opener, Party, Service};

/// What was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Opener,
    pub(super) to: Party,
    pub(super) service: Service,
}

/// The explanations, one for each family.
#[derive(Debug)]
pub(super) struct Answer(Vec<(Question, Explanation)>);

impl Answer {
    pub(super) fn new(cluster: Cluster, asked: &Asked) -> Result<Self, PolicyError> {
        let questions = questions(&cluster, asked)?;
        let compiled = Compiler::of(cluster).compile();
        Ok(Self(questions.into_iter().map(|question| (question, compiled.explain(&question))).collect()))
    }

    /// Whether it is allowed over every family.
    pub(super) fn allow(&self) -> bool {
        self.0.iter().all(|(_, explanation)| explanation.decision.allow())
    }

    pub(super) fn json(&self) -> WhyJson<'_> {
        WhyJson { allowed: self.allow(), answers: self.0.iter().map(AnswerJson::from).collect() }
    }
}

fn questions(cluster: &Cluster, asked: &Asked) -> Result<Vec<Question>, PolicyError> {
    let Asked { from, to, service: Service { protocol, port } } = asked;
    let destinations = party::addresses(to, cluster)?;
    let question = |from, to| Question { from, to, protocol: *protocol, port: *port };
    let opener = match from {
        Opener::Node => {
            if let Some(to) = destinations.iter().find(|to| party::pod_at(**to, cluster).is_none()) {
                return Err(PolicyError::NoNode { to: *to });
            }
            return Ok(destinations.into_iter().map(|to| question(Origin::OwnNode, to)).collect());
        }
        Opener::Party(opener) => opener,
    };
    let sources = party::addresses(opener, cluster)?;
    let pairs = sources.iter().flat_map(|from| destinations.iter().map(move |to| (*from, *to)));
    let questions: Vec<Question> = pairs
        .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
        .map(|(from, to)| question(origin(from, to, cluster), to))
        .collect();
    if questions.is_empty() {
        return Err(PolicyError::NoFamily { from: opener.to_string(), to: to.to_string() });
    }
    Ok(questions)
}

/// A node's address is the node, to the pods that run there: their packets come in by the node's own port.
fn origin(from: IpAddr, to: IpAddr, cluster: &Cluster) -> Origin {
    let node = party::pod_at(to, cluster).and_then(|pod| pod.node.as_deref());
    let own = node.is_some() && party::node_at(from, cluster) == node;
    if own { Origin::OwnNode } else { Origin::Address(from) }
}

fn source(question: &Question) -> String {
    match question.from {
        Origin::Address(address) => address.to_string(),
        Origin::OwnNode => "node".to_owned(),
    }
}

fn service(question: &Question) -> Service {
    Service { protocol: question.protocol, port: question.port }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(question, explanation)| {
            write!(f, "{} to {}, {}: {explanation}", source(question), question.to, service(question))
        })
    }
}

/// What `podlane policy why --json` prints.
#[derive(Serialize, Debug)]
pub(super) struct WhyJson<'a> {
    allowed: bool,
    answers: Vec<AnswerJson<'a>>,
}

#[derive(Serialize, Debug)]
struct AnswerJson<'a> {
    from: String,
    to: IpAddr,
    service: String,
    allowed: bool,
    ends: Vec<EndJson<'a>>,
}

#[derive(Serialize, Debug)]
struct EndJson<'a> {
    pod: String,
    direction: String,
    allowed: bool,
    rule: &'a str,
    stages: Vec<StageJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<RemedyJson<'a>>,
}

#[derive(Serialize, Debug)]
struct StageJson {
    tier: String,
    outcome: String,
    policies: Vec<PolicyJson>,
}

#[derive(Serialize, Debug)]
struct PolicyJson {
    policy: String,
    rules: Vec<RuleJson>,
}

#[derive(Serialize, Debug)]
struct RuleJson {
    action: String,
    fit: String,
}

#[derive(Serialize, Debug)]
struct RemedyJson<'a> {
    /// The rule that the YAML goes before; absent where the YAML is a policy of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    yaml: &'a str,
}

impl<'a> From<&'a (Question, Explanation)> for AnswerJson<'a> {
    fn from((question, explanation): &'a (Question, Explanation)) -> Self {
        Self {
            from: source(question),
            to: question.to,
            service: service(question).to_string(),
            allowed: explanation.decision.allow(),
            ends: explanation.ends.iter().map(EndJson::from).collect(),
        }
    }
}

impl<'a> From<&'a End> for EndJson<'a> {
    fn from(end: &'a End) -> Self {
        Self {
            pod: end.pod.to_string(),
            direction: end.direction.to_string(),
            allowed: end.verdict.allow,
            rule: &end.rule,
            stages: end.stages.iter().map(StageJson::from).collect(),
            remedy: end.remedy.as_ref().map(RemedyJson::from),
        }
    }
}

impl From<&Stage> for StageJson {
    fn from(Stage { tier, policies, outcome }: &Stage) -> Self {
        let policies = policies.iter().map(PolicyJson::from).collect();
        Self { tier: tier.to_string(), outcome: outcome.to_string(), policies }
    }
}

impl From<&Considered> for PolicyJson {
    fn from(Considered { policy, rules }: &Considered) -> Self {
        let rule = |(action, fit): &(Action, Fit)| RuleJson { action: action.to_string(), fit: fit.to_string() };
        Self { policy: policy.to_string(), rules: rules.iter().map(rule).collect() }
    }
}

impl<'a> From<&'a Remedy> for RemedyJson<'a> {
    fn from(remedy: &'a Remedy) -> Self {
        let before = match remedy {
            Remedy::Apply { .. } => None,
            Remedy::Insert { policy, direction, index, .. } => Some(format!("{policy} {direction}[{index}]")),
        };
        Self { before, yaml: remedy.yaml() }
    }
}
