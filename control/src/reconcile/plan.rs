//! What is desired and how it is numbered, as both are at one moment: written by the reconciler alone, read by whoever asks.

use std::sync::{Arc, PoisonError, RwLock};

use crate::compile::Numbers;
use crate::desired::Desired;

/// A snapshot; a copy costs two counts. Every name of the desires has its number in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is desired.
    pub desired: Arc<Desired>,
    /// Which number each name goes by.
    pub numbers: Arc<Numbers>,
}

impl Plan {
    /// That of a configuration, which nothing was added to yet.
    #[must_use]
    pub fn of(desired: Desired) -> Self {
        let numbers = Arc::new(Numbers::of(&desired));
        Self { desired: Arc::new(desired), numbers }
    }
}

/// The plan there is now.
#[derive(Debug)]
pub(super) struct Plans(RwLock<Plan>);

impl Plans {
    pub(super) fn new(plan: Plan) -> Self {
        Self(RwLock::new(plan))
    }

    pub(super) fn read(&self) -> Plan {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has another plan count from now on.
    pub(super) fn replace(&self, plan: Plan) -> Plan {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), plan)
    }
}
