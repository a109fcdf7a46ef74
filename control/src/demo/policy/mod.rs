//! The demo's policy: a NetworkPolicy as users write it, applied while two pods talk to a third, and what becomes of both.
//!
//! It comes after everything that is measured, and promises to show rather than to claim: each pair has a connection that was open before the
//! policy and tries a new one after it, and the switch is asked why. What is denied must be in the ledger by its name.

mod report;
mod table;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use podlane_api::{Ledger, WhyQuery};
use thiserror::Error;

pub(crate) use report::{Found, PairReport, PolicyReport};
pub(crate) use table::{applied_in, held, section, trying};

use super::cores::Cores;
use super::ground::Ground;
use super::pods::{Family, Pod};
use super::stage::Stage;
use super::switch::{Switch, SwitchError};
use super::traffic::{Callee, Conversation, MeterError};

/// What is applied, and the file it stands in.
pub(crate) const FILE: &str = "red-from-green.yaml";
pub(crate) const POLICY: &str = include_str!("red-from-green.yaml");
/// The port that it speaks of.
const PORT: u16 = 8080;
/// What `why` is asked about.
pub(crate) const SERVICE: &str = "tcp/8080";
/// The ledger's name for what a policy denies.
const DENIED: &str = "policy_denied";
/// How long what is allowed may take, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long silence lasts until it is believed, where it is expected; the ledger must agree.
pub(crate) const SILENCE: Duration = Duration::from_millis(500);

/// Two pods, and what the policy says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Couple {
    /// Who calls.
    pub(crate) from: Pod,
    /// Who is called.
    pub(crate) to: Pod,
    /// Over which protocol.
    pub(crate) family: Family,
    /// Whether the policy lets it.
    pub(crate) allowed: bool,
}

/// The pair that is allowed, and the one that is not. All else about them is alike.
pub(crate) const COUPLES: [Couple; 2] = [
    Couple { from: Pod::Green, to: Pod::Red, family: Family::V4, allowed: true },
    Couple { from: Pod::Blue, to: Pod::Red, family: Family::V4, allowed: false },
];

impl Couple {
    /// How its packets travel.
    pub(crate) fn path(&self) -> &'static str {
        if self.from.network() == self.to.network() { "switched" } else { "routed" }
    }

    /// How long an answer is waited for.
    fn patience(&self) -> Duration {
        if self.allowed { PATIENCE } else { SILENCE }
    }

    /// Where the caller calls.
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.to.address(self.family), PORT)
    }

    /// What `why` is asked.
    fn query(&self) -> WhyQuery {
        WhyQuery { from: self.from.object(), to: self.to.object(), service: SERVICE.to_owned() }
    }
}

/// Why the policy did not do what policies do.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    #[error(transparent)]
    Traffic(#[from] MeterError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error("before there is a policy, {from} cannot call {to}; see whether the steps above failed as well")]
    Closed { from: &'static str, to: &'static str },
    #[error(
        "the connection from before the policy stopped, which the policy allows; please report this as a defect of podlane"
    )]
    Stopped,
    #[error("no new connection opens within {} s, which the policy allows; please report this as a defect of podlane", PATIENCE.as_secs())]
    Refused,
    #[error(
        "the connection from before the policy goes on, which the policy denies; please report this as a defect of podlane"
    )]
    GoesOn,
    #[error("a new connection opens, which the policy denies; please report this as a defect of podlane")]
    Opens,
    #[error("what was denied is not in the ledger as {DENIED}; please report this as a defect of podlane")]
    Uncounted,
    #[error("`podlane why` calls it {}; please report this as a defect of podlane", said(*.0))]
    Misexplained(Option<bool>),
}

fn said(allowed: Option<bool>) -> &'static str {
    match allowed {
        Some(true) => "allowed, which the policy denies",
        Some(false) => "denied, which the policy allows",
        None => "something that cannot be told",
    }
}

/// Where the policy is shown.
pub(crate) struct Scene<'a, 'b> {
    pub(crate) stage: &'a mut Stage<'b>,
    pub(crate) ground: &'a Ground,
    pub(crate) cores: &'a Cores,
    pub(crate) switch: &'a dyn Switch,
}

impl Scene<'_, '_> {
    /// Shows it; `None` when the demo is over before there is anything to show.
    pub(crate) fn play(mut self) -> Option<PolicyReport> {
        if self.stage.is_over() {
            return None;
        }
        let report = self.perform().unwrap_or_else(|error| PolicyReport::of_failure(&error));
        // What was cut short tells nothing.
        (!self.stage.is_over()).then_some(report)
    }

    fn perform(&mut self) -> Result<PolicyReport, PolicyError> {
        let [allowed, denied] = &COUPLES;
        let callee = Callee::listen(&self.ground.place(allowed.to, self.cores), allowed.address())?;
        let [of_allowed, of_denied] = [allowed, denied].map(|couple| self.converse(&callee, couple));
        let begun = Instant::now();
        let applied = self.switch.apply_policy(FILE, POLICY)?;
        let in_force = begun.elapsed();
        self.stage.view.say(&applied_in(&applied.objects, in_force));
        let allowed = self.hold(&callee, allowed, of_allowed);
        let denied = self.hold(&callee, denied, of_denied);
        Ok(PolicyReport::of(applied.objects, in_force, [allowed, denied]))
    }

    /// Before there is a policy, everybody is answered.
    fn converse(&self, callee: &Callee, couple: &Couple) -> Result<Conversation, PolicyError> {
        let closed = PolicyError::Closed { from: couple.from.name(), to: couple.to.name() };
        let caller = self.ground.place(couple.from, self.cores);
        let Some((mut conversation, _)) = callee.called_by(&caller, PATIENCE)? else { return Err(closed) };
        if conversation.ask(PATIENCE)? { Ok(conversation) } else { Err(closed) }
    }

    /// Holds a pair, that conversed before, to the policy.
    fn hold(&mut self, callee: &Callee, couple: &Couple, open: Result<Conversation, PolicyError>) -> PairReport {
        let found = open.and_then(|conversation| self.try_out(callee, couple, conversation));
        let pair = PairReport::of(couple, found);
        self.stage.view.held(&pair);
        pair
    }

    /// The connection it had, a new one, the ledger, and what the switch says of it.
    fn try_out(&mut self, callee: &Callee, couple: &Couple, mut had: Conversation) -> Result<Found, PolicyError> {
        let before = denied(&self.switch.ledger()?);
        self.stage.view.trying(couple, "does the connection go on?");
        let goes_on = had.ask(couple.patience())?;
        if !goes_on {
            had.abandon()?;
        }
        self.stage.view.trying(couple, "does a new one open?");
        let caller = self.ground.place(couple.from, self.cores);
        // It stays open until the switch was asked why, so that the answer can name it.
        let new = callee.called_by(&caller, couple.patience())?;
        let denied = denied(&self.switch.ledger()?).saturating_sub(before);
        let why = self.switch.why(&couple.query())?;
        Ok(Found { goes_on, opened: new.map(|(_, took)| took), denied, why })
    }
}

/// Packets that policies denied so far.
fn denied(ledger: &Ledger) -> u64 {
    ledger.dropped.get(DENIED).copied().unwrap_or_default()
}
