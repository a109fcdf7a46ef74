//! What the demo found of its policy, in the shape of its JSON. The text is drawn from the same.

use std::time::Duration;

use podlane_api::Why;
use serde::Serialize;

use super::{Couple, PolicyError, SERVICE};
use crate::demo::pods::Family;

/// What came of the policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PolicyReport {
    /// Whether both pairs were held to it.
    pub(crate) ok: bool,
    /// The objects that were applied.
    pub(crate) applied: Vec<String>,
    /// Milliseconds until they decided about every packet.
    pub(crate) in_force_ms: Option<f64>,
    /// The pair that it allows.
    pub(crate) allowed: Option<PairReport>,
    /// The pair that it denies.
    pub(crate) denied: Option<PairReport>,
    /// Why there is nothing to tell of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// What came of one pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PairReport {
    /// Who called.
    pub(crate) from: &'static str,
    /// Who was called.
    pub(crate) to: &'static str,
    /// `IPv4` or `IPv6`.
    pub(crate) family: &'static str,
    /// `switched` or `routed`.
    pub(crate) path: &'static str,
    /// The protocol and port.
    pub(crate) service: &'static str,
    /// Whether the pair was held to the policy.
    pub(crate) ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// The rule that decided.
    pub(crate) rule: Option<String>,
    /// Whether it was tried over IPv4.
    #[serde(skip)]
    pub(crate) is_v4: bool,
    /// What was seen.
    #[serde(flatten)]
    pub(crate) found: Option<Found>,
}

/// What was seen of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Found {
    /// Whether the connection from before the policy goes on.
    pub(crate) goes_on: bool,
    /// Milliseconds until a new one was open; none when nobody answered.
    #[serde(rename = "opened_ms", serialize_with = "milliseconds")]
    pub(crate) opened: Option<Duration>,
    /// Packets that were dropped as `policy_denied` meanwhile.
    pub(crate) denied: u64,
    /// What the switch says of it.
    pub(crate) why: Why,
}

fn milliseconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(in_milliseconds).serialize(to)
}

fn in_milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Found {
    /// Whether it is what the policy says.
    fn judge(&self, allowed: bool) -> Result<(), PolicyError> {
        match (allowed, self.goes_on, self.opened) {
            (true, false, _) => Err(PolicyError::Stopped),
            (true, true, None) => Err(PolicyError::Refused),
            (false, true, _) => Err(PolicyError::GoesOn),
            (false, false, Some(_)) => Err(PolicyError::Opens),
            (false, false, None) if self.denied == 0 => Err(PolicyError::Uncounted),
            _ if self.why.allowed != Some(allowed) => Err(PolicyError::Misexplained(self.why.allowed)),
            _ => Ok(()),
        }
    }

    /// The rule that decided: that of the end that denies, else that of the end that was opened to.
    fn rule(&self) -> Option<String> {
        let ends = || self.why.answers.iter().flat_map(|answer| &answer.ends);
        let decided = ends().find(|end| !end.allowed).or_else(|| ends().last());
        decided.map(|end| end.rule.clone())
    }
}

impl PairReport {
    /// What came of one pair.
    pub(crate) fn of(couple: &Couple, found: Result<Found, PolicyError>) -> Self {
        let failure = match &found {
            Ok(found) => found.judge(couple.allowed).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let found = found.ok();
        Self {
            from: couple.from.name(),
            to: couple.to.name(),
            family: couple.family.name(),
            path: couple.path(),
            service: SERVICE,
            ok: failure.is_none(),
            failure,
            is_v4: couple.family == Family::V4,
            rule: found.as_ref().and_then(Found::rule),
            found,
        }
    }
}

impl PolicyReport {
    /// What came of both pairs, the allowed one first.
    pub(crate) fn of(applied: Vec<String>, in_force: Duration, [allowed, denied]: [PairReport; 2]) -> Self {
        let (ok, in_force_ms) = (allowed.ok && denied.ok, Some(in_milliseconds(in_force)));
        Self { ok, applied, in_force_ms, allowed: Some(allowed), denied: Some(denied), failure: None }
    }

    /// What is told of a policy that could not even be tried.
    pub(crate) fn of_failure(why: &PolicyError) -> Self {
        let failure = Some(why.to_string());
        Self { ok: false, applied: Vec::new(), in_force_ms: None, allowed: None, denied: None, failure }
    }

    /// Both pairs, the allowed one first.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = &PairReport> {
        self.allowed.iter().chain(&self.denied)
    }

    /// What failed, each in one line that also says what failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> + '_ {
        let of_pairs = self.pairs().filter_map(|pair| {
            let PairReport { from, to, family, service, failure, .. } = pair;
            failure.as_ref().map(|why| format!("policy, {service} {from} to {to} over {family}: {why}"))
        });
        self.failure.iter().map(|why| format!("policy: {why}")).chain(of_pairs)
    }
}
