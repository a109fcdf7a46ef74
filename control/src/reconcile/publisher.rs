//! The one counter of generations, and the one way to put something in force with every worker.
//!
//! Tables and policies come from two threads, and a flow is a hit under one number: so both are numbered here, and the worker meets
//! the numbers in the order of the counter, since it is held until all workers have answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use podlane_dataplane::Generation;
use podlane_dataplane::offload::Exchange;
use podlane_dataplane::policy::{Enforcement, Policy};
use podlane_dataplane::tables::Tables;

use super::crew::{Silent, Workers};

/// Puts tables and policies in force. Shared by those who make them.
#[derive(Clone)]
pub struct Publisher {
    workers: Workers,
    last: Arc<Mutex<u32>>,
    /// Where flows are offloaded.
    exchange: Option<Arc<Exchange>>,
}

impl Publisher {
    /// Nothing is in force yet.
    #[must_use]
    pub fn new(workers: Workers) -> Self {
        Self { workers, last: Arc::default(), exchange: None }
    }

    /// The last number that was given.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(*self.lock())
    }

    /// Makes tables of the next generation and puts them in force with every worker.
    ///
    /// # Errors
    /// Those of `make`, or a worker does not answer: the others have the new tables.
    pub fn tables<E: From<Silent>>(
        &self,
        make: impl FnOnce(Generation) -> Result<Tables, E>,
    ) -> Result<Arc<Tables>, E> {
        let mut last = self.lock();
        *last += 1;
        let tables = Arc::new(make(Generation(*last))?);
        self.outdate(tables.generation);
        self.workers.publish(&tables)?;
        Ok(tables)
    }

    /// Puts a policy in force with every worker, and frees the former one here.
    ///
    /// # Errors
    /// A worker does not answer; the others have the new policy.
    pub fn policy(&self, policy: Box<dyn Policy>) -> Result<Generation, Silent> {
        let mut last = self.lock();
        *last += 1;
        let generation = Generation(*last);
        self.outdate(generation);
        self.workers.enforce(&Arc::new(Enforcement { generation, policy }))?;
        Ok(generation)
    }

    /// A publisher that goes on from a former daemon's last number.
    #[must_use]
    pub fn after(workers: Workers, last: u32) -> Self {
        Self { workers, last: Arc::new(Mutex::new(last)), exchange: None }
    }

    /// The same, which also has offload engines carry nothing that an older number decided: before a worker hears of the new one, so that it is in
    /// force for what they carry when it is for anybody.
    #[must_use]
    pub fn outdating(self, exchange: Option<Arc<Exchange>>) -> Self {
        Self { exchange, ..self }
    }

    fn outdate(&self, generation: Generation) {
        if let Some(exchange) = &self.exchange {
            exchange.outdate(generation);
        }
    }

    /// Holds up every publication, at the last number that was given.
    pub(super) fn freeze(&self) -> MutexGuard<'_, u32> {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
