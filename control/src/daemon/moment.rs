//! The switch at one moment. Ports and networks come and go while the daemon runs: whatever a question is answered from, names and numbers
//! among it, is taken once, so that no answer knows of a port by its name and not by its number.

use podlane_api::{Refusal, TookOver};
use podlane_dataplane::worker::command::Report;

use super::answers::Answers;
use super::trials::Shadows;
use crate::compile::Numbers;
use crate::desired::Desired;
use crate::reconcile::{Engine, Plan};

/// What one question is answered from.
pub(super) struct Moment<'a> {
    answers: &'a Answers,
    plan: Plan,
}

impl<'a> Moment<'a> {
    /// Now. Reports that are asked for later tell of every port that is known here.
    pub(super) fn of(answers: &'a Answers) -> Self {
        Self { answers, plan: answers.engine().plan() }
    }

    /// The switch; what it desires and numbers may be more by now than what is known here.
    pub(super) fn engine(&self) -> &'a Engine {
        self.answers.engine()
    }

    /// The candidates that are judged beside the live policy.
    pub(super) const fn shadows(&self) -> &'a Shadows {
        self.answers.shadows()
    }

    /// The daemon it took over from.
    pub(super) const fn took_over(&self) -> Option<TookOver> {
        self.answers.took_over()
    }

    /// What is desired.
    pub(super) fn desired(&self) -> &Desired {
        &self.plan.desired
    }

    /// Which number each name goes by.
    pub(super) fn numbers(&self) -> &Numbers {
        &self.plan.numbers
    }

    /// Every worker's ledger.
    pub(super) fn reports(&self) -> Result<Vec<Report>, Refusal> {
        self.engine().reports().map_err(|silent| Refusal::Stalled {
            what: format!("worker {}", silent.worker),
            waited_ms: crate::reconcile::PATIENCE.as_millis() as u64,
        })
    }
}
